//! The overlays of an engine: its generations read them above their tables, and callers write to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::registry::{Columns, Registry};
use super::{Batch, Below, ColumnValue, Freshness, Operation, Overlay, UpsertCounts};
use crate::clock::now_us;
use crate::error::{Error, Result};
use crate::table::{Overrides, TableSet, TableSource};
use crate::types::{Row, Value};

/// The target and the operation of an upsert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upsert {
    /// The handle that the engine gave for the table's name.
    pub table: u32,
    /// The operation on the columns.
    pub operation: Operation,
    /// When the values were right: microseconds since 1970-01-01 UTC; 0 = now by the system's clock.
    pub time_us: i64,
}

/// A table of the live generation and its overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableInfo {
    /// Rows of the table's files.
    pub rows: u64,
    /// When its oldest file was built: microseconds since 1970-01-01 UTC.
    pub built_us: i64,
    /// The number of seconds for which it is fresh; 0 = no limit.
    pub fresh_for_s: u64,
    /// The number of its files (shards) in the bundle.
    pub shards: u32,
    /// Rows in the overlay.
    pub overlay_rows: u64,
    /// The number of rows requested; 0 = no overlay.
    pub overlay_capacity: u64,
    /// Rows evicted so far.
    pub overlay_evictions: u64,
    /// Bytes reserved for the overlay.
    pub overlay_bytes: u64,
}

/// All overlays of one engine. Shared by all threads.
#[derive(Debug)]
pub struct Overlays {
    registry: Mutex<Registry>,
    /// In seconds; `None` = no limit.
    max_age: Option<u32>,
    /// How far times may be ahead of the system's clock; `None` = no limit.
    max_skew_us: Option<i64>,
    /// Upserts hold it shared; a swap of generations holds it exclusively, so that nothing is written to an overlay
    /// that is being replaced.
    steady: RwLock<()>,
}

/// The overlay of a table, as requests of one generation read it.
#[derive(Debug)]
struct OnTable {
    overlay: Arc<Overlay>,
    built_s: u32,
    max_age: Option<u32>,
}

/// An overlay and its columns by handle.
type Bound = (Arc<Overlay>, Columns);

impl Overrides for OnTable {
    fn is_empty(&self) -> bool {
        self.overlay.is_empty()
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.overlay.find(key)
    }

    fn prefetch(&self, at: u32) {
        self.overlay.prefetch(at);
    }

    fn apply(&self, at: u32, key: u64, base: &[u8], now_us: i64, out: &mut [u8]) -> bool {
        let oldest_s = oldest(seconds(now_us), self.max_age);
        self.overlay.apply(at, key, base, Freshness { built_s: self.built_s, oldest_s }, out)
    }
}

const NO_OVERLAYS: &str =
    "the engine was opened without overlays (ADCLICK_NO_OVERLAYS; in Rust, overlay_rows of 0): open it with them";

impl Overlays {
    /// The same, refusing times further ahead of the system's clock than this; `None` = any time.
    #[must_use]
    pub fn with_skew(self, max_skew: Option<Duration>) -> Self {
        let max_skew_us = max_skew.map(|skew| i64::try_from(skew.as_micros()).unwrap_or(i64::MAX));
        Self { max_skew_us, ..self }
    }

    /// A time in the future would hide every write until then.
    fn check_skew(&self, time_us: i64, now_us: i64) -> Result<()> {
        let ahead = time_us.saturating_sub(now_us);
        match self.max_skew_us {
            Some(most) if ahead > most => Err(Error::argument(format!(
                "time_us {time_us} is {:.1} s ahead of this machine's clock, and {:.1} s are allowed \
                 (overlay_max_skew_s): no write before that time would count any more. Is it in microseconds?",
                ahead as f64 / 1e6,
                most as f64 / 1e6
            ))),
            _ => Ok(()),
        }
    }

    /// Overlays of `rows` rows for each table (0 = none), whose columns count for `max_age` (rounded up to seconds) by
    /// the time of the request.
    #[must_use]
    pub fn new(rows: usize, max_age: Option<Duration>) -> Self {
        let seconds = |age: Duration| u32::try_from(age.as_secs() + u64::from(age.subsec_nanos() > 0)).ok();
        let registry = Mutex::new(Registry::new(rows));
        Self { registry, max_age: max_age.and_then(seconds), max_skew_us: None, steady: RwLock::new(()) }
    }

    /// Gives each table its overlay: that of another generation's table with this name and layout, or a new one, or
    /// nothing when there are no overlays. Gives all of them numbers.
    ///
    /// # Errors
    /// `CapacityExceeded` when there is no memory for an overlay, or no room for the names; then none of them is kept.
    pub(crate) fn bind(&self, tables: &mut [TableSource]) -> Result<()> {
        let mut registry = self.registry();
        registry.sweep();
        registry.check_room(tables.iter().map(|table| (table.set.name(), &**table.set.layout())))?;
        for table in tables {
            let (built_s, max_age) = (seconds(table.set.built_us()), self.max_age);
            registry.table(table.set.name())?;
            let overlay = registry.overlay(table.set.name(), table.set.layout())?;
            table.overrides =
                overlay.map(|overlay| Arc::new(OnTable { overlay, built_s, max_age }) as Arc<dyn Overrides>);
        }
        Ok(())
    }

