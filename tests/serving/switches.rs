//! Switches: what is off takes no part, from the first request after the call to the last before it is on again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use adclick::auction::Reason;
use adclick::builder::bundle::{self, MODEL_FILE, POLICY_FILE, Role};
use adclick::builder::infer::Kernel;
use adclick::builder::model::pack_model;
use adclick::{CANDIDATE_STOPPED, Candidate, Engine, Options, Precision, Status, SwitchKind, Winner};
use testkit::common::{Bundles, Case, Random, Wants, case, chance, model, options, score, scorer};

const KINDS: [SwitchKind; 3] = [SwitchKind::Ad, SwitchKind::Campaign, SwitchKind::Advertiser];

/// A bundle of a random model with a policy.
fn bundle(bundles: &Bundles, name: &str, random: &mut Random, policy: &str) -> adclick::builder::schema::Schema {
    let spec = model(random, Wants::default());
    let model = pack_model(&spec).unwrap();
    let files = [(Role::Model, MODEL_FILE, model.as_slice()), (Role::Policy, POLICY_FILE, policy.as_bytes())];
    bundle::write(&bundles.path(name), &files, false).unwrap();
    spec.schema
}

/// Candidates with keys, a few to each campaign and advertiser.
fn keyed(case: &mut Case) {
    for (i, candidate) in (0..).zip(&mut case.candidates) {
        candidate.ad_key = 1000 + i;
        candidate.campaign_key = if i % 5 == 0 { 0 } else { 100 + i % 17 };
        candidate.advertiser_key = 10 + i % 7;
        candidate.bid_micros = 1_000_000 + 1000 * i as i64;
        (candidate.bid_kind, candidate.reserve_micros, candidate.flags) = ((i % 4) as u32, 0, 0);
        (candidate.modifier, candidate.quality) = (0.0, 0.0);
    }
}

fn key_of(candidate: &Candidate, kind: SwitchKind) -> u64 {
    match kind {
        SwitchKind::Ad => candidate.ad_key,
        SwitchKind::Campaign => candidate.campaign_key,
        SwitchKind::Advertiser => candidate.advertiser_key,
    }
}

fn bytes(winners: &[Winner]) -> &[u8] {
    bytemuck::cast_slice(winners)
}

fn decided(engine: &Engine, case: &Case) -> (Vec<Winner>, Vec<Reason>) {
    let mut winners = vec![Winner::default(); case.n()];
    let mut reasons = vec![Reason::Won; case.n()];
    let outcome = scorer(engine, 200).decide(case.input(), &mut winners, &mut reasons).unwrap();
    winners.truncate(outcome.n_winners as usize);
    // Each decision has ids of its own.
    winners.iter_mut().for_each(|winner| (winner.impression_id, winner.impression_id_high) = (0, 0));
    (winners, reasons)
}

