//! A calibrator followed by a shift and a slope of its logits, as one calibrator.

use adclick::builder::calibrate::{Beta, Calibrator, PiecewiseLinear, Platt, logit};
use anyhow::{Result, bail};

/// The outermost knots of a curve that was given on probabilities; logits beyond are as good as certain.
const FARTHEST: f64 = 16.0;
/// Knots are at most so far apart, so that a line between two of them follows a curve that is linear in probabilities.
const APART: f64 = 0.25;
/// Two knots at least differ by this much.
const NEAREST: f64 = 1e-9;

/// σ(a t + b) of the logit t that a calibrator gives; a is above 0.
///
/// # Errors
/// A histogram, or a curve that would not be strictly increasing.
pub fn followed_by(calibrator: &Calibrator, a: f64, b: f64) -> Result<Calibrator> {
    if (a, b) == (1.0, 0.0) {
        return Ok(calibrator.clone());
    }
    Ok(match calibrator {
        Calibrator::Identity => Calibrator::Platt(Platt::new(a, b)?),
        Calibrator::Platt(c) => Calibrator::Platt(Platt::new(a * c.a(), a * c.b() + b)?),
        Calibrator::Temperature(c) => Calibrator::Platt(Platt::new(a / c.t(), b)?),
        Calibrator::Beta(c) => Calibrator::Beta(Beta::new(a * c.a(), a * c.b(), a * c.c() + b)?),
        Calibrator::PiecewiseLinear(c) => {
            let t = c.t().iter().map(|t| a * t + b).collect();
            Calibrator::PiecewiseLinear(PiecewiseLinear::new(c.z().to_vec(), t)?)
        }
        Calibrator::Isotonic(_) => followed_by(&on_logits(calibrator)?, a, b)?,
        Calibrator::Histogram(_) => bail!("a histogram ties scores, so that nothing can follow it"),
    })
}

/// A strictly increasing curve of probabilities as one of logits, linear between knots; others as they are.
///
/// # Errors
/// Fewer than two of its values differ.
pub fn on_logits(calibrator: &Calibrator) -> Result<Calibrator> {
    let Calibrator::Isotonic(curve) = calibrator else { return Ok(calibrator.clone()) };
    let inner = curve.x().iter().map(|&x| logit(x)).filter(|z| z.abs() < FARTHEST);
    let ends: Vec<f64> = std::iter::once(-FARTHEST).chain(inner).chain([FARTHEST]).collect();
    let (mut z, mut t): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut add = |at: f64| {
        let value = logit(calibrator.apply_logit(at));
        if z.last().is_none_or(|&last: &f64| at > last + NEAREST)
            && t.last().is_none_or(|&last: &f64| value > last + NEAREST)
        {
            z.push(at);
            t.push(value);
        }
    };
    for pair in ends.windows(2) {
        let pieces = ((pair[1] - pair[0]) / APART).ceil().max(1.0);
        (0..pieces as u32).for_each(|i| add(pair[0] + (pair[1] - pair[0]) * f64::from(i) / pieces));
    }
    add(FARTHEST);
    Ok(Calibrator::PiecewiseLinear(PiecewiseLinear::new(z, t)?))
}

/// The logit that a calibrator gives.
#[must_use]
pub(super) fn logit_of(calibrator: &Calibrator, z: f64) -> f64 {
    match calibrator {
        Calibrator::Identity => z,
        Calibrator::Platt(c) => c.a() * z + c.b(),
        Calibrator::Temperature(c) => z / c.t(),
        _ => logit(calibrator.apply_logit(z)),
    }
}

#[cfg(test)]
mod tests {
    use adclick::builder::calibrate::{Isotonic, Temperature, sigmoid};

    use super::*;

    #[test]
    fn what_follows_is_the_same_as_one_after_the_other() {
        let x: Vec<f64> = (0..=20).map(|i| f64::from(i).powi(3) / 8000.0).collect();
        let y: Vec<f64> = x.iter().map(|x| 0.001 + 0.7 * x * x + 0.1 * x).collect();
        let curves = [
            Calibrator::Identity,
            Calibrator::Platt(Platt::new(0.8, 0.3).unwrap()),
            Calibrator::Temperature(Temperature::new(1.4).unwrap()),
            Calibrator::Beta(Beta::new(0.7, 1.2, -0.2).unwrap()),
            Calibrator::PiecewiseLinear(PiecewiseLinear::new(vec![-3.0, -1.0, 2.0], vec![-4.0, -1.0, 1.0]).unwrap()),
            Calibrator::Isotonic(Isotonic::new(x, y).unwrap()),
        ];
        for curve in curves {
            let joined = followed_by(&curve, 1.2, -0.4).unwrap();
            assert!(joined.is_strictly_increasing());
            for i in -60..=40 {
                let z = f64::from(i) * 0.1;
                let (at, expected) = (joined.apply_logit(z), sigmoid(1.2 * logit_of(&curve, z) - 0.4));
                // A line between knots of a curve differs a little from it.
                let slack = if matches!(curve, Calibrator::Isotonic(_)) { 0.02 } else { 1e-11 };
                assert!((at / expected - 1.0).abs() < slack, "{curve} at {z}: {at}, expected {expected}");
            }
        }
    }
}
