//! Numbers and vectors that go from a table's row into their columns and nowhere else. Everything that does not depend
//! on the row is found when a generation is staged, so a candidate takes one pass over its rows.

use std::ops::Range;

use super::number_input;
use super::planned::FeatureCell;
use super::raw::Counts;
use super::rows::TableRows;
use super::similarity::{is_finite, widen};
use super::table_plan::TablePlan;
use crate::schema::{Feature, Kind, Transform};
use crate::table::NumberAt;

/// The direct reads of one side of a model, grouped by table.
#[derive(Debug, Default)]
pub(super) struct Direct {
    tables: Vec<OfTable>,
}

#[derive(Debug)]
struct OfTable {
    table: usize,
    numbers: Vec<Number>,
    vectors: Vec<Vector>,
}

#[derive(Debug)]
struct Number {
    feature: u32,
    column: u32,
    at: NumberAt,
    transform: Transform,
    /// The input when the row lacks the number: from the default row, or else from the feature's own default.
    otherwise: f32,
}

#[derive(Debug)]
struct Vector {
    feature: u32,
    column: u32,
    /// The vector's bytes in a row.
    bytes: Range<usize>,
    /// The default row's vector, or else zeros.
    otherwise: Box<[f32]>,
}

impl Direct {
    /// Takes over a feature whose columns begin at `column`, if it qualifies.
    pub(super) fn add(&mut self, tables: &TablePlan, feature: usize, of: &Feature, column: usize) -> bool {
        let Some(cell) = tables.cell(feature).filter(|_| of.position.is_none()) else { return false };
        let (feature, column) = (feature as u32, column as u32);
        match (&of.kind, cell) {
            (&Kind::Number { transform, .. }, &FeatureCell::Number { place, position }) => {
                let (layout, default) = tables.layout(place.table);
                let Some(at) = layout.number_at(place.column, position) else { return false };
                let otherwise = number_input(&of.kind, at.read(default));
                let numbers = &mut self.of(place.table).numbers;
                numbers.push(Number { feature, column, at, transform, otherwise });
                // Grouped by kind, which makes branches predictable.
                numbers.sort_by_key(|n| (n.transform.log1p, n.at));
            }
            (&Kind::Vector { dim }, &FeatureCell::Vector(place)) => {
                let (layout, default) = tables.layout(place.table);
                let span = layout.span(place.column);
                let bytes = span.offset..span.offset + span.len;
                let mut otherwise = vec![0.0; dim as usize].into_boxed_slice();
                if is_finite(&default[bytes.clone()]) {
                    widen(&default[bytes.clone()], &mut otherwise);
                }
                self.of(place.table).vectors.push(Vector { feature, column, bytes, otherwise });
            }
            _ => return false,
        }
        true
    }

    fn of(&mut self, table: usize) -> &mut OfTable {
        let at = self.tables.iter().position(|t| t.table == table).unwrap_or_else(|| {
            self.tables.push(OfTable { table, numbers: Vec::new(), vectors: Vec::new() });
            self.tables.len() - 1
        });
        &mut self.tables[at]
    }

    /// Writes the columns of candidate `i`, except those of features whose values were passed.
    #[inline(always)]
    pub(super) fn read(
        &self,
        (tables, rows): (&TablePlan, &TableRows),
        i: usize,
        passed: impl Fn(u32) -> bool,
        x: &mut [f32],
        counts: &mut Counts,
    ) {
        for OfTable { table, numbers, vectors } in &self.tables {
            let row = tables.row(rows, *table, i);
            for n in numbers.iter().filter(|n| !passed(n.feature)) {
                x[n.column as usize] = match row.and_then(|row| n.at.read(row)) {
                    Some(number) => n.transform.apply(number),
                    None => {
                        counts.missing += 1;
                        n.otherwise
                    }
                };
            }
            for v in vectors.iter().filter(|v| !passed(v.feature)) {
                let x = &mut x[v.column as usize..][..v.otherwise.len()];
                match row.map(|row| &row[v.bytes.clone()]).filter(|bytes| is_finite(bytes)) {
                    Some(bytes) => _ = widen(bytes, x),
                    None => {
                        counts.missing += 1;
                        x.copy_from_slice(&v.otherwise);
                    }
                }
            }
        }
    }
}
