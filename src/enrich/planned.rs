//! The parts of a [`TablePlan`](super::TablePlan): its tables with their keys, and the cell of each feature.

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

/// The source of one feature's values.
#[derive(Debug)]
pub(super) enum FeatureCell {
    Number { place: TableColumn, position: usize },
    Ids(TableColumn),
    Vector(TableColumn),
    Similarity { left: TableColumn, right: TableColumn, measure: Measure },
}

/// The source of a cell's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The key's own row.
    Own,
    /// The default row, for at least one of two vectors.
    Default,
    /// None.
    Nothing,
}

impl Taken {
    /// Whether no default was used.
    pub(super) fn is_own(self) -> bool {
        self == Self::Own
    }
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
    /// The row that overrides are written on when the table lacks the key.
    pub(super) missing: Vec<u8>,
    /// The position of its row in [`TableRows`] when overrides apply.
    pub(super) merged: usize,
}
