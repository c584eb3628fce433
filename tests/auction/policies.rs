//! Properties of the auction, and its answers against a slow one in exact integer arithmetic.

use adclick::auction::{Policy, Reason, Scratch};
use adclick::builder::auction::{Amount, Bid, MAX_BID_MICROS, Placement, PolicyDetails, PolicyParts, run};
use adclick::{BidKind, NO_CANDIDATE, PriceBound};
use proptest::prelude::*;

fn outcome<A: Amount>(policy: &Policy, bids: &[Bid<A>], slots: usize) -> (Vec<Placement<A>>, Vec<Reason>) {
    let mut places = vec![Placement::default(); slots.min(bids.len())];
    let mut reasons = vec![Reason::Won; bids.len()];
    let mut scratch = Scratch::new(bids.len());
    let n = run(policy, bids, slots, &mut scratch, &mut places, Some(&mut reasons)).unwrap();
    places.truncate(n);
    (places, reasons)
}

fn candidates(places: &[Placement]) -> Vec<u32> {
    places.iter().map(|place| place.candidate).collect()
}

/// Bid times `events` is what 1000 impressions are worth.
fn events(bid: &Bid) -> f64 {
    match bid.kind {
        BidKind::Cpm => 1.0,
        BidKind::Cpc => 1000.0 * bid.pctr,
        BidKind::Cpa | BidKind::Ocpm => 1000.0 * bid.pctr * bid.pcvr,
    }
}

/// The most that a bid may be billed.
fn ceiling(bid: &Bid) -> f64 {
    if bid.kind == BidKind::Ocpm { bid.amount as f64 * events(bid) * (1.0 + 1e-14) } else { bid.amount as f64 }
}

fn kind() -> impl Strategy<Value = BidKind> {
    prop_oneof![Just(BidKind::Cpm), Just(BidKind::Cpc), Just(BidKind::Cpa), Just(BidKind::Ocpm)]
}

