//! The fast arithmetics on random networks at every level of sharing, against the exact one: bf16 keeps 8 bits of each
//! factor, so a logit is off by a few thousandths of the sums behind it. Where the CPU has no instructions for them they are
//! refused by name.

use adclick::builder::artifact::model::spec::{Activation, Structure};
use adclick::builder::infer::{Arithmetic, Kernel, Level, Plan, Scratch};
use testkit::networks::{self, Built, KINDS, Kind, Random, Shape, build};

fn any_shape(random: &mut Random) -> Shape {
    let width = random.between(2, 120);
    let kinds = [vec![Kind::Full], vec![Kind::LowRank], vec![Kind::Full, Kind::LowRank], KINDS.to_vec()];
    let kinds = &kinds[random.between(0, 3)];
    Shape {
        width,
        request_width: random.between(0, width),
        structure: if random.between(0, 2) == 0 { Structure::Stacked } else { Structure::Parallel },
        cross: (0..random.between(0, 3)).map(|_| kinds[random.between(0, kinds.len() - 1)]).collect(),
        rank: random.between(1, 40),
        experts: random.between(1, 3),
        deep: (0..random.between(0, 4)).map(|_| random.between(1, 150)).collect(),
        activation: [Activation::Relu, Activation::Relu, Activation::Tanh, Activation::None][random.between(0, 3)],
        heads: (0..random.between(1, 2)).map(|_| if random.between(0, 2) == 0 { vec![20] } else { vec![] }).collect(),
    }
}

fn logits(plan: &Plan, level: Level, built: &Built, rows: &[f32], count: usize) -> Vec<f32> {
    let mut logits = vec![0.0; count * plan.heads()];
    networks::run(plan, level, built, &mut Scratch::new(plan.scratch_len()), rows, &mut logits);
    logits
}

fn fast_kernel() -> Option<&'static Kernel> {
    let shape = networks::models()[0].1.clone();
    let built = build(&shape, &mut Random(1));
    let fast =
        |kernel: &&'static Kernel| Plan::with(&built.network, built.weights(), kernel, Arithmetic::Bf16, &[]).is_ok();
    let found = Kernel::available().find(|kernel| fast(kernel));
    if found.is_none() {
        println!("skipped: this CPU has no products of bf16");
    }
    found
}

#[test]
fn fast_logits_are_near_the_exact_ones_at_every_level() {
    let Some(kernel) = fast_kernel() else { return };
    for arithmetic in [Arithmetic::Bf16, Arithmetic::Int8] {
        let (mut offs, mut seen) = (Vec::new(), [0; 4]);
        for seed in 0..400 {
            let mut random = Random(seed);
            let shape = any_shape(&mut random);
            let built = build(&shape, &mut random);
            let count = random.between(1, 70);
            let rows = networks::request_rows(&shape, &mut random, count);
            let exact = Plan::new(&built.network, built.weights(), kernel).unwrap();
            let ranges = vec![4.0; shape.deep.len()];
            let fast = Plan::with(&built.network, built.weights(), kernel, arithmetic, &ranges).unwrap();
            assert_eq!(fast.arithmetic(), arithmetic);
            for level in fast.levels() {
                let right = logits(&exact, level, &built, &rows, count);
                let got = logits(&fast, level, &built, &rows, count);
                seen[level as usize] += 1;
                for (got, right) in got.iter().zip(&right) {
                    let off = f64::from((got - right).abs() / right.abs().max(1.0));
                    assert!(off < 0.2, "seed {seed}, {arithmetic:?} {level:?}: {got}, exact {right}, {shape:?}");
                    offs.push(off);
                }
            }
        }
        offs.sort_by(f64::total_cmp);
        let [half, most] = [offs[offs.len() / 2], offs[offs.len() * 999 / 1000]];
        println!("{arithmetic:?}: off by {half:.1e} in the median, {most:.1e} at 99.9%; levels {seen:?}");
        assert!(half > 1e-5, "nothing is rounded: {half}");
        assert!(half < 6e-3 && most < 0.1, "{arithmetic:?}: {half} {most}");
        assert!(seen.iter().all(|&n| n >= 40), "{seen:?}");
    }
}

/// What a row holds does not reach its neighbours, not even through the padding of packed rows.
#[test]
fn rows_that_overflow_do_not_disturb_others() {
    let Some(kernel) = fast_kernel() else { return };
    for seed in 0..60 {
        let mut random = Random(9000 + seed);
        let shape = any_shape(&mut random);
        let built = build(&shape, &mut random);
        let plan = Plan::with(&built.network, built.weights(), kernel, Arithmetic::Bf16, &[]).unwrap();
        let more = shape.width - shape.request_width;
        let (count, heads) = (60, plan.heads());
        let mut rows = networks::request_rows(&shape, &mut random, count);
        for level in plan.levels() {
            let clean = logits(&plan, level, &built, &rows, count);
            let spoilt: Vec<usize> = (0..count).filter(|i| i % 3 == 1 && more > 0).collect();
            let saved = rows.clone();
            for &i in &spoilt {
                rows[i * shape.width + shape.request_width..][..more].fill([f32::NAN, f32::INFINITY, 3e38][i % 2]);
            }
            let got = logits(&plan, level, &built, &rows, count);
            rows = saved;
            for i in (0..count).filter(|i| !spoilt.contains(i)) {
                let bits = |all: &[f32]| all[i * heads..][..heads].iter().map(|z| z.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&got), bits(&clean), "seed {seed}, {level:?}, row {i}, {shape:?}");
            }
        }
    }
}

#[test]
fn a_kernel_without_the_instructions_is_refused_by_name() {
    let shape = networks::models()[0].1.clone();
    let built = build(&shape, &mut Random(1));
    let portable = Kernel::by_name("portable").unwrap();
    let refused = Plan::with(&built.network, built.weights(), portable, Arithmetic::Bf16, &[]).unwrap_err();
    assert_eq!(refused.status, adclick::Status::Unsupported);
    assert!(refused.message.contains("Bf16 on kernel portable"), "{}", refused.message);
}
