//! Calibrators with one, two or three parameters.

use adclick::calibrate::{Beta, Platt, Temperature};
use anyhow::{Context, Result, ensure};

use super::Sample;
use super::logistic::{Row, minimise};

/// What Platt scaling fits the probabilities to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// (N₊+1)/(N₊+2) for positives and 1/(N₋+2) for negatives, N the weight of the class: Platt's guard against
    /// certainty. Works with one class and with separable scores.
    Smoothed,
    /// 1 and 0.
    Hard,
}

/// Platt scaling `σ(a·z + b)`, unregularised, on logits.
///
/// Where the rows do not determine the slope (all logits equal), it is 0.
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
    let row = |i: usize| Row {
        x: [1.0, logits.x[i]],
        target: if logits.labels[i] { if_clicked } else { if_not },
        weight: logits.weight(i),
    };
    let start = [((positive + 1.0) / (negative + 1.0)).ln(), 0.0];
    let [b, a] = minimise(logits.len(), row, [0.0; 2], start).context("cannot fit Platt scaling")?;
    Ok(Platt::new(a, b)?)
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
    // From 0, where the curvature is greatest; from 1 a step could go wide where all scores are extreme.
    let row =
        |i: usize| Row { x: [logits.x[i]], target: f64::from(u8::from(logits.labels[i])), weight: logits.weight(i) };
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
/// Where a is negative it is set to 0 and the rest fitted again (else the same with b); what is left is not
/// constrained again, so that scores in reversed order give a falling function.
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
    let both = |i: usize| Row { x: [1.0, features(i).0, features(i).1], target: target(i), weight: weight(i) };
    let low = |i: usize| Row { x: [1.0, features(i).0], target: target(i), weight: weight(i) };
    let high = |i: usize| Row { x: [1.0, features(i).1], target: target(i), weight: weight(i) };
    let what = "cannot fit beta calibration";
    let [c, a, b] = minimise(n, both, [0.0; 3], [start, 0.0, 0.0]).context(what)?;
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

#[cfg(test)]
mod tests {
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
        // They touch in one score: still without a maximum.
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
}
