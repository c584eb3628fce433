//! Which calibrator the held-out rows speak for, if any.

use adclick::calibrate::{Calibrator, sigmoid};
use adclick::hash::mix;
use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Sample, Targets, beta, isotonic_for_serving, platt, temperature};
use crate::measure::Sum;
use crate::measure::loss::row_log_loss;

/// The calibrators that can be fitted, the simplest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The model's own probabilities.
    Identity,
    /// One parameter: all logits divided by T.
    Temperature,
    /// Two parameters: slope and intercept of the logit.
    Platt,
    /// Three parameters: slopes at both ends, intercept.
    Beta,
    /// A free non-decreasing curve, smoothed and tilted for serving.
    Isotonic,
}

impl Method {
    /// All of them, the simplest first.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Temperature, Self::Platt, Self::Beta, Self::Isotonic];

    /// The method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Temperature => "temperature",
            Self::Platt => "platt",
            Self::Beta => "beta",
            Self::Isotonic => "isotonic",
        }
    }
}

/// How one method did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Which.
    pub method: Method,
    /// Mean log loss on rows that the fit had not seen; null when it could not be fitted.
    pub logloss: f64,
    /// By how much that is less than the model's own.
    pub gain: f64,
    /// The standard error of the gain.
    pub gain_error: f64,
    /// Why it is out of the question, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The chosen calibrator, fitted on all rows, and what spoke for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The chosen method.
    pub method: Method,
    /// Fitted on all rows; in JSON its name and parameters as text.
    #[serde(serialize_with = "as_text")]
    pub calibrator: Calibrator,
    /// All methods, the simplest first.
    pub candidates: Vec<Candidate>,
    /// The reason in one sentence.
    pub reason: String,
}

fn as_text<S: serde::Serializer>(calibrator: &Calibrator, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(calibrator)
}

impl Choice {
    /// The choice as a table for a person.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!("chosen: {}\n{}\n", self.calibrator, self.reason);
        if !self.candidates.is_empty() {
            out += &format!("{:<12} {:>10} {:>10} {:>10}\n", "method", "log loss", "gain", "std. error");
        }
        for c in &self.candidates {
            out += &match &c.refused {
                Some(why) => format!("{:<12} {why}\n", c.method.name()),
                None => {
                    format!("{:<12} {:>10.6} {:>10.6} {:>10.6}\n", c.method.name(), c.logloss, c.gain, c.gain_error)
                }
            };
        }
        out
    }
}

/// Cross-fitting folds.
const FOLDS: u64 = 10;

/// Stretches of consecutive rows whose losses are taken to be independent of each other.
const STRETCHES: usize = 20;

/// Fewer rows of a class than this say nothing about calibration.
const LEAST_PER_CLASS: usize = 20;

/// Standard errors by which a calibrator must beat the model's own probabilities.
const EVIDENCE: f64 = 2.0;

/// Fits one method on logits, as serving will apply it: Platt with smoothed targets, isotonic smoothed and tilted.
///
/// # Errors
/// The method cannot be fitted on these rows.
pub fn fit(method: Method, logits: &Sample) -> Result<Calibrator> {
    let probabilities: Vec<f64>;
    let sample = match method {
        Method::Beta | Method::Isotonic => {
            probabilities = logits.x.iter().map(|&z| sigmoid(z)).collect();
            Sample { x: &probabilities, ..*logits }
        }
        Method::Identity | Method::Temperature | Method::Platt => *logits,
    };
    Ok(match method {
        Method::Identity => Calibrator::Identity,
        Method::Temperature => Calibrator::Temperature(temperature(&sample)?),
        Method::Platt => Calibrator::Platt(platt(&sample, Targets::Smoothed)?),
        Method::Beta => Calibrator::Beta(beta(&sample)?),
        Method::Isotonic => Calibrator::Isotonic(isotonic_for_serving(&sample)?),
    })
}

