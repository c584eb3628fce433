//! A table that a bundle has, and what was written on top of it since it was built.

use std::collections::HashMap;
use std::sync::Arc;

use super::file::Table;
use super::set::TableSet;
use crate::error::{Error, Result};

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

/// A table of a bundle.
#[derive(Debug, Clone)]
pub struct TableSource {
    /// Its shards.
    pub set: Arc<TableSet>,
    /// The name of a file that it comes from, for messages.
    pub file: String,
    /// What was written on top of it.
    pub overrides: Option<Arc<dyn Overrides>>,
}

/// The most shards that all tables of a bundle say they have: each takes 8 bytes, whether its file is there or not.
const MAX_SHARDS_OF_ALL: u64 = 1 << 20;

/// The shards of each table together, with nothing on top of them yet, in the order of their first files. Each file comes
/// with its name.
///
/// # Errors
/// As [`TableSet::new`]; `Corrupt` also when all tables together say that they have more than 1,048,576 shards.
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
