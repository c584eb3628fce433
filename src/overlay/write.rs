//! Writing rows: one writer at a time for each group of sets.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::batch::{Batch, Draft, Operation};
use super::slots::{SlotFor, WAYS};
use super::{BITS, Freshness, Overlay, Shape, time_of};
use crate::error::Result;
use crate::table::{Cell, ColumnKind, RowLayout};

/// The table below an overlay, as writing needs it.
#[derive(Clone, Copy)]
pub struct Below<'a> {
    /// The build time of the table, and the batch's own time minus the age limit.
    pub fresh: Freshness,
    /// The table's row of a key, if it has one; an increment starts from it.
    pub row: &'a dyn Fn(u64) -> Option<&'a [u8]>,
    /// Its default row, which counts where a row or one of its cells is missing.
    pub default: &'a [u8],
}

/// The result of an upsert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpsertCounts {
    /// Rows with at least one column written.
    pub applied: u64,
    /// Rows with at least one column not written, because the overlay's is newer.
    pub stale: u64,
    /// Rows of other keys that were evicted.
    pub evicted: u64,
}

/// The result of one row.
#[derive(Clone, Copy, Default)]
struct Change {
    applied: bool,
    stale: bool,
}

impl Overlay {
    /// Writes rows. All are checked before the first is written. `column` gives the column of a value's handle.
    ///
    /// A column keeps the time of its last write. Replacing it takes the same time or a later one: the last write by
    /// time wins, among equal times (seconds) the later call. An increment adds to the value as a request would see it
    /// at the batch's time (the overlay's while it is fresh, else the row's, else the default row's, else 0) and is
    /// kept as the sum. Sums commute, so an increment counts at any time, unless the table below is newer and so has
    /// counted it already. A sum past the range of the column is clamped. Sums are as exact as the column: f32 counts
    /// to 16,777,216, fp16 only to 2,048.
    ///
    /// # Errors
    /// `InvalidArgument` (a key of 0, a handle that is not a column, a column given twice, too many ids or ids past 32
    /// bits, an incomplete vector, an increment of a cell that is not a number, a time out of range) or `InvalidValue`
    /// (NaN or infinity), naming the row and the value. Then nothing is written.
    pub fn upsert(
        &self,
        batch: &Batch<'_>,
        column: &dyn Fn(u32) -> Result<usize>,
        below: Below<'_>,
    ) -> Result<UpsertCounts> {
        let time = batch.time_s()?;
        let mut draft = Draft::new(&self.layout);
        for index in 0..batch.rows.len() {
            draft.read(batch, index, column)?;
        }
        let mut counts = UpsertCounts::default();
        let mut image = vec![0; self.slots.image()];
        for (index, row) in batch.rows.iter().enumerate() {
            draft.read(batch, index, column)?;
            let oldest = below.fresh.oldest();
            if batch.operation == Operation::Increment {
                // Before the lock, because the table's page may have to be read.
                let rows = ((below.row)(row.key), below.default);
                self.write(row.key, &mut image, &mut counts, |image| increment(image, &draft, rows, time, oldest));
            } else {
                self.write(row.key, &mut image, &mut counts, |image| replace(image, &draft, time, oldest));
            }
        }
        Ok(counts)
    }

    /// Copies every column to `to` that has the same name and kind there and is not older than that of `to`. For a new
    /// generation whose table of the same name has other columns. Rows without a column in `to` are left out.
    pub fn migrate(&self, to: &Overlay) -> UpsertCounts {
        if self.is_empty() {
            return UpsertCounts::default();
        }
        let columns: Vec<(usize, usize)> = (self.layout.columns().iter().enumerate())
            .filter_map(|(from, c)| Some((from, to.layout.find(&c.name)?, c.kind)))
            .filter(|&(_, at, kind)| to.layout.columns()[at].kind == kind)
            .map(|(from, at, _)| (from, at))
            .collect();
        // Rows are copied in the order of their writes, so that the order of eviction stays the same.
        let mut slots: Vec<u32> = (0..self.slots.slots()).filter(|&slot| self.slots.tag(slot) != 0).collect();
        slots.sort_by_cached_key(|&slot| self.slots.stamp(slot));
        let (mut from, mut image) = (vec![0; self.slots.image()], vec![0; to.slots.image()]);
        let mut counts = UpsertCounts::default();
        for slot in slots {
            {
                let _one = self.lock(slot / WAYS as u32);
                self.slots.load(slot, &mut from);
            }
            let key = from[0];
            let from = Image { words: &mut from, shape: self.shape, layout: &self.layout };
            to.write(key, &mut image, &mut counts, |image| {
                let mut change = Change::default();
                for &(column, at) in &columns {
                    match (from.time(column), image.time(at)) {
                        (None, _) => {}
                        (Some(time), Some(newer)) if newer > time => change.stale = true,
                        (Some(time), _) => {
                            let (span, place) = (self.layout.span(column), to.layout.span(at));
                            let (row, into) = (from.row(), image.row_mut());
                            into[place.offset..][..place.len].copy_from_slice(&row[span.offset..][..span.len]);
                            if span.count != 0 {
                                into[place.count..][..2].copy_from_slice(&row[span.count..][..2]);
                            }
                            image.set(at, time);
                            change.applied = true;
                        }
                    }
                }
                change
            });
        }
        counts
    }

