//! The auction on the structs of the C boundary.

use super::amount::sealed::Sealed;
use super::document::{price, rank};
use super::policy::Ties;
use super::rank::{Decision, Ranking};
use super::terms::{Terms, Valid};
use super::{Bid, Groups, Page, Pricing, Reason, Scratch};
use crate::error::{Error, Result};
use crate::hash::mix;
use crate::types::{
    BidKind, CANDIDATE_FLOOR_EXEMPT, CANDIDATE_STOPPED, Candidate, Exploration, NO_CANDIDATE, PriceBound,
    ReserveSource, WINNER_EXPLORED, Winner,
};

/// Runs one auction on candidates and their probabilities, and fills the first
/// `n_winners` of `winners`. [`Winner::impression_id`] is left 0 for the caller.
///
/// `pctr` has a probability for each candidate. `pcvr` has one for each candidate, NaN where it is missing, or is
/// empty when there is none at all. In a candidate 0 means the default.
///
/// # Errors
/// [`crate::Status::CapacityExceeded`] for more candidates than `scratch` was made for; [`crate::Status::BufferTooSmall`] when
/// there is room for fewer winners than places; [`crate::Status::InvalidArgument`] when the lengths do not match. A bad bid is
/// never an error: it gets a [`Reason`].
pub fn run_candidates(
    page: &Page<'_>,
    candidates: &[Candidate],
    pctr: &[f32],
    pcvr: &[f32],
    scratch: &mut Scratch,
    winners: &mut [Winner],
    reasons: Option<&mut [Reason]>,
) -> Result<Decision> {
    let n = candidates.len();
    if pctr.len() != n || !(pcvr.len() == n || pcvr.is_empty()) {
        let text = format!("{n} candidates, but {} values of pCTR and {} of pCVR", pctr.len(), pcvr.len());
        return Err(Error::argument(text));
    }
    let pcvr_of = |index: usize| pcvr.get(index).copied().unwrap_or(f32::NAN);
    if page.policy.pricing == Pricing::Document {
        return run_as_document(page, candidates, pctr, pcvr_of, scratch, winners, reasons);
    }
    let get = |index: usize| bid(page, &candidates[index], pctr[index].into(), pcvr_of(index).into());
    let mut ranking = Ranking::new(page, n, get, scratch, winners.len(), reasons)?;
    let decision = ranking.decision;
    for (place, winner) in winners.iter_mut().take(decision.n_winners).enumerate() {
        let place = ranking.placement(place)?;
        let index = place.candidate as usize;
        let of_score = place.bound == PriceBound::Reserve && place.price > place.reserve;
        let (reserve_source, reserve_rule) = match of_score {
            true => (ReserveSource::ScoreFloor, 0),
            false => reserve_source(page, &candidates[index], place.slot, place.reserve),
        };
        *winner = Winner {
            candidate: place.candidate,
            slot: place.slot,
            pctr: pctr[index],
            pcvr: pcvr_of(index),
            ecpm_micros: place.ecpm_micros(),
            price_micros: place.price,
            price_bound: place.bound as u32,
            runner_up: place.runner_up,
            propensity: place.propensity,
            marginal_propensity: place.marginal_propensity,
            score: place.score,
            bid_micros: place.bid,
            reserve_micros: if of_score { place.price } else { place.reserve },
            reserve_source: reserve_source as u32,
            reserve_rule,
            rank: place.rank,
            tier: place.tier.into(),
            flags: if place.explored { WINNER_EXPLORED } else { 0 },
            ..Winner::default()
        };
    }
    Ok(decision)
}

/// The rank score and the eCPM of a candidate, in micros, or why it makes no bid that can be ranked.
pub(crate) fn assess(
    page: &Page<'_>,
    candidate: &Candidate,
    pctr: f32,
    pcvr: f32,
) -> std::result::Result<(f64, f64), Reason> {
    let terms = Terms::new(page, &bid(page, candidate, pctr.into(), pcvr.into())?)?;
    Ok((terms.score, terms.ecpm))
}

