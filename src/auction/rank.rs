//! Eligibility, ranking and second prices.

use std::cmp::Ordering;

use super::{Amount, Bid, Placement, Policy, Reason};
use crate::error::{Error, Result, Status};
use crate::memory::reserved;
use crate::types::{BidKind, NO_CANDIDATE, PriceBound};

/// The memory of one auction at a time. Sized once, so that auctions allocate nothing.
#[derive(Debug)]
pub struct Scratch {
    entries: Vec<Entry>,
    capacity: usize,
    tally: Tally,
}

/// How many candidates had each [`Reason`], by its number.
pub(crate) type Tally = [u32; Reason::ALL.len()];

impl Scratch {
    /// Room for auctions of up to `max_candidates` (24 bytes each).
    #[must_use]
    pub fn new(max_candidates: usize) -> Self {
        Self { entries: Vec::with_capacity(max_candidates), capacity: max_candidates, tally: Tally::default() }
    }

    /// The same.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub(crate) fn try_new(max_candidates: usize) -> Result<Self> {
        Ok(Self { entries: reserved(max_candidates)?, capacity: max_candidates, tally: Tally::default() })
    }

    /// The counts of the last auction's candidates by reason.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.capacity * size_of::<Entry>()
    }

    /// The most candidates that an auction may have.
    #[must_use]
    pub fn max_candidates(&self) -> usize {
        self.capacity
    }
}

/// An eligible candidate.
#[derive(Debug, Clone, Copy)]
struct Entry {
    score: f64,
    key: u64,
    index: u32,
}

impl Entry {
    /// Best first. A total order in which no two candidates are equal, so the winners do not depend on the algorithm.
    fn rank(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.key.cmp(&other.key)).then(self.index.cmp(&other.index))
    }
}

/// Runs one auction for `n_slots` places (0 places: no winners) and returns how many were filled.
///
/// Fills `placements[..filled]`, best place first, and `reasons[i]` for bid `i` when reasons are asked for.
///
/// # Errors
/// [`Status::CapacityExceeded`] for more bids than `scratch` was made for; [`Status::BufferTooSmall`] when
/// `placements` holds fewer than `min(n_slots, bids)` or `reasons` fewer than there are bids. A bid is never an error:
/// it gets a [`Reason`].
pub fn run<A: Amount>(
    policy: &Policy,
    bids: &[Bid<A>],
    n_slots: usize,
    scratch: &mut Scratch,
    placements: &mut [Placement<A>],
    reasons: Option<&mut [Reason]>,
) -> Result<usize> {
    // The index is always below `bids.len()`.
    let get = |index: usize| Ok(bids[index]);
    let ranking = Ranking::new(policy, bids.len(), get, n_slots, scratch, placements.len(), reasons)?;
    for (slot, place) in placements.iter_mut().take(ranking.n_placed).enumerate() {
        *place = ranking.placement(slot)?;
    }
    Ok(ranking.n_placed)
}

/// The eligible candidates in order, as far as the prices of the places need it: each winner, and the one after the
/// last.
pub(super) struct Ranking<'a, G> {
    policy: &'a Policy,
    get: G,
    entries: &'a [Entry],
    pub(super) n_placed: usize,
}

impl<'a, A: Amount, G: Fn(usize) -> std::result::Result<Bid<A>, Reason>> Ranking<'a, G> {
    /// Ranks the `n` bids that `get` gives for the indices from 0. `room` is how many places the caller can take.
    pub(super) fn new(
        policy: &'a Policy,
        n: usize,
        get: G,
        n_slots: usize,
        scratch: &'a mut Scratch,
        room: usize,
        mut reasons: Option<&mut [Reason]>,
    ) -> Result<Self> {
        if n > scratch.capacity || n >= NO_CANDIDATE as usize {
            let text = format!("{n} candidates, but the auction was sized for {}", scratch.capacity);
            return Err(Error::new(Status::CapacityExceeded, text));
        }
        let most = n_slots.min(n);
        if room < most {
            let text = format!("room for {room} winners, but {n} candidates may fill {most} of {n_slots} slots");
            return Err(Error::new(Status::BufferTooSmall, text));
        }
        if let Some(reasons) = &reasons
            && reasons.len() < n
        {
            let text = format!("room for {} reasons, but there are {n} candidates", reasons.len());
            return Err(Error::new(Status::BufferTooSmall, text));
        }

        let Scratch { entries, tally, .. } = scratch;
        entries.clear();
        *tally = Tally::default();
        for index in 0..n {
            let terms = get(index).and_then(|bid| Ok((bid.key, Terms::new(policy, &bid)?)));
            let reason = match terms {
                Ok((key, terms)) => {
                    entries.push(Entry { score: terms.score, key, index: index as u32 });
                    Reason::Outranked
                }
                Err(reason) => {
                    tally[reason as usize] += 1;
                    reason
                }
            };
            if let Some(reasons) = &mut reasons {
                reasons[index] = reason;
            }
        }

        let n_placed = n_slots.min(entries.len());
        tally[Reason::Won as usize] = n_placed as u32;
        tally[Reason::Outranked as usize] = (entries.len() - n_placed) as u32;
        // Neither of the two allocates, and neither takes more than O(n log n) for any scores.
        if n_placed < entries.len() {
            entries.select_nth_unstable_by(n_placed, Entry::rank);
        }
        entries[..n_placed].sort_unstable_by(Entry::rank);
        if let Some(reasons) = &mut reasons {
            for entry in &entries[..n_placed] {
                reasons[entry.index as usize] = Reason::Won;
            }
        }
        Ok(Self { policy, get, entries, n_placed })
    }

