//! Opening the files of a bundle. A file that another generation has open already is shared and not read again.

use std::path::Path;
use std::sync::Arc;

use super::options::{StagingOptions, TableChecks};
use crate::artifact::Bytes;
use crate::artifact::model::Model;
use crate::bundle::{self, Manifest, Role, listed};
use crate::cancel::Cancel;
use crate::error::{Error, Result, Status};
use crate::files::open_regular;
use crate::model::PlannedModel;
use crate::table::{Checks, Table};

/// A file of a bundle as the manifest lists it, and its content.
#[derive(Debug, Clone)]
pub(super) struct Opened<T> {
    pub(super) entry: bundle::Entry,
    pub(super) content: T,
}

impl<T> Opened<T> {
    /// The content of this file, if it is also the file of another manifest's entry.
    fn same(&self, entry: &bundle::Entry) -> Option<&T> {
        ((self.entry.bytes, self.entry.xxh3) == (entry.bytes, entry.xxh3)).then_some(&self.content)
    }
}

/// A bundle whose files are being opened.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) bundle: &'a Path,
    pub(super) staging: &'a StagingOptions,
    pub(super) cancel: Cancel<'a>,
}

/// The longest policy and the longest serving settings, in bytes. Parsing TOML takes a hundred times as much memory at
/// worst.
const MOST_SMALL: u64 = 64 << 10;

impl Files<'_> {
    /// The model with its exact plan: either one that is already open, or opened, checked and run here.
    pub(super) fn model<'o>(
        &self,
        entry: &bundle::Entry,
        open: impl Iterator<Item = &'o Opened<PlannedModel>>,
    ) -> Result<Opened<PlannedModel>> {
        let (path, kernel) = (self.bundle.join(&entry.name), self.staging.kernel);
        let mut of_kernel = open.filter(|open| std::ptr::eq(open.content.plan.kernel(), kernel));
        if let Some(planned) = of_kernel.find_map(|open| open.same(entry)) {
            entry.check(&path, None)?;
            return Ok(Opened { entry: entry.clone(), content: planned.clone() });
        }
        let named = |e: Error| content(e).within(path.display());
        let model = Model::open_until(self.bytes(entry, true)?, self.cancel).map_err(named)?;
        let content = PlannedModel::new(model, kernel, self.cancel).map_err(named)?;
        Ok(Opened { entry: entry.clone(), content })
    }

    /// A table file: either one that is already open, or opened and checked here.
    pub(super) fn table<'o>(
        &self,
        entry: &bundle::Entry,
        mut open: impl Iterator<Item = &'o Opened<Arc<Table>>>,
    ) -> Result<Opened<Arc<Table>>> {
        let path = self.bundle.join(&entry.name);
        if let Some(table) = open.find_map(|open| open.same(entry)) {
            entry.check(&path, None)?;
            return Ok(Opened { entry: entry.clone(), content: Arc::clone(table) });
        }
        self.cancel.check()?;
        let full = self.staging.tables == TableChecks::Full;
        let bytes = self.bytes(entry, full)?;
        // The manifest's checksum has just proven that these are the packed bytes.
        let checks = if full { Checks::Content } else { Checks::Structure };
        let table = Table::open_until(bytes, checks, self.cancel).map_err(|e| content(e).within(path.display()))?;
        Ok(Opened { entry: entry.clone(), content: Arc::new(table) })
    }

    /// The content of a small file, if the bundle has one with this role. Its length is checked before it is read.
    pub(super) fn small<T>(
        &self,
        manifest: &Manifest,
        role: Role,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(entry) = manifest.file(role) else { return Ok(None) };
        let named = |e: Error| content(e).within(self.bundle.join(&entry.name).display());
        if entry.bytes > MOST_SMALL && role != Role::Calibrators {
            let message = format!("{} bytes, expected at most {MOST_SMALL}: not what it should be", entry.bytes);
            return Err(named(Error::corrupt(message)));
        }
        read(&self.bytes(entry, true)?).map(Some).map_err(named)
    }

    /// The bytes of a file. Its length is checked against the manifest before anything is read; with `whole`, its
    /// checksum too.
    fn bytes(&self, entry: &bundle::Entry, whole: bool) -> Result<Bytes> {
        let path = self.bundle.join(&entry.name);
        let (file, len) = open_regular(&path).map_err(listed)?;
        entry.check(&path, Some(&file))?;
        let bytes = Bytes::of(file, len, &path, self.staging.mode)?;
        if whole {
            bytes.expect_whole_reading();
        }
        let found = if whole { self.cancel.checksum(&bytes)? } else { entry.xxh3 };
        if found != entry.xxh3 {
            return Err(Error::corrupt(format!(
                "{}: checksum {found:016x}, the manifest says {:016x}: copy the bundle again",
                path.display(),
                entry.xxh3
            )));
        }
        Ok(bytes)
    }
}

/// Errors in a file's content are never reported as the caller's invalid argument.
fn content(error: Error) -> Error {
    match error.status {
        Status::InvalidArgument | Status::InvalidValue => Error { status: Status::Corrupt, ..error },
        _ => error,
    }
}
