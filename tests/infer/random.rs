//! Five hundred random networks of any shape, at every level of sharing and on every kernel, against the f64 reference,
//! and with the sums of rows kept. `ADCLICK_CASES` sets another number: `make test-long` tries ten thousand.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use adclick::builder::artifact::model::spec::{Activation, Structure};
use adclick::builder::infer::reference::reference_logits;
use adclick::builder::infer::{Group, Keeping, Kept, Kernel, MOST_GROUPS, Plan, Scratch};
use testkit::networks::{self, Built, KINDS, Random, Shape, build};

/// Products that a case may cost, rows and weights together: a few cases are large, most are small.
const MOST_WEIGHTS: usize = 3_000_000;
const MOST_PRODUCTS: usize = 6_000_000;
/// Candidates of a request for which sums are worth keeping.
const MANY: usize = 1000;
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

/// Columns of the candidate that ascend, in ranges with gaps.
fn fixed_columns(shape: &Shape, random: &mut Random) -> Vec<Range<usize>> {
    let (mut fixed, mut at) = (Vec::new(), shape.request_width);
    while at < shape.width {
        let rest = shape.width - at;
        let start = at + if random.between(0, 1) == 0 { 0 } else { random.between(0, rest) };
        let end = random.between(start, shape.width);
        fixed.push(start..end);
        at = end + 1;
    }
    fixed
}

/// The same in groups whose sums are kept apart, in any order.
fn fixed_groups(shape: &Shape, random: &mut Random) -> Vec<Group> {
    let mut groups = vec![Group::new(); random.between(1, MOST_GROUPS.min(6))];
    for range in fixed_columns(shape, random) {
        let at = random.between(0, groups.len() - 1);
        groups[at].push(range);
    }
    groups
}

/// Runs a request as one of so many that kept sums count. `lines` has the places of sums for some rows and groups.
fn run_kept(
    (plan, keeping): (&Plan, &Keeping),
    built: &Built,
    scratch: &mut Scratch,
    rows: &[f32],
    (memory, first, lines): ([&[f32]; 2], usize, &[u32]),
) -> Vec<f32> {
    let (width, heads, shared) = (plan.width(), plan.heads(), plan.request_width());
    let (count, groups) = (rows.len() / width, keeping.groups());
    let mut logits = vec![0.0f32; count * heads];
    let each = plan.tile_for(count);
    let mut pass = plan.begin_keeping(Some(keeping), built.weights(), scratch, &rows[..shared], MANY).unwrap();
    assert!(pass.keeps());
    let tiles = rows.chunks(width * each).zip(logits.chunks_mut(each * heads)).zip(lines.chunks(each * groups));
    for ((rows, logits), lines) in tiles {
        let count = rows.len() / width;
        let mut tile = pass.tile(count).unwrap();
        for (i, row) in rows.chunks(width).enumerate() {
            tile.row(i)[shared..].copy_from_slice(&row[shared..]);
        }
        pass.run_kept(count, Kept { memory, first, lines }, None, logits).unwrap();
    }
    logits
}

