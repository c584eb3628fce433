//! Rows written on top of the live tables: what requests see of them, through swaps, ages and other columns, and with
//! writers at work all the time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adclick::builder::overlay::Operation;
use adclick::builder::table::{Column, ColumnKind};
use adclick::{Engine, Options, Row, Scorer, ScorerLimits, Status, Upsert, UpsertCounts, Value};
use testkit::allocator;
use testkit::overlaid::{Asked, BUILT_S, Bundles, Handles, Inputs, World, ad_columns, inputs, inputs_of, vector};

const SECOND: i64 = 1_000_000;
/// A while after the tables were built.
const NOW: i64 = (BUILT_S + 1000) * SECOND;

fn open(bundles: &Bundles, name: &str, change: impl FnOnce(&mut Options)) -> Engine {
    let mut options = Options::default();
    change(&mut options);
    Engine::open(&bundles.path(name), &options).unwrap()
}

fn scorer(engine: &Engine) -> Scorer {
    engine.scorer(ScorerLimits::default()).unwrap()
}

fn activate(engine: &Engine, bundles: &Bundles, name: &str) {
    engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
}

/// One number of one row.
fn put(engine: &Engine, operation: Operation, key: u64, column: u32, number: f32, time_us: i64) -> UpsertCounts {
    let row = Row { key, first_value: 0, n_values: 1 };
    let upsert = Upsert { table: engine.table("ads").unwrap(), operation, time_us };
    engine.upsert(&upsert, &[row], &[Value { feature: column, number, id: 0 }]).unwrap()
}

const ONE: UpsertCounts = UpsertCounts { applied: 1, stale: 0, evicted: 0 };
const STALE: UpsertCounts = UpsertCounts { applied: 0, stale: 1, evicted: 0 };

#[test]
fn requests_see_what_was_written_before_they_began() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = open(&bundles, "a", |_| {});
    let (mut scorer, handles) = (scorer(&engine), Handles::new(&engine));
    let clicks = handles.columns[4];
    let before = inputs(&mut scorer, 7, NOW);
    assert!(before.is_whole(7) && (before.n, before.clicks) == (1.0, 10.0));
    let asked = Asked::new(1..50, NOW);
    let mut pctr = [[0.0; 49]; 2];
    scorer.score(asked.input(), &mut pctr[0], &mut []).unwrap();

    // Most columns of a row, then one: the others stay.
    assert_eq!(handles.write(&engine, 7, 2000, NOW), ONE);
    let written = inputs(&mut scorer, 7, NOW);
    assert!(written.is_whole(7) && (written.n, written.clicks) == (2000.0, 10.0));
    put(&engine, Operation::Columns, 7, clicks, 3.0, NOW);
    assert_eq!(inputs(&mut scorer, 7, NOW), Inputs { clicks: 3.0, ..written });
    scorer.score(asked.input(), &mut pctr[1], &mut []).unwrap();
    let differ: Vec<usize> = (0..49).filter(|&i| pctr[0][i] != pctr[1][i]).collect();
    assert_eq!(differ, [6], "of the scores that of ad 7 and no other is another one");

    // Increments go on from what a request sees: the overlay's, the table's row's, the default row's.
    for (key, seen) in [(7, 3.0), (8, 10.0), (1000, 10.0)] {
        assert_eq!(put(&engine, Operation::Increment, key, clicks, 2.0, NOW), ONE);
        assert_eq!(put(&engine, Operation::Increment, key, clicks, 0.5, NOW - SECOND), ONE);
        assert_eq!(inputs(&mut scorer, key, NOW).clicks, seen + 2.5, "key {key}");
    }
    // Ad 1000 is not in the table: its other columns are the default row's.
    let unknown = inputs(&mut scorer, 1000, NOW);
    assert!(unknown.n == 0.0 && unknown.is_whole(0));

    // A whole row that says nothing but its clicks: the rest is missing and takes the default row's.
    put(&engine, Operation::WholeRow, 7, clicks, 1.0, NOW);
    let whole = inputs(&mut scorer, 7, NOW);
    assert!(whole.is_whole(0) && (whole.n, whole.clicks) == (0.0, 1.0));
    // And an increment of a column that was written as missing starts there too, not at the table's 1.
    put(&engine, Operation::Increment, 7, handles.columns[0], 5.0, NOW);
    assert_eq!(inputs(&mut scorer, 7, NOW).n, 5.0);

    // The last write by time wins.
    assert_eq!(put(&engine, Operation::Columns, 7, clicks, 99.0, NOW - SECOND), STALE);
    assert_eq!(inputs(&mut scorer, 7, NOW).clicks, 1.0);

    // The request's side.
    let users = engine.table("users").unwrap();
    let user_clicks = engine.column(users, "clicks").unwrap();
    assert_eq!((before.user_n, before.user_clicks), (1.0, -1.0));
    let row = Row { key: 1, first_value: 0, n_values: 1 };
    let upsert = Upsert { table: users, operation: Operation::Increment, time_us: 0 };
    engine.upsert(&upsert, &[row], &[Value { feature: user_clicks, number: 4.0, id: 0 }]).unwrap();
    let seen = inputs(&mut scorer, 9, NOW);
    assert_eq!((seen.user_n, seen.user_clicks), (1.0, 4.0));

    let info = engine.table_info(handles.ads).unwrap();
    assert_eq!((info.rows, info.built_us, info.fresh_for_s, info.shards), (100, BUILT_S * SECOND, 3600, 1));
    assert_eq!((info.overlay_rows, info.overlay_capacity, info.overlay_evictions), (3, 65_536, 0));
    assert!(info.overlay_bytes > 65_536 * 100);
}

