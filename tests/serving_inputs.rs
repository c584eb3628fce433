//! What requests become: inputs against an independent plain implementation, bit for bit, and whole requests against
//! the f64 reference, on every kernel.

mod common;

use adclick::artifact::model::spec::ModelSpec;
use adclick::enrich::TimeInputs;
use adclick::infer::reference::{reference_logits, sigmoid};
use adclick::infer::{Kernel, Weights};
use adclick::schema::{Embedding, Feature, Index, Kind, Pooling, Side, Source, TIME_INPUTS};
use adclick::types::Value;
use adclick::{Engine, Refusal};
use common::{Bundles, Case, Random, Wants, case, model, options, score, scorer};

/// The reading of the documentation, feature by feature, in declared order; slow and obvious.
struct Plain<'a> {
    spec: &'a ModelSpec,
    engine: &'a Engine,
}

/// One side's columns in declared order (others left out), its wide sums, and what it counted.
#[derive(Default)]
struct Made {
    x: Vec<f32>,
    wide: Vec<f64>,
    missing: u32,
}

impl Plain<'_> {
    fn side(&self, case: &Case, side: Side, values: &[Value]) -> Made {
        let mut made = Made { wide: vec![0.0; self.spec.network.heads.len()], ..Made::default() };
        let features = || self.spec.schema.features.iter().filter(|f| f.side() == side);
        let reads = |f: &Feature, v: &Value| {
            f.source != Source::Time && f.position.is_none() && self.engine.feature(&f.input).unwrap() == v.feature
        };
        made.missing += values.iter().filter(|v| !features().any(|f| reads(f, v))).count() as u32;
        for f in features() {
            let mut own: Vec<(f32, u64)> = values.iter().filter(|v| reads(f, v)).map(|v| (v.number, v.id)).collect();
            if f.source == Source::Time {
                let number = time_input(&f.input, case.request.time_us, case.request.utc_offset_s);
                own = vec![(number, number as u64)];
            }
            if let Some(p) = f.position {
                own = vec![(p, p as u64)];
            }
            self.feature(f, &own, &mut made);
        }
        made
    }

    fn feature(&self, f: &Feature, own: &[(f32, u64)], made: &mut Made) {
        match &f.kind {
            Kind::Number { transform, default } => {
                made.missing += u32::from(own.is_empty());
                let mut x = own.last().map_or(*default, |v| v.0);
                if x < transform.clip.0 {
                    x = transform.clip.0;
                }
                if x > transform.clip.1 {
                    x = transform.clip.1;
                }
                if transform.log1p {
                    x = if x < 0.0 { -libm::log1pf(-x) } else { libm::log1pf(x) };
                }
                made.x.push((x - transform.mean) / transform.scale);
            }
            Kind::Category { embedding, boundaries, default } => {
                let e = &self.spec.schema.embeddings[*embedding as usize];
                let id = match own.last() {
                    Some((number, _)) if !boundaries.is_empty() => {
                        Some(boundaries.iter().filter(|b| *b <= number).count() as u64)
                    }
                    Some((_, id)) => Some(*id),
                    None => *default,
                };
                let (row, known) = match id {
                    Some(id) => self.row(*embedding, id),
                    None => (e.missing_row.then_some(usize::from(e.unknown_row)), true),
                };
                made.missing += u32::from(own.is_empty() || !known);
                self.pool(*embedding, &[(row, 1.0)], 1.0, made);
            }
            Kind::MultiCategory { embedding, pooling } => {
                let rows: Vec<_> = own
                    .iter()
                    .map(|&(weight, id)| {
                        let (row, known) = self.row(*embedding, id);
                        made.missing += u32::from(!known);
                        (row, if weight == 0.0 { 1.0 } else { weight })
                    })
                    .collect();
                let share = match pooling {
                    Pooling::Mean if !rows.is_empty() => 1.0 / rows.len() as f32,
                    Pooling::Mean | Pooling::Sum => 1.0,
                };
                self.pool(*embedding, &rows, share, made);
            }
            Kind::Vector { dim } => {
                let mut x = vec![0.0; *dim as usize];
                let mut any = false;
                for &(number, at) in own {
                    match x.get_mut(at as usize) {
                        Some(x) => (*x, any) = (number, true),
                        None => made.missing += 1,
                    }
                }
                made.missing += u32::from(!any);
                made.x.extend(x);
            }
        }
    }

    /// The row of an id, and whether the index knows it.
    fn row(&self, embedding: u32, id: u64) -> (Option<usize>, bool) {
        let e: &Embedding = &self.spec.schema.embeddings[embedding as usize];
        let first = usize::from(e.unknown_row) + usize::from(e.missing_row);
        let known = match e.index {
            Index::Identity { count } => (id < u64::from(count)).then_some(id as usize),
            Index::Hashed { buckets } => Some(((u128::from(Random(id).next()) * u128::from(buckets)) >> 64) as usize),
            Index::Vocabulary { .. } => {
                self.spec.embeddings[embedding as usize].vocabulary.iter().position(|&known| known == id)
            }
        };
        match known {
            Some(row) => (Some(first + row), true),
            None => (e.unknown_row.then_some(0), false),
        }
    }

    fn pool(&self, embedding: u32, rows: &[(Option<usize>, f32)], share: f32, made: &mut Made) {
        let e = &self.spec.schema.embeddings[embedding as usize];
        let (table, dim, heads) = (&self.spec.embeddings[embedding as usize], e.dim as usize, made.wide.len());
        for column in 0..dim {
            let mut sum = 0.0f32;
            for &(row, weight) in rows {
                if let Some(row) = row {
                    sum += weight * stored(table.rows[row * dim + column]);
                }
            }
            made.x.push(sum * share);
        }
        if e.wide {
            for &(row, weight) in rows {
                if let Some(row) = row {
                    for (head, wide) in made.wide.iter_mut().enumerate() {
                        *wide +=
                            f64::from(share) * f64::from(weight) * f64::from(stored(table.wide[row * heads + head]));
                    }
                }
            }
        }
    }

    /// Request and candidate together: x in declared order, and x in the order of the file.
    fn candidate(&self, case: &Case, candidate: usize) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
        let request = self.side(case, Side::Request, &case.values);
        let own = self.side(case, Side::Candidate, case.values_of(candidate));
        let (mut r, mut c) = (request.x.iter(), own.x.iter());
        let mut declared = Vec::new();
        for f in &self.spec.schema.features {
            let from = if f.side() == Side::Request { &mut r } else { &mut c };
            declared.extend(from.by_ref().take(f.width(&self.spec.schema.embeddings)));
        }
        let wide = request.wide.iter().zip(&own.wide).map(|(a, b)| a + b).collect();
        (declared, [request.x, own.x].concat(), wide)
    }

    fn missing(&self, case: &Case) -> u32 {
        let own = |c| self.side(case, Side::Candidate, case.values_of(c)).missing;
        self.side(case, Side::Request, &case.values).missing + (0..case.n()).map(own).sum::<u32>()
    }
}

