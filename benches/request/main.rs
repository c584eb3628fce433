//! Whole requests, from ids to winners: model S behind a table of 5 million users and one of a million ads.
//!
//! `cargo bench --bench request [-- --quick] [-- --rules]`
//!
//! First one thread: [`Scorer::decide`] at several numbers of candidates, what its stages cost, and the precisions beside
//! each other. Then two threads that share an engine beside one, with and without new generations being published
//! meanwhile (not when the process has one core). Tables are built once, into build/bench/.

mod rules;
mod world;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adclick::auction::{self, Reason};
use adclick::builder::Named;
use adclick::builder::infer::{Kernel, Plan, Scratch, Weights};
use adclick::{AdCacheState, Engine, Options, Precision, Scorer, ScorerLimits, Winner};
use testkit::networks::Random;
use world::{Requests, Size};

type Error = Box<dyn std::error::Error>;

const COUNTS: [usize; 3] = [100, 300, 1000];
const SLOTS: usize = 3;
const PRECISIONS: [Precision; 4] = [Precision::Exact, Precision::Bf16, Precision::Int8, Precision::AuctionExact];
/// Requests in a row before it is the next one's turn.
const TURN: usize = 20;
/// Bytes that an ad cache may take.
const AD_CACHE: u64 = 4 << 30;
/// Candidates of a request where threads share an engine, and how often a new generation comes.
const SHARED: usize = 300;
const SWAP_EVERY: Duration = Duration::from_millis(100);

/// How long it takes.
struct Pace {
    size: Size,
    requests: usize,
    rounds: usize,
    lasts: Duration,
}

const FULL: Pace =
    Pace { size: Size { users: 5_000_000, ads: 1_000_000 }, requests: 3000, rounds: 5, lasts: Duration::from_secs(2) };
const QUICK: Pace =
    Pace { size: Size { users: 100_000, ads: 50_000 }, requests: 300, rounds: 2, lasts: Duration::from_millis(300) };

fn microseconds(times: &mut [f64], part: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * part) as usize).min(times.len() - 1)] * 1e6
}

fn timed(what: impl FnOnce() -> Result<(), Error>) -> Result<f64, Error> {
    let begin = Instant::now();
    what()?;
    Ok(begin.elapsed().as_secs_f64())
}

fn winners() -> [Winner; SLOTS] {
    [Winner::default(); SLOTS]
}

/// One thread: whole requests, and by turns with them the parts that can be called alone. What is left of a request is
/// for its tables and for making inputs of their rows.
fn stages(engine: &Engine, pace: &Pace, count: usize) -> Result<(), Error> {
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: count })?;
    let mut requests = Requests::new(engine, pace.size, count, 1)?;
    let generation = engine.generation()?;
    let model = generation.model();
    let weights = Weights { panels: model.weights(), params: model.params() };
    let plan = Plan::new(model.network(), weights, Kernel::by_name(engine.kernel())?)?;
    let mut scratch = Scratch::new(plan.scratch_len());
    let mut random = Random(1);
    let mut rows = random.row(plan.width() * count);
    let (request_width, tile_rows) = (plan.request_width(), plan.tile_for(count));
    let (shared, width) = (rows[..request_width].to_vec(), plan.width());
    rows.chunks_mut(width).for_each(|row| row[..request_width].copy_from_slice(&shared));
    let (mut logits, mut pctr) = (vec![0.0; count], vec![0.0; count]);
    let (mut winners, mut reasons) = (winners(), vec![Reason::Won; count]);
    let mut memory = auction::Scratch::new(count);
    let [mut whole, mut network, mut calibration, mut ranking] = [const { Vec::new() }; 4];
    for round in 0..pace.requests + pace.requests / 10 {
        let decide = timed(|| {
            let outcome = scorer.decide(requests.next(), &mut winners, &mut reasons)?;
            assert_eq!((outcome.n_scored as usize, outcome.n_winners as usize, outcome.n_missing), (count, SLOTS, 0));
            Ok(())
        })?;
        let score = timed(|| {
            let mut pass = plan.begin(weights, &mut scratch, &shared, count)?;
            for (rows, logits) in rows.chunks(width * tile_rows).zip(logits.chunks_mut(tile_rows)) {
                let mut tile = pass.tile(logits.len())?;
                for (i, row) in rows.chunks(width).enumerate() {
                    tile.row(i)[request_width..].copy_from_slice(&row[request_width..]);
                }
                pass.run(logits.len(), None, logits)?;
            }
            Ok(())
        })?;
        let own = &scorer.logits()[0][..count];
        let calibrate = timed(|| {
            generation.calibrators().ctr.apply_slice(own, &mut pctr);
            Ok(())
        })?;
        let candidates = requests.next().candidates;
        let rank = timed(|| {
            let reasons = Some(&mut reasons[..]);
            let policy = generation.policy();
            let page = auction::Page::new(policy, SLOTS);
            auction::run_candidates(&page, candidates, &pctr, &[], &mut memory, &mut winners, reasons)?;
            Ok(())
        })?;
        // The first requests bring everything in.
        if round >= pace.requests / 10 {
            for (times, time) in [&mut whole, &mut network, &mut calibration, &mut ranking]
                .into_iter()
                .zip([decide, score, calibrate, rank])
            {
                times.push(time);
            }
        }
    }
    let p99 = microseconds(&mut whole, 0.99);
    let all = microseconds(&mut whole, 0.5);
    let parts = [&mut network, &mut calibration, &mut ranking].map(|times| microseconds(times, 0.5));
    let rest = all - parts.iter().sum::<f64>();
    let [network, calibration, ranking, rest] =
        [parts[0], parts[1], parts[2], rest].map(|p| format!("{p:.0} ({:.0}%)", p / all * 100.0));
    println!("| {count} | {all:.0} | {p99:.0} | {rest} | {network} | {calibration} | {ranking} |");
    Ok(())
}

