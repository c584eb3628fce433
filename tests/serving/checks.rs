//! What the live model reads, by name, and what is wrong with requests for it; values that are passed with the wrong side.

use std::time::{Duration, SystemTime};

use adclick::builder::schema::{Side, Source};
use adclick::inputs::{Default, InputReading, ProblemKind, ValueKind};
use adclick::{Candidate, Engine, Input, Options, Request, Row, ScorerLimits, Status, Upsert, Value};
use testkit::common::{Random, Wants, case, decide, model, options, scorer};
use testkit::overlaid::{Asked, BUILT_S, Handles, World, inputs};
use testkit::{common, overlaid};

/// Every value that a random request passes with its own side is one that the list has, and moved to the other side is found out
/// by the check, by the outcome, by the metrics and by name.
#[test]
fn values_on_the_wrong_side_are_told_by_name() {
    let bundles = common::Bundles::new();
    let mut moved = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let spec = model(&mut random, Wants { wide: seed.is_multiple_of(2), ..Wants::default() });
        let generation = bundles.write("b", &spec);
        let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
        let (id, listed) = engine.inputs().unwrap();
        assert_eq!((id, engine.model().unwrap().inputs), (generation, listed.len()));
        for feature in &spec.schema.features {
            let input = listed.iter().find(|input| input.features.contains(&feature.name)).unwrap();
            assert_eq!((&input.name, input.side, input.source), (&feature.input, feature.side(), feature.source));
            assert_eq!(input.handle, engine.feature(&feature.input).unwrap());
            let never = matches!(input.reading, InputReading::Time | InputReading::Fixed);
            assert_eq!(never, !feature.is_passed(), "{input}");
        }
        let n = random.between(1, 4);
        let mut case = case(&mut random, &spec.schema, n, &engine);
        case.candidate_values.iter_mut().chain(&mut case.values).for_each(|v| v.number += 0.001);
        // One value of the request goes to the first candidate.
        let is_read = |v: &Value, side| {
            let of = |side| {
                listed.iter().any(|i| i.handle == v.feature && i.side == side && i.reading == InputReading::Passed)
            };
            of(side) && !of(if side == Side::Request { Side::Candidate } else { Side::Request })
        };
        let Some(at) = case.values.iter().position(|v| is_read(v, Side::Request)) else { continue };
        let before = engine.check(case.input()).unwrap();
        let value = case.values.remove(at);
        case.request.n_values -= 1;
        let own = case.values_of(0).to_vec();
        case.candidates[0].first_value = case.candidate_values.len() as u32;
        case.candidates[0].n_values += 1;
        case.candidate_values.extend(own);
        case.candidate_values.push(value);
        case.request.n_candidate_values = case.candidate_values.len() as u32;
        let after = engine.check(case.input()).unwrap();
        let wrong = |check: &adclick::inputs::Check| check.count(ProblemKind::WrongSide);
        assert_eq!(wrong(&after), wrong(&before) + 1, "{after}");
        let name = &listed.iter().find(|i| i.handle == value.feature).unwrap().name;
        let line = format!("error: `{name}` is passed with the candidate, the model reads it with the request");
        assert!(after.to_string().contains(&line), "{after}");
        assert!(after.errors() > 0 && after.generation == generation);
        // Scoring counts just these.
        let outcome = decide(&mut scorer(&engine, 8), &case).unwrap().outcome;
        assert_eq!(outcome.n_wrong_side as usize, wrong(&after));
        let all: u64 = engine.wrong_sides().unwrap().iter().map(|wrong| wrong.values).sum();
        assert_eq!(all, u64::from(outcome.n_wrong_side));
        let told = engine.wrong_sides().unwrap();
        assert!(told.iter().any(|wrong| wrong.input == *name && wrong.read_with == Side::Request), "{told:?}");
        let text = engine.metrics().unwrap().to_string();
        assert!(text.contains(&format!("adclick_input_wrong_side_values{{input=\"{name}\",read_with=\"request\"}}")));
        let total: f64 = text
            .lines()
            .filter(|line| line.starts_with("adclick_values_wrong_side_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        assert_eq!(total as u32, outcome.n_wrong_side);
        moved += 1;
    }
    assert!(moved > 40, "{moved}");
}

/// A refused request counts nothing, and what it noted does not come back with the next one.
#[test]
fn a_refused_request_counts_no_value() {
    let bundles = common::Bundles::new();
    let mut random = Random(3);
    let spec = model(&mut random, Wants::default());
    bundles.write("b", &spec);
    let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
    let mut scorer = scorer(&engine, 4);
    // Read with the request in all of these models.
    let age = engine.feature("age").unwrap();
    let candidates = [Candidate { n_values: 2, ..Candidate::default() }];
    let request = Request {
        struct_size: size_of::<Request>() as u32,
        n_candidates: 1,
        n_candidate_values: 2,
        ..Request::default()
    };
    let mut pctr = [0.0];
    for (second, wrong) in [(f32::NAN, 0), (1.0, 2)] {
        let values = [1.0, second].map(|number| Value { feature: age, number, id: 0 });
        let input = Input {
            request: &request,
            values: &[],
            candidates: &candidates,
            candidate_values: &values,
            columns: adclick::Columns::default(),
        };
        let outcome = scorer.score(input, &mut pctr, &mut []);
        assert_eq!(outcome.is_ok(), wrong > 0);
        assert_eq!(engine.wrong_sides().unwrap().iter().map(|w| w.values).sum::<u64>(), wrong);
    }
    let text = engine.wrong_sides().unwrap()[0].to_string();
    assert_eq!(text, "`age` is read with the request and was passed with the candidate (2 values, ignored)");
}

#[test]
fn inputs_from_tables_say_where_from() {
    let bundles = overlaid::Bundles::new();
    bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let (_, listed) = engine.inputs().unwrap();
    let told: Vec<_> = listed.iter().map(|i| (&*i.name, i.side, i.kind, i.dim, &*i.from)).collect();
    assert_eq!(
        told,
        [
            ("user_n", Side::Request, ValueKind::Number, 1, "users.n"),
            ("user_clicks", Side::Request, ValueKind::Number, 1, "users.clicks"),
            ("n", Side::Candidate, ValueKind::Number, 1, "ads.n"),
            ("v", Side::Candidate, ValueKind::Vector, 4, "ads.v"),
            ("id", Side::Candidate, ValueKind::Category, 1, "ads.id"),
            ("ids", Side::Candidate, ValueKind::Categories, 1, "ads.ids"),
            ("clicks", Side::Candidate, ValueKind::Number, 1, "ads.clicks"),
        ]
    );
    assert!(listed.iter().all(|i| i.reading == InputReading::Table));
    assert_eq!(
        (listed[0].default, listed[4].default, listed[3].default),
        (Default::Number(-1.0), Default::Id(0), Default::None)
    );
    assert_eq!((listed[0].source, listed[2].source), (Source::User, Source::Ad));
    assert_eq!(listed[3].to_string(), "v: vector of 4, from ads.v unless passed with the candidate");
    let model = engine.model().unwrap();
    assert_eq!((model.width, model.request_width, model.tables, model.features), (10, 2, 2, 7));

    // Nothing is missing where tables give it; an id of 0 keeps a table from being looked up.
    let asked = Asked::new([7, 8], BUILT_S * 1_000_000);
    assert_eq!(engine.check(asked.input()).unwrap().problems, []);
    let mut asked = Asked::new([7, 0], BUILT_S * 1_000_000);
    asked.request.user_key = 0;
    let found = engine.check(asked.input()).unwrap();
    assert_eq!((found.count(ProblemKind::NoKey), found.errors()), (2, 0));
    assert!(found.to_string().contains("note: table `users` is not looked up: user_key is 0"), "{found}");
    // Part of a vector, and a position that it does not have.
    let v = engine.feature("v").unwrap();
    let values = [(0, 1.0), (2, 1.0), (4, 1.0)].map(|(id, number)| Value { feature: v, number, id });
    let mut asked = Asked::new([7], BUILT_S * 1_000_000);
    asked.candidates[0].n_values = 3;
    asked.request.n_candidate_values = 3;
    let found = engine.check(Input { candidate_values: &values, ..asked.input() }).unwrap();
    assert_eq!((found.count(ProblemKind::OutOfRange), found.count(ProblemKind::Missing)), (1, 1), "{found}");
    assert!(found.to_string().contains("`v`: position 4, expected 0 to 3"), "{found}");
    assert!(found.to_string().contains("3 of 4 positions"), "{found}");
}

#[test]
fn rows_are_taken_off_tables_again() {
    const NOW: i64 = (BUILT_S + 1000) * 1_000_000;
    let bundles = overlaid::Bundles::new();
    bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits::default()).unwrap();
    let handles = Handles::new(&engine);
    let before = inputs(&mut scorer, 7, NOW);
    for key in 1..=40 {
        handles.write(&engine, key, 100 + key, NOW);
    }
    let rows = || engine.table_info(handles.ads).unwrap().overlay_rows;
    assert_eq!((rows(), inputs(&mut scorer, 7, NOW).n), (40, 107.0));
    assert_eq!(engine.remove_rows(handles.ads, &[7, 7, 8, 0, 999]).unwrap(), 2);
    assert_eq!((rows(), inputs(&mut scorer, 7, NOW), inputs(&mut scorer, 9, NOW).n), (38, before, 109.0));
    // The places can be taken again.
    handles.write(&engine, 7, 300, NOW);
    assert_eq!((rows(), inputs(&mut scorer, 7, NOW).n), (39, 300.0));
    assert_eq!(engine.clear_rows(handles.ads).unwrap(), 39);
    assert_eq!((rows(), engine.clear_rows(handles.ads).unwrap(), inputs(&mut scorer, 7, NOW)), (0, 0, before));
    assert_eq!(engine.remove_rows(77, &[1]).unwrap_err().status, Status::InvalidArgument);
    let mut none = Options::default();
    none.overlay_rows = 0;
    let engine = Engine::open(&bundles.path("a"), &none).unwrap();
    let ads = engine.table("ads").unwrap();
    assert!(engine.clear_rows(ads).unwrap_err().message.contains("without overlays"));
}