    pub(crate) fn table(&self, name: &str) -> Result<u32> {
        self.registry().table(name)
    }

    pub(crate) fn column(&self, table: u32, name: &str) -> Result<u32> {
        self.registry().column(table, name)
    }

    /// Keeps the generations unchanged during a write.
    pub(crate) fn steady(&self) -> RwLockReadGuard<'_, ()> {
        self.steady.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps writers out while generations change.
    pub(crate) fn quiet(&self) -> RwLockWriteGuard<'_, ()> {
        self.steady.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the overlays of `from` to `to`, whose tables may have other columns. For the thread that is about to swap
    /// them, with writers kept out.
    pub(crate) fn carry_over(&self, from: &[TableSource], to: &[TableSource]) {
        let next: HashMap<&str, &TableSource> = to.iter().map(|new| (new.set.name(), new)).collect();
        for old in from {
            let Some(new) = next.get(old.set.name()) else { continue };
            let of = |source: &TableSource| self.registry().find(source.set.name(), source.set.layout());
            if let (Some((old, _)), Some((new, _))) = (of(old), of(new))
                && !Arc::ptr_eq(&old, &new)
            {
                old.migrate(&new);
            }
        }
    }

    /// Writes rows on top of a table of the live generation.
    pub(crate) fn upsert(
        &self,
        live: &[TableSource],
        upsert: &Upsert,
        rows: &[Row],
        values: &[Value],
    ) -> Result<UpsertCounts> {
        let (set, overlay) = self.open(live, upsert.table)?;
        let Some((overlay, columns)) = overlay else {
            return Err(Error::argument(NO_OVERLAYS));
        };
        let now_us = now_us();
        let time_us = if upsert.time_us == 0 { now_us } else { upsert.time_us };
        self.check_skew(time_us, now_us)?;
        let column = |handle: u32| columns.find(handle).ok_or_else(|| self.registry().no_column(upsert.table, handle));
        let fresh = Freshness { built_s: seconds(set.built_us()), oldest_s: oldest(seconds(time_us), self.max_age) };
        let row = |key: u64| set.get(key);
        let below = Below { fresh, row: &row, default: set.default_row() };
        overlay.upsert(
            &Batch { rows, values: ColumnValue::of(values), operation: upsert.operation, time_us },
            &column,
            below,
        )
    }

    /// Removes rows written on top of a table, also from other generations' overlays of it, so that a rollback does not
    /// bring them back. Returns the number removed from the live generation's.
    pub(crate) fn remove(&self, live: &[TableSource], table: u32, keys: Option<&[u64]>) -> Result<u64> {
        let (_, overlay) = self.open(live, table)?;
        let Some((overlay, _)) = overlay else { return Err(Error::argument(NO_OVERLAYS)) };
        let removed = overlay.remove(keys);
        let all = self.registry().of_table(table);
        for other in all.iter().filter(|other| !Arc::ptr_eq(other, &overlay)) {
            other.remove(keys);
        }
        Ok(removed)
    }

    /// A table of the live generation and its overlay.
    pub(crate) fn info(&self, live: &[TableSource], table: u32) -> Result<TableInfo> {
        let (set, overlay) = self.open(live, table)?;
        let overlay = overlay.as_ref().map(|(overlay, _)| overlay);
        Ok(TableInfo {
            rows: set.len(),
            built_us: set.built_us(),
            fresh_for_s: set.fresh_for_s(),
            shards: set.shards().count() as u32,
            overlay_rows: overlay.map_or(0, |o| o.len() as u64),
            overlay_capacity: overlay.map_or(0, |o| o.capacity() as u64),
            overlay_evictions: overlay.map_or(0, |o| o.evictions()),
            overlay_bytes: overlay.map_or(0, |o| o.memory() as u64),
        })
    }

    /// The live generation's table of a handle.
    fn open<'a>(&self, live: &'a [TableSource], table: u32) -> Result<(&'a TableSet, Option<Bound>)> {
        let registry = self.registry();
        let name = registry.table_name(table)?;
        let Some(source) = live.iter().find(|source| source.set.name() == &**name) else {
            return Err(Error::argument(format!("the live generation has no table `{name}`")));
        };
        Ok((&source.set, registry.find(name, source.set.layout())))
    }

    /// The number of a table's name: its handle, counted from 0. Past all others when there are too many names.
    pub(crate) fn number(&self, name: &str) -> usize {
        self.table(name).map_or(usize::MAX, |handle| handle as usize - 1)
    }

    /// The name of the table that has a number, and the number's handle.
    pub(crate) fn named(&self, number: usize) -> Option<(Arc<str>, u32)> {
        let handle = u32::try_from(number).ok()?.checked_add(1)?;
        Some((self.registry().known_name(number)?, handle))
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole seconds, clamped to the range.
fn seconds(us: i64) -> u32 {
    us.div_euclid(1_000_000).clamp(0, u32::MAX.into()) as u32
}

fn oldest(now_s: u32, max_age: Option<u32>) -> u32 {
    max_age.map_or(0, |age| now_s.saturating_sub(age))
}
