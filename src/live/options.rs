//! How bundles are staged.

use crate::artifact::OpenMode;
use crate::infer::Kernel;
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

/// What an engine stages every bundle with: of its options, those that a generation depends on.
#[derive(Debug, Clone, Copy)]
pub struct StagingOptions {
    /// Map the files, or copy them.
    pub mode: OpenMode,
    /// What runs the model.
    pub kernel: &'static Kernel,
    /// How much of the tables is read.
    pub tables: TableChecks,
    /// The precision; none: what the bundle says, or exact.
    pub precision: Option<Precision>,
    /// Bytes that an ad cache may take; 0: there is none.
    pub ad_cache_bytes: u64,
}

impl StagingOptions {
    /// Maps, full checks, the bundle's own precision, no ad cache.
    #[must_use]
    pub fn new(kernel: &'static Kernel) -> Self {
        Self { mode: OpenMode::Map, kernel, tables: TableChecks::Full, precision: None, ad_cache_bytes: 0 }
    }
}
