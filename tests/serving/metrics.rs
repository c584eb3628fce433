//! An engine's metrics report what happened, in text that Prometheus reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::exposition::Exposition;
use adclick::auction::Reason;
use adclick::builder::bundle;
use adclick::{Engine, Input, Options, Row, Scorer, ScorerLimits, Status, Upsert, Value, Winner};
use testkit::overlaid::{self, Asked, BUILT_S, Bundles, Handles, World};

const NOW: i64 = (BUILT_S + 1) * 1_000_000;

fn read(engine: &Engine) -> Exposition {
    let text = engine.metrics().unwrap().to_string();
    Exposition::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn scorer(engine: &Engine) -> Scorer {
    engine.scorer(ScorerLimits { max_candidates: 64 }).unwrap()
}

fn requests(all: &Exposition, call: &str, status: &str) -> f64 {
    all.of("adclick_requests_total", &[("call", call), ("status", status)])
}

#[test]
fn what_is_counted_is_what_happened() {
    let bundles = Bundles::new();
    let generation = bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let mut scorer = scorer(&engine);
    let fresh = read(&engine);
    assert!(fresh.counters().all(|(_, value)| value == 0.0), "{fresh:?}");

    // 20 ads: 10 have rows and one has no key; one value that nothing reads.
    let mut asked = Asked::new((91..=109).chain([0]), NOW);
    asked.request.n_slots = 2;
    // One bid of each kind of trouble.
    asked.candidates[0].bid_micros = 0;
    asked.candidates[1].bid_kind = 9;
    asked.candidates[2].reserve_micros = 5_000_000;
    asked.candidates[3].bid_kind = 2;
    let stray = [Value { feature: engine.feature("nobody_reads_this").unwrap(), number: 1.0, id: 1 }];
    asked.request.n_values = 1;
    let input = Input { values: &stray, ..asked.input() };
    let mut winners = [Winner::default(); 2];
    let outcome = scorer.decide(input, &mut winners, &mut []).unwrap();
    assert_eq!((outcome.n_winners, outcome.n_scored), (2, 20));
    for _ in 1..100 {
        scorer.decide(input, &mut winners, &mut []).unwrap();
    }
    let mut pctr = [0.0; 20];
    for _ in 0..700 {
        scorer.score(input, &mut pctr, &mut []).unwrap();
    }

    let all = read(&engine);
    assert_eq!((requests(&all, "decide", "ok"), requests(&all, "score", "ok")), (100.0, 700.0));
    assert_eq!(all.total("adclick_requests_total"), 800.0);
    assert_eq!(all.of("adclick_request_duration_seconds_count", &[("call", "score")]), 700.0);
    assert_eq!(all.of("adclick_request_duration_seconds_count", &[("call", "score_dense")]), 0.0);
    let total = all.of("adclick_request_duration_seconds_sum", &[("call", "score")]);
    assert!(total > 0.0 && total < 600.0, "{total} s");
    let stage = |name| all.of("adclick_stage_duration_seconds_count", &[("stage", name)]);
    let stages = ["enrich", "score", "calibrate", "auction"].map(stage);
    assert!((50.0..200.0).contains(&stages[0]) && stages[0] == stages[1], "one in eight of 800: {stages:?}");
    assert!((3.0..30.0).contains(&stages[3]), "one in eight of 100: {stages:?}");
    assert_eq!(all.of("adclick_candidates_scored_total", &[("precision", "exact")]), 16_000.0);
    assert_eq!(all.of("adclick_candidates_cut_total", &[]), 0.0);
    for (reason, n) in [
        ("won", 200.0),
        ("outranked", 1400.0),
        ("invalid_bid", 100.0),
        ("unknown_bid_kind", 100.0),
        ("below_reserve", 100.0),
        ("missing_pcvr", 100.0),
        ("cut", 0.0),
    ] {
        assert_eq!(all.of("adclick_auction_candidates_total", &[("reason", reason)]), n, "{reason}");
    }
    assert_eq!(all.total("adclick_auction_candidates_total"), 2000.0);
    let keys = |table, result| all.of("adclick_table_keys_total", &[("table", table), ("result", result)]);
    assert_eq!(["found", "missing", "unknown"].map(|r| keys("ads", r)), [8000.0, 7200.0, 800.0]);
    assert_eq!(["found", "missing", "unknown"].map(|r| keys("users", r)), [800.0, 0.0, 0.0]);
    let of_side = |name, side| all.of(name, &[("side", side)]);
    assert_eq!(of_side("adclick_values_ignored_total", "request"), 800.0);
    assert_eq!(of_side("adclick_values_ignored_total", "candidate"), 0.0);
    let missing = ["request", "candidate"].map(|side| of_side("adclick_values_missing_total", side));
    assert_eq!(missing.iter().sum::<f64>() + 800.0, 800.0 * f64::from(outcome.n_missing));
    assert!(missing.iter().all(|n| *n > 0.0), "{missing:?}");

    let hex = format!("{generation:016x}");
    assert_eq!(all.of("adclick_generation_info", &[("generation", &hex)]), 1.0);
    let kernel = [("version", env!("CARGO_PKG_VERSION")), ("kernel", engine.kernel())];
    assert_eq!(all.of("adclick_build_info", &kernel), 1.0);
    let age = all.of("adclick_generation_age_seconds", &[]);
    assert!((0.0..600.0).contains(&age), "{age}");
    assert_eq!(all.of("adclick_rollback_available", &[]), 0.0);
    let table = |name: &str| all.of(name, &[("table", "ads")]);
    assert_eq!(table("adclick_table_rows"), 100.0);
    assert_eq!(table("adclick_table_built_timestamp_seconds"), BUILT_S as f64);
    assert_eq!(table("adclick_table_fresh_for_seconds"), 3600.0);
    assert!(table("adclick_table_age_seconds") > 3600.0 && table("adclick_table_overlay_bytes") > 1e6);
    assert_eq!(table("adclick_table_overlay_capacity_rows"), 65_536.0);
    assert_eq!(all.of("adclick_scorers", &[]), 1.0);
    let bytes = all.of("adclick_scorer_bytes", &[]);
    assert!((5_000.0..1_000_000.0).contains(&bytes), "{bytes}");
    let files: u64 = std::fs::read_dir(bundles.path("a"))
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|f| f.extension().unwrap() == "adc")
        .map(|f| f.metadata().unwrap().len())
        .sum();
    assert_eq!(all.of("adclick_file_bytes", &[]), files as f64);
}

