//! An open table file. The rows stay mapped; `open.rs` has checked every count and offset.

use std::ops::Range;
use std::sync::Arc;

use super::columns::{Column, ColumnKind, RowLayout};
use super::index::{self, Index, MAX_PART_BITS, Shape};
use crate::artifact::Bytes;
use crate::artifact::container::Section;
use crate::error::Result;
use crate::prefetch::prefetch;
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

/// The names of the sections, in file order.
pub(super) mod section {
    pub(in crate::table) const ROWS: &str = "rows";
    pub(in crate::table) const TABLE: &str = "table";
    pub(in crate::table) const DEFAULT: &str = "default";
    pub(in crate::table) const PILOTS: &str = "pilots";
    pub(in crate::table) const PROVENANCE: &str = "provenance";
    pub(in crate::table) const ALL: [&str; 5] = [ROWS, TABLE, DEFAULT, PILOTS, PROVENANCE];
}

/// Bytes of the key in front of each row.
pub(super) const KEY: usize = 8;
/// A slot up to this size is rounded up to a power of two, so that it never straddles two cache lines.
const LINE: usize = 64;
/// The number of lines that a lookup prefetches; the rest of longer rows is loaded when read.
const LINES_AHEAD: usize = 8;

/// The part of the keys that a table file holds; see [`crate::hash::shard`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// The number of all shards; 1 = the file holds the whole table.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, count: 1 }
    }
}

/// The distance between slots in bytes.
pub(super) fn stride(width: usize) -> usize {
    let slot = KEY + width;
    if slot <= LINE { slot.next_power_of_two() } else { slot }
}

/// The content of the section `table`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) layout: RowLayout,
    pub(super) rows: u64,
    pub(super) built_us: i64,
    pub(super) fresh_for_s: u64,
    pub(super) shard: Shard,
    pub(super) seed: u64,
    pub(super) shape: Shape,
}

const KINDS: [&str; 5] = ["f32", "f16", "vector", "u32", "u64"];

impl Head {
    #[cfg(feature = "builder")]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.text(&self.name);
        w.u32(self.layout.columns().len() as u32);
        for c in self.layout.columns() {
            w.text(&c.name);
            w.u8(match c.kind {
                ColumnKind::F32 => 0,
                ColumnKind::F16 => 1,
                ColumnKind::Vector { .. } => 2,
                ColumnKind::U32 { .. } => 3,
                ColumnKind::U64 { .. } => 4,
            });
            w.u16(c.kind.entries() as u16);
        }
        w.u64(self.rows);
        w.i64(self.built_us);
        w.u64(self.fresh_for_s);
        w.u32(self.shard.index);
        w.u32(self.shard.count);
        w.u64(self.seed);
        w.u32(self.shape.part_bits);
        w.u32(self.shape.slots);
        w.u32(self.shape.buckets);
        w.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(section::TABLE, bytes);
        let name = r.text()?.to_owned();
        crate::schema::check_name("table", &name).map_err(|e| r.error(e))?;
        let mut columns = Vec::new();
        for _ in 0..r.count("columns", 5)? {
            columns.push(decode_column(&mut r)?);
        }
        let layout = RowLayout::new(columns).map_err(|e| r.error(e))?;
        let rows = r.u64()?;
        let (built_us, fresh_for_s) = (r.i64()?, r.u64()?);
        let shard = Shard { index: r.u32()?, count: r.u32()? };
        if shard.index >= shard.count {
            return Err(r.error(format_args!("shard {} of {}, expected a number below", shard.index, shard.count)));
        }
        let seed = r.u64()?;
        let part_bits = r.u32()?;
        if part_bits > MAX_PART_BITS {
            return Err(r.error(format_args!("{part_bits} bits choose the part, expected at most {MAX_PART_BITS}")));
        }
        let most = index::most(part_bits);
        let mut size = |what: &str| match r.u32()? {
            n if n == 0 || u64::from(n) > most => {
                Err(r.error(format_args!("{n} {what} in each part, expected 1 to {most}")))
            }
            n => Ok(n),
        };
        let shape = Shape { part_bits, slots: size("slots")?, buckets: size("buckets")? };
        r.end()?;
        Ok(Self { name, layout, rows, built_us, fresh_for_s, shard, seed, shape })
    }
}

fn decode_column(r: &mut Reader<'_>) -> Result<Column> {
    let name = r.text()?.to_owned();
    let kind = r.u8()?;
    if usize::from(kind) >= KINDS.len() {
        return Err(r.error(format_args!("column `{name}` has type {kind}, known are 0 to {}", KINDS.len() - 1)));
    }
    let n = r.u16()?;
    let kind = match kind {
        0 | 1 if n != 1 => {
            return Err(
                r.error(format_args!("column `{name}` ({}) has {n} values, expected 1", KINDS[usize::from(kind)]))
            );
        }
        0 => ColumnKind::F32,
        1 => ColumnKind::F16,
        2 => ColumnKind::Vector { dim: n },
        3 => ColumnKind::U32 { cap: n },
        _ => ColumnKind::U64 { cap: n },
    };
    Ok(Column { name, kind })
}

/// An open table file: one table, or one shard of it.
#[derive(Debug)]
pub struct Table {
    pub(super) bytes: Bytes,
    pub(super) head: Head,
    pub(super) layout: Arc<RowLayout>,
    pub(super) index: Index,
    pub(super) stride: usize,
    pub(super) slots: u64,
    pub(super) rows: Range<usize>,
    pub(super) pilots: Range<usize>,
    pub(super) default: Range<usize>,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    pub(super) provenance: String,
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "checked by all, read by builders"))]
    pub(super) sections: Vec<Section>,
}

