//! Requests that carry ids: what tables give the model against a plain implementation, and against the same values
//! passed, bit for bit.

use crate::plain::Plain;
use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::enrich::{Keys, TableReader, TableValue};
use adclick::builder::schema::{Enrichment, KeyPart, Kind, Lookup, Side, Source};
use adclick::{Engine, Value};
use testkit::common::{Bundles, Case, Random, Wants, case, model, options, score, scorer};
use testkit::plain_tables::{PlainTable, ask, enrich, write, write_on_top};

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn wants(seed: u64) -> Wants {
    let heads = 1 + (seed / 2 % 2) as usize;
    Wants { wide: seed.is_multiple_of(2), heads, goldens: 1, similarities: !seed.is_multiple_of(3) }
}

/// A random model that reads random tables.
fn model_and_tables(random: &mut Random, seed: u64) -> (ModelSpec, Vec<PlainTable>) {
    let mut spec = model(random, wants(seed));
    let tables = enrich(random, &mut spec);
    (spec, tables)
}

fn open(bundles: &Bundles, name: &str) -> Engine {
    Engine::open(&bundles.path(name), &options("portable")).unwrap()
}

#[test]
fn inputs_are_those_of_a_plain_implementation_bit_for_bit() {
    let bundles = Bundles::new();
    let (mut rows, mut missing, mut lookups) = (0, 0, [0; 2]);
    let (mut column_keys, mut sharded) = (0, 0);
    for seed in 0..120 {
        let mut random = Random(seed);
        let (spec, tables) = model_and_tables(&mut random, seed);
        write(&bundles, "b", &spec, &tables);
        let engine = open(&bundles, "b");
        let mut scorer = scorer(&engine, 32);
        let plain = Plain::new(&spec, &engine).with_tables(&tables);
        for binding in &spec.enrichment.bindings {
            lookups[usize::from(matches!(binding.lookup, Lookup::Similarity { .. }))] += 1;
        }
        let keys = spec.enrichment.tables.iter().flat_map(|t| &t.key);
        column_keys += keys.filter(|part| matches!(part, KeyPart::Column(_))).count();
        sharded += tables.iter().filter(|t| t.there.len() < t.shards as usize).count();
        for _ in 0..6 {
            let n = random.between(0, 12);
            let case = case(&mut random, &spec.schema, n, &engine);
            let case = ask(&mut random, &case);
            for candidate in 0..case.n() {
                let mut x = vec![f32::NAN; spec.schema.layout().width];
                scorer.model_input(case.input(), candidate, &mut x).unwrap();
                let expected = plain.candidate(&case, candidate).0;
                assert_eq!(bits(&x), bits(&expected), "seed {seed}: {x:?}, expected {expected:?}, {spec:?}");
                rows += 1;
            }
            let scores = score(&mut scorer, &case).unwrap();
            assert_eq!(scores.outcome.n_missing, plain.missing(&case), "seed {seed}: {:?}", spec.enrichment);
            missing += scores.outcome.n_missing;
        }
    }
    println!(
        "{rows} rows, {missing} missing, {lookups:?} bindings, {column_keys} columns in keys, {sharded} with holes"
    );
    assert!(rows > 3000 && missing > 3000 && lookups[0] > 500 && lookups[1] > 30, "the cases have grown too plain");
    assert!(column_keys > 50 && sharded > 50, "{column_keys} {sharded}");
}

/// The case with all that tables give it passed as values.
fn filled(spec: &ModelSpec, engine: &Engine, case: &Case) -> Case {
    let generation = engine.generation().unwrap();
    let mut reader = TableReader::new(&spec.schema, &spec.enrichment, generation.tables()).unwrap();
    let features = &spec.schema.features;
    // A value that was passed goes to all features of its input; one that is read belongs to its feature alone.
    let handle = |feature: u32| engine.feature(&format!("of feature {feature}")).unwrap();
    let passed = |values: &[Value]| -> Vec<Value> {
        let to = |v: &Value| {
            let own = (0..).zip(features).filter(|(_, f)| engine.feature(&f.input).unwrap() == v.feature);
            own.map(|(i, _)| Value { feature: handle(i), ..*v }).collect::<Vec<_>>()
        };
        values.iter().flat_map(to).collect()
    };
    let read = |values: &mut Vec<Value>, side: Side, found: &[TableValue]| {
        let given: Vec<u32> = values.iter().filter(|v| counts(spec, v, &handle)).map(|v| v.feature).collect();
        let own = found.iter().filter(|v| features[v.feature as usize].side() == side);
        let new = own
            .map(|v| Value { feature: handle(v.feature), number: v.number, id: v.id })
            .filter(|v| !given.contains(&v.feature));
        values.extend(new.collect::<Vec<_>>());
    };
    let of_request = Keys { user: case.request.user_key, placement: case.request.placement.into(), ..Keys::default() };
    let keys: Vec<Keys> =
        case.candidates.iter().map(|c| Keys { ad: c.ad_key, advertiser: c.advertiser_key, ..of_request }).collect();
    let mut found = vec![Vec::new(); keys.len()];
    reader.read(&keys, |row, value| found[row].push(value));
    let mut filled = Case { request: case.request, values: passed(&case.values), ..Case::default() };
    read(&mut filled.values, Side::Request, &found[0]);
    for (i, candidate) in case.candidates.iter().enumerate() {
        let mut values = passed(case.values_of(i));
        read(&mut values, Side::Candidate, &found[i]);
        filled.push(*candidate, &values);
    }
    filled
}

