//! The cases of ad platforms' documentation, and what a policy's rules do one by one.

use adclick::auction::{Carry, Page, Policy, Reason, Scratch, run_candidates};
use adclick::{
    BidKind, CANDIDATE_FLOOR_EXEMPT, CANDIDATE_STOPPED, Candidate, PriceBound, Request, ReserveSource, Winner,
    category_id,
};

const UNIT: i64 = 1_000_000;

fn cpc(ad_key: u64, bid_micros: i64) -> Candidate {
    Candidate { ad_key, bid_micros, bid_kind: BidKind::Cpc as u32, ..Candidate::default() }
}

fn auction(policy: &str, request: Request, candidates: &[Candidate], pctr: f32) -> (Vec<Winner>, Vec<Reason>) {
    let policy = Policy::parse(policy).unwrap();
    let page = Page::of_request(&policy, &request);
    let (n, probabilities) = (candidates.len(), vec![pctr; candidates.len()]);
    let (mut winners, mut reasons) = (vec![Winner::default(); n], vec![Reason::Won; n]);
    let mut scratch = Scratch::new(n);
    let decision = run_candidates(
        &page,
        candidates,
        &probabilities,
        &probabilities,
        &mut scratch,
        &mut winners,
        Some(&mut reasons),
    );
    winners.truncate(decision.unwrap().n_winners);
    (winners, reasons)
}

fn one_slot(policy: &str, candidates: &[Candidate]) -> (u64, i64, Vec<Reason>) {
    let (winners, reasons) = auction(policy, Request::default(), candidates, 0.25);
    let winner = winners.first().copied().unwrap_or_default();
    let ad = if winners.is_empty() { 0 } else { candidates[winner.candidate as usize].ad_key };
    (ad, winner.price_micros, reasons)
}

#[test]
fn case_1_an_adjusted_bid_pays_up_to_the_adjusted_bid() {
    let adjusted = Candidate { adjust_ppm: 200_000, ..cpc(1, UNIT) };
    let (ad, price, _) = one_slot("", &[adjusted, cpc(2, 1_100_000)]);
    assert_eq!((ad, price), (1, 1_100_000));
    // As a boost the same is a platform's gift.
    let boosted = Candidate { modifier: 1.25, ..cpc(1, UNIT) };
    assert_eq!(one_slot("", &[boosted, cpc(2, 1_100_000)]).1, 880_000);
    let by_policy = "[[modifier]]\ncampaign = 7\nadjust = 0.2\n";
    let of_campaign = Candidate { campaign_key: 7, ..cpc(1, UNIT) };
    assert_eq!(one_slot(by_policy, &[of_campaign, cpc(2, 1_100_000)]).1, 1_100_000);
}

#[test]
fn case_2_minus_100_percent_is_out_and_so_is_what_stopped_or_is_held_back() {
    let out = [
        (Candidate { adjust_ppm: -1_000_000, ..cpc(1, UNIT) }, Reason::AdjustedOut),
        (Candidate { withheld_ppm: 1_000_000, ..cpc(1, UNIT) }, Reason::Withheld),
        (Candidate { throttle_ppm: 1_000_000, ..cpc(1, UNIT) }, Reason::Throttled),
        (Candidate { flags: CANDIDATE_STOPPED, ..cpc(1, UNIT) }, Reason::Stopped),
        (Candidate { adjust_ppm: -1_000_001, ..cpc(1, UNIT) }, Reason::InvalidAdjustment),
        (Candidate { withheld_ppm: 1_000_001, ..cpc(1, UNIT) }, Reason::InvalidAdjustment),
        (Candidate { tier_key: 5, ..cpc(1, UNIT) }, Reason::UnknownTier),
        (Candidate { value_micros: UNIT, ..cpc(1, UNIT) }, Reason::InvalidValue),
        (Candidate { adjust_ppm: -999_999, ..cpc(1, 1000) }, Reason::BelowUnit),
        (Candidate { slot_mask: 0b10, ..cpc(1, UNIT) }, Reason::NoSlot),
    ];
    for (candidate, reason) in out {
        let (ad, price, reasons) = one_slot("", &[candidate, cpc(2, 10)]);
        assert_eq!((ad, price, reasons), (2, 0, vec![reason, Reason::Won]), "{reason}");
    }
}

