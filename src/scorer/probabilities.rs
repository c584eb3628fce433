//! Converts logits to calibrated probabilities, and counts missing values.

use super::memory::Memory;
use super::scored::Scored;
use crate::metrics::{Meter, Stage, Stopwatch};
use crate::model::ScoringModel;
use crate::schema::Side;

impl Memory {
    /// Converts logits to calibrated probabilities.
    pub(super) fn probabilities(&mut self, model: &ScoringModel, scored: &Scored, watch: &mut Stopwatch) {
        let calibrators = model.calibrators();
        if !scored.has_ctr {
            // The one head predicts conversions. pCTR is unknown, so no bid that needs it wins.
            self.logits.swap(0, 1);
            self.logits[0][..scored.n].fill(f32::NAN);
        }
        calibrators.ctr.apply_slice(&self.logits[0][..scored.n], &mut self.pctr[..scored.n]);
        if scored.has_cvr {
            calibrators.cvr.apply_slice(&self.logits[1][..scored.n], &mut self.pcvr[..scored.n]);
        } else {
            self.pcvr[..scored.n].fill(f32::NAN);
        }
        watch.lap(Stage::Calibrate);
    }

    /// Counts the values that a request lacked.
    pub(super) fn count(&self, model: &ScoringModel, scored: &Scored, meter: &mut Meter) {
        meter.kept(scored.kept);
        meter.values(Side::Request, scored.counts[0]);
        meter.values(Side::Candidate, scored.counts[1]);
        meter.keys(model.table_numbers().iter().copied().zip(self.state.lookups().iter().copied()));
    }
}
