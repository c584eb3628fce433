//! A table of a bundle, and the overrides written on top of it since it was built.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Table;
use super::set::TableSet;
use crate::error::{Error, Result};

/// The overrides of a table since it was built. Reads take no lock and end in bounded time.
pub trait Overrides: std::fmt::Debug + Send + Sync {
    /// Whether there is no override.
    fn is_empty(&self) -> bool;

    /// The place of a key's override, for [`Overrides::apply`].
    fn find(&self, key: u64) -> Option<u32>;

    /// Prefetches what [`Overrides::apply`] will read there. Any number is safe.
    fn prefetch(&self, at: u32);

    /// Writes `base` to `out` with every column that counts at `now_us` in place of its own; both are rows of the
    /// table. False when there is none; then `out` is undefined.
    fn apply(&self, at: u32, key: u64, base: &[u8], now_us: i64, out: &mut [u8]) -> bool;
}

/// A table of a bundle.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// Its shards.
    pub set: Arc<TableSet>,
    /// The name of one of its files, for messages.
    pub file: String,
    /// Its overrides.
    pub overrides: Option<Arc<dyn Overrides>>,
}

/// The most shards that all tables of a bundle may declare: each takes 8 bytes, even if its file is not there.
const MAX_SHARDS_OF_ALL: u64 = 1 << 20;

/// The shards of each table, joined and without overrides, in the order of their first files. Each file comes with its
/// name.
///
/// # Errors
/// As [`TableSet::new`]; `Corrupt` also when all tables together declare more than 1,048,576 shards.
pub fn join_shards<'a>(files: impl IntoIterator<Item = (Arc<Table>, &'a str)>) -> Result<Vec<TableSource>> {
    let mut tables: Vec<(Vec<Arc<Table>>, &str)> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut claimed = 0;
    for (table, file) in files {
        match by_name.get(table.name()) {
            Some(&at) => tables[at].0.push(table),
            None => {
                by_name.insert(table.name().to_owned(), tables.len());
                claimed += u64::from(table.shard().count);
                tables.push((vec![table], file));
            }
        }
    }
    if claimed > MAX_SHARDS_OF_ALL {
        return Err(Error::corrupt(format!("the tables have {claimed} shards together, at most {MAX_SHARDS_OF_ALL}")));
    }
    let source = |(shards, file): (_, &str)| {
        Ok(TableSource { set: Arc::new(TableSet::new(shards)?), file: file.to_owned(), overrides: None })
    };
    tables.into_iter().map(source).collect()
}
