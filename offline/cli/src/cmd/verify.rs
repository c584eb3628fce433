//! `adclick verify`.

use std::io::Write;
use std::path::PathBuf;

use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::Manifest;
use adclick::builder::hash::checksum;
use adclick::builder::infer::Kernel;
use adclick::builder::live::{Generation, Opening, TableChecks};
use adclick::builder::table::Checks;
use adclick_train::bundle::{open_table, open_untouched};
use anyhow::{Result, ensure};

/// Check every checksum and golden request of a bundle.
///
/// Reads every file of the bundle and compares its length and checksum with the manifest's, checks every section and every
/// row of every feature table, and runs the golden requests on every kernel of this CPU. Reports the precision in which this
/// CPU serves the bundle.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    bundle: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let bundle = adclick_train::bundle::resolve(&args.bundle)?;
    let manifest = Manifest::read(&bundle)?;
    let mut files = Vec::new();
    for entry in &manifest.files {
        let path = bundle.join(&entry.name);
        let bytes = Bytes::open(&path, OpenMode::Map)?;
        ensure!(
            bytes.len() as u64 == entry.bytes,
            "{}: {} bytes, the manifest says {}",
            path.display(),
            bytes.len(),
            entry.bytes
        );
        let found = checksum(&bytes);
        ensure!(
            found == entry.xxh3,
            "{}: checksum {found:016x}, the manifest says {:016x}",
            path.display(),
            entry.xxh3
        );
        files.push((entry.name.as_str(), entry.bytes, found));
    }
    let mut tables = Vec::new();
    for entry in manifest.tables() {
        // The checksum of the whole file was compared above.
        let table = open_table(&bundle.join(&entry.name), Checks::Content)?;
        tables.push((table.name().to_owned(), table.shard(), table.len()));
    }
    let mut kernels = Vec::new();
    let mut goldens = 0;
    for kernel in Kernel::available() {
        let mut handle = 0;
        let mut how = Opening::new(kernel);
        how.staging.tables = TableChecks::Lazy;
        let generation = Generation::open(&bundle, how, |_| {
            handle += 1;
            handle
        })?;
        goldens = generation.model().goldens().len();
        kernels.push(kernel.name());
    }
    let here = open_untouched(&bundle)?;
    let (wanted, precision, reason) = here.precision();
    let mut out = crate::stdout::lock();
    let generation = format!("{:016x}", manifest.generation());
    if args.json {
        let summary = serde_json::json!({
            "bundle": bundle.display().to_string(),
            "generation": generation,
            "files": files.iter().map(|(name, bytes, xxh3)| serde_json::json!({
                "name": name, "bytes": bytes, "xxh3": format!("{xxh3:016x}"),
            })).collect::<Vec<_>>(),
            "tables": tables.iter().map(|(name, shard, rows)| serde_json::json!({
                "name": name, "shard": shard.index, "shards": shard.count, "rows": rows,
            })).collect::<Vec<_>>(),
            "goldens": goldens,
            "kernels": kernels,
            "precision": { "wanted": wanted.name(), "here": precision.name(), "reason": reason },
        });
        writeln!(out, "{summary}")?;
    } else {
        writeln!(out, "bundle {} · generation {generation}", bundle.display())?;
        for (name, bytes, xxh3) in files {
            writeln!(out, "  ok  {name}: {bytes} bytes, xxh3 {xxh3:016x}")?;
        }
        for (name, shard, rows) in tables {
            let part =
                if shard.count > 1 { format!(", shard {} of {}", shard.index, shard.count) } else { String::new() };
            writeln!(out, "  ok  table {name}{part}: {rows} rows, each found by its key")?;
        }
        for kernel in kernels {
            writeln!(out, "  ok  {goldens} golden requests on kernel {kernel}")?;
        }
        match reason {
            None => writeln!(out, "  ok  served in precision {}", precision.name())?,
            Some(reason) => {
                writeln!(out, "  note: precision {} is served exact on this CPU: {reason}", wanted.name())?;
            }
        }
        if goldens == 0 {
            writeln!(out, "  note: the model holds no golden requests, so no output was compared")?;
        }
    }
    Ok(())
}