impl Table {
    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// Its columns and the positions of their cells.
    #[must_use]
    pub fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    /// How new its data is: microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn built_us(&self) -> i64 {
        self.head.built_us
    }

    /// The number of seconds after that for which it counts as fresh; 0 = no limit.
    #[must_use]
    pub fn fresh_for_s(&self) -> u64 {
        self.head.fresh_for_s
    }

    /// The part of the table's keys that this file holds.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.head.shard
    }

    /// Its rows.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.head.rows
    }

    /// Whether it has no row.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn is_empty(&self) -> bool {
        self.head.rows == 0
    }

    /// Places for rows; about one in 32 is free.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The distance between slots in bytes.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The row of keys that the table does not have.
    #[must_use]
    pub fn default_row(&self) -> &[u8] {
        &self.bytes[self.default.clone()]
    }

    /// The table's provenance: a TOML text, or nothing.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn provenance(&self) -> &str {
        &self.provenance
    }

    /// The file's sections.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The row of a key, without the key: [`RowLayout::width`] bytes. For many keys [`super::TableSet`] is faster.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        let view = self.view();
        view.row_of(view.start_of(key), key)
    }

    /// All rows with their keys, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        (0..self.slots).map(|slot| (self.key(slot), self.row(slot))).filter(|(key, _)| *key != 0)
    }

    /// Asks the system to load the file, so that no request waits for it.
    #[cfg(feature = "builder")]
    pub fn prefault(&self) {
        self.bytes.prefault();
    }

    /// The parts that a lookup touches.
    #[inline]
    pub(super) fn view(&self) -> View<'_> {
        View {
            index: self.index,
            pilots: bytemuck::try_cast_slice(&self.bytes[self.pilots.clone()]).unwrap_or_default(),
            slots: &self.bytes[self.rows.clone()],
            stride: self.stride,
            width: self.layout.width(),
        }
    }

    /// The key of a slot below [`Table::slots`]; 0 when the slot is free.
    pub(super) fn key(&self, slot: u64) -> u64 {
        let start = self.rows.start + self.offset(slot);
        self.bytes[start..].first_chunk::<KEY>().map_or(0, |key| u64::from_le_bytes(*key))
    }

    /// The row in a slot below [`Table::slots`].
    pub(super) fn row(&self, slot: u64) -> &[u8] {
        let start = self.rows.start + self.offset(slot) + KEY;
        &self.bytes[start..start + self.layout.width()]
    }

    /// The row in the slot at this offset in the section `rows`, if there is one.
    #[inline]
    pub(super) fn row_at(&self, start: usize) -> Option<&[u8]> {
        self.bytes[self.rows.clone()].get(start + KEY..start + KEY + self.layout.width())
    }

    /// The bytes between a row and the next slot.
    pub(super) fn padding(&self, slot: u64) -> &[u8] {
        let start = self.rows.start + self.offset(slot);
        &self.bytes[start + KEY + self.layout.width()..start + self.stride]
    }

    /// The offset of a slot in the section `rows`.
    pub(super) fn offset(&self, slot: u64) -> usize {
        slot as usize * self.stride
    }
}

/// The parts of a table that a lookup touches.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    index: Index,
    pilots: &'a [u16],
    slots: &'a [u8],
    stride: usize,
    width: usize,
}

impl<'a> View<'a> {
    #[inline]
    pub(super) fn hash(self, key: u64) -> u64 {
        self.index.hash(key)
    }

    /// The index of a hash's pilot.
    #[inline]
    pub(super) fn pilot(self, hash: u64) -> usize {
        self.index.bucket(hash) as usize
    }

    #[inline]
    pub(super) fn prefetch_pilot(self, pilot: usize) {
        prefetch(self.pilots, pilot);
    }

    /// The offset in `slots` of the only slot where the key of this hash can be.
    #[inline]
    pub(super) fn start(self, hash: u64, pilot: usize) -> usize {
        // Every bucket has its pilot: the lengths were compared when the file was opened.
        self.index.slot(hash, self.pilots[pilot]) as usize * self.stride
    }

    /// The same, all at once.
    #[inline]
    pub(super) fn start_of(self, key: u64) -> usize {
        let hash = self.hash(key);
        self.start(hash, self.pilot(hash))
    }

    /// Prefetches the first line of the slot that begins there.
    #[inline]
    pub(super) fn prefetch_slot(self, start: usize) {
        prefetch(self.slots, start);
    }

    /// Whether a slot can have more lines than one.
    #[inline]
    pub(super) fn is_long(self) -> bool {
        self.stride > LINE
    }

    /// Prefetches the further lines of a long slot. It begins anywhere in its first line, so its last byte may be in
    /// one more.
    #[inline]
    pub(super) fn prefetch_rest(self, start: usize) {
        let end = self.stride.min(LINES_AHEAD * LINE);
        for at in (LINE..end).step_by(LINE) {
            prefetch(self.slots, start + at);
        }
        prefetch(self.slots, start + end - 1);
    }

    /// The row in the slot that begins there, if it belongs to the key. 0 is not a key: it marks free slots.
    #[inline]
    pub(super) fn row_of(self, start: usize, key: u64) -> Option<&'a [u8]> {
        let bytes = self.slots.get(start..start + KEY + self.width)?;
        let (found, row) = bytes.split_first_chunk::<KEY>()?;
        (u64::from_le_bytes(*found) == key && key != 0).then_some(row)
    }
}
