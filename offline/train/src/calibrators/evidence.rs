//! The evidence of rows against a calibrator: score tests with a known rate of false alarms.

use adclick::builder::calibrate::{Calibrator, sigmoid};
use adclick::builder::hash::mix;
use adclick_measure::Sum;
use anyhow::Result;

use super::{Method, Sample, fit, tails};

/// The rate of false alarms of all tests of one calibrator together.
pub(super) const FALSE_ALARMS: f64 = 0.05;

/// Cross-fitting folds.
pub(super) const FOLDS: u64 = 10;

/// The number of stretches of consecutive rows whose scores are taken to be independent of each other.
const STRETCHES: usize = 20;

/// A direction has nothing to test if less than this share of it remains after removing what the calibrator fits.
const NOTHING: f64 = 1e-12;

/// The ways in which probabilities may be off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// All logits too high or too low by the same amount.
    Shift,
    /// All logits too far apart or too close together.
    Slope,
    /// Different errors at the two ends, which beta can fit and Platt cannot.
    Bend,
    /// Along the isotonic curve of rows that the fit did not see.
    Steps,
}

impl Direction {
    pub(super) const ALL: [Self; 4] = [Self::Shift, Self::Slope, Self::Bend, Self::Steps];

    /// Its part of [`FALSE_ALARMS`]. The error that costs money most often gets the largest part.
    fn level(self) -> f64 {
        match self {
            Self::Shift => 0.03,
            Self::Slope => 0.01,
            Self::Bend | Self::Steps => 0.005,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Slope => "slope",
            Self::Bend => "bend",
            Self::Steps => "steps",
        }
    }
}

/// The strongest evidence against a calibrator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Objection {
    /// The test.
    pub(super) direction: Direction,
    /// Its tail probability, multiplied by [`FALSE_ALARMS`] ÷ the test's part of it. This makes it comparable between
    /// tests and with [`FALSE_ALARMS`].
    pub(super) p: f64,
}

impl Objection {
    /// Whether the rows reject the calibrator.
    pub(super) fn rejects(self) -> bool {
        self.p <= FALSE_ALARMS
    }
}

