//! Who may take part, and what a bid is worth: its score, its reserve, the most that it may be billed.

use super::{Amount, Bid, Page, Reason};
use crate::types::BidKind;

/// The data of an eligible bid that ranking and pricing need.
pub(super) struct Terms<A> {
    pub(super) kind: BidKind,
    /// Expected value of 1000 impressions at the bid.
    pub(super) ecpm: f64,
    /// Score per micro of the bid.
    pub(super) weight: f64,
    /// `weight` times the bid.
    pub(super) score: f64,
    /// Billed amount per micro of the bid: 1, or for oCPM the conversions in 1000 impressions.
    pub(super) billed_per_bid: f64,
    /// The bid as it takes part: adjusted, in whole units.
    pub(super) bid: A,
    /// The bid in billed units.
    pub(super) worth: f64,
    /// The highest price: `worth`, rounded down to whole units.
    pub(super) most: A,
    /// The lowest price, for the candidate and the page's floors: whole units.
    pub(super) reserve: A,
}

impl<A: Amount> Terms<A> {
    pub(super) fn new(page: &Page<'_>, bid: &Bid<A>) -> Result<Self, Reason> {
        Valid::new(page, bid)?.terms(page, bid.pctr, bid.pcvr)
    }

    /// A reserve of the slot besides.
    pub(super) fn raise_reserve(&mut self, page: &Page<'_>, slot: usize) {
        let reserve = A::at_least(page.slot_reserve(slot, self.kind).0 as f64, page.policy.unit_micros);
        if reserve > self.reserve {
            self.reserve = reserve;
        }
    }

    /// What a price per billed event brings in 1000 impressions.
    pub(super) fn revenue(&self, price: f64) -> f64 {
        match self.kind {
            BidKind::Ocpm => price,
            _ => price / self.bid.to_f64() * self.ecpm,
        }
    }
}

/// A bid that can rank if its probabilities allow it.
pub(super) struct Valid<A> {
    kind: BidKind,
    bid: A,
    amount: f64,
    reserve: A,
    /// The least that a slot asks of those that it fits.
    least_slot: A,
    modifier: f64,
    quality: f64,
    floor_exempt: bool,
}

/// What a bid is worth with its probabilities, before anything is asked of it.
pub(super) struct Worth<A> {
    /// The bid's events in 1000 impressions.
    events: f64,
    billed_per_bid: f64,
    pub(super) most: A,
    pub(super) ecpm: f64,
    pub(super) weight: f64,
    pub(super) score: f64,
}

impl<A: Amount> Valid<A> {
    #[inline]
    pub(super) fn new(page: &Page<'_>, bid: &Bid<A>) -> Result<Self, Reason> {
        let mut amount = bid.amount.bid()?;
        let mut own = bid.amount;
        let policy = page.policy;
        if bid.adjust != 1.0 || policy.unit_micros != 1 {
            own = adjusted(policy.unit_micros, policy.refuses_parts, bid)?;
            amount = own.bid()?;
        }
        if !is_factor(bid.modifier) {
            return Err(Reason::InvalidModifier);
        }
        if !is_factor(bid.quality) {
            return Err(Reason::InvalidQuality);
        }
        if bid.quality < policy.page.min_quality && !bid.floor_exempt {
            return Err(Reason::BelowMinQuality);
        }
        if !bid.reserve.can_be_reserve() {
            return Err(Reason::InvalidReserve);
        }
        if !page.has_slot_for(bid.slots) || bid.slots != 0 && policy.pricing == super::Pricing::Vcg {
            return Err(Reason::NoSlot);
        }
        let &Bid { kind, modifier, quality, floor_exempt, .. } = bid;
        let reserve = bid.reserve.up(policy.unit_micros);
        let least_slot = if floor_exempt { 0 } else { page.least_slot_reserve(kind, bid.slots) };
        let least_slot = A::at_least(least_slot as f64, policy.unit_micros);
        Ok(Self { kind, bid: own, amount, reserve, least_slot, modifier, quality, floor_exempt })
    }

    /// The bid as it takes part.
    pub(super) fn bid(&self) -> A {
        self.bid
    }

