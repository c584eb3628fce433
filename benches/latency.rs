//! From one candidate to ten thousand, with warm and with cold caches: microseconds of a request in each arithmetic, median
//! and 99th percentile. Before a cold request, more memory than the caches hold is read and written. `cargo bench --bench latency`

use std::hint::black_box;
use std::time::Instant;

use adclick::builder::infer::{Arithmetic, Kernel, Plan, Scratch};
use testkit::networks::{self, Random, build};

const COUNTS: [usize; 6] = [1, 10, 100, 300, 1000, 10_000];
/// Bytes that a cold request finds in the caches instead of its weights.
const SWEPT: usize = 96 << 20;
/// Calls before a warm one.
const WARMING: usize = 3;
/// Candidates in all, for each model, arithmetic and size of request.
const CANDIDATES: usize = 60_000;

fn main() {
    let mut swept = vec![1u64; SWEPT / 8];
    println!("microseconds of a request: median / 99th percentile, and cold to warm by the median");
    for (name, shape) in networks::models() {
        let mut random = Random(1);
        let built = build(&shape, &mut random);
        let ranges = vec![4.0; shape.deep.len()];
        for arithmetic in [Arithmetic::Exact, Arithmetic::Bf16, Arithmetic::Int8] {
            let plan = match Plan::with(&built.network, built.weights(), Kernel::detect(), arithmetic, &ranges) {
                Ok(plan) => plan,
                Err(error) => {
                    println!("{name}: {}", error.message);
                    continue;
                }
            };
            let mut scratch = Scratch::new(plan.scratch_len());
            println!("{name}, {arithmetic:?}{:>18}{:>24}", "warm", "cold");
            for count in COUNTS {
                let rows = networks::request_rows(&shape, &mut random, count);
                let mut logits = vec![0.0; count];
                let mut times = [Vec::new(), Vec::new()];
                let rounds = (CANDIDATES / count).clamp(10, 200);
                for round in 0..2 * rounds {
                    let cold = round % 2;
                    if cold == 1 {
                        swept.iter_mut().step_by(8).for_each(|line| *line = line.wrapping_add(1));
                        black_box(&swept);
                    }
                    // A single call does not bring all weights back that are more than a cache holds.
                    for _ in 0..WARMING * (1 - cold) {
                        networks::run(&plan, plan.level_for(count), &built, &mut scratch, &rows, &mut logits);
                    }
                    let start = Instant::now();
                    networks::run(&plan, plan.level_for(count), &built, &mut scratch, &rows, &mut logits);
                    times[cold].push(start.elapsed().as_secs_f64() * 1e6);
                }
                let told = times.map(|mut times| {
                    times.sort_by(f64::total_cmp);
                    [times[times.len() / 2], times[times.len() * 99 / 100]]
                });
                let [[warm, warm_most], [cold, cold_most]] = told;
                println!(
                    "{count:>8}{:>24}{:>24}  {:.2}",
                    format!("{warm:.1} / {warm_most:.1}"),
                    format!("{cold:.1} / {cold_most:.1}"),
                    cold / warm
                );
            }
        }
    }
}
