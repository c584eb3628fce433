//! Calibrated probabilities of 1,000 logits: all in one call beside one by one, by turns; median nanoseconds for each, and
//! the median of the turns' ratios. `cargo bench -p adclick --bench calibrate`

use std::hint::black_box;
use std::time::Instant;

use adclick::Result;
use adclick::builder::calibrate::{Beta, Calibrator, HeadCalibrator, Isotonic, Platt, Temperature};
use adclick::builder::hash::mix;

const LOGITS: u64 = 1000;
const TURNS: usize = 301;
/// Calls of a turn.
const CALLS: usize = 20;

fn nanoseconds(mut call: impl FnMut()) -> f64 {
    let begin = Instant::now();
    (0..CALLS).for_each(|_| call());
    begin.elapsed().as_nanos() as f64 / (CALLS as f64 * LOGITS as f64)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn main() -> Result<()> {
    let logits: Vec<f32> = (0..LOGITS).map(|i| (mix(i) >> 40) as f32 / (1u32 << 21) as f32 - 6.0).collect();
    let knots = |scale: f64| (0..=50).map(|i| f64::from(i) / 50.0 * scale).collect();
    let calibrators = [
        Calibrator::Identity,
        Calibrator::Platt(Platt::new(0.9, 0.1)?),
        Calibrator::Temperature(Temperature::new(1.2)?),
        Calibrator::Beta(Beta::new(0.9, 1.1, 0.1)?),
        Calibrator::Isotonic(Isotonic::new(knots(1.0), knots(0.8))?),
    ];
    println!("| calibrator | all in one call | one by one | faster |");
    println!("| --- | --- | --- | --- |");
    for calibrator in calibrators {
        let name = calibrator.name();
        let head = HeadCalibrator::new(0.1, calibrator)?;
        let (mut all, mut single) = (vec![0.0f32; logits.len()], vec![0.0f32; logits.len()]);
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            together.push(nanoseconds(|| head.apply_slice(black_box(&logits), black_box(&mut all))));
            apart.push(nanoseconds(|| {
                for (p, &z) in black_box(&mut single).iter_mut().zip(black_box(&logits)) {
                    *p = head.apply_logit(f64::from(z)) as f32;
                }
            }));
        }
        assert_eq!(all, single);
        let ratio = median(apart.iter().zip(&together).map(|(a, b)| a / b).collect());
        println!("| {name} | {:.1} | {:.1} | {ratio:.2}× |", median(together), median(apart));
    }
    Ok(())
}
