//! Runs an auction and reports its outcome.

use adclick::auction::{Amount, Bid, Placement, Policy, Reason, Scratch, run};
use adclick::{NO_CANDIDATE, PriceBound};
use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::{Auction, Bids};

const MICROS: f64 = 1e6;

/// The outcome of an auction in its JSON form.
#[derive(Serialize)]
struct Outcome<'a> {
    id: &'a Value,
    winners: Vec<Winner<'a>>,
    reasons: Vec<&'static str>,
}

#[derive(Serialize)]
struct Winner<'a> {
    candidate: u32,
    #[serde(skip_serializing_if = "Value::is_null")]
    ad: &'a Value,
    slot: u32,
    score: f64,
    ecpm_micros: i64,
    price_micros: Option<i64>,
    price: f64,
    price_bound: &'static str,
    runner_up: Option<u32>,
}

/// Runs auctions one after the other under one policy.
pub struct Runner {
    policy: Policy,
    scratch: Scratch,
}

impl Runner {
    /// Auctions under this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, scratch: Scratch::new(1024) }
    }

    /// Runs one auction. Returns its outcome as one line of JSON without the line's end, and the number of winners.
    /// `line` is the id of an auction that has none.
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
        let (n, line) = (auction.ads.len(), Value::from(line));
        if n > self.scratch.max_candidates() {
            self.scratch = Scratch::new(n.next_power_of_two());
        }
        let scratch = &mut self.scratch;
        let (winners, reasons) = match &auction.bids {
            Bids::Whole(bids) => decide(policy, bids, auction, scratch, Some)?,
            Bids::Fractional(bids) => decide(policy, bids, auction, scratch, |_| None)?,
        };
        let n_winners = winners.len();
        let id = if auction.id.is_null() { &line } else { &auction.id };
        Ok((serde_json::to_string(&Outcome { id, winners, reasons })?, n_winners))
    }
}

fn decide<'a, A: Amount>(
    policy: &Policy,
    bids: &[Bid<A>],
    auction: &'a Auction,
    scratch: &mut Scratch,
    billed: impl Fn(A) -> Option<i64>,
) -> Result<(Vec<Winner<'a>>, Vec<&'static str>)> {
    let mut places = vec![Placement::default(); auction.slots.min(bids.len())];
    let mut reasons = vec![Reason::Won; bids.len()];
    let n = run(policy, bids, auction.slots, scratch, &mut places, Some(&mut reasons))?;
    let winners = places[..n]
        .iter()
        .map(|place| Winner {
            candidate: place.candidate,
            ad: &auction.ads[place.candidate as usize],
            slot: place.slot,
            score: place.score / MICROS,
            ecpm_micros: place.ecpm_micros(),
            price_micros: billed(place.price),
            price: place.unrounded_price / MICROS,
            price_bound: match place.bound {
                PriceBound::NextScore => "next_score",
                PriceBound::Reserve => "reserve",
                PriceBound::Bid => "bid",
                PriceBound::Unit => "unit",
                PriceBound::Externality => "externality",
            },
            runner_up: (place.runner_up != NO_CANDIDATE).then_some(place.runner_up),
        })
        .collect();
    Ok((winners, reasons.into_iter().map(Reason::name).collect()))
}
