//! A scorer: one caller's memory, sized once. Scoring and deciding allocate nothing, take no lock and make no system
//! call; a request sees exactly one generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::artifact::model::spec::HeadKind;
use crate::auction::{self, Bounds, Shortlist};
use crate::enrich::{Counts, Passed, Rows, State};
use crate::error::Error;
use crate::hash::mix;
use crate::infer::{Pass, Plan, Scratch, TILE_ROWS, Tile, Weights};
use crate::limits::MAX_CANDIDATES;
use crate::live::{Generation, Reader};
use crate::memory::filled;
use crate::metrics::{Call, Meter, Meters, Stage, Watch};
use crate::model::{Fast, Limits};
use crate::refusal::Refusal;
use crate::request::Input;
use crate::schema::{Layout, Side};
use crate::types::{Candidate, Outcome, Precision, Winner};

use crate::auction::Reason;

/// Candidates that are scored between two looks at the clock, at most, when there is a deadline. Tiles may hold more.
const ROWS_BEFORE_A_LOOK: usize = 42;

/// What a scorer is sized for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScorerLimits {
    /// Candidates of one request, 1 to [`MAX_CANDIDATES`].
    pub max_candidates: usize,
}

impl Default for ScorerLimits {
    fn default() -> Self {
        Self { max_candidates: 1024 }
    }
}

/// One caller's working memory. Belongs to one caller at a time; may move between threads.
pub struct Scorer {
    reader: Reader<Generation>,
    memory: Memory,
    meter: Meter,
    max_candidates: usize,
}

struct Memory {
    scratch: Scratch,
    state: State,
    /// One request's columns.
    request: Box<[f32]>,
    /// `[max_candidates]` for each head.
    logits: [Box<[f32]>; 2],
    pctr: Box<[f32]>,
    pcvr: Box<[f32]>,
    auction: auction::Scratch,
    /// Of a decision in two passes: the candidates that matter, their numbers, and what the fast pass said of them.
    shortlist: Shortlist,
    listed: Box<[u32]>,
    fast: [Box<[f32]>; 2],
}

/// What scoring did, before it becomes an [`Outcome`].
struct Scored {
    n: usize,
    /// Of the request and of its candidates.
    counts: [Counts; 2],
    has_ctr: bool,
    has_cvr: bool,
    precision: Precision,
    /// Whether the logits come from the first of two passes.
    to_settle: bool,
    /// The request's part of the wide logits.
    wide: [f32; 2],
    /// Candidates whose sums came from the ad cache.
    kept: u32,
}

impl Scorer {
    pub(crate) fn new(
        reader: Reader<Generation>,
        model: Limits,
        limits: ScorerLimits,
        meters: &Arc<Meters>,
    ) -> crate::Result<Self> {
        let n = limits.max_candidates;
        if !(1..=MAX_CANDIDATES).contains(&n) {
            return Err(Error::argument(format!("max_candidates is {n}, expected 1 to {MAX_CANDIDATES}")));
        }
        let memory = Memory {
            scratch: Scratch::try_new(model.scratch)?,
            state: State::new(model.features, model.width, Rows::new(model.tables, model.row_bytes, n)?),
            request: filled(model.width)?,
            logits: [filled(n)?, filled(n)?],
            pctr: filled(n)?,
            pcvr: filled(n)?,
            auction: auction::Scratch::try_new(n)?,
            shortlist: Shortlist::new(n)?,
            listed: filled(n)?,
            fast: [filled(n)?, filled(n)?],
        };
        let meter = Meter::new(meters, memory.bytes());
        Ok(Self { reader, memory, meter, max_candidates: n })
    }

    /// The most candidates of one request.
    #[must_use]
    pub fn max_candidates(&self) -> usize {
        self.max_candidates
    }