#[test]
fn a_decision_with_switches_is_the_one_in_which_those_candidates_have_stopped() {
    let (mut off_in_all, mut would_have_won) = (0, 0);
    for seed in 0..30 {
        let mut random = Random(800 + seed);
        let bundles = Bundles::new();
        let policy = [
            "",
            "[page]\nper_advertiser = 1\n",
            "squash = 0.7\n",
            "[exploration]\nmethod = \"epsilon-greedy\"\nepsilon = 0.5\nmax_given_up_micros = 1000000000000\n",
        ][seed as usize % 4];
        let schema = bundle(&bundles, "a", &mut random, policy);
        let mut options = options(Kernel::detect().name());
        options.precision = Some([Precision::Exact, Precision::AuctionExact][(seed / 4) as usize % 2]);
        let engine = Engine::open(&bundles.path("a"), &options).unwrap();
        let mut case = case(&mut random, &schema, 150, &engine);
        keyed(&mut case);
        case.request.n_slots = 3;
        let (before, _) = decided(&engine, &case);
        let mut stopped = case.clone();
        let mut off = Vec::new();
        for kind in KINDS {
            let of = |candidate: &Candidate| key_of(candidate, kind);
            let keys =
                case.candidates.iter().map(of).chain(before.iter().map(|w| of(&case.candidates[w.candidate as usize])));
            for key in keys.collect::<Vec<_>>() {
                if key != 0 && chance(&mut random, if kind == SwitchKind::Ad { 20 } else { 3 }) {
                    engine.switch(kind, key, 1 + random.next_u64() as u32 / 2).unwrap();
                    off.push((kind, key));
                }
            }
        }
        let is_off = |candidate: &Candidate| off.iter().any(|&(kind, key)| key_of(candidate, kind) == key);
        for candidate in stopped.candidates.iter_mut().filter(|candidate| is_off(candidate)) {
            candidate.flags = CANDIDATE_STOPPED;
            off_in_all += 1;
        }
        would_have_won += before.iter().filter(|w| is_off(&case.candidates[w.candidate as usize])).count();
        let plain = Engine::open(&bundles.path("a"), &options).unwrap();
        let (expected, why) = decided(&plain, &stopped);
        let (winners, reasons) = decided(&engine, &case);
        // By bytes: what is not known is NaN.
        assert_eq!(bytes(&winners), bytes(&expected), "seed {seed}: {winners:?}, expected {expected:?}");
        let why: Vec<Reason> =
            why.into_iter().map(|r| if r == Reason::Stopped { Reason::SwitchedOff } else { r }).collect();
        assert_eq!(reasons, why, "seed {seed}");
        // Scoring takes no notice.
        let bits = |engine: &Engine| score(&mut scorer(engine, 200), &case).unwrap().bits();
        assert_eq!(bits(&engine), bits(&plain));
        for (kind, key) in off {
            engine.switch(kind, key, 0).unwrap();
        }
        assert_eq!(bytes(&decided(&engine, &case).0), bytes(&before), "all on again");
    }
    assert!(off_in_all > 300 && would_have_won > 20, "{off_in_all} off, {would_have_won} of them first");
}

#[test]
fn the_ranker_of_the_document_leaves_out_what_is_off() {
    let mut random = Random(77);
    let bundles = Bundles::new();
    let schema = bundle(&bundles, "a", &mut random, "pricing = \"document\"\n");
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let mut case = case(&mut random, &schema, 20, &engine);
    keyed(&mut case);
    case.request.n_slots = 4;
    let (first, _) = decided(&engine, &case);
    let best = first[0].candidate as usize;
    engine.switch(SwitchKind::Ad, case.candidates[best].ad_key, 9).unwrap();
    let (winners, reasons) = decided(&engine, &case);
    assert_eq!(
        winners.iter().map(|w| w.candidate).collect::<Vec<_>>()[..3],
        first.iter().map(|w| w.candidate).collect::<Vec<_>>()[1..]
    );
    assert_eq!(reasons[best], Reason::SwitchedOff);
    assert_eq!(reasons.iter().filter(|reason| **reason == Reason::Won).count(), 4);
    let of_reason = |reason: Reason| {
        let name = format!("adclick_auction_candidates_total{{reason=\"{reason}\"}} ");
        let text = engine.metrics().unwrap().to_string();
        text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned)).unwrap()
    };
    assert_eq!(
        (of_reason(Reason::SwitchedOff), of_reason(Reason::Won), of_reason(Reason::Outranked)),
        ("1".into(), "8".into(), "31".into())
    );
    // Nobody is left.
    for candidate in &case.candidates {
        engine.switch(SwitchKind::Advertiser, candidate.advertiser_key, 1).unwrap();
    }
    let (winners, reasons) = decided(&engine, &case);
    assert!(winners.is_empty() && reasons.iter().all(|reason| *reason == Reason::SwitchedOff));
}

