//! What a scorer tells of the candidates of its last decision is what the decision said, and nothing else is told of.

use adclick::auction::Reason;
use adclick::builder::bundle::{self, MODEL_FILE, POLICY_FILE, Role};
use adclick::builder::model::pack_model;
use adclick::{Candidate, Engine, Explanation, ReserveSource, Winner, category_id};
use testkit::common::{Bundles, Case, Random, Wants, case, model, options, scorer};

/// Slots with and without reserves, limits, tiers, floors, masks, draws.
const POLICIES: [&str; 6] = [
    "score_floor_micros = 3_000_000\n[reserve_micros]\ncpc = 900_000\ncpm = 2_000_000\n",
    "[page]\nper_advertiser = 1\nper_campaign = 1\n[[modifier]]\nadvertiser = 2\nadjust = 0.25\nboost = 1.5\n",
    "unit_micros = 1000\n[[reserve]]\nslot = 0\ncpc = 3_000_000\n[[reserve]]\nslot = 1\ncpc = 2_000_000\n\
     [[reserve]]\nslot = 2\ncpc = 2_500_000\n[[reserve]]\nslot = 3\ncpc = 2_500_000\n[[reserve]]\nadvertiser = 3\ncpm = 4_000_000\n",
    "[[tier]]\nname = \"deals\"\n[[tier]]\nname = \"standard\"\n[cold_start]\nbonus = 0.5\n[page]\nmin_quality = 0.5\n",
    "[exploration]\nmethod = \"plackett-luce\"\ntemperature = 1.0\nmax_given_up_micros = 900_000_000_000_000\n[page]\nper_label = 2\n",
    "pricing = \"document\"\n",
];

fn candidate(random: &mut Random, from: Candidate) -> Candidate {
    let mut below = |n: usize| random.between(0, n - 1);
    // The first one, mostly.
    fn mostly<T: Copy>(which: usize, all: &[T]) -> T {
        all[if which < all.len() { which } else { 0 }]
    }
    let tiers = [0, category_id(b"deals"), category_id(b"standard"), 7];
    Candidate {
        advertiser_key: below(5) as u64,
        campaign_key: below(9) as u64,
        label_key: below(3) as u64,
        tier_key: mostly(below(16), &tiers),
        reserve_micros: mostly(below(5), &[0, 1_200_000]),
        quality: mostly(below(5), &[0.0, 1.5, 0.25]),
        modifier: mostly(below(20), &[0.0, 2.0, f32::NAN]),
        adjust_ppm: mostly(below(20), &[0, 200_000, -500_000, -1_000_000, -2_000_000]),
        withheld_ppm: mostly(below(20), &[0, 250_000, 1_000_000]),
        slot_mask: mostly(below(12), &[0, 6, 1 << 20]),
        impressions: below(3000) as u32,
        ..from
    }
}

fn engine(random: &mut Random, bundles: &Bundles, policy: &str, heads: usize) -> (Engine, Case) {
    let spec = model(random, Wants { heads, ..Wants::default() });
    let files = [
        (Role::Model, MODEL_FILE, pack_model(&spec).unwrap()),
        (Role::Policy, POLICY_FILE, policy.as_bytes().to_vec()),
    ];
    let files = files.each_ref().map(|(role, name, bytes)| (*role, *name, bytes.as_slice()));
    bundle::write(&bundles.path("a"), &files, false).unwrap();
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let mut case = case(random, &spec.schema, 40, &engine);
    for at in 0..case.n() {
        case.candidates[at] = candidate(random, case.candidates[at]);
    }
    case.request.n_slots = 4;
    (engine, case)
}

fn agree(told: &Explanation, winner: &Winner) {
    let of_winner = Explanation {
        reason: Reason::Won as u32,
        candidate: winner.candidate,
        slot: winner.slot,
        bid_micros: winner.bid_micros,
        ecpm_micros: winner.ecpm_micros,
        score: winner.score,
        rank: winner.rank,
        tier: winner.tier,
        pctr: winner.pctr,
        pcvr: winner.pcvr,
        ..*told
    };
    assert_eq!(bytemuck::bytes_of(told), bytemuck::bytes_of(&of_winner), "{told:?}\n{winner:?}");
    // A winner that is priced against the score floor names that one.
    if winner.reserve_source != ReserveSource::ScoreFloor as u32 {
        let of_winner = (winner.reserve_micros, winner.reserve_source, winner.reserve_rule);
        assert_eq!((told.reserve_micros, told.reserve_source, told.reserve_rule), of_winner, "{told:?}\n{winner:?}");
    }
}