    /// What counts its calls.
    pub(crate) fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    /// An auction without scoring, as [`auction::run_candidates`].
    #[expect(clippy::too_many_arguments, reason = "as the function that it calls")]
    pub(crate) fn auction(
        &mut self,
        policy: &auction::Policy,
        candidates: &[Candidate],
        pctr: &[f32],
        pcvr: &[f32],
        n_slots: usize,
        winners: &mut [Winner],
        reasons: Option<&mut [Reason]>,
    ) -> crate::Result<usize> {
        let watch = self.meter.start(Call::Auction);
        let scratch = &mut self.memory.auction;
        let run = auction::run_candidates(policy, candidates, pctr, pcvr, n_slots, scratch, winners, reasons);
        match &run {
            Ok(_) => {
                self.meter.candidates(self.memory.auction.tally(), 0);
                self.meter.done(&watch);
            }
            Err(error) => self.meter.refuse(Call::Auction, error.status),
        }
        run
    }

    /// Calibrated probabilities of all candidates. `pctr` has `n_candidates` entries; `pcvr` as many, or none when it is
    /// not wanted. Without a pCVR head `pcvr` is filled with NaN, without a pCTR head `pctr`. A candidate whose logit
    /// overflows gets NaN.
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
        watch: &mut Watch,
        input: Input<'_>,
        pctr: &mut [f32],
        pcvr: &mut [f32],
    ) -> Result<Outcome, Refusal> {
        let n = input.check(self.max_candidates)?;
        check_outputs(n, pctr, pcvr)?;
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let (plan, precision) = generation.serving.of_scores(&generation.plan);
        let scored = self.memory.score(&generation, (plan, None), precision, input, None, watch)?;
        self.memory.probabilities(&generation, &scored, watch);
        pctr.copy_from_slice(&self.memory.pctr[..n]);
        if !pcvr.is_empty() {
            pcvr.copy_from_slice(&self.memory.pcvr[..n]);
        }
        self.memory.count(&generation, &scored, &mut self.meter);
        Ok(outcome(&generation, &scored, n, 0))
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
        watch: &mut Watch,
        x: &[f32],
        n: usize,
        width: usize,
        pctr: &mut [f32],
        pcvr: &mut [f32],
    ) -> Result<Outcome, Refusal> {
        if n > self.max_candidates {
            return Err(Refusal::Capacity { what: "rows of x", found: n, most: self.max_candidates });
        }
        check_outputs(n, pctr, pcvr)?;
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let scored = self.memory.score_dense(&generation, x, n, width, watch)?;
        self.memory.probabilities(&generation, &scored, watch);
        pctr.copy_from_slice(&self.memory.pctr[..n]);
        if !pcvr.is_empty() {
            pcvr.copy_from_slice(&self.memory.pcvr[..n]);
        }
        Ok(outcome(&generation, &scored, n, 0))
    }

    /// The logits of the last call's candidates, `[n_candidates]` for the pCTR and the pCVR head, as the network gave
    /// them: before any correction and calibration. Entries past the last call's candidates, and those of a head that
    /// the model does not have, mean nothing.
    #[must_use]
    pub fn logits(&self) -> [&[f32]; 2] {
        self.memory.logits.each_ref().map(|l| &**l)
    }

    /// The whole path: scores the candidates, runs the auction, writes the winners, best slot first, and of every
    /// candidate the reason why it won or lost (`reasons`: `n_candidates` entries, or none when not wanted). Returns the
    /// outcome; `n_winners` of `winners` are filled.
    ///
    /// With `deadline_us` candidates that are not scored in time are cut: they take no part and are counted.
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
        watch: &mut Watch,
        input: Input<'_>,
        winners: &mut [Winner],
        reasons: &mut [Reason],
    ) -> Result<Outcome, Refusal> {
        let deadline = match input.request.deadline_us {
            0 => None,
            us => Some(watch.start() + Duration::from_micros(us.into())),
        };
        let n = input.check(self.max_candidates)?;
        let slots = input.request.n_slots.max(1) as usize;
        if winners.len() < slots.min(n) {
            return Err(Refusal::Length { what: "winners", found: winners.len(), expected: slots.min(n) });
        }
        if !reasons.is_empty() && reasons.len() != n {
            return Err(Refusal::Length { what: "reasons", found: reasons.len(), expected: n });
        }
        let generation = self.reader.load().ok_or(Refusal::Closed)?;
        let serving = &generation.serving;
        // Of so few candidates all may decide.
        let first_pass = serving.first_pass().filter(|_| n > slots.saturating_add(1));
        let (plan, precision) = match serving.precision {
            Precision::AuctionExact => (&*generation.plan, Precision::AuctionExact),
            _ => serving.of_scores(&generation.plan),
        };
        let scored = self.memory.score(&generation, (plan, first_pass), precision, input, deadline, watch)?;
        if let Some(fast) = first_pass.filter(|_| scored.to_settle) {
            self.memory.settle(&generation, &scored, input, slots, fast, watch)?;
        }
        self.memory.probabilities(&generation, &scored, watch);
        let memory = &mut self.memory;
        let (reasons, cut) = reasons.split_at_mut(scored.n.min(reasons.len()));
        let run = auction::run_candidates(
            generation.policy(),
            &input.candidates[..scored.n],
            &memory.pctr[..scored.n],
            if scored.has_cvr { &memory.pcvr[..scored.n] } else { &[] },
            slots,
            &mut memory.auction,
            winners,
            (!reasons.is_empty()).then_some(reasons),
        );
        // The lengths were checked above; a difference would be a bug of this library, told as a refusal.
        let n_winners = run.map_err(|_| Refusal::Length { what: "winners", found: 0, expected: slots })?;
        watch.lap(Stage::Auction);
        self.memory.count(&generation, &scored, &mut self.meter);
        self.meter.candidates(self.memory.auction.tally(), n - scored.n);
        cut.fill(Reason::Cut);
        for winner in &mut winners[..n_winners] {
            winner.impression_id = mix(input.request.request_id ^ mix(u64::from(winner.slot) + 1));
        }
        Ok(outcome(&generation, &scored, n, n_winners))
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
        let (assembler, model) = (&generation.assembler, generation.model());
        let mut wide = [0.0; 2];
        let time = (input.request.time_us, input.request.utc_offset_s);
        assembler.find(&mut memory.state, input.request, &input.candidates[candidate..=candidate]);
        assembler.request(model, &mut memory.state, time, input.values, r, &mut wide)?;
        let passed = Passed { candidate: 0, ..passed(&input, candidate) };
        assembler.candidate(model, &mut memory.state, passed, c, &mut wide)?;
        for column in &layout.columns {
            x[column.declared..][..column.width].copy_from_slice(&row[column.serving..][..column.width]);
        }
        Ok(())
    }
}

