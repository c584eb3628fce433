//! Rows of like logits as one: what a shift and a slope are fitted to, for many segments at once.

use adclick::builder::calibrate::{logit, sigmoid};

/// The width of a cell in logits. Within it a row's probability differs by 3 % at most from its cell's, and the cell's is
/// exactly the mean of its rows': a shift by δ is then off by less than 10⁻³ δ.
const WIDTH: f64 = 1.0 / 16.0;

/// Rows whose logits are near to each other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LogitCell {
    /// The logit of their mean probability.
    pub(super) t: f64,
    /// How many they are.
    pub(super) rows: f64,
    /// How many of them are positive.
    pub(super) clicks: f64,
}

/// Collects the cells of one segment. Rows come in any order.
#[derive(Debug, Clone, Default)]
pub(super) struct LogitCells {
    /// For each number of a cell: rows, their probabilities, and positive ones; ascending.
    sums: std::collections::BTreeMap<i32, [f64; 3]>,
}

impl LogitCells {
    /// Adds a row of logit `t`.
    pub(super) fn add(&mut self, t: f64, label: bool, count: f64) {
        let sums = self.sums.entry((t / WIDTH).floor() as i32).or_default();
        sums[0] += count;
        sums[1] += count * sigmoid(t);
        sums[2] += if label { count } else { 0.0 };
    }

    /// Adds other rows.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (number, more) in &other.sums {
            self.sums.entry(*number).or_default().iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// The cells, ascending.
    pub(super) fn done(&self) -> Vec<LogitCell> {
        let cell = |[rows, p, clicks]: [f64; 3]| LogitCell { t: logit(p / rows), rows, clicks };
        self.sums.values().filter(|sums| sums[0] > 0.0).map(|&sums| cell(sums)).collect()
    }
}

/// A change of logits: t becomes t + shift + slope · (t − centre).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LogitChange {
    pub(super) shift: f64,
    pub(super) slope: f64,
}

/// The precisions that shift and slope are thought to have before rows are seen: 1/τ² each, infinite for a fixed one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prior {
    pub(super) shift: f64,
    pub(super) slope: f64,
}

/// The most probable change, and what it says of the prior.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Posterior {
    pub(super) change: LogitChange,
    /// ln P(labels | prior) without what is the same for all priors, by Laplace's approximation.
    pub(super) evidence: f64,
}

/// Newton steps at most; from 0, with a prior, a handful is enough.
const STEPS: usize = 60;

impl Prior {
    /// The most probable change of a segment's logits.
    pub(super) fn posterior(&self, cells: &[LogitCell], centre: f64) -> Posterior {
        let mut at = LogitChange::default();
        let mut here = self.local(cells, centre, at);
        for _ in 0..STEPS {
            let step = here.step();
            let decrement = here.gradient[0] * step[0] + here.gradient[1] * step[1];
            let mut length = 1.0;
            loop {
                let next = LogitChange { shift: at.shift + length * step[0], slope: at.slope + length * step[1] };
                let there = self.local(cells, centre, next);
                if there.value >= here.value + 1e-4 * length * decrement {
                    (at, here) = (next, there);
                    break;
                }
                length *= 0.5;
                if length < 1e-9 {
                    break;
                }
            }
            if decrement < 1e-12 || length < 1e-9 {
                break;
            }
        }
        // ln ∫ exp(value) dθ − ln ∫ exp(−prior) dθ: the curvatures' ratio.
        let [a, b, c] = here.curvature;
        let ratio = match (self.shift.is_finite(), self.slope.is_finite()) {
            (false, false) => 1.0,
            (true, false) => a / self.shift,
            (false, true) => c / self.slope,
            (true, true) => (a * c - b * b) / (self.shift * self.slope),
        };
        Posterior { change: at, evidence: here.value - 0.5 * ratio.ln() }
    }

