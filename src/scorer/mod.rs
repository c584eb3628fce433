//! A scorer: one caller's memory, sized once. Scoring and deciding allocate nothing, take no lock and make no system
//! call; a request sees exactly one generation.
//!
//! The steps of a request: [`check`] its lengths; raw values to inputs and tiles through the network ([`first_pass`]);
//! for a decision in two passes, the candidates that the auction depends on again, exactly ([`second_pass`]);
//! calibrated probabilities ([`probabilities`]); and the auction, which is another module's.

mod check;
mod cut;
mod dense;
mod explained;
mod first_pass;
mod logged;
mod memory;
mod probabilities;
mod scored;
mod second_pass;
mod segments;
mod switched;
mod tiles;

use std::sync::Arc;
use std::time::{Duration, Instant};

use first_pass::Route;
use logged::Made;
use memory::Memory;
use scored::Scored;
use switched::Switched;

use crate::auction::{self, Page, Reason};
use crate::decision_log::{Hub, Impressions, Outlet};
#[cfg(feature = "builder")]
use crate::enrich::Passed;
use crate::error::Error;
use crate::limits::MAX_CANDIDATES;
use crate::live::{Generation, SwapReader};
use crate::metrics::{Call, Meter, Meters, Stage, Stopwatch};
use crate::model::{Fast, Limits};
use crate::overlay::Switches;
use crate::refusal::Refusal;
use crate::request::Input;
use crate::types::{Candidate, Explanation, Outcome, Precision, Winner};

/// The limits of a scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScorerLimits {
    /// Candidates of one request, 1 to [`MAX_CANDIDATES`].
    pub max_candidates: usize,
}

/// A decision whose candidates are scored.
struct Deciding<'a> {
    generation: &'a Generation,
    page: &'a Page<'a>,
    scored: &'a Scored,
    fast: Option<&'a Fast>,
}

impl Memory {
    /// What follows on scores: the second pass if there is one, probabilities, and the auction.
    fn auction(
        &mut self,
        how: &Deciding<'_>,
        input: Input<'_>,
        watch: &mut Stopwatch,
        winners: &mut [Winner],
        reasons: &mut [Reason],
    ) -> Result<auction::Decision, Refusal> {
        let (model, scored, end) = (how.generation.scoring(), how.scored, how.scored.end);
        if let Some(fast) = how.fast.filter(|_| scored.to_settle) {
            self.settle(model, scored, input, how.page, fast, watch)?;
        }
        self.probabilities(model, scored, watch);
        let (reasons, cut) = reasons.split_at_mut(end.min(reasons.len()));
        let run = auction::run_candidates(
            how.page,
            &input.candidates[..end],
            &self.pctr[..end],
            if scored.has_cvr { &self.pcvr[..end] } else { &[] },
            &mut self.auction,
            winners,
            (!reasons.is_empty()).then_some(reasons),
        );
        // The lengths were checked before.
        let decision = run.map_err(|_| Refusal::Internal { what: "the auction refuses lengths that were checked" })?;
        watch.lap(Stage::Auction);
        cut.fill(Reason::Cut);
        Ok(decision)
    }
}

impl Default for ScorerLimits {
    fn default() -> Self {
        Self { max_candidates: 1024 }
    }
}

/// One caller's working memory. Belongs to one caller at a time; may move between threads.
pub struct Scorer {
    reader: SwapReader<Generation>,
    memory: Memory,
    meter: Meter,
    impressions: Impressions,
    outlet: Arc<Outlet>,
    switched: Switched,
    max_candidates: usize,
}

impl Scorer {
    pub(crate) fn new(
        reader: SwapReader<Generation>,
        model: Limits,
        limits: ScorerLimits,
        meters: &Arc<Meters>,
        log: &Hub,
        switches: &Arc<Switches>,
    ) -> crate::Result<Self> {
        let n = limits.max_candidates;
        if !(1..=MAX_CANDIDATES).contains(&n) {
            return Err(Error::argument(format!("max_candidates is {n}, expected 1 to {MAX_CANDIDATES}")));
        }
        let memory = Memory::new(model, n)?;
        let meter = Meter::new(meters, memory.bytes());
        let (impressions, outlet) = log.join()?;
        let switched = Switched::new(switches);
        Ok(Self { reader, memory, meter, impressions, outlet, switched, max_candidates: n })
    }