/// What was passed for one candidate.
fn passed<'a>(input: &Input<'a>, candidate: usize) -> Passed<'a> {
    let c = &input.candidates[candidate];
    let first_value = c.first_value as usize;
    Passed { candidate, values: &input.candidate_values[first_value..][..c.n_values as usize], first_value }
}

impl Memory {
    /// Logits of the candidates, until the deadline: those of `plan`, or of the first of two passes. In a first pass the logits
    /// of a candidate for which its tolerance does not hold are NaN; a request for which it does not hold has no first pass.
    fn score(
        &mut self,
        generation: &Generation,
        (plan, first_pass): (&Plan, Option<&Fast>),
        precision: Precision,
        input: Input<'_>,
        deadline: Option<Instant>,
        watch: &mut Watch,
    ) -> Result<Scored, Refusal> {
        let model = generation.model();
        let (assembler, heads) = (&generation.assembler, model.network().heads.len());
        let request_width = model.layout().request_width;
        let mut request_wide = [0.0; 2];
        let x = &mut self.request[..request_width];
        let time = (input.request.time_us, input.request.utc_offset_s);
        assembler.find(&mut self.state, input.request, input.candidates);
        let counts = assembler.request(model, &mut self.state, time, input.values, x, &mut request_wide[..heads])?;
        let mut scored = Scored::new(generation, precision);
        scored.counts[0] = counts;
        scored.wide = request_wide;
        let first_pass = first_pass.filter(|fast| !fast.is_beyond(x));
        let plan = first_pass.map_or(plan, |fast| &fast.plan);
        scored.to_settle = first_pass.is_some();
        watch.lap(Stage::Enrich);
        let mut pass = begin(generation, plan, &mut self.scratch, Some((x, input.candidates.len())))?;
        let cache = generation.kept().filter(|_| pass.keeps());
        watch.lap(Stage::Score);
        let tile_rows = plan.tile_within(input.candidates.len(), deadline.map_or(TILE_ROWS, |_| ROWS_BEFORE_A_LOOK));
        for first in (0..input.candidates.len()).step_by(tile_rows) {
            // The first tile is always scored: a decision among few is better than none.
            if first > 0 && deadline.is_some_and(|d| Instant::now() >= d) {
                break;
            }
            let rows = tile_rows.min(input.candidates.len() - first);
            let mut wide = [0.0; 2 * TILE_ROWS];
            let mut kept = [None; TILE_ROWS];
            let mut unknown = [false; TILE_ROWS];
            let mut tile = tile_of(&mut pass, rows)?;
            for row in 0..rows {
                let wide = &mut wide[row * heads..][..heads];
                wide.copy_from_slice(&request_wide[..heads]);
                let x = &mut tile.row(row)[request_width..];
                let passed = passed(&input, first + row);
                let counts = assembler.candidate(model, &mut self.state, passed, x, wide)?;
                scored.counts[1].add(counts);
                unknown[row] = first_pass.is_some_and(|fast| fast.is_beyond(x));
                kept[row] = cache.and_then(|cache| cache.of(assembler, &self.state, passed));
            }
            watch.lap(Stage::Enrich);
            scored.kept += kept[..rows].iter().flatten().count() as u32;
            let wide = model.has_wide().then_some(&wide[..rows * heads]);
            run_tile(&mut pass, rows, |row| first + row, &kept[..rows], wide, &mut self.logits, heads)?;
            if first_pass.is_some() {
                pass.cut_off(rows, |row| unknown[row] = true);
                for row in (0..rows).filter(|&row| unknown[row]) {
                    self.logits.iter_mut().for_each(|logits| logits[first + row] = f32::NAN);
                }
            }
            watch.lap(Stage::Score);
            scored.n = first + rows;
        }
        assembler.count_wrong_side(&self.state);
        Ok(scored)
    }

