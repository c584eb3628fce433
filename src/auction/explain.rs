//! What an auction found of one of its candidates, told afterwards: nothing is kept for it but the auction's own memory.

use super::candidates::{bid, multipliers, reserve_source};
use super::terms::Valid;
use super::{Bid, Page, Pricing, Reason, Scratch};
use crate::types::{Candidate, Explanation, ReserveSource};

/// Tells of candidate `index` of the last auction in `scratch`, which was run on this page. `pctr` and `pcvr` are what it was
/// run with. Logits are left to the caller. Allocates nothing, and takes time in proportion to the candidates.
pub(crate) fn explain(
    page: &Page<'_>,
    scratch: &Scratch,
    (index, candidate): (u32, &Candidate),
    pctr: f32,
    pcvr: f32,
) -> Explanation {
    let entries = scratch.ranked();
    let at = entries.iter().position(|entry| entry.index == index);
    let n_eligible = entries.len() as u32;
    let mut told = Explanation { candidate: index, pctr, pcvr, rank: n_eligible, n_eligible, ..Explanation::default() };
    if let Some(at) = at {
        let entry = &entries[at];
        told.score = entry.score;
        told.tier = entry.tier.into();
        told.rank = entries.iter().filter(|other| other.rank(entry).is_lt()).count() as u32;
        told.reason = entry.state.reason() as u32;
        if told.reason == Reason::Won as u32 {
            told.slot = scratch.slot_of(at as u32);
        }
    }
    if page.policy.pricing == Pricing::Document {
        // It has no multipliers, and reserves nothing of a candidate's.
        (told.adjust, told.paced, told.boost, told.quality) = (1.0, 1.0, 1.0, 1.0);
        told.score *= 1e6;
        told.ecpm_micros = told.score.round() as i64;
        told.bid_micros = candidate.bid_micros;
        told.weight = told.score / candidate.bid_micros as f64;
        return told;
    }
    let or_one = |factor: f32| if factor == 0.0 { 1.0 } else { f64::from(factor) };
    let moved = multipliers(page, candidate);
    (told.adjust, told.paced) = (moved.adjust, moved.paced);
    told.boost = or_one(candidate.modifier) * moved.boost;
    told.quality = or_one(candidate.quality);
    let made = bid(page, candidate, pctr.into(), pcvr.into());
    let valid = made.and_then(|bid| Ok((bid, Valid::new(page, &bid)?)));
    let (bid, valid) = match valid {
        Ok(made) => made,
        Err(reason) => {
            told.reason = reason as u32;
            return told;
        }
    };
    told.bid_micros = valid.bid();
    told.tier = bid.tier.into();
    if let Ok(worth) = valid.worth(page, pctr.into(), pcvr.into()) {
        told.ecpm_micros = worth.ecpm.round() as i64;
        (told.weight, told.score) = (worth.weight, worth.score);
    }
    let (amount, source, rule) = match valid.terms(page, pctr.into(), pcvr.into()) {
        Ok(mut terms) => {
            if told.reason == Reason::Won as u32 && !bid.floor_exempt {
                terms.raise_reserve(page, told.slot as usize);
            }
            let (source, rule) = reserve_source(page, candidate, told.slot, terms.reserve);
            (terms.reserve, source, rule)
        }
        Err(reason) => {
            told.reason = reason as u32;
            valid.short_of(page, &bid, reason, |applied, slot| reserve_source(page, candidate, slot, applied))
        }
    };
    (told.reserve_micros, told.reserve_source, told.reserve_rule) = (amount, source as u32, rule);
    told
}

impl Valid<i64> {
    /// The reserve or floor that the bid did not reach, and where it comes from; 0 when it was turned down for something else.
    fn short_of(
        &self,
        page: &Page<'_>,
        bid: &Bid,
        reason: Reason,
        source: impl Fn(i64, u32) -> (ReserveSource, u32),
    ) -> (i64, ReserveSource, u32) {
        let Ok(worth) = self.worth(page, bid.pctr, bid.pcvr) else { return (0, ReserveSource::None, 0) };
        match reason {
            Reason::BelowReserve => {
                let (amount, slot) = self.least_reserve(page, bid.slots, &worth);
                let (source, rule) = source(amount, slot);
                (amount, source, rule)
            }
            Reason::BelowFloor => (self.floor(page, &worth), page.floor_source, 0),
            Reason::BelowScoreFloor => (worth.of_score(page), ReserveSource::ScoreFloor, 0),
            _ => (0, ReserveSource::None, 0),
        }
    }
}