#[test]
fn a_time_that_is_too_far_ahead_is_refused() {
    let bundles = overlaid::Bundles::new();
    bundles.write("a", &World::default());
    let open = |skew: Option<Duration>| {
        let mut options = Options::default();
        options.overlay_max_skew = skew;
        Engine::open(&bundles.path("a"), &options).unwrap()
    };
    let now_us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as i64;
    let write = |engine: &Engine, time_us: i64| {
        let handles = Handles::new(engine);
        let row = Row { key: 5, first_value: 0, n_values: 1 };
        let value = Value { feature: handles.columns[0], number: 1.0, id: 0 };
        engine.upsert(&Upsert { table: handles.ads, time_us, ..Upsert::default() }, &[row], &[value])
    };
    const SECOND: i64 = 1_000_000;
    // The year 2106, and milliseconds taken for microseconds times a thousand.
    let far = [4_290_000_000 * SECOND, now_us + 400 * SECOND];
    let usual = open(Options::default().overlay_max_skew);
    for time_us in far {
        let error = write(&usual, time_us).unwrap_err();
        assert_eq!(error.status, Status::InvalidArgument);
        assert!(error.message.contains("ahead of this machine's clock"), "{error}");
        write(&open(None), time_us).unwrap();
    }
    assert_eq!(write(&usual, now_us + 200 * SECOND).unwrap().applied, 1);
    assert!(write(&open(Some(Duration::from_secs(10))), now_us + 20 * SECOND).is_err());
    // Nothing of what was refused keeps later writes from counting.
    assert_eq!(write(&open(Options::default().overlay_max_skew), 0).unwrap().applied, 1);
}