    /// After a fast pass: computes the exact logits of those candidates that the auction of `n_slots` depends on, at the
    /// level of sharing that an exact pass over all would have, so that they are the same to the bit. If one of them is
    /// farther off than it may be, the fast logits are not to be relied upon, and all are computed.
    fn settle(
        &mut self,
        generation: &Generation,
        scored: &Scored,
        input: Input<'_>,
        n_slots: usize,
        fast: &Fast,
        watch: &mut Watch,
    ) -> Result<(), Refusal> {
        let (n, calibrators) = (scored.n, generation.calibrators());
        let off = |logit| fast.off(logit);
        let logits = &self.logits;
        let bounds = |first: usize, some: &mut [Bounds]| {
            let rows = first..first + some.len();
            let of = |head: usize| &logits[head][rows.clone()];
            let none = [f32::NAN; 2];
            some.fill(Bounds { pctr: none, pcvr: none });
            if scored.has_ctr {
                calibrators.ctr.bounds(of(0), off, |i, ends| some[i].pctr = ends);
            }
            if scored.has_cvr {
                // Logits stand in the order of the model's heads.
                let cvr = of(usize::from(scored.has_ctr));
                calibrators.cvr.bounds(cvr, off, |i, ends| some[i].pcvr = ends);
            }
        };
        self.shortlist.choose(generation.policy(), &input.candidates[..n], n_slots, bounds);
        let mut listed = 0;
        for i in (0..n).filter(|&i| self.shortlist.contains(i)) {
            self.listed[listed] = i as u32;
            listed += 1;
        }
        for (fast, logits) in self.fast.iter_mut().zip(&self.logits) {
            fast[..n].copy_from_slice(&logits[..n]);
        }
        watch.lap(Stage::Calibrate);
        self.exact(generation, scored, input, listed, watch)?;
        let heads = usize::from(scored.has_ctr) + usize::from(scored.has_cvr);
        let as_told = |memory: &Self, i: usize| {
            (0..heads).all(|head| {
                let (fast, exact) = (memory.fast[head][i], memory.logits[head][i]);
                // A fast sum may overflow where the exact one does not; such a candidate was listed.
                !fast.is_finite() || (fast - exact).abs() <= off(fast)
            })
        };
        if !(0..listed).all(|at| as_told(self, self.listed[at] as usize)) {
            self.listed[..n].iter_mut().zip(0..).for_each(|(place, i)| *place = i);
            self.exact(generation, scored, input, n, watch)?;
        }
        Ok(())
    }

