//! What requests become: inputs against an independent plain implementation, bit for bit, and whole requests against
//! the f64 reference, on every kernel.

use crate::plain::{Plain, time_input};
use adclick::builder::enrich::TimeInputs;
use adclick::builder::infer::reference::{reference_logits, sigmoid};
use adclick::builder::infer::{Kernel, Weights};
use adclick::builder::schema::TIME_INPUTS;
use adclick::{Engine, Refusal};
use testkit::common::{Bundles, Random, Wants, case, model, options, score, scorer};

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn wants(seed: u64) -> Wants {
    Wants { wide: seed.is_multiple_of(2), heads: 1 + (seed / 2 % 2) as usize, goldens: 1, ..Wants::default() }
}

#[test]
fn inputs_are_those_of_a_plain_implementation_bit_for_bit() {
    let bundles = Bundles::new();
    let (mut rows, mut missing) = (0, 0);
    for seed in 0..120 {
        let mut random = Random(seed);
        let spec = model(&mut random, wants(seed));
        bundles.write("b", &spec);
        let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
        let mut scorer = scorer(&engine, 32);
        let plain = Plain::new(&spec, &engine);
        for _ in 0..6 {
            let n = random.between(1, 12);
            let case = case(&mut random, &spec.schema, n, &engine);
            for candidate in 0..case.n() {
                let mut x = vec![f32::NAN; spec.schema.layout().width];
                scorer.model_input(case.input(), candidate, &mut x).unwrap();
                let expected = plain.candidate(&case, candidate).0;
                assert_eq!(bits(&x), bits(&expected), "seed {seed}: {x:?}, expected {expected:?}, {:?}", spec.schema);
                rows += 1;
            }
            let scores = score(&mut scorer, &case).unwrap();
            assert_eq!(scores.outcome.n_missing, plain.missing(&case), "seed {seed}: {:?}", spec.schema);
            missing += scores.outcome.n_missing;
        }
    }
    assert!(rows > 3000 && missing > 3000, "{rows} rows, {missing} missing: the cases have grown too plain");
}

#[test]
fn time_inputs_are_the_calendars_on_both_sides_of_1970() {
    let inputs = TimeInputs::default();
    let mut random = Random(5);
    for i in 0..50_000 {
        // Every hour of some weeks around 1970, then anywhere in 600 years.
        let time_us = match i {
            0..2000 => (i - 1000) * 3_600_000_000 - i % 3,
            _ => (random.number() * 1e16) as i64,
        };
        let offset = random.between(0, 172_800) as i32 - 86_400;
        let found = inputs.at(time_us, offset);
        for (name, found) in TIME_INPUTS.iter().zip(found) {
            let expected = time_input(name, time_us, offset);
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{name} at {time_us}, offset {offset}: {found}, {expected}"
            );
        }
    }
    // The ends of the range do not overflow.
    for (time_us, offset) in [(i64::MIN, i32::MIN), (i64::MAX, i32::MAX)] {
        assert!(inputs.at(time_us, offset).iter().all(|x| x.is_finite()));
    }
}

/// A probability is right when its logit could be within 1e-5 (of 1, or of its size), and the probability of that
/// logit is within f32's rounding and the kernels' sigmoid.
fn assert_probability(found: f32, logit: f64, what: &str) -> bool {
    let off = 1e-5 * logit.abs().max(1.0);
    let (least, most) = (sigmoid(logit - off), sigmoid(logit + off));
    let slack = f64::from(f32::EPSILON) * most + f64::from(f32::MIN_POSITIVE);
    let found = f64::from(found);
    assert!(least - slack <= found && found <= most + slack, "{what}: {found}, expected {least} to {most}");
    // Farther out the probability says little of the logit.
    logit > -60.0 && logit < 8.0
}

