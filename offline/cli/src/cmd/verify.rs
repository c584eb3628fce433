//! `adclick verify`.

use adclick::builder::Named;
use std::io::Write;
use std::path::PathBuf;

use adclick_train::jobs::verify::{Done, verify};
use anyhow::Result;

use crate::progress::on_stderr;

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
    let done = verify(&args.bundle, &on_stderr())?;
    let mut out = crate::stdout::lock();
    let Done { bundle, generation, files, tables, goldens, kernels, wanted, here, reason } = &done;
    let generation = format!("{generation:016x}");
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
            "precision": { "wanted": wanted.name(), "here": here.name(), "reason": reason },
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
            None => writeln!(out, "  ok  served in precision {}", here.name())?,
            Some(reason) => {
                writeln!(out, "  note: precision {} is served exact on this CPU: {reason}", wanted.name())?;
            }
        }
        if *goldens == 0 {
            writeln!(out, "  note: the model holds no golden requests, so no output was compared")?;
        }
    }
    Ok(())
}
