//! Values of tables for training and packing: the same code that serves, row by row.

use super::planned::NO_CELL;
use super::rows::TableRows;
use super::table_plan::{Keys, TablePlan};
use crate::error::Result;
use crate::schema::{Enrichment, Schema};
use crate::table::TableSource;

/// The number of rows that are looked up together.
const BATCH: usize = 1024;

/// A raw value that a feature takes from a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TableValue {
    /// The feature's number in the schema.
    pub feature: u32,
    /// The number, or that of a vector's position; 1 for an id.
    pub number: f32,
    /// The id, or the position in a vector.
    pub id: u64,
}

/// Reads the raw values that features take from tables.
///
/// Passing these values gives the same inputs, bit for bit, as serving from the tables. A value that a logged row
/// carries takes precedence: skip those of a feature whose input was logged.
#[derive(Debug)]
pub struct TableReader {
    tables: TablePlan,
    rows: TableRows,
    /// The features that read a table and their cells, in the schema's order.
    cells: Vec<(u32, u32)>,
    /// For each table, the number of rows whose key it had.
    found: Vec<u64>,
}

impl TableReader {
    /// Compiles a model's reads from these tables.
    ///
    /// # Errors
    /// As [`TablePlan::compile`]; `InvalidArgument` when the enrichment is not valid for the schema.
    pub fn new(schema: &Schema, enrichment: &Enrichment, tables: &[TableSource]) -> Result<Self> {
        enrichment.validate(schema)?;
        let tables = TablePlan::compile(schema, enrichment, tables)?.unshared();
        let cells = (0..schema.features.len())
            .map(|feature| (feature as u32, tables.cell_of(feature)))
            .filter(|(_, cell)| *cell != NO_CELL)
            .collect();
        let rows = TableRows::new(tables.len(), tables.row_bytes(), BATCH)?;
        let found = vec![0; tables.len()];
        Ok(Self { tables, rows, cells, found })
    }

    /// Calls `each` with the index of a row in `keys` and a value. Calls follow the order of the rows, then of the features
    /// in the schema, then of the ids of a cell (weight 1) or the positions of a vector. A feature without a call has no
    /// value there: its own default counts.
    pub fn read(&mut self, keys: &[Keys], mut each: impl FnMut(usize, TableValue)) {
        for (batch, keys) in keys.chunks(BATCH).enumerate() {
            self.tables.find(&mut self.rows, 0, keys.len(), |i| keys.get(i).copied().unwrap_or_default());
            for (table, found) in self.found.iter_mut().enumerate() {
                *found += (0..keys.len()).filter(|&i| self.rows.has_row(table, i)).count() as u64;
            }
            for i in 0..keys.len() {
                self.tables.select(&mut self.rows, i);
                for &(feature, cell) in &self.cells {
                    self.tables.read(cell, &self.rows, i, |number, id| {
                        each(batch * BATCH + i, TableValue { feature, number, id });
                    });
                }
            }
        }
    }

    /// For each table of the enrichment, how many of the rows read so far have keys that the table has. The others took
    /// its default row.
    #[must_use]
    pub fn found(&self) -> &[u64] {
        &self.found
    }
}