    /// The exact logits of the first `listed` candidates of the list.
    fn exact(
        &mut self,
        generation: &Generation,
        scored: &Scored,
        input: Input<'_>,
        listed: usize,
        watch: &mut Watch,
    ) -> Result<(), Refusal> {
        let (model, assembler) = (generation.model(), &generation.assembler);
        let (request_width, heads) = (model.layout().request_width, model.network().heads.len());
        let x = &self.request[..request_width];
        let mut pass = begin(generation, &generation.plan, &mut self.scratch, Some((x, input.candidates.len())))?;
        let cache = generation.kept().filter(|_| pass.keeps());
        let tile_rows = generation.plan.tile_for(listed);
        for list in self.listed[..listed].chunks(tile_rows) {
            let mut wide = [0.0; 2 * TILE_ROWS];
            let mut kept = [None; TILE_ROWS];
            let mut tile = tile_of(&mut pass, list.len())?;
            for (row, &i) in list.iter().enumerate() {
                let wide = &mut wide[row * heads..][..heads];
                wide.copy_from_slice(&scored.wide[..heads]);
                let x = &mut tile.row(row)[request_width..];
                let passed = passed(&input, i as usize);
                assembler.candidate(model, &mut self.state, passed, x, wide)?;
                kept[row] = cache.and_then(|cache| cache.of(assembler, &self.state, passed));
            }
            let wide = model.has_wide().then_some(&wide[..list.len() * heads]);
            let kept = &kept[..list.len()];
            run_tile(&mut pass, list.len(), |row| list[row] as usize, kept, wide, &mut self.logits, heads)?;
        }
        watch.lap(Stage::Score);
        Ok(())
    }

    fn score_dense(
        &mut self,
        generation: &Generation,
        x: &[f32],
        n: usize,
        width: usize,
        watch: &mut Watch,
    ) -> Result<Scored, Refusal> {
        let model = generation.model();
        let layout: &Layout = model.layout();
        if width != layout.width {
            return Err(Refusal::Length { what: "columns of x", found: width, expected: layout.width });
        }
        if x.len() != n * width {
            return Err(Refusal::Length { what: "x", found: x.len(), expected: n * width });
        }
        if model.has_wide() {
            let rule = "it has a wide part, whose ids ready inputs cannot carry: score raw values";
            return Err(Refusal::Argument { what: "model", rule });
        }
        if let Some(index) = x.iter().position(|v| !v.is_finite()) {
            return Err(Refusal::NotFinite { what: "x", index });
        }
        let heads = model.network().heads.len();
        let (plan, precision) = generation.serving.of_scores(&generation.plan);
        let mut scored = Scored::new(generation, precision);
        watch.lap(Stage::Enrich);
        let mut pass = begin(generation, plan, &mut self.scratch, None)?;
        watch.lap(Stage::Score);
        let tile_rows = plan.tile_for(n);
        for first in (0..n).step_by(tile_rows) {
            let rows = tile_rows.min(n - first);
            let mut tile = tile_of(&mut pass, rows)?;
            for row in 0..rows {
                let (from, to) = (&x[(first + row) * width..][..width], tile.row(row));
                for c in &layout.columns {
                    to[c.serving..][..c.width].copy_from_slice(&from[c.declared..][..c.width]);
                }
            }
            watch.lap(Stage::Enrich);
            run_tile(&mut pass, rows, |row| first + row, &[], None, &mut self.logits, heads)?;
            watch.lap(Stage::Score);
        }
        scored.n = n;
        Ok(scored)
    }

