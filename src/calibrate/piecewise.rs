//! A strictly increasing curve of the logit, given by points.

use super::finite;
use crate::error::{Error, Result};

/// `σ(t(z))` of a logit z, where t is linear between knots and goes on beyond the outer ones with the slope of the
/// outermost piece. So it is strictly increasing everywhere and never ties two candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct PiecewiseLinear {
    z: Vec<f64>,
    t: Vec<f64>,
}

impl PiecewiseLinear {
    /// Knots `(z, t)`: the logits before and after calibration, at least two, both finite and strictly ascending.
    ///
    /// # Errors
    /// Any of these conditions does not hold, or a piece is so steep that its slope is infinite.
    pub fn new(z: Vec<f64>, t: Vec<f64>) -> Result<Self> {
        if z.len() < 2 || z.len() != t.len() {
            return Err(Error::argument(format!(
                "piecewise-linear knots: expected as many logits before as after and at least two, found {} and {}",
                z.len(),
                t.len()
            )));
        }
        for (what, numbers) in [("piecewise-linear knot z", &z), ("piecewise-linear knot t", &t)] {
            numbers.iter().try_for_each(|&v| finite(what, v))?;
            if let Some(i) = numbers.windows(2).position(|v| v[1] <= v[0]) {
                return Err(Error::argument(format!(
                    "{what} {}: expected more than its predecessor {}, found {}",
                    i + 1,
                    numbers[i],
                    numbers[i + 1]
                )));
            }
        }
        let steps = z.windows(2).zip(t.windows(2));
        for (i, (z, t)) in steps.enumerate() {
            let slope = (t[1] - t[0]) / (z[1] - z[0]);
            if !(slope.is_finite() && slope > 0.0) {
                let message = format!("piecewise-linear knot {}: expected a slope above 0, found {slope}", i + 1);
                return Err(Error::argument(message));
            }
        }
        Ok(Self { z, t })
    }

    /// The knots' logits before calibration.
    #[must_use]
    pub fn z(&self) -> &[f64] {
        &self.z
    }

    /// The knots' logits after calibration.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn t(&self) -> &[f64] {
        &self.t
    }

    pub(super) fn logit(&self, z: f64) -> f64 {
        if z.is_nan() {
            return z;
        }
        let z = z.clamp(-f64::MAX, f64::MAX);
        // Knots 0..above are at or below z; the piece is between two of them, or the outermost one.
        let above = self.z.partition_point(|&knot| knot <= z);
        let piece = above.saturating_sub(1).min(self.z.len().saturating_sub(2));
        let (Some(&[z0, z1]), Some(&[t0, t1])) = (self.z[piece..].first_chunk(), self.t[piece..].first_chunk()) else {
            return f64::NAN;
        };
        let t = t0 + (z - z0) * ((t1 - t0) / (z1 - z0));
        // Rounding must not lead past a knot, where the next piece begins.
        if z < z0 {
            t.min(t0)
        } else if z <= z1 {
            t.clamp(t0, t1)
        } else {
            t.max(t1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_linear_between_knots_and_goes_on_beyond_them() {
        let curve = PiecewiseLinear::new(vec![-2.0, 0.0, 1.0], vec![-3.0, 0.0, 0.5]).unwrap();
        for (z, t) in [(-4.0, -6.0), (-2.0, -3.0), (-1.0, -1.5), (0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (3.0, 1.5)] {
            assert!((curve.logit(z) - t).abs() < 1e-15, "{z}");
        }
        assert_eq!((curve.logit(f64::INFINITY), curve.logit(f64::NEG_INFINITY)), (f64::MAX / 2.0, f64::NEG_INFINITY));
        assert!(curve.logit(f64::NAN).is_nan());
    }

    #[test]
    fn it_never_turns_back_for_rounding() {
        let (mut z, mut t) = (vec![0.0], vec![0.0]);
        for i in 0..200 {
            let share = |k: u64| (crate::hash::mix(k) >> 11) as f64 / (1u64 << 53) as f64;
            z.push(z[i] + 1e-9 + share(2 * i as u64));
            t.push(t[i] + 1e-9 + share(2 * i as u64 + 1));
        }
        let curve = PiecewiseLinear::new(z.clone(), t).unwrap();
        let mut last = f64::NEG_INFINITY;
        for knot in z {
            for near in [knot.next_down().next_down(), knot.next_down(), knot, knot.next_up()] {
                let t = curve.logit(near);
                assert!(t >= last, "{near}: {t} after {last}");
                last = t;
            }
        }
    }

    #[test]
    fn knots_that_tie_or_turn_back_are_refused() {
        let message = |z: &[f64], t: &[f64]| PiecewiseLinear::new(z.to_vec(), t.to_vec()).unwrap_err().message;
        assert!(message(&[0.0], &[0.0]).contains("at least two"));
        assert!(message(&[0.0, 1.0], &[0.0]).contains("found 2 and 1"));
        assert!(message(&[0.0, 1.0, 1.0], &[0.0, 1.0, 2.0]).contains("z 2"));
        assert!(message(&[0.0, 1.0, 2.0], &[0.0, 1.0, 0.5]).contains("t 2"));
        assert!(message(&[0.0, f64::INFINITY], &[0.0, 1.0]).contains("finite"));
        assert!(message(&[0.0, f64::MIN_POSITIVE], &[0.0, 1e300]).contains("slope"));
    }
}
