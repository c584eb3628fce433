//! What the values and the columns of candidates feed, and the ids that come of them.

use super::assemble::{Assembler, State, Target};
use super::passed::Passed;
use super::planned::NO_CELL;
use crate::artifact::model::Model;
use crate::request::Columns;
use crate::schema::{Kind, bucketise};

impl Assembler {
    /// Finds what the columns of a request's candidates feed. Call it before the candidates.
    pub(crate) fn columns(&self, state: &mut State, columns: &Columns<'_>) {
        for (places, handle) in state.columns.iter_mut().zip(columns.handles()) {
            *places = self.places(handle);
        }
    }

    /// Whether a value that was passed for a candidate feeds a feature such as this.
    #[inline]
    pub(super) fn is_fed(&self, state: &State, passed: Passed<'_>, feature: impl Fn(u32) -> bool) -> bool {
        let any = |targets: &[Target]| targets.iter().any(|target| feature(target.feature));
        passed.values.iter().any(|value| any(self.fed_by(value.feature)))
            || passed.cells.values().any(|(column, _)| any(self.targets(state.columns[column])))
    }

    /// The id of a category feature of the request or of the candidate assembled last: passed or read from a table, the
    /// number of its interval where it has boundaries, and its default where there is nothing else. `passed` says
    /// whether values were passed on its side.
    pub(crate) fn category_id(
        &self,
        model: &Model,
        state: &State,
        feature: usize,
        (candidate, passed): (usize, bool),
    ) -> Option<u64> {
        let of = model.schema().features.get(feature)?;
        let Kind::Category { boundaries, default, .. } = &of.kind else { return None };
        let mut given = match of.position {
            Some(p) => Some((p, p as u64)),
            None if passed => state.raw.get(feature).filter(|raw| raw.seen > 0).map(|raw| (raw.number, raw.id)),
            None => None,
        };
        let cell = self.tables().cell_of(feature);
        if given.is_none() && cell != NO_CELL {
            self.tables().read(cell, &state.rows, candidate, |number, id| given = Some((number, id)));
        }
        match given {
            Some((number, _)) if !boundaries.is_empty() => Some(bucketise(boundaries, number)),
            Some((_, id)) => Some(id),
            None => *default,
        }
    }
}
