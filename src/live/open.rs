//! Opening the files of a bundle, or sharing them with a generation that has the same ones open.

use std::path::Path;
use std::sync::Arc;

use super::bundle::Entry;
use super::generation::{Generation, weights};
use super::golden;
use super::overlay::Overlays;
use crate::artifact::model::Model;
use crate::artifact::{Bytes, OpenMode};
use crate::enrich::TableSource;
use crate::error::{Error, Result};
use crate::hash::checksum;
use crate::infer::{Kernel, Plan};
use crate::table::{Checks, Table, TableSet};
use crate::types::Precision;

/// How much of the table files is read when a bundle is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableChecks {
    /// All of it: checksum, and that each row is where a lookup finds it. Afterwards the pages are in memory.
    #[default]
    Full,
    /// Length and structure only: nothing of the rows is read until a request asks for it. For tables larger than
    /// memory, which were checked where they were packed or copied. A damaged row then gives wrong values and nothing
    /// worse.
    Lazy,
}

/// How a bundle is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Map the files, or copy them.
    pub mode: OpenMode,
    /// What runs the model.
    pub kernel: &'static Kernel,
    /// How much of the tables is read.
    pub tables: TableChecks,
    /// Generations opened in the same way: a model or table file that has the length and checksum of one of theirs is
    /// not read again, its map and the checks it has passed are shared.
    pub earlier: &'a [Arc<Generation>],
    /// What lies on top of tables; none: the tables alone.
    pub overlays: Option<&'a Overlays>,
    /// The precision; none: what the bundle says, or exact.
    pub precision: Option<Precision>,
    /// Bytes that an ad cache may take; 0: there is none.
    pub ad_cache_bytes: u64,
}

impl Opening<'_> {
    /// Maps and full checks, nothing shared.
    #[must_use]
    pub fn new(kernel: &'static Kernel) -> Self {
        Self {
            mode: OpenMode::Map,
            kernel,
            tables: TableChecks::Full,
            earlier: &[],
            overlays: None,
            precision: None,
            ad_cache_bytes: 0,
        }
    }
}

/// A file of the bundle as the manifest lists it, and what it holds.
#[derive(Debug)]
pub(super) struct Opened<T> {
    pub(super) entry: Entry,
    pub(super) content: Arc<T>,
}

impl<T> Opened<T> {
    /// What this file holds, if it is the file of another manifest's entry too.
    fn same(&self, entry: &Entry) -> Option<&Arc<T>> {
        ((self.entry.bytes, self.entry.xxh3) == (entry.bytes, entry.xxh3)).then_some(&self.content)
    }
}

/// The model and what runs it: those of an earlier generation, or opened, checked and run here.
pub(super) fn open_model(bundle: &Path, entry: &Entry, how: Opening<'_>) -> Result<(Opened<Model>, Arc<Plan>)> {
    let path = bundle.join(&entry.name);
    let opened = |content: &Arc<Model>| Opened { entry: entry.clone(), content: Arc::clone(content) };
    for earlier in how.earlier.iter().filter(|e| std::ptr::eq(e.plan.kernel(), how.kernel)) {
        if let Some(model) = earlier.model.same(entry) {
            check_there(&path, entry)?;
            return Ok((opened(model), Arc::clone(&earlier.plan)));
        }
    }
    let named = |e: Error| e.within(path.display());
    let model = Model::open(open_file(bundle, entry, how.mode, true)?).map_err(named)?;
    let plan = Plan::new(model.network(), weights(&model), how.kernel).map_err(named)?;
    golden::check(&model, &plan, how.kernel).map_err(named)?;
    model.prefault();
    Ok((opened(&Arc::new(model)), Arc::new(plan)))
}

pub(super) fn open_table(bundle: &Path, entry: &Entry, how: Opening<'_>) -> Result<Opened<Table>> {
    let path = bundle.join(&entry.name);
    if let Some(table) = how.earlier.iter().flat_map(|e| &e.files).find_map(|file| file.same(entry)) {
        check_there(&path, entry)?;
        return Ok(Opened { entry: entry.clone(), content: Arc::clone(table) });
    }
    let full = how.tables == TableChecks::Full;
    let bytes = open_file(bundle, entry, how.mode, full)?;
    // The manifest's checksum has just said that the bytes are those that were packed.
    let checks = if full { Checks::Content } else { Checks::Structure };
    let table = Table::open_with(bytes, checks).map_err(|e| e.within(path.display()))?;
    Ok(Opened { entry: entry.clone(), content: Arc::new(table) })
}

/// The shards of each table together, and what lies on top of it.
pub(super) fn join(files: &[Opened<Table>], overlays: Option<&Overlays>) -> Result<Vec<TableSource>> {
    let mut names: Vec<(&str, Vec<Arc<Table>>, &str)> = Vec::new();
    for file in files {
        let name = file.content.name();
        match names.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, shards, _)) => shards.push(Arc::clone(&file.content)),
            None => names.push((name, vec![Arc::clone(&file.content)], &file.entry.name)),
        }
    }
    let source = |(_, shards, file): (_, _, &str)| {
        let set = Arc::new(TableSet::new(shards)?);
        let overrides = overlays.map(|overlays| overlays.on(&set)).transpose()?.flatten();
        Ok(TableSource { set, file: file.to_owned(), overrides })
    };
    names.into_iter().map(source).collect()
}

/// The bytes of a file, of the manifest's length; with `whole`, of its checksum too.
pub(super) fn open_file(bundle: &Path, entry: &Entry, mode: OpenMode, whole: bool) -> Result<Bytes> {
    let path = bundle.join(&entry.name);
    let bytes = Bytes::open(&path, mode).map_err(listed)?;
    check_length(&path, bytes.len() as u64, entry)?;
    if whole {
        bytes.expect_whole_reading();
    }
    let found = if whole { checksum(&bytes) } else { entry.xxh3 };
    if found != entry.xxh3 {
        return Err(Error::corrupt(format!(
            "{}: checksum {found:016x}, the manifest says {:016x}: copy the bundle again",
            path.display(),
            entry.xxh3
        )));
    }
    Ok(bytes)
}

/// A bundle is whole even where its files are not read again.
fn check_there(path: &Path, entry: &Entry) -> Result<()> {
    let found = std::fs::metadata(path).map_err(|e| listed(Error::io("open", path, &e)))?.len();
    check_length(path, found, entry)
}

/// A file of the manifest that cannot be opened.
fn listed(error: Error) -> Error {
    Error::new(error.status, format!("{}; the manifest lists it: copy the bundle whole", error.message))
}

fn check_length(path: &Path, found: u64, entry: &Entry) -> Result<()> {
    if found == entry.bytes {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{}: {found} bytes, the manifest says {}: copy the bundle again",
        path.display(),
        entry.bytes
    )))
}
