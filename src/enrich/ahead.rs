//! Memory that values will be looked for in, asked for ahead. All of this is hints, which change no result.

use super::assemble::{Assembler, SideFeatures, State, Target};
use super::passed::Passed;
use super::planned::NO_CELL;
use crate::artifact::model::Model;
use crate::schema::{Kind, Side};
use crate::types::Value;

/// What is prefetched before values are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// Where the searches for ids begin.
    Search,
    /// The embedding rows of multi-valued categories.
    Rows,
}

impl SideFeatures {
    /// Whether [`Assembler::look_ahead`] does anything.
    fn looks_ahead(&self) -> bool {
        self.searches || !self.pooled.is_empty()
    }
}

impl Assembler {
    /// Before a request's values are collected: as [`Assembler::look_ahead`].
    pub(super) fn look_ahead_of_request(&self, model: &Model, state: &mut State, values: &[Value]) {
        if self.side(Side::Request).looks_ahead() {
            for what in [Ahead::Search, Ahead::Rows] {
                self.ahead(model, state, Side::Request, Passed::new(0, values, 0), what);
            }
        }
    }

    /// Before a tile: prefetches what its candidates' searches for ids begin with, and then the embedding rows of their
    /// multi-valued categories. A hint, which changes no result.
    pub(crate) fn look_ahead<'p>(
        &self,
        model: &Model,
        state: &mut State,
        rows: usize,
        passed: impl Fn(usize) -> Passed<'p>,
    ) {
        if !self.side(Side::Candidate).looks_ahead() {
            return;
        }
        for what in [Ahead::Search, Ahead::Rows] {
            if what == Ahead::Rows && self.side(Side::Candidate).pooled.is_empty() {
                return;
            }
            for row in 0..rows {
                self.ahead(model, state, Side::Candidate, passed(row), what);
            }
        }
    }

    /// See [`Assembler::look_ahead`].
    fn ahead(&self, model: &Model, state: &mut State, side: Side, passed: Passed<'_>, what: Ahead) {
        let candidate = passed.candidate;
        let own = self.side(side);
        let features = &model.schema().features;
        let pooled = |feature: u32, id: u64| {
            let Kind::MultiCategory { embedding, .. } = features[feature as usize].kind else { return };
            match what {
                Ahead::Search => model.prefetch_search(embedding, id),
                Ahead::Rows => {
                    if let (Some(row), _) = model.row(embedding, id) {
                        model.prefetch_row(embedding, row);
                    }
                }
            }
        };
        let feed = |targets: &[Target], id: u64| {
            for target in targets.iter().filter(|target| target.side == side) {
                match target.category {
                    Some(at) if what == Ahead::Search => own.categories[at as usize].prefetch_search(model, id),
                    Some(_) => {}
                    None => pooled(target.feature, id),
                }
            }
        };
        passed.cells.ids().for_each(|(column, value)| feed(self.targets(state.columns[column]), value.id));
        passed.values.iter().for_each(|value| feed(self.fed_by(value.feature), value.id));
        if self.tables().is_empty() {
            return;
        }
        self.tables().select(&mut state.rows, candidate);
        for item in own.pooled.iter().filter(|item| item.cell != NO_CELL) {
            self.tables().read(item.cell, &state.rows, candidate, |_, id| pooled(item.feature, id));
        }
        if what == Ahead::Search && own.searches {
            for category in &own.categories {
                category.prefetch_cell(model, (self.tables(), &state.rows), candidate);
            }
        }
    }
}
