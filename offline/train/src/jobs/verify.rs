//! Checks that a bundle is complete and that this CPU computes its golden outputs.

use std::path::{Path, PathBuf};

use adclick::Precision;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::Manifest;
use adclick::builder::hash::checksum;
use adclick::builder::infer::Kernel;
use adclick::builder::live::{Generation, Opening, TableChecks};
use adclick::builder::table::{Checks, Shard};
use adclick_data::progress::Progress;
use anyhow::{Result, ensure};

use crate::bundle::{open_table, open_untouched, resolve};

/// The result of a successful check.
#[derive(Debug, Clone)]
pub struct Done {
    /// The bundle.
    pub bundle: PathBuf,
    /// Its generation.
    pub generation: u64,
    /// The name, the length in bytes and the checksum of each file.
    pub files: Vec<(String, u64, u64)>,
    /// The name, the shard and the number of rows of each table file.
    pub tables: Vec<(String, Shard, u64)>,
    /// The number of golden requests in the model.
    pub goldens: usize,
    /// The kernels that reproduced their outputs.
    pub kernels: Vec<&'static str>,
    /// The precision that the bundle asks for.
    pub wanted: Precision,
    /// The precision that this CPU serves it in.
    pub here: Precision,
    /// The reason why that is another one.
    pub reason: Option<String>,
}

/// Checks every file, section and row of a bundle, and runs its golden requests on every kernel of this CPU.
///
/// # Errors
/// Any error in the bundle; the message names the file.
pub fn verify(bundle: &Path, progress: &Progress) -> Result<Done> {
    let bundle = resolve(bundle)?;
    let manifest = Manifest::read(&bundle)?;
    let stage = progress.bytes("Checking files", manifest.files.iter().map(|entry| entry.bytes).sum());
    let mut files = Vec::new();
    for entry in &manifest.files {
        stage.check()?;
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
        files.push((entry.name.clone(), entry.bytes, found));
        stage.advance(entry.bytes);
    }
    drop(stage);
    let stage = progress.within();
    let mut tables = Vec::new();
    for entry in manifest.tables() {
        stage.check()?;
        // The checksum of the whole file has already been compared.
        let table = open_table(&bundle.join(&entry.name), Checks::Content)?;
        tables.push((table.name().to_owned(), table.shard(), table.len()));
    }
    let mut kernels = Vec::new();
    let mut goldens = 0;
    for kernel in Kernel::available() {
        stage.check()?;
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
    let reason = reason.map(str::to_owned);
    Ok(Done {
        generation: manifest.generation(),
        bundle,
        files,
        tables,
        goldens,
        kernels,
        wanted,
        here: precision,
        reason,
    })
}