#[test]
fn every_candidate_is_told_of_as_the_decision_had_it() {
    let (mut seen, mut reserves) = ([0; 27], [0; 7]);
    for seed in 0..60 {
        let mut random = Random(900 + seed);
        let bundles = Bundles::new();
        let policy = POLICIES[seed as usize % POLICIES.len()];
        let (engine, case) = engine(&mut random, &bundles, policy, 1 + seed as usize / 6 % 2);
        let (mut winners, mut reasons) = ([Winner::default(); 4], [Reason::Won; 40]);
        let mut scorer = scorer(&engine, 64);
        let outcome = scorer.decide(case.input(), &mut winners, &mut reasons).unwrap();
        let winners = &winners[..outcome.n_winners as usize];
        let told: Vec<Explanation> = (0..40).map(|i| scorer.explain(i).unwrap()).collect();
        let logits = scorer.logits().map(|logits| logits[..40].to_vec());
        let mut ranks = Vec::new();
        for (i, told) in told.iter().enumerate() {
            assert_eq!((told.reason, told.candidate as usize), (reasons[i] as u32, i), "seed {seed}: {told:?}");
            assert_eq!((told.generation, told.request_id), (outcome.generation, case.request.request_id));
            assert_eq!(told.logit_ctr.to_bits(), logits[0][i].to_bits());
            assert!(told.logit_cvr.is_nan() || told.logit_cvr == logits[1][i]);
            assert!((told.pctr - 1.0 / (1.0 + (-logits[0][i]).exp())).abs() < 1e-6, "{told:?}");
            if told.bid_micros > 0 && !told.score.is_nan() {
                let score = told.weight * told.bid_micros as f64;
                assert!((score - told.score).abs() <= 1e-12 * score.abs(), "{told:?}");
            }
            let eligible = matches!(reasons[i], Reason::Won | Reason::Outranked | Reason::Excluded);
            assert_eq!(told.rank < told.n_eligible, eligible, "{told:?}");
            ranks.extend(eligible.then_some((told.rank, told.tier, told.score)));
            if matches!(reasons[i], Reason::BelowReserve | Reason::BelowFloor | Reason::BelowScoreFloor) {
                assert!(told.reserve_micros > 0 && told.reserve_source > 0, "seed {seed}: {told:?}");
                reserves[told.reserve_source as usize] += 1;
            }
            seen[told.reason as usize] += 1;
        }
        for winner in winners {
            agree(&told[winner.candidate as usize], winner);
        }
        ranks.sort_by_key(|rank| rank.0);
        assert!(ranks.iter().enumerate().all(|(at, rank)| rank.0 as usize == at), "{ranks:?}");
        assert!(ranks.is_sorted_by(|a, b| a.1 < b.1 || a.1 == b.1 && a.2 >= b.2), "{ranks:?}");
    }
    for reason in [
        Reason::Won,
        Reason::Outranked,
        Reason::Excluded,
        Reason::BelowReserve,
        Reason::BelowScoreFloor,
        Reason::AdjustedOut,
        Reason::Withheld,
        Reason::InvalidAdjustment,
        Reason::InvalidModifier,
        Reason::BelowMinQuality,
        Reason::NoSlot,
        Reason::UnknownTier,
        Reason::MissingPcvr,
    ] {
        assert!(seen[reason as usize] > 0, "no candidate was {reason}");
    }
    for source in [ReserveSource::Candidate, ReserveSource::Kind, ReserveSource::Rule, ReserveSource::ScoreFloor] {
        assert!(reserves[source as usize] > 0, "{source:?}: {reserves:?}");
    }
}

#[test]
fn without_a_last_decision_or_such_a_candidate_nothing_is_told_and_it_says_why() {
    let mut random = Random(77);
    let bundles = Bundles::new();
    let (engine, case) = engine(&mut random, &bundles, POLICIES[1], 1);
    let mut winners = [Winner::default(); 4];
    let (mut scorer, mut pctr) = (scorer(&engine, 64), [0.0; 40]);
    let refused = |scorer: &mut adclick::Scorer, says: &str| {
        let why = scorer.explain(3).unwrap_err();
        assert!(why.status() == adclick::Status::InvalidArgument && why.to_string().contains(says), "{why}");
    };
    refused(&mut scorer, "not a decision that succeeded");
    scorer.decide(case.input(), &mut winners, &mut []).unwrap();
    assert!(scorer.explain(39).is_ok());
    let why = scorer.explain(40).unwrap_err().to_string();
    assert_eq!(why, "candidate: 40, but the last decision had 40 of them, numbered from 0");
    // Whatever else is called ends it: scores, ready inputs, and a decision that is refused.
    scorer.score(case.input(), &mut pctr, &mut []).unwrap();
    refused(&mut scorer, "not a decision that succeeded");
    scorer.decide(case.input(), &mut winners, &mut []).unwrap();
    assert!(scorer.decide(case.input(), &mut [], &mut []).is_err());
    refused(&mut scorer, "not a decision that succeeded");
    scorer.decide(case.input(), &mut winners, &mut []).unwrap();
    let _ = scorer.score_dense(&[], 0, 1, &mut [], &mut []);
    refused(&mut scorer, "not a decision that succeeded");
    // Another generation has another policy.
    scorer.decide(case.input(), &mut winners, &mut []).unwrap();
    let other = Bundles::new();
    let _ = self::engine(&mut random, &other, POLICIES[0], 1);
    engine.stage(&other.path("a")).unwrap().activate().unwrap();
    refused(&mut scorer, "no longer live");
    scorer.decide(case.input(), &mut winners, &mut []).unwrap();
    assert!(scorer.explain(0).is_ok());
    engine.close();
    assert!(matches!(scorer.explain(0), Err(adclick::Refusal::Closed)));
}

#[test]
fn a_candidate_that_the_deadline_cut_is_told_of_as_cut() {
    let mut random = Random(78);
    let bundles = Bundles::new();
    let (engine, mut case) = engine(&mut random, &bundles, POLICIES[0], 1);
    let more: Vec<Candidate> = (0..60).map(|i| Candidate { ad_key: 1000 + i, ..case.candidates[0] }).collect();
    more.iter().for_each(|candidate| case.push(Candidate { first_value: 0, n_values: 0, ..*candidate }, &[]));
    case.request.deadline_us = 1;
    let (mut scorer, mut winners, mut reasons) = (scorer(&engine, 100), [Winner::default(); 4], [Reason::Won; 100]);
    let outcome = scorer.decide(case.input(), &mut winners, &mut reasons).unwrap();
    assert!(outcome.n_cut > 0, "{outcome:?}");
    for (i, reason) in reasons.iter().enumerate() {
        let told = scorer.explain(i).unwrap();
        assert_eq!(told.reason, *reason as u32);
        assert_eq!(told.logit_ctr.is_nan() && told.pctr.is_nan(), *reason == Reason::Cut, "{told:?}");
    }
}
