//! The parts of a [`TablePlan`](super::TablePlan): its tables with their keys, and where each feature's values stand.

use std::sync::Arc;

use crate::schema::Measure;
use crate::table::{Overrides, RowLayout, TableSet};

/// No cell: the feature reads no table.
pub(super) const NO_CELL: u32 = u32::MAX;

/// A column of a table of the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct TableColumn {
    pub(super) table: usize,
    pub(super) column: usize,
}

/// Where one feature's values come from.
#[derive(Debug)]
pub(super) enum FeatureCell {
    Number { place: TableColumn, position: usize },
    Ids(TableColumn),
    Vector(TableColumn),
    Similarity { left: TableColumn, right: TableColumn, measure: Measure },
}

/// What the values of a cell are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Those of the key's own row.
    Own,
    /// The default row's, at least of one of two vectors.
    Default,
    /// There are none.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    User,
    Placement,
    Ad,
    Advertiser,
    Column(TableColumn),
}

/// A table of the plan.
#[derive(Debug)]
pub(super) struct PlannedTable {
    pub(super) set: Arc<TableSet>,
    pub(super) layout: Arc<RowLayout>,
    pub(super) overrides: Option<Arc<dyn Overrides>>,
    pub(super) key: Vec<Part>,
    /// One row for all candidates.
    pub(super) shared: bool,
    /// What overrides are written on when the table has no row of the key.
    pub(super) missing: Vec<u8>,
    /// Where its row stands in [`Rows`] when overrides apply.
    pub(super) merged: usize,
}
