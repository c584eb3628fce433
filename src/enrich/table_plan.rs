//! A model's reads from tables, compiled against the available ones: which keys are looked up in which order, and which
//! cell gives which feature its values.

use std::sync::Arc;

use super::fit::Fit;
use super::planned::{FeatureCell, NO_CELL, Part, PlannedTable, TableColumn, Taken};
use super::rows::TableRows;
use super::similarity::{CHUNK, is_finite, similarity, widen};
use crate::error::Result;
use crate::hash::composite_key;
use crate::schema::{Enrichment, KeyPart, MAX_KEY_PARTS, Schema, Side};
use crate::table::{RowLayout, TableSource};

/// The ids that row keys are made of; 0 = unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keys {
    /// The request's `user_key`.
    pub user: u64,
    /// The request's `placement`.
    pub placement: u64,
    /// The candidate's `ad_key`.
    pub ad: u64,
    /// The candidate's `advertiser_key`.
    pub advertiser: u64,
}

/// The compiled plan. Immutable, shared by all scorers; empty for a model that reads no table.
#[derive(Debug, Default)]
pub struct TablePlan {
    tables: Vec<PlannedTable>,
    /// Table numbers in the order of their lookups: the request's first, and a key's columns before the key.
    order: Vec<usize>,
    cells: Vec<FeatureCell>,
    /// For each feature, its cell or [`NO_CELL`]; empty when there is no table.
    of_feature: Vec<u32>,
}

impl TablePlan {
    /// Compiles a model's reads against the available tables, ignoring tables that it does not read. The enrichment
    /// must be valid for the schema, as a model file's is (see [`Enrichment::validate`]).
    ///
    /// # Errors
    /// `Unsupported` when a table or column does not exist or a feature cannot read it; the message names the feature,
    /// the column and the file.
    pub fn compile(schema: &Schema, enrichment: &Enrichment, all: &[TableSource]) -> Result<Self> {
        if enrichment.is_empty() {
            return Ok(Self::default());
        }
        let fit = Fit::new(enrichment, all)?;
        let mut tables = Vec::with_capacity(enrichment.tables.len());
        let mut merged = 0;
        for (number, (used, source)) in enrichment.tables.iter().zip(&fit.sources).enumerate() {
            let part = |part: &KeyPart| {
                Ok(match part {
                    KeyPart::User => Part::User,
                    KeyPart::Ad => Part::Ad,
                    KeyPart::Advertiser => Part::Advertiser,
                    KeyPart::Placement => Part::Placement,
                    KeyPart::Column(column) => Part::Column(fit.key(&used.name, column)?),
                })
            };
            let layout = Arc::clone(source.set.layout());
            tables.push(PlannedTable {
                set: Arc::clone(&source.set),
                overrides: source.overrides.clone(),
                key: used.key.iter().map(part).collect::<Result<_>>()?,
                shared: enrichment.side(number) == Side::Request,
                missing: layout.missing(),
                merged,
                layout,
            });
            merged += source.set.layout().width();
        }
        let mut order: Vec<usize> = (0..tables.len()).collect();
        let late = |t: &usize| tables[*t].key.iter().any(|part| matches!(part, Part::Column(_)));
        order.sort_by_key(|t| (!tables[*t].shared, late(t)));
        let mut of_feature = vec![NO_CELL; schema.features.len()];
        let mut cells = Vec::with_capacity(enrichment.bindings.len());
        for binding in &enrichment.bindings {
            let feature = &schema.features[binding.feature as usize];
            of_feature[binding.feature as usize] = cells.len() as u32;
            cells.push(fit.cell(feature, &binding.lookup)?);
        }
        Ok(Self { tables, order, cells, of_feature })
    }

    /// The same with a separate row for each candidate in every table, as if each were a request.
    #[cfg(feature = "builder")]
    pub(super) fn unshared(mut self) -> Self {
        self.tables.iter_mut().for_each(|t| t.shared = false);
        self
    }

