//! Exploration: slates that are drawn, with the probability of every place, and the cap on what that may cost.
//!
//! A place is drawn among the pool: the best so many, and all that would have won. Of those that fit the slot and may stand
//! beside the ones drawn before, only the best tier takes part; candidate `i` of `K` gets the place with probability
//!
//! | method | probability |
//! | --- | --- |
//! | ε-greedy | `(1-ε)·[i is the best] + ε/K` |
//! | Plackett-Luce | `s_i^(1/T) / Σ_j s_j^(1/T)` over the K scores |
//!
//! That is the probability of the place given those before it; the product over the places is that of the slate. The first
//! place has none before it, so there the probability is also the marginal one. Everything random is a hash of the request's
//! id, so the same request draws the same slate.

use super::order::Order;
use super::policy::{Draw, Explore, MAX_POOL};
use super::seats::{Candidates, Standing};
use super::{Limits, MAX_PAGE_SLOTS};
use crate::hash::mix;

/// Requests between two fresh starts of the account.
const WINDOW: u32 = 100_000;

/// What exploration has cost so far, one caller's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    requests: u32,
    /// Micros of expected revenue, of single requests.
    given_up: f64,
}

impl Account {
    /// Opens one more request. True when all that its slate may give up fits under the cap: `at_stake` is what the slate
    /// brings that nobody draws. It does not look at what is drawn, so that the propensities stay true.
    pub(super) fn admits(&mut self, explore: &Explore, at_stake: f64) -> bool {
        if self.requests == WINDOW {
            *self = Self::default();
        }
        self.requests += 1;
        self.given_up + at_stake <= explore.max_given_up_micros as f64
    }

    pub(super) fn spend(&mut self, given_up: f64) {
        self.given_up += given_up.max(0.0);
    }
}

/// A drawn place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) slot: u32,
    /// Position in the order.
    pub(super) at: u32,
    /// Given the places before.
    pub(super) propensity: f64,
}

/// The random numbers of one request.
struct Random(u64);

impl Random {
    fn of_request(request_id: u64) -> Self {
        // So that draws have nothing in common with other hashes of the id.
        Self(mix(request_id ^ 0x6578_706c_6f72_6521))
    }

    /// In [0, 1).
    fn number(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Draws a slate for the slots into `drawn`, and returns how many places it fills.
#[expect(clippy::too_many_arguments, reason = "the setting of one auction, which nothing else needs together")]
pub(super) fn draw(
    order: &Order<'_>,
    pool: usize,
    candidates: &impl Candidates,
    explore: &Explore,
    limits: Limits,
    n_slots: usize,
    request_id: u64,
    drawn: &mut [Drawn],
) -> usize {
    let mut random = Random::of_request(request_id);
    let mut standing = Standing::new(limits);
    let mut taken = [false; MAX_POOL + MAX_PAGE_SLOTS];
    let mut n = 0;
    for slot in 0..n_slots.min(drawn.len()) {
        let mut open = [0u16; MAX_POOL + MAX_PAGE_SLOTS];
        let mut k = 0;
        for (at, entry) in order.entries.iter().enumerate().take(pool.min(taken.len())) {
            if k > 0 && entry.tier != order.entries[usize::from(open[0])].tier {
                break;
            }
            if !taken[at] && standing.admits(&candidates.groups(entry.index)) && candidates.fits(entry.index, slot) {
                open[k] = at as u16;
                k += 1;
            }
        }
        // Two numbers for each slot, so that one slot's draw does not move the next one's.
        let (first, second) = (random.number(), random.number());
        if k == 0 {
            continue;
        }
        let open = &open[..k];
        let score = |which: usize| order.entries[usize::from(open[which])].score;
        let (which, propensity) = match explore.draw {
            Draw::EpsilonGreedy(epsilon) => {
                let which = if first < epsilon { (second * k as f64) as usize } else { 0 };
                (which, epsilon / k as f64 + if which == 0 { 1.0 - epsilon } else { 0.0 })
            }
            Draw::PlackettLuce(temperature) => {
                let weight = |which| libm::pow(score(which) / score(0), 1.0 / temperature);
                let all: f64 = (0..k).map(weight).sum();
                let mut left = first * all;
                let which = (0..k - 1).find(|&which| {
                    left -= weight(which);
                    left < 0.0
                });
                let which = which.unwrap_or(k - 1);
                (which, weight(which) / all)
            }
        };
        let at = open[which];
        taken[usize::from(at)] = true;
        standing.add(candidates.groups(order.entries[usize::from(at)].index));
        drawn[n] = Drawn { slot: slot as u32, at: at.into(), propensity };
        n += 1;
    }
    n
}