    /// The candidate in place `slot`, which is below `n_placed`, and its price.
    pub(super) fn placement(&self, slot: usize) -> Result<Placement<A>> {
        let entry = self.entries[slot];
        let next = self.entries.get(slot + 1);
        // The bid passed when it was ranked, so it passes here too.
        let (bid, terms) =
            (self.get)(entry.index as usize)
                .and_then(|bid| Ok((bid, Terms::new(self.policy, &bid)?)))
                .map_err(|reason| Error::new(Status::Internal, format!("winner {} is now {reason}", entry.index)))?;
        let floor = self.policy.score_floor();
        let next_score = next.map_or(0.0, |next| next.score);
        let needed = next_score.max(floor) / terms.weight * terms.billed_per_bid;
        // At the score of the next one the keys decide: a candidate that loses by key must be ahead.
        let is_next_score = next.is_some() && next_score >= floor;
        let loses_tie = next.is_some_and(|next| (next.key, next.index) < (entry.key, entry.index));
        let needed_amount = if is_next_score && loses_tie { A::above(needed) } else { A::at_least(needed) };

        let (price, bound) = if needed_amount > terms.most {
            (terms.most, PriceBound::Bid)
        } else if bid.reserve > needed_amount {
            (bid.reserve, PriceBound::Reserve)
        } else if is_next_score {
            (needed_amount, PriceBound::NextScore)
        } else {
            (needed_amount, PriceBound::Reserve)
        };
        Ok(Placement {
            candidate: entry.index,
            runner_up: next.map_or(NO_CANDIDATE, |next| next.index),
            price,
            unrounded_price: needed.max(bid.reserve.to_f64()).min(terms.worth),
            bound,
            ecpm: terms.ecpm,
            score: entry.score,
        })
    }
}

/// The data of an eligible bid that ranking and pricing need.
pub(super) struct Terms<A> {
    /// Expected value of 1000 impressions at the bid.
    ecpm: f64,
    /// Score per micro of the bid.
    weight: f64,
    /// `weight` times the bid.
    pub(super) score: f64,
    /// Billed amount per micro of the bid: 1, or for oCPM the conversions in 1000 impressions.
    billed_per_bid: f64,
    /// The bid in billed units.
    worth: f64,
    /// The highest price: `worth`, rounded down to whole micros where amounts are whole.
    most: A,
}

impl<A: Amount> Terms<A> {
    pub(super) fn new(policy: &Policy, bid: &Bid<A>) -> std::result::Result<Self, Reason> {
        Valid::new(bid)?.terms(policy, bid.pctr, bid.pcvr)
    }
}

/// A bid that can rank if its probabilities allow it.
pub(super) struct Valid<A> {
    kind: BidKind,
    bid: A,
    amount: f64,
    reserve: A,
    modifier: f64,
    quality: f64,
}

impl<A: Amount> Valid<A> {
    #[inline]
    pub(super) fn new(bid: &Bid<A>) -> std::result::Result<Self, Reason> {
        let amount = bid.amount.bid()?;
        if !is_factor(bid.modifier) {
            return Err(Reason::InvalidModifier);
        }
        if !is_factor(bid.quality) {
            return Err(Reason::InvalidQuality);
        }
        if !bid.reserve.can_be_reserve() {
            return Err(Reason::InvalidReserve);
        }
        let &Bid { kind, amount: bid, reserve, modifier, quality, .. } = bid;
        Ok(Self { kind, bid, amount, reserve, modifier, quality })
    }

    /// Its value with these probabilities.
    #[inline]
    pub(super) fn terms(&self, policy: &Policy, pctr: f64, pcvr: f64) -> std::result::Result<Terms<A>, Reason> {
        let amount = self.amount;
        // The bid's events in 1000 impressions, plain and squashed.
        let (events, squashed) = match self.kind {
            BidKind::Cpm => (1.0, 1.0),
            BidKind::Cpc => {
                let q = valid_pctr(pctr)?;
                (1000.0 * q, 1000.0 * policy.squashed(q))
            }
            BidKind::Cpa | BidKind::Ocpm => {
                let q = valid_pctr(pctr)? * valid_pcvr(pcvr)?;
                (1000.0 * q, 1000.0 * policy.squashed(q))
            }
        };
        let (billed_per_bid, most) = match self.kind {
            BidKind::Cpm | BidKind::Cpc | BidKind::Cpa => (1.0, self.bid),
            BidKind::Ocpm => (events, A::at_most(amount * events)),
        };
        if most < self.reserve {
            return Err(Reason::BelowReserve);
        }
        let weight = self.modifier * squashed * self.quality;
        let score = amount * weight;
        // Subnormal numbers have lost digits, so they would misorder and misprice.
        let ecpm = amount * events;
        if !weight.is_normal() || !score.is_normal() || !ecpm.is_normal() {
            return Err(Reason::ScoreOutOfRange);
        }
        if score < policy.score_floor() {
            return Err(Reason::BelowScoreFloor);
        }
        Ok(Terms { ecpm, weight, score, billed_per_bid, worth: amount * billed_per_bid, most })
    }
}

fn is_factor(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

fn valid_pctr(pctr: f64) -> std::result::Result<f64, Reason> {
    if pctr > 0.0 && pctr <= 1.0 { Ok(pctr) } else { Err(Reason::InvalidPctr) }
}

fn valid_pcvr(pcvr: f64) -> std::result::Result<f64, Reason> {
    if pcvr.is_nan() {
        Err(Reason::MissingPcvr)
    } else if pcvr > 0.0 && pcvr <= 1.0 {
        Ok(pcvr)
    } else {
        Err(Reason::InvalidPcvr)
    }
}
