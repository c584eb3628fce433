//! What it gains that layers behind a ReLU leave out inputs that are 0: networks whose deep biases are moved up or down, so that
//! more or fewer inputs are in use, with and without, by turns. `cargo bench --bench zeros`

use std::time::Instant;

use adclick::builder::artifact::model::network::{Dense, LANES};
use adclick::builder::infer::{Arithmetic, Kernel, Plan, Scratch};
use half::f16;
use testkit::networks::{self, Built, Random, build};

const CANDIDATES: usize = 1000;
/// Requests, each with other candidates: a CPU learns the pattern of a few rows.
const REQUESTS: usize = 10;
const ROUNDS: usize = 40;
const SHIFTS: [f32; 8] = [-0.6, -0.3, -0.2, -0.1, 0.0, 0.2, 0.3, 0.5];

/// A layer with a ReLU, by plain loops.
fn layer(built: &Built, dense: &Dense, x: &[f32]) -> Vec<f32> {
    let (weights, matrix) = (built.weights(), &dense.weight);
    let weight = |o: usize, k: usize| {
        f16::from_bits(weights.panels[matrix.start + (o / LANES * matrix.inputs + k) * LANES + o % LANES]).to_f32()
    };
    let sum = |o: usize| (0..matrix.inputs).map(|k| weight(o, k) * x[k]).sum::<f32>();
    (0..matrix.outputs).map(|o| (sum(o) + weights.params[dense.bias.start + o]).max(0.0)).collect()
}

/// Per cent of the words of `each` inputs that are not all 0, for each layer behind a ReLU.
fn in_use(built: &Built, rows: &[f32], each: usize) -> Vec<usize> {
    let layers = &built.network.deep;
    let mut counts = vec![[0, 0]; layers.len() - 1];
    for row in rows.chunks(built.network.width).step_by(CANDIDATES / 50) {
        let mut x = row.to_vec();
        for (dense, [used, all]) in layers.iter().zip(&mut counts) {
            x = layer(built, dense, &x);
            *used += x.chunks(each).filter(|word| word.iter().any(|&x| x != 0.0)).count();
            *all += x.len().div_ceil(each);
        }
    }
    counts.into_iter().map(|[used, all]| used * 100 / all).collect()
}

fn main() {
    println!("| | per cent of inputs or words in use | ns per candidate | all multiplied | share |");
    println!("| --- | --- | --- | --- | --- |");
    let kinds = [(Arithmetic::Exact, 1), (Arithmetic::Bf16, 2), (Arithmetic::Int8, 4)];
    for ((numbers, each), (name, shape)) in kinds.iter().flat_map(|&kind| networks::models().map(|m| (kind, m))) {
        for shift in SHIFTS {
            let mut random = Random(1);
            let mut built = build(&shape, &mut random);
            built.move_deep_biases(shift);
            let requests: Vec<_> =
                (0..REQUESTS).map(|_| networks::request_rows(&shape, &mut random, CANDIDATES)).collect();
            let plan = || Plan::with(&built.network, built.weights(), Kernel::detect(), numbers, &[4.0; 3]);
            let (Ok(skipping), Ok(not)) = (plan(), plan()) else {
                println!("| {name} {numbers:?} | absent: this CPU lacks the instructions | | | |");
                break;
            };
            let plans = [skipping, not.without_skipping()];
            let mut scratch = Scratch::new(plans[0].scratch_len());
            let mut logits = vec![0.0; CANDIDATES];
            let mut times = [Vec::new(), Vec::new()];
            for round in 0..ROUNDS {
                // The first of the two finds the rows in farther caches.
                for which in if (round + round / REQUESTS).is_multiple_of(2) { [0, 1] } else { [1, 0] } {
                    let (plan, times) = (&plans[which], &mut times[which]);
                    let level = plan.level_for(CANDIDATES);
                    let start = Instant::now();
                    networks::run(plan, level, &built, &mut scratch, &requests[round % REQUESTS], &mut logits);
                    times.push(start.elapsed().as_secs_f64() * 1e9 / CANDIDATES as f64);
                }
            }
            let [with, without] = times.map(|mut times| {
                times.sort_by(f64::total_cmp);
                times[ROUNDS / 2]
            });
            let used: Vec<_> = in_use(&built, &requests[0], each).iter().map(usize::to_string).collect();
            let share = with / without;
            println!("| {name} {numbers:?} | {} | {with:.0} | {without:.0} | {share:.2} |", used.join(", "));
        }
    }
}
