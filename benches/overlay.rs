//! What an overlay costs: nanoseconds for each key that is looked for, row that is read and row that is written; then
//! requests with and without writers beside them.
//! `cargo bench --bench overlay`

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adclick::builder::hash::mix;
use adclick::builder::overlay::{Batch, Below, ColumnValue, Freshness, Operation, Overlay};
use adclick::builder::table::{Column, ColumnKind, RowLayout};
use adclick::{Engine, Options, Result, Row, ScorerLimits, Upsert};
use testkit::overlaid::{self, Asked, BUILT_S, Bundles, Handles, World};

/// Rows of the overlay and keys of a request.
const ROWS: u64 = 65_536;
const KEYS: usize = 1_000;

/// Rows of 64 bytes: 12 numbers, two ids, a vector of 4.
fn layout() -> Arc<RowLayout> {
    let column = |i: usize, kind| Column { name: format!("c{i}"), kind };
    let mut columns: Vec<Column> = (0..8).map(|i| column(i, ColumnKind::F32)).collect();
    columns.push(column(8, ColumnKind::Vector { dim: 4 }));
    columns.push(column(9, ColumnKind::U64 { cap: 1 }));
    columns.push(column(10, ColumnKind::U32 { cap: 2 }));
    Arc::new(RowLayout::new(columns).unwrap())
}

fn column(handle: u32) -> Result<usize> {
    Ok(handle as usize)
}

fn upsert(overlay: &Overlay, keys: impl Iterator<Item = u64>, operation: Operation) {
    let rows: Vec<Row> = keys.map(|key| Row { key, first_value: 0, n_values: 4 }).collect();
    let values: Vec<ColumnValue> = (0..4).map(|column| ColumnValue { column, number: 1.0, id: 0 }).collect();
    let missing = overlay.layout().missing();
    for rows in rows.chunks(100) {
        let batch = Batch { rows, values: &values, operation, time_us: 0 };
        overlay
            .upsert(&batch, &column, Below { fresh: Freshness::default(), row: &|_| None, default: &missing })
            .unwrap();
    }
}