#[test]
fn refusals_and_cuts_are_counted() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let mut scorer = scorer(&engine);
    let (mut winners, mut pctr) = ([Winner::default(); 1], [0.0; 64]);
    let asked = Asked::new(1..=64, NOW);
    let mut refused = |spoil: &dyn Fn(&mut Asked), status: Status| {
        let mut asked = Asked::new(1..=64, NOW);
        spoil(&mut asked);
        assert_eq!(scorer.decide(asked.input(), &mut winners, &mut []).unwrap_err().status(), status);
    };
    refused(&|a| a.request.struct_size = 1, Status::BadStructSize);
    refused(&|a| a.request.flags = 2, Status::InvalidArgument);
    refused(&|a| a.request.n_candidates = 65, Status::CapacityExceeded);
    refused(&|a| a.candidates[5].n_values = 1, Status::InvalidArgument);
    assert!(scorer.score_dense(&[f32::NAN; overlaid::WIDTH], 1, overlaid::WIDTH, &mut pctr[..1], &mut []).is_err());
    assert!(scorer.score_dense(&[1.0; overlaid::WIDTH], 1, overlaid::WIDTH, &mut pctr[..1], &mut []).is_ok());
    let mut hurried = Asked::new(1..=64, NOW);
    hurried.request.deadline_us = 1;
    // The first tile is always scored; the clock is past the deadline after it, at the latest when this has been tried often.
    let cut =
        (0..10_000).map(|_| scorer.decide(hurried.input(), &mut winners, &mut []).unwrap().n_cut).find(|n| *n > 0);
    scorer.score(asked.input(), &mut pctr, &mut []).unwrap();
    let all = read(&engine);
    assert_eq!(requests(&all, "decide", "bad_struct_size"), 1.0);
    assert_eq!(requests(&all, "decide", "invalid_argument"), 2.0);
    assert_eq!(requests(&all, "decide", "capacity_exceeded"), 1.0);
    assert_eq!(requests(&all, "score_dense", "invalid_value"), 1.0);
    assert_eq!(requests(&all, "score_dense", "ok"), 1.0);
    let cut = f64::from(cut.expect("no deadline cut anything"));
    assert_eq!(all.of("adclick_candidates_cut_total", &[]), cut);
    assert_eq!(all.of("adclick_auction_candidates_total", &[("reason", "cut")]), cut);
    // Nothing of what was refused but that it was.
    assert_eq!(all.of("adclick_request_duration_seconds_count", &[("call", "decide")]), requests(&all, "decide", "ok"));
    assert_eq!(all.total("adclick_auction_candidates_total"), 64.0 * requests(&all, "decide", "ok"));

    engine.close();
    assert_eq!(scorer.score(asked.input(), &mut pctr, &mut []).unwrap_err().status(), Status::Closed);
    assert_eq!(engine.metrics().unwrap_err().status, Status::Closed);
}

