//! Prefetches what values lead to before they are collected: the searches for ids, and the embedding rows of multi-valued
//! categories. Hints, which change no result.

use super::assemble::{Assembler, Passed, SideFeatures, State};
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
    /// Before a request: prefetches what its values lead to.
    pub(super) fn look_ahead_of_request(&self, model: &Model, state: &mut State, values: &[Value]) {
        if self.request.looks_ahead() {
            self.ahead(model, state, Side::Request, 0, values, Ahead::Search);
            self.ahead(model, state, Side::Request, 0, values, Ahead::Rows);
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
        if !self.candidate.looks_ahead() {
            return;
        }
        for what in [Ahead::Search, Ahead::Rows] {
            if what == Ahead::Rows && self.candidate.pooled.is_empty() {
                return;
            }
            for row in 0..rows {
                let Passed { candidate, values, .. } = passed(row);
                self.ahead(model, state, Side::Candidate, candidate, values, what);
            }
        }
    }

    /// See [`Assembler::look_ahead`].
    fn ahead(&self, model: &Model, state: &mut State, side: Side, candidate: usize, values: &[Value], what: Ahead) {
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
        for value in values {
            for target in self.fed_by(value.feature).iter().filter(|target| target.side == side) {
                match target.category {
                    Some(at) if what == Ahead::Search => own.categories[at as usize].prefetch_search(model, value.id),
                    Some(_) => {}
                    None => pooled(target.feature, value.id),
                }
            }
        }
        if self.tables.is_empty() {
            return;
        }
        self.tables.select(&mut state.rows, candidate);
        for item in own.pooled.iter().filter(|item| item.cell != NO_CELL) {
            self.tables.read(item.cell, &state.rows, candidate, |_, id| pooled(item.feature, id));
        }
        if what == Ahead::Search && own.searches {
            for category in &own.categories {
                category.prefetch_cell(model, (&self.tables, &state.rows), candidate);
            }
        }
    }
}