    /// Whether it reads no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The number of tables it reads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|t| t.set.name())
    }

    /// The size of one row of each table, in bytes, added up.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.tables.iter().map(|t| t.layout.width()).sum()
    }

    /// The cell that a feature reads.
    pub(super) fn cell_of(&self, feature: usize) -> u32 {
        self.of_feature.get(feature).copied().unwrap_or(NO_CELL)
    }

    /// The plan of that cell, if there is one.
    pub(super) fn cell(&self, feature: usize) -> Option<&FeatureCell> {
        self.cells.get(self.cell_of(feature) as usize)
    }

    /// A table's columns and its default row.
    pub(super) fn layout(&self, table: usize) -> (&RowLayout, &[u8]) {
        let looked = &self.tables[table];
        (&looked.layout, looked.set.default_row())
    }

    /// A table's row for the selected candidate, if it has one.
    #[inline]
    pub(super) fn row<'a>(&'a self, rows: &'a TableRows, table: usize, i: usize) -> Option<&'a [u8]> {
        rows.row(&self.tables[table], table, i)
    }

    /// Finds the rows of `n` candidates at `now_us`, table by table, each in one batch. `keys` gives a candidate's ids.
    /// Number 0 also gives the request's ids and is asked for even when there is no candidate.
    pub(super) fn find(&self, rows: &mut TableRows, now_us: i64, n: usize, keys: impl Fn(usize) -> Keys) {
        rows.begin(now_us);
        for &table in &self.order {
            let looked = &self.tables[table];
            let n = if looked.shared { 1 } else { n };
            for i in 0..n {
                let ids = keys(i);
                let mut key = [0; MAX_KEY_PARTS];
                for (id, part) in key.iter_mut().zip(&looked.key) {
                    *id = match part {
                        Part::User => ids.user,
                        Part::Placement => ids.placement,
                        Part::Ad => ids.ad,
                        Part::Advertiser => ids.advertiser,
                        Part::Column(place) => self.id(rows, *place, i),
                    };
                }
                rows.put_key(table, i, composite_key(&key[..looked.key.len()]));
            }
            rows.look_up(looked, table, n);
        }
    }

    /// Selects candidate `i`, whose rows are then read.
    #[inline]
    pub(super) fn select(&self, rows: &mut TableRows, i: usize) {
        rows.select(&self.tables, i);
    }

    /// The values of a cell for the selected candidate, each as (number, id): a number; the ids with weight 1; the
    /// number of each position.
    #[inline]
    pub(super) fn read(&self, cell: u32, rows: &TableRows, i: usize, mut take: impl FnMut(f32, u64)) -> Taken {
        match self.cells[cell as usize] {
            FeatureCell::Number { place, position } => {
                let get = |layout: &RowLayout, row: &[u8]| layout.number(row, place.column, position);
                let Some((number, taken)) = self.pick(rows, i, place, get) else { return Taken::Nothing };
                take(number, 0);
                taken
            }
            FeatureCell::Ids(place) => {
                let Some(((first, more), taken)) = self.pick(rows, i, place, |layout, row| {
                    let mut ids = layout.ids(row, place.column);
                    ids.next().map(|first| (first, ids))
                }) else {
                    return Taken::Nothing;
                };
                take(1.0, first);
                more.for_each(|id| take(1.0, id));
                taken
            }
            FeatureCell::Vector(place) => {
                let Some((bytes, taken)) = self.vector(rows, i, place) else { return Taken::Nothing };
                let mut wide = [0.0; CHUNK];
                for (chunk, bytes) in bytes.chunks(2 * CHUNK).enumerate() {
                    let n = widen(bytes, &mut wide);
                    for (k, &number) in wide[..n].iter().enumerate() {
                        take(number, (chunk * CHUNK + k) as u64);
                    }
                }
                taken
            }
            FeatureCell::Similarity { left, right, measure } => {
                let (Some((a, from_a)), Some((b, from_b))) = (self.vector(rows, i, left), self.vector(rows, i, right))
                else {
                    return Taken::Nothing;
                };
                let Some(number) = similarity(measure, a, b) else { return Taken::Nothing };
                take(number, 0);
                if from_a == Taken::Own { from_b } else { from_a }
            }
        }
    }

    /// A vector cell whose values are all finite. A file opened without checking its rows may hold others.
    fn vector<'a>(&'a self, rows: &'a TableRows, i: usize, place: TableColumn) -> Option<(&'a [u8], Taken)> {
        self.pick(rows, i, place, |layout, row| layout.vector(row, place.column).filter(|bytes| is_finite(bytes)))
    }

    /// The id of a cell that is part of a key; 0 when it has none.
    fn id(&self, rows: &mut TableRows, place: TableColumn, i: usize) -> u64 {
        rows.merge(&self.tables[place.table], place.table, i);
        self.pick(rows, i, place, |layout, row| layout.ids(row, place.column).next()).map_or(0, |(id, _)| id)
    }

    /// The contents of a cell in the key's row, or else in the default row.
    fn pick<'a, T>(
        &'a self,
        rows: &'a TableRows,
        i: usize,
        place: TableColumn,
        get: impl Fn(&'a RowLayout, &'a [u8]) -> Option<T>,
    ) -> Option<(T, Taken)> {
        let looked = &self.tables[place.table];
        if let Some(own) = self.row(rows, place.table, i).and_then(|row| get(&looked.layout, row)) {
            return Some((own, Taken::Own));
        }
        get(&looked.layout, looked.set.default_row()).map(|value| (value, Taken::Default))
    }
}