    /// Removes the rows of these keys, or all rows. The table's own rows count again for requests that begin
    /// afterwards. Returns the number of rows removed.
    pub fn remove(&self, keys: Option<&[u64]>) -> u64 {
        let mut removed = 0;
        let mut free = |slot: u32, key: u64| {
            let _one = self.lock(slot / WAYS as u32);
            // Another key may have taken the place since it was found.
            if key != 0 && self.slots.tag(slot) == key {
                self.slots.free(slot);
                self.rows.fetch_sub(1, Ordering::Release);
                removed += 1;
            }
        };
        match keys {
            Some(keys) => keys.iter().for_each(|&key| self.find(key).into_iter().for_each(|slot| free(slot, key))),
            None => (0..self.slots.slots()).for_each(|slot| free(slot, self.slots.tag(slot))),
        }
        removed
    }

    /// Changes the row of a key and publishes it if `change` changed anything. `words` has room for an image.
    fn write(
        &self,
        key: u64,
        words: &mut [u64],
        counts: &mut UpsertCounts,
        change: impl FnOnce(&mut Image<'_>) -> Change,
    ) {
        let _one = self.lock(self.slots.set_of(key));
        let target = self.slots.slot_for(key);
        let slot = match target {
            SlotFor::Held(slot) => {
                self.slots.load(slot, words);
                slot
            }
            SlotFor::Free(slot) | SlotFor::Oldest(slot) => {
                words.fill(0);
                words[0] = key;
                slot
            }
        };
        let change = change(&mut Image { words, shape: self.shape, layout: &self.layout });
        counts.stale += u64::from(change.stale);
        if !change.applied {
            return;
        }
        counts.applied += 1;
        self.slots.publish(slot, words, self.stamp.fetch_add(1, Ordering::Relaxed));
        match target {
            SlotFor::Held(_) => {}
            SlotFor::Free(_) => {
                // Release: who sees that it is not empty finds the row.
                self.rows.fetch_add(1, Ordering::Release);
            }
            SlotFor::Oldest(_) => {
                counts.evicted += 1;
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Locks out other writers of a set.
    fn lock(&self, set: u32) -> MutexGuard<'_, ()> {
        // A row is whole at every point where a panic could happen.
        self.stripes[set as usize % self.stripes.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer's copy of a slot's image.
struct Image<'a> {
    words: &'a mut [u64],
    shape: Shape,
    layout: &'a RowLayout,
}

impl Image<'_> {
    /// When a column was written, if it was.
    fn time(&self, column: usize) -> Option<u32> {
        let set = self.words[BITS + column / 64] >> (column % 64) & 1 == 1;
        set.then(|| time_of(self.words[self.shape.times + column / 2], column))
    }

    fn set(&mut self, column: usize, time: u32) {
        self.words[BITS + column / 64] |= 1 << (column % 64);
        let (word, shift) = (&mut self.words[self.shape.times + column / 2], 32 * (column % 2));
        *word = *word & !(u64::from(u32::MAX) << shift) | u64::from(time) << shift;
    }

    fn row(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words[self.shape.row..])
    }

    fn row_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words[self.shape.row..])
    }
}

fn replace(image: &mut Image<'_>, draft: &Draft<'_>, time: u32, oldest: u32) -> Change {
    let mut change = Change::default();
    for &column in &draft.given {
        if time < oldest || image.time(column).is_some_and(|last| time < last) {
            change.stale = true;
            continue;
        }
        let span = image.layout.span(column);
        for (at, len) in [(span.offset, span.len), (span.count, if span.count == 0 { 0 } else { 2 })] {
            image.row_mut()[at..at + len].copy_from_slice(&draft.row[at..at + len]);
        }
        image.set(column, time);
        change.applied = true;
    }
    change
}

/// `row` and `default` are the table's own row of the key, if it has one, and its default row.
fn increment(
    image: &mut Image<'_>,
    draft: &Draft<'_>,
    (row, default): (Option<&[u8]>, &[u8]),
    time: u32,
    oldest: u32,
) -> Change {
    if time < oldest {
        return Change { applied: false, stale: !draft.given.is_empty() };
    }
    for &column in &draft.given {
        let (layout, last) = (image.layout, image.time(column));
        let number = |row: &[u8]| layout.number(row, column, 0);
        let own = match last {
            // It counts even if it was written as missing.
            Some(last) if last >= oldest => number(image.row()),
            _ => row.and_then(number),
        };
        let sum = f64::from(own.or_else(|| number(default)).unwrap_or(0.0)) + f64::from(draft.deltas[column]);
        let most = if layout.columns()[column].kind == ColumnKind::F16 { 65504.0 } else { f32::MAX };
        // A finite number within the column's range fits it.
        let _ = layout.put(image.row_mut(), column, Cell::Number((sum as f32).clamp(-most, most)));
        image.set(column, last.map_or(time, |last| last.max(time)));
    }
    Change { applied: !draft.given.is_empty(), stale: false }
}
