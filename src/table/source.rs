//! A table that a bundle has, and what was written on top of it since it was built.

use std::sync::Arc;

use super::TableSet;

/// What was written on top of a table since it was built. Reads take no lock and end in bounded time.
pub trait Overrides: std::fmt::Debug + Send + Sync {
    /// Whether there is nothing to find.
    fn is_empty(&self) -> bool;

    /// Where the row of a key is, for [`Overrides::apply`].
    fn find(&self, key: u64) -> Option<u32>;

    /// Asks for what [`Overrides::apply`] will read there. Any number is safe.
    fn prefetch(&self, at: u32);

    /// Writes `base` with every column that counts at `now_us` in place of its own to `out`; both are rows of the table.
    /// False when there is none, then `out` means nothing.
    fn apply(&self, at: u32, key: u64, base: &[u8], now_us: i64, out: &mut [u8]) -> bool;
}

/// A table that there is.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// Its shards.
    pub set: Arc<TableSet>,
    /// The name of a file that it comes from, for messages.
    pub file: String,
    /// What was written on top of it.
    pub overrides: Option<Arc<dyn Overrides>>,
}
