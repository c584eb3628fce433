//! The results of scoring, before they become an outcome.

use crate::artifact::model::spec::HeadKind;
use crate::enrich::Counts;
use crate::model::ScoringModel;
use crate::types::{Outcome, Precision, Request};

/// The results of scoring.
pub(super) struct Scored {
    /// Candidates that have logits.
    pub(super) n: usize,
    /// They are among this many from the first on; the others among these are marked.
    pub(super) end: usize,
    /// The values that the request lacked, and those that its candidates lacked.
    pub(super) counts: [Counts; 2],
    pub(super) has_ctr: bool,
    pub(super) has_cvr: bool,
    pub(super) precision: Precision,
    /// Whether the logits come from the first of two passes.
    pub(super) to_settle: bool,
    /// The request's part of the wide logits.
    pub(super) wide: [f32; 2],
    /// Candidates whose sums came from the ad cache.
    pub(super) kept: u32,
}

impl Scored {
    /// The empty result.
    pub(super) fn new(model: &ScoringModel, precision: Precision) -> Self {
        let heads = &model.file().network().heads;
        let has = |kind| heads.iter().any(|head| head.kind == kind);
        let (has_ctr, has_cvr) = (has(HeadKind::Ctr), has(HeadKind::Cvr));
        Self {
            n: 0,
            end: 0,
            counts: Default::default(),
            has_ctr,
            has_cvr,
            precision,
            to_settle: false,
            wide: [0.0; 2],
            kept: 0,
        }
    }

    /// The outcome of a call with `n` candidates.
    pub(super) fn outcome(&self, generation: u64, n: usize, n_winners: usize) -> Outcome {
        Outcome {
            struct_size: size_of::<Outcome>() as u32,
            n_winners: n_winners as u32,
            n_scored: self.n as u32,
            n_cut: (n - self.n) as u32,
            n_missing: self.counts.iter().fold(0, |sum, c| c.missing.saturating_add(c.ignored).saturating_add(sum)),
            precision: self.precision as u32,
            generation,
            n_wrong_side: self.counts.iter().fold(0, |sum, c| c.wrong_side.saturating_add(sum)),
            ..Outcome::default()
        }
    }
}

/// The last decision, while the memory still has it.
pub(super) struct Last {
    pub(super) request: Request,
    pub(super) generation: u64,
    /// As [`Scored::end`].
    pub(super) end: usize,
    pub(super) has_ctr: bool,
    pub(super) has_cvr: bool,
}
