//! Ready inputs to logits.

use super::check;
use super::memory::Memory;
use super::scored::Scored;
use super::tiles::{TileRun, tile};
use crate::infer::Kept;
use crate::infer::Weights;
use crate::metrics::{Stage, Stopwatch};
use crate::model::ScoringModel;
use crate::refusal::Refusal;

impl Memory {
    /// Logits of `x`, `[n, width]`, columns in declared order.
    pub(super) fn score_dense(
        &mut self,
        model: &ScoringModel,
        x: &[f32],
        n: usize,
        width: usize,
        watch: &mut Stopwatch,
    ) -> Result<Scored, Refusal> {
        let file = &**model.file();
        check::ready_inputs(file, x, n, width)?;
        let heads = file.network().heads.len();
        let (plan, precision) = model.for_scores();
        let mut scored = Scored::new(model, precision);
        watch.lap(Stage::Enrich);
        // Rows share nothing, so there are no kept sums either.
        let begun = plan.plan.begin_dense(Weights::of(file), &mut self.scratch);
        let mut pass = begun.map_err(|_| Refusal::Internal { what: "the plan does not fit its own model" })?;
        watch.lap(Stage::Score);
        let tile_rows = plan.plan.tile_for(n);
        for first in (0..n).step_by(tile_rows) {
            let rows = tile_rows.min(n - first);
            let mut tile = tile(&mut pass, rows)?;
            for row in 0..rows {
                let (from, to) = (&x[(first + row) * width..][..width], tile.row(row));
                for c in &file.layout().columns {
                    to[c.serving..][..c.width].copy_from_slice(&from[c.declared..][..c.width]);
                }
            }
            watch.lap(Stage::Enrich);
            let logits = &mut self.logits[..heads];
            TileRun { rows, candidate: |row| first + row, kept: Kept::NOTHING, wide: None, logits }.run(&mut pass)?;
            watch.lap(Stage::Score);
        }
        (scored.n, scored.end) = (n, n);
        // Ready inputs say nothing of placements or advertisers.
        self.segments.nodes[..n].fill(0);
        Ok(scored)
    }
}