/// The rows and the directions of the tests.
pub(super) struct Evidence<'a> {
    logits: &'a Sample<'a>,
    fold: Vec<u64>,
    /// For each row, the correction of its logit by the isotonic curve of the other folds; empty when that cannot be
    /// fitted.
    steps: Vec<f64>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(logits: &'a Sample<'a>) -> Self {
        let mut evidence = Self { logits, fold: folds(logits), steps: Vec::new() };
        let added = |z: f64, p: f64| libm::log(p) - libm::log1p(-p) - z;
        if let Ok(steps) = evidence.cross_fitted(Method::Isotonic, |curve, row| {
            added(logits.x[row], curve.apply_logit(logits.x[row]).clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON))
        }) {
            evidence.steps = steps;
        }
        evidence
    }

    /// A quantity of each row under the calibrator that was fitted on the other folds.
    pub(super) fn cross_fitted(&self, method: Method, of: impl Fn(&Calibrator, usize) -> f64) -> Result<Vec<f64>> {
        let mut out = vec![0.0; self.logits.len()];
        let mut other = (Vec::new(), Vec::new(), Vec::new());
        for left_out in 0..FOLDS {
            other.0.clear();
            other.1.clear();
            other.2.clear();
            for row in (0..out.len()).filter(|&row| self.fold[row] != left_out) {
                other.0.push(self.logits.x[row]);
                other.1.push(self.logits.labels[row]);
                other.2.push(self.logits.weight(row));
            }
            let weights = self.logits.weights.is_some().then_some(other.2.as_slice());
            let calibrator = fit(method, &Sample::new(&other.0, &other.1, weights)?)?;
            check_order(&calibrator)?;
            for row in (0..out.len()).filter(|&row| self.fold[row] == left_out) {
                out[row] = of(&calibrator, row);
            }
        }
        Ok(out)
    }

    /// The strongest evidence against a calibrator that was fitted by this method on these rows.
    pub(super) fn against(&self, method: Method, calibrator: &Calibrator) -> Objection {
        let z = |row: usize| self.logits.x[row];
        let p: Vec<f64> = (0..self.logits.len()).map(|row| calibrator.apply_logit(z(row))).collect();
        let spread = |row: usize| p[row] * (1.0 - p[row]);
        let one = |_: usize| 1.0;
        let (low, high) = (|row: usize| softplus(-z(row)), |row: usize| softplus(z(row)));
        let fitted: Vec<&dyn Fn(usize) -> f64> = match method {
            Method::Identity | Method::Isotonic => vec![],
            Method::Shift => vec![&one],
            Method::Temperature => vec![&z],
            Method::Platt => vec![&one, &z],
            Method::Beta => vec![&one, &low, &high],
        };
        let mut tangents: Vec<Vec<f64>> = Vec::new();
        for tangent in fitted {
            let mut column: Vec<f64> = (0..p.len()).map(tangent).collect();
            if self.take_out(&mut column, &tangents, spread) {
                tangents.push(column);
            }
        }
        let mut worst = Objection { direction: Direction::Shift, p: 1.0 };
        for direction in Direction::ALL {
            let mut column: Vec<f64> = match direction {
                Direction::Shift => vec![1.0; p.len()],
                Direction::Slope => self.logits.x.to_vec(),
                Direction::Bend => (0..p.len()).map(high).collect(),
                Direction::Steps if self.steps.is_empty() => continue,
                Direction::Steps => self.steps.clone(),
            };
            if !self.take_out(&mut column, &tangents, spread) {
                continue;
            }
            let tail = self.tail(&column, &p, direction == Direction::Steps);
            let p = (tail * FALSE_ALARMS / direction.level()).min(1.0);
            if p < worst.p {
                worst = Objection { direction, p };
            }
        }
        worst
    }

    /// Σ w p(1−p) a b.
    fn product(&self, a: &[f64], b: &[f64], spread: impl Fn(usize) -> f64) -> f64 {
        let mut sum = Sum::default();
        (0..a.len()).for_each(|row| sum.add(self.logits.weight(row) * spread(row) * a[row] * b[row]));
        sum.value()
    }

    /// Removes from a direction what the calibrator has already fitted (directions orthogonal to each other). Returns
    /// whether anything is left.
    fn take_out(&self, column: &mut [f64], tangents: &[Vec<f64>], spread: impl Fn(usize) -> f64 + Copy) -> bool {
        let before = self.product(column, column, spread);
        for tangent in tangents {
            let share = self.product(column, tangent, spread) / self.product(tangent, tangent, spread);
            column.iter_mut().zip(tangent).for_each(|(c, t)| *c -= share * t);
        }
        let left = self.product(column, column, spread);
        left.is_finite() && left > NOTHING * before
    }

    /// The tail probability of Σ w (y − p) g: the larger of two, one for each estimate of its variance. The first takes
    /// rows to be independent; the second allows for anything that the rows of a stretch have in common.
    fn tail(&self, column: &[f64], p: &[f64], one_sided: bool) -> f64 {
        let rows = column.len();
        let (mut score, mut variance) = (Sum::default(), Sum::default());
        let mut stretches = [0.0; STRETCHES];
        for (i, stretch) in stretches.iter_mut().enumerate() {
            let mut sum = Sum::default();
            for row in rows * i / STRETCHES..rows * (i + 1) / STRETCHES {
                let (w, y) = (self.logits.weight(row), f64::from(u8::from(self.logits.labels[row])));
                sum.add(w * (y - p[row]) * column[row]);
                variance.add((w * column[row]).powi(2) * p[row] * (1.0 - p[row]));
            }
            *stretch = sum.value();
            score.add(*stretch);
        }
        let score = score.value();
        if one_sided && score <= 0.0 {
            return 1.0;
        }
        let n = STRETCHES as f64;
        let between: f64 = stretches.iter().map(|s| (s - score / n).powi(2)).sum::<f64>() * n / (n - 1.0);
        let by_row = tails::normal(score / variance.value().sqrt());
        let by_stretch = tails::student(score / between.sqrt(), STRETCHES as u32 - 1);
        // No spread means no quotient, and so no evidence.
        let worse = if by_row >= by_stretch { by_row } else { by_stretch };
        match (worse.is_nan(), one_sided) {
            (true, _) => 1.0,
            (false, true) => 0.5 * worse,
            (false, false) => worse,
        }
    }
}

/// Each row's fold. Rows are numbered in the order of their contents, so the file's order has no effect.
pub(super) fn folds(logits: &Sample) -> Vec<u64> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| {
        let by_weight = || logits.weight(a).total_cmp(&logits.weight(b));
        logits.x[a].total_cmp(&logits.x[b]).then(logits.labels[a].cmp(&logits.labels[b])).then_with(by_weight)
    });
    let mut fold = vec![0; order.len()];
    order.iter().enumerate().for_each(|(number, &row)| fold[row] = mix(number as u64) % FOLDS);
    fold
}

/// −ln(1−p) of a logit.
fn softplus(z: f64) -> f64 {
    z.max(0.0) - libm::log(sigmoid(z.abs()))
}

/// Fails for a calibrator that reverses the order of any two candidates.
pub(super) fn check_order(calibrator: &Calibrator) -> Result<()> {
    anyhow::ensure!(
        calibrator.is_strictly_increasing(),
        "it would turn the order of the scores around, or make all alike: {calibrator}"
    );
    Ok(())
}
