//! What a caller passes for a candidate: values of its own, and its cells in columns.

use crate::request::Cells;
use crate::types::Value;

/// The values that the caller passed for one candidate.
#[derive(Debug, Clone, Copy)]
pub struct Passed<'a> {
    /// The candidate's index in the arrays that [`Assembler::find`](super::Assembler::find) saw.
    pub candidate: usize,
    /// Its values, by the handles that [`Assembler::new`](super::Assembler::new) was given.
    pub values: &'a [Value],
    /// The index of `values` in the caller's array, for messages.
    pub first_value: usize,
    /// Its cells in the columns that `Assembler::columns` saw.
    pub(crate) cells: Cells<'a>,
}

impl<'a> Passed<'a> {
    /// Values alone.
    #[inline]
    #[must_use]
    pub fn new(candidate: usize, values: &'a [Value], first_value: usize) -> Self {
        Self { candidate, values, first_value, cells: Cells::default() }
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.cells.is_empty()
    }
}
