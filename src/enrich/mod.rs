//! Raw values to model inputs: a value's columns are decided when a generation is staged, and filled once for the
//! request and once for each candidate. Training and packing use the same functions.
//!
//! A raw value is passed with the request or candidate, or read from a table ([`TablePlan`]); after that both are
//! treated alike. [`TableReader`] gives trainers the values from tables.

mod ads;
mod ahead;
mod assemble;
mod categories;
mod direct;
mod fed;
mod fit;
mod passed;
mod planned;
mod raw;
#[cfg(feature = "builder")]
mod reader;
mod resolved;
mod rows;
mod similarity;
mod table_plan;
mod time;

pub(crate) use ads::AdColumns;
pub use assemble::{Assembler, State};
pub use passed::Passed;
pub use raw::Counts;
#[cfg(feature = "builder")]
pub use reader::{TableReader, TableValue};
pub(crate) use rows::Lookups;
pub use rows::TableRows;
#[cfg(feature = "builder")]
pub use similarity::{dot, similarity};
#[cfg(feature = "builder")]
pub use table_plan::Keys;
pub use table_plan::TablePlan;
pub use time::TimeInputs;

use crate::artifact::model::Model;
use crate::schema::{Feature, Kind, Schema, Side, bucketise};

/// The serving columns of a feature.
pub(crate) fn embedding_columns(model: &Model, feature: usize) -> std::ops::Range<usize> {
    let columns = &model.layout().columns[feature];
    columns.serving..columns.serving + columns.width
}

/// A category feature's number among those of the candidate's side.
pub(crate) fn candidate_category(schema: &Schema, feature: usize) -> usize {
    let is_category = |f: &Feature| f.side() == Side::Candidate && matches!(f.kind, Kind::Category { .. });
    schema.features[..feature].iter().filter(|f| is_category(f)).count()
}

/// The row of its table that a category feature reads for a raw value (`None` = missing), if the table has one for it,
/// and whether the value was missing or unknown.
///
/// For a feature with boundaries the value is a number, otherwise an id; pass both, as [`crate::types::Value`] does.
#[must_use]
pub fn category_row(
    model: &Model,
    embedding: u32,
    boundaries: &[f32],
    default: Option<u64>,
    raw: Option<(f32, u64)>,
) -> (Option<u32>, bool) {
    let id = match raw {
        Some((number, _)) if !boundaries.is_empty() => Some(bucketise(boundaries, number)),
        Some((_, id)) => Some(id),
        None => default,
    };
    match id {
        Some(id) => {
            let (row, known) = model.row(embedding, id);
            (row, !known || raw.is_none())
        }
        None => (model.schema().embeddings[embedding as usize].missing(), true),
    }
}

/// The input of a number feature for a raw value (`None` = missing).
#[must_use]
pub fn number_input(kind: &Kind, raw: Option<f32>) -> f32 {
    match kind {
        Kind::Number { transform, default } => transform.apply(raw.unwrap_or(*default)),
        Kind::Category { .. } | Kind::MultiCategory { .. } | Kind::Vector { .. } => 0.0,
    }
}
