//! Rows that arrive between bundles: a bounded table of rows beside a mapped one, whose columns override the mapped
//! row's where they are newer. Readers take no lock and never see half a row; writers exclude each other, but not
//! readers.
//!
//! **Bounds.** All memory is reserved when an overlay is made; pages are touched as rows are written. A key belongs to
//! a set of 16 slots, and there are one and a half times as many slots as the requested rows, so that an overlay filled
//! to that number has lost about 1 row in 100. In a full set a new key replaces the row that was written longest ago
//! (by order of calls, not by their times); such evictions are counted.
//!
//! **Time.** Every column of a row carries the time of its last write, in whole seconds. A column counts while it is
//! neither older than the table below it nor older than the age limit. So the overlay stays in effect after a swap to
//! an older table and gives way to a newer one. Each row is written as a whole, but a batch is not: a request may see
//! some of its rows.

mod batch;
mod overlays;
mod registry;
mod slots;
mod switches;
mod write;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::table::RowLayout;

pub use batch::{Batch, ColumnValue, Operation};
pub use overlays::{Overlays, TableInfo, Upsert};
use slots::Slots;
pub use switches::{SwitchKind, Switches};
pub use write::{Below, UpsertCounts};

/// The number of groups of sets; each group is written under one lock.
const STRIPES: usize = 64;

/// The times before which a column is too old to count. Seconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    /// The build time of the table below: it contains or replaces older columns.
    pub built_s: u32,
    /// The current time minus the age limit; 0 = no limit.
    pub oldest_s: u32,
}

impl Freshness {
    /// The oldest time that counts.
    fn oldest(self) -> u32 {
        self.built_s.max(self.oldest_s)
    }
}

/// The rows that were written on top of one table. Shared by all threads.
pub struct Overlay {
    layout: Arc<RowLayout>,
    shape: Shape,
    slots: Slots,
    capacity: usize,
    rows: AtomicU32,
    evictions: AtomicU64,
    /// Writes so far: the order in which rows were written.
    stamp: AtomicU64,
    stripes: Box<[Mutex<()>]>,
}

/// The layout of a slot's image, in words: the key, a bit for each column that is set, a time (u32) for each column,
/// the row.
#[derive(Debug, Clone, Copy)]
struct Shape {
    times: usize,
    row: usize,
    words: usize,
}

const BITS: usize = 1;

impl Shape {
    fn new(layout: &RowLayout) -> Self {
        let columns = layout.columns().len();
        let times = BITS + columns.div_ceil(64);
        let row = times + columns.div_ceil(2);
        Self { times, row, words: row + layout.width() / 8 }
    }
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").field("rows", &self.len()).field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl Overlay {
    /// Room for `capacity_rows` rows of this layout. All memory is reserved here.
    ///
    /// # Errors
    /// `InvalidArgument` for a capacity of 0, `CapacityExceeded` when there is not that much memory.
    pub fn new(layout: Arc<RowLayout>, capacity_rows: usize) -> Result<Self> {
        if capacity_rows == 0 {
            return Err(Error::argument("an overlay of 0 rows, expected 1 or more"));
        }
        let shape = Shape::new(&layout);
        let slots = Slots::new(capacity_rows.saturating_add(capacity_rows / 2), shape.words)?;
        let stripes = (0..STRIPES.min(slots.sets() as usize)).map(|_| Mutex::new(())).collect();
        Ok(Self {
            layout,
            shape,
            slots,
            capacity: capacity_rows,
            rows: AtomicU32::new(0),
            evictions: AtomicU64::new(0),
            stamp: AtomicU64::new(0),
            stripes,
        })
    }

    /// The layout of its rows: that of the table below.
    #[must_use]
    pub fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    /// The number of rows requested.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes reserved.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.slots.memory()
    }

    /// Rows held, including those that a newer table or the age limit has invalidated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.load(Ordering::Acquire) as usize
    }

    /// Whether it holds no row. One load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows evicted so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// The slot that holds a key's row, for [`Overlay::apply`]. Looks at 16 tags. Key 0 has none.
    #[must_use]
    pub fn find(&self, key: u64) -> Option<u32> {
        if key == 0 { None } else { self.slots.find(key) }
    }

    /// Prefetches a slot's cache lines for a later [`Overlay::apply`]. Any number is safe.
    pub fn prefetch(&self, slot: u32) {
        self.slots.prefetch(slot);
    }

    /// Writes the row of `key` to `out`: `base`, with every column that is set in the overlay and fresh enough in place
    /// of its own. `base` and `out` have [`RowLayout::width`] bytes, and `slot` is what [`Overlay::find`] gave for the
    /// key. False when `out` equals `base`: nothing fresh is set, the slot went to another key since, or the row was
    /// rewritten during every read (16 tries). No allocation, no lock, bounded.
    pub fn apply(&self, slot: u32, key: u64, base: &[u8], limits: Freshness, out: &mut [u8]) -> bool {
        let width = self.layout.width();
        debug_assert!(base.len() == width && out.len() == width, "rows of {width} bytes");
        let (Some(base), Some(out)) = (base.get(..width), out.get_mut(..width)) else { return false };
        let (shape, oldest) = (self.shape, limits.oldest());
        let read = self.slots.read(slot, |image| {
            out.copy_from_slice(base);
            if image[0].load(Ordering::Relaxed) != key {
                return false;
            }
            let mut any = false;
            for (at, bits) in image[BITS..shape.times].iter().enumerate() {
                let mut bits = bits.load(Ordering::Relaxed);
                while bits != 0 {
                    let column = 64 * at + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let times = image[shape.times + column / 2].load(Ordering::Relaxed);
                    if time_of(times, column) < oldest {
                        continue;
                    }
                    any = true;
                    let span = self.layout.span(column);
                    let row = &image[shape.row..];
                    copy(row, span.offset, span.len, out);
                    if span.count != 0 {
                        copy(row, span.count, 2, out);
                    }
                }
            }
            any
        });
        read.unwrap_or_else(|| {
            out.copy_from_slice(base);
            false
        })
    }
}

/// A column's time in the word that holds it and its neighbour's.
fn time_of(word: u64, column: usize) -> u32 {
    (word >> (32 * (column % 2))) as u32
}

/// Copies bytes of a row stored in words to the same place of `out`.
fn copy(row: &[slots::Word], offset: usize, len: usize, out: &mut [u8]) {
    let (mut at, end) = (offset, offset + len);
    while at < end {
        let stop = (at / 8 * 8 + 8).min(end);
        let bytes = row[at / 8].load(Ordering::Relaxed).to_ne_bytes();
        out[at..stop].copy_from_slice(&bytes[at % 8..][..stop - at]);
        at = stop;
    }
}
