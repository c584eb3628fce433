//! What switches cost: one call, and requests with and without 10,000 switches a second beside them.
//! `cargo bench --bench switches`

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adclick::builder::hash::mix;
use adclick::{Engine, Options, ScorerLimits, SwitchKind, Winner};
use testkit::overlaid::{Asked, BUILT_S, Bundles, World};

const ADS: u64 = 200_000;
const CANDIDATES: u64 = 500;
/// Switches a second, and keys that are off all the time.
const RATE: u64 = 10_000;
const OFF: u64 = 20_000;
const TURN: Duration = Duration::from_millis(1500);
const TURNS: usize = 6;
const NOW: i64 = (BUILT_S + 1) * 1_000_000;

/// Microseconds of decisions, in order.
fn serve(engine: &Engine, switching: bool) -> Vec<f64> {
    let stop = AtomicBool::new(false);
    let mut times = Vec::with_capacity(1 << 18);
    std::thread::scope(|scope| {
        if switching {
            scope.spawn(|| {
                let (begun, mut n) = (Instant::now(), 0u64);
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..RATE / 1000 {
                        n += 1;
                        engine.switch(SwitchKind::Ad, 1 + mix(n) % ADS, (n % 2) as u32).unwrap();
                    }
                    std::thread::sleep(Duration::from_micros(n * 1_000_000 / RATE).saturating_sub(begun.elapsed()));
                }
            });
        }
        let mut scorer = engine.scorer(ScorerLimits::default()).unwrap();
        let mut winners = [Winner::default(); 4];
        let (begun, mut number) = (Instant::now(), 1);
        while begun.elapsed() < TURN {
            let ads = (0..CANDIDATES).map(|_| {
                number = mix(number);
                1 + number % ADS
            });
            let asked = Asked::new(ads, NOW);
            let begin = Instant::now();
            black_box(scorer.decide(asked.input(), &mut winners, &mut []).unwrap());
            times.push(begin.elapsed().as_secs_f64() * 1e6);
        }
        stop.store(true, Ordering::Relaxed);
    });
    times.sort_by(f64::total_cmp);
    times
}

fn main() {
    let bundles = Bundles::new();
    bundles.write("a", &World { ads: ADS, ..World::default() });
    let engine = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    let mut calls: Vec<f64> = (0..100_000u64)
        .map(|n| {
            let begin = Instant::now();
            engine.switch(SwitchKind::Campaign, 1 + mix(n) % 50_000, (n % 2) as u32).unwrap();
            begin.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    calls.sort_by(f64::total_cmp);
    println!(
        "one switch, among up to 50,000: p50 {:.0} ns, p99 {:.0} ns, with the reading of the clock; bar 1000 ns",
        calls[calls.len() / 2],
        calls[calls.len() * 99 / 100]
    );
    let all_on = Engine::open(&bundles.path("a"), &Options::default()).unwrap();
    for key in 1..=OFF {
        engine.switch(SwitchKind::Ad, mix(key) | 1 << 63, 1).unwrap();
        engine.switch(SwitchKind::Advertiser, mix(key) | 1 << 63, 1).unwrap();
    }
    let ways = [
        ("all on", &all_on, false),
        ("keys of each kind off", &engine, false),
        ("and 10,000 switches/s", &engine, true),
    ];
    let mut medians = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        for (at, (_, engine, switching)) in ways.into_iter().enumerate() {
            let times = serve(engine, switching);
            medians[at].push(times[times.len() / 2]);
        }
    }
    let medians = medians.map(|mut of| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    });
    println!("decisions on {CANDIDATES} ads out of {ADS}, 4 slots; p50 in microseconds, the median of {TURNS} turns");
    for ((what, ..), median) in ways.into_iter().zip(medians) {
        println!("{what:<24} {median:9.1}  {:+6.2}%", (median / medians[0] - 1.0) * 100.0);
    }
    println!("bar: 10,000 switches/s cost at most 2% of p50");
}