/// Where a candidate would stand if these were its probabilities: its tier and its rank score, whatever reserves and floors say.
pub(crate) fn guess(
    page: &Page<'_>,
    candidate: &Candidate,
    pctr: f32,
    pcvr: f32,
) -> std::result::Result<(u16, f64), Reason> {
    let rules = &page.policy.document;
    if page.policy.pricing == Pricing::Document {
        let p = if rules.conversion && pcvr > 0.0 { pcvr } else { pctr };
        return Ok((0, candidate.bid_micros as f64 * f64::from(p)));
    }
    let bid = bid(page, candidate, pctr.into(), pcvr.into())?;
    let worth = Valid::new(page, &bid)?.worth(page, bid.pctr, bid.pcvr)?;
    Ok((bid.tier, worth.score))
}

/// What adjustments and pacing multiply a candidate's bid by.
pub(crate) fn bid_multiplier(page: &Page<'_>, candidate: &Candidate) -> f64 {
    match page.policy.pricing {
        Pricing::Document => 1.0,
        _ => {
            let Moved { adjust, paced, .. } = multipliers(page, candidate);
            adjust * paced
        }
    }
}

/// The design document's ranker on candidates: its bids are in currency units, and so are its prices.
fn run_as_document(
    page: &Page<'_>,
    candidates: &[Candidate],
    pctr: &[f32],
    pcvr: impl Fn(usize) -> f32,
    scratch: &mut Scratch,
    winners: &mut [Winner],
    reasons: Option<&mut [Reason]>,
) -> Result<Decision> {
    let n = candidates.len();
    let n_winners = page.n_slots.min(n);
    if n > scratch.max_candidates() || winners.len() < n_winners {
        return Err(Error::argument(format!("{n} candidates, and room for {} winners", winners.len())));
    }
    let rules = &page.policy.document;
    // It knows no candidate that stopped, but what is switched off stays out of it, too.
    let is_off = |i: usize| candidates[i].flags & CANDIDATE_SWITCHED_OFF != 0;
    let bid = |i: usize| [candidates[i].bid_micros as f64 / MILLION, pctr[i].into(), pcvr(i).into()];
    let entries = rank(rules, n, |i| (!is_off(i)).then(|| bid(i)), scratch.entries());
    let (n_entries, n_winners) = (entries.len(), n_winners.min(entries.len()));
    for (place, winner) in winners.iter_mut().take(n_winners).enumerate() {
        let (entry, next) = (entries[place], entries.get(place + 1));
        let index = entry.index as usize;
        *winner = Winner {
            candidate: entry.index,
            slot: place as u32,
            pctr: pctr[index],
            pcvr: pcvr(index),
            ecpm_micros: (entry.score * MILLION).round() as i64,
            price_micros: (price(rules, entries, place, pctr[index].into()) * MILLION).round() as i64,
            price_bound: if next.is_some() { PriceBound::NextScore } else { PriceBound::Reserve } as u32,
            runner_up: next.map_or(NO_CANDIDATE, |next| next.index),
            propensity: 1.0,
            marginal_propensity: 1.0,
            score: entry.score * MILLION,
            bid_micros: candidates[index].bid_micros,
            rank: place as u32,
            ..Winner::default()
        };
    }
    if let Some(reasons) = reasons {
        reasons[..n].fill(Reason::SwitchedOff);
        for (place, entry) in entries.iter().enumerate() {
            reasons[entry.index as usize] = if place < n_winners { Reason::Won } else { Reason::Outranked };
        }
    }
    scratch.tally_of(n_winners, n_entries - n_winners, n - n_entries);
    Ok(Decision { n_winners, exploration: Exploration::Off, propensity: 1.0, given_up: 0.0 })
}

impl Page<'_> {
    /// What breaks the ties of an ad, by the policy.
    pub(crate) fn tie_key(&self, ad_key: u64) -> u64 {
        match self.policy.ties {
            Ties::Key => ad_key,
            Ties::Hash => mix(self.request_id ^ mix(ad_key)),
        }
    }
}

/// What breaks the ties of an ad, by the page's policy.
#[cfg(feature = "builder")]
#[must_use]
pub fn tie_key(page: &Page<'_>, ad_key: u64) -> u64 {
    page.tie_key(ad_key)
}

