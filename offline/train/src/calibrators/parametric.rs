//! Calibrators with one, two or three parameters.

use adclick::builder::calibrate::{Beta, Platt, Temperature, sigmoid};
use adclick_measure::Sum;
use anyhow::{Context, Result, ensure};

use super::Sample;
use super::logistic::{Observation, minimise};

/// The targets to which Platt scaling fits the probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// (N₊+1)/(N₊+2) for positives and 1/(N₋+2) for negatives, N the weight of the class: Platt's guard against
    /// overconfidence. Works with one class and with separable scores.
    Smoothed,
    /// 1 and 0.
    Hard,
}

/// Platt scaling `σ(a·z + b)`, unregularised, on logits.
///
/// If the rows do not determine the slope (all logits equal), it is 0.
///
/// # Errors
/// With hard targets: one class only, or separable scores.
pub fn platt(logits: &Sample, targets: Targets) -> Result<Platt> {
    let (positive, negative) = logits.class_weights();
    let (if_clicked, if_not) = match targets {
        Targets::Smoothed => ((positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0)),
        Targets::Hard => {
            logits.need_both_classes()?;
            logits.need_overlap()?;
            (1.0, 0.0)
        }
    };
    // Logits are centred and scaled: where all are far from 0 and close together, slope and intercept are hard to tell
    // apart, and rounding swamps Newton's steps.
    let (middle, spread) = logits.middle_and_spread();
    let row = |i: usize| Observation {
        x: [1.0, (logits.x[i] - middle) / spread],
        target: if logits.labels[i] { if_clicked } else { if_not },
        weight: logits.weight(i),
    };
    let start = [((positive + 1.0) / (negative + 1.0)).ln(), 0.0];
    let [height, rise] = minimise(logits.len(), row, [0.0; 2], start).context("cannot fit Platt scaling")?;
    let a = rise / spread;
    Ok(Platt::new(a, height - a * middle)?)
}

/// A shift `σ(z + b)` of all logits, by maximum likelihood: the mean probability becomes the mean label.
///
/// # Errors
/// One class only.
pub fn shift(logits: &Sample) -> Result<Platt> {
    logits.need_both_classes()?;
    let (positive, negative) = logits.class_weights();
    let predicted = |b: f64| {
        let mut sum = Sum::default();
        (0..logits.len()).for_each(|row| sum.add(logits.weight(row) * sigmoid(logits.x[row] + b)));
        sum.value()
    };
    // The sum rises with b. Logits are finite, so the search runs from far below to far above all of them.
    let (least, most) = (logits.range(true), logits.range(false));
    let odds = (positive / negative).ln();
    let (mut low, mut high) = (odds - least.1.max(most.1), odds - least.0.min(most.0));
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        *(if predicted(middle) < positive { &mut low } else { &mut high }) = middle;
    }
    Ok(Platt::new(1.0, 0.5 * (low + high))?)
}

/// Temperature scaling `σ(z / T)`, on logits.
///
/// # Errors
/// One class only; scores that separate the classes at logit 0; or scores in reversed order, for which no positive
/// temperature is best.
pub fn temperature(logits: &Sample) -> Result<Temperature> {
    logits.need_both_classes()?;
    let signs = (0..logits.len())
        .filter(|&i| logits.weight(i) > 0.0)
        .map(|i| if logits.labels[i] { logits.x[i] } else { -logits.x[i] });
    let (least, greatest) = signs.fold((0.0_f64, 0.0_f64), |(lo, hi), s| (lo.min(s), hi.max(s)));
    ensure!(
        least < 0.0 && greatest > 0.0,
        "cannot fit a temperature: every logit is on one side of 0 for its label, so the likelihood has no maximum"
    );
    // Starts from 0, where the curvature is greatest; a step from 1 could overshoot where all scores are extreme.
    let row = |i: usize| Observation {
        x: [logits.x[i]],
        target: f64::from(u8::from(logits.labels[i])),
        weight: logits.weight(i),
    };
    let [inverse] = minimise(logits.len(), row, [0.0], [0.0]).context("cannot fit a temperature")?;
    ensure!(
        inverse > 0.0,
        "cannot fit a temperature: the best one is {}, the scores' order is reversed",
        1.0 / inverse
    );
    Ok(Temperature::new(1.0 / inverse)?)
}