/// Chooses among all methods by their log loss on rows that the fit had not seen (10 folds, drawn by row number).
///
/// A calibrator has to beat the model's own probabilities by two standard errors of the paired difference; among those
/// that do, the simplest within one standard error of the best is taken. The standard error is the larger one of two:
/// over single rows, and over 20 stretches of consecutive rows. The second grows when the click rate drifts within
/// the rows (give them in time order), for what one hour gains the next may lose. Methods that turn the
/// order of scores around are refused. Without evidence the answer is the identity, which cannot hurt.
///
/// # Errors
/// The chosen method cannot be fitted on all rows.
pub fn choose(logits: &Sample) -> Result<Choice> {
    let clicks = logits.positive();
    if clicks.min(logits.len() - clicks) < LEAST_PER_CLASS {
        return Ok(Choice {
            method: Method::Identity,
            calibrator: Calibrator::Identity,
            candidates: Vec::new(),
            reason: format!(
                "{clicks} positive rows of {} are too few to calibrate on: at least {LEAST_PER_CLASS} of each class \
                 are needed",
                logits.len()
            ),
        });
    }
    let own = cross_fitted_losses(Method::Identity, logits)?;
    let mut trials = vec![(Candidate::new(Method::Identity, logits, &own, &own), own.clone())];
    for &method in &Method::ALL[1..] {
        trials.push(match cross_fitted_losses(method, logits) {
            Ok(losses) => (Candidate::new(method, logits, &own, &losses), losses),
            Err(error) => (Candidate::refused(method, format!("{error:#}")), Vec::new()),
        });
    }
    let proven: Vec<&(Candidate, Vec<f64>)> =
        trials.iter().filter(|(c, _)| c.refused.is_none() && c.gain > EVIDENCE * c.gain_error).collect();
    let best = proven.iter().min_by(|a, b| a.0.logloss.total_cmp(&b.0.logloss));
    let (method, reason) = match best {
        None => (
            Method::Identity,
            format!("no calibrator beats the model's own probabilities by {EVIDENCE} standard errors of log loss"),
        ),
        Some((best, best_losses)) => {
            let within_noise = |(candidate, losses): &&&(Candidate, Vec<f64>)| {
                let (behind, error) = difference(logits, losses, best_losses);
                candidate.method == best.method || behind <= error
            };
            let chosen = proven.iter().find(within_noise).map_or(best, |(candidate, _)| candidate);
            let reason = format!(
                "it lowers log loss on unseen rows by {:.6} (standard error {:.6}) and is the simplest within one \
                 standard error of the best, {}",
                chosen.gain,
                chosen.gain_error,
                best.method.name()
            );
            (chosen.method, reason)
        }
    };
    let calibrator = fit(method, logits)?;
    Ok(Choice { method, calibrator, candidates: trials.into_iter().map(|(c, _)| c).collect(), reason })
}

impl Candidate {
    fn new(method: Method, logits: &Sample, own: &[f64], losses: &[f64]) -> Self {
        let mut sums = (Sum::default(), Sum::default());
        for (row, &loss) in losses.iter().enumerate() {
            sums.0.add(logits.weight(row) * loss);
            sums.1.add(logits.weight(row));
        }
        let (gain, gain_error) = difference(logits, own, losses);
        Self { method, logloss: sums.0.value() / sums.1.value(), gain, gain_error, refused: None }
    }

    fn refused(method: Method, why: String) -> Self {
        Self { method, logloss: f64::NAN, gain: f64::NAN, gain_error: f64::NAN, refused: Some(why) }
    }
}

/// The loss of each row under the calibrator fitted on the other folds.
fn cross_fitted_losses(method: Method, logits: &Sample) -> Result<Vec<f64>> {
    let fold = |row: usize| mix(row as u64) % FOLDS;
    let mut losses = vec![0.0; logits.len()];
    for left_out in 0..FOLDS {
        let rows: Vec<usize> = (0..logits.len()).filter(|&row| fold(row) != left_out).collect();
        let x: Vec<f64> = rows.iter().map(|&row| logits.x[row]).collect();
        let labels: Vec<bool> = rows.iter().map(|&row| logits.labels[row]).collect();
        let weights: Vec<f64> = rows.iter().map(|&row| logits.weight(row)).collect();
        let calibrator = fit(method, &Sample::new(&x, &labels, Some(&weights))?)?;
        ensure!(calibrator.is_strictly_increasing(), "it would turn the order of the scores around: {calibrator:?}");
        for row in (0..logits.len()).filter(|&row| fold(row) == left_out) {
            losses[row] = row_log_loss(calibrator.apply_logit(logits.x[row]), logits.labels[row]);
        }
    }
    Ok(losses)
}