/// Logits with sums kept of all rows, of some, of none: the same bits.
fn kept_logits(
    (plan, keeping): (&Plan, &Keeping),
    built: &Built,
    scratch: &mut Scratch,
    rows: &[f32],
    random: &mut Random,
) -> Vec<f32> {
    let (width, kept_width) = (plan.width(), keeping.width());
    let count = rows.len() / width;
    // The request's columns are not among those that count.
    let others: Vec<f32> = rows
        .iter()
        .enumerate()
        .map(|(i, &x)| if i % width < plan.request_width() { random.number() as f32 } else { x })
        .collect();
    let groups = keeping.groups();
    let mut sums = vec![f32::NAN; groups * count * kept_width];
    for (group, sums) in sums.chunks_mut(count * kept_width).enumerate() {
        plan.keep_group(keeping, group, built.weights(), scratch, &others, sums).unwrap();
    }
    // The sums of the first group may be in a memory of their own, as those of ads are.
    let first = random.between(0, 1);
    let memory = [&sums[..first * count * kept_width], &sums[first * count * kept_width..]];
    let line = |row: usize, group: usize| {
        let group = group.saturating_sub(first);
        ((group * count + row) * kept_width / 16) as u32
    };
    let all: Vec<u32> = (0..count * groups).map(|at| line(at / groups, at % groups)).collect();
    let logits = run_kept((plan, keeping), built, scratch, rows, (memory, first, &all));
    // One in a few is not kept, or one in a few is; or nothing of one group is.
    let often = random.between(2, 12);
    let without = random.between(0, groups - 1);
    let mut some = all.clone();
    some.iter_mut().filter(|_| random.between(0, often) == 0).for_each(|line| *line = Kept::NONE);
    let mut few = all.clone();
    few.iter_mut().filter(|_| random.between(0, often) > 0).for_each(|line| *line = Kept::NONE);
    let mut one = all.clone();
    one.iter_mut().skip(without).step_by(groups).for_each(|line| *line = Kept::NONE);
    for lines in [some, few, one, vec![Kept::NONE; count * groups]] {
        let same = run_kept((plan, keeping), built, scratch, rows, (memory, first, &lines));
        assert!(same.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()), "kept and computed sums differ");
    }
    logits
}

/// One case; gives the levels that it ran at, and with kept sums, and its worst error.
fn case(seed: u64) -> ([usize; 8], f64) {
    let mut random = Random(seed);
    let shape = any_shape(&mut random);
    let built = build(&shape, &mut random);
    let most = (MOST_PRODUCTS / weights_of(&shape)).clamp(1, 3000);
    let count = any_size(&mut random, 1, most);
    let heads = shape.heads.len();
    let rows = networks::request_rows(&shape, &mut random, count);
    let compared: Vec<usize> = (0..COMPARED).map(|_| random.between(0, count - 1)).collect();
    let mut expected = vec![0.0; heads];
    let groups = fixed_groups(&shape, &mut random);
    let (mut seen, mut worst) = ([0; 8], 0.0f64);
    for kernel in Kernel::available() {
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        let keeping = plan.keeping_groups(&groups).unwrap();
        let mut scratch = Scratch::new(keeping.as_ref().map_or(plan.scratch_len(), Keeping::scratch_len));
        let mut answers = Vec::new();
        for level in plan.levels() {
            let mut logits = vec![0.0f32; count * heads];
            networks::run(&plan, level, &built, &mut scratch, &rows, &mut logits);
            answers.push((level, 0, logits));
        }
        if let Some(keeping) = &keeping {
            let logits = kept_logits((&plan, keeping), &built, &mut scratch, &rows, &mut random);
            answers.push((keeping.level(), 4, logits));
        }
        for (level, kept, logits) in answers {
            for &row in &compared {
                let x = &rows[row * shape.width..][..shape.width];
                reference_logits(&built.network, built.weights(), x, &mut expected).unwrap();
                for (got, expected) in logits[row * heads..].iter().zip(&expected) {
                    let error = (f64::from(*got) - expected).abs() / expected.abs().max(1.0);
                    // A logit may be a difference of large sums: its error is theirs.
                    assert!(
                        error <= 1e-5,
                        "seed {seed}, {kernel:?} {level:?} ({kept}): {got}, expected {expected}, {shape:?}"
                    );
                    worst = worst.max(error);
                }
            }
            seen[level as usize + kept] += 1;
        }
    }
    (seen, worst)
}

#[test]
fn random_networks_match_the_f64_reference() {
    let cases: usize = std::env::var("ADCLICK_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let (mut seen, mut worst) = ([0; 8], 0.0f64);
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
    // The sums of a network without first layers over fixed columns cannot be kept; at level 0 they never are.
    for (level, least) in [(0, 10), (1, 10), (2, 10), (3, 10), (5, 10), (6, 50), (7, 50)] {
        let seen: usize = results.iter().map(|r| r.0[level]).sum();
        println!("level {} {}: {seen}", level % 4, if level < 4 { "" } else { "with kept sums" });
        assert!(seen >= cases / least, "level {level} ran {seen} times");
    }
    assert!(worst > 1e-9, "f32 sums leave something: {worst}");
}
