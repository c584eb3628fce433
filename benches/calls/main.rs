//! What one call costs from Rust: as calls.c. `cargo bench -p adclick --bench calls -- BUNDLE`

use std::path::Path;
use std::time::Instant;

use adclick::{BidKind, Candidate, Engine, Input, Options, Request, Scorer, ScorerLimits, Value, Winner, category_id};

const TURNS: usize = 41;

fn median_call(scorer: &mut Scorer, input: Input<'_>, calls: usize) -> f64 {
    let mut winners = [Winner::default(); 2];
    let mut turns: Vec<f64> = (0..TURNS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                scorer.decide(input, &mut winners, &mut []).expect("the request is well formed");
            }
            start.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    turns.sort_by(f64::total_cmp);
    turns[TURNS / 2]
}

fn main() {
    let Some(bundle) = std::env::args().nth(1).filter(|argument| !argument.starts_with("--")) else {
        println!("calls: give it a bundle of examples/tables (make bench-calls does)");
        return;
    };
    let engine = Engine::open(Path::new(&bundle), &Options::default()).unwrap_or_else(|e| panic!("{bundle}: {e}"));
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: 1000 }).unwrap();
    let feature = |name: &str| engine.feature(name).unwrap();
    let values = [
        Value { feature: feature("device_type"), number: 0.0, id: category_id(b"mobile") },
        Value { feature: feature("session_depth"), number: 4.0, id: 0 },
    ];
    let candidates: Vec<Candidate> = (0..200u32)
        .map(|i| Candidate {
            ad_key: category_id(format!("a{}", i % 20).as_bytes()) + u64::from(i / 20),
            advertiser_key: category_id(["acme", "globex", "initech"][i as usize % 3].as_bytes()),
            bid_kind: BidKind::Cpc as u32,
            bid_micros: 400_000 + 1000 * i64::from(i) % 50_000,
            reserve_micros: 50_000,
            ..Candidate::default()
        })
        .collect();
    let empty = Request { struct_size: size_of::<Request>() as u32, ..Request::default() };
    let full = Request {
        request_id: 42,
        user_key: category_id(b"u1001"),
        time_us: 1_790_000_000_000_000,
        utc_offset_s: 3600,
        n_values: 2,
        n_candidates: 200,
        n_slots: 2,
        ..empty
    };
    let none =
        Input { request: &empty, values: &[], candidates: &[], candidate_values: &[], columns: Default::default() };
    let many = Input {
        request: &full,
        values: &values,
        candidates: &candidates,
        candidate_values: &[],
        columns: Default::default(),
    };
    let none = median_call(&mut scorer, none, 20_000);
    println!("{none:.1} {:.1}", median_call(&mut scorer, many, 200));
}
