//! Fitting calibrators on held-out rows, and choosing between them.

mod cells;
mod choose;
mod compose;
mod evidence;
mod head_fit;
mod histogram;
mod isotonic;
pub mod logistic;
#[cfg(test)]
mod market_tests;
mod method;
mod parametric;
mod segmented;
mod tails;

pub use choose::{Choice, MethodTrial, UnseenCalibration, choose};
pub use compose::{followed_by, on_logits};
pub use head_fit::{HeadFit, HeadTask, Measured, MeasuredSegment};
pub use histogram::{histogram_quantile, histogram_uniform};
pub use isotonic::{Block, isotonic, isotonic_for_serving, pool};
pub use method::{Method, fit};
pub use parametric::{Targets, beta, platt, shift, temperature};
pub use segmented::{SegmentLevel, SegmentValues, Segmented, Shrinkage, segmented, tree};

use adclick_measure::{Sum, weights};
use anyhow::{Result, bail, ensure};

/// Held-out rows to fit on: one number for each row (a logit or a probability, as each fit says), the labels, and the
/// weights.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    x: &'a [f64],
    labels: &'a [bool],
    weights: Option<&'a [f64]>,
}

impl<'a> Sample<'a> {
    /// Rows to fit on. Without weights each row counts 1.
    ///
    /// # Errors
    /// No rows, columns of different lengths, a number that is not finite, or bad weights; the message names the row.
    pub fn new(x: &'a [f64], labels: &'a [bool], weights: Option<&'a [f64]>) -> Result<Self> {
        ensure!(!x.is_empty(), "there are no rows to fit on");
        ensure!(x.len() == labels.len(), "{} scores came with {} labels", x.len(), labels.len());
        if let Some(row) = x.iter().position(|v| !v.is_finite()) {
            bail!("row {row}: expected a finite score, found {}", x[row]);
        }
        if let Some(weights) = weights {
            adclick_measure::weights::check(weights, x.len())?;
        }
        Ok(Self { x, labels, weights })
    }

    /// The number of positive rows.
    #[must_use]
    pub fn positive(&self) -> usize {
        self.labels.iter().filter(|&&y| y).count()
    }

    /// The number of rows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one row")]
    pub fn len(&self) -> usize {
        self.x.len()
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |w| w[row])
    }

    /// The weight of the positive and of the negative rows.
    fn class_weights(&self) -> (f64, f64) {
        let mut sums = [Sum::default(); 2];
        (0..self.len()).for_each(|row| sums[usize::from(self.labels[row])].add(self.weight(row)));
        (sums[1].value(), sums[0].value())
    }

    /// The weights scaled to numbers of rows: their sum is Kish's effective number. Without weights each row is one.
    fn counts(&self) -> Option<Vec<f64>> {
        let weights = self.weights?;
        let mut sum = Sum::default();
        weights.iter().for_each(|&w| sum.add(w));
        let each = weights::effective(weights.iter().copied()) / sum.value();
        Some(weights.iter().map(|w| w * each).collect())
    }

    /// The effective number of rows of a class.
    fn effective(&self, label: bool) -> f64 {
        let rows = (0..self.len()).filter(|&row| self.labels[row] == label);
        weights::effective(rows.map(|row| self.weight(row)))
    }

    fn need_both_classes(&self) -> Result<()> {
        let (positive, negative) = self.class_weights();
        ensure!(
            positive > 0.0 && negative > 0.0,
            "the rows hold only one class (weight {positive} of positives, {negative} of negatives): nothing can be \
             fitted; use rows with both"
        );
        Ok(())
    }

    fn need_probabilities(&self) -> Result<()> {
        match self.x.iter().position(|p| !(0.0..=1.0).contains(p)) {
            None => Ok(()),
            Some(row) => bail!("row {row}: expected a probability in [0, 1], found {}", self.x[row]),
        }
    }

    /// The least and greatest number among the rows of one label, ignoring rows without weight.
    fn range(&self, label: bool) -> (f64, f64) {
        let rows = (0..self.len()).filter(|&row| self.labels[row] == label && self.weight(row) > 0.0);
        rows.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), row| (lo.min(self.x[row]), hi.max(self.x[row])))
    }

    /// The mean of the numbers of rows with weight, and their largest distance from it (1 if that is 0).
    fn middle_and_spread(&self) -> (f64, f64) {
        let counting = || (0..self.len()).filter(|&row| self.weight(row) > 0.0).map(|row| self.x[row]);
        let rows = counting().count() as f64;
        let mut sum = Sum::default();
        counting().for_each(|x| sum.add(x / rows));
        let middle = sum.value();
        let spread = counting().map(|x| (x - middle).abs()).fold(0.0, f64::max);
        (middle, if spread > 0.0 && spread.is_finite() { spread } else { 1.0 })
    }

    /// Fails where a threshold separates the classes, because the likelihood then has no maximum.
    fn need_overlap(&self) -> Result<()> {
        let ((neg_lo, neg_hi), (pos_lo, pos_hi)) = (self.range(false), self.range(true));
        let constant = neg_lo == neg_hi && pos_lo == pos_hi && neg_lo == pos_lo;
        ensure!(
            constant || (neg_hi > pos_lo && pos_hi > neg_lo),
            "the scores separate the classes (negatives {neg_lo} to {neg_hi}, positives {pos_lo} to {pos_hi}): the \
             likelihood has no maximum; use more rows or smoothed targets"
        );
        Ok(())
    }
}