/// One thread: the same requests decided in each precision, and exact with the ad cache, by turns of [`TURN`]. Ratios are
/// medians of the turns'.
fn ways(bundle: &Path, pace: &Pace, count: usize) -> Result<(), Error> {
    struct Contender {
        // An engine that is dropped is closed.
        _engine: Engine,
        name: String,
        precision: Precision,
        scorer: Scorer,
        requests: Requests,
        times: Vec<f64>,
        turns: Vec<f64>,
    }
    let mut contenders = Vec::new();
    let cached = (Precision::Exact, AD_CACHE);
    for (precision, ad_cache_bytes) in PRECISIONS.map(|precision| (precision, 0)).into_iter().chain([cached]) {
        let mut options = Options::default();
        (options.precision, options.ad_cache_bytes) = (Some(precision), ad_cache_bytes);
        let engine = Engine::open(bundle, &options)?;
        let mut name = precision.name().to_owned();
        if let Some(reason) = engine.model()?.precision_reason {
            println!("| {count} | {name} | absent: {reason} | | |");
            continue;
        }
        if ad_cache_bytes > 0 {
            let cache = engine.ad_cache()?;
            if cache.state != AdCacheState::On {
                println!("| {count} | {name}, ad cache | absent: {:?} | | |", cache.state);
                continue;
            }
            name += &format!(", ad cache of {} MB", cache.bytes / 1_000_000);
        }
        if let Some(first) = engine.generation()?.first_pass() {
            name += &format!(", {} first", first.name());
        }
        let scorer = engine.scorer(ScorerLimits { max_candidates: count })?;
        let requests = Requests::new(&engine, pace.size, count, 1)?;
        contenders.push(Contender {
            _engine: engine,
            name,
            precision,
            scorer,
            requests,
            times: Vec::new(),
            turns: Vec::new(),
        });
    }
    let (mut winners, mut reasons) = (winners(), vec![Reason::Won; count]);
    for turn in 0..(pace.requests / TURN).max(10) {
        for contender in &mut contenders {
            let first = contender.times.len();
            for _ in 0..TURN {
                contender.times.push(timed(|| {
                    let outcome = contender.scorer.decide(contender.requests.next(), &mut winners, &mut reasons)?;
                    assert_eq!((outcome.n_scored as usize, outcome.n_missing), (count, 0));
                    assert_eq!(outcome.precision, contender.precision as u32);
                    Ok(())
                })?);
            }
            contender.turns.push(contender.times[first..].iter().sum());
            // The first turn brings everything in.
            if turn == 0 {
                contender.times.clear();
                contender.turns.clear();
            }
        }
    }
    let exact = contenders.first().map(|first| first.turns.clone()).unwrap_or_default();
    for Contender { name, mut times, turns, .. } in contenders {
        let mut ratios: Vec<f64> = exact.iter().zip(&turns).map(|(exact, own)| exact / own).collect();
        ratios.sort_by(f64::total_cmp);
        let [p50, p99] = [0.5, 0.99].map(|part| microseconds(&mut times, part));
        println!("| {count} | {} | {p50:.0} | {p99:.0} | {:.2}× |", name, ratios[ratios.len() / 2]);
    }
    Ok(())
}

