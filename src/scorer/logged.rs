//! What a decision leaves in the log: its winners, and for sampled requests its slate.

use super::memory::Memory;
use super::scored::Scored;
use super::tiles::passed;
use crate::auction::{self, CANDIDATE_CUT, Page, Reason};
use crate::decision_log::{self, Decided, Plan, Slate, SlateCandidate};
use crate::enrich::Passed;
use crate::hash::mix;
use crate::live::Generation;
use crate::request::Input;
use crate::schema::Side;
use crate::types::{Candidate, KEEP_NO_USER, NO_CANDIDATE, Value, Winner};

/// A decision that was made.
pub(super) struct Made<'a> {
    pub(super) generation: &'a Generation,
    pub(super) page: &'a Page<'a>,
    /// The probability of all winners in their places together.
    pub(super) propensity: f64,
    pub(super) scored: &'a Scored,
    pub(super) input: &'a Input<'a>,
    pub(super) winners: &'a [Winner],
}

impl Memory {
    /// Logs a decision. Never waits; the work grows with the winners and, for a slate, with the options' limits.
    pub(super) fn log(&mut self, plan: &Plan, made: &Made<'_>) {
        let (r, scored) = (made.input.request, made.scored);
        let device = made.input.values.iter().find(|value| value.feature == plan.device);
        let decided = Decided {
            time_us: r.time_us,
            request_id: r.request_id,
            generation: made.generation.id(),
            policy: made.generation.policy_id(),
            user: r.user_key,
            session: r.session_id,
            device: device.map_or(r.device.into(), |value| value.id),
            placement: r.placement,
            n_candidates: r.n_candidates,
            n_scored: scored.n as u32,
            n_cut: r.n_candidates - scored.n as u32,
            n_winners: made.winners.len() as u32,
            precision: scored.precision as u32,
            propensity: made.propensity,
            keep_no_user: r.flags & KEEP_NO_USER != 0,
            slate_share: plan.slate_share(r.request_id),
        };
        if made.winners.is_empty() {
            let nobody = Winner { candidate: NO_CANDIDATE, ..Winner::default() };
            let scored =
                decision_log::Scored { candidate: Candidate::default(), logits: [f32::NAN; 2], multiplier: f64::NAN };
            plan.decision(&decided, scored, &nobody);
        }
        for winner in made.winners {
            plan.decision(&decided, self.scored(made, winner.candidate as usize), winner);
        }
        if decided.slate_share > 0.0 {
            plan.slate(|slate| {
                slate.decided = decided;
                self.fill(slate, made, plan.others).is_some()
            });
        }
    }

    fn scored(&self, made: &Made<'_>, index: usize) -> decision_log::Scored {
        let of = |has: bool, head: usize| if has { self.logits[head][index] } else { f32::NAN };
        let logits = [of(made.scored.has_ctr, 0), of(made.scored.has_cvr, 1)];
        let candidate = made.input.candidates[index];
        decision_log::Scored { candidate, logits, multiplier: auction::bid_multiplier(made.page, &candidate) }
    }

    /// Fills a slate with its winners and up to about `others` of the other candidates. None: it has no room for all.
    fn fill(&mut self, slate: &mut Slate, made: &Made<'_>, others: usize) -> Option<()> {
        slate.winners.clear();
        slate.candidates.clear();
        slate.values.clear();
        put(&mut slate.winners, made.winners)?;
        let request = Passed::new(0, made.input.values, 0);
        self.values(&mut slate.values, made, Side::Request, request)?;
        slate.request_values = slate.values.len() as u32;
        let share = slate.decided.slate_share;
        for (at, winner) in made.winners.iter().enumerate() {
            self.candidate(slate, made, winner.candidate as usize, at as u32, 1.0 / share)?;
        }
        // Every step-th from a random start: each candidate has the same chance.
        let n = made.scored.end;
        let step = (n as f64 / others.max(1) as f64).max(1.0);
        let start = (mix(mix(made.input.request.request_id)) >> 11) as f64 / (1_u64 << 53) as f64;
        let all = n <= others;
        for at in 0..others.min(n) {
            let index = if all { at } else { (((at as f64 + start) * step) as usize).min(n - 1) };
            let cut = made.input.candidates[index].flags & CANDIDATE_CUT != 0;
            if !cut && !made.winners.iter().any(|winner| winner.candidate as usize == index) {
                self.candidate(slate, made, index, u32::MAX, step / share)?;
            }
        }
        Some(())
    }

    fn candidate(&mut self, slate: &mut Slate, made: &Made<'_>, index: usize, winner: u32, weight: f64) -> Option<()> {
        let scored = self.scored(made, index);
        let (pctr, pcvr) = (self.pctr[index], if made.scored.has_cvr { self.pcvr[index] } else { f32::NAN });
        let assessed = auction::assess(made.page, &scored.candidate, pctr, pcvr);
        let (score, ecpm) = assessed.unwrap_or((f64::NAN, f64::NAN));
        let reason = match assessed {
            _ if winner != u32::MAX => Reason::Won,
            Ok(_) => self.auction.found(index as u32),
            Err(reason) => reason,
        };
        self.values(&mut slate.values, made, Side::Candidate, passed(made.input, index))?;
        let candidate = SlateCandidate {
            index: index as u32,
            scored,
            pctr,
            pcvr,
            score,
            ecpm,
            reason: reason as u32,
            weight,
            winner,
            values_end: slate.values.len() as u32,
        };
        put(&mut slate.candidates, &[candidate])
    }

    /// Adds the raw values that a side's features had.
    fn values(&mut self, to: &mut Vec<Value>, made: &Made<'_>, side: Side, passed: Passed<'_>) -> Option<()> {
        let scoring = made.generation.scoring();
        let of_user = made.input.request.flags & KEEP_NO_USER == 0;
        let mut all = Some(());
        scoring.assembler().resolved(scoring.file(), &mut self.state, (side, of_user), passed, |value| {
            all = all.and_then(|()| put(to, &[value]));
        });
        all
    }
}

/// Adds to a vector what fits into the memory that it has.
fn put<T: Copy>(to: &mut Vec<T>, more: &[T]) -> Option<()> {
    (to.capacity() - to.len() >= more.len()).then(|| to.extend_from_slice(more))
}
