//! All shards of a table, and the batched lookup.

use std::sync::Arc;

use super::columns::RowLayout;
use super::file::{Table, View};
use crate::error::{Error, Result};
use crate::hash;

/// The number of keys that take each step of a lookup together: enough outstanding loads to saturate a core.
const CHUNK: usize = 128;
/// Up to this many keys are looked up one by one.
const FEW: usize = 4;
const SHARD_BITS: u32 = 16;
/// The most shards of a table.
pub const MAX_SHARDS: u32 = 1 << SHARD_BITS;

/// The place of a key's row in a [`TableSet`], or nowhere. 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowAt(u64);

impl RowAt {
    /// The table has no row for the key.
    pub const NONE: Self = Self(u64::MAX);

    /// The slot at this offset in the rows of a shard. A map is shorter than 2^48 bytes.
    #[inline]
    fn new(shard: usize, start: usize) -> Self {
        Self((start as u64) << SHARD_BITS | shard as u64)
    }

    /// Whether there is a row.
    #[must_use]
    pub fn is_some(self) -> bool {
        self != Self::NONE
    }
}

impl Default for RowAt {
    fn default() -> Self {
        Self::NONE
    }
}

/// A table as requests see it: those of its shards that a bundle has. Keys of other shards are unknown.
#[derive(Debug)]
pub struct TableSet {
    shards: Box<[Option<Arc<Table>>]>,
    /// The data that the shards have in common.
    first: Arc<Table>,
}

impl TableSet {
    /// Joins the shards of one table.
    ///
    /// # Errors
    /// `Corrupt` when there is no shard, when their names, columns, default rows or numbers of shards differ, or when
    /// one occurs twice.
    pub fn new(tables: Vec<Arc<Table>>) -> Result<Self> {
        let Some(first) = tables.first().cloned() else { return Err(Error::corrupt("a table without files")) };
        let count = first.shard().count;
        if count > MAX_SHARDS {
            return Err(Error::corrupt(format!("table `{}`: {count} shards, at most {MAX_SHARDS}", first.name())));
        }
        let mut shards = vec![None; count as usize].into_boxed_slice();
        for table in tables {
            let index = table.shard().index;
            let fail = |what: &str| {
                Err(Error::corrupt(format!(
                    "table `{}`, shard {index} of {}: {what}",
                    table.name(),
                    table.shard().count
                )))
            };
            if table.name() != first.name() || table.shard().count != count {
                return fail(&format!("another file is of table `{}` with {count} shards", first.name()));
            }
            if table.layout() != first.layout() || table.default_row() != first.default_row() {
                return fail("its columns or default row are not those of the other shards: pack them together");
            }
            if shards[index as usize].is_some() {
                return fail("the bundle has it twice");
            }
            shards[index as usize] = Some(table);
        }
        Ok(Self { shards, first })
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.first.name()
    }

    /// Its columns and the positions of their cells.
    #[must_use]
    pub fn layout(&self) -> &Arc<RowLayout> {
        self.first.layout()
    }

    /// The row of keys that the table does not have.
    #[must_use]
    pub fn default_row(&self) -> &[u8] {
        self.first.default_row()
    }