    /// The most candidates of one request.
    pub(crate) fn max_candidates(&self) -> usize {
        self.max_candidates
    }

    /// Forgets the last decision: another call has come.
    pub(crate) fn forget(&mut self) {
        self.memory.last = None;
    }

    /// Counts its calls.
    pub(crate) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// An auction without scoring, as [`auction::run_candidates`].
    pub(crate) fn auction(
        &mut self,
        page: &auction::Page<'_>,
        candidates: &[Candidate],
        pctr: &[f32],
        pcvr: &[f32],
        winners: &mut [Winner],
        reasons: Option<&mut [Reason]>,
    ) -> crate::Result<auction::Decision> {
        let watch = self.meter.start(Call::Auction);
        self.memory.last = None;
        let scratch = &mut self.memory.auction;
        let run = auction::run_candidates(page, candidates, pctr, pcvr, scratch, winners, reasons);
        match &run {
            Ok(_) => {
                self.meter.candidates(self.memory.auction.tally(), 0);
                self.meter.done(&watch);
            }
            Err(error) => self.meter.refuse(Call::Auction, error.status),
        }
        run
    }

    /// Calibrated probabilities of all candidates. `pctr` has `n_candidates` entries; `pcvr` has as many, or none when
    /// not wanted. Without a pCVR head `pcvr` is filled with NaN, without a pCTR head `pctr` is. A candidate whose
    /// logit overflows gets NaN.
    ///
    /// # Errors
    /// A [`Refusal`]; then nothing was written.
    pub fn score(&mut self, input: Input<'_>, pctr: &mut [f32], pcvr: &mut [f32]) -> Result<Outcome, Refusal> {
        let mut watch = self.meter.start(Call::Score);
        let result = self.score_watched(&mut watch, input, pctr, pcvr);
        self.meter.finish(&watch, &result);
        result
    }

    fn score_watched(
        &mut self,
        watch: &mut Stopwatch,
        input: Input<'_>,
        pctr: &mut [f32],
        pcvr: &mut [f32],
    ) -> Result<Outcome, Refusal> {
        self.memory.last = None;
        let n = input.check(self.max_candidates)?;
        check::outputs(n, pctr, pcvr)?;
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let model = generation.scoring();
        let (plan, precision) = model.for_scores();
        let route = Route { plan, precision, fast: None, deadline: None };
        let scored = self.memory.score(model, route, input, watch)?;
        self.memory.probabilities(model, &scored, watch);
        pctr.copy_from_slice(&self.memory.pctr[..n]);
        if !pcvr.is_empty() {
            pcvr.copy_from_slice(&self.memory.pcvr[..n]);
        }
        self.memory.count(model, &scored, &mut self.meter);
        Ok(scored.outcome(generation.id(), n, 0))
    }

    /// Calibrated probabilities of ready inputs `x`, `[n, width]` row by row with the columns in the schema's declared
    /// order. Outputs as in [`Scorer::score`].
    ///
    /// # Errors
    /// A [`Refusal`]: also when `width` is not the model's, when an input is NaN or infinite, and when the model has a
    /// wide part (ready inputs cannot carry its ids).
    pub fn score_dense(
        &mut self,
        x: &[f32],
        n: usize,
        width: usize,
        pctr: &mut [f32],
        pcvr: &mut [f32],
    ) -> Result<Outcome, Refusal> {
        let mut watch = self.meter.start(Call::ScoreDense);
        let result = self.score_dense_watched(&mut watch, x, n, width, pctr, pcvr);
        self.meter.finish(&watch, &result);
        result
    }

