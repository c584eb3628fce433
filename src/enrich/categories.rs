//! Features that read one embedding row each. The rows of a tile's candidates are found and prefetched first and read
//! afterwards, so that a candidate does not wait for memory in turn with the others.

use std::ops::Range;

use super::planned::{FeatureCell, NO_CELL};
use super::raw::{Raw, add_wide};
use super::table_plan::TablePlan;
use super::{category_row, rows::TableRows};
use crate::artifact::model::{Model, Piece, prefetch_values};
use crate::schema::{Feature, Index, Kind};
use crate::table::IdAt;

/// An embedding row as it was found. An embedding has fewer than 2^31 rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found(u32);

/// The bit of a row that stands for a missing or unknown value.
const MISSING: u32 = 1 << 31;
/// No row.
const NO_ROW: u32 = MISSING - 1;

impl Found {
    /// Nothing was passed so far. A value always differs: without a row it is missing.
    pub(super) const UNSEEN: Self = Self(NO_ROW);

    fn new((row, missing): (Option<u32>, bool)) -> Self {
        Self(row.unwrap_or(NO_ROW) | if missing { MISSING } else { 0 })
    }

    fn or_missing(self, missing: bool) -> Self {
        Self(self.0 | if missing { MISSING } else { 0 })
    }

    #[inline(always)]
    pub(super) fn is_missing(self) -> u32 {
        self.0 >> 31
    }

    /// The row, if there is one.
    #[inline(always)]
    pub(crate) fn row(self) -> Option<u32> {
        Some(self.0 & !MISSING).filter(|&row| row != NO_ROW)
    }
}

/// A category feature of one side.
#[derive(Debug)]
pub(super) struct Category {
    pub(super) feature: u32,
    embedding: u32,
    /// Its first column in the rows of its side.
    column: u32,
    dim: u32,
    /// Where its table's rows begin.
    rows: usize,
    /// Whether the table has wide weights.
    wide: bool,
    /// The number of ids that are rows as they are, and the row of the first.
    identity: Option<(u32, u32)>,
    /// The row of an unknown id.
    unknown: Found,
    cell: u32,
    /// The id in a row of a table, where that is all that the cell has; with the table, and the default row's id.
    id: Option<(usize, IdAt, Option<u64>)>,
    /// See [`Kind::Category`].
    boundaries: Box<[f32]>,
    /// The row of a missing value.
    otherwise: Found,
    /// The row that is always served, for a position.
    fixed: Option<Found>,
}

impl Category {
    /// Compiles a feature; none for other kinds.
    pub(super) fn new(model: &Model, tables: &TablePlan, feature: usize, of: &Feature, column: usize) -> Option<Self> {
        let Kind::Category { embedding, ref boundaries, default } = of.kind else { return None };
        let row = |raw| Found::new(category_row(model, embedding, boundaries, default, raw));
        let id = match tables.cell(feature) {
            Some(&FeatureCell::Ids(place)) => {
                let (layout, default) = tables.layout(place.table);
                layout.id_at(place.column).map(|at| (place.table, at, at.read(default)))
            }
            _ => None,
        };
        let table = &model.schema().embeddings[embedding as usize];
        Some(Self {
            feature: feature as u32,
            embedding,
            column: column as u32,
            dim: table.dim,
            rows: model.embedding_start(embedding),
            wide: table.wide,
            identity: match table.index {
                Index::Identity { count } if boundaries.is_empty() => Some((count, table.first_row())),
                _ => None,
            },
            unknown: Found::new((table.unknown(), true)),
            cell: tables.cell_of(feature),
            id,
            boundaries: boundaries.clone().into(),
            otherwise: row(None),
            // Served with the position that the schema fixes; the value passed is ignored.
            fixed: of.position.map(|p| row(Some((p, p as u64)))),
        })
    }

    /// Whether its ids are searched for in memory.
    pub(super) fn searches(&self, model: &Model) -> bool {
        self.boundaries.is_empty()
            && matches!(model.schema().embeddings[self.embedding as usize].index, Index::Vocabulary { .. })
    }

    /// The row of a value.
    #[inline(always)]
    pub(super) fn find(&self, model: &Model, (number, id): (f32, u64)) -> Found {
        match self.identity {
            Some((count, first)) if id < u64::from(count) => Found(first + id as u32),
            Some(_) => self.unknown,
            None => self.search(model, (number, id)),
        }
    }

    #[inline(never)]
    fn search(&self, model: &Model, (number, id): (f32, u64)) -> Found {
        if self.boundaries.is_empty() {
            let (row, known) = model.row(self.embedding, id);
            return Found::new((row, !known));
        }
        Found::new(category_row(model, self.embedding, &self.boundaries, None, Some((number, id))))
    }

    /// The row of a feature for which nothing was passed: its position's, its cell's, or that of a missing value.
    #[inline]
    pub(super) fn not_passed(&self, model: &Model, (tables, rows): (&TablePlan, &TableRows), i: usize) -> Found {
        if let Some(fixed) = self.fixed {
            return fixed;
        }
        if let Some((table, at, default)) = self.id {
            let own = tables.row(rows, table, i).and_then(|row| at.read(row));
            return match own.or(default) {
                Some(id) => self.find(model, (1.0, id)).or_missing(own.is_none()),
                None => self.otherwise,
            };
        }
        if self.cell == NO_CELL {
            return self.otherwise;
        }
        let mut raw = Raw::default();
        let taken = tables.read(self.cell, rows, i, |number, id| raw = Raw::one(number, id));
        if raw.seen == 0 {
            return self.otherwise;
        }
        self.find(model, (raw.number, raw.id)).or_missing(!taken.is_own())
    }

    /// Prefetches the first place where the search for an id looks.
    #[inline]
    pub(super) fn prefetch_search(&self, model: &Model, id: u64) {
        if self.boundaries.is_empty() {
            model.prefetch_search(self.embedding, id);
        }
    }

    /// The same for the id of its cell.
    #[inline]
    pub(super) fn prefetch_cell(&self, model: &Model, (tables, rows): (&TablePlan, &TableRows), i: usize) {
        if let Some((table, at, _)) = self.id
            && let Some(id) = tables.row(rows, table, i).and_then(|row| at.read(row))
        {
            self.prefetch_search(model, id);
        }
    }

    /// Prefetches a row. `values`: the section `embedding`.
    #[inline(always)]
    pub(super) fn prefetch(&self, model: &Model, values: &[u16], found: Found) {
        if let Some(row) = found.row() {
            prefetch_values(values, self.rows + row as usize * self.dim as usize, self.dim as usize);
            if self.wide {
                model.prefetch_wide(self.embedding, row);
            }
        }
    }

    /// Adds its wide weights. Its row and columns, if there is a row.
    #[inline(always)]
    pub(super) fn read(&self, model: &Model, found: Found, wide: &mut [f32]) -> Option<Piece> {
        let row = found.row()?;
        if self.wide {
            add_wide(wide, model.wide_row(self.embedding, row), 1.0);
        }
        Some(Piece { from: self.rows + row as usize * self.dim as usize, to: self.column, len: self.dim })
    }

    /// Its columns on its side.
    #[inline(always)]
    pub(super) fn columns(&self) -> Range<usize> {
        self.column as usize..(self.column + self.dim) as usize
    }
}