/// A candidate's bid with these probabilities (NaN: missing), with defaults filled in, as the policy moves it.
///
/// # Errors
/// Why it makes none.
#[inline]
pub fn bid(page: &Page<'_>, candidate: &Candidate, pctr: f64, pcvr: f64) -> std::result::Result<Bid, Reason> {
    let kind = BidKind::from_u32(candidate.bid_kind).ok_or(Reason::UnknownBidKind)?;
    if let Some(reason) = left_out(candidate) {
        return Err(reason);
    }
    let policy = page.policy;
    let amount = match (candidate.value_micros, candidate.target_return_ppm) {
        (0, 0) => candidate.bid_micros,
        _ => bid_by_value(candidate, kind)?,
    };
    let tier = policy.tier(candidate.tier_key).ok_or(Reason::UnknownTier)?;
    let floor_exempt = candidate.flags & CANDIDATE_FLOOR_EXEMPT != 0 || policy.is_floor_exempt(tier);
    let moved = moved(page, candidate)?;
    let or_one = |factor: f32| if factor == 0.0 { 1.0 } else { f64::from(factor) };
    Ok(Bid {
        kind,
        amount,
        reserve: if floor_exempt { candidate.reserve_micros } else { reserve(page, candidate, kind).0 },
        pctr,
        pcvr,
        modifier: or_one(candidate.modifier) * moved.boost,
        quality: or_one(candidate.quality),
        key: page.tie_key(candidate.ad_key),
        adjust: moved.adjust * moved.paced,
        floor_exempt,
        tier,
        slots: candidate.slot_mask,
        groups: groups(candidate),
    })
}

/// What limits count of a candidate.
pub(super) fn groups(candidate: &Candidate) -> Groups {
    let &Candidate { advertiser_key, campaign_key, creative_key, category_key, label_key, .. } = candidate;
    [advertiser_key, campaign_key, creative_key, category_key, label_key]
}

/// The bid per conversion of a candidate that bids by value: value / target return, rounded down, at most its `bid_micros`.
fn bid_by_value(candidate: &Candidate, kind: BidKind) -> std::result::Result<i64, Reason> {
    let (value, target) = (candidate.value_micros, candidate.target_return_ppm);
    if value <= 0 || target == 0 || !matches!(kind, BidKind::Cpa | BidKind::Ocpm) {
        return Err(Reason::InvalidValue);
    }
    let bid = i128::from(value) * MILLION as i128 / i128::from(target);
    let bid = i64::try_from(bid).map_err(|_| Reason::BidTooLarge)?;
    Ok(match candidate.bid_micros {
        0 => bid,
        most => bid.min(most),
    })
}

/// A flag that callers may not set: the deadline came before its score.
pub(crate) const CANDIDATE_CUT: u32 = 1 << 31;

/// A flag in the scorer's own copy of candidates: the ad, its campaign or its advertiser is switched off.
pub(crate) const CANDIDATE_SWITCHED_OFF: u32 = 1 << 30;

/// Why a candidate takes no part, whatever it bids.
#[inline]
fn left_out(candidate: &Candidate) -> Option<Reason> {
    match candidate.flags & (CANDIDATE_STOPPED | CANDIDATE_CUT | CANDIDATE_SWITCHED_OFF) {
        0 => None,
        flags if flags & CANDIDATE_SWITCHED_OFF != 0 => Some(Reason::SwitchedOff),
        flags if flags & CANDIDATE_CUT != 0 => Some(Reason::Cut),
        _ => Some(Reason::Stopped),
    }
}

const MILLION: f64 = 1e6;

/// What moves a candidate's bid and its rank, besides itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moved {
    /// Of the candidate and the policy's rules: multiplies the bid.
    pub(super) adjust: f64,
    /// What pacing leaves of the bid.
    pub(super) paced: f64,
    /// Of the policy's rules and of its cold-start bonus: multiplies the rank.
    pub(super) boost: f64,
}

#[inline]
fn moved(page: &Page<'_>, candidate: &Candidate) -> std::result::Result<Moved, Reason> {
    let &Candidate { adjust_ppm, withheld_ppm, throttle_ppm, .. } = candidate;
    if adjust_ppm != 0 || withheld_ppm != 0 || throttle_ppm != 0 {
        if adjust_ppm < -1_000_000 || withheld_ppm > 1_000_000 || throttle_ppm > 1_000_000 {
            return Err(Reason::InvalidAdjustment);
        }
        if withheld_ppm == 1_000_000 {
            return Err(Reason::Withheld);
        }
        if is_throttled(page.request_id, candidate) {
            return Err(Reason::Throttled);
        }
    }
    Ok(multipliers(page, candidate))
}