/// Beta calibration `σ(a·ln p − b·ln(1−p) + c)`, on probabilities, which are clipped to [2⁻⁵², 1−2⁻⁵²].
///
/// If a is negative, it is set to 0 and the rest is fitted again (else the same with b). The remaining parameters are
/// then not constrained, so scores in reversed order give a falling function.
///
/// With only two different scores (0 and 1, say), a, b and c are not determined. The solution with the least a² + b² +
/// c² is taken, which the reference (betacal, starting at 0) reaches too. A single score gives a = b = 0.
///
/// # Errors
/// One class only, or separable scores.
pub fn beta(probabilities: &Sample) -> Result<Beta> {
    probabilities.need_probabilities()?;
    probabilities.need_both_classes()?;
    probabilities.need_overlap()?;
    let (positive, negative) = probabilities.class_weights();
    let start = (positive / negative).ln();
    let features = |i: usize| {
        let p = probabilities.x[i].clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        (p.ln(), -(-p).ln_1p())
    };
    let target = |i: usize| f64::from(u8::from(probabilities.labels[i]));
    let (n, weight) = (probabilities.len(), |i: usize| probabilities.weight(i));
    let both = |i: usize| Observation { x: [1.0, features(i).0, features(i).1], target: target(i), weight: weight(i) };
    let low = |i: usize| Observation { x: [1.0, features(i).0], target: target(i), weight: weight(i) };
    let high = |i: usize| Observation { x: [1.0, features(i).1], target: target(i), weight: weight(i) };
    let what = "cannot fit beta calibration";
    let [c, a, b] = match two_scores(probabilities) {
        Some(scores) => shortest(scores.map(|(p, logit)| ([1.0, p.ln(), -(-p).ln_1p()], logit))),
        None => minimise(n, both, [0.0; 3], [start, 0.0, 0.0]).context(what)?,
    };
    let (a, b, c) = if a < 0.0 {
        let [c, b] = minimise(n, high, [0.0; 2], [start, 0.0]).context(what)?;
        (0.0, b, c)
    } else if b < 0.0 {
        let [c, a] = minimise(n, low, [0.0; 2], [start, 0.0]).context(what)?;
        (a, 0.0, c)
    } else {
        (a, b, c)
    };
    Ok(Beta::new(a, b, c)?)
}

/// The two scores, clipped, and the log odds of a click at each, if there are exactly two. The classes must overlap.
fn two_scores(probabilities: &Sample) -> Option<[(f64, f64); 2]> {
    let mut scores: Vec<(f64, [Sum; 2])> = Vec::with_capacity(3);
    for row in (0..probabilities.len()).filter(|&row| probabilities.weight(row) > 0.0) {
        let p = probabilities.x[row].clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        let at = scores.iter().position(|&(score, _)| score == p).unwrap_or_else(|| {
            scores.push((p, [Sum::default(); 2]));
            scores.len() - 1
        });
        if at == 2 {
            return None;
        }
        scores[at].1[usize::from(probabilities.labels[row])].add(probabilities.weight(row));
    }
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let odds = |sums: &[Sum; 2]| (sums[1].value() / sums[0].value()).ln();
    match scores.as_slice() {
        [(low, a), (high, b)] => Some([(*low, odds(a)), (*high, odds(b))]),
        _ => None,
    }
}

/// The coefficients of least norm with which a sum of the two features takes these values at both.
fn shortest([(x, f), (y, g)]: [([f64; 3], f64); 2]) -> [f64; 3] {
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (xx, xy, yy) = (dot(x, x), dot(x, y), dot(y, y));
    let determinant = xx * yy - xy * xy;
    let (s, t) = ((f * yy - g * xy) / determinant, (g * xx - f * xy) / determinant);
    std::array::from_fn(|k| s * x[k] + t * y[k])
}

#[cfg(test)]
mod tests {
    use adclick::builder::calibrate::Calibrator;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn what_has_no_maximum_is_refused() {
        let separable = Sample::new(&[-1.0, -0.5, 0.5, 1.0], &[false, false, true, true], None).unwrap();
        assert!(message(platt(&separable, Targets::Hard)).contains("separate"));
        assert!(message(temperature(&separable)).contains("one side"));
        assert!(platt(&separable, Targets::Smoothed).unwrap().a() > 0.0);
        // The classes touch in one score, so there is still no maximum.
        let touching = Sample::new(&[0.1, 0.5, 0.5, 0.7], &[false, false, true, true], None).unwrap();
        assert!(message(beta(&touching)).contains("separate"));
        let clicks = Sample::new(&[0.1, 0.2], &[true, true], None).unwrap();
        assert!(message(platt(&clicks, Targets::Hard)).contains("one class"));
        assert!(message(temperature(&clicks)).contains("one class"));
        assert!(message(beta(&clicks)).contains("one class"));
        let reversed = Sample::new(&[-2.0, -1.0, 1.0, 2.0, 0.5], &[true, true, false, false, true], None).unwrap();
        assert!(message(temperature(&reversed)).contains("reversed"));
        let logits = Sample::new(&[-2.0, 1.0], &[true, false], None).unwrap();
        assert!(message(beta(&logits)).contains("row 0"));
    }

