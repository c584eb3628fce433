//! Values in columns: they are those that a caller would pass one by one, on every way through a request.

use adclick::Input;
use adclick::auction::Reason;
use adclick::builder::infer::Kernel;
use adclick::inputs::ProblemKind;
use adclick::{Columns, Engine, Outcome, Precision, Refusal, Scorer, Status, Value, Winner};
use testkit::allocator;
use testkit::blocks::Block;
use testkit::common::{Bundles, Case, Random, Wants, case, decide, model, options, score, scorer, without_ids};
use testkit::plain_tables::{ask, enrich, write};

/// Scores and decides with columns, as [`score`] and [`decide`] do without.
fn by_columns(
    scorer: &mut Scorer,
    case: &Case,
    columns: Columns<'_>,
) -> (Outcome, Vec<u32>, Outcome, Vec<u8>, Vec<Reason>) {
    let (mut pctr, mut pcvr) = (vec![-1.0f32; case.n()], vec![-1.0f32; case.n()]);
    let scored = scorer.score(Input { columns, ..case.input() }, &mut pctr, &mut pcvr).unwrap();
    let bits = pctr.iter().chain(&pcvr).map(|p| p.to_bits()).collect();
    let mut winners = vec![Winner::default(); 8];
    let mut reasons = vec![Reason::Won; case.n()];
    let decided = scorer.decide(Input { columns, ..case.input() }, &mut winners, &mut reasons).unwrap();
    let winners = without_ids(winners[..decided.n_winners as usize].to_vec());
    (scored, bits, decided, bytemuck::cast_slice(&winners).to_vec(), reasons)
}

#[test]
fn columns_are_the_values_that_they_stand_for() {
    let mut random = Random(71);
    let (mut missing, mut wrong_side, mut kept) = (0, 0, 0);
    for round in 0..24 {
        let wants = Wants { wide: round % 3 > 0, heads: 1 + round % 2, goldens: 8, similarities: false };
        let mut spec = model(&mut random, wants);
        let tables = if round % 2 == 0 { enrich(&mut random, &mut spec) } else { Vec::new() };
        let bundles = Bundles::new();
        write(&bundles, "a", &spec, &tables);
        let kernels: Vec<_> = Kernel::available().collect();
        let mut options = options(kernels[round % kernels.len()].name());
        options.ad_cache_bytes = 1 << 24;
        options.precision = (round % 4 == 3).then_some(Precision::AuctionExact);
        let engine = Engine::open(&bundles.path("a"), &options).unwrap();
        let mut scorer = scorer(&engine, 100);
        for n in [0, 1, 7, 100] {
            let mut case = case(&mut random, &spec.schema, n, &engine);
            if !tables.is_empty() {
                case = ask(&mut random, &case);
            }
            let block = Block::new(&mut random, &case);
            let values = block.by_values(&case);
            let (scores, decision) = (score(&mut scorer, &values).unwrap(), decide(&mut scorer, &values).unwrap());
            let (scored, bits, decided, winners, reasons) = by_columns(&mut scorer, &case, block.columns());
            assert_eq!((scored, bits), (scores.outcome, scores.bits()), "round {round}, {n} candidates");
            assert_eq!((decided, winners), (decision.outcome, decision.winners));
            assert_eq!(reasons, decision.reasons);
            missing += scored.n_missing;
            wrong_side += scored.n_wrong_side;
            // The check sees the same as well.
            let [ours, theirs] =
                [engine.check(Input { columns: block.columns(), ..case.input() }), engine.check(values.input())]
                    .map(Result::unwrap);
            let counts = |check: &adclick::inputs::Check| {
                check.problems.iter().map(|problem| (problem.kind, problem.count)).collect::<Vec<_>>()
            };
            assert_eq!(counts(&ours), counts(&theirs), "round {round}, {n} candidates");
        }
        kept += usize::from(engine.metrics().unwrap().to_string().contains("adclick_candidates_kept_total 0"));
    }
    assert!(
        missing > 1000 && wrong_side > 100,
        "the cases say little: {missing} missing, {wrong_side} on the wrong side"
    );
    assert!(kept < 24, "no candidate's sums came from an ad cache");
}

