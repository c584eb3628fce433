//! Finds the candidates that can decide an auction when probabilities are known only within bounds. Only their exact
//! probabilities are worth computing.

use super::candidates::{bid, groups};
use super::order::{Entry, Order, State};
use super::seats::Crowd;
use super::terms::Valid;
use super::{Bid, Groups, MAX_PAGE_SLOTS, Page};
use crate::error::Result;
use crate::memory::{filled, reserved};
use crate::types::Candidate;

/// The lower and upper bounds of a candidate's pCTR and pCVR. Without a pCVR both of its bounds are NaN.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bounds {
    /// pCTR, lower and upper bound.
    pub pctr: [f32; 2],
    /// pCVR, lower and upper bound.
    pub pcvr: [f32; 2],
}

/// The number of candidates whose bounds are fetched together.
const TOGETHER: usize = 64;

/// The most candidates that must be certainly ahead under limits of all kinds.
const MOST_AHEAD: usize = size_of::<Groups>() / size_of::<u64>() * MAX_PAGE_SLOTS + 1;

/// The memory of one shortlist at a time. Sized once, so nothing allocates later.
#[derive(Debug)]
pub struct Shortlist {
    /// The greatest scores at the lower bounds, of candidates that are eligible at both.
    lower: Vec<f64>,
    /// The same candidates with their tiers, where more than scores decides.
    entries: Vec<Entry>,
    /// Some of them that cannot all be kept out by limits.
    crowd: Crowd,
    /// Each candidate's tier, where tiers matter.
    tier: Box<[u16]>,
    /// Each candidate's score at the upper bound, if it is eligible at both; else NaN, and `listed` is final.
    upper: Box<[f64]>,
    listed: Box<[bool]>,
    count: usize,
}

impl Shortlist {
    /// Room for this many candidates (43 bytes each).
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub fn new(max_candidates: usize) -> Result<Self> {
        Ok(Self {
            lower: reserved(max_candidates)?,
            entries: reserved(max_candidates)?,
            crowd: Crowd::new(MOST_AHEAD)?,
            tier: filled(max_candidates)?,
            upper: filled(max_candidates)?,
            listed: filled(max_candidates)?,
            count: 0,
        })
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>() + size_of_val(&*self.tier) + self.crowd.bytes();
        self.lower.capacity() * size_of::<f64>() + entries + size_of_val(&*self.upper) + self.listed.len()
    }

    /// Lists the candidates that the auction's winners, prices, runners-up or reasons may depend on. An auction with
    /// exact probabilities for these, and with any within the bounds for the others, gives the result of the exact
    /// auction: every other candidate is behind enough listed ones to fill all slots and one more, whatever limits keep
    /// out, or is turned down for the same reason at both of its bounds. It does not hold for a policy that draws places.
    /// `bounds` fills in those of some candidates from the given one on. Returns the number listed. If there are more
    /// candidates than there is room for, only the first count.
    pub fn choose(
        &mut self,
        page: &Page<'_>,
        candidates: &[Candidate],
        mut bounds: impl FnMut(usize, &mut [Bounds]),
    ) -> usize {
        self.count = candidates.len().min(self.listed.len());
        self.lower.clear();
        self.entries.clear();
        let candidates = &candidates[..self.count];
        let masked = candidates.iter().any(|candidate| candidate.slot_mask != 0);
        let by_score = !masked && !page.policy.has_page_rules() && page.policy.tiers.is_empty();
        // A candidate does not count once this many others are certainly ahead. `least` is the least of their scores.
        let ahead = page.n_slots.saturating_add(1);
        let mut least = f64::NEG_INFINITY;
        let many = ahead.saturating_mul(2).max(TOGETHER);
        let mut chunk = [Bounds::default(); TOGETHER];
        for (i, candidate) in candidates.iter().enumerate() {
            if i % TOGETHER == 0 {
                bounds(i, &mut chunk[..TOGETHER.min(self.count - i)]);
            }
            let Bounds { pctr, pcvr } = chunk[i % TOGETHER];
            self.upper[i] = f64::NAN;
            let bid = bid(page, candidate, f64::NAN, f64::NAN);
            let Ok((bid, valid)) = bid.and_then(|bid| Ok((bid, Valid::new(page, &bid)?))) else {
                // Turned down for any probabilities within the bounds.
                self.listed[i] = false;
                continue;
            };
            let score = |end: usize| {
                let terms = valid.terms(page, f64::from(pctr[end]), f64::from(pcvr[end]));
                terms.map(|terms| terms.score)
            };
            self.listed[i] = match (score(0), score(1)) {
                (Ok(low), Ok(high)) => {
                    self.upper[i] = high;
                    if !by_score {
                        self.tier[i] = bid.tier;
                        let open = candidate.slot_mask == 0 && fits_all(page, &valid, &bid, pctr[0], pcvr[0]);
                        let state = if open { State::Open } else { State::Excluded };
                        self.entries.push(Entry { score: low, key: 0, index: i as u32, tier: bid.tier, state });
                    } else if low > least {
                        if self.lower.len() == many {
                            least = greatest(&mut self.lower, ahead);
                        }
                        self.lower.push(low);
                    }
                    false
                }
                (Err(low), Err(high)) => low != high,
                _ => true,
            };
        }
        if by_score && ahead <= self.lower.len() {
            least = greatest(&mut self.lower, ahead);
        }
        let behind = if by_score { None } else { self.behind(page, candidates) };
        let mut count = 0;
        for (i, (listed, &upper)) in self.listed.iter_mut().zip(&self.upper[..self.count]).enumerate() {
            *listed |= match (by_score, behind) {
                (true, _) => upper >= least,
                (false, None) => !upper.is_nan(),
                (false, Some((tier, least))) => self.tier[i] < tier || self.tier[i] == tier && upper >= least,
            };
            count += usize::from(*listed);
        }
        count
    }