#[test]
fn closing_within_a_time_says_what_goes_on() {
    let bundles = common::Bundles::new();
    let mut random = Random(4);
    bundles.write("b", &model(&mut random, Wants::default()));
    let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
    let state = engine.follow_state().unwrap();
    assert_eq!((state.follows, state.looks, state.looked_us, state.activations, state.error), (false, 0, 0, 0, None));
    assert_eq!(state.generation, engine.generation().unwrap().id());
    assert_eq!(engine.poll().unwrap_err().status, Status::InvalidArgument);
    let held = engine.generation().unwrap();
    engine.close_within(Duration::from_secs(1)).unwrap();
    engine.close_within(Duration::ZERO).unwrap();
    assert_eq!(engine.follow_state().unwrap_err().status, Status::Closed);
    assert_eq!(held.id(), state.generation);
}

#[test]
fn closing_within_a_time_does_not_wait_for_a_request_that_takes_long() {
    const CANDIDATES: usize = 1 << 19;
    let bundles = common::Bundles::new();
    bundles.write("b", &model(&mut Random(5), Wants::default()));
    let mut case = common::Case::default();
    case.request.struct_size = size_of::<Request>() as u32;
    case.request.n_candidates = CANDIDATES as u32;
    case.candidates = vec![Candidate::default(); CANDIDATES];
    // On a busy machine the request may begin late, or be over.
    let was_busy = |after: Duration| {
        let engine = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
        let mut scorer = scorer(&engine, CANDIDATES);
        let (scores, closed) = std::thread::scope(|scope| {
            let request = scope.spawn(|| common::score(&mut scorer, &case));
            std::thread::sleep(after);
            let closed = engine.close_within(Duration::from_millis(1));
            (request.join().unwrap(), closed)
        });
        // What was under way ended well, and what it held is gone.
        assert_eq!(common::score(&mut scorer, &case).unwrap_err().status(), Status::Closed);
        engine.close_within(Duration::ZERO).unwrap();
        match (scores, closed) {
            (Ok(scores), Err(busy)) => {
                assert_eq!(scores.outcome.n_scored as usize, CANDIDATES);
                assert!(busy.status == Status::Busy && busy.message.contains("requests under way"), "{busy}");
                true
            }
            (Ok(_), Ok(())) => false,
            (Err(refused), closed) => {
                assert_eq!((refused.status(), closed), (Status::Closed, Ok(())));
                false
            }
        }
    };
    let waits = (0..24).map(|i| Duration::from_millis(1).mul_f64(1.5f64.powi(i)));
    assert!(waits.into_iter().any(was_busy), "no request was under way when its engine was closed");
}
