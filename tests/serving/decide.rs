//! Decisions are scores put through the auction by the generation's own policy; deadlines cut and say so.

use std::collections::HashSet;

use adclick::auction::{Page, Policy, Reason, Scratch, run_candidates};
use adclick::builder::bundle::{self, CALIBRATORS_FILE, MODEL_FILE, POLICY_FILE, Role};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, Isotonic, Platt};
use adclick::builder::model::pack_model;
use adclick::{Engine, Precision, Winner};
use testkit::common::{Bundles, Case, Random, Wants, case, model, options, score, scorer, without_ids};

const POLICY: &str = "squash = 0.8\nscore_floor_micros = 1000\n[reserve_micros]\ncpc = 20000\n";

fn calibrators() -> Calibrators {
    let platt = Calibrator::Platt(Platt::new(0.7, -0.4).unwrap());
    let isotonic = Isotonic::new(vec![0.05, 0.3, 0.9], vec![0.01, 0.2, 0.6]).unwrap();
    Calibrators {
        ctr: HeadCalibrator::new(0.5, platt).unwrap(),
        cvr: HeadCalibrator::new(1.0, Calibrator::Isotonic(isotonic)).unwrap(),
        ..Calibrators::default()
    }
}

/// An engine on a bundle of three files, and one on the same model alone.
fn engines(random: &mut Random, heads: usize) -> (Bundles, Engine, Engine, Case) {
    let bundles = Bundles::new();
    let spec = model(random, Wants { heads, ..Wants::default() });
    let (model, calibrators) = (pack_model(&spec).unwrap(), encode_calibrators(&calibrators()));
    let files = [
        (Role::Model, MODEL_FILE, model.as_slice()),
        (Role::Calibrators, CALIBRATORS_FILE, calibrators.as_slice()),
        (Role::Policy, POLICY_FILE, POLICY.as_bytes()),
    ];
    bundle::write(&bundles.path("whole"), &files, false).unwrap();
    bundle::write(&bundles.path("bare"), &files[..1], false).unwrap();
    let open = |name: &str| Engine::open(&bundles.path(name), &options("portable")).unwrap();
    let (whole, bare) = (open("whole"), open("bare"));
    let case = case(random, &spec.schema, 60, &whole);
    (bundles, whole, bare, case)
}

fn decided(engine: &Engine, case: &Case) -> (adclick::Outcome, Vec<Winner>, Vec<Reason>) {
    let mut winners = vec![Winner::default(); case.n().max(1)];
    let mut reasons = vec![Reason::Won; case.n()];
    let outcome = scorer(engine, 64).decide(case.input(), &mut winners, &mut reasons).unwrap();
    winners.truncate(outcome.n_winners as usize);
    (outcome, winners, reasons)
}

#[test]
fn a_decision_is_the_auction_of_the_calibrated_scores() {
    let mut filled = 0;
    for seed in 0..24 {
        let mut random = Random(600 + seed);
        let heads = 1 + (seed % 2) as usize;
        let (_bundles, whole, bare, mut case) = engines(&mut random, heads);
        case.request.n_slots = (seed % 5) as u32;
        let (raw, scores) =
            (score(&mut scorer(&bare, 64), &case).unwrap(), score(&mut scorer(&whole, 64), &case).unwrap());
        let by_hand = calibrators();
        for (p, raw) in scores.pctr.iter().zip(&raw.pctr) {
            // Through a probability in f32 instead of the logit: a little is lost.
            let expected = by_hand.ctr.apply_probability(f64::from(*raw));
            assert!((f64::from(*p) - expected).abs() < 1e-5, "{p}, expected {expected}");
        }
        for (p, raw) in scores.pcvr.iter().zip(&raw.pcvr) {
            let expected = by_hand.cvr.apply_probability(f64::from(*raw));
            assert!((p.is_nan() && heads == 1) || (f64::from(*p) - expected).abs() < 1e-5, "{p}, expected {expected}");
        }
        let (outcome, winners, reasons) = decided(&whole, &case);
        let slots = case.request.n_slots.max(1) as usize;
        let (mut expected, mut why) = (vec![Winner::default(); slots], vec![Reason::Won; case.n()]);
        let policy = Policy::parse(POLICY).unwrap();
        let decision = run_candidates(
            &Page::of_request(&policy, &case.request),
            &case.candidates,
            &scores.pctr,
            if heads == 2 { &scores.pcvr } else { &[] },
            &mut Scratch::new(case.n()),
            &mut expected,
            Some(&mut why),
        )
        .unwrap();
        assert_eq!((outcome.n_winners as usize, &reasons), (decision.n_winners, &why));
        let mut ids = HashSet::new();
        for (winner, expected) in winners.iter().zip(&expected) {
            let same = Winner { impression_id: 0, impression_id_high: 0, ..*winner };
            assert_eq!(bytemuck::bytes_of(&same), bytemuck::bytes_of(expected));
            assert!(winner.impression_id != 0 && ids.insert(winner.impression_id));
        }
        // The same request again is another decision.
        assert!(decided(&whole, &case).1.iter().all(|w| ids.insert(w.impression_id)));
        filled += decision.n_winners;
    }
    assert!(filled > 24, "{filled} places were filled in all");
}

