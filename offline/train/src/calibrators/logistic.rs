//! Logistic regression with a handful of coefficients, to full precision. Platt, temperature and beta calibration are
//! such fits.

use adclick::builder::calibrate::sigmoid;
use adclick_measure::Sum;
use anyhow::{Result, bail};

/// One row: features, target in [0, 1], weight.
#[derive(Debug, Clone, Copy)]
pub struct Observation<const K: usize> {
    /// Features; an intercept is a feature that is always 1, and comes first.
    pub x: [f64; K],
    /// The target probability.
    pub target: f64,
    /// The row's weight.
    pub weight: f64,
}

/// More steps than this mean that the likelihood has no maximum; from any start about ten are enough.
const MAX_STEPS: usize = 200;

/// A mean loss that rows with overlapping classes cannot reach.
const VANISHED: f64 = 1e-12;

/// The rows do not determine a coefficient that has less than this share of the curvature once those before it are
/// accounted for. It keeps its value.
const SINGULAR: f64 = 1e-13;

/// Minimises `Σ w·(ln(1 + eᶠ) − t·f) + ½ Σ ridge·θ²`, f = θ·x, by Newton's method with backtracking (Lin, Lin, Weng
/// 2007), from `start`. `row` gives the rows 0 to `rows`; it is called anew in each step.
///
/// # Errors
/// No minimum is reached: the classes are separable.
pub fn minimise<const K: usize>(
    rows: usize,
    row: impl Fn(usize) -> Observation<K>,
    ridge: [f64; K],
    start: [f64; K],
) -> Result<[f64; K]> {
    let mut theta = start;
    let mut here = Local::at(rows, &row, &ridge, &theta);
    for _ in 0..MAX_STEPS {
        let step = here.newton_step();
        let decrement: f64 = -(0..K).map(|k| here.gradient[k] * step[k]).sum::<f64>();
        // Newton's method doubles the correct digits: one step from here reaches f64 precision.
        let last = decrement <= 1e-20 * here.weight;
        let mut length = 1.0;
        loop {
            let next: [f64; K] = std::array::from_fn(|k| theta[k] + length * step[k]);
            let there = Local::at(rows, &row, &ridge, &next);
            let slack = 8.0 * f64::EPSILON * here.loss.abs();
            if there.loss <= here.loss - 1e-4 * length * decrement + slack {
                (theta, here) = (next, there);
                break;
            }
            length *= 0.5;
            if length < 1e-18 {
                // Further descent in this direction is below rounding.
                return if decrement <= 1e-9 * here.weight { Ok(theta) } else { bail!("the fit does not descend") };
            }
        }
        // Only separable rows have a vanishing loss; the gradient vanishes with it, long before a minimum.
        if here.loss <= VANISHED * here.weight {
            break;
        }
        if last {
            return Ok(theta);
        }
    }
    bail!("the scores separate the classes, so the likelihood has no maximum; use more rows")
}

/// The objective, its gradient and its curvature at one point.
struct Local<const K: usize> {
    weight: f64,
    loss: f64,
    gradient: [f64; K],
    hessian: [[f64; K]; K],
}

impl<const K: usize> Local<K> {
    fn at(rows: usize, row: impl Fn(usize) -> Observation<K>, ridge: &[f64; K], theta: &[f64; K]) -> Self {
        let (mut weight, mut loss) = (Sum::default(), Sum::default());
        let mut gradient = [Sum::default(); K];
        let mut hessian = [[Sum::default(); K]; K];
        for i in 0..rows {
            let Observation { x, target, weight: w } = row(i);
            let f: f64 = (0..K).map(|k| theta[k] * x[k]).sum();
            let p = sigmoid(f);
            // 1 − σ(f) is σ(−f), without cancellation.
            let q = sigmoid(-f);
            weight.add(w);
            loss.add(w * (f.max(0.0) - target * f + (-f.abs()).exp().ln_1p()));
            let slope = w * ((1.0 - target) * p - target * q);
            for k in 0..K {
                gradient[k].add(slope * x[k]);
                for l in 0..=k {
                    hessian[k][l].add(w * p * q * x[k] * x[l]);
                }
            }
        }
        let penalty: f64 = (0..K).map(|k| 0.5 * ridge[k] * theta[k] * theta[k]).sum();
        Self {
            weight: weight.value(),
            loss: loss.value() + penalty,
            gradient: std::array::from_fn(|k| gradient[k].value() + ridge[k] * theta[k]),
            hessian: std::array::from_fn(|k| {
                std::array::from_fn(|l| hessian[k.max(l)][k.min(l)].value() + if k == l { ridge[k] } else { 0.0 })
            }),
        }
    }

    /// −H⁻¹g by LDLᵀ, leaving out directions without curvature.
    fn newton_step(&self) -> [f64; K] {
        let mut lower = [[0.0; K]; K];
        let mut pivot = [0.0; K];
        let mut half = [0.0; K];
        for k in 0..K {
            for l in 0..k {
                let known: f64 = (0..l).map(|m| lower[k][m] * lower[l][m] * pivot[m]).sum();
                lower[k][l] = if pivot[l] > 0.0 { (self.hessian[k][l] - known) / pivot[l] } else { 0.0 };
            }
            let known: f64 = (0..k).map(|m| lower[k][m] * lower[k][m] * pivot[m]).sum();
            let left = self.hessian[k][k] - known;
            pivot[k] = if left > SINGULAR * self.hessian[k][k] { left } else { 0.0 };
            half[k] = -self.gradient[k] - (0..k).map(|m| lower[k][m] * half[m]).sum::<f64>();
        }
        let mut step = [0.0; K];
        for k in (0..K).rev() {
            if pivot[k] > 0.0 {
                step[k] = half[k] / pivot[k] - (k + 1..K).map(|m| lower[m][k] * step[m]).sum::<f64>();
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intercept_alone_is_the_log_odds() {
        let fitted =
            minimise(10, |i| Observation { x: [1.0], target: f64::from(u8::from(i < 3)), weight: 1.0 }, [0.0], [0.0]);
        assert!((fitted.unwrap()[0] - (3.0_f64 / 7.0).ln()).abs() < 1e-14);
    }

    #[test]
    fn what_the_rows_do_not_determine_stays_where_it_was() {
        // With two equal columns, only their sum is determined.
        let row = |i: usize| Observation { x: [1.0, 2.5, 2.5], target: if i < 4 { 1.0 } else { 0.0 }, weight: 0.5 };
        let fitted = minimise(12, row, [0.0; 3], [0.0, 0.25, -0.25]).unwrap();
        assert_eq!(fitted[1..], [0.25, -0.25]);
        assert!((fitted[0] - 0.5_f64.ln()).abs() < 1e-13);
    }

    #[test]
    fn separable_rows_are_an_error_without_a_ridge() {
        let row =
            |i: usize| Observation { x: [1.0, i as f64 - 4.5], target: if i < 5 { 0.0 } else { 1.0 }, weight: 1.0 };
        let free = minimise(10, row, [0.0; 2], [0.0; 2]);
        let tied = minimise(10, row, [0.0, 1.0], [0.0; 2]).unwrap();
        assert!(tied[1] > 0.5 && tied[1] < 2.0 && tied[0].abs() < 1e-9, "{tied:?}");
        assert!(free.is_err(), "{free:?}");
    }
}