#[test]
fn case_3_half_of_the_bid_withheld_pays_at_most_half() {
    let paced = Candidate { withheld_ppm: 500_000, ..cpc(1, 2 * UNIT) };
    assert_eq!(one_slot("", &[paced, cpc(2, 800_000)]).1, 800_000);
    let (ad, _, _) = one_slot("", &[paced, cpc(2, 1_000_001)]);
    assert_eq!(ad, 2);
}

#[test]
fn case_4_a_sibling_that_may_not_stand_beside_it_sets_no_price() {
    let of = |advertiser_key, candidate| Candidate { advertiser_key, ..candidate };
    let candidates = [of(5, cpc(1, 3 * UNIT)), of(5, cpc(2, 2_900_000)), of(6, cpc(3, UNIT))];
    let (ad, price, reasons) = one_slot("[page]\nper_advertiser = 1\n", &candidates);
    assert_eq!((ad, price), (1, UNIT));
    assert_eq!(reasons, [Reason::Won, Reason::Excluded, Reason::Outranked]);
    assert_eq!(one_slot("", &candidates).1, 2_900_000);
}

#[test]
fn case_5_a_house_ad_is_exempt_from_the_floor() {
    let house = Candidate { flags: CANDIDATE_FLOOR_EXEMPT, ..cpc(1, 10_000) };
    let floor = "[reserve_micros]\ncpc = 1000000\n[page]\nmin_ecpm_micros = 100000000\n";
    assert_eq!(one_slot(floor, &[house]).0, 1);
    assert_eq!(one_slot(floor, &[cpc(1, 10_000)]).2, [Reason::BelowReserve]);
    let tiers = format!("{floor}[[tier]]\nname = \"standard\"\n[[tier]]\nname = \"house\"\nfloor_exempt = true\n");
    let of_tier = Candidate { tier_key: category_id(b"house"), ..cpc(1, 10_000) };
    assert_eq!(one_slot(&tiers, &[of_tier]).0, 1);
}

#[test]
fn case_6_a_deal_stands_ahead_of_a_higher_open_bid_and_does_not_pay_for_it() {
    let policy =
        "[[tier]]\nname = \"deals\"\n[[tier]]\nname = \"open\"\ndefault = true\n[reserve_micros]\ncpc = 500000\n";
    let deal = Candidate { tier_key: category_id(b"deals"), ..cpc(1, 3 * UNIT) };
    let (ad, price, _) = one_slot(policy, &[cpc(2, 4 * UNIT), deal]);
    assert_eq!((ad, price), (1, 500_000));
    let other = Candidate { tier_key: category_id(b"deals"), ..cpc(3, 2 * UNIT) };
    assert_eq!(one_slot(policy, &[cpc(2, 4 * UNIT), deal, other]).1, 2 * UNIT);
}

#[test]
fn case_7_bids_and_prices_are_whole_billable_units() {
    let policy = "unit_micros = 10000\n";
    let (winners, _) = auction(policy, Request::default(), &[cpc(1, 399_000), cpc(2, 381_000)], 0.25);
    assert_eq!((winners[0].bid_micros, winners[0].price_micros), (390_000, 380_000));
    let refused = one_slot("unit_micros = 10000\nbid_rounding = \"refuse\"\n", &[cpc(1, 399_000)]);
    assert_eq!(refused.2, [Reason::BelowUnit]);
    assert_eq!(one_slot(policy, &[cpc(1, 9_999)]).2, [Reason::BelowUnit]);
}

#[test]
fn case_8_single_impressions_bill_the_price_of_a_thousand_to_the_micro() {
    let mut carry = Carry::default();
    let billed: i64 = (0..1000).map(|_| carry.bill(1_999_999)).sum();
    assert_eq!((billed, carry), (1_999_999, Carry::default()));
    assert_eq!(carry.bill(i64::MAX), i64::MAX / 1000);
}

