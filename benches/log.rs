//! What logging costs a request, and what a log takes: nanoseconds of a record, requests with and without a log, steady load
//! and a burst. `cargo bench --bench log`; `-- --long` for a minute of load.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use adclick::builder::decision_log::{Recorder, Source};
use adclick::{Engine, LogOptions, LogState, Winner};
use testkit::common::{Bundles, Random, Wants, case, model, scorer};

const NOW: i64 = 1_793_000_000_000_000;

fn main() {
    let long = std::env::args().any(|argument| argument == "--long");
    let directory = tempfile::tempdir().unwrap();
    records(directory.path());
    load("200,000 records/s", directory.path(), 200_000, if long { 60 } else { 3 });
    load("burst, 1,000,000 records/s", directory.path(), 1_000_000, 1);
    requests(directory.path());
}

fn open(root: &Path, name: &str) -> Recorder {
    Recorder::open(&LogOptions::new(root.join(name))).unwrap()
}

fn told(mut times: Vec<u64>) -> [u64; 4] {
    times.sort_unstable();
    [500, 990, 999, 1000].map(|share| times[(times.len() * share / 1000).min(times.len() - 1)])
}

/// Nanoseconds of an id and a record, with those of reading the clock, 100,000 a second.
fn records(root: &Path) {
    let log = open(root, "records");
    let mut source = log.source().unwrap();
    let (mut times, mut empty) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for n in 0..300_000_u64 {
        while begun.elapsed() < Duration::from_micros(10 * n) {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        let between = Instant::now();
        source.record(black_box(n), NOW);
        let end = Instant::now();
        empty.push((between - start).as_nanos() as u64);
        times.push((end - between).as_nanos() as u64);
    }
    log.close().unwrap();
    let ([p50, p99, p999, most], [e50, _, e999, _]) = (told(times), told(empty));
    println!("a record with its id: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, most {most} ns");
    println!("  reading the clock alone: p50 {e50} ns, p99.9 {e999} ns; lost {}", lost(&log.state().unwrap()));
}

fn lost(state: &LogState) -> u64 {
    state.lost.iter().sum()
}

/// Two threads that decide.
fn load(what: &str, root: &Path, rate: u64, seconds: u64) {
    let log = open(root, &what.replace([' ', ',', '/'], "-"));
    let mut sources: Vec<Source> = (0..2).map(|_| log.source().unwrap()).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for source in &mut sources {
            scope.spawn(move || {
                // A batch each millisecond, so that sleeping is exact enough and the writer gets the core.
                let batch = rate / 2 / 1000;
                for tick in 0..seconds * 1000 {
                    let due = Duration::from_millis(tick);
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    (0..batch).for_each(|n| source.record(tick * batch + n, NOW + tick as i64 * 1000));
                }
            });
        }
    });
    let took = begun.elapsed();
    log.close().unwrap();
    let state = log.state().unwrap();
    let offered = state.written[0] + lost(&state);
    assert_eq!(offered, rate / 2 / 1000 * 1000 * seconds * 2, "every record is written or counted as lost");
    println!(
        "{what}: {offered} in {:.2} s, {} written, {} lost, {:.1} MB, {:.0} bytes a record",
        took.as_secs_f64(),
        state.written[0],
        lost(&state),
        state.bytes as f64 / 1e6,
        state.bytes as f64 / state.written[0].max(1) as f64
    );
}

/// Microseconds of a request of 300 candidates, without and with a log, turn by turn.
fn requests(root: &Path) {
    let bundles = Bundles::new();
    let mut random = Random(7);
    bundles.write("a", &model(&mut random, Wants::default()));
    let engines = [false, true].map(|logs| {
        let engine = Engine::open(&bundles.path("a"), &adclick::Options::default()).unwrap();
        if logs {
            engine.open_log(&LogOptions::new(root.join("requests"))).unwrap();
        }
        engine
    });
    let (spec, mut random) = (model(&mut Random(7), Wants::default()), Random(9));
    let mut cases = engines.each_ref().map(|engine| case(&mut random, &spec.schema, 300, engine));
    let mut scorers = engines.each_ref().map(|engine| scorer(engine, 300));
    let mut times = [const { Vec::new() }; 2];
    for turn in 0..40 {
        let which = turn % 2;
        cases[which].request.n_slots = 4;
        let mut winners = [Winner::default(); 4];
        for n in 0..500 {
            cases[which].request.request_id = turn as u64 * 1000 + n;
            let start = Instant::now();
            black_box(scorers[which].decide(cases[which].input(), &mut winners, &mut []).unwrap());
            times[which].push(start.elapsed().as_nanos() as u64);
        }
    }
    let [without, with] = times.map(told);
    println!(
        "a request of 300 candidates and 4 winners, ns: without p50 {}, p99 {}; with p50 {}, p99 {}",
        without[0], without[1], with[0], with[1]
    );
    println!(
        "  with / without: p50 {:.3}, p99 {:.3}",
        with[0] as f64 / without[0] as f64,
        with[1] as f64 / without[1] as f64
    );
}
