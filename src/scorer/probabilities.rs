//! Converts logits to calibrated probabilities, and counts missing values.

use super::memory::Memory;
use super::scored::Scored;
use crate::metrics::{Meter, Stage, Stopwatch};
use crate::model::ScoringModel;
use crate::schema::Side;

impl Memory {
    /// Converts logits to calibrated probabilities.
    pub(super) fn probabilities(&mut self, model: &ScoringModel, scored: &Scored, watch: &mut Stopwatch) {
        let (calibrators, segments) = (model.calibrators(), model.segments());
        if !scored.has_ctr {
            // The one head predicts conversions. pCTR is unknown, so no bid that needs it wins.
            self.logits.swap(0, 1);
            self.logits[0][..scored.end].fill(f32::NAN);
        }
        let n = scored.end;
        let (nodes, logits) = (&self.segments.nodes[..n], self.logits.each_ref().map(|logits| &logits[..n]));
        let (pctr, pcvr) = (&mut self.pctr[..n], &mut self.pcvr[..n]);
        if segments.is_used() {
            segments.apply(0, logits[0], nodes, pctr);
        } else {
            calibrators.ctr.apply_slice(logits[0], pctr);
        }
        match (scored.has_cvr, segments.is_used()) {
            (false, _) => pcvr.fill(f32::NAN),
            (true, false) => calibrators.cvr.apply_slice(logits[1], pcvr),
            (true, true) => {
                segments.apply(1, logits[1], nodes, pcvr);
                if segments.has_product() && scored.has_ctr {
                    segments.apply_product(pctr, nodes, pcvr);
                }
            }
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