    #[test]
    fn rows_of_weight_0_do_not_count() {
        let (x, y) = ([-1.0, 0.3, 0.2, 1.0, 9.0], [false, true, false, true, false]);
        let weighted = Sample::new(&x, &y, Some(&[1.0, 1.0, 1.0, 1.0, 0.0])).unwrap();
        let plain = Sample::new(&x[..4], &y[..4], None).unwrap();
        let (a, b) = (platt(&weighted, Targets::Smoothed).unwrap(), platt(&plain, Targets::Smoothed).unwrap());
        assert!((a.a() - b.a()).abs() < 1e-12 && (a.b() - b.b()).abs() < 1e-12);
    }

    #[test]
    fn two_scores_take_the_coefficients_of_least_length() {
        let x: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i >= 40))).collect();
        let labels: Vec<bool> = (0..100).map(|i| if i < 40 { i < 10 } else { i < 90 }).collect();
        let fitted = beta(&Sample::new(&x, &labels, None).unwrap()).unwrap();
        let at = |p: f64| Calibrator::Beta(fitted).apply_probability(p);
        assert!((at(0.0) - 0.25).abs() < 1e-12 && (at(1.0) - 5.0 / 6.0).abs() < 1e-12, "{fitted:?}");
        // c = (b - a) / 36.04..: the least norm, with the intercept.
        assert!(fitted.a() > 0.0 && fitted.b() > 0.0);
        assert!((fitted.c() - (fitted.b() - fitted.a()) / -f64::EPSILON.ln()).abs() < 1e-12, "{fitted:?}");
        // A single score determines only the rate.
        let constant = beta(&Sample::new(&[0.3; 100], &labels, None).unwrap()).unwrap();
        assert_eq!((constant.a(), constant.b()), (0.0, 0.0));
        assert!((constant.c() - 1.5_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_shift_makes_the_mean_right_wherever_the_scores_are() {
        for far in [0.0, -30.0, 700.0, 1e6] {
            let logits: Vec<f64> = (0..50).map(|i| far + 0.1 * f64::from(i)).collect();
            let labels: Vec<bool> = (0..50).map(|i| i % 5 == 3).collect();
            let sample = Sample::new(&logits, &labels, None).unwrap();
            let fitted = shift(&sample).unwrap();
            let sum: f64 = logits.iter().map(|z| sigmoid(z + fitted.b())).sum();
            assert!(fitted.a() == 1.0 && (sum - 10.0).abs() < 1e-8, "{far}: {sum}");
        }
        let clicks = Sample::new(&[0.1, 0.2], &[true, true], None).unwrap();
        assert!(message(shift(&clicks)).contains("one class"));
    }

    #[test]
    fn smoothed_platt_never_refuses_separable_scores() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        for trial in 0..600 {
            let n = random.random_range(2..400);
            let scale = 10.0_f64.powi(random.random_range(-9..7));
            let middle = 10.0_f64.powi(random.random_range(-3..5)) * f64::from(trial % 3 - 1);
            let gap = 10.0_f64.powi(random.random_range(-6..3));
            let labels: Vec<bool> = (0..n).map(|i| i == 0 || random.random_bool(0.3)).collect();
            let logits: Vec<f64> = labels
                .iter()
                .map(|&y| middle + scale * if y { gap + random.random::<f64>() } else { -random.random::<f64>() })
                .collect();
            let sample = Sample::new(&logits, &labels, None).unwrap();
            let fitted = platt(&sample, Targets::Smoothed).unwrap_or_else(|e| panic!("{trial}: {e:#} {logits:?}"));
            // At the optimum the mean of the probabilities is that of the targets, and so is the mean of z times both.
            let (positive, negative) = sample.class_weights();
            let target = |y: bool| if y { (positive + 1.0) / (positive + 2.0) } else { 1.0 / (negative + 2.0) };
            let centre = logits.iter().sum::<f64>() / f64::from(n);
            let width = logits.iter().map(|z| (z - centre).abs()).fold(0.0, f64::max);
            let off = |g: &dyn Fn(f64) -> f64| -> f64 {
                let each = logits.iter().zip(&labels);
                each.map(|(&z, &y)| (sigmoid(fitted.a() * z + fitted.b()) - target(y)) * g(z)).sum::<f64>()
                    / f64::from(n)
            };
            // a·z + b itself is rounded, to 1e-16 of its terms.
            let slack = 1e-9 + 1e-15 * (fitted.a() * middle).abs();
            assert!(off(&|_| 1.0).abs() < slack, "{trial}: {}", off(&|_| 1.0));
            assert!(off(&|z| (z - centre) / width).abs() < slack, "{trial}: {}", off(&|z| (z - centre) / width));
        }
    }
}