#[test]
fn case_9_squash_compares_like_with_like() {
    let policy = "squash = 0.5\n[mean_probability]\ncpc = 0.01\n";
    let cpm = Candidate { ad_key: 2, bid_micros: 5 * UNIT, ..Candidate::default() };
    let (winners, _) = auction(policy, Request { n_slots: 2, ..Request::default() }, &[cpc(1, 100_000), cpm], 0.01);
    assert_eq!(winners.iter().map(|w| w.candidate).collect::<Vec<_>>(), [1, 0]);
    for (winner, score) in winners.iter().zip([5e6, 1e6]) {
        assert!((winner.score / score - 1.0).abs() < 1e-6, "{}", winner.score);
    }
}

#[test]
fn case_10_equal_ads_share_the_traffic_and_each_request_replays() {
    let policy = Policy::parse("ties = \"hash\"\n").unwrap();
    let candidates = [cpc(1, UNIT), cpc(2, UNIT)];
    let mut scratch = Scratch::new(2);
    let mut won = [0u32; 2];
    for request_id in 0..100_000 {
        let page = Page::of_request(&policy, &Request { request_id, ..Request::default() });
        let mut decide = || {
            let mut winner = [Winner::default()];
            run_candidates(&page, &candidates, &[0.5, 0.5], &[], &mut scratch, &mut winner, None).unwrap();
            winner[0]
        };
        let winner = decide();
        assert_eq!(bytemuck::bytes_of(&winner), bytemuck::bytes_of(&decide()));
        won[winner.candidate as usize] += 1;
    }
    // Three standard errors of a fair coin.
    assert!((f64::from(won[0]) - 50_000.0).abs() < 3.0 * (100_000f64 / 4.0).sqrt(), "{won:?}");
}

#[test]
fn a_bid_by_value_aims_at_its_return_and_bid_micros_caps_it() {
    let by_value = |most| Candidate {
        bid_kind: BidKind::Cpa as u32,
        value_micros: 12 * UNIT,
        target_return_ppm: 4_000_000,
        ..cpc(1, most)
    };
    let bid = |most| auction("", Request::default(), &[by_value(most)], 0.25).0[0].bid_micros;
    assert_eq!((bid(0), bid(2 * UNIT), bid(9 * UNIT)), (3 * UNIT, 2 * UNIT, 3 * UNIT));
}

#[test]
fn the_highest_of_all_reserves_applies_and_is_named() {
    let policy = "[page]\nmin_ecpm_micros = 1000000\n\
                  [[reserve]]\nplacement = 3\ncpc = 50000\n[[reserve]]\nadvertiser = 5\ncpc = 60000\n\
                  [[reserve]]\nslot = 0\ncpc = 70000\n[reserve_micros]\ncpc = 40000\n";
    let run = |request: Request, candidate: Candidate| {
        let winner = auction(policy, request, &[candidate], 0.25).0[0];
        (winner.price_micros, winner.reserve_source, winner.reserve_rule)
    };
    let (here, there) = (Request { placement: 3, ..Request::default() }, Request::default());
    let rule = ReserveSource::Rule as u32;
    assert_eq!(run(there, cpc(1, UNIT)), (70_000, rule, 2));
    let in_slot_1 = Candidate { slot_mask: 0b10, ..cpc(1, UNIT) };
    let two = |request| Request { n_slots: 2, ..request };
    assert_eq!(run(two(there), in_slot_1), (40_000, ReserveSource::Kind as u32, 0));
    assert_eq!(run(two(here), in_slot_1), (50_000, rule, 0));
    assert_eq!(run(two(here), Candidate { advertiser_key: 5, ..in_slot_1 }), (60_000, rule, 1));
    assert_eq!(
        run(two(here), Candidate { reserve_micros: 80_000, ..in_slot_1 }),
        (80_000, ReserveSource::Candidate as u32, 0)
    );
    // 30.00 for 1000 impressions at a pCTR of 0.25 is 0.12 for a click.
    let floor = Request { floor_cpm_micros: 30 * UNIT, ..two(here) };
    assert_eq!(run(floor, in_slot_1), (120_000, ReserveSource::Request as u32, 0));
    let (_, reasons) = auction(policy, floor, &[Candidate { bid_micros: 119_999, ..in_slot_1 }], 0.25);
    assert_eq!(reasons, [Reason::BelowFloor]);
}