    /// How new the oldest shard's data is: microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn built_us(&self) -> i64 {
        self.shards().map(|t| t.built_us()).min().unwrap_or(self.first.built_us())
    }

    /// The number of seconds after that for which it counts as fresh; 0 = no limit.
    #[must_use]
    pub fn fresh_for_s(&self) -> u64 {
        self.first.fresh_for_s()
    }

    /// The number of rows of all available shards.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shards().map(|t| t.len()).sum()
    }

    /// Whether there is no row.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The available shards.
    pub fn shards(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.shards.iter().flatten()
    }

    /// The row of a key; the default row when there is none.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        self.shards[hash::shard(key, self.shards.len() as u32) as usize].as_ref()?.get(key)
    }

    /// The row at a place that [`TableSet::find`] gave; the default row for [`RowAt::NONE`], and for a place that this
    /// set does not have.
    #[inline]
    #[must_use]
    pub fn row(&self, at: RowAt) -> &[u8] {
        let shard = (at.0 & u64::from(MAX_SHARDS - 1)) as usize;
        match self.shards.get(shard) {
            Some(Some(table)) if at.is_some() => table.row_at((at.0 >> SHARD_BITS) as usize),
            _ => None,
        }
        .unwrap_or_else(|| self.default_row())
    }

    /// The shard, and the slot in it, of a place that [`TableSet::find`] gave; none for [`RowAt::NONE`].
    #[inline]
    #[must_use]
    pub fn slot(&self, at: RowAt) -> Option<(usize, usize)> {
        let shard = (at.0 & u64::from(MAX_SHARDS - 1)) as usize;
        // All shards have the columns of the first, so their slots have the same length.
        at.is_some().then(|| (shard, (at.0 >> SHARD_BITS) as usize / self.first.stride()))
    }

    /// Finds many rows at once: `at[i]` becomes the place of the row of `keys[i]`. Key 0 has none. Afterwards the rows
    /// found are in the caches, as far as they fit. Stops at the shorter of the two slices.
    pub fn find(&self, keys: &[u64], at: &mut [RowAt]) {
        let n = keys.len().min(at.len());
        let at = &mut at[..n];
        self.visit(&keys[..n], |i, _, place| at[i] = place);
    }

    /// Calls `each` for every key in order with its index, its row (`None`: the table has none) and the row's place.
    #[inline]
    pub fn visit<'a>(&'a self, keys: &[u64], each: impl FnMut(usize, Option<&'a [u8]>, RowAt)) {
        match &*self.shards {
            [Some(only)] => {
                let view = only.view();
                visit(keys, view.is_long(), |_| (0, Some(view)), each);
            }
            shards => visit(keys, self.first.view().is_long(), |key| self.shard_of(shards, key), each),
        }
    }

    #[inline]
    fn shard_of<'a>(&self, shards: &'a [Option<Arc<Table>>], key: u64) -> (usize, Option<View<'a>>) {
        let shard = hash::shard(key, shards.len() as u32) as usize;
        (shard, shards[shard].as_ref().map(|table| table.view()))
    }
}

/// Each chunk of keys goes through three short loops: the hashes prefetch their pilots; the pilots give the slots,
/// which are prefetched; the slots' keys are compared. The loops of two other chunks lie in between, so that none waits
/// for memory. `long`: whether slots of the tables can have more lines than one.
#[inline]
fn visit<'a>(
    keys: &[u64],
    long: bool,
    table_of: impl Fn(u64) -> (usize, Option<View<'a>>),
    mut each: impl FnMut(usize, Option<&'a [u8]>, RowAt),
) {
    let mut tell = |i: usize, key: u64, start: usize| {
        let (shard, table) = table_of(key);
        match table.and_then(|table| table.row_of(start, key)) {
            Some(row) => each(i, Some(row), RowAt::new(shard, start)),
            None => each(i, None, RowAt::NONE),
        }
    };
    if keys.len() <= FEW {
        for (i, &key) in keys.iter().enumerate() {
            tell(i, key, table_of(key).1.map_or(0, |table| table.start_of(key)));
        }
        return;
    }
    let mut ways = [(0u64, 0usize); CHUNK];
    let mut starts = [0usize; CHUNK];
    let chunks = keys.len().div_ceil(CHUNK);
    let chunk = |c: usize| &keys[(c * CHUNK).min(keys.len())..((c + 1) * CHUNK).min(keys.len())];
    for step in 0..chunks + 2 {
        if let Some(c) = step.checked_sub(2) {
            for (i, (&key, &start)) in chunk(c).iter().zip(&starts).enumerate() {
                tell(c * CHUNK + i, key, start);
            }
        }
        if let Some(c) = step.checked_sub(1) {
            for ((&key, &(hash, pilot)), start) in chunk(c).iter().zip(&ways).zip(&mut starts) {
                if let (_, Some(table)) = table_of(key) {
                    *start = table.start(hash, pilot);
                    table.prefetch_slot(*start);
                }
            }
            if long {
                for (&key, &start) in chunk(c).iter().zip(&starts) {
                    if let (_, Some(table)) = table_of(key) {
                        table.prefetch_rest(start);
                    }
                }
            }
        }
        for (&key, way) in chunk(step).iter().zip(&mut ways) {
            if let (_, Some(table)) = table_of(key) {
                let hash = table.hash(key);
                *way = (hash, table.pilot(hash));
                table.prefetch_pilot(way.1);
            }
        }
    }
}