#[test]
fn what_is_newer_than_the_table_survives_a_swap_and_what_is_older_does_not() {
    let bundles = Bundles::new();
    bundles.write("old", &World::default());
    // Built 500 s later: between the two writes below.
    bundles.write("new", &World { n: 2, built_us: (BUILT_S + 500) * SECOND, ..World::default() });
    let engine = open(&bundles, "old", |_| {});
    let (mut scorer, handles) = (scorer(&engine), Handles::new(&engine));
    handles.write(&engine, 1, 100, (BUILT_S + 499) * SECOND);
    handles.write(&engine, 2, 200, (BUILT_S + 500) * SECOND);
    let clicks = handles.columns[4];
    put(&engine, Operation::Columns, 1, clicks, 50.0, (BUILT_S + 501) * SECOND);
    let mut see = |expected: [(f32, f32); 3]| {
        for (key, expected) in (1..).zip(expected) {
            let seen = inputs(&mut scorer, key, NOW);
            assert!(seen.is_whole(key), "{seen:?}");
            assert_eq!((seen.n, seen.clicks), expected, "ad {key}");
        }
    };
    see([(100.0, 50.0), (200.0, 10.0), (1.0, 10.0)]);
    activate(&engine, &bundles, "new");
    // Column by column.
    see([(2.0, 50.0), (200.0, 10.0), (2.0, 10.0)]);
    // A write older than the table is reported as stale, and so is an increment: the table has counted it.
    assert_eq!(handles.write(&engine, 3, 300, (BUILT_S + 499) * SECOND), STALE);
    assert_eq!(put(&engine, Operation::Increment, 3, clicks, 1.0, (BUILT_S + 499) * SECOND), STALE);
    see([(2.0, 50.0), (200.0, 10.0), (2.0, 10.0)]);
    engine.rollback().unwrap();
    see([(100.0, 50.0), (200.0, 10.0), (1.0, 10.0)]);
    assert_eq!(Handles::new(&engine), handles, "handles stay what they are");
}

#[test]
fn columns_age_by_the_time_of_the_request() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = open(&bundles, "a", |o| o.overlay_max_age = Some(Duration::from_millis(29_500)));
    let (mut scorer, handles) = (scorer(&engine), Handles::new(&engine));
    handles.write(&engine, 1, 100, NOW);
    let clicks = handles.columns[4];
    put(&engine, Operation::Columns, 1, clicks, 50.0, NOW + 20 * SECOND);
    // 29.5 s count as 30.
    for (after, n, shown) in [(0, 100.0, 50.0), (30, 100.0, 50.0), (31, 1.0, 50.0), (50, 1.0, 50.0), (51, 1.0, 10.0)] {
        let seen = inputs(&mut scorer, 1, NOW + after * SECOND);
        assert!(seen.is_whole(1));
        assert_eq!((seen.n, seen.clicks), (n, shown), "after {after} s");
    }
    // An increment starts from what a request of its time would see.
    put(&engine, Operation::Increment, 1, clicks, 1.0, NOW + 60 * SECOND);
    assert_eq!(inputs(&mut scorer, 1, NOW + 60 * SECOND).clicks, 11.0);
}