/// One thread: the same requests with one calibrator and with those of 100,000 segments, by turns of [`TURN`]; and how long
/// it takes to swap the calibrators alone.
fn by_segment(bundle: &Path, pace: &Pace, count: usize) -> Result<(), Error> {
    let segmented = world::segmented(bundle)?;
    for precision in [Precision::Exact, Precision::AuctionExact] {
        let mut options = Options::default();
        options.precision = Some(precision);
        let engines = [Engine::open(bundle, &options)?, Engine::open(&segmented, &options)?];
        if let Some(reason) = engines[0].model()?.precision_reason {
            println!("| {count} | {} | absent: {reason} | | |", precision.name());
            continue;
        }
        let limits = ScorerLimits { max_candidates: count };
        let mut scorers = [engines[0].scorer(limits)?, engines[1].scorer(limits)?];
        let mut requests =
            [Requests::new(&engines[0], pace.size, count, 1)?, Requests::new(&engines[1], pace.size, count, 1)?];
        let (mut winners, mut reasons) = (winners(), vec![Reason::Won; count]);
        let (mut turns, mut shares) = ([const { Vec::new() }; 2], Vec::new());
        for turn in 0..(pace.requests / TURN).max(10) {
            for way in 0..2 {
                let time = timed(|| {
                    for _ in 0..TURN {
                        scorers[way].decide(requests[way].next(), &mut winners, &mut reasons)?;
                    }
                    Ok(())
                })?;
                turns[way].push(time / TURN as f64);
            }
            // The first turn brings everything in.
            if turn > 0 {
                shares.push(turns[1][turn] / turns[0][turn] - 1.0);
            }
        }
        shares.sort_by(f64::total_cmp);
        let [one, many] = turns.each_mut().map(|times| microseconds(times, 0.5));
        let swap = timed(|| {
            engines[0].stage(&segmented)?.activate()?;
            Ok(())
        })? * 1e3;
        let share = shares[shares.len() / 2] * 100.0;
        println!("| {count} | {} | {one:.0} | {many:.0} | {share:+.1} % | {swap:.1} |", precision.name());
    }
    Ok(())
}

/// What callers of one engine did together.
struct Served {
    rate: f64,
    times: Vec<f64>,
    swaps: usize,
}

