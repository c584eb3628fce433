//! The auction on the structs of the C boundary.

use super::rank::Ranking;
use super::{Bid, Policy, Reason, Scratch};
use crate::error::{Error, Result};
use crate::types::{BidKind, Candidate, Winner};

/// Runs one auction on candidates and their probabilities, as [`super::run`] does on bids, and returns how many of
/// `winners` were filled. [`Winner::propensity`] is 1 and [`Winner::impression_id`] is left 0 for the caller.
///
/// `pctr` has a probability for each candidate. `pcvr` has one for each candidate, NaN where it is missing, or is
/// empty when there is none at all. In a candidate 0 means the default: the policy's reserve of the bid's kind, a
/// modifier of 1, a quality of 1.
///
/// # Errors
/// Those of [`super::run`], and [`crate::Status::InvalidArgument`] when the lengths do not match.
#[expect(clippy::too_many_arguments)]
pub fn run_candidates(
    policy: &Policy,
    candidates: &[Candidate],
    pctr: &[f32],
    pcvr: &[f32],
    n_slots: usize,
    scratch: &mut Scratch,
    winners: &mut [Winner],
    reasons: Option<&mut [Reason]>,
) -> Result<usize> {
    let n = candidates.len();
    if pctr.len() != n || !(pcvr.len() == n || pcvr.is_empty()) {
        let text = format!("{n} candidates, but {} values of pCTR and {} of pCVR", pctr.len(), pcvr.len());
        return Err(Error::argument(text));
    }
    let pcvr_of = |index: usize| pcvr.get(index).copied().unwrap_or(f32::NAN);
    let get = |index: usize| bid(policy, &candidates[index], pctr[index], pcvr_of(index));
    let ranking = Ranking::new(policy, n, get, n_slots, scratch, winners.len(), reasons)?;
    for (slot, winner) in winners.iter_mut().take(ranking.n_placed).enumerate() {
        let place = ranking.placement(slot)?;
        let index = place.candidate as usize;
        *winner = Winner {
            candidate: place.candidate,
            slot: slot as u32,
            pctr: pctr[index],
            pcvr: pcvr_of(index),
            ecpm_micros: place.ecpm_micros(),
            price_micros: place.price,
            price_bound: place.bound as u32,
            runner_up: place.runner_up,
            propensity: 1.0,
            ..Winner::default()
        };
    }
    Ok(ranking.n_placed)
}

/// A candidate's bid, with defaults filled in.
pub(super) fn bid(policy: &Policy, candidate: &Candidate, pctr: f32, pcvr: f32) -> std::result::Result<Bid, Reason> {
    let kind = BidKind::from_u32(candidate.bid_kind).ok_or(Reason::UnknownBidKind)?;
    let reserve = match candidate.reserve_micros {
        0 => policy.reserve_micros(kind),
        own => own,
    };
    let or_one = |factor: f32| if factor == 0.0 { 1.0 } else { f64::from(factor) };
    Ok(Bid {
        kind,
        amount: candidate.bid_micros,
        reserve,
        pctr: f64::from(pctr),
        pcvr: f64::from(pcvr),
        modifier: or_one(candidate.modifier),
        quality: or_one(candidate.quality),
        key: candidate.ad_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NO_CANDIDATE, PriceBound};

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
        let n = run_candidates(&policy, &candidates, &pctr, &pcvr, 4, &mut scratch, &mut winners, Some(&mut reasons))
            .unwrap();
        assert_eq!(n, 4);
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
            run_candidates(&Policy::default(), &candidates, pctr, pcvr, 1, &mut Scratch::new(2), winners, Some(reasons))
        };
        assert_eq!(run(&[0.5, 0.5], &[], &mut winners, &mut reasons), Ok(1));
        assert_eq!(reasons, [Reason::MissingPcvr, Reason::Won]);
        let error = run(&[0.5, 0.5], &[0.5], &mut winners, &mut reasons).unwrap_err();
        assert_eq!(error.status, crate::Status::InvalidArgument);
        assert!(run(&[0.5], &[], &mut winners, &mut reasons).is_err());
    }
}