/// The same of a candidate that may be left out.
#[inline]
pub(super) fn multipliers(page: &Page<'_>, candidate: &Candidate) -> Moved {
    let adjust = page.adjust * ((MILLION + f64::from(candidate.adjust_ppm)) / MILLION);
    let paced = (MILLION - f64::from(candidate.withheld_ppm)) / MILLION;
    let mut moved = Moved { adjust, paced, boost: page.boost };
    if page.policy.modifiers.has_keys() {
        let (advertiser, campaign) = (candidate.advertiser_key, candidate.campaign_key);
        for (_, modifier) in page.policy.modifiers.of_candidate(page.moment, advertiser, campaign) {
            moved.adjust *= 1.0 + modifier.adjust;
            moved.boost *= modifier.boost;
        }
    }
    if let Some(cold) = page.policy.cold_start
        && candidate.impressions > 0
    {
        moved.boost *= 1.0 + cold.bonus * cold.impressions / (cold.impressions + f64::from(candidate.impressions - 1));
    }
    moved
}

/// Whether pacing leaves the candidate out of this request: all ads of a campaign together, and the same ones in a replay.
fn is_throttled(request_id: u64, candidate: &Candidate) -> bool {
    let who = if candidate.campaign_key != 0 { candidate.campaign_key } else { candidate.ad_key };
    // So that it has nothing in common with other hashes of the id.
    let drawn = mix(mix(request_id ^ 0x7468_726f_7474_6c65) ^ mix(who)) >> 32;
    (drawn * 1_000_000) >> 32 < u64::from(candidate.throttle_ppm)
}

/// The reserve of a candidate that is not exempt, without the page's floors and the slot's: its own or else the policy's for
/// the kind, and at least what the policy's rules say. With where it comes from.
pub(super) fn reserve(page: &Page<'_>, candidate: &Candidate, kind: BidKind) -> (i64, ReserveSource, u32) {
    let (mut reserve, mut source) = match candidate.reserve_micros {
        0 => (page.policy.reserve_micros[kind as usize], ReserveSource::Kind),
        own => (own, ReserveSource::Candidate),
    };
    let mut of_rule = 0;
    if reserve < 0 {
        return (reserve, source, of_rule);
    }
    let (by_page, rule) = page.reserve[kind as usize];
    if by_page > reserve {
        (reserve, source, of_rule) = (by_page, ReserveSource::Rule, rule);
    }
    if page.policy.reserves.has_keys() {
        let (advertiser, campaign) = (candidate.advertiser_key, candidate.campaign_key);
        for (rule, amounts) in page.policy.reserves.of_candidate(page.moment, advertiser, campaign) {
            if amounts[kind as usize] > reserve {
                (reserve, source, of_rule) = (amounts[kind as usize], ReserveSource::Rule, rule);
            }
        }
    }
    (reserve, source, of_rule)
}

