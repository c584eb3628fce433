//! Remembers, for one scorer, the places of a request's candidates in the tables.

use super::planned::PlannedTable;
use crate::error::Result;
use crate::memory::filled;
use crate::table::RowAt;

/// No override of a row applies.
const NO_SLOT: u32 = u32::MAX;

/// The results of one table's key lookups in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lookups {
    /// The key has a row.
    pub(crate) found: u32,
    /// The key has no row.
    pub(crate) missing: u32,
    /// The key was 0: an id that the caller does not know.
    pub(crate) unknown: u32,
}

/// The place of each candidate's row in each table. All memory is allocated at construction.
#[derive(Debug)]
pub struct TableRows {
    candidates: usize,
    /// `[tables][candidates]`. In a table with one row for all candidates only the first entry counts. The same holds
    /// for all three.
    keys: Box<[u64]>,
    at: Box<[RowAt]>,
    /// The places of overrides; valid only for the tables of `overridden`.
    slots: Box<[u32]>,
    /// The lookup results of each table's keys.
    lookups: Box<[Lookups]>,
    /// A row of each table with overrides applied.
    merged: Box<[u8]>,
    /// Bit t: an override applies to a row of table t.
    overridden: u64,
    /// Bit t: `merged` holds the row of table t that is read now.
    is_merged: u64,
    now_us: i64,
}

impl TableRows {
    /// Room for this many tables (at most [`crate::schema::MAX_TABLES`]), for one row of each (in bytes, together), and
    /// for the candidates: about 20 bytes for each candidate and table.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub fn new(tables: usize, row_bytes: usize, candidates: usize) -> Result<Self> {
        // A table of the request's side has a row even when there are no candidates.
        let candidates = candidates.max(1);
        let n = tables * candidates;
        Ok(Self {
            candidates,
            keys: filled(n)?,
            at: filled(n)?,
            slots: filled(n)?,
            lookups: filled(tables)?,
            merged: filled(row_bytes)?,
            overridden: 0,
            is_merged: 0,
            now_us: 0,
        })
    }

    /// Forgets the previous request.
    pub(super) fn begin(&mut self, now_us: i64) {
        (self.overridden, self.is_merged, self.now_us) = (0, 0, now_us);
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let Self { keys, at, slots, lookups, merged, .. } = self;
        size_of_val(&**keys) + size_of_val(&**at) + size_of_val(&**slots) + size_of_val(&**lookups) + merged.len()
    }

    /// The results of the last request's key lookups, table by table.
    pub(super) fn lookups(&self) -> &[Lookups] {
        &self.lookups
    }

    pub(super) fn put_key(&mut self, table: usize, i: usize, key: u64) {
        self.keys[table * self.candidates + i] = key;
    }

    /// Finds the rows of a table's first `n` keys.
    pub(super) fn look_up(&mut self, looked: &PlannedTable, table: usize, n: usize) {
        let range = table * self.candidates..table * self.candidates + n;
        let keys = &self.keys[range.clone()];
        looked.set.find(keys, &mut self.at[range.clone()]);
        let mut found = self.at[range.clone()].iter().map(|at| u32::from(at.is_some())).sum();
        let unknown: u32 = keys.iter().map(|&key| u32::from(key == 0)).sum();
        if let Some(overrides) = looked.overrides.as_deref().filter(|o| !o.is_empty()) {
            for ((slot, &key), at) in self.slots[range.clone()].iter_mut().zip(keys).zip(&self.at[range]) {
                *slot = overrides.find(key).unwrap_or(NO_SLOT);
                if *slot != NO_SLOT {
                    overrides.prefetch(*slot);
                    found += u32::from(!at.is_some());
                }
            }
            self.overridden |= 1 << table;
            if looked.shared {
                self.merge(looked, table, 0);
            }
        }
        self.lookups[table] = Lookups { found, missing: (n as u32).saturating_sub(found + unknown), unknown };
    }

    /// Applies the overrides of candidate `i`'s rows. Those of the request's rows were applied when they were found.
    #[inline]
    pub(super) fn select(&mut self, tables: &[PlannedTable], i: usize) {
        let mut bits = self.overridden;
        while bits != 0 {
            let table = bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if !tables[table].shared {
                self.merge(&tables[table], table, i);
            }
        }
    }

    /// Applies the overrides of one row.
    pub(super) fn merge(&mut self, looked: &PlannedTable, table: usize, i: usize) {
        if self.overridden >> table & 1 == 0 {
            return;
        }
        let place = self.place(looked, table, i);
        let (slot, at) = (self.slots[place], self.at[place]);
        self.is_merged &= !(1 << table);
        let Some(overrides) = looked.overrides.as_deref().filter(|_| slot != NO_SLOT) else { return };
        let base = if at.is_some() { looked.set.row(at) } else { &looked.missing };
        let out = &mut self.merged[looked.merged..looked.merged + base.len()];
        if overrides.apply(slot, self.keys[place], base, self.now_us, out) {
            self.is_merged |= 1 << table;
        }
    }

    /// A table's row of the candidate that was selected, if it has one.
    #[inline]
    pub(super) fn row<'a>(&'a self, looked: &'a PlannedTable, table: usize, i: usize) -> Option<&'a [u8]> {
        if self.is_merged >> table & 1 == 1 {
            return Some(&self.merged[looked.merged..looked.merged + looked.missing.len()]);
        }
        let at = self.at[self.place(looked, table, i)];
        at.is_some().then(|| looked.set.row(at))
    }

    /// The place of candidate `i`'s row in a table with a row for each candidate, if there is one and no override of it
    /// counts. The candidate is the one selected last.
    #[inline]
    pub(super) fn plain(&self, table: usize, i: usize) -> RowAt {
        if self.is_merged >> table & 1 == 1 { RowAt::NONE } else { self.at[table * self.candidates + i] }
    }

    /// Whether a table with a row for each candidate has that of candidate `i`'s key.
    #[cfg(feature = "builder")]
    pub(super) fn has_row(&self, table: usize, i: usize) -> bool {
        self.at[table * self.candidates + i].is_some()
    }

    fn place(&self, looked: &PlannedTable, table: usize, i: usize) -> usize {
        table * self.candidates + if looked.shared { 0 } else { i }
    }
}