#[test]
fn swaps_and_their_failures_are_counted() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &Options::default()).unwrap();
    let before = read(&engine);
    assert_eq!(before.total("adclick_stagings_total"), 0.0);
    let wider = World { n: 2, ..World::default() };
    let b = bundles.write("b", &wider);
    engine.stage(&bundles.path("b")).unwrap().activate().unwrap();
    let all = read(&engine);
    assert_eq!(all.of("adclick_generation_info", &[("generation", &format!("{b:016x}"))]), 1.0);
    assert_eq!(all.of("adclick_rollback_available", &[]), 1.0);
    // The ads differ, model and users are the same files.
    let ads = bundles.path("a").join("ads.adc").metadata().unwrap().len();
    let (one, two) = (before.of("adclick_file_bytes", &[]), all.of("adclick_file_bytes", &[]));
    assert_eq!(two, one + ads as f64);
    engine.rollback().unwrap();
    assert_eq!(read(&engine).of("adclick_file_bytes", &[]), one);
    engine.rollback().unwrap_err();
    assert!(engine.stage(&bundles.path("nowhere")).is_err());
    std::fs::write(bundles.path("b").join("ads.adc"), b"short").unwrap();
    assert!(engine.stage(&bundles.path("b")).is_err());
    assert_eq!(engine.poll().unwrap(), None);
    // Not by `publish`, which refuses a bundle that is not whole.
    std::fs::write(bundles.path(bundle::CURRENT), "b\n").unwrap();
    engine.poll().unwrap_err();
    let all = read(&engine);
    let of = |name, status| all.of(name, &[("status", status)]);
    assert_eq!(["ok", "io", "corrupt"].map(|s| of("adclick_stagings_total", s)), [1.0, 1.0, 2.0]);
    assert_eq!(["ok", "io", "corrupt"].map(|s| of("adclick_follow_looks_total", s)), [1.0, 0.0, 1.0]);
    assert_eq!(all.of("adclick_follow_failing", &[]), 1.0);
    assert_eq!((all.of("adclick_activations_total", &[]), all.of("adclick_rollbacks_total", &[])), (1.0, 1.0));
    bundle::publish(&bundles.path("a")).unwrap();
    engine.poll().unwrap();
    assert_eq!(read(&engine).of("adclick_follow_failing", &[]), 0.0);
}

#[test]
fn rows_on_top_of_tables_are_counted_and_found() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let options = Options::default();
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    let handles = Handles::new(&engine);
    // Ad 500 is in no table.
    handles.write(&engine, 500, 7, NOW);
    let stale = Upsert { table: handles.ads, time_us: 1_000_000, ..Upsert::default() };
    let value = [Value { feature: handles.columns[0], number: 1.0, id: 0 }];
    engine.upsert(&stale, &[Row { key: 1, first_value: 0, n_values: 1 }], &value).unwrap();
    let mut scorer = scorer(&engine);
    let asked = Asked::new([1, 500, 501], NOW);
    scorer.score(asked.input(), &mut [0.0; 3], &mut []).unwrap();
    let all = read(&engine);
    let keys = |result| all.of("adclick_table_keys_total", &[("table", "ads"), ("result", result)]);
    assert_eq!(["found", "missing", "unknown"].map(keys), [2.0, 1.0, 0.0]);
    let upserted = |result| all.of("adclick_upserted_rows_total", &[("result", result)]);
    assert_eq!(["applied", "stale", "evicted"].map(upserted), [1.0, 1.0, 0.0]);
    assert_eq!(all.of("adclick_table_overlay_rows", &[("table", "ads")]), 1.0);
}

#[test]
fn tables_without_overlays_and_tables_that_went_are_told_of() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let mut options = Options::default();
    options.overlay_rows = 0;
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    // Names that callers make up take numbers, but are no tables.
    (0..200).for_each(|i| _ = engine.table(&format!("made up {i}")).unwrap());
    let mut scorer = scorer(&engine);
    scorer.score(Asked::new([1], NOW).input(), &mut [0.0; 1], &mut []).unwrap();
    let all = read(&engine);
    assert_eq!(all.of("adclick_table_overlay_capacity_rows", &[("table", "ads")]), 0.0);
    assert_eq!(all.of("adclick_table_keys_total", &[("table", "ads"), ("result", "found")]), 1.0);
    assert!(!all.samples.keys().any(|(_, labels)| labels.iter().any(|(_, value)| value.starts_with("made up"))));
    assert_eq!(all.get("adclick_table_keys_total", &[("table", "(other)"), ("result", "found")]), None);
}