#[test]
fn rows_move_to_a_table_with_other_columns_and_back() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let mut other: Vec<Column> = ad_columns().into_iter().rev().collect();
    other.insert(2, Column { name: "more".to_owned(), kind: ColumnKind::U64 { cap: 9 } });
    // Its kind is another one, so what was written for it stays behind.
    other[0].kind = ColumnKind::F16;
    assert_eq!(other[0].name, "clicks");
    bundles.write("b", &World { ad_columns: other, ..World::default() });
    let engine = open(&bundles, "a", |_| {});
    let (mut scorer, handles) = (scorer(&engine), Handles::new(&engine));
    let clicks = handles.columns[4];
    for key in 1..=60 {
        handles.write(&engine, key, 500 + key, NOW);
        put(&engine, Operation::Columns, key, clicks, 3.0, NOW);
    }
    let staged = engine.stage(&bundles.path("b")).unwrap();
    // Written between staging and activating: taken along.
    handles.write(&engine, 60, 1999, NOW + SECOND);
    let more = engine.column(handles.ads, "more").unwrap();
    let upsert = Upsert { table: handles.ads, operation: Operation::Columns, time_us: NOW };
    let row = Row { key: 1, first_value: 0, n_values: 1 };
    let error = engine.upsert(&upsert, &[row], &[Value { feature: more, number: 0.0, id: 5 }]).unwrap_err();
    assert!(error.message.contains("table `ads` of the live generation has no column `more`"), "{error}");
    staged.activate().unwrap();
    let mut see = |last: f32, shown: f32| {
        for key in 1..=61 {
            let seen = inputs(&mut scorer, key, NOW);
            assert!(seen.is_whole(key), "ad {key}: {seen:?}");
            let n = if key == 61 { 1.0 } else { 500.0 + key as f32 };
            assert_eq!(seen.n, if key == 60 { last } else { n });
            assert_eq!(seen.clicks, if key == 61 { 10.0 } else { shown });
        }
    };
    see(1999.0, 10.0);
    engine.upsert(&upsert, &[row], &[Value { feature: more, number: 0.0, id: 5 }]).unwrap();
    handles.write(&engine, 60, 2000, NOW + 2 * SECOND);
    engine.rollback().unwrap();
    see(2000.0, 3.0);
}

#[test]
fn calls_that_cannot_be_served_say_why() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    let engine = open(&bundles, "a", |_| {});
    let handles = Handles::new(&engine);
    let users = engine.table("users").unwrap();
    let nobody = engine.table("nobody's").unwrap();
    let row = Row { key: 1, first_value: 0, n_values: 1 };
    let upsert = |table, feature, number| {
        engine.upsert(&Upsert { table, ..Upsert::default() }, &[row], &[Value { feature, number, id: 0 }])
    };
    let unknown = engine.column(handles.ads, "unknown").unwrap();
    for (table, column, text) in [
        (0, 1, "0 is no table's handle"),
        (nobody, 1, "the live generation has no table `nobody's`"),
        (handles.ads, unknown, "rows[0]: values[0]: table `ads` of the live generation has no column `unknown`"),
        (handles.ads, 0, "0 is no column's handle"),
        (users, handles.columns[4], "is of column `clicks` of another table, `ads`"),
    ] {
        let error = upsert(table, column, 1.0).unwrap_err();
        assert!(error.message.contains(text) && error.status == Status::InvalidArgument, "{error} / {text}");
    }
    assert_eq!(upsert(handles.ads, handles.columns[4], f32::NAN).unwrap_err().status, Status::InvalidValue);
    assert_eq!(engine.table_info(handles.ads).unwrap().overlay_rows, 0);
    assert!(engine.table_info(nobody).is_err() && engine.table_info(0).is_err());
    assert!(engine.column(0, "x").is_err() && engine.table("").is_err());
    engine.close();
    assert_eq!(upsert(handles.ads, handles.columns[4], 1.0).unwrap_err().status, Status::Closed);
    assert_eq!(engine.table_info(handles.ads).unwrap_err().status, Status::Closed);

    let without = open(&bundles, "a", |o| o.overlay_rows = 0);
    let handles = Handles::new(&without);
    let error = without.upsert(&Upsert { table: handles.ads, ..Upsert::default() }, &[], &[]).unwrap_err();
    assert!(error.message.contains("without overlays"), "{error}");
    let info = without.table_info(handles.ads).unwrap();
    assert_eq!((info.rows, info.overlay_capacity, info.overlay_bytes), (100, 0, 0));
    assert_eq!(inputs(&mut scorer(&without), 1, NOW).n, 1.0);
}

