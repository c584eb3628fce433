//! Embedding rows, wide weights and vocabularies: the position of each table, and finding the row of an id.
//!
//! A vocabulary is an open-addressing index: `slots` (a power of two, at least twice the ids) entries of 16 bytes
//! `{ u64 id, u32 row, u32 used }`. An id's search begins at slot `mix(id) >> (64 - log2 slots)` and goes on to the
//! next slot, wrapping, until it meets the id or an unused slot, [`MAX_STEPS`] slots at most. Ids are inserted in row
//! order, so the bytes are determined by the vocabulary.

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};
use crate::hash::mix;
use crate::prefetch::prefetch;
use crate::schema::{Embedding, Index, Schema};

/// Tables begin at multiples of 32 fp16 values: 64 bytes.
pub(super) const TABLE_ALIGN: u64 = 32;

/// The most slots that a search may look at. With half of the slots unused, 2^31 ids that were not chosen to collide
/// need about 120.
const MAX_STEPS: usize = 512;

/// One slot of a vocabulary index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Slot {
    id: u64,
    row: u32,
    used: u32,
}

/// The position of one table in its sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EmbeddingPlace {
    /// First fp16 value in `embedding`.
    pub(super) rows: usize,
    /// First fp16 value in `wide`.
    pub(super) wide: usize,
    /// First slot in `vocabulary`.
    pub(super) slots: usize,
    /// Slots of its vocabulary; 0 when the index is of another kind.
    pub(super) slot_count: usize,
}

/// The positions of all tables, which follow from the schema alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct EmbeddingPlaces {
    pub(super) tables: Vec<EmbeddingPlace>,
    /// fp16 values of `embedding`.
    pub(super) embedding: u64,
    /// fp16 values of `wide`.
    pub(super) wide: u64,
    /// Slots of `vocabulary`.
    pub(super) slots: u64,
}

impl EmbeddingPlaces {
    pub(super) fn of(schema: &Schema, heads: usize) -> Self {
        let mut places = Self::default();
        for e in &schema.embeddings {
            let slot_count = slot_count(e);
            places.tables.push(EmbeddingPlace {
                rows: places.embedding as usize,
                wide: places.wide as usize,
                slots: places.slots as usize,
                slot_count,
            });
            places.embedding += (e.rows() * u64::from(e.dim)).next_multiple_of(TABLE_ALIGN);
            if e.wide {
                places.wide += (e.rows() * heads as u64).next_multiple_of(TABLE_ALIGN);
            }
            places.slots += slot_count as u64;
        }
        places
    }
}

fn slot_count(e: &Embedding) -> usize {
    match e.index {
        Index::Vocabulary { count } => (count as usize * 2).next_power_of_two().max(8),
        Index::Identity { .. } | Index::Hashed { .. } => 0,
    }
}

fn first_slot(id: u64, slot_count: usize) -> usize {
    (mix(id) >> (64 - slot_count.trailing_zeros())) as usize
}

/// The slots of a table's vocabulary; none when the index is of another kind.
#[cfg(feature = "builder")]
pub(super) fn vocabulary_index(e: &Embedding, ids: &[u64]) -> Result<Vec<Slot>> {
    let expected = match e.index {
        Index::Vocabulary { count } => count as usize,
        Index::Identity { .. } | Index::Hashed { .. } => 0,
    };
    if ids.len() != expected {
        let (name, n) = (&e.name, ids.len());
        return Err(Error::argument(format!("embedding `{name}`: expected {expected} vocabulary ids, found {n}")));
    }
    let mut slots = vec![Slot::zeroed(); slot_count(e)];
    for (i, &id) in ids.iter().enumerate() {
        let fail = |what: &str| Err(Error::argument(format!("embedding `{}`: id {id:#018x} {what}", e.name)));
        let mut at = first_slot(id, slots.len());
        let mut steps = 1;
        while slots[at].used != 0 {
            if slots[at].id == id {
                return fail("is in the vocabulary twice");
            }
            if steps == MAX_STEPS {
                return fail("collides with too many others of the vocabulary: leave it out");
            }
            at = (at + 1) & (slots.len() - 1);
            steps += 1;
        }
        slots[at] = Slot { id, row: e.first_row() + i as u32, used: 1 };
    }
    Ok(slots)
}