#[test]
fn the_page_takes_so_many_ads_of_such_quality() {
    let policy = "[page]\nmax_ads = 2\nmin_quality = 0.5\n";
    let candidates = [cpc(1, UNIT), cpc(2, UNIT), cpc(3, UNIT), Candidate { quality: 0.4, ..cpc(4, 9 * UNIT) }];
    let (winners, reasons) = auction(policy, Request { n_slots: 5, ..Request::default() }, &candidates, 0.25);
    assert_eq!((winners.len(), reasons[3]), (2, Reason::BelowMinQuality));
}

#[test]
fn first_price_pays_the_bid() {
    let (winners, _) = auction("pricing = \"first\"\n", Request::default(), &[cpc(1, 700_000), cpc(2, 300_000)], 0.25);
    assert_eq!((winners[0].price_micros, winners[0].price_bound), (700_000, PriceBound::Bid as u32));
}

#[test]
fn a_cold_start_bonus_ranks_new_ads_as_if_they_bid_more() {
    let policy = "[cold_start]\nbonus = 0.5\nimpressions = 1000\n";
    let seen = |impressions, candidate| Candidate { impressions, ..candidate };
    let rival = cpc(2, 1_400_000);
    assert_eq!(one_slot(policy, &[seen(1, cpc(1, UNIT)), rival]).0, 1);
    assert_eq!(one_slot(policy, &[seen(1001, cpc(1, UNIT)), rival]).0, 2);
    assert_eq!(one_slot(policy, &[cpc(1, UNIT), rival]).0, 2);
}

#[test]
fn a_throttle_leaves_out_its_share_of_requests() {
    let policy = Policy::default();
    let candidates = [Candidate { throttle_ppm: 300_000, ..cpc(1, UNIT) }];
    let mut out = 0;
    for request_id in 0..20_000 {
        let page = Page::of_request(&policy, &Request { request_id, ..Request::default() });
        let mut reasons = [Reason::Won];
        run_candidates(
            &page,
            &candidates,
            &[0.5],
            &[],
            &mut Scratch::new(1),
            &mut [Winner::default()],
            Some(&mut reasons),
        )
        .unwrap();
        out += i32::from(reasons[0] == Reason::Throttled);
    }
    assert!((out - 6000).abs() < 3 * 65, "{out}");
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    for (text, said) in [
        ("pricing = \"vcg\"\n[page]\nper_advertiser = 1\nper_category = 1\n", "page.per_category"),
        ("pricing = \"vcg\"\n[[reserve]]\nslot = 1\ncpc = 1\n", "[[reserve]] for a slot"),
        ("pricing = \"vcg\"\nslot_factors = [0.5, 0.6]\n", "slot_factors"),
        ("[exploration]\nmethod = \"epsilon-greedy\"\nepsilon = 0.1\n", "max_given_up_micros"),
        ("\n[[tier]]\nname = \"deals\"\n", "line 2: tier: none is the default"),
        ("[[modifier]]\nhours = [3, 3]\n", "line 2: modifier.hours"),
        ("[page]\nper_adviser = 1\n", "line 2: unknown key page.per_adviser"),
    ] {
        let error = Policy::parse(text).unwrap_err();
        assert!(error.message.contains(said), "{text}: {error}");
    }
    let nested = "pricing = \"vcg\"\n[page]\nper_advertiser = 2\nper_creative = 1\n";
    let all = "ties = \"hash\"\nunit_micros = 100\nbid_rounding = \"refuse\"\nslot_factors = [1.0, 0.5]\n\
               [mean_probability]\ncpa = 0.001\n[[tier]]\nname = \"a \\\"b\\\"\"\ndefault = true\n\
               [[modifier]]\ncampaign = \"x\"\ndevice = 2\nhours = [22, 4]\nadjust = -0.5\n\
               [[reserve]]\nslot = 3\ncpm = 7\n[cold_start]\nbonus = 0.25\n\
               [exploration]\nmethod = \"plackett-luce\"\ntemperature = 0.5\nmax_given_up_micros = 5\n";
    for text in [nested, all, "pricing = \"document\"\n[document]\nobjective = \"conversion\"\n"] {
        let policy = Policy::parse(text).unwrap();
        assert_eq!(Policy::parse(&policy.to_toml()).unwrap(), policy, "{}", policy.to_toml());
    }
}