#[test]
fn a_buffer_that_is_too_small_is_left_alone() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let metrics = engine.metrics().unwrap();
    let text = metrics.to_string();
    assert_eq!(metrics.write(&mut []), Err(text.len()));
    assert!(text.len() < 40_000, "{} bytes: the header promises room in 64 KB", text.len());
    for room in [0, 1, text.len() / 2, text.len() - 1] {
        let mut buffer = vec![7; room];
        assert_eq!(metrics.write(&mut buffer), Err(text.len()));
        assert!(buffer.iter().all(|&b| b == 7));
    }
    let mut buffer = vec![7; text.len() + 9];
    assert_eq!(metrics.write(&mut buffer), Ok(text.len()));
    assert_eq!(buffer[..text.len()], *text.as_bytes());
    assert_eq!(buffer[text.len()..], [7; 9]);
}

#[test]
fn nothing_goes_back_while_scorers_come_and_go() {
    const THREADS: u64 = 3;
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let asked = Asked::new(1..=3, NOW);
                let mut winners = [Winner::default(); 1];
                let mut reasons = [Reason::Won; 3];
                while !stop.load(Ordering::Relaxed) {
                    let mut scorer = scorer(&engine);
                    for _ in 0..50 {
                        scorer.decide(asked.input(), &mut winners, &mut reasons).unwrap();
                        scorer.decide(Asked::new(1..=65, NOW).input(), &mut winners, &mut []).unwrap_err();
                    }
                    served.fetch_add(50, Ordering::Relaxed);
                }
            });
        }
        let mut last = read(&engine);
        for _ in 0..60 {
            let next = read(&engine);
            for (key, value) in last.counters() {
                assert!(next.samples[key] >= value, "{key:?} was {value} and is {}", next.samples[key]);
            }
            last = next;
        }
        while served.load(Ordering::Relaxed) < 20_000 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (all, served) = (read(&engine), served.load(Ordering::Relaxed) as f64);
    assert_eq!(requests(&all, "decide", "ok"), served);
    assert_eq!(requests(&all, "decide", "capacity_exceeded"), served);
    assert_eq!(all.of("adclick_auction_candidates_total", &[("reason", "won")]), served);
    assert_eq!(all.of("adclick_auction_candidates_total", &[("reason", "outranked")]), 2.0 * served);
    assert_eq!(all.of("adclick_table_keys_total", &[("table", "ads"), ("result", "found")]), 3.0 * served);
    assert_eq!((all.of("adclick_scorers", &[]), all.of("adclick_scorer_bytes", &[])), (0.0, 0.0));
}

#[test]
fn the_reader_of_these_tests_is_strict() {
    let good = "# HELP adclick_a_total x\n# TYPE adclick_a_total counter\nadclick_a_total{b=\"c\\\\\\\"\\n\"} 1\n";
    let read = Exposition::parse(good).unwrap();
    assert_eq!(read.of("adclick_a_total", &[("b", "c\\\"\n")]), 1.0);
    let histogram = "# HELP adclick_h x\n# TYPE adclick_h histogram\nadclick_h_bucket{le=\"1\"} 1\n\
                     adclick_h_bucket{le=\"+Inf\"} 2\nadclick_h_sum 3\nadclick_h_count 2\n";
    assert!(Exposition::parse(histogram).is_ok());
    for (text, from, to) in [
        (good, "counter", "gauge"),
        (good, "1\n", "1"),
        (good, "1\n", "-1\n"),
        (good, "1\n", "NaN\n"),
        (good, "1\n", "1 2 3\n"),
        (good, "\\n", "\\t"),
        (good, "{b", "{b-"),
        (good, "# HELP adclick_a_total x\n", ""),
        (histogram, "_count 2", "_count 3"),
        (histogram, "} 1", "} 3"),
        (histogram, "+Inf", "0.5"),
        (histogram, "adclick_h_sum 3\n", ""),
    ] {
        let spoilt = text.replacen(from, to, 1);
        assert!(Exposition::parse(&spoilt).is_err(), "{spoilt}");
    }
    assert!(Exposition::parse(&good.repeat(2)).is_err());
    assert!(Exposition::parse(&(good.to_owned() + good.lines().last().unwrap() + "\n")).is_err());
}