#[test]
fn whole_requests_score_as_the_reference_on_every_kernel() {
    let bundles = Bundles::new();
    let (mut telling, mut all) = (0, 0);
    for seed in 200..240 {
        let mut random = Random(seed);
        let spec = model(&mut random, wants(seed));
        bundles.write("b", &spec);
        for kernel in Kernel::available() {
            let engine = Engine::open(&bundles.path("b"), &options(kernel.name())).unwrap();
            assert_eq!(engine.kernel(), kernel.name());
            let mut scorer = scorer(&engine, 200);
            let plain = Plain::new(&spec, &engine);
            let generation = engine.generation().unwrap();
            let network = generation.model().network();
            let weights = Weights { panels: generation.model().weights(), params: generation.model().params() };
            let n = [1, 2, 11, 12, 13, 14, 15, 28, 29, 40, 200][(seed % 11) as usize];
            let case = case(&mut random, &spec.schema, n, &engine);
            let scores = score(&mut scorer, &case).unwrap();
            assert_eq!((scores.outcome.n_scored, scores.outcome.n_cut), (n as u32, 0));
            assert_eq!(scores.outcome.generation, generation.id());
            let mut ready = Vec::new();
            let mut expected = Vec::new();
            for candidate in 0..n {
                let (declared, serving, wide) = plain.candidate(&case, candidate);
                let mut logits = vec![0.0; network.heads.len()];
                reference_logits(network, weights, &serving, &mut logits).unwrap();
                for (logit, wide) in logits.iter_mut().zip(&wide) {
                    *logit += wide;
                }
                let what = format!("seed {seed}, {}, candidate {candidate} of {n}", kernel.name());
                telling += usize::from(assert_probability(scores.pctr[candidate], logits[0], &what));
                all += 1;
                match logits.get(1) {
                    Some(&logit) => {
                        assert_probability(scores.pcvr[candidate], logit, &what);
                    }
                    None => assert!(scores.pcvr[candidate].is_nan()),
                }
                ready.extend(declared);
                expected.push(logits);
            }
            let width = network.width;
            let (mut pctr, mut pcvr) = (vec![0.0; n], vec![0.0; n]);
            let dense = scorer.score_dense(&ready, n, width, &mut pctr, &mut pcvr);
            if generation.model().has_wide() {
                assert!(matches!(dense, Err(Refusal::Argument { what: "model", .. })), "{dense:?}");
                continue;
            }
            assert_eq!(dense.unwrap().n_scored, n as u32);
            for (candidate, logits) in expected.iter().enumerate() {
                assert_probability(pctr[candidate], logits[0], &format!("seed {seed}, dense, row {candidate}"));
            }
        }
    }
    assert!(telling * 4 > all * 3, "only {telling} of {all} probabilities say something of their logits");
}

#[test]
fn a_candidates_score_depends_on_nothing_but_itself_and_the_request() {
    let bundles = Bundles::new();
    for seed in 300..312 {
        let mut random = Random(seed);
        let spec = model(&mut random, wants(seed));
        bundles.write("b", &spec);
        for kernel in Kernel::available() {
            let engine = Engine::open(&bundles.path("b"), &options(kernel.name())).unwrap();
            let mut scorer = scorer(&engine, 64);
            let case = case(&mut random, &spec.schema, 31, &engine);
            let whole = score(&mut scorer, &case).unwrap();
            // As many candidates give the same bits; more or fewer differ by rounding, because how much of the request's
            // work they share depends on their number.
            for round in 0..20 {
                let n = if round % 2 == 0 { 31 } else { random.between(1, 31) };
                let which: Vec<usize> = (0..n).map(|_| random.between(0, 30)).collect();
                let part = score(&mut scorer, &case.with_candidates(&which)).unwrap();
                for (at, &from) in which.iter().enumerate() {
                    let what = format!("seed {seed}, {}: {from} at place {at} of {n}", kernel.name());
                    for (found, expected) in [(&part.pctr, &whole.pctr), (&part.pcvr, &whole.pcvr)] {
                        let (found, expected) = (found[at], expected[from]);
                        let same = found.to_bits() == expected.to_bits();
                        let near = n != 31 && (found - expected).abs() <= 1e-4 * expected;
                        assert!(same || near, "{what}: {found}, expected {expected}");
                    }
                }
            }
        }
    }
}