/// Some threads that decide as fast as they can, and with `next` one that publishes these bundles in turn.
fn serve(engine: &Engine, pace: &Pace, threads: u64, next: &[std::path::PathBuf]) -> Result<Served, Error> {
    let stop = AtomicBool::new(false);
    let all = Mutex::new(Vec::new());
    let begin = Instant::now();
    let swaps = std::thread::scope(|scope| -> Result<usize, String> {
        let callers: Vec<_> = (0..threads)
            .map(|seed| {
                let (stop, all) = (&stop, &all);
                scope.spawn(move || -> Result<(), String> {
                    let said = |e: &dyn std::fmt::Display| e.to_string();
                    let mut scorer = engine.scorer(ScorerLimits { max_candidates: SHARED }).map_err(|e| said(&e))?;
                    let mut requests = Requests::new(engine, pace.size, SHARED, seed).map_err(|e| said(&e))?;
                    let mut times = Vec::with_capacity(1 << 16);
                    let mut winners = winners();
                    while !stop.load(Ordering::Relaxed) {
                        let input = requests.next();
                        let begin = Instant::now();
                        scorer.decide(input, &mut winners, &mut []).map_err(|e| said(&e))?;
                        times.push(begin.elapsed().as_secs_f64());
                    }
                    all.lock().map_err(|e| said(&e))?.append(&mut times);
                    Ok(())
                })
            })
            .collect();
        let mut swaps = 0;
        while begin.elapsed() < pace.lasts {
            std::thread::sleep(SWAP_EVERY.min(pace.lasts));
            if !next.is_empty() {
                let bundle = &next[swaps % next.len()];
                engine.stage(bundle).and_then(|staged| staged.activate()).map_err(|e| e.to_string())?;
                swaps += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().map_err(|_| "a caller panicked".to_owned())??;
        }
        Ok(swaps)
    })?;
    let times = all.into_inner()?;
    Ok(Served { rate: times.len() as f64 / begin.elapsed().as_secs_f64(), times, swaps })
}

/// One and two threads, by turns.
fn scaling(engine: &Engine, pace: &Pace, bundles: &[std::path::PathBuf]) -> Result<(), Error> {
    for (title, next) in [("nothing published", &[][..]), ("a new generation every 100 ms", bundles)] {
        let [mut one, mut two] = [const { Vec::new() }; 2];
        let mut ratios = Vec::new();
        let mut swaps = 0;
        for _ in 0..pace.rounds {
            let alone = serve(engine, pace, 1, next)?;
            let both = serve(engine, pace, 2, next)?;
            ratios.push(both.rate / alone.rate);
            swaps += alone.swaps + both.swaps;
            one.push(alone);
            two.push(both);
        }
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        for (threads, served) in [(1, one), (2, two)] {
            let mut rates: Vec<f64> = served.iter().map(|s| s.rate).collect();
            rates.sort_by(f64::total_cmp);
            let mut times: Vec<f64> = served.into_iter().flat_map(|s| s.times).collect();
            let [p50, p99] = [0.5, 0.99].map(|part| microseconds(&mut times, part));
            let ratio = if threads == 1 { String::new() } else { format!("{ratio:.2}×") };
            let rate = rates[rates.len() / 2];
            println!("| {title} | {threads} | {rate:.0} | {ratio} | {p50:.0} | {p99:.0} | {swaps} |");
        }
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let quick = std::env::args().any(|a| a == "--quick");
    // What the rules of auctions, segments and deadlines cost, and nothing else.
    let rules = std::env::args().any(|a| a == "--rules");
    let pace = if quick { QUICK } else { FULL };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/bench/request");
    let bundles = world::bundles(&root, pace.size)?;
    let begin = Instant::now();
    let engine = Engine::open(&bundles[0], &Options::default())?;
    let Size { users, ads } = pace.size;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{users} users, {ads} ads, kernel {}; opened and checked in {seconds:.1} s\n", engine.kernel());
    if !rules {
        println!("One thread, microseconds of a request, medians; shares of the median:\n");
        println!("| candidates | p50 | p99 | tables and inputs (the rest) | network | calibration | auction |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for count in COUNTS {
            stages(&engine, &pace, count)?;
        }
        println!("\nOne thread, the same requests by turns, microseconds of a request:\n");
        println!("| candidates | served | p50 | p99 | faster than exact |");
        println!("| --- | --- | --- | --- | --- |");
        for count in COUNTS {
            ways(&bundles[0], &pace, count)?;
        }
    }
    println!(
        "\nOne calibrator, and those of 100,000 segments (placement, advertiser), by turns, microseconds of a request:\n"
    );
    println!("| candidates | served | one | by segment | more | ms to swap to them |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for count in COUNTS {
        by_segment(&bundles[0], &pace, count)?;
    }
    println!(
        "\nThe auction beside exact scores of the same candidates, five slots, by turns, microseconds of a request:\n"
    );
    println!("| candidates | scores | full policy | of the scores | default policy | of the scores |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for count in COUNTS {
        rules::full_policy(&engine, &pace, count)?;
    }
    println!("\nDeadlines, in shares of the time that all candidates take; winners as without a deadline:\n");
    println!("| candidates | deadline | candidates scored | winners kept |");
    println!("| --- | --- | --- | --- |");
    for count in [300, 1000] {
        rules::deadlines(&engine, &pace, count)?;
    }
    if rules {
        return Ok(());
    }
    let cores = std::thread::available_parallelism()?;
    if cores.get() == 1 {
        println!("\nThreads that share the engine: not measured, this process has one core only");
        return Ok(());
    }
    println!("\nThreads that share the engine, {SHARED} candidates, {cores} cores:\n");
    println!("| meanwhile | threads | requests/s | to one thread | p50 µs | p99 µs | swaps |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    scaling(&engine, &pace, &bundles)
}