/// Where a winner's reserve comes from.
pub(super) fn reserve_source(page: &Page<'_>, candidate: &Candidate, slot: u32, applied: i64) -> (ReserveSource, u32) {
    let unit = page.policy.unit_micros;
    let (Some(kind), true) = (BidKind::from_u32(candidate.bid_kind), applied > 0) else {
        return (ReserveSource::None, 0);
    };
    let (own, source, rule) = reserve(page, candidate, kind);
    if candidate.reserve_micros.up(unit) == applied {
        return (ReserveSource::Candidate, 0);
    }
    if own.up(unit) == applied {
        return (source, rule);
    }
    let (of_slot, rule) = page.slot_reserve(slot as usize, kind);
    match of_slot > 0 && of_slot.up(unit) == applied {
        true => (ReserveSource::Rule, rule),
        false => (page.floor_source, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use super::*;
    use crate::auction::PolicyParts;

    fn candidate(ad_key: u64, kind: BidKind, bid_micros: i64) -> Candidate {
        Candidate { ad_key, bid_micros, bid_kind: kind as u32, ..Candidate::default() }
    }

    #[test]
    fn kinds_compete_by_ecpm_and_zero_means_default() {
        let policy = Policy::default().with_reserve_micros(BidKind::Cpc, 40_000).unwrap();
        let candidates = [
            candidate(1, BidKind::Cpm, 2_000_000),   // eCPM 2.00
            candidate(2, BidKind::Cpc, 100_000),     // 1000 * 0.1 * 0.03125 = 3.125
            candidate(3, BidKind::Cpa, 4_000_000),   // 1000 * 4 * 0.03125 * 0.03125 = 3.90625
            candidate(4, BidKind::Ocpm, 8_000_000),  // 1000 * 8 * 0.03125 * 0.015625 = 3.90625: a tie, the larger key
            candidate(5, BidKind::Cpc, 30_000),      // under the policy's reserve
            candidate(6, BidKind::Cpa, 100_000_000), // no pCVR
            Candidate { bid_kind: 4, ..candidate(7, BidKind::Cpm, 9_000_000) },
            Candidate { modifier: -1.0, ..candidate(8, BidKind::Cpm, 9_000_000) },
            Candidate { quality: f32::NAN, ..candidate(9, BidKind::Cpm, 9_000_000) },
        ];
        let pctr = [0.03125; 9];
        let pcvr = [f32::NAN, f32::NAN, 0.03125, 0.015625, 0.5, f32::NAN, 0.5, 0.5, 0.5];
        let mut winners = [Winner::default(); 4];
        let mut reasons = [Reason::Won; 9];
        let mut scratch = Scratch::new(9);
        let page = Page::new(&policy, 4);
        let decision =
            run_candidates(&page, &candidates, &pctr, &pcvr, &mut scratch, &mut winners, Some(&mut reasons)).unwrap();
        assert_eq!(decision.n_winners, 4);
        let told: Vec<_> = winners
            .iter()
            .map(|w| (w.candidate, w.slot, w.ecpm_micros, w.price_micros, w.price_bound, w.runner_up))
            .collect();
        let next = PriceBound::NextScore as u32;
        assert_eq!(
            told,
            [
                (2, 0, 3_906_250, 4_000_000, next, 3),
                // At the score of the next one these two would lose by key, so they pay a micro more.
                (3, 1, 3_906_250, 3_125_001, next, 1),
                (1, 2, 3_125_000, 64_001, next, 0),
                (0, 3, 2_000_000, 0, PriceBound::Reserve as u32, NO_CANDIDATE),
            ]
        );
        assert!(winners.iter().all(|w| w.propensity == 1.0 && w.impression_id == 0 && w.pctr == 0.03125));
        assert!(winners[2].pcvr.is_nan() && winners[1].pcvr == 0.015625);
        assert_eq!(
            reasons[4..],
            [
                Reason::BelowReserve,
                Reason::MissingPcvr,
                Reason::UnknownBidKind,
                Reason::InvalidModifier,
                Reason::InvalidQuality
            ]
        );
    }

    #[test]
    fn no_pcvr_at_all_is_missing_for_all() {
        let candidates = [candidate(1, BidKind::Cpa, 1_000_000), candidate(2, BidKind::Cpc, 1_000_000)];
        let mut winners = [Winner::default(); 1];
        let mut reasons = [Reason::Won; 2];
        let run = |pctr: &[f32], pcvr: &[f32], winners: &mut [Winner], reasons: &mut [Reason]| {
            let policy = Policy::default();
            let page = Page::new(&policy, 1);
            run_candidates(&page, &candidates, pctr, pcvr, &mut Scratch::new(2), winners, Some(reasons))
                .map(|decision| decision.n_winners)
        };
        assert_eq!(run(&[0.5, 0.5], &[], &mut winners, &mut reasons), Ok(1));
        assert_eq!(reasons, [Reason::MissingPcvr, Reason::Won]);
        let error = run(&[0.5, 0.5], &[0.5], &mut winners, &mut reasons).unwrap_err();
        assert_eq!(error.status, crate::Status::InvalidArgument);
        assert!(run(&[0.5], &[], &mut winners, &mut reasons).is_err());
    }
}
