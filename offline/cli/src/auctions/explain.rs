//! An auction as a person reads it.

use std::fmt::Write;

use adclick::auction::Policy;
use adclick::builder::Named;
use adclick::builder::auction::PolicyDetails;

use super::Auction;
use super::told::{MICROS, Outcome, Winner};

/// Who stands where, at which price and why; and why each of the others does not.
pub(super) fn text(policy: &Policy, auction: &Auction, outcome: &Outcome<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(policy, auction, outcome, &mut text);
    text
}

fn write(policy: &Policy, auction: &Auction, outcome: &Outcome<'_>, to: &mut String) -> std::fmt::Result {
    let (n, slots) = (auction.ads.len(), auction.slots);
    writeln!(to, "auction {}: {n} candidates for {slots} slots, pricing {}", outcome.id, policy.pricing().name())?;
    for winner in &outcome.winners {
        let who = name(auction, winner.candidate);
        let price = winner.price_micros.map_or(winner.price, |micros| micros as f64 / MICROS);
        write!(to, "  slot {}  {who}", winner.slot)?;
        if let Some(tier) = policy.tiers().nth(winner.tier.into()) {
            write!(to, " ({tier})")?;
        }
        writeln!(to, ": pays {price} of a bid of {}; {}", winner.bid, why(auction, winner))?;
        write!(to, "          eCPM {}, score {}", winner.ecpm_micros as f64 / MICROS, winner.score)?;
        if winner.reserve > 0.0 {
            write!(to, ", reserve {}", winner.reserve)?;
        }
        if (price - winner.price).abs() > 1e-12 * price.abs() {
            write!(to, ", rounded from {}", winner.price)?;
        }
        writeln!(to)?;
    }
    for (candidate, reason) in outcome.reasons.iter().enumerate().filter(|(_, reason)| **reason != "won") {
        writeln!(to, "  lost    {}: {reason}", name(auction, candidate as u32))?;
    }
    if let Some(explored) = &outcome.explored {
        let (verdict, p) = (explored.exploration, explored.propensity);
        writeln!(
            to,
            "  exploration {verdict}: this slate has probability {p}, and gave up {} micros of 1000 requests",
            explored.given_up_micros
        )?;
    }
    Ok(())
}

fn why(auction: &Auction, winner: &Winner<'_>) -> String {
    let next = winner.runner_up.map(|next| name(auction, next));
    match (winner.price_bound, next) {
        ("next_score", Some(next)) => format!("the least that keeps it ahead of {next}"),
        ("reserve", Some(next)) => format!("its reserve, which is above what {next} asks of it"),
        ("reserve", None) => "its reserve: nobody is next in line".to_owned(),
        ("unit", _) => "its bid but for a part of a billable unit".to_owned(),
        ("externality", _) => "what the others lose by it".to_owned(),
        _ => "its bid".to_owned(),
    }
}

fn name(auction: &Auction, candidate: u32) -> String {
    match &auction.ads[candidate as usize] {
        ad if ad.is_null() => format!("candidate {candidate}"),
        ad => format!("ad {ad}"),
    }
}