    /// Logits to calibrated probabilities.
    fn probabilities(&mut self, generation: &Generation, scored: &Scored, watch: &mut Watch) {
        let calibrators = generation.calibrators();
        if !scored.has_ctr {
            // The one head predicts conversions. Nothing is known of clicks, so that no bid that needs them wins.
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

    /// Counts what a request lacked.
    fn count(&self, generation: &Generation, scored: &Scored, meter: &mut Meter) {
        meter.kept(scored.kept);
        meter.values(Side::Request, scored.counts[0]);
        meter.values(Side::Candidate, scored.counts[1]);
        meter.keys(generation.table_numbers().iter().copied().zip(self.state.lookups().iter().copied()));
    }

    /// Bytes that it holds.
    fn bytes(&self) -> usize {
        let Self { scratch, state, request, logits: [a, b], pctr, pcvr, auction, shortlist, listed, fast: [c, d] } =
            self;
        let floats: usize = [request, a, b, c, d, pctr, pcvr].iter().map(|floats| size_of_val(&***floats)).sum();
        scratch.bytes() + state.bytes() + auction.bytes() + shortlist.bytes() + size_of_val(&**listed) + floats
    }
}

impl Scored {
    fn new(generation: &Generation, precision: Precision) -> Self {
        let heads = &generation.model().network().heads;
        let has = |kind| heads.iter().any(|head| head.kind == kind);
        let (has_ctr, has_cvr) = (has(HeadKind::Ctr), has(HeadKind::Cvr));
        Self {
            n: 0,
            counts: Default::default(),
            has_ctr,
            has_cvr,
            precision,
            to_settle: false,
            wide: [0.0; 2],
            kept: 0,
        }
    }
}

fn check_outputs(n: usize, pctr: &[f32], pcvr: &[f32]) -> Result<(), Refusal> {
    if pctr.len() != n {
        return Err(Refusal::Length { what: "pctr", found: pctr.len(), expected: n });
    }
    if !pcvr.is_empty() && pcvr.len() != n {
        return Err(Refusal::Length { what: "pcvr", found: pcvr.len(), expected: n });
    }
    Ok(())
}

/// Starts a pass: a request's columns and its number of candidates. Without a request nothing is shared between rows.
fn begin<'a>(
    generation: &'a Generation,
    plan: &'a Plan,
    scratch: &'a mut Scratch,
    request: Option<(&[f32], usize)>,
) -> Result<Pass<'a>, Refusal> {
    let weights = Weights::of(generation.model());
    match request {
        Some((x, candidates)) => {
            // Kept sums are those of the exact plan.
            let exact = std::ptr::eq(plan, &*generation.plan);
            let keeping = generation.kept().filter(|_| exact).map(|cache| &cache.keeping);
            plan.begin_keeping(keeping, weights, scratch, x, candidates)
        }
        None => plan.begin_dense(weights, scratch),
    }
    .map_err(|_| Refusal::Internal { what: "the plan does not fit its own model" })
}

fn tile_of<'a>(pass: &'a mut Pass<'_>, rows: usize) -> Result<Tile<'a>, Refusal> {
    pass.tile(rows).map_err(|_| Refusal::Internal { what: "the tile does not fit the plan" })
}

/// Runs a tile and puts its logits in their places, head by head: those of row r belong to candidate `place(r)`.
fn run_tile(
    pass: &mut Pass<'_>,
    rows: usize,
    place: impl Fn(usize) -> usize,
    kept: &[Option<&[f32]>],
    wide: Option<&[f32]>,
    logits: &mut [Box<[f32]>],
    heads: usize,
) -> Result<(), Refusal> {
    let mut tile = [0.0; 2 * TILE_ROWS];
    let tile = &mut tile[..rows * heads];
    pass.run_kept(rows, kept, wide, tile).map_err(|_| Refusal::Internal { what: "the tile does not fit the plan" })?;
    for (head, logits) in logits.iter_mut().take(heads).enumerate() {
        for row in 0..rows {
            logits[place(row)] = tile[row * heads + head];
        }
    }
    Ok(())
}

fn outcome(generation: &Generation, scored: &Scored, n: usize, n_winners: usize) -> Outcome {
    Outcome {
        struct_size: size_of::<Outcome>() as u32,
        n_winners: n_winners as u32,
        n_scored: scored.n as u32,
        n_cut: (n - scored.n) as u32,
        n_missing: scored.counts.iter().fold(0, |sum, c| c.missing.saturating_add(c.ignored).saturating_add(sum)),
        precision: scored.precision as u32,
        generation: generation.id(),
        n_wrong_side: scored.counts.iter().fold(0, |sum, c| c.wrong_side.saturating_add(sum)),
        reserved: 0,
    }
}