    /// The tier and score behind which no candidate counts. Ahead of it stand enough for all slots and one more, however the
    /// limits fall: of candidates of which no limit by itself keeps one out, each one placed keeps out at most one for each
    /// kind of limit, so `kinds · slots + 1` of them are enough. Those with a slot mask, or under the reserve of a slot, are
    /// not counted.
    fn behind(&mut self, page: &Page<'_>, candidates: &[Candidate]) -> Option<(u16, f64)> {
        let limits = page.policy.page.limits;
        let kinds = limits.iter().filter(|&&limit| limit > 0).count().max(1);
        let needed = kinds * page.slots_in_order() + 1;
        self.crowd.clear();
        let mut order = Order::new(&mut self.entries);
        let mut at = 0;
        while order.reach(at) {
            let Entry { index, tier, score, state, .. } = order.entries[at];
            let groups = groups(&candidates[index as usize]);
            if state == State::Open && self.crowd.admits(&limits, &groups) {
                self.crowd.add(groups);
                if self.crowd.len() == needed {
                    return Some((tier, score));
                }
            }
            at += 1;
        }
        None
    }

    /// Whether candidate `i` is listed.
    #[must_use]
    pub fn contains(&self, i: usize) -> bool {
        i < self.count && self.listed[i]
    }
}

/// Whether the candidate is worth the reserve of every slot even at the lower bounds.
fn fits_all(page: &Page<'_>, valid: &Valid<i64>, bid: &Bid, pctr: f32, pcvr: f32) -> bool {
    if bid.floor_exempt || !page.policy.has_slot_reserves() {
        return true;
    }
    valid.terms(page, f64::from(pctr), f64::from(pcvr)).is_ok_and(|mut terms| {
        (0..page.slots_in_order()).for_each(|slot| terms.raise_reserve(page, slot));
        terms.reserve <= terms.most
    })
}