    /// What it is worth with these probabilities.
    #[inline]
    pub(super) fn worth(&self, page: &Page<'_>, pctr: f64, pcvr: f64) -> Result<Worth<A>, Reason> {
        let (policy, amount) = (page.policy, self.amount);
        // The bid's events in 1000 impressions, plain and squashed.
        let (events, squashed) = match self.kind {
            BidKind::Cpm => (1.0, 1.0),
            BidKind::Cpc => {
                let q = valid_pctr(pctr)?;
                (1000.0 * q, 1000.0 * policy.squashed(self.kind, q))
            }
            BidKind::Cpa | BidKind::Ocpm => {
                let q = valid_pctr(pctr)? * valid_pcvr(pcvr)?;
                (1000.0 * q, 1000.0 * policy.squashed(self.kind, q))
            }
        };
        let (billed_per_bid, most) = match self.kind {
            BidKind::Cpm | BidKind::Cpc | BidKind::Cpa => (1.0, self.bid),
            BidKind::Ocpm => (events, A::at_most(amount * events, policy.unit_micros)),
        };
        let weight = self.modifier * squashed * self.quality;
        Ok(Worth { events, billed_per_bid, most, ecpm: amount * events, weight, score: amount * weight })
    }

    /// What the page's floor asks of it, in billed units.
    #[inline]
    pub(super) fn floor(&self, page: &Page<'_>, worth: &Worth<A>) -> A {
        A::at_least(page.floor_ecpm / worth.events * worth.billed_per_bid, page.policy.unit_micros)
    }

    /// The reserve that a bid under it did not reach: its own, or else that of a slot, which comes with it.
    pub(super) fn least_reserve(&self, page: &Page<'_>, mask: u32, worth: &Worth<A>) -> (A, u32) {
        if worth.most < self.reserve {
            return (self.reserve, 0);
        }
        (self.least_slot, page.slot_of_least_reserve(self.kind, mask))
    }

    /// The same where it may take part.
    #[inline]
    pub(super) fn terms(&self, page: &Page<'_>, pctr: f64, pcvr: f64) -> Result<Terms<A>, Reason> {
        let policy = page.policy;
        let worth = self.worth(page, pctr, pcvr)?;
        let Worth { billed_per_bid, most, ecpm, weight, score, .. } = worth;
        if most < self.reserve || most < self.least_slot {
            return Err(Reason::BelowReserve);
        }
        // Subnormal numbers have lost digits, so they would misorder and misprice.
        if !weight.is_normal() || !score.is_normal() || !ecpm.is_normal() {
            return Err(Reason::ScoreOutOfRange);
        }
        let mut reserve = self.reserve;
        if !self.floor_exempt {
            if score < policy.score_floor() {
                return Err(Reason::BelowScoreFloor);
            }
            if page.floor_ecpm > 0.0 {
                let floor = self.floor(page, &worth);
                if most < floor {
                    return Err(Reason::BelowFloor);
                }
                reserve = if floor > reserve { floor } else { reserve };
            }
        }
        let (kind, bid, worth) = (self.kind, self.bid, self.amount * billed_per_bid);
        Ok(Terms { kind, ecpm, weight, score, billed_per_bid, bid, worth, most, reserve })
    }
}

impl<A: Amount> Worth<A> {
    /// What the policy's score floor asks of the bid, in billed units.
    pub(super) fn of_score(&self, page: &Page<'_>) -> A {
        A::at_least(page.policy.score_floor() / self.weight * self.billed_per_bid, page.policy.unit_micros)
    }
}

/// The bid after adjustments and pacing, in whole units.
fn adjusted<A: Amount>(unit: i64, refuses_parts: bool, bid: &Bid<A>) -> Result<A, Reason> {
    if !(bid.adjust >= 0.0 && bid.adjust.is_finite()) {
        return Err(Reason::InvalidAdjustment);
    }
    if bid.adjust == 0.0 {
        return Err(Reason::AdjustedOut);
    }
    if refuses_parts && bid.amount.down(unit) != bid.amount {
        return Err(Reason::BelowUnit);
    }
    let amount = match bid.adjust {
        1.0 => bid.amount.down(unit),
        adjust => A::at_most(bid.amount.to_f64() * adjust, unit),
    };
    match amount > A::default() {
        true => Ok(amount),
        false => Err(Reason::BelowUnit),
    }
}

fn is_factor(x: f64) -> bool {
    x > 0.0 && x.is_finite()
}

fn valid_pctr(pctr: f64) -> Result<f64, Reason> {
    if pctr > 0.0 && pctr <= 1.0 { Ok(pctr) } else { Err(Reason::InvalidPctr) }
}

fn valid_pcvr(pcvr: f64) -> Result<f64, Reason> {
    if pcvr.is_nan() {
        Err(Reason::MissingPcvr)
    } else if pcvr > 0.0 && pcvr <= 1.0 {
        Ok(pcvr)
    } else {
        Err(Reason::InvalidPcvr)
    }
}
