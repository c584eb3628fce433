//! Ten thousand random networks of any shape, at every level of sharing and on every kernel, against the f64 reference.
//! `ADCLICK_CASES` sets another number of cases.

mod networks;

use std::sync::atomic::{AtomicUsize, Ordering};

use adclick::artifact::model::spec::{Activation, Structure};
use adclick::infer::reference::reference_logits;
use adclick::infer::{Kernel, Plan, Scratch};
use networks::{KINDS, Random, Shape, build};

/// Products that a case may cost, rows and weights together: a few cases are large, most are small.
const MOST_WEIGHTS: usize = 3_000_000;
const MOST_PRODUCTS: usize = 6_000_000;
/// Rows of each case that are compared; all are run.
const COMPARED: usize = 3;

/// From `least` to `most`, small ones as often as large ones on a logarithmic scale.
fn any_size(random: &mut Random, least: usize, most: usize) -> usize {
    let (low, high) = ((least.max(1) as f64).ln(), ((most + 1) as f64).ln());
    let size = (low + (random.number() + 1.0) / 2.0 * (high - low)).exp() as usize;
    if least == 0 && random.between(0, 5) == 0 { 0 } else { size.clamp(least, most) }
}

fn weights_of(shape: &Shape) -> usize {
    let d = shape.width;
    let cross = shape.cross.iter().map(|kind| match kind {
        networks::Kind::Full => d * d,
        networks::Kind::LowRank => 2 * d * shape.rank,
        networks::Kind::Vector => 2 * d,
        networks::Kind::Mixture => shape.experts * shape.rank * (2 * d + shape.rank),
    });
    let deep = shape.deep.iter().scan(d, |inputs, &outputs| Some(std::mem::replace(inputs, outputs) * outputs));
    cross.sum::<usize>() + deep.sum::<usize>() + d
}

fn any_shape(random: &mut Random) -> Shape {
    loop {
        let width = any_size(random, 1, 2000);
        let request_width = match random.between(0, 9) {
            0 => 0,
            1 => width,
            _ => random.between(0, width),
        };
        // Few mixtures: the algebra is for the other kinds.
        let usual = random.between(0, 2);
        let cross = (0..random.between(0, 6)).map(|_| match (usual, random.between(0, 9)) {
            (0, 1..) => networks::Kind::Full,
            (1, 1..) => networks::Kind::LowRank,
            _ => KINDS[random.between(0, 3)],
        });
        let cross: Vec<_> = cross.collect();
        let tower = |random: &mut Random| match random.between(0, 3) {
            0 => vec![any_size(random, 1, 100)],
            _ => Vec::new(),
        };
        let shape = Shape {
            width,
            request_width,
            structure: if random.between(0, 2) == 0 { Structure::Stacked } else { Structure::Parallel },
            cross,
            rank: any_size(random, 1, 100),
            experts: random.between(1, 4),
            deep: (0..random.between(0, 5)).map(|_| any_size(random, 1, 500)).collect(),
            activation: [Activation::Relu, Activation::Relu, Activation::Tanh, Activation::None][random.between(0, 3)],
            heads: (0..random.between(1, 2)).map(|_| tower(random)).collect(),
        };
        if weights_of(&shape) <= MOST_WEIGHTS {
            return shape;
        }
    }
}

/// One case; gives the levels that it ran at, and its worst error.
fn case(seed: u64) -> ([usize; 4], f64) {
    let mut random = Random(seed);
    let shape = any_shape(&mut random);
    let built = build(&shape, &mut random);
    let most = (MOST_PRODUCTS / weights_of(&shape)).clamp(1, 3000);
    let count = any_size(&mut random, 1, most);
    let heads = shape.heads.len();
    let rows = networks::request_rows(&shape, &mut random, count);
    let compared: Vec<usize> = (0..COMPARED).map(|_| random.between(0, count - 1)).collect();
    let mut expected = vec![0.0; heads];
    let (mut seen, mut worst) = ([0; 4], 0.0f64);
    for kernel in Kernel::available() {
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        let mut scratch = Scratch::new(plan.scratch_len());
        for level in plan.levels() {
            let mut logits = vec![0.0f32; count * heads];
            networks::run(&plan, level, &built, &mut scratch, &rows, &mut logits);
            for &row in &compared {
                let x = &rows[row * shape.width..][..shape.width];
                reference_logits(&built.network, built.weights(), x, &mut expected).unwrap();
                for (got, expected) in logits[row * heads..].iter().zip(&expected) {
                    let error = (f64::from(*got) - expected).abs() / expected.abs().max(1.0);
                    // Of a logit that is a difference of large sums, the error is that of the sums.
                    assert!(error <= 1e-5, "seed {seed}, {kernel:?} {level:?}: {got}, expected {expected}, {shape:?}");
                    worst = worst.max(error);
                }
            }
            seen[level as usize] += 1;
        }
    }
    (seen, worst)
}

#[test]
fn random_networks_match_the_f64_reference() {
    let cases: usize = std::env::var("ADCLICK_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let (mut seen, mut worst) = ([0; 4], 0.0f64);
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= cases {
                    return (seen, worst);
                }
                let (levels, error) = case(0x5eed_0000 + i as u64);
                seen.iter_mut().zip(levels).for_each(|(all, own)| *all += own);
                worst = worst.max(error);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let worst = results.iter().map(|r| r.1).fold(0.0, f64::max);
    println!("{cases} cases, worst error {worst:e}");
    for level in 0..4 {
        let seen: usize = results.iter().map(|r| r.0[level]).sum();
        assert!(seen >= cases / 10, "level {level} ran {seen} times");
    }
    assert!(worst > 1e-9, "f32 sums leave something: {worst}");
}