/// An embedding row, and the columns that it goes to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Piece {
    /// The first of its values in the section `embedding`.
    pub(crate) from: usize,
    /// Its first column.
    pub(crate) to: u32,
    pub(crate) len: u32,
}

/// The lookup data of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lookup {
    pub(super) place: EmbeddingPlace,
    index: Index,
    first_row: u32,
    unknown: Option<u32>,
    /// fp16 values of a row.
    pub(super) dim: usize,
    pub(super) wide: bool,
    /// The most slots that the search for an id of the vocabulary looks at. It bounds every search.
    steps: usize,
}

impl Lookup {
    /// Checks the table's slots: each row has one id, and each id is found in its slot by its own search.
    pub(super) fn check(e: &Embedding, place: EmbeddingPlace, all: &[Slot]) -> Result<Self> {
        let slots = &all[place.slots..place.slots + place.slot_count];
        let count = if slots.is_empty() { 0 } else { e.index.count() };
        let mut has_id = vec![false; count as usize];
        let mut lookup = Self {
            place,
            index: e.index,
            first_row: e.first_row(),
            unknown: e.unknown(),
            dim: e.dim as usize,
            wide: e.wide,
            steps: 0,
        };
        let fail = |at: usize, what: String| {
            let offset = (place.slots + at) * size_of::<Slot>();
            Err(Error::corrupt(format!("section `vocabulary`, offset {offset}, embedding `{}`: {what}", e.name)))
        };
        for (at, slot) in slots.iter().enumerate() {
            match slot.used {
                0 if (slot.id, slot.row) == (0, 0) => continue,
                1 => {}
                other => return fail(at, format!("slot marked {other}, expected 0 (empty and zero) or 1")),
            }
            let Some(has_id) = slot.row.checked_sub(e.first_row()).and_then(|i| has_id.get_mut(i as usize)) else {
                return fail(at, format!("row {}; ids have the rows {} to {}", slot.row, e.first_row(), e.rows() - 1));
            };
            if std::mem::replace(has_id, true) {
                return fail(at, format!("row {} has two ids", slot.row));
            }
            if find(slot.id, slots, MAX_STEPS) != Some(at) {
                return fail(at, format!("id {:#018x} is not found by its own search", slot.id));
            }
            let way = (at + slots.len() - first_slot(slot.id, slots.len())) % slots.len();
            lookup.steps = lookup.steps.max(way + 1);
        }
        if let Some(i) = has_id.iter().position(|has| !has) {
            return fail(0, format!("row {} has no id", u64::from(e.first_row()) + i as u64));
        }
        Ok(lookup)
    }

    /// The row of an id, and whether the index knew it. `None` when it is unknown and the table has no row for that.
    #[inline]
    pub(super) fn row(&self, id: u64, all: &[Slot]) -> (Option<u32>, bool) {
        let known = self.index.row(id, self.first_row, |id| {
            let slots = &all[self.place.slots..][..self.place.slot_count];
            find(id, slots, self.steps).map(|at| slots[at].row)
        });
        (known.or(self.unknown), known.is_some())
    }

    /// Prefetches the slot where the search for an id begins; nothing for an index that does not search.
    #[inline]
    pub(super) fn prefetch(&self, id: u64, all: &[Slot]) {
        if self.place.slot_count > 0 {
            prefetch(all, self.place.slots + first_slot(id, self.place.slot_count));
        }
    }

    /// The ids of the vocabulary in row order.
    #[cfg(feature = "builder")]
    pub(super) fn ids(&self, all: &[Slot]) -> Vec<u64> {
        let mut used: Vec<&Slot> =
            all[self.place.slots..][..self.place.slot_count].iter().filter(|slot| slot.used != 0).collect();
        used.sort_unstable_by_key(|slot| slot.row);
        used.into_iter().map(|slot| slot.id).collect()
    }
}

/// The slot of an id, looking at `steps` slots at most.
fn find(id: u64, slots: &[Slot], steps: usize) -> Option<usize> {
    let mut at = first_slot(id, slots.len());
    for _ in 0..steps {
        let slot = &slots[at];
        if slot.used == 0 {
            return None;
        }
        if slot.id == id {
            return Some(at);
        }
        at = (at + 1) & (slots.len() - 1);
    }
    None
}