#[test]
fn a_refused_block_is_named_and_nothing_is_allocated_or_written() {
    let mut random = Random(72);
    let spec = model(&mut random, Wants::default());
    let bundles = Bundles::new();
    write(&bundles, "a", &spec, &[]);
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let mut scorer = scorer(&engine, 10);
    let case = case(&mut random, &spec.schema, 10, &engine);
    let (ids, numbers) = ([1u64; 20], [0.5f32; 30]);
    let good =
        Columns { id_features: &[0, 1], ids: &ids, number_features: &[2, 3, 4], numbers: &numbers, missing_id: None };
    let mut refusal = |columns: Columns<'_>| {
        let (mut pctr, mut winners) = ([-1.0f32; 10], [Winner::default(); 4]);
        let before = allocator::calls();
        let scored = scorer.score(Input { columns, ..case.input() }, &mut pctr, &mut []).err();
        let decided = scorer.decide(Input { columns, ..case.input() }, &mut winners, &mut []).err();
        assert_eq!(allocator::calls(), before, "allocated");
        assert_eq!(scored, decided);
        assert!(scored.is_none() || (pctr == [-1.0; 10] && winners == [Winner::default(); 4]), "written");
        scored
    };
    assert_eq!(refusal(good), None);
    let short = Refusal::Length { what: "ids", found: 19, expected: 20 };
    assert_eq!(refusal(Columns { ids: &ids[1..], ..good }), Some(short));
    let long = Refusal::Length { what: "numbers", found: 30, expected: 20 };
    assert_eq!(refusal(Columns { number_features: &[2, 3], ..good }), Some(long));
    let many = vec![9; 1025];
    let refused = refusal(Columns { id_features: &many, ..good });
    assert_eq!(refused, Some(Refusal::Capacity { what: "columns", found: 1028, most: 1024 }));
    let mut one = numbers;
    one[7] = f32::NEG_INFINITY;
    let infinite = Columns { numbers: &one, ..good };
    assert_eq!(refusal(infinite), Some(Refusal::NotFinite { what: "numbers", index: 7 }));
    assert_eq!(engine.check(Input { columns: infinite, ..case.input() }).unwrap().count(ProblemKind::NotFinite), 1);
    let error = engine.check(Input { columns: Columns { ids: &[], ..good }, ..case.input() }).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
}

/// What the documentation says of an input that has a column and more.
#[test]
fn the_last_value_of_an_input_counts() {
    let mut random = Random(73);
    let bundles = Bundles::new();
    let (spec, feature) = loop {
        let spec = model(&mut random, Wants::default());
        let alone = |f: &&adclick::builder::schema::Feature| {
            matches!(f.kind, adclick::builder::schema::Kind::Number { .. })
                && f.source == adclick::builder::schema::Source::Candidate
                && f.position.is_none()
        };
        let name = spec.schema.features.iter().find(alone).map(|f| f.input.clone());
        if let Some(name) = name {
            break (spec, name);
        }
    };
    write(&bundles, "a", &spec, &[]);
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let mut scorer = scorer(&engine, 1);
    let feature = engine.feature(&feature).unwrap();
    let mut case = case(&mut random, &spec.schema, 0, &engine);
    case.push(adclick::Candidate::default(), &[]);
    let mut alone = case.with_candidates(&[]);
    alone.push(adclick::Candidate::default(), &[Value { feature, number: 0.75, id: 0 }]);
    let expected = score(&mut scorer, &alone).unwrap().bits();

    let block = |numbers: &[f32]| Block {
        number_features: vec![feature; numbers.len()],
        numbers: numbers.to_vec(),
        ..Block::default()
    };
    let later = by_columns(&mut scorer, &case, block(&[0.25, 0.75]).columns()).1;
    assert_eq!(later, expected, "a later column");
    let own = by_columns(&mut scorer, &alone, block(&[0.25]).columns()).1;
    assert_eq!(own, expected, "the candidate's own value");
    let missing = by_columns(&mut scorer, &case, block(&[0.75, f32::NAN]).columns()).1;
    assert_eq!(missing, expected, "a missing cell is no value");
    let check = engine.check(Input { columns: block(&[0.25]).columns(), ..alone.input() }).unwrap();
    assert_eq!(check.count(ProblemKind::Repeated), 1, "{check}");
}
