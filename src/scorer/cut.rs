//! Which candidates are scored first when a deadline may cut the rest: those that would score best by a cheap guess.
//!
//! The guess is the auction's own rank with the probabilities that each ad had in this scorer's decisions with a deadline; an ad
//! that none of them scored gets the mean of all. Nothing is reordered as long as there seems to be time for all.

use crate::auction::{self, CANDIDATE_CUT, Page};
use crate::error::Result;
use crate::hash::mix;
use crate::memory::filled;
use crate::types::Candidate;

use std::time::{Duration, Instant};

/// The probabilities that an ad had.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// 0: nobody was here.
    ad: u64,
    pctr: f32,
    pcvr: f32,
}

/// What decisions with a deadline leave for the next ones.
pub(super) struct CutMemory {
    /// By the hash of the ad, whoever came last: a power of two.
    seen: Box<[Seen]>,
    /// Means of what was scored: pCTR, pCVR.
    mean: [f32; 2],
    /// What a candidate takes to score, in nanoseconds; 0: not known.
    each: f32,
    /// Guessed ranks, then candidates in their order, `[n]`.
    order: Box<[u64]>,
    /// From which place on `order` is in use; usize::MAX: nowhere.
    ordered_from: usize,
}

const INDEX_BITS: u32 = 20;
const _: () = assert!(crate::limits::MAX_CANDIDATES <= 1 << INDEX_BITS);

/// How much a new mean moves the old one.
const WEIGHT: f32 = 0.1;

impl CutMemory {
    /// For `n` candidates: 4 entries of 16 bytes and a place in the order for each.
    pub(super) fn new(n: usize) -> Result<Self> {
        let seen = filled(n.saturating_mul(4).next_power_of_two())?;
        Ok(Self { seen, mean: [0.01, 0.01], each: 0.0, order: filled(n)?, ordered_from: usize::MAX })
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.seen) + size_of_val(&*self.order)
    }

    /// Begins a request: candidates in their own order.
    pub(super) fn begin(&mut self) {
        self.ordered_from = usize::MAX;
    }

    /// The candidate to be scored as number `at`.
    #[inline]
    pub(super) fn at(&self, at: usize) -> usize {
        if at < self.ordered_from { at } else { (self.order[at] & ((1 << INDEX_BITS) - 1)) as usize }
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.ordered_from != usize::MAX
    }

    /// Whether `left` candidates may take longer than there is time until the deadline.
    pub(super) fn is_short(&self, left: usize, now: Instant, deadline: Instant) -> bool {
        let needed = Duration::from_nanos((f64::from(self.each) * 1.25 * left as f64) as u64);
        self.each == 0.0 || now + needed >= deadline
    }

    /// Learns what a candidate took.
    pub(super) fn took(&mut self, candidates: usize, time: Duration) {
        let each = time.as_nanos() as f32 / candidates.max(1) as f32;
        self.each = if self.each == 0.0 { each } else { self.each + WEIGHT * (each - self.each) };
    }

    fn place(&self, ad: u64) -> usize {
        mix(ad) as usize & (self.seen.len() - 1)
    }

    /// Orders the candidates from place `from` on, best guess first.
    pub(super) fn order(&mut self, page: &Page<'_>, candidates: &[Candidate], from: usize) {
        self.ordered_from = from;
        for (index, candidate) in candidates.iter().enumerate().skip(from) {
            let seen = self.seen[self.place(candidate.ad_key)];
            let known = seen.ad == candidate.ad_key && seen.ad != 0;
            let [pctr, pcvr] = if known { [seen.pctr, seen.pcvr] } else { self.mean };
            // Tiers stand before scores; who makes no bid comes last.
            let rank = match auction::guess(page, candidate, pctr, pcvr) {
                Ok((tier, score)) => u64::from(tier) << 32 | u64::from(!(score as f32).to_bits()),
                Err(_) => (1 << (64 - INDEX_BITS)) - 1,
            };
            self.order[index] = rank << INDEX_BITS | index as u64;
        }
        self.order[from..candidates.len()].sort_unstable();
    }

    /// Of a request in the order of guesses: marks those that were not reached, so that they take no part.
    pub(super) fn mark(&self, candidates: &mut [Candidate], n_scored: usize, logits: &mut [Box<[f32]>]) {
        for at in n_scored..candidates.len() {
            let index = self.at(at);
            candidates[index].flags |= CANDIDATE_CUT;
            logits.iter_mut().for_each(|logits| logits[index] = f32::NAN);
        }
    }

    /// Learns what the ads of a decision with a deadline were like.
    pub(super) fn learn(&mut self, candidates: &[Candidate], n_scored: usize, [pctr, pcvr]: [&[f32]; 2]) {
        let (mut sums, mut n) = ([0.0; 2], [0.0_f32; 2]);
        for at in 0..n_scored {
            let index = self.at(at);
            let seen = Seen { ad: candidates[index].ad_key, pctr: pctr[index], pcvr: pcvr[index] };
            for (head, p) in [seen.pctr, seen.pcvr].into_iter().enumerate() {
                if p.is_finite() {
                    sums[head] += p;
                    n[head] += 1.0;
                }
            }
            let place = self.place(seen.ad);
            self.seen[place] = seen;
        }
        for (head, mean) in self.mean.iter_mut().enumerate() {
            if n[head] > 0.0 {
                *mean += WEIGHT * (sums[head] / n[head] - *mean);
            }
        }
    }
}