/// Rows a second that all writers together aim at, and how long.
const RATE: u64 = 100_000;
const LASTS: Duration = Duration::from_millis(1500);
const WRITERS: u64 = 4;
const READERS: u64 = 4;

#[test]
fn every_row_served_was_written_whole_while_writers_and_swaps_go_on() {
    let bundles = Bundles::new();
    bundles.write("a", &World::default());
    bundles.write("b", &World { n: 2, ..World::default() });
    // Moves every row at every swap.
    let other: Vec<Column> = ad_columns().into_iter().rev().collect();
    bundles.write("c", &World { n: 3, ad_columns: other, ..World::default() });
    let engine = open(&bundles, "a", |_| {});
    let handles = Handles::new(&engine);
    let stop = AtomicBool::new(false);
    let (written, read, fresh) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (engine, stop, read, fresh) = (&engine, &stop, &read, &fresh);
            scope.spawn(move || {
                // The keys that writers write, and more.
                let asked = Asked::new(1 + 30 * seed..=30 + 30 * seed, NOW);
                let mut scorer = scorer(engine);
                let mut pctr = vec![0.0; asked.candidates.len()];
                let (mut rows, mut new) = (0, 0);
                let before = allocator::calls();
                while !stop.load(Ordering::Relaxed) {
                    scorer.score(asked.input(), &mut pctr, &mut []).unwrap();
                    for (i, candidate) in asked.candidates.iter().enumerate() {
                        let seen = inputs_of(&mut scorer, &asked, i);
                        // A row of no table takes the default row, whose key is 0.
                        let whole = seen.is_whole(candidate.ad_key) || (seen.n == 0.0 && seen.is_whole(0));
                        assert!(whole, "ad {}: {seen:?}", candidate.ad_key);
                        rows += 1;
                        new += u64::from(seen.n > 3.0);
                    }
                }
                assert_eq!(allocator::calls() - before, 0, "a reader allocated");
                read.fetch_add(rows, Ordering::Relaxed);
                fresh.fetch_add(new, Ordering::Relaxed);
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (engine, stop, written) = (&engine, &stop, &written);
                scope.spawn(move || {
                    let mut number = seed << 32;
                    let (mut rows, mut values) = (Vec::new(), Vec::new());
                    let mut done = 0;
                    while !stop.load(Ordering::Relaxed) {
                        rows.clear();
                        values.clear();
                        for _ in 0..100 {
                            number = adclick::builder::hash::mix(number);
                            handles.push_row(&mut rows, &mut values, 1 + number % 110, 4 + number % 2044);
                        }
                        let upsert = Upsert { table: handles.ads, time_us: NOW, ..Upsert::default() };
                        let counts = engine.upsert(&upsert, &rows, &values).unwrap();
                        assert_eq!(counts, UpsertCounts { applied: 100, stale: 0, evicted: 0 });
                        done += 100;
                        written.fetch_add(100, Ordering::Relaxed);
                        let due = Duration::from_micros(done * WRITERS * 1_000_000 / RATE);
                        std::thread::sleep(due.saturating_sub(start.elapsed()));
                    }
                })
            })
            .collect();
        // A failure of this thread or of a writer stops the others.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        let mut swaps = 0;
        // On a busy machine longer: enough must happen.
        let enough = |swaps: usize| start.elapsed() >= LASTS && swaps > 3 && written.load(Ordering::Relaxed) > 10_000;
        while !enough(swaps) && !writers.iter().any(|w| w.is_finished()) {
            activate(&engine, &bundles, ["b", "c", "a"][swaps % 3]);
            swaps += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let (read, fresh, written) = (read.into_inner(), fresh.into_inner(), written.into_inner());
    let rate = written as f64 / start.elapsed().as_secs_f64();
    println!("{written} rows written ({rate:.0} a second), {read} read, {fresh} of them from overlays");
    assert!(written > 10_000 && fresh > 10_000, "too little happened");
    // Nothing was lost on the way through the generations.
    let mut scorer = scorer(&engine);
    let marked = handles.write(&engine, 55, 77, NOW + SECOND);
    assert_eq!(marked, ONE);
    for name in ["a", "b", "c", "a"] {
        activate(&engine, &bundles, name);
        assert_eq!(inputs(&mut scorer, 55, NOW).v, vector(55, 77));
        assert!((1..=100).all(|key| inputs(&mut scorer, key, NOW).n > 3.0), "a row was lost");
    }
}
