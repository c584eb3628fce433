//! Every kernel that this CPU runs against the f64 reference, on networks of every kind and odd sizes.

use adclick::builder::artifact::model::network::{Cross, Network};
use adclick::builder::artifact::model::spec::{Activation, Structure};
use adclick::builder::infer::reference::reference_logits;
use adclick::builder::infer::{Arithmetic, Kept, Kernel, Level, Plan, Scratch};
use testkit::networks::{self, Built, KINDS, Kind, Random, Shape, build};

/// Logits of `rows` (of `width` columns each) with the request's columns shared, in tiles of `tile` rows.
fn run_shared(
    plan: &Plan,
    built: &Built,
    scratch: &mut Scratch,
    rows: &[Vec<f32>],
    tile: usize,
    level: Level,
) -> Vec<f32> {
    let shared = built.network.request_width;
    let mut pass = plan.begin_at(level, built.weights(), scratch, &rows[0][..shared]).unwrap();
    let mut logits = vec![0.0; rows.len() * plan.heads()];
    for (rows, logits) in rows.chunks(tile).zip(logits.chunks_mut(tile * plan.heads())) {
        let mut tile = pass.tile(rows.len()).unwrap();
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(&tile.row(i)[..shared], &row[..shared]);
            tile.row(i)[shared..].copy_from_slice(&row[shared..]);
        }
        pass.run(rows.len(), None, logits).unwrap();
    }
    logits
}

/// The same with nothing shared.
fn run_dense(plan: &Plan, built: &Built, scratch: &mut Scratch, rows: &[Vec<f32>], tile: usize) -> Vec<f32> {
    let mut pass = plan.begin_dense(built.weights(), scratch).unwrap();
    let mut logits = vec![0.0; rows.len() * plan.heads()];
    for (rows, logits) in rows.chunks(tile).zip(logits.chunks_mut(tile * plan.heads())) {
        let mut tile = pass.tile(rows.len()).unwrap();
        for (i, row) in rows.iter().enumerate() {
            tile.row(i).copy_from_slice(row);
        }
        pass.run(rows.len(), None, logits).unwrap();
    }
    logits
}

/// Rows with the request's columns in common.
fn rows(random: &mut Random, shape: &Shape, count: usize) -> Vec<Vec<f32>> {
    let request = random.row(shape.request_width);
    let rest = shape.width - shape.request_width;
    (0..count).map(|_| [request.clone(), random.row(rest)].concat()).collect()
}

fn random_shape(random: &mut Random, kind: Option<Kind>) -> Shape {
    let width = if random.between(0, 3) == 0 { random.between(1, 20) } else { random.between(1, 200) };
    let layers = random.between(1, 4);
    let experts = if random.between(0, 4) == 0 { 20 } else { 5 };
    let sizes = |random: &mut Random, most: usize| -> Vec<usize> {
        (0..random.between(0, most)).map(|_| random.between(1, 100)).collect()
    };
    Shape {
        width,
        request_width: random.between(0, width),
        structure: if random.between(0, 1) == 0 { Structure::Parallel } else { Structure::Stacked },
        cross: kind.map_or(Vec::new(), |kind| vec![kind; layers]),
        rank: random.between(1, 40),
        experts: random.between(1, experts),
        deep: sizes(random, 3),
        activation: [Activation::Relu, Activation::Tanh, Activation::None][random.between(0, 2)],
        heads: (0..random.between(1, 2)).map(|_| sizes(random, 2)).collect(),
    }
}

/// Some of every kind, and of none.
fn some_shapes(seed: u64, each: usize) -> impl Iterator<Item = (Shape, Random)> {
    let kinds = KINDS.into_iter().map(Some).chain([None]);
    kinds.flat_map(move |kind| {
        (0..each).map(move |i| {
            let mut random = Random(seed + i as u64 * 8 + kind.map_or(7, |kind| kind as u64));
            let mut shape = random_shape(&mut random, kind);
            if i % 5 == 4 && kind.is_some() {
                // Kinds may be mixed.
                shape.cross.push(KINDS[random.between(0, 3)]);
            }
            (shape, random)
        })
    })
}