#[test]
fn switches_outlive_generations_and_are_bounded() {
    let mut random = Random(78);
    let bundles = Bundles::new();
    bundle(&bundles, "a", &mut random, "");
    bundle(&bundles, "b", &mut random, "");
    let mut options = Options::default();
    (options.headroom, options.switch_keys) = (100.0, 2);
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    engine.switch(SwitchKind::Campaign, 7, 3).unwrap();
    engine.stage(&bundles.path("b")).unwrap().activate().unwrap();
    assert_eq!(engine.switched(SwitchKind::Campaign, 7).unwrap(), 3);
    engine.rollback().unwrap();
    assert_eq!(engine.switched(SwitchKind::Campaign, 7).unwrap(), 3);
    assert_eq!(engine.switched(SwitchKind::Ad, 7).unwrap(), 0);
    assert!(engine.metrics().unwrap().to_string().contains("adclick_switched_off{kind=\"campaign\"} 1\n"));
    engine.switch(SwitchKind::Campaign, 8, 3).unwrap();
    assert_eq!(engine.switch(SwitchKind::Campaign, 9, 3).unwrap_err().status, Status::CapacityExceeded);
    assert_eq!(engine.switched(SwitchKind::Campaign, 9).unwrap(), 0);
    assert_eq!(engine.switch(SwitchKind::Campaign, 0, 3).unwrap_err().status, Status::InvalidArgument);
    let other = Engine::open(&bundles.path("a"), &options).unwrap();
    assert_eq!(other.switched(SwitchKind::Campaign, 7).unwrap(), 0);
    other.close();
    options.switch_keys = usize::MAX;
    assert_eq!(Engine::open(&bundles.path("a"), &options).err().unwrap().status, Status::InvalidArgument);
}

/// Readers, switches and activations side by side: a request never returns an ad of which the call that turned it off had
/// returned before the request began, unless it was turned on meanwhile.
#[test]
fn nothing_that_is_off_is_returned_while_switches_and_generations_change() {
    const ADS: usize = 40;
    const FLIPS: u64 = 30_000;
    let mut random = Random(79);
    let bundles = Bundles::new();
    let schema = bundle(&bundles, "a", &mut random, "");
    bundle(&bundles, "b", &mut random, "squash = 0.5\n");
    let engine = Engine::open(&bundles.path("a"), &options(Kernel::detect().name())).unwrap();
    let mut case = case(&mut random, &schema, ADS, &engine);
    keyed(&mut case);
    case.request.n_slots = 8;
    // Odd: the call that turned it off has returned. Even: it may be on.
    let flips: [[AtomicU64; ADS]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| AtomicU64::new(0)));
    let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut scorer = scorer(&engine, ADS);
                let mut winners = [Winner::default(); 8];
                let mut reasons = [Reason::Won; ADS];
                let state = || flips.each_ref().map(|of| of.each_ref().map(|n| n.load(Ordering::SeqCst)));
                while !stop.load(Ordering::SeqCst) {
                    let before = state();
                    let outcome = scorer.decide(case.input(), &mut winners, &mut reasons).unwrap();
                    let after = state();
                    for i in 0..ADS {
                        let off = |kind: usize| before[kind][i] % 2 == 1 && before[kind][i] == after[kind][i];
                        if (0..3).any(off) {
                            assert_eq!(reasons[i], Reason::SwitchedOff);
                            let won = winners[..outcome.n_winners as usize].iter().any(|w| w.candidate as usize == i);
                            assert!(!won, "ad {i} is off and won");
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                engine.stage(&bundles.path("b")).unwrap().activate().unwrap();
                engine.rollback().unwrap();
            }
        });
        let mut random = Random(80);
        // One switcher, so that the counts say what it did. Campaigns and advertisers of several ads are counted at each.
        for flip in 0..FLIPS {
            let (kind, ad) = (random.between(0, 2), random.between(0, ADS - 1));
            let key = key_of(&case.candidates[ad], KINDS[kind]);
            if key == 0 {
                continue;
            }
            let same = |i: &usize| key_of(&case.candidates[*i], KINDS[kind]) == key;
            let count = || {
                (0..ADS).filter(same).for_each(|i| {
                    flips[kind][i].fetch_add(1, Ordering::SeqCst);
                })
            };
            if flips[kind][ad].load(Ordering::SeqCst).is_multiple_of(2) {
                engine.switch(KINDS[kind], key, flip as u32 + 1).unwrap();
                count();
            } else {
                count();
                engine.switch(KINDS[kind], key, 0).unwrap();
            }
            if flip % 64 == 0 {
                std::thread::yield_now();
            }
        }
        // On few cores the readers may have had no turn yet.
        while refused.load(Ordering::Relaxed) < 1000 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
    });
}
