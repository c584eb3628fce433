//! Model E, whose inputs are embedding rows: the time of a candidate and what of it goes to tables and inputs.
//!
//! `cargo bench --bench embeddings [-- --quick]`
//!
//! Ids are passed with the candidates or read from the ad's row; hot, random or as most logs have them. Bundles are built
//! once, into build/bench/.

mod world;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use adclick::{Engine, Options, Scorer, ScorerLimits};
use testkit::networks::Random;
use world::{Error, Ids, LARGE, Requests, Size};

const COUNTS: [usize; 2] = [100, 1000];

/// How long it takes.
struct Pace {
    size: Size,
    rounds: usize,
    /// Candidates of a turn.
    turn: usize,
}

const FULL: Pace = Pace { size: Size { rows: 1_000_000, ads: 1_000_000 }, rounds: 12, turn: 48_000 };
const QUICK: Pace = Pace { size: Size { rows: 100_000, ads: 20_000 }, rounds: 3, turn: 24_000 };

/// One thing to be timed, with its figures: ns a candidate, and of it tables and inputs.
struct Contender {
    name: String,
    engine: Engine,
    scorer: Scorer,
    requests: Requests,
    count: usize,
    whole: Vec<f64>,
    inputs: Vec<f64>,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that a stage of an engine's calls took so far. One call in eight is watched.
fn stage(engine: &Engine, stage: &str) -> Result<(f64, f64), Error> {
    let metrics = engine.metrics()?.to_string();
    let of = |what: &str| {
        let name = format!("adclick_stage_duration_seconds_{what}{{stage=\"{stage}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.and_then(|value| value.parse().ok()).ok_or("no such stage")
    };
    Ok((of("sum")?, of("count")?))
}

impl Contender {
    fn new(
        name: String,
        bundle: &Path,
        options: &Options,
        size: Size,
        count: usize,
        ids: Option<Ids>,
    ) -> Result<Self, Error> {
        let engine = Engine::open(bundle, options)?;
        let scorer = engine.scorer(ScorerLimits { max_candidates: count })?;
        let requests = Requests::new(&engine, size, count, ids)?;
        Ok(Self { name, engine, scorer, requests, count, whole: Vec::new(), inputs: Vec::new() })
    }

    fn turn(&mut self, candidates: usize) -> Result<(), Error> {
        let (mut pctr, calls) = (vec![0.0; self.count], candidates / self.count);
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls / 8 {
            self.scorer.score(self.requests.next(), &mut pctr, &mut [])?;
        }
        let before = stage(&self.engine, "enrich")?;
        for _ in 0..calls {
            let begin = Instant::now();
            self.scorer.score(self.requests.next(), &mut pctr, &mut [])?;
            times.push(begin.elapsed().as_secs_f64() * 1e9 / self.count as f64);
        }
        let after = stage(&self.engine, "enrich")?;
        self.whole.push(median(&mut times));
        self.inputs.push((after.0 - before.0) / (after.1 - before.1) * 1e9 / self.count as f64);
        Ok(())
    }
}

/// The time of each of many independent random lines, as the prefetches of a candidate have them.
fn far_lines(memory: &[u64], random: &mut Random) -> f64 {
    const LINES: usize = 200_000;
    const AHEAD: usize = 48;
    let places: Vec<usize> = (0..LINES + AHEAD).map(|_| (random.next_u64() as usize % memory.len()) & !7).collect();
    let begin = Instant::now();
    let mut sum = 0u64;
    for at in 0..LINES {
        // Loads that nothing waits for are as good as prefetches.
        sum = sum.wrapping_add(memory[places[at]]);
    }
    black_box(sum);
    begin.elapsed().as_secs_f64() * 1e9 / LINES as f64
}

fn main() -> Result<(), Error> {
    let quick = std::env::args().any(|a| a == "--quick");
    let pace = if quick { QUICK } else { FULL };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("build/bench/embeddings");
    let [passed, hot, random] = world::bundles(&root, pace.size)?;
    let memory = vec![1u64; if quick { 8 << 20 } else { 128 << 20 }];
    let plain = Options::default();
    let mut ad_cache = Options::default();
    ad_cache.ad_cache_bytes = 8 << 30;
    for count in COUNTS {
        let cases: [(&str, &Path, &Options, Option<Ids>); 7] = [
            ("passed, hot", &passed, &plain, Some(Ids::Hot)),
            ("passed, random", &passed, &plain, Some(Ids::Random)),
            ("passed, zipf", &passed, &plain, Some(Ids::Zipf)),
            ("of ads, hot", &hot, &plain, None),
            ("of ads, random", &random, &plain, None),
            ("of ads, hot, ad cache", &hot, &ad_cache, None),
            ("of ads, random, ad cache", &random, &ad_cache, None),
        ];
        let mut contenders = cases
            .into_iter()
            .map(|(name, bundle, options, ids)| Contender::new(name.to_owned(), bundle, options, pace.size, count, ids))
            .collect::<Result<Vec<_>, _>>()?;
        let (mut lines, mut draw) = (Vec::new(), Random(11));
        for _ in 0..pace.rounds {
            for contender in &mut contenders {
                contender.turn(pace.turn)?;
            }
            lines.push(far_lines(&memory, &mut draw) * LARGE as f64);
        }
        println!("{count} candidates: ns a candidate, of it tables and inputs");
        for contender in &mut contenders {
            let (whole, inputs) = (median(&mut contender.whole), median(&mut contender.inputs));
            println!("  {:26} {whole:7.0} {inputs:7.0}  {:4.1}%", contender.name, 100.0 * inputs / whole);
        }
        println!("  {LARGE} far lines{:17} {:7.0}", "", median(&mut lines));
    }
    Ok(())
}
