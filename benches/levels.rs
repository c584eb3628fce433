//! Where the levels of sharing cross over: nanoseconds per candidate of a request at each level, and which of them the
//! plan picks. `cargo bench --bench levels`

use std::time::Instant;

use adclick::builder::infer::{Kernel, Level, Plan, Scratch};
use testkit::networks::{self, Random, build};

const COUNTS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
/// Candidates in all, for each level, model and size of request.
const CANDIDATES: usize = 20_000;

fn main() {
    println!("ns per candidate, median; * marks what the plan picks\n");
    for (name, shape) in networks::models() {
        let mut random = Random(1);
        let built = build(&shape, &mut random);
        let plan = Plan::new(&built.network, built.weights(), Kernel::detect()).unwrap();
        let mut scratch = Scratch::new(plan.scratch_len());
        let levels: Vec<Level> = plan.levels().collect();
        println!(
            "{name:<6}{:>6}{}",
            "N",
            levels.iter().map(|l| format!("{:>14}", format!("{l:?}"))).collect::<String>()
        );
        for count in COUNTS {
            let rows = networks::request_rows(&shape, &mut random, count);
            let mut logits = vec![0.0; count];
            let mut times = vec![Vec::new(); levels.len()];
            for _ in 0..(CANDIDATES / count).clamp(30, 2000) {
                for (level, times) in levels.iter().zip(&mut times) {
                    let start = Instant::now();
                    networks::run(&plan, *level, &built, &mut scratch, &rows, &mut logits);
                    times.push(start.elapsed().as_secs_f64());
                }
            }
            print!("{:<6}{count:>6}", "");
            for (level, times) in levels.iter().zip(&mut times) {
                times.sort_by(f64::total_cmp);
                let median = times[times.len() / 2] / count as f64 * 1e9;
                let mark = if plan.level_for(count) == *level { '*' } else { ' ' };
                print!("{median:>13.0}{mark}");
            }
            println!();
        }
    }
}
