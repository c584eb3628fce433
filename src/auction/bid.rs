//! The input and the output of an auction.

use crate::types::{BidKind, NO_CANDIDATE, PriceBound};

/// One candidate's bid. Every field is taken literally: 0 is 0 and not a default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bid<A = i64> {
    /// What the bid pays for.
    pub kind: BidKind,
    /// The bid in micros: per 1000 impressions (CPM), click (CPC) or conversion (CPA and oCPM). Above 0.
    pub amount: A,
    /// The least price in micros per billed event (CPM and oCPM: 1000 impressions). 0 or more.
    pub reserve: A,
    /// P(click | impression), in (0, 1]. A CPM bid does not need it.
    pub pctr: f64,
    /// P(conversion | click), in (0, 1]; NaN = missing. Only CPA and oCPM bids need it.
    pub pcvr: f64,
    /// Multiplies the bid in ranking. Finite and above 0.
    pub modifier: f64,
    /// Multiplies the rank score. Finite and above 0.
    pub quality: f64,
    /// Breaks ties: the smaller key wins; with equal keys the earlier candidate.
    pub key: u64,
    /// Multiplies the amount before it is rounded down to whole billable units; 0 takes it out of the auction. Finite.
    pub adjust: f64,
    /// No floor of the page or the policy applies but `reserve`.
    pub floor_exempt: bool,
    /// Candidates of a smaller tier stand ahead of all others, whatever they bid, and pay nothing because of them.
    pub tier: u16,
    /// A bit for each slot that it fits, 1 << slot; 0 = all.
    pub slots: u32,
    /// What the limits of a page count: keys of advertiser, campaign, creative, category and competitive label; 0 = none.
    pub groups: Groups,
}

/// Advertiser, campaign, creative, category and competitive label of a candidate; 0 = none.
pub type Groups = [u64; 5];

#[cfg(feature = "builder")]
impl<A: Default> Bid<A> {
    /// A bid without reserve, with modifier and quality 1, key 0 and both probabilities missing.
    #[must_use]
    pub fn new(kind: BidKind, amount: A) -> Self {
        Self {
            kind,
            amount,
            reserve: A::default(),
            pctr: f64::NAN,
            pcvr: f64::NAN,
            modifier: 1.0,
            quality: 1.0,
            key: 0,
            adjust: 1.0,
            floor_exempt: false,
            tier: 0,
            slots: 0,
            groups: Groups::default(),
        }
    }
}

/// One place, its winner and the price.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement<A = i64> {
    /// Index in the list of bids.
    pub candidate: u32,
    /// The place, from 0. Places may stay empty where candidates fit some slots only.
    pub slot: u32,
    /// The candidate that would have the place next, placed or not: it fits the slot and may stand beside the winner and
    /// those ahead. [`crate::types::NO_CANDIDATE`] when there is none.
    pub runner_up: u32,
    /// The price of one billed event in micros (CPM and oCPM: 1000 impressions). `reserve ≤ price ≤ bid`.
    pub price: A,
    /// The same price before it was rounded to whole micros.
    pub unrounded_price: f64,
    /// The bound that decided the price: [`PriceBound::Reserve`] also when it was the policy's score floor.
    pub bound: PriceBound,
    /// Expected value of 1000 impressions at the bid, in micros.
    pub ecpm: f64,
    /// The rank score per 1000 impressions, in micros.
    pub score: f64,
    /// The bid as it took part: adjusted, in whole billable units.
    pub bid: A,
    /// The highest reserve that applied, per billed event.
    pub reserve: A,
    /// Its place among all eligible candidates, from 0.
    pub rank: u32,
    /// Its tier.
    pub tier: u16,
    /// Exploration put it here; its price is that of its rank.
    pub explored: bool,
    /// The probability of this candidate in this place, given those in the places before.
    pub propensity: f64,
    /// The probability of this candidate in this place, whatever stands in the places before; NaN where it is not known
    /// exactly.
    pub marginal_propensity: f64,
}

impl<A: Default> Default for Placement<A> {
    /// A place without a winner.
    fn default() -> Self {
        Self {
            candidate: NO_CANDIDATE,
            slot: 0,
            runner_up: NO_CANDIDATE,
            price: A::default(),
            unrounded_price: 0.0,
            bound: PriceBound::Reserve,
            ecpm: 0.0,
            score: 0.0,
            bid: A::default(),
            reserve: A::default(),
            rank: 0,
            tier: 0,
            explored: false,
            propensity: 1.0,
            marginal_propensity: 1.0,
        }
    }
}

impl<A> Placement<A> {
    /// [`Placement::ecpm`] to the nearest whole micro.
    #[must_use]
    pub fn ecpm_micros(&self) -> i64 {
        self.ecpm.round() as i64
    }
}
