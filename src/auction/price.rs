//! The price of a place.

use super::order::Entry;
use super::terms::Terms;
use super::{Amount, Page, Pricing};
use crate::types::PriceBound;

/// What a winner is priced against.
pub(super) enum Against {
    /// The next in line.
    Next(Option<Entry>),
    /// What others lose, in rank scores per 1000 impressions of its own slot.
    Lost(f64),
}

/// A price per billed event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price<A> {
    pub(super) amount: A,
    pub(super) unrounded: f64,
    pub(super) bound: PriceBound,
}

/// The least amount in whole units that keeps the place: `min(bid, max(reserve, s_next / weight))` in billed units.
pub(super) fn price<A: Amount>(
    page: &Page<'_>,
    entry: &Entry,
    terms: &Terms<A>,
    floor_exempt: bool,
    against: Against,
) -> Price<A> {
    let unit = page.policy.unit_micros;
    if page.policy.pricing == Pricing::First {
        return Price { amount: terms.most, unrounded: terms.worth, bound: PriceBound::Bid };
    }
    let floor = if floor_exempt { 0.0 } else { page.policy.score_floor() };
    let (score, is_next, loses_tie, by_others) = match against {
        // A lower tier is no rival: its candidates stand behind whatever this one bids.
        Against::Next(next) => {
            let next = next.filter(|next| next.tier == entry.tier);
            let score = next.map_or(0.0, |next| next.score);
            let loses_tie = next.is_some_and(|next| (next.key, next.index) < (entry.key, entry.index));
            // At the score of the next one the keys decide: a candidate that loses by key must be ahead.
            (score.max(floor), next.is_some() && score >= floor, loses_tie, PriceBound::NextScore)
        }
        Against::Lost(lost) => (lost, lost > 0.0, false, PriceBound::Externality),
    };
    let needed = score / terms.weight * terms.billed_per_bid;
    let least = if is_next && loses_tie { A::above(needed, unit) } else { A::at_least(needed, unit) };
    let (amount, bound) = if least > terms.most {
        // Only what is no whole unit of the bid stands between, or the bid itself.
        (
            terms.most,
            if needed < terms.worth && terms.most.to_f64() < terms.worth { PriceBound::Unit } else { PriceBound::Bid },
        )
    } else if terms.reserve > least {
        (terms.reserve, PriceBound::Reserve)
    } else if is_next {
        (least, by_others)
    } else {
        (least, PriceBound::Reserve)
    };
    let unrounded = needed.max(terms.reserve.to_f64()).min(terms.worth);
    Price { amount, unrounded, bound }
}
