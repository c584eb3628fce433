//! Options for staging bundles.

use crate::artifact::OpenMode;
use crate::infer::Kernel;
use crate::types::Precision;

/// How much of the table files is read when a bundle is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TableChecks {
    /// All of it: checksum, and that a lookup finds each row where it is. Afterwards the pages are in memory.
    #[default]
    Full,
    /// Only length and structure: no row is read until a request needs it. For tables larger than memory, which were
    /// checked where they were packed or copied. A damaged row then gives wrong values, but nothing worse.
    Lazy,
}

/// The engine options that every generation depends on.
#[derive(Debug, Clone, Copy)]
pub struct StagingOptions {
    /// Map the files, or copy them.
    pub mode: OpenMode,
    /// The kernel that runs the model.
    pub kernel: &'static Kernel,
    /// How much of the tables is read.
    pub tables: TableChecks,
    /// The precision; none: the bundle's own, or exact.
    pub precision: Option<Precision>,
    /// The most bytes of an ad cache; 0: none.
    pub ad_cache_bytes: u64,
    /// The most bytes of sums kept by id; 0: none.
    pub id_sums_bytes: u64,
}

/// The bytes of sums kept by id that are allowed unless the caller says otherwise.
pub(crate) const ID_SUMS_BYTES: u64 = 64 << 20;

impl StagingOptions {
    /// Maps, full checks, the bundle's own precision, no ad cache, sums by id.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn new(kernel: &'static Kernel) -> Self {
        Self {
            mode: OpenMode::Map,
            kernel,
            tables: TableChecks::Full,
            precision: None,
            ad_cache_bytes: 0,
            id_sums_bytes: ID_SUMS_BYTES,
        }
    }
}