#[test]
fn logits_match_the_f64_reference() {
    let (mut worst, mut seen) = (0.0f64, [0; 4]);
    for (shape, mut random) in some_shapes(1000, 60) {
        let built = build(&shape, &mut random);
        let count = random.between(1, 31);
        let rows = rows(&mut random, &shape, count);
        let mut expected = vec![0.0; count * shape.heads.len()];
        for (row, expected) in rows.iter().zip(expected.chunks_mut(shape.heads.len())) {
            reference_logits(&built.network, built.weights(), row, expected).unwrap();
        }
        for kernel in Kernel::available() {
            let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
            let mut scratch = Scratch::new(plan.scratch_len());
            for level in plan.levels().map(Some).chain([None]) {
                let tile = plan.tile_for(count);
                let logits = match level {
                    Some(level) => run_shared(&plan, &built, &mut scratch, &rows, tile, level),
                    None => run_dense(&plan, &built, &mut scratch, &rows, tile),
                };
                for (i, (&got, &expected)) in logits.iter().zip(&expected).enumerate() {
                    let error = (f64::from(got) - expected).abs() / expected.abs().max(1.0);
                    assert!(error <= 1e-5, "{kernel:?} {level:?} row {i}: {got}, expected {expected} of {shape:?}");
                    worst = worst.max(error);
                }
                seen[level.unwrap_or(Level::Rows) as usize] += 1;
            }
        }
    }
    // f32 sums leave something: a comparison of a thing with itself would not.
    assert!(worst > 1e-9, "{worst}");
    assert!(seen.iter().all(|&times| times > 20), "{seen:?}");
}

#[test]
fn a_row_has_the_same_bits_wherever_it_stands() {
    for (shape, mut random) in some_shapes(77, 6) {
        let built = build(&shape, &mut random);
        let rows = rows(&mut random, &shape, 14);
        for kernel in Kernel::available() {
            let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
            let mut scratch = Scratch::new(plan.scratch_len());
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            for level in plan.levels() {
                let alone = bits(run_shared(&plan, &built, &mut scratch, &rows, 1, level));
                for tile in 2..=plan.tile_rows() {
                    let together = bits(run_shared(&plan, &built, &mut scratch, &rows, tile, level));
                    assert_eq!(alone, together, "{kernel:?}, {level:?}, tiles of {tile}, {shape:?}");
                }
            }
        }
    }
}