    fn score_dense_watched(
        &mut self,
        watch: &mut Stopwatch,
        x: &[f32],
        n: usize,
        width: usize,
        pctr: &mut [f32],
        pcvr: &mut [f32],
    ) -> Result<Outcome, Refusal> {
        self.memory.last = None;
        if n > self.max_candidates {
            return Err(Refusal::Capacity { what: "rows of x", found: n, most: self.max_candidates });
        }
        check::outputs(n, pctr, pcvr)?;
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let model = generation.scoring();
        let scored = self.memory.score_dense(model, x, n, width, watch)?;
        self.memory.probabilities(model, &scored, watch);
        pctr.copy_from_slice(&self.memory.pctr[..n]);
        if !pcvr.is_empty() {
            pcvr.copy_from_slice(&self.memory.pcvr[..n]);
        }
        Ok(scored.outcome(generation.id(), n, 0))
    }

    /// The logits of the last call's candidates, `[n_candidates]` for the pCTR and the pCVR head, as the network gave
    /// them: before any correction and calibration. Entries past the last call's candidates, and those of a head that
    /// the model does not have, are undefined.
    #[must_use]
    pub fn logits(&self) -> [&[f32]; 2] {
        self.memory.logits.each_ref().map(|l| &**l)
    }

    /// The values that the last call's candidates had of each key of the calibrators' segments, as many as there are keys;
    /// none where a value was missing. Not of ready inputs, which have none. For fitting calibrators.
    #[cfg(feature = "builder")]
    #[must_use]
    pub fn segment_values(&self, candidate: usize) -> [Option<u64>; crate::calibrate::MAX_SEGMENT_KEYS] {
        std::array::from_fn(|key| self.memory.segments.value(key, candidate))
    }

    /// The whole path: scores the candidates, runs the auction, and writes the winners, best slot first. `reasons` gets
    /// the reason why each candidate won or lost (`n_candidates` entries, or none when not wanted). Returns the
    /// outcome; `n_winners` of `winners` are filled.
    ///
    /// With `deadline_us`, candidates that are not scored in time are cut: they take no part and are counted. Those are scored first
    /// that would score best by a cheap guess.
    ///
    /// # Errors
    /// A [`Refusal`]; then nothing was written.
    pub fn decide(
        &mut self,
        input: Input<'_>,
        winners: &mut [Winner],
        reasons: &mut [Reason],
    ) -> Result<Outcome, Refusal> {
        let mut watch = self.meter.start(Call::Decide);
        let result = self.decide_watched(&mut watch, input, winners, reasons);
        self.meter.finish(&watch, &result);
        result
    }