/// The weighted mean of `a − b` over rows, and its standard error.
fn difference(logits: &Sample, a: &[f64], b: &[f64]) -> (f64, f64) {
    let (mut sum, mut total) = (Sum::default(), Sum::default());
    for row in 0..a.len() {
        sum.add(logits.weight(row) * (a[row] - b[row]));
        total.add(logits.weight(row));
    }
    let total = total.value();
    let mean = sum.value() / total;
    let off = |row: usize| logits.weight(row) * (a[row] - b[row] - mean);
    let (mut by_row, mut by_stretch) = (Sum::default(), Sum::default());
    let length = a.len().div_ceil(STRETCHES);
    for start in (0..a.len()).step_by(length) {
        let mut stretch = Sum::default();
        for row in start..a.len().min(start + length) {
            by_row.add(off(row).powi(2));
            stretch.add(off(row));
        }
        by_stretch.add(stretch.value().powi(2));
    }
    let stretches = a.len().div_ceil(length) as f64;
    let by_stretch = by_stretch.value() * stretches / (stretches - 1.0).max(1.0);
    (mean, by_row.value().max(by_stretch).sqrt() / total)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::measure::{Labelled, bins, loss};

    /// Logits about -1.5 with labels of which `truth` gives the probability.
    fn rows(n: usize, seed: u64, truth: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<bool>) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let normal = |r: &mut ChaCha8Rng| (0..12).map(|_| r.random::<f64>()).sum::<f64>() - 6.0;
        let logits: Vec<f64> = (0..n).map(|_| -1.5 + 1.1 * normal(&mut random)).collect();
        let labels = logits.iter().map(|&z| random.random_bool(truth(z))).collect();
        (logits, labels)
    }

    fn chosen(n: usize, seed: u64, truth: impl Fn(f64) -> f64) -> Choice {
        let (logits, labels) = rows(n, seed, truth);
        choose(&Sample::new(&logits, &labels, None).unwrap()).unwrap()
    }

    #[test]
    fn calibrated_scores_are_left_alone() {
        let left_alone = (0..20).filter(|&seed| chosen(2000, seed, sigmoid).method == Method::Identity).count();
        assert!(left_alone >= 19, "only {left_alone} of 20");
    }

    #[test]
    fn clear_errors_get_the_simplest_cure() {
        for seed in 0..3 {
            assert_eq!(chosen(5000, seed, |z| sigmoid(0.5 * z)).method, Method::Temperature, "overconfident");
            assert_eq!(chosen(5000, seed, |z| sigmoid(z - 0.7)).method, Method::Platt, "shifted");
        }
        let step = |z: f64| {
            if z < -2.0 {
                0.05
            } else if z < -0.5 {
                0.2
            } else {
                0.8
            }
        };
        assert_eq!(chosen(20_000, 1, step).method, Method::Isotonic, "a staircase");
    }

    #[test]
    fn a_choice_does_not_hurt_rows_it_has_not_seen() {
        // What is fitted on one set is measured on another, for honest and for distorted scores.
        let truths: [fn(f64) -> f64; 4] =
            [sigmoid, |z| sigmoid(0.6 * z - 0.2), |z| sigmoid(z + 0.5), |z| sigmoid(1.4 * z + 0.1)];
        for (i, truth) in truths.into_iter().enumerate() {
            let choice = chosen(3000, 100 + i as u64, truth);
            let (logits, labels) = rows(20_000, 200 + i as u64, truth);
            let measure = |calibrator: &Calibrator| {
                let scores: Vec<f64> = logits.iter().map(|&z| calibrator.apply_logit(z)).collect();
                let data = Labelled::new(&scores, &labels, None).unwrap();
                (loss::log_loss(&data), bins::ece(&bins::uniform(&data, 10)))
            };
            let (before, after) = (measure(&Calibrator::Identity), measure(&choice.calibrator));
            assert!(after.0 <= before.0 && after.1 <= before.1, "{i}: {before:?} {after:?} {choice:?}");
        }
    }

    #[test]
    fn drift_within_the_rows_is_no_evidence() {
        // The first tenth of the rows clicks far more than predicted, the rest a little less: the mean is off, but
        // what a shift gains in one place it loses elsewhere.
        let (logits, mut labels) = rows(4000, 5, |z| sigmoid(z - 0.1));
        labels.iter_mut().take(400).enumerate().for_each(|(i, y)| *y |= i % 2 == 0);
        let choice = choose(&Sample::new(&logits, &labels, None).unwrap()).unwrap();
        assert_eq!(choice.method, Method::Identity, "{choice:?}");
    }

    #[test]
    fn scores_in_reversed_order_are_not_turned_around() {
        let choice = chosen(3000, 9, |z| sigmoid(-z - 3.0));
        assert!(choice.calibrator.is_strictly_increasing(), "{choice:?}");
        for method in [Method::Platt, Method::Beta] {
            let candidate = choice.candidates.iter().find(|c| c.method == method).unwrap();
            assert!(candidate.refused.as_ref().is_some_and(|why| why.contains("order")), "{candidate:?}");
        }
        let table = choice.table();
        assert!(table.starts_with("chosen: ") && table.contains("turn the order"), "{table}");
    }

    #[test]
    fn too_few_rows_give_the_identity() {
        let (logits, labels) = rows(60, 3, |z| sigmoid(z - 2.5));
        let choice = choose(&Sample::new(&logits, &labels, None).unwrap()).unwrap();
        assert_eq!(choice.method, Method::Identity);
        assert!(choice.reason.contains("too few"), "{}", choice.reason);
    }

    #[test]
    fn the_same_rows_give_the_same_choice() {
        assert_eq!(chosen(3000, 4, |z| sigmoid(z - 0.4)), chosen(3000, 4, |z| sigmoid(z - 0.4)));
    }
}