#[test]
fn a_deadline_cuts_what_comes_late_and_the_rest_is_an_auction_of_its_own() {
    let mut random = Random(700);
    let (_bundles, engine, _, mut case) = engines(&mut random, 2);
    let whole = decided(&engine, &case);
    assert_eq!((whole.0.n_scored, whole.0.n_cut), (60, 0));
    // All have a pCVR: NaN would not be equal to itself.
    assert!(whole.1.iter().all(|w| !w.pcvr.is_nan()));
    case.request.deadline_us = 1;
    let (outcome, winners, reasons) = decided(&engine, &case);
    let scored = outcome.n_scored as usize;
    // A tile takes longer than a microsecond, and the first one is always scored.
    assert!(scored > 0 && scored < 60 && outcome.n_scored + outcome.n_cut == 60, "{outcome:?}");
    let taking_part: Vec<usize> = (0..60).filter(|&i| reasons[i] != Reason::Cut).collect();
    assert_eq!(taking_part.len(), scored);
    let mut early = case.with_candidates(&taking_part);
    early.request.deadline_us = 0;
    let (alone, mut expected, why) = decided(&engine, &early);
    assert_eq!(taking_part.iter().map(|&i| reasons[i]).collect::<Vec<_>>(), why);
    for winner in &mut expected {
        for index in [&mut winner.candidate, &mut winner.runner_up].into_iter().filter(|index| **index < 60) {
            *index = taking_part[*index as usize] as u32;
        }
    }
    let [winners, expected] = [winners, expected].map(without_ids);
    assert_eq!(bytemuck::cast_slice::<_, u8>(&winners), bytemuck::cast_slice::<_, u8>(&expected));
    assert_eq!(alone.n_winners, outcome.n_winners);
    // Time enough: nothing is cut.
    case.request.deadline_us = 60_000_000;
    let (outcome, winners, reasons) = decided(&engine, &case);
    assert_eq!((outcome, without_ids(winners), reasons), (whole.0, without_ids(whole.1), whole.2));
}

/// The last candidates of the array are the best. A scorer that knows them from the decision before scores them first.
#[test]
fn a_deadline_cuts_those_that_would_score_least_and_not_the_last() {
    for (seed, precision) in [(710, Precision::Exact), (711, Precision::AuctionExact), (712, Precision::Exact)] {
        let mut random = Random(seed);
        let (bundles, _, _, case) = engines(&mut random, 1 + seed as usize % 2);
        let mut options = options("portable");
        options.precision = Some(precision);
        let engine = Engine::open(&bundles.path("whole"), &options).unwrap();
        let mut order: Vec<usize> = (0..60).collect();
        let (_, winners, _) = decided(&engine, &case);
        let won = |i: &usize| winners.iter().any(|winner| winner.candidate as usize == *i);
        order.sort_by_key(won);
        let mut case = case.with_candidates(&order);
        let (mut scorer, mut at_leisure, mut in_haste) =
            (scorer(&engine, 64), [Winner::default(); 8], [Winner::default(); 8]);
        case.request.deadline_us = 60_000_000;
        let whole = scorer.decide(case.input(), &mut at_leisure, &mut []).unwrap();
        assert_eq!(whole.n_cut, 0);
        case.request.deadline_us = 1;
        let mut reasons = [Reason::Won; 60];
        let outcome = scorer.decide(case.input(), &mut in_haste, &mut reasons).unwrap();
        assert!(outcome.n_cut > 0 && outcome.n_winners == whole.n_winners, "{outcome:?}");
        let [in_haste, at_leisure] = [in_haste, at_leisure].map(|winners| without_ids(winners.to_vec()));
        let bits = bytemuck::cast_slice::<Winner, u8>;
        assert_eq!(bits(&in_haste), bits(&at_leisure));
        let cut = reasons.iter().filter(|reason| **reason == Reason::Cut).count();
        assert_eq!(cut, outcome.n_cut as usize);
        assert!(reasons[..60 - winners.len()].contains(&Reason::Cut));
    }
}

#[test]
fn no_candidates_are_no_error() {
    let mut random = Random(701);
    let (_bundles, engine, _, case) = engines(&mut random, 2);
    let none = case.with_candidates(&[]);
    let mut empty = Case { request: none.request, values: none.values, ..Case::default() };
    (empty.request.n_candidates, empty.request.n_candidate_values) = (0, 0);
    empty.request.n_values = empty.values.len() as u32;
    let scores = score(&mut scorer(&engine, 64), &empty).unwrap();
    assert_eq!((scores.outcome.n_scored, scores.pctr.len()), (0, 0));
    let outcome = scorer(&engine, 64).decide(empty.input(), &mut [], &mut []).unwrap();
    assert_eq!((outcome.n_winners, outcome.n_scored, outcome.n_cut), (0, 0, 0));
}
