//! Nanoseconds per candidate for every kernel, and their ratios. Requests alternate between the kernels and are timed
//! one by one; beside the median stands the tenth percentile, which other load on the machine disturbs less.
//! `cargo bench --bench kernels`

use std::time::Instant;

use adclick::builder::infer::{Kernel, Plan, Scratch};
use testkit::networks::{self, Random, build};

/// Candidates in all, for each kernel, model and size of request.
const CANDIDATES: usize = 40_000;

/// One request at the level that the plan picks; gives the seconds it took.
fn request(plan: &Plan, built: &networks::Built, scratch: &mut Scratch, rows: &[f32], logits: &mut [f32]) -> f64 {
    let start = Instant::now();
    networks::run(plan, plan.level_for(logits.len()), built, scratch, rows, logits);
    start.elapsed().as_secs_f64()
}

fn percentile(times: &mut [f64], percent: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() * percent / 100]
}

fn main() {
    println!(
        "{:<6}{:>6}  ns per candidate, tenth percentile / median (ratio of the former to the first)",
        "model", "N"
    );
    for (name, shape) in networks::models() {
        let mut random = Random(1);
        let built = build(&shape, &mut random);
        let plans: Vec<_> =
            Kernel::available().map(|kernel| Plan::new(&built.network, built.weights(), kernel).unwrap()).collect();
        let mut scratches: Vec<_> = plans.iter().map(|plan| Scratch::new(plan.scratch_len())).collect();
        for count in [1, 100, 1000] {
            let rows = networks::request_rows(&shape, &mut random, count);
            let mut logits = vec![0.0; count];
            let mut times = vec![Vec::new(); plans.len()];
            for _ in 0..(CANDIDATES / count).clamp(40, 4000) {
                for (i, plan) in plans.iter().enumerate() {
                    // Brings the weights into the caches, where another kernel's copy has pushed them out.
                    request(plan, &built, &mut scratches[i], &rows[..plan.width()], &mut logits[..1]);
                    let seconds = request(plan, &built, &mut scratches[i], &rows, &mut logits);
                    times[i].push(seconds / count as f64 * 1e9);
                }
            }
            print!("{name:<6}{count:>6}");
            let mut first = None;
            for (plan, times) in plans.iter().zip(&mut times) {
                let [low, median] = [10, 50].map(|percent| percentile(times, percent));
                let ratio = low / *first.get_or_insert(low);
                print!("  {} {low:.0} / {median:.0} ({ratio:.2})", plan.kernel().name());
            }
            println!();
        }
    }
}
