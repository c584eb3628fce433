//! The raw values behind a model's inputs, as they were resolved for a request: for logs.

use super::Passed;
use super::assemble::{Assembler, State};
use super::planned::NO_CELL;
use super::raw::Raw;
use crate::artifact::model::Model;
use crate::schema::{Side, Source};
use crate::types::Value;

impl Assembler {
    /// The raw values that the features of a side had when their inputs were assembled: those passed, or those of their
    /// table cells. A value that several features read comes once. Positions are left out, and so are values that belong to
    /// the user unless `of_user`. Call it after [`Assembler::request`] for the same request.
    pub(crate) fn resolved(
        &self,
        model: &Model,
        state: &mut State,
        (side, of_user): (Side, bool),
        passed: Passed<'_>,
        mut emit: impl FnMut(Value),
    ) {
        let own = match side {
            Side::Request => &self.request,
            Side::Candidate => {
                self.tables.select(&mut state.rows, passed.candidate);
                &self.candidate
            }
        };
        for &(feature, cell) in &own.inputs {
            let (i, feature) = (feature as usize, self.handles[feature as usize]);
            let source = model.schema().features[i].source;
            if !of_user && matches!(source, Source::User | Source::Cross | Source::Dot) {
                continue;
            }
            if source == Source::Time {
                let Raw { number, id, .. } = state.raw[i];
                emit(Value { feature, number, id });
                continue;
            }
            let mut given = false;
            let in_columns = passed.cells.values().map(|(_, value)| value);
            for value in passed.values.iter().copied().chain(in_columns).filter(|value| value.feature == feature) {
                given = true;
                emit(value);
            }
            if !given && cell != NO_CELL {
                self.tables.read(cell, &state.rows, passed.candidate, |number, id| {
                    emit(Value { feature, number, id });
                });
            }
        }
    }
}