/// Bids of every magnitude, most of them valid.
fn any_bid() -> impl Strategy<Value = Bid> {
    let amount = prop_oneof![
        8 => 1i64..10_000_000,
        2 => 1i64..=MAX_BID_MICROS,
        1 => prop_oneof![Just(0i64), Just(-1), Just(i64::MIN), Just(i64::MAX), Just(MAX_BID_MICROS + 1)],
    ];
    let reserve = prop_oneof![4 => Just(0i64), 4 => 0i64..5_000_000, 1 => prop_oneof![Just(-1i64), Just(i64::MAX)]];
    let probability = || {
        prop_oneof![
            8 => 1e-6f64..1.0,
            2 => 1e-300f64..1e-6,
            1 => prop_oneof![Just(0.0), Just(-0.1), Just(1.0), Just(1.1), Just(f64::NAN), Just(f64::INFINITY)],
        ]
    };
    let factor =
        || prop_oneof![4 => Just(1.0), 8 => 0.01f64..4.0, 1 => prop_oneof![Just(0.0), Just(-1.0), Just(f64::NAN)]];
    (kind(), amount, reserve, probability(), probability(), factor(), factor(), 0u64..4).prop_map(
        |(kind, amount, reserve, pctr, pcvr, modifier, quality, key)| Bid {
            kind,
            amount,
            reserve,
            pctr,
            pcvr,
            modifier,
            quality,
            key,
            ..Bid::new(kind, amount)
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    (prop_oneof![Just(1.0), 0.1f64..=1.0], prop_oneof![3 => Just(0i64), 1 => 0i64..100_000_000]).prop_map(
        |(squash, floor)| {
            Policy::default().with_squash(squash).and_then(|policy| policy.with_score_floor_micros(floor)).unwrap()
        },
    )
}

/// A bid whose score is a whole number of 2^-18 micros, so that exact arithmetic can judge it.
#[derive(Debug, Clone, Copy)]
struct Small {
    kind: BidKind,
    amount: u32,
    reserve: u32,
    /// 64ths.
    pctr: u32,
    /// 64ths; none is missing.
    pcvr: Option<u32>,
    /// Quarters.
    modifier: u32,
    /// Quarters.
    quality: u32,
    key: u64,
}

impl Small {
    fn bid(&self) -> Bid {
        Bid {
            kind: self.kind,
            amount: i64::from(self.amount),
            reserve: i64::from(self.reserve),
            pctr: f64::from(self.pctr) / 64.0,
            pcvr: self.pcvr.map_or(f64::NAN, |pcvr| f64::from(pcvr) / 64.0),
            modifier: f64::from(self.modifier) / 4.0,
            quality: f64::from(self.quality) / 4.0,
            key: self.key,
            ..Bid::new(self.kind, i64::from(self.amount))
        }
    }

    /// Events of the bid in 1000 impressions, in 4096ths; none if a probability rules the bid out.
    fn events(&self) -> Option<u128> {
        let ok = |parts: u32| (1..=64).contains(&parts).then_some(u128::from(parts));
        Some(match self.kind {
            BidKind::Cpm => 4096,
            BidKind::Cpc => 1000 * 64 * ok(self.pctr)?,
            BidKind::Cpa | BidKind::Ocpm => 1000 * ok(self.pctr)? * ok(self.pcvr?)?,
        })
    }

    /// Score per micro of the bid in units of 2^-16.
    fn weight(&self) -> Option<u128> {
        Some(self.events()? * u128::from(self.modifier) * u128::from(self.quality)).filter(|weight| *weight > 0)
    }

    fn score(&self) -> Option<u128> {
        let most = if self.kind == BidKind::Ocpm {
            u128::from(self.amount) * self.events()? / 4096
        } else {
            u128::from(self.amount)
        };
        Some(self.weight()? * u128::from(self.amount)).filter(|score| *score > 0 && most >= u128::from(self.reserve))
    }
}

fn small() -> impl Strategy<Value = Small> {
    let amount = prop_oneof![4 => 0u32..8, 4 => 1u32..1_000_000];
    let reserve = prop_oneof![2 => Just(0u32), 1 => 0u32..8, 1 => 0u32..500_000];
    let parts = || prop_oneof![4 => 0u32..=65, 2 => Just(32u32)];
    let pcvr = prop_oneof![1 => Just(None), 6 => parts().prop_map(Some)];
    (kind(), amount, reserve, parts(), pcvr, 0u32..=8, 0u32..=8, 0u64..3).prop_map(
        |(kind, amount, reserve, pctr, pcvr, modifier, quality, key)| Small {
            kind,
            amount,
            reserve,
            pctr,
            pcvr,
            modifier,
            quality,
            key,
        },
    )
}

/// An auction in which ties are common: copies of a few bids, with keys of their own.
fn tied<B: Clone + std::fmt::Debug>(
    bid: impl Strategy<Value = B>,
    most: usize,
) -> impl Strategy<Value = Vec<(B, u64)>> {
    let copies = prop::collection::vec((any::<prop::sample::Index>(), 0u64..3), 0..most);
    (prop::collection::vec(bid, 1..8), copies).prop_map(|(few, copies)| {
        copies.into_iter().map(|(which, key)| (few[which.index(few.len())].clone(), key)).collect()
    })
}

/// Winners with prices by the definition: scan for the best one left, then the smallest whole price that keeps it there.
fn slow(bids: &[Small], slots: usize) -> Vec<(u32, i64)> {
    let mut left: Vec<usize> = (0..bids.len()).filter(|&i| bids[i].score().is_some()).collect();
    let mut winners = Vec::new();
    let best = |left: &[usize]| {
        let mut best: Option<usize> = None;
        for &i in left {
            let ahead = best.is_none_or(|b| {
                let (ours, theirs) = (bids[i].score().unwrap(), bids[b].score().unwrap());
                ours > theirs || ours == theirs && (bids[i].key, i) < (bids[b].key, b)
            });
            if ahead {
                best = Some(i);
            }
        }
        best
    };
    for _ in 0..slots {
        let Some(winner) = best(&left) else { break };
        left.retain(|&i| i != winner);
        let bid = &bids[winner];
        let next = best(&left);
        let next_score = next.map_or(0, |next| bids[next].score().unwrap());
        // At equal scores the keys decide.
        let loses_tie = next.is_some_and(|next| (bids[next].key, next) < (bid.key, winner));
        let (weight, events) = (bid.weight().unwrap(), bid.events().unwrap());
        let (whole, part, most) = if bid.kind == BidKind::Ocpm {
            (next_score * events, weight * 4096, u128::from(bid.amount) * events / 4096)
        } else {
            (next_score, weight, u128::from(bid.amount))
        };
        let needed = if loses_tie { whole / part + 1 } else { whole.div_ceil(part) };
        let price = needed.max(u128::from(bid.reserve)).min(most);
        winners.push((winner as u32, i64::try_from(price).unwrap()));
    }
    winners
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_slow_auction_in_exact_arithmetic(
        bids in tied(small(), 24),
        slots in 0usize..9,
    ) {
        let bids: Vec<_> = bids.into_iter().map(|(bid, key)| Small { key, ..bid }).collect();
        let typed: Vec<_> = bids.iter().map(Small::bid).collect();
        let (places, reasons) = outcome(&Policy::default(), &typed, slots);
        let got: Vec<_> = places.iter().map(|place| (place.candidate, place.price)).collect();
        prop_assert_eq!(&got, &slow(&bids, slots));
        for (i, (bid, reason)) in bids.iter().zip(&reasons).enumerate() {
            let won = got.iter().any(|winner| winner.0 == i as u32);
            prop_assert_eq!(*reason == Reason::Won, won);
            prop_assert_eq!(matches!(reason, Reason::Won | Reason::Outranked), bid.score().is_some(), "{}", reason);
        }
    }

    #[test]
    fn a_price_lies_between_reserve_and_bid_and_is_the_least_that_keeps_the_place(
        policy in policy(),
        bids in prop::collection::vec(any_bid(), 0..40),
        slots in 0usize..6,
    ) {
        let (places, reasons) = outcome(&policy, &bids, slots);
        let floor = policy.score_floor_micros() as f64;
        for (slot, place) in places.iter().enumerate() {
            let bid = &bids[place.candidate as usize];
            prop_assert!(bid.reserve <= place.price && place.price as f64 <= ceiling(bid), "{:?} {:?}", bid, place);
            prop_assert!((place.ecpm - bid.amount as f64 * events(bid)).abs() <= 1e-12 * place.ecpm);
            if let Some(behind) = places.get(slot + 1) {
                prop_assert_eq!(place.runner_up, behind.candidate);
                prop_assert!(place.score >= behind.score);
            }
            // Score per micro of the price.
            let billed = if bid.kind == BidKind::Ocpm { events(bid) } else { 1.0 };
            let weight = place.score / bid.amount as f64 / billed;
            let next_score = match place.runner_up {
                NO_CANDIDATE => floor,
                runner_up => {
                    prop_assert!(matches!(reasons[runner_up as usize], Reason::Won | Reason::Outranked));
                    let next = outcome(&policy, &[bids[runner_up as usize]], 1).0[0].score;
                    prop_assert!(next >= floor);
                    next
                }
            };
            let one_less = (place.price - 1) as f64;
            prop_assert!(
                one_less * weight < next_score * (1.0 + 1e-14) || place.price == bid.reserve,
                "one micro less keeps the place: {:?} {:?}", bid, place
            );
            let kept = place.price as f64 * weight >= next_score * (1.0 - 1e-14);
            prop_assert!(kept || matches!(place.bound, PriceBound::Bid | PriceBound::Unit), "{:?} {:?}", bid, place);
            match place.bound {
                PriceBound::Bid | PriceBound::Unit => prop_assert_eq!(bid.kind, BidKind::Ocpm),
                PriceBound::Externality => prop_assert!(false, "a second price is none of VCG"),
                PriceBound::NextScore => prop_assert_ne!(place.runner_up, NO_CANDIDATE),
                PriceBound::Reserve => {}
            }
            prop_assert!((place.price as f64 - place.unrounded_price) < 1.0 + 1e-14 * place.unrounded_price);
        }
    }

    #[test]
    fn bidding_the_price_keeps_the_place_and_one_micro_less_loses_it(
        bids in tied(small(), 24),
        slots in 1usize..5,
    ) {
        let bids: Vec<_> = bids.into_iter().map(|(bid, key)| Small { key, ..bid }.bid()).collect();
        let (places, _) = outcome(&Policy::default(), &bids, slots);
        // An oCPM bid is per conversion and its price per 1000 impressions: the price is no bid.
        let paid = |place: &&Placement| {
            place.bound == PriceBound::NextScore && bids[place.candidate as usize].kind != BidKind::Ocpm
        };
        for place in places.iter().filter(paid) {
            let slot = places.iter().position(|p| p.candidate == place.candidate).unwrap();
            let bidding = |amount: i64| {
                let mut bids = bids.clone();
                bids[place.candidate as usize].amount = amount;
                let (again, _) = outcome(&Policy::default(), &bids, slots);
                again.get(slot).map(|again| again.candidate)
            };
            prop_assert_eq!(bidding(place.price), Some(place.candidate), "{:?}", place);
            prop_assert_ne!(bidding(place.price - 1), Some(place.candidate), "{:?}", place);
        }
    }

    #[test]
    fn raising_the_best_bid_does_not_change_its_price(
        policy in policy(),
        bids in prop::collection::vec(any_bid(), 1..20),
        raise in 1i64..1_000_000_000,
    ) {
        let (places, _) = outcome(&policy, &bids, 1);
        let Some(best) = places.first().filter(|best| best.bound != PriceBound::Bid) else { return Ok(()) };
        let mut bids = bids;
        let amount = &mut bids[best.candidate as usize].amount;
        *amount = (*amount + raise).min(MAX_BID_MICROS);
        let (raised, _) = outcome(&policy, &bids, 1);
        prop_assert_eq!(raised[0].candidate, best.candidate);
        prop_assert_eq!(raised[0].price, best.price);
        prop_assert_eq!(raised[0].unrounded_price, best.unrounded_price);
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter_when_keys_differ(
        policy in policy(),
        bids in tied(any_bid(), 30),
        turn in 0usize..30,
        slots in 0usize..6,
    ) {
        let mut bids: Vec<_> =
            bids.into_iter().enumerate().map(|(i, (bid, key))| Bid { key: 1000 * key + i as u64, ..bid }).collect();
        let told = |bids: &[Bid]| -> Vec<_> {
            let (places, _) = outcome(&policy, bids, slots);
            places.iter().map(|p| (bids[p.candidate as usize].key, p.price, p.score, p.bound)).collect()
        };
        let before = told(&bids);
        bids.reverse();
        prop_assert_eq!(&told(&bids), &before);
        let n = bids.len().max(1);
        bids.rotate_left(turn % n);
        prop_assert_eq!(&told(&bids), &before);
    }

    #[test]
    fn a_new_loser_changes_no_winner_and_lowers_no_price(
        policy in policy(),
        bids in prop::collection::vec(any_bid(), 0..30),
        new in any_bid(),
        slots in 0usize..6,
    ) {
        let (before, _) = outcome(&policy, &bids, slots);
        let mut more = bids;
        more.push(new);
        let (after, reasons) = outcome(&policy, &more, slots);
        if *reasons.last().unwrap() == Reason::Won {
            return Ok(());
        }
        prop_assert_eq!(candidates(&after), candidates(&before));
        for (slot, (after, before)) in after.iter().zip(&before).enumerate() {
            // It is behind the last winner, and nowhere else.
            if slot + 1 == slots {
                prop_assert!(after.price >= before.price);
            } else {
                prop_assert_eq!(after, before);
            }
        }
    }

    #[test]
    fn fractions_of_a_micro_round_to_the_same_auction(
        bids in prop::collection::vec(small(), 0..24),
        slots in 0usize..6,
    ) {
        let whole: Vec<_> = bids.iter().map(Small::bid).collect();
        let fractional: Vec<_> = whole
            .iter()
            .map(|&Bid { kind, amount, reserve, pctr, pcvr, modifier, quality, key, .. }| Bid {
                reserve: reserve as f64, pctr, pcvr, modifier, quality, key, ..Bid::new(kind, amount as f64)
            })
            .collect();
        let (whole, _) = outcome(&Policy::default(), &whole, slots);
        let (fractional, _) = outcome(&Policy::default(), &fractional, slots);
        // An oCPM bid in billed units loses its fraction before it meets the reserve, which is whole.
        prop_assert_eq!(whole.len(), fractional.len());
        for (whole, fractional) in whole.iter().zip(&fractional) {
            prop_assert_eq!(whole.candidate, fractional.candidate);
            prop_assert_eq!(whole.unrounded_price, fractional.price);
        }
    }
}

#[test]
fn no_slots_no_winners_and_no_candidates_no_winners() {
    let bid = Bid { pctr: 0.5, ..Bid::new(BidKind::Cpc, 1_000_000) };
    let (places, reasons) = outcome(&Policy::default(), &[bid], 0);
    assert_eq!((places.len(), reasons), (0, vec![Reason::Outranked]));
    assert_eq!(outcome::<i64>(&Policy::default(), &[], 3).0.len(), 0);
}

#[test]
fn each_fault_has_its_reason() {
    let good = Bid { pctr: 0.5, pcvr: 0.5, ..Bid::new(BidKind::Cpa, 1_000_000) };
    let ocpm = Bid { kind: BidKind::Ocpm, ..good };
    let policy = Policy::default().with_score_floor_micros(1000).unwrap();
    for (bid, reason) in [
        (good, Reason::Won),
        (ocpm, Reason::Won),
        (Bid { amount: 0, ..good }, Reason::InvalidBid),
        (Bid { amount: -5, ..good }, Reason::InvalidBid),
        (Bid { amount: i64::MAX, ..good }, Reason::BidTooLarge),
        (Bid { amount: MAX_BID_MICROS, ..good }, Reason::Won),
        (Bid { amount: MAX_BID_MICROS, pctr: 1.0, pcvr: 1.0, ..ocpm }, Reason::Won),
        (Bid { reserve: 1_000_000, ..good }, Reason::Won),
        (Bid { reserve: 1_000_001, ..good }, Reason::BelowReserve),
        // 1000 impressions of the oCPM bid are worth 250 units.
        (Bid { reserve: 250_000_000, ..ocpm }, Reason::Won),
        (Bid { reserve: 250_000_001, ..ocpm }, Reason::BelowReserve),
        (Bid { reserve: -1, ..good }, Reason::InvalidReserve),
        (Bid { pctr: f64::NAN, ..good }, Reason::InvalidPctr),
        (Bid { pctr: 0.0, ..good }, Reason::InvalidPctr),
        (Bid { pctr: 1.000_001, ..good }, Reason::InvalidPctr),
        (Bid { pcvr: f64::NAN, ..good }, Reason::MissingPcvr),
        (Bid { pcvr: 0.0, ..good }, Reason::InvalidPcvr),
        (Bid { pcvr: -0.5, ..good }, Reason::InvalidPcvr),
        (Bid { pcvr: 0.0, kind: BidKind::Cpc, ..good }, Reason::Won),
        (Bid { pctr: f64::NAN, kind: BidKind::Cpm, ..good }, Reason::Won),
        (Bid { modifier: 0.0, ..good }, Reason::InvalidModifier),
        (Bid { modifier: f64::INFINITY, ..good }, Reason::InvalidModifier),
        (Bid { quality: -1.0, ..good }, Reason::InvalidQuality),
        (Bid { quality: f64::NAN, ..good }, Reason::InvalidQuality),
        (Bid { quality: 1e-6, amount: 3, ..good }, Reason::BelowScoreFloor),
        (Bid { pctr: 1e-200, pcvr: 1e-200, ..good }, Reason::ScoreOutOfRange),
        (Bid { modifier: 1e300, quality: 1e300, ..good }, Reason::ScoreOutOfRange),
    ] {
        let (places, reasons) = outcome(&policy, &[bid], 1);
        assert_eq!(reasons, [reason], "{bid:?}");
        assert_eq!(places.len(), usize::from(reason == Reason::Won));
    }
}

#[test]
fn the_score_floor_prices_the_last_winner() {
    let policy = Policy::default().with_score_floor_micros(50_000_000).unwrap();
    let bid = |amount, reserve| Bid { pctr: 0.125, reserve, ..Bid::new(BidKind::Cpc, amount) };
    // Scores 125 and 62.5 units per 1000 impressions; the floor is 0.40 per click at this pCTR.
    let (places, _) = outcome(&policy, &[bid(1_000_000, 0), bid(500_000, 0), bid(399_999, 0)], 3);
    let told: Vec<_> = places.iter().map(|p| (p.candidate, p.price, p.bound, p.runner_up)).collect();
    assert_eq!(told, [(0, 500_000, PriceBound::NextScore, 1), (1, 400_000, PriceBound::Reserve, NO_CANDIDATE)]);
    let (places, _) = outcome(&policy, &[bid(1_000_000, 450_000)], 3);
    assert_eq!((places[0].price, places[0].bound), (450_000, PriceBound::Reserve));
}

#[test]
fn buffers_that_are_too_small_are_refused() {
    let bids = [Bid::new(BidKind::Cpm, 1_000_000); 3];
    let (mut places, _) = outcome(&Policy::default(), &bids, 3);
    let policy = Policy::default();
    let mut call = |capacity, n_slots, room: usize, reasons: usize| {
        let reasons = &mut vec![Reason::Won; reasons];
        let scratch = &mut Scratch::new(capacity);
        run(&policy, &bids, n_slots, scratch, &mut places[..room], Some(reasons)).map_err(|error| error.status)
    };
    use adclick::Status::{BufferTooSmall, CapacityExceeded};
    assert_eq!(call(2, 3, 3, 3), Err(CapacityExceeded));
    assert_eq!(call(3, 3, 2, 3), Err(BufferTooSmall));
    assert_eq!(call(3, 3, 3, 2), Err(BufferTooSmall));
    assert_eq!(call(3, 2, 2, 3), Ok(2));
    assert_eq!(call(3, usize::MAX, 3, 3), Ok(3));
}