/// Keeps the `n` greatest scores, at least 1 and no more than there are. Returns the least of them.
fn greatest(scores: &mut Vec<f64>, n: usize) -> f64 {
    let (_, &mut least, _) = scores.select_nth_unstable_by(n - 1, |a, b| b.total_cmp(a));
    scores.truncate(n);
    least
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, Reason, Scratch, run_candidates};
    use super::*;
    use crate::types::Winner;

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = crate::hash::mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15));
            self.0
        }

        fn number(&mut self) -> f32 {
            (self.next() >> 40) as f32 / (1u64 << 24) as f32
        }

        fn below(&mut self, n: u64) -> u64 {
            self.next() % n
        }
    }

    fn auction(
        policy: &Policy,
        candidates: &[Candidate],
        pctr: &[f32],
        pcvr: &[f32],
        n_slots: usize,
    ) -> (Vec<Winner>, Vec<Reason>) {
        let n = candidates.len();
        let mut winners = vec![Winner::default(); n_slots.min(n)];
        let mut reasons = vec![Reason::Outranked; n];
        let page = Page::new(policy, n_slots);
        let scratch = &mut Scratch::new(n);
        let decision = run_candidates(&page, candidates, pctr, pcvr, scratch, &mut winners, Some(&mut reasons));
        winners.truncate(decision.unwrap().n_winners);
        (winners, reasons)
    }

    /// With exact probabilities, fast ones within the bounds, candidates of all kinds, and policies with and without a
    /// floor, the mixed auction equals the exact one.
    #[test]
    fn what_is_not_listed_does_not_matter() {
        let mut random = Random(7);
        let (mut listed, mut all) = (0, 0);
        for case in 0..3000 {
            let policy = match case % 3 {
                0 => Policy::default(),
                1 => Policy::parse("score_floor_micros = 20000000\n[reserve_micros]\ncpc = 400000\n").unwrap(),
                _ => Policy::parse("squash = 0.6\n").unwrap(),
            };
            let (most, slots) = if case % 10 == 0 { (600, 90) } else { (120, 5) };
            let n = 1 + random.below(most) as usize;
            let n_slots = 1 + random.below(slots) as usize;
            let width = 1.0 + random.number() * if case % 2 == 0 { 0.04 } else { 2.0 };
            let candidates: Vec<Candidate> = (0..n)
                .map(|_| Candidate {
                    ad_key: random.below(50),
                    bid_micros: random.below(3_000_000) as i64 - 1000,
                    reserve_micros: if random.below(3) == 0 { random.below(1_500_000) as i64 } else { 0 },
                    bid_kind: random.below(5) as u32,
                    modifier: [0.0, 1.2, 0.8, f32::NAN][random.below(20).min(3) as usize % 4],
                    ..Candidate::default()
                })
                .collect();
            let has_cvr = random.below(2) == 0;
            let mut exact = [Vec::new(), Vec::new()];
            let mut ends = [Vec::new(), Vec::new()];
            let mut fast = [Vec::new(), Vec::new()];
            for head in 0..2 {
                for _ in 0..n {
                    if head == 1 && !has_cvr {
                        exact[head].push(f32::NAN);
                        ends[head].push([f32::NAN; 2]);
                        fast[head].push(f32::NAN);
                        continue;
                    }
                    let p = random.number() * random.number();
                    let low = p / (1.0 + random.number() * (width - 1.0));
                    let high = (p * (1.0 + random.number() * (width - 1.0))).min(1.0).max(p);
                    exact[head].push(p);
                    ends[head].push([low.min(p), high]);
                    fast[head].push(if random.below(2) == 0 { low.min(p) } else { high });
                }
            }
            let mut shortlist = Shortlist::new(n).unwrap();
            let bounds = |first: usize, some: &mut [Bounds]| {
                for (i, bounds) in (first..).zip(some) {
                    *bounds = Bounds { pctr: ends[0][i], pcvr: ends[1][i] };
                }
            };
            listed += shortlist.choose(&Page::new(&policy, n_slots), &candidates, bounds);
            all += n;
            for i in (0..n).filter(|&i| shortlist.contains(i)) {
                fast[0][i] = exact[0][i];
                fast[1][i] = exact[1][i];
            }
            let (winners, reasons) = auction(&policy, &candidates, &fast[0], &fast[1], n_slots);
            let (right, why) = auction(&policy, &candidates, &exact[0], &exact[1], n_slots);
            let bits = |winners: &[Winner]| winners.iter().map(|w| bytemuck::bytes_of(w).to_vec()).collect::<Vec<_>>();
            assert_eq!(bits(&winners), bits(&right), "case {case}");
            assert_eq!(reasons, why, "case {case}");
        }
        assert!(listed * 2 < all, "{listed} of {all}: a list of everything is none");
        assert!(listed > 3000, "{listed}");
    }

    #[test]
    fn a_probability_that_may_be_any_is_listed() {
        let candidate = Candidate { bid_micros: 1_000_000, bid_kind: 1, ..Candidate::default() };
        let mut shortlist = Shortlist::new(4).unwrap();
        let of = |low, high| Bounds { pctr: [low, high], pcvr: [f32::NAN; 2] };
        let bounds = |_: usize, all: &mut [Bounds]| {
            all.copy_from_slice(&[of(0.0, 1.0), of(0.5, 0.5), of(0.4, 0.4), of(0.3, 0.3)])
        };
        assert_eq!(shortlist.choose(&Page::new(&Policy::default(), 1), &[candidate; 4], bounds), 3);
        assert!(shortlist.contains(0) && !shortlist.contains(3) && !shortlist.contains(4));
        // Turned down at both bounds, but for different reasons.
        let policy = Policy::parse("score_floor_micros = 1000000000\n").unwrap();
        let bounds = |_: usize, all: &mut [Bounds]| all.copy_from_slice(&[of(0.0, 0.1), of(0.1, 0.2)]);
        assert_eq!(shortlist.choose(&Page::new(&policy, 1), &[candidate; 2], bounds), 1);
        assert!(shortlist.contains(0));
    }
}
