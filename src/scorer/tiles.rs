//! Passes tiles of candidates through a plan.

use crate::enrich::Passed;
use crate::infer::{Kept, Pass, Scratch, TILE_ROWS, Tile, Weights};
use crate::model::{Lines, ScoringModel, ServingPlan};
use crate::refusal::Refusal;
use crate::request::Input;

/// The largest array of a tile with one number for each row and head.
const OUTPUTS: usize = 2 * TILE_ROWS;

/// The data of a tile's rows besides their columns: `[rows, heads]` wide weights, and where their kept sums are.
pub(super) struct Beside {
    pub(super) wide: [f32; OUTPUTS],
    pub(super) lines: Lines,
}

impl Beside {
    pub(super) fn new() -> Self {
        Self { wide: [0.0; OUTPUTS], lines: [Kept::NONE; _] }
    }
}

/// A tile whose columns are written.
pub(super) struct TileRun<'a, C> {
    pub(super) rows: usize,
    /// The number of the candidate in each row.
    pub(super) candidate: C,
    /// The kept sums of the rows.
    pub(super) kept: Kept<'a>,
    /// Wide weights, `[rows, heads]`; none for a model without a wide part.
    pub(super) wide: Option<&'a [f32]>,
    /// The logits of all candidates, a slice for each head.
    pub(super) logits: &'a mut [Box<[f32]>],
}

impl<C: Fn(usize) -> usize> TileRun<'_, C> {
    /// Runs the tile and stores each row's logits under its candidate's number.
    #[inline]
    pub(super) fn run(self, pass: &mut Pass<'_>) -> Result<(), Refusal> {
        let Self { rows, candidate, kept, wide, logits } = self;
        let heads = logits.len();
        let mut outputs = [0.0; OUTPUTS];
        let outputs = &mut outputs[..rows * heads];
        pass.run_kept(rows, kept, wide, outputs).map_err(|_| NO_FIT)?;
        for (head, logits) in logits.iter_mut().enumerate() {
            for row in 0..rows {
                logits[candidate(row)] = outputs[row * heads + head];
            }
        }
        Ok(())
    }
}

const NO_FIT: Refusal = Refusal::Internal { what: "the tile does not fit the plan" };

/// Starts a pass over the candidates of a request, whose columns are `x`.
pub(super) fn begin<'a>(
    model: &'a ScoringModel,
    route: ServingPlan<'a>,
    scratch: &'a mut Scratch,
    x: &[f32],
    candidates: usize,
) -> Result<Pass<'a>, Refusal> {
    let keeping = route.kept.map(|kept| &kept.keeping);
    let begun = route.plan.begin_keeping(keeping, Weights::of(model.file()), scratch, x, candidates);
    begun.map_err(|_| Refusal::Internal { what: "the plan does not fit its own model" })
}

/// The rows of x0 of the next tile.
pub(super) fn tile<'a>(pass: &'a mut Pass<'_>, rows: usize) -> Result<Tile<'a>, Refusal> {
    pass.tile(rows).map_err(|_| NO_FIT)
}

/// The values passed for one candidate.
#[inline]
pub(super) fn passed<'a>(asked: &Input<'a>, candidate: usize) -> Passed<'a> {
    let c = &asked.candidates[candidate];
    let first_value = c.first_value as usize;
    let values = &asked.candidate_values[first_value..][..c.n_values as usize];
    Passed { cells: asked.columns.of(candidate), ..Passed::new(candidate, values, first_value) }
}