    /// The log likelihood with the prior at a change, relative to no change.
    fn local(&self, cells: &[LogitCell], centre: f64, at: LogitChange) -> AtChange {
        let (mut value, mut gradient, mut curvature) = (0.0, [0.0; 2], [0.0; 3]);
        for cell in cells {
            let x = cell.t - centre;
            let f = cell.t + at.shift + at.slope * x;
            let p = sigmoid(f);
            // Differences, so that large sums do not hide small ones.
            value += cell.clicks * (f - cell.t) - cell.rows * (softplus(f) - softplus(cell.t));
            let left = cell.clicks - cell.rows * p;
            let spread = cell.rows * p * (1.0 - p);
            gradient[0] += left;
            gradient[1] += left * x;
            curvature[0] += spread;
            curvature[1] += spread * x;
            curvature[2] += spread * x * x;
        }
        let free = [self.shift.is_finite(), self.slope.is_finite()];
        for (k, (precision, theta)) in [(self.shift, at.shift), (self.slope, at.slope)].into_iter().enumerate() {
            if free[k] {
                value -= 0.5 * precision * theta * theta;
                gradient[k] -= precision * theta;
                curvature[2 * k] += precision;
            } else {
                (gradient[k], curvature[2 * k], curvature[1]) = (0.0, 1.0, 0.0);
            }
        }
        AtChange { value, gradient, curvature }
    }
}

struct AtChange {
    value: f64,
    gradient: [f64; 2],
    /// −∂² of shift and shift, shift and slope, slope and slope.
    curvature: [f64; 3],
}

impl AtChange {
    fn step(&self) -> [f64; 2] {
        let [a, b, c] = self.curvature;
        let [g, h] = self.gradient;
        let determinant = a * c - b * b;
        if determinant <= 1e-12 * a * c {
            return [g / a, 0.0];
        }
        [(c * g - b * h) / determinant, (a * h - b * g) / determinant]
    }
}

pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(rows: &[(f64, bool)]) -> Vec<LogitCell> {
        let mut cells = LogitCells::default();
        rows.iter().for_each(|&(t, y)| cells.add(t, y, 1.0));
        cells.done()
    }

    #[test]
    fn cells_keep_rows_clicks_and_the_mean() {
        let rows: Vec<(f64, bool)> = (0..1000).map(|i| (f64::from(i % 97) * 0.03 - 4.0, i % 11 == 0)).collect();
        let cells = cells(&rows);
        let sum = |of: fn(&LogitCell) -> f64| cells.iter().map(of).sum::<f64>();
        assert_eq!((sum(|c| c.rows), sum(|c| c.clicks)), (1000.0, 91.0));
        let mean: f64 = rows.iter().map(|r| sigmoid(r.0)).sum();
        assert!((sum(|c| c.rows * sigmoid(c.t)) - mean).abs() < 1e-9);
    }

    #[test]
    fn the_most_probable_shift_lies_between_none_and_the_likeliest() {
        let rows: Vec<(f64, bool)> = (0..400).map(|i| (-2.0, i % 4 == 0)).collect();
        let cells = cells(&rows);
        let at = |precision| Prior { shift: precision, slope: f64::INFINITY }.posterior(&cells, 0.0).change.shift;
        let likeliest = (1.0f64 / 3.0).ln() + 2.0;
        assert!((at(1e-9) - likeliest).abs() < 1e-6);
        let shrunk = at(75.0);
        // 100 clicks have a curvature of 75 at their own rate, and less before it.
        assert!(shrunk > 0.35 * likeliest && shrunk < 0.5 * likeliest, "{shrunk} of {likeliest}");
        assert!(at(1e9).abs() < 1e-5);
        // No click at all: no infinite shift.
        let none = super::tests::cells(&[(-2.0, false); 50]);
        let shift = Prior { shift: 4.0, slope: f64::INFINITY }.posterior(&none, 0.0).change.shift;
        assert!(shift < -0.3 && shift > -2.0, "{shift}");
    }

    #[test]
    fn the_evidence_prefers_the_prior_that_made_the_segments() {
        // 200 segments whose shifts have a standard deviation of 0.3, by quantiles of the normal law.
        let mut all = Vec::new();
        for i in 0..200 {
            let q = (f64::from(i) + 0.5) / 200.0;
            let shift = 0.3 * 1.702_f64.recip() * (q / (1.0 - q)).ln() * 0.97;
            let p = sigmoid(-2.0 + shift);
            all.push(vec![LogitCell { t: -2.0, rows: 800.0, clicks: 800.0 * p }]);
        }
        let evidence = |tau: f64| -> f64 {
            let prior = Prior { shift: tau.powi(-2), slope: f64::INFINITY };
            all.iter().map(|cells| prior.posterior(cells, 0.0).evidence).sum()
        };
        let best =
            [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0].into_iter().max_by(|&a, &b| evidence(a).total_cmp(&evidence(b)));
        assert_eq!(best, Some(0.3));
    }
}