/// As the file holds it.
fn stored(value: f32) -> f32 {
    half::f16::from_f64(f64::from(value)).to_f32()
}

/// By the calendar: counts days from a Monday, 2001-01-01.
fn time_input(name: &str, time_us: i64, utc_offset_s: i32) -> f32 {
    const MONDAY: i128 = 978_307_200;
    let mut since = i128::from(time_us) + (i128::from(utc_offset_s) - MONDAY) * 1_000_000;
    let week = 7 * 86_400 * 1_000_000i128;
    since = ((since % week) + week) % week;
    let weekday = (since / (86_400 * 1_000_000)) as usize;
    let hour = (since / (3600 * 1_000_000)) as usize % 24;
    let turn = |share: f64| (share * std::f64::consts::TAU).sin_cos();
    let (hour_cycle, weekday_cycle) = (turn(hour as f64 / 24.0), turn(weekday as f64 / 7.0));
    match name {
        "hour" => hour as f32,
        "weekday" => weekday as f32,
        "weekend" => f32::from(u8::from(weekday == 5 || weekday == 6)),
        "hour_sin" => hour_cycle.0 as f32,
        "hour_cos" => hour_cycle.1 as f32,
        "weekday_sin" => weekday_cycle.0 as f32,
        "weekday_cos" => weekday_cycle.1 as f32,
        other => panic!("{other} is no time input"),
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn wants(seed: u64) -> Wants {
    Wants { wide: seed.is_multiple_of(2), heads: 1 + (seed / 2 % 2) as usize, goldens: 1 }
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
        let plain = Plain { spec: &spec, engine: &engine };
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
            let plain = Plain { spec: &spec, engine: &engine };
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
                assert!(matches!(dense, Err(Refusal::Field { what: "model", .. })), "{dense:?}");
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
            for _ in 0..20 {
                let n = random.between(1, 31);
                let which: Vec<usize> = (0..n).map(|_| random.between(0, 30)).collect();
                let part = score(&mut scorer, &case.with_candidates(&which)).unwrap();
                for (at, &from) in which.iter().enumerate() {
                    let found = (part.pctr[at].to_bits(), part.pcvr[at].to_bits());
                    let expected = (whole.pctr[from].to_bits(), whole.pcvr[from].to_bits());
                    assert_eq!(found, expected, "seed {seed}, {}: {from} at place {at} of {n}", kernel.name());
                }
            }
        }
    }
}
