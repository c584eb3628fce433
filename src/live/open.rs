//! Opening the files of a bundle, or sharing them with a generation that has the same ones open.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use super::generation::Generation;
use crate::artifact::model::Model;
use crate::artifact::{Bytes, OpenMode};
use crate::bundle::{self, listed};
use crate::cancel::Cancel;
use crate::error::{Error, Result, Status};
use crate::files::open_regular;
use crate::infer::{Kernel, Plan, Weights};
use crate::model::{Limits, golden};
use crate::overlay::Overlays;
use crate::table::{Checks, Table, TableSet, TableSource};
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
    /// What scorers that must serve the generation have room for; none: there are no such scorers yet.
    pub limits: Option<Limits>,
    /// Whether opening should go on: asked between golden requests, tables, parts of large files.
    pub cancel: Cancel<'a>,
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
            limits: None,
            cancel: Cancel::default(),
        }
    }
}

/// A file of the bundle as the manifest lists it, and what it holds.
#[derive(Debug)]
pub(super) struct Opened<T> {
    pub(super) entry: bundle::Entry,
    pub(super) content: Arc<T>,
}

impl<T> Opened<T> {
    /// What this file holds, if it is the file of another manifest's entry too.
    fn same(&self, entry: &bundle::Entry) -> Option<&Arc<T>> {
        ((self.entry.bytes, self.entry.xxh3) == (entry.bytes, entry.xxh3)).then_some(&self.content)
    }
}

/// The model and what runs it: those of an earlier generation, or opened, checked and run here.
pub(super) fn open_model(bundle: &Path, entry: &bundle::Entry, how: Opening<'_>) -> Result<(Opened<Model>, Arc<Plan>)> {
    let path = bundle.join(&entry.name);
    let opened = |content: &Arc<Model>| Opened { entry: entry.clone(), content: Arc::clone(content) };
    for earlier in how.earlier.iter().filter(|e| std::ptr::eq(e.plan.kernel(), how.kernel)) {
        if let Some(model) = earlier.model.same(entry) {
            entry.check(&path, None)?;
            return Ok((opened(model), Arc::clone(&earlier.plan)));
        }
    }
    let named = |e: Error| content(e).within(path.display());
    let model = Model::open_until(open_file(bundle, entry, how, true)?, how.cancel).map_err(named)?;
    let plan = Plan::new(model.network(), Weights::of(&model), how.kernel).map_err(named)?;
    golden::check(&model, &plan, how.kernel, how.cancel).map_err(named)?;
    model.prefault();
    Ok((opened(&Arc::new(model)), Arc::new(plan)))
}

pub(super) fn open_table(bundle: &Path, entry: &bundle::Entry, how: Opening<'_>) -> Result<Opened<Table>> {
    let path = bundle.join(&entry.name);
    if let Some(table) = how.earlier.iter().flat_map(|e| &e.files).find_map(|file| file.same(entry)) {
        entry.check(&path, None)?;
        return Ok(Opened { entry: entry.clone(), content: Arc::clone(table) });
    }
    how.cancel.check()?;
    let full = how.tables == TableChecks::Full;
    let bytes = open_file(bundle, entry, how, full)?;
    // The manifest's checksum has just said that the bytes are those that were packed.
    let checks = if full { Checks::Content } else { Checks::Structure };
    let table = Table::open_until(bytes, checks, how.cancel).map_err(|e| content(e).within(path.display()))?;
    Ok(Opened { entry: entry.clone(), content: Arc::new(table) })
}

/// The most shards that all tables of a bundle say they have: each takes 8 bytes, whether its file is there or not.
const MAX_SHARDS: u64 = 1 << 20;

/// The shards of each table together, with nothing on top of them yet.
pub(super) fn join(files: &[Opened<Table>]) -> Result<Vec<TableSource>> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<(Vec<Arc<Table>>, &str)> = Vec::new();
    let mut claimed = 0;
    for file in files {
        let table = Arc::clone(&file.content);
        match places.entry(file.content.name()) {
            Entry::Occupied(place) => names[*place.get()].0.push(table),
            Entry::Vacant(place) => {
                place.insert(names.len());
                claimed += u64::from(table.shard().count);
                names.push((vec![table], &file.entry.name));
            }
        }
    }
    if claimed > MAX_SHARDS {
        return Err(Error::corrupt(format!("the tables have {claimed} shards together, at most {MAX_SHARDS}")));
    }
    let source = |(shards, file): (_, &str)| {
        Ok(TableSource { set: Arc::new(TableSet::new(shards)?), file: file.to_owned(), overrides: None })
    };
    names.into_iter().map(source).collect()
}

/// The bytes of a file, of the manifest's length, which is looked at before anything is read; with `whole`, of its checksum
/// too.
pub(super) fn open_file(bundle: &Path, entry: &bundle::Entry, how: Opening<'_>, whole: bool) -> Result<Bytes> {
    let path = bundle.join(&entry.name);
    let (file, len) = open_regular(&path).map_err(listed)?;
    entry.check(&path, Some(&file))?;
    let bytes = Bytes::of(file, len, &path, how.mode)?;
    if whole {
        bytes.expect_whole_reading();
    }
    let found = if whole { how.cancel.checksum(&bytes)? } else { entry.xxh3 };
    if found != entry.xxh3 {
        return Err(Error::corrupt(format!(
            "{}: checksum {found:016x}, the manifest says {:016x}: copy the bundle again",
            path.display(),
            entry.xxh3
        )));
    }
    Ok(bytes)
}

/// What is wrong with the content of a file is never an argument of the caller's.
pub(super) fn content(error: Error) -> Error {
    match error.status {
        Status::InvalidArgument | Status::InvalidValue => Error { status: Status::Corrupt, ..error },
        _ => error,
    }
}