/// The median over many repetitions of nanoseconds per item.
fn time(items: usize, mut what: impl FnMut(u64)) -> f64 {
    let mut times: Vec<f64> = (0..300)
        .map(|i| {
            let start = Instant::now();
            what(i);
            start.elapsed().as_nanos() as f64 / items as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn structure() {
    let layout = layout();
    let overlay = Overlay::new(Arc::clone(&layout), ROWS as usize).unwrap();
    let held = |i: u64| 1 + mix(i) % ROWS;
    let keys_of = |round: u64| -> Vec<u64> { (0..KEYS as u64).map(|i| held(round << 32 | i)).collect() };
    upsert(&overlay, 1..ROWS + 1, Operation::Columns);
    println!(
        "{} rows of {} bytes, {:.1} MB, {} evicted while filling; nanoseconds for each of {KEYS} random keys",
        overlay.len(),
        layout.width(),
        overlay.memory() as f64 / 1e6,
        overlay.evictions()
    );
    let mut slots = vec![None; KEYS];
    let find = |keys: &[u64], slots: &mut [Option<u32>]| {
        for (slot, &key) in slots.iter_mut().zip(keys) {
            *slot = overlay.find(key);
        }
    };
    let absent = time(KEYS, |round| {
        let keys = keys_of(round).iter().map(|key| key << 20).collect::<Vec<_>>();
        find(&keys, &mut slots);
        black_box(&slots);
    });
    let present = time(KEYS, |round| {
        find(&keys_of(round), &mut slots);
        black_box(&slots);
    });
    let base = layout.missing();
    let mut out = layout.missing();
    let apply = time(KEYS, |round| {
        let keys = keys_of(round);
        find(&keys, &mut slots);
        for (slot, &key) in slots.iter().zip(&keys) {
            if let Some(slot) = slot {
                black_box(overlay.apply(*slot, key, &base, Freshness::default(), &mut out));
                black_box(&out);
            }
        }
    });
    let ahead = time(KEYS, |round| {
        let keys = keys_of(round);
        find(&keys, &mut slots);
        for (i, &key) in keys.iter().enumerate() {
            if let Some(Some(later)) = slots.get(i + 8) {
                overlay.prefetch(*later);
            }
            if let Some(slot) = slots[i] {
                black_box(overlay.apply(slot, key, &base, Freshness::default(), &mut out));
                black_box(&out);
            }
        }
    });
    let making = time(KEYS, |round| {
        black_box(keys_of(round));
    });
    println!("find, absent        {:7.1}", absent - making);
    println!("find, present       {:7.1}", present - making);
    println!("find and apply      {:7.1}", apply - making);
    println!("  asked for 8 ahead {:7.1}", ahead - making);
    println!(
        "upsert of 4 columns {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::Columns))
    );
    println!(
        "increment of 4      {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::Increment))
    );
    println!(
        "whole row           {:7.1}",
        time(KEYS, |round| upsert(&overlay, keys_of(round).into_iter(), Operation::WholeRow))
    );
    let to = Overlay::new(Arc::clone(overlay.layout()), ROWS as usize).unwrap();
    let start = Instant::now();
    let moved = overlay.migrate(&to).applied;
    println!("migrating           {:7.1} for each of {moved} rows", start.elapsed().as_nanos() as f64 / moved as f64);
}

/// Ads of the table, candidates of a request, rows a second of all writers together, and how long each part lasts.
const ADS: u64 = 200_000;
const CANDIDATES: u64 = 500;
const RATE: u64 = 100_000;
const LASTS: Duration = Duration::from_secs(3);
const NOW: i64 = (BUILT_S + 1) * 1_000_000;

/// Microseconds of each request of all readers, in order, and rows written a second.
fn serve(engine: &Engine, handles: &Handles, readers: u64, writers: u64) -> (Vec<f64>, f64) {
    let stop = AtomicBool::new(false);
    let (times, written) = (Mutex::new(Vec::new()), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for seed in 0..readers {
            let (stop, times) = (&stop, &times);
            scope.spawn(move || {
                let mut scorer = engine.scorer(ScorerLimits::default()).unwrap();
                let mut pctr = vec![0.0; CANDIDATES as usize];
                let (mut own, mut number) = (Vec::with_capacity(1 << 20), seed);
                while !stop.load(Ordering::Relaxed) {
                    let ads = (0..CANDIDATES).map(|_| {
                        number = mix(number);
                        1 + number % ADS
                    });
                    let asked = Asked::new(ads, NOW);
                    let begin = Instant::now();
                    black_box(scorer.score(asked.input(), &mut pctr, &mut []).unwrap());
                    own.push(begin.elapsed().as_secs_f64() * 1e6);
                }
                times.lock().unwrap().append(&mut own);
            });
        }
        for seed in 0..writers {
            let (stop, written) = (&stop, &written);
            scope.spawn(move || {
                let (mut rows, mut values, mut number, mut done) = (Vec::new(), Vec::new(), !seed, 0);
                while !stop.load(Ordering::Relaxed) {
                    rows.clear();
                    values.clear();
                    for _ in 0..100 {
                        number = mix(number);
                        handles.push_row(&mut rows, &mut values, 1 + number % ADS, number % overlaid::LIMIT);
                    }
                    let upsert = Upsert { table: handles.ads, time_us: NOW, ..Upsert::default() };
                    engine.upsert(&upsert, &rows, &values).unwrap();
                    done += 100;
                    written.fetch_add(100, Ordering::Relaxed);
                    let due = Duration::from_micros(done * writers * 1_000_000 / RATE);
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                }
            });
        }
        std::thread::sleep(LASTS);
        stop.store(true, Ordering::Relaxed);
    });
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    (times, written.into_inner() as f64 / start.elapsed().as_secs_f64())
}

/// Readers with and without writers, by turns: on a machine of few cores the writers take the readers' time, too.
fn requests() {
    let bundles = Bundles::new();
    bundles.write("a", &World { ads: ADS, ..World::default() });
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let handles = Handles::new(&engine);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("\nrequests of {CANDIDATES} ads out of {ADS}, microseconds; {cores} cores");
    let tell = |what: &str, readers: u64, writers: u64| {
        let (times, rate) = serve(&engine, &handles, readers, writers);
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        let rows = engine.table_info(handles.ads).unwrap().overlay_rows;
        println!(
            "{what:<22} p50 {:8.1}  p90 {:8.1}  p99 {:8.1}  {:7} requests  {rate:8.0} rows/s written  {rows:6} rows",
            at(0.5),
            at(0.9),
            at(0.99),
            times.len()
        );
    };
    tell("1 reader, no rows", 1, 0);
    for _ in 0..2 {
        tell("1 reader, 1 writer", 1, 1);
        tell("1 reader, idle", 1, 0);
    }
    for _ in 0..2 {
        tell("4 readers, 4 writers", 4, 4);
        tell("4 readers, idle", 4, 0);
    }
}

fn main() {
    structure();
    requests();
}