    fn decide_watched(
        &mut self,
        watch: &mut Stopwatch,
        input: Input<'_>,
        winners: &mut [Winner],
        reasons: &mut [Reason],
    ) -> Result<Outcome, Refusal> {
        let deadline = match input.request.deadline_us {
            0 => None,
            us => Some(watch.begun() + Duration::from_micros(us.into())),
        };
        self.memory.last = None;
        let n = input.check(self.max_candidates)?;
        let slots = input.request.n_slots.max(1) as usize;
        check::decision(n, slots, winners, reasons.len())?;
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let model = generation.scoring();
        let page = Page::of_request(generation.policy(), input.request);
        // With so few candidates, all of them may decide; and where places are drawn, all of them do.
        let fast = model.fast_pass().filter(|_| n > slots.saturating_add(1) && !generation.policy().explores());
        let (plan, precision) = match model.served() {
            Precision::AuctionExact => (model.exact(), Precision::AuctionExact),
            _ => model.for_scores(),
        };
        let deadline = deadline.map(|deadline| (deadline, &page));
        let mut again = true;
        let (scored, decision) = loop {
            let scored = self.memory.score(model, Route { plan, precision, fast, deadline }, input, watch)?;
            // Kept for explanations; marked where the deadline cut some, and where some are switched off.
            let mut candidates = std::mem::take(&mut self.memory.candidates);
            let copy = &mut candidates[..n];
            copy.copy_from_slice(input.candidates);
            if scored.end > scored.n {
                self.memory.cut.mark(copy, scored.n, &mut self.memory.logits);
            }
            self.switched.mark(copy);
            let input = Input { candidates: copy, ..input };
            let how = Deciding { generation: &generation, page: &page, scored: &scored, fast };
            let memory = &mut self.memory;
            let decided = memory.auction(&how, input, watch, winners, reasons);
            let stale = |decision: &auction::Decision| {
                self.switched.is_any_off(input.candidates, &winners[..decision.n_winners])
                    && deadline.is_none_or(|(deadline, _)| Instant::now() < deadline)
            };
            if again && decided.as_ref().is_ok_and(stale) {
                memory.candidates = candidates;
                again = false;
                continue;
            }
            let decided = decided.inspect(|decision| {
                let winners = &mut winners[..decision.n_winners];
                for winner in winners.iter_mut() {
                    let id = self.impressions.next(input.request.time_us);
                    (winner.impression_id, winner.impression_id_high) = (id as u64, (id >> 64) as u64);
                }
                if let Some(plan) = self.outlet.plan() {
                    let (page, propensity, scored) = (&page, decision.propensity, &scored);
                    let made = Made { generation: &generation, page, propensity, scored, input: &input, winners };
                    memory.log(plan, &made);
                    watch.lap(Stage::Log);
                }
                if deadline.is_some() {
                    memory.cut.learn(input.candidates, scored.n, [&memory.pctr, &memory.pcvr]);
                }
                memory.remember(&generation, &scored, &input);
            });
            memory.candidates = candidates;
            break (scored, decided?);
        };
        self.memory.count(model, &scored, &mut self.meter);
        self.meter.candidates(self.memory.auction.tally(), n - scored.end);
        Ok(Outcome {
            exploration: decision.exploration as u32,
            propensity: decision.propensity,
            given_up_micros: decision.given_up.round() as i64,
            ..scored.outcome(generation.id(), n, decision.n_winners)
        })
    }

    /// What the last call, a decision, found of one of its candidates: logits, probabilities, multipliers, score, reserve, place and
    /// reason. Allocates nothing.
    ///
    /// # Errors
    /// A [`Refusal`] when the last call was no decision or failed, when it had no such candidate, or when the generation that
    /// decided is no longer live.
    pub fn explain(&mut self, candidate: usize) -> Result<Explanation, Refusal> {
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        self.memory.explain(&generation, candidate)
    }

    /// The model input of one candidate, `[width]`, columns in declared order: what the network sees. For tests and
    /// explanations.
    ///
    /// # Errors
    /// A [`Refusal`], as [`Scorer::score`]; `Length` when `x` does not have the model's width.
    #[cfg(feature = "builder")]
    pub fn model_input(&mut self, input: Input<'_>, candidate: usize, x: &mut [f32]) -> Result<(), Refusal> {
        let n = input.check(self.max_candidates)?;
        if candidate >= n {
            return Err(Refusal::Length { what: "candidates", found: n, expected: candidate + 1 });
        }
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let layout = generation.model().layout();
        if x.len() != layout.width {
            return Err(Refusal::Length { what: "x", found: x.len(), expected: layout.width });
        }
        let memory = &mut self.memory;
        let row = &mut memory.request[..layout.width];
        let (r, c) = row.split_at_mut(layout.request_width);
        let (assembler, model) = (generation.scoring().assembler(), generation.model());
        let mut wide = [0.0; 2];
        let time = (input.request.time_us, input.request.utc_offset_s);
        assembler.find(&mut memory.state, input.request, &input.candidates[candidate..=candidate]);
        assembler.request(model, &mut memory.state, time, input.values, r, &mut wide)?;
        let passed = Passed { candidate: 0, ..tiles::passed(&input, candidate) };
        assembler.candidate(model, &mut memory.state, passed, c, &mut wide)?;
        for column in &layout.columns {
            x[column.declared..][..column.width].copy_from_slice(&row[column.serving..][..column.width]);
        }
        Ok(())
    }
}