/// After a ReLU; `kernel/tests.rs` shows that zeros are skipped.
#[test]
fn zeros_that_are_left_out_do_not_show() {
    for (name, shape) in networks::models() {
        let mut random = Random(11);
        let built = build(&shape, &mut random);
        let rows = networks::request_rows(&shape, &mut random, 60);
        let numbers = [Arithmetic::Exact, Arithmetic::Bf16, Arithmetic::Int8];
        for (kernel, numbers) in Kernel::available().flat_map(|kernel| numbers.map(|numbers| (kernel, numbers))) {
            let plan = || Plan::with(&built.network, built.weights(), kernel, numbers, &[4.0; 3]);
            let (Ok(skipping), Ok(not)) = (plan(), plan()) else {
                assert!(numbers != Arithmetic::Exact, "every kernel has {numbers:?}");
                continue;
            };
            let [skipping, not] = [skipping, not.without_skipping()].map(|plan| {
                let mut logits = vec![0.0; 60];
                let mut scratch = Scratch::new(plan.scratch_len());
                networks::run(&plan, Level::First, &built, &mut scratch, &rows, &mut logits);
                logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert_eq!(skipping, not, "{name}, {kernel:?}, {numbers:?}");
        }
    }
}

#[test]
fn a_bad_row_does_not_disturb_its_neighbours() {
    for (shape, mut random) in some_shapes(5, 4) {
        let built = build(&shape, &mut random);
        let good = rows(&mut random, &shape, 9);
        for kernel in Kernel::available() {
            let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
            let mut scratch = Scratch::new(plan.scratch_len());
            let before = run_dense(&plan, &built, &mut scratch, &good, 9);
            for bad_value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
                let mut bad = good.clone();
                bad[4].fill(bad_value);
                let after = run_dense(&plan, &built, &mut scratch, &bad, 9);
                for row in (0..9).filter(|&row| row != 4) {
                    let at = row * plan.heads()..(row + 1) * plan.heads();
                    assert_eq!(before[at.clone()], after[at], "{kernel:?} {bad_value} {shape:?}");
                }
                let own = &after[4 * plan.heads()..5 * plan.heads()];
                assert!(!bad_value.is_nan() || own.iter().all(|logit| logit.is_nan()), "{kernel:?} {own:?} {shape:?}");
            }
            // Nothing of it is left behind.
            assert_eq!(before, run_dense(&plan, &built, &mut scratch, &good, 9));
        }
    }
}

/// What rows with kept sums bring is added to their own rows alone.
#[test]
fn wrong_sums_are_refused_and_bad_ones_stay_in_their_row() {
    let (shape, mut random) = some_shapes(2, 1).next().unwrap();
    let shape = Shape { width: 60, request_width: 10, deep: vec![30, 7], ..shape };
    let built = build(&shape, &mut random);
    let good = rows(&mut random, &shape, 9);
    for kernel in Kernel::available() {
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        let bad_ranges: [&[std::ops::Range<usize>]; 3] = [&[20..30, 25..40], &[20..30, 30..61], &[50..60, 10..20]];
        for fixed in bad_ranges {
            assert!(plan.keeping(fixed).unwrap_err().message.contains("ascend below 60"));
        }
        assert!(plan.keeping(&[]).unwrap().is_none(), "nothing to keep");
        let fixed = 10..60;
        let keeping = plan.keeping(std::slice::from_ref(&fixed)).unwrap().unwrap();
        let mut scratch = Scratch::new(keeping.scratch_len());
        let (flat, mut sums) = (good.concat(), vec![0.0; 9 * keeping.width()]);
        plan.keep(&keeping, built.weights(), &mut scratch, &flat, &mut sums).unwrap();
        assert!(plan.keep(&keeping, built.weights(), &mut scratch, &flat[1..], &mut sums).is_err());
        assert!(plan.keep(&keeping, built.weights(), &mut scratch, &flat, &mut sums[1..]).is_err());
        let mut small = Scratch::new(keeping.scratch_len() - 16);
        assert!(plan.keep(&keeping, built.weights(), &mut small, &flat, &mut sums).is_err());

        let heads = plan.heads();
        let mut run = |memory: &[f32], lines: &[u32]| {
            let mut pass =
                plan.begin_keeping(Some(&keeping), built.weights(), &mut scratch, &good[0][..10], 1000).unwrap();
            assert!(pass.keeps());
            let mut tile = pass.tile(9).unwrap();
            good.iter().enumerate().for_each(|(i, row)| tile.row(i)[10..].copy_from_slice(&row[10..]));
            let mut logits = vec![0.0; 9 * heads];
            let kept = Kept { memory: [memory, &[]], first: 1, lines };
            pass.run_kept(9, kept, None, &mut logits).map(|()| logits)
        };
        let lines: Vec<u32> = (0..9).map(|row| row * keeping.width() as u32 / 16).collect();
        let right = run(&sums, &lines).unwrap();
        assert!(run(&sums, &lines[1..]).unwrap_err().message.contains("places of kept sums"));
        sums[4 * keeping.width()..5 * keeping.width()].fill(f32::NAN);
        let other = run(&sums, &lines).unwrap();
        for row in (0..9).filter(|&row| row != 4) {
            assert_eq!(right[row * heads..][..heads], other[row * heads..][..heads], "{kernel:?}");
        }
        assert!(other[4 * heads..][..heads].iter().all(|logit| logit.is_nan()));
        // None of the NaN is left behind.
        assert_eq!(run(&[], &[]).unwrap(), right);
    }
}

/// As docs/performance.md has it: of the measured networks, S gains from sums that are near, M and L from any.
#[test]
fn few_columns_are_not_worth_sums_from_memory() {
    for (name, shape) in networks::models() {
        let built = build(&shape, &mut Random(1));
        let plan = Plan::new(&built.network, built.weights(), Kernel::detect()).unwrap();
        let fixed = shape.request_width..shape.width;
        let keeping = plan.keeping(std::slice::from_ref(&fixed)).unwrap().unwrap();
        assert_eq!(keeping.is_worth_from_memory(), name != "S", "{name}");
    }
}

/// An infinite input is multiplied by the zeros of the padding: that must not make a NaN of an infinite logit.
#[test]
fn an_infinite_input_gives_an_infinite_logit() {
    let mut random = Random(3);
    for (structure, cross) in [(Structure::Parallel, vec![Kind::Full]), (Structure::Stacked, Vec::new())] {
        for tower in [Vec::new(), vec![1]] {
            let shape = Shape {
                width: 1,
                request_width: 0,
                structure,
                cross: cross.clone(),
                rank: 1,
                experts: 1,
                deep: vec![1],
                activation: Activation::None,
                heads: vec![tower],
            };
            let built = build(&shape, &mut random);
            let mut expected = [0.0];
            reference_logits(&built.network, built.weights(), &[1e30], &mut expected).unwrap();
            for kernel in Kernel::available() {
                let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
                let mut scratch = Scratch::new(plan.scratch_len());
                let got = run_dense(&plan, &built, &mut scratch, &[vec![f32::INFINITY]], 1)[0];
                // With the cross part, the parts may be infinities of both signs.
                assert!(!cross.is_empty() || f64::from(got) == expected[0].signum() * f64::INFINITY, "{got}");
                let large = run_dense(&plan, &built, &mut scratch, &[vec![1e15]], 1)[0];
                assert!(large.is_finite(), "{kernel:?} {large}");
            }
        }
    }
}

#[test]
fn the_wide_part_is_added() {
    let (shape, mut random) = some_shapes(9, 1).next().unwrap();
    let shape = Shape { heads: vec![vec![], vec![5]], ..shape };
    let built = build(&shape, &mut random);
    let rows = rows(&mut random, &shape, 3);
    for kernel in Kernel::available() {
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        let mut scratch = Scratch::new(plan.scratch_len());
        let plain = run_dense(&plan, &built, &mut scratch, &rows, 3);
        let wide = [0.5, -1.0, 2.0, 0.25, -4.0, 8.0];
        let mut logits = [0.0; 6];
        let mut pass = plan.begin_dense(built.weights(), &mut scratch).unwrap();
        let mut tile = pass.tile(3).unwrap();
        for (i, row) in rows.iter().enumerate() {
            tile.row(i).copy_from_slice(row);
        }
        pass.run(3, Some(&wide), &mut logits).unwrap();
        for i in 0..6 {
            assert_eq!(logits[i], plain[i] + wide[i]);
        }
    }
}

#[test]
fn one_scratch_serves_several_plans() {
    let mut plans = Vec::new();
    for (shape, mut random) in some_shapes(21, 3) {
        let built = build(&shape, &mut random);
        let plan = Plan::new(&built.network, built.weights(), Kernel::detect()).unwrap();
        let rows = rows(&mut random, &shape, 4);
        plans.push((built, plan, rows));
    }
    let most = plans.iter().map(|(_, plan, _)| plan.scratch_len()).max().unwrap();
    let mut shared = Scratch::new(most);
    for (built, plan, rows) in plans.iter().chain(plans.iter().rev()) {
        let mut own = Scratch::new(plan.scratch_len());
        let expected = run_shared(plan, built, &mut own, rows, 4, plan.level_for(1000));
        assert_eq!(expected, run_shared(plan, built, &mut shared, rows, 4, plan.level_for(1000)));
        // What a bad request leaves behind is not read by the next.
        let bad = vec![vec![f32::NAN; plan.width()]; 4];
        let _ = run_dense(plan, built, &mut shared, &bad, 4);
    }
}

#[test]
fn wrong_lengths_are_refused() {
    let (shape, mut random) = some_shapes(2, 1).next().unwrap();
    let shape = Shape { width: 40, request_width: 10, ..shape };
    let built = build(&shape, &mut random);
    let plan = Plan::new(&built.network, built.weights(), Kernel::detect()).unwrap();
    let mut scratch = Scratch::new(plan.scratch_len());
    let message = |result: adclick::Result<()>| result.unwrap_err().message;
    let mut small = Scratch::new(plan.scratch_len() - 16);
    let found = message(plan.begin_dense(built.weights(), &mut small).map(drop));
    assert!(found.contains("make a larger one"), "{found}");
    let found = message(plan.begin(built.weights(), &mut scratch, &[0.0; 9], 3).map(drop));
    assert!(found.contains("9 columns, expected 10"), "{found}");
    let fewer = adclick::builder::infer::Weights { panels: &built.weights().panels[16..], ..built.weights() };
    assert!(plan.begin_dense(fewer, &mut scratch).is_err());
    assert!(Plan::new(&built.network, fewer, Kernel::detect()).is_err());
    let mut pass = plan.begin(built.weights(), &mut scratch, &[0.0; 10], 3).unwrap();
    assert!(pass.tile(plan.tile_rows() + 1).is_err());
    let heads = plan.heads();
    assert!(pass.run(2, None, &mut vec![0.0; 2 * heads]).is_err(), "no rows were written");
    pass.tile(2).unwrap();
    assert!(pass.run(2, None, &mut vec![0.0; 2 * heads + 1]).is_err());
    assert!(pass.run(2, Some(&vec![0.0; heads]), &mut vec![0.0; 2 * heads]).is_err());
    pass.run(2, None, &mut vec![0.0; 2 * heads]).unwrap();
    pass.run(0, None, &mut []).unwrap();
}

#[test]
fn layers_that_do_not_fit_are_refused_by_name() {
    let shape = Shape {
        width: 20,
        request_width: 5,
        structure: Structure::Parallel,
        cross: vec![Kind::Full, Kind::Mixture],
        rank: 3,
        experts: 2,
        deep: vec![8, 4],
        activation: Activation::Relu,
        heads: vec![vec![6]],
    };
    let built = build(&shape, &mut Random(1));
    let refused = |change: &dyn Fn(&mut Network)| {
        let mut network = built.network.clone();
        change(&mut network);
        Plan::new(&network, built.weights(), Kernel::detect()).unwrap_err().message
    };
    let found = refused(&|n| n.deep[1].weight.inputs = 9);
    assert!(found.contains("deep layer 1: W is [4, 9], expected [4, 8]"), "{found}");
    let found = refused(&|n| n.heads[0].weight.len = 7);
    assert!(found.contains("head 0: output weights has 7 values, expected 6"), "{found}");
    let found = refused(&|n| n.heads[0].tower[0].weight.start = usize::MAX);
    assert!(found.contains("head 0: tower layer 0: W starts at"), "{found}");
    let found = refused(&|n| n.request_width = 21);
    assert!(found.contains("21 request columns of 20"), "{found}");
    let found = refused(&|n| {
        if let Cross::Mixture { experts, .. } = &mut n.cross[1] {
            *experts = usize::MAX;
        }
    });
    assert!(found.contains("cross layer 1"), "{found}");
}

#[test]
fn tiles_are_few_and_equal() {
    let (shape, mut random) = some_shapes(2, 1).next().unwrap();
    let built = build(&shape, &mut random);
    for kernel in Kernel::available() {
        let plan = Plan::new(&built.network, built.weights(), kernel).unwrap();
        let most = plan.tile_rows();
        assert_eq!([0, 1, most, most + 1].map(|n| plan.tile_for(n)), [1, 1, most, most / 2 + 1]);
        for n in 1..200usize {
            assert!(plan.tile_for(n) <= most);
            assert!(plan.tile_within(n, 7) <= 7 && n.div_ceil(plan.tile_within(n, 7)) == n.div_ceil(7));
            assert_eq!(n.div_ceil(plan.tile_for(n)), n.div_ceil(most));
        }
    }
}
