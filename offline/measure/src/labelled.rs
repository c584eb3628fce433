//! Scored rows with their labels.

use anyhow::{Result, bail, ensure};

use super::{Sum, weights};

/// Scored rows with their labels: probabilities, outcomes and weights.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    pub(super) scores: &'a [f64],
    pub(super) labels: &'a [bool],
    pub(super) weights: Option<&'a [f64]>,
}

impl<'a> Labelled<'a> {
    /// Rows to measure. Without weights each row counts 1.
    ///
    /// # Errors
    /// No rows, columns of different lengths, a score outside [0, 1], a weight that is negative or not finite, or no
    /// weight at all. The message names the row, counted from 0.
    pub fn new(scores: &'a [f64], labels: &'a [bool], weights: Option<&'a [f64]>) -> Result<Self> {
        if let Some(row) = scores.iter().position(|p| !(0.0..=1.0).contains(p)) {
            bail!("row {row}: expected a probability in [0, 1], found {}", scores[row]);
        }
        Self::ranked(scores, labels, weights)
    }

    /// Rows whose scores may be any numbers, such as logits; only for the metrics of [`rank`].
    ///
    /// # Errors
    /// As [`Self::new`], but only NaN is refused as a score.
    pub fn ranked(scores: &'a [f64], labels: &'a [bool], weights: Option<&'a [f64]>) -> Result<Self> {
        ensure!(!scores.is_empty(), "there are no rows to measure");
        ensure!(scores.len() == labels.len(), "{} scores came with {} labels", scores.len(), labels.len());
        if let Some(row) = scores.iter().position(|s| s.is_nan()) {
            bail!("row {row}: expected a score, found NaN");
        }
        if let Some(weights) = weights {
            weights::check(weights, scores.len())?;
        }
        Ok(Self { scores, labels, weights })
    }

    /// The number of rows.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is at least one row")]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Predicted probabilities.
    #[must_use]
    pub fn scores(&self) -> &'a [f64] {
        self.scores
    }

    /// The outcomes.
    #[must_use]
    pub fn labels(&self) -> &'a [bool] {
        self.labels
    }

    /// The weight of a row.
    #[must_use]
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |w| w[row])
    }

    /// A row's label as a number.
    #[must_use]
    pub fn label(&self, row: usize) -> f64 {
        f64::from(u8::from(self.labels[row]))
    }

    /// Rows that were clicked (converted), regardless of weight.
    #[must_use]
    pub fn clicks(&self) -> usize {
        self.labels.iter().filter(|&&y| y).count()
    }

    /// The weighted sum of a quantity over all rows.
    #[must_use]
    pub fn sum(&self, quantity: impl Fn(usize) -> f64) -> f64 {
        let mut sum = Sum::default();
        (0..self.len()).for_each(|row| sum.add(self.weight(row) * quantity(row)));
        sum.value()
    }

    /// The sum of the weights.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.sum(|_| 1.0)
    }

    /// The weighted share of positive labels: the CTR.
    #[must_use]
    pub fn mean_label(&self) -> f64 {
        self.sum(|row| self.label(row)) / self.total()
    }

    /// The rows in ascending order of their scores, ties in row order.
    #[must_use]
    pub fn ascending(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| self.scores[a].total_cmp(&self.scores[b]));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_cannot_be_measured_are_refused_by_number() {
        let message = |r: Result<Labelled>| r.unwrap_err().to_string();
        assert!(message(Labelled::new(&[], &[], None)).contains("no rows"));
        assert!(message(Labelled::new(&[0.5], &[], None)).contains("1 scores came with 0 labels"));
        assert!(message(Labelled::new(&[0.5, 1.5], &[true, false], None)).contains("row 1"));
        assert!(message(Labelled::new(&[f64::NAN], &[true], None)).contains("NaN"));
        assert!(message(Labelled::new(&[0.5], &[true], Some(&[-1.0]))).contains("row 0"));
        assert!(message(Labelled::new(&[0.5], &[true], Some(&[0.0]))).contains("weight 0"));
        assert!(message(Labelled::new(&[0.5], &[true], Some(&[]))).contains("0 weights"));
    }
}
