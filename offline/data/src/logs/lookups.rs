//! Looks up values that rows do not carry in tables, with serving's code.

use adclick::builder::enrich::{Keys, TableReader, TableValue};
use adclick::builder::schema::{Binding, Enrichment, Feature, Kind, Schema};
use adclick::builder::table::TableSource;
use anyhow::{Context, Result};
use serde::Serialize;

use super::{InputValue, LogColumns, RowBatch};

/// A model's reads from tables, and the tables.
#[derive(Debug, Clone)]
pub struct TableLookups {
    schema: Schema,
    enrichment: Enrichment,
    tables: Vec<TableSource>,
}

/// Where a feature's values are in a batch. A row has its value in at most one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// The number of the input that rows carry.
    pub passed: usize,
    /// The number given to values from a table.
    pub found: Option<usize>,
}

impl Reads {
    /// Whether a value belongs to the feature.
    #[inline]
    #[must_use]
    pub fn has(self, value: &InputValue) -> bool {
        let number = value.input as usize;
        number == self.passed || Some(number) == self.found
    }
}

/// How many rows found their key in a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableHits {
    /// The table.
    pub table: String,
    /// Rows that were looked up.
    pub rows: u64,
    /// Rows whose key the table has; the others get its default row.
    pub found: u64,
    /// The share of the others.
    pub missing: f64,
}

impl std::fmt::Display for TableHits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, rows, found, missing } = self;
        write!(f, "table {table}: {found} of {rows} rows found their key, {:.1}% took the default row", 100.0 * missing)
    }
}

impl TableLookups {
    /// Checks that the tables match what the features of `schema` read by `enrichment`.
    ///
    /// # Errors
    /// Names the feature, the column and the file.
    pub fn new(schema: &Schema, enrichment: &Enrichment, tables: Vec<TableSource>) -> Result<Self> {
        let lookups = Self { schema: schema.clone(), enrichment: enrichment.clone(), tables };
        lookups.reader()?;
        Ok(lookups)
    }

    /// The model's reads from the tables.
    #[must_use]
    pub fn enrichment(&self) -> &Enrichment {
        &self.enrichment
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> &[TableSource] {
        &self.tables
    }

    /// The number of the feature's binding, if it reads a table. A feature beyond those of the schema, which training
    /// adds, reads the same as the number with its input.
    pub(super) fn binding(&self, feature: usize, input: &str) -> Option<usize> {
        let features = &self.schema.features;
        let is_number = |f: &Feature| f.input == input && matches!(f.kind, Kind::Number { .. });
        self.enrichment.bindings.iter().position(|b| {
            let of = b.feature as usize;
            of == feature || feature >= features.len() && is_number(&features[of])
        })
    }

    /// The reads of a model with these features.
    #[must_use]
    pub fn enrichment_of(&self, features: &[Feature]) -> Enrichment {
        let mut enrichment = self.enrichment.clone();
        for (number, feature) in features.iter().enumerate().skip(self.schema.features.len()) {
            if let Some(binding) = self.binding(number, &feature.input) {
                let lookup = enrichment.bindings[binding].lookup.clone();
                enrichment.bindings.push(Binding { feature: number as u32, lookup });
            }
        }
        enrichment
    }

    fn reader(&self) -> Result<TableReader> {
        Ok(TableReader::new(&self.schema, &self.enrichment, &self.tables)?)
    }

    /// Prepares for rows of these columns.
    pub(super) fn start(&self, columns: &LogColumns) -> Result<Filler<'_>> {
        let mut places = vec![None; self.schema.features.len()];
        for (number, binding) in self.enrichment.bindings.iter().enumerate() {
            let feature = &self.schema.features[binding.feature as usize];
            let passed = columns.input(&feature.input).with_context(|| {
                format!("feature `{}`: the schema of the rows has no input `{}`", feature.name, feature.input)
            })?;
            places[binding.feature as usize] = Some((passed, (columns.inputs.len() + number) as u32));
        }
        Ok(Filler {
            lookups: self,
            reader: self.reader()?,
            places,
            carried: vec![false; columns.inputs.len()],
            keys: Vec::new(),
            read: Vec::new(),
            values: Vec::new(),
            rows: 0,
        })
    }
}

/// Fills batches.
pub(super) struct Filler<'a> {
    lookups: &'a TableLookups,
    reader: TableReader,
    /// For each feature that reads a table: its input, and the number given to values from the table.
    places: Vec<Option<(usize, u32)>>,
    /// The inputs that a row carries, while it is filled.
    carried: Vec<bool>,
    keys: Vec<Keys>,
    /// Values from the tables, each with the index of its row in the batch.
    read: Vec<(usize, TableValue)>,
    values: Vec<InputValue>,
    rows: u64,
}

impl Filler<'_> {
    /// Adds values from the tables to each row of a batch. A value that the row carries takes precedence, as in
    /// requests.
    pub(super) fn fill(&mut self, batch: &mut RowBatch) {
        self.keys.clear();
        self.keys.extend(batch.rows.iter().map(|row| row.keys));
        self.rows += self.keys.len() as u64;
        self.read.clear();
        let read = &mut self.read;
        self.reader.read(&self.keys, |row, value| read.push((row, value)));
        self.values.clear();
        let mut read = self.read.iter().peekable();
        for (i, row) in batch.rows.iter_mut().enumerate() {
            let start = self.values.len();
            self.carried.fill(false);
            for value in &batch.values[row.values.clone()] {
                self.carried[value.input as usize] = true;
                self.values.push(*value);
            }
            while let Some(&(_, TableValue { feature, number, id })) = read.next_if(|(at, _)| *at == i) {
                if let Some((passed, input)) = self.places[feature as usize]
                    && !self.carried[passed]
                {
                    self.values.push(InputValue { input, number, id });
                }
            }
            row.values = start..self.values.len();
        }
        std::mem::swap(&mut self.values, &mut batch.values);
    }

    /// How many rows found their keys so far.
    pub(super) fn found(&self) -> Vec<TableHits> {
        let tables = self.lookups.enrichment.tables.iter().zip(self.reader.found());
        let share = |found: u64| (self.rows - found) as f64 / self.rows.max(1) as f64;
        tables
            .map(|(t, &found)| TableHits { table: t.name.clone(), rows: self.rows, found, missing: share(found) })
            .collect()
    }
}
