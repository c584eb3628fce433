//! Runs an auction and reports its outcome.

use adclick::auction::{Decision, Page, Policy, Reason, Scratch};
use adclick::builder::Named;
use adclick::builder::auction::{
    Amount, Bid, DocumentBid, Placement, PolicyDetails, PolicyParts, Pricing, run_document, run_page,
};
use adclick::{Exploration, NO_CANDIDATE, PriceBound};
use anyhow::Result;
use serde_json::Value;

use super::told::{Drawn, Explored, MICROS, Outcome, Winner};
use super::{Auction, Bids, explain};

/// Runs auctions one after the other under one policy.
pub struct Runner {
    policy: Policy,
    scratch: Scratch,
    /// The most ads that `scratch` has room for.
    room: usize,
    explain: bool,
}

/// More candidates than this are for a service, not for lines of text.
const MOST: usize = 1 << 20;

impl Runner {
    /// Auctions under this policy. `explain` has outcomes told as a person reads them.
    #[must_use]
    pub fn new(policy: Policy, explain: bool) -> Self {
        Self { policy, scratch: Scratch::new(1024), room: 1024, explain }
    }

    /// Runs one auction. Returns its outcome without the line's end, and the number of winners. `line` is the id of an
    /// auction that has none.
    ///
    /// # Errors
    /// Any error of the auction; requests from [`super::read`] cause none.
    pub fn run(&mut self, auction: &Auction, line: u64) -> Result<(String, usize)> {
        let own;
        let policy = match auction.squash {
            None => &self.policy,
            Some(squash) => {
                own = self.policy.clone().with_squash(squash)?;
                &own
            }
        };
        let (n, line) = (auction.ads.len().min(MOST), Value::from(line));
        if n > self.room {
            self.room = n.next_power_of_two();
            self.scratch = Scratch::new(self.room);
        }
        let page = match auction.slots {
            0 => Page::new(policy, 0),
            slots => {
                let n_slots = u32::try_from(slots).unwrap_or(u32::MAX);
                Page::of_request(policy, &adclick::Request { n_slots, ..auction.request })
            }
        };
        let id = if auction.id.is_null() { &line } else { &auction.id };
        let scratch = &mut self.scratch;
        let outcome = match (&auction.bids, auction.document) {
            (_, Some(rules)) => document(policy, auction, rules, scratch, id)?,
            (Bids::Whole(bids), None) => decide(&page, bids, auction, scratch, id, Some)?,
            (Bids::Fractional(bids), None) => decide(&page, bids, auction, scratch, id, |_| None)?,
        };
        let n_winners = outcome.winners.len();
        let text = match self.explain {
            true => explain::text(policy, auction, &outcome),
            false => serde_json::to_string(&outcome)?,
        };
        Ok((text, n_winners))
    }
}

fn decide<'a, A: Amount + Into<Whole>>(
    page: &Page<'_>,
    bids: &[Bid<A>],
    auction: &'a Auction,
    scratch: &mut Scratch,
    id: &'a Value,
    billed: impl Fn(A) -> Option<i64>,
) -> Result<Outcome<'a>> {
    let mut places = vec![Placement::default(); auction.slots.min(bids.len())];
    let mut reasons = vec![Reason::Won; bids.len()];
    let get = |i: usize| auction.refused[i].map_or(Ok(bids[i]), Err);
    let decision = run_page(page, bids.len(), get, scratch, &mut places, Some(&mut reasons))?;
    let Decision { n_winners, exploration, propensity, given_up } = decision;
    let drawn = exploration != Exploration::Off;
    let units = |amount: A| amount.into().0 / MICROS;
    let winners = places[..n_winners]
        .iter()
        .map(|place| Winner {
            candidate: place.candidate,
            ad: &auction.ads[place.candidate as usize],
            slot: place.slot,
            score: place.score / MICROS,
            ecpm_micros: place.ecpm_micros(),
            price_micros: billed(place.price),
            price: place.unrounded_price / MICROS,
            price_bound: bound(place.bound),
            runner_up: (place.runner_up != NO_CANDIDATE).then_some(place.runner_up),
            drawn: drawn.then_some(Drawn {
                explored: place.explored,
                propensity: place.propensity,
                marginal_propensity: Some(place.marginal_propensity).filter(|p| !p.is_nan()),
            }),
            bid: units(place.bid),
            reserve: units(place.reserve),
            tier: place.tier,
        })
        .collect();
    let explored = drawn.then_some(Explored {
        exploration: if exploration == Exploration::Allowed { "allowed" } else { "capped" },
        propensity,
        given_up_micros: given_up.round() as i64,
    });
    Ok(Outcome { id, winners, reasons: reasons.into_iter().map(Reason::name).collect(), explored })
}

/// An amount in micros as f64.
pub(super) struct Whole(f64);

impl From<i64> for Whole {
    fn from(micros: i64) -> Self {
        Self(micros as f64)
    }
}

impl From<f64> for Whole {
    fn from(micros: f64) -> Self {
        Self(micros)
    }
}

fn bound(bound: PriceBound) -> &'static str {
    match bound {
        PriceBound::NextScore => "next_score",
        PriceBound::Reserve => "reserve",
        PriceBound::Bid => "bid",
        PriceBound::Unit => "unit",
        PriceBound::Externality => "externality",
    }
}

/// The design document's ranker, in currency units to the bit. Slots under 0 are Python's: as many fewer than there are.
fn document<'a>(
    policy: &Policy,
    auction: &'a Auction,
    (reserve, bid_modification): (f64, f64),
    scratch: &mut Scratch,
    id: &'a Value,
) -> Result<Outcome<'a>> {
    debug_assert_eq!(policy.pricing(), Pricing::Document);
    let policy = policy.clone().with_document(reserve, bid_modification);
    let bids: Vec<DocumentBid> = match &auction.bids {
        Bids::Whole(bids) => bids.iter().map(|bid| [bid.amount as f64 / MICROS, bid.pctr, bid.pcvr]).collect(),
        Bids::Fractional(bids) => {
            bids.iter().zip(&auction.units).map(|(bid, &units)| [units, bid.pctr, bid.pcvr]).collect()
        }
    };
    let n = bids.len();
    let slots = match usize::try_from(auction.slots_asked) {
        Ok(slots) => slots.min(n),
        Err(_) => n.saturating_sub(usize::try_from(auction.slots_asked.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let mut places = vec![(0, 0.0); slots];
    run_document(&policy, &bids, slots, scratch, &mut places)?;
    let mut reasons = vec![Reason::Outranked.name(); n];
    let winners = places
        .iter()
        .enumerate()
        .map(|(slot, &(candidate, price))| {
            reasons[candidate as usize] = Reason::Won.name();
            Winner {
                candidate,
                ad: &auction.ads[candidate as usize],
                slot: slot as u32,
                score: f64::NAN,
                ecpm_micros: 0,
                price_micros: None,
                price,
                price_bound: if slot + 1 < n { "next_score" } else { "reserve" },
                runner_up: None,
                drawn: None,
                bid: bids[candidate as usize][0],
                reserve,
                tier: 0,
            }
        })
        .collect();
    Ok(Outcome { id, winners, reasons, explored: None })
}