/// Whether a value keeps the table's from being taken: not when a vector has no such position.
fn counts(spec: &ModelSpec, value: &Value, handle: &dyn Fn(u32) -> u32) -> bool {
    let of = (0..).zip(&spec.schema.features).find(|(i, _)| handle(*i) == value.feature);
    of.is_some_and(|(_, f)| !matches!(f.kind, Kind::Vector { dim } if value.id >= dim.into()))
}

#[test]
fn values_that_are_passed_give_what_tables_give_bit_for_bit() {
    let bundles = Bundles::new();
    let mut values = 0;
    for seed in 500..560 {
        let mut random = Random(seed);
        let (spec, tables) = model_and_tables(&mut random, seed);
        write(&bundles, "tables", &spec, &tables);
        // The same model without tables, each feature with an input of its own.
        let mut without = ModelSpec { enrichment: Enrichment::default(), ..spec.clone() };
        for (i, f) in without.schema.features.iter_mut().enumerate() {
            if f.source != Source::Time {
                f.input = format!("of feature {i}");
            }
        }
        bundles.write("passed", &without);
        let (engine, other) = (open(&bundles, "tables"), open(&bundles, "passed"));
        for i in 0..spec.schema.features.len() {
            let name = format!("of feature {i}");
            assert!(other.feature(&name).unwrap() < 100);
        }
        let (mut scorer_a, mut scorer_b) = (scorer(&engine, 32), scorer(&other, 32));
        for _ in 0..4 {
            let n = random.between(1, 12);
            let case = case(&mut random, &spec.schema, n, &engine);
            let case = ask(&mut random, &case);
            let mut passed = filled(&spec, &engine, &case);
            // Handles are each engine's own.
            let translate = |v: &mut Value| {
                let name = |i: &usize| engine.feature(&format!("of feature {i}")).unwrap() == v.feature;
                let i = (0..spec.schema.features.len()).find(name).unwrap();
                v.feature = other.feature(&format!("of feature {i}")).unwrap();
            };
            passed.values.iter_mut().chain(&mut passed.candidate_values).for_each(translate);
            values += passed.values.len() + passed.candidate_values.len();
            let (a, b) = (score(&mut scorer_a, &case).unwrap(), score(&mut scorer_b, &passed).unwrap());
            assert_eq!(a.bits(), b.bits(), "seed {seed}: {:?}", spec.enrichment);
        }
    }
    assert!(values > 5000, "{values} values");
}

#[test]
fn what_is_written_on_top_counts_bit_for_bit() {
    let bundles = Bundles::new();
    let (mut written, mut rows) = (0, 0);
    // Candidates for which nothing was passed, or something; in each case with the ad's own row and with one on top.
    let mut seen = [[0; 2]; 2];
    for seed in 700..760 {
        let mut random = Random(seed);
        let (spec, mut tables) = model_and_tables(&mut random, seed);
        write(&bundles, "b", &spec, &tables);
        let engine = open(&bundles, "b");
        let mut scorer = scorer(&engine, 32);
        for round in 0..4 {
            let case = case(&mut random, &spec.schema, 12, &engine);
            let case = ask(&mut random, &case);
            let plain = Plain::new(&spec, &engine).with_tables(&tables);
            for candidate in 0..case.n() {
                let mut x = vec![f32::NAN; spec.schema.layout().width];
                scorer.model_input(case.input(), candidate, &mut x).unwrap();
                let expected = plain.candidate(&case, candidate).0;
                assert_eq!(
                    bits(&x),
                    bits(&expected),
                    "seed {seed}, round {round}: {x:?}, expected {expected:?}, {spec:?}"
                );
                rows += 1;
            }
            let scores = score(&mut scorer, &case).unwrap();
            assert_eq!(scores.outcome.n_missing, plain.missing(&case), "seed {seed}, round {round}");
            // What was passed for a candidate, or written on top of its rows, is nothing to the next one.
            let turned: Vec<usize> = (0..case.n()).rev().collect();
            let mut back = score(&mut scorer, &case.with_candidates(&turned)).unwrap();
            back.pctr.reverse();
            back.pcvr.reverse();
            assert_eq!(back.bits(), scores.bits(), "seed {seed}, round {round}");
            let ads = tables.iter().find(|t| t.name == "ads");
            for (i, candidate) in case.candidates.iter().enumerate() {
                let on_top = ads.is_some_and(|t| t.written.contains_key(&candidate.ad_key));
                seen[usize::from(!case.values_of(i).is_empty())][usize::from(on_top)] += 1;
            }
            written += write_on_top(&mut random, &engine, &mut tables);
        }
    }
    assert!(written > 5000 && rows > 2000, "{written} rows written, {rows} rows read");
    assert!(seen.as_flattened().iter().all(|&n| n > 100), "{seen:?}: the cases have grown too plain");
}
