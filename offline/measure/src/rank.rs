//! Ranking metrics: AUC, average precision, the area under the precision-recall curve, GAUC.

use std::collections::BTreeMap;

use super::{Labelled, Sum};

/// Metrics that depend on the order of the scores only.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranking {
    /// The probability that a positive row scores above a negative one, ties counting ½; NaN with one class only.
    pub auc: f64,
    /// Σ (Rₙ − Rₙ₋₁) Pₙ over thresholds; NaN without positives.
    pub average_precision: f64,
    /// The trapezoid area under the precision-recall curve, which starts at recall 0 and precision 1; NaN without
    /// positives. Linear interpolation is optimistic: prefer `average_precision`.
    pub pr_auc_trapezoid: f64,
}

/// All ranking metrics in one pass over the sorted rows. Rows of weight 0 have no effect.
#[must_use]
pub fn ranking(data: &Labelled) -> Ranking {
    let positives = data.sum(|row| data.label(row));
    let negatives = data.sum(|row| 1.0 - data.label(row));
    let (mut won, mut precision_sum, mut area) = (Sum::default(), Sum::default(), Sum::default());
    let (mut above, mut below) = (Sum::default(), Sum::default());
    let (mut recall, mut precision) = (0.0, 1.0);
    let order = data.ascending();
    // From the highest score down, one group of equal scores at a time.
    for group in order.chunk_by(|&a, &b| data.scores()[a] == data.scores()[b]).rev() {
        let (mut pos, mut neg) = (Sum::default(), Sum::default());
        for &row in group {
            if data.labels()[row] { pos.add(data.weight(row)) } else { neg.add(data.weight(row)) }
        }
        let (pos, neg) = (pos.value(), neg.value());
        if pos + neg == 0.0 {
            continue;
        }
        won.add(neg * (above.value() + 0.5 * pos));
        above.add(pos);
        below.add(neg);
        let next_recall = above.value() / positives;
        let next_precision = above.value() / (above.value() + below.value());
        precision_sum.add((next_recall - recall) * next_precision);
        area.add((next_recall - recall) * 0.5 * (precision + next_precision));
        (recall, precision) = (next_recall, next_precision);
    }
    let or_nan = |value: f64| if positives > 0.0 { value } else { f64::NAN };
    Ranking {
        auc: won.value() / (positives * negatives),
        average_precision: or_nan(precision_sum.value()),
        pr_auc_trapezoid: or_nan(area.value()),
    }
}

/// AUC with ties counting ½.
#[must_use]
pub fn auc(data: &Labelled) -> f64 {
    ranking(data).auc
}

/// The AUC within each group (user), averaged by the groups' impressions (weights). Groups with one class only have no
/// AUC and are left out; NaN when all are. `groups` holds each row's group.
///
/// # Panics
/// `groups` has another length than `data`.
#[must_use]
pub fn gauc(data: &Labelled, groups: &[u64]) -> f64 {
    assert_eq!(groups.len(), data.len(), "one group for each row");
    let mut rows_of: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (row, &group) in groups.iter().enumerate() {
        rows_of.entry(group).or_default().push(row);
    }
    let (mut sum, mut total) = (Sum::default(), Sum::default());
    for rows in rows_of.values() {
        let group = RowsCopied::gather(data, rows);
        let part = group.labelled();
        let auc = auc(&part);
        if auc.is_finite() {
            sum.add(part.total() * auc);
            total.add(part.total());
        }
    }
    sum.value() / total.value()
}

/// Some rows of a larger set, copied out.
pub(super) struct RowsCopied {
    scores: Vec<f64>,
    labels: Vec<bool>,
    weights: Option<Vec<f64>>,
}

impl RowsCopied {
    pub(super) fn gather(data: &Labelled, rows: &[usize]) -> Self {
        Self {
            scores: rows.iter().map(|&r| data.scores[r]).collect(),
            labels: rows.iter().map(|&r| data.labels[r]).collect(),
            weights: data.weights.map(|w| rows.iter().map(|&r| w[r]).collect()),
        }
    }

    pub(super) fn labelled(&self) -> Labelled<'_> {
        Labelled { scores: &self.scores, labels: &self.labels, weights: self.weights.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauc_weighs_groups_by_their_impressions() {
        // Group 1: perfect over 3 rows. Group 2: reversed over 2. Group 3: one class, left out.
        let scores = [0.9, 0.1, 0.2, 0.3, 0.4, 0.99];
        let labels = [true, false, false, true, false, true];
        let data = Labelled::new(&scores, &labels, None).unwrap();
        assert!((gauc(&data, &[1, 1, 1, 2, 2, 3]) - 0.6).abs() < 1e-15);
        assert!((gauc(&data, &[7; 6]) - auc(&data)).abs() < 1e-15);
        assert!(gauc(&data, &[1, 2, 3, 4, 5, 6]).is_nan());
    }

    #[test]
    fn weights_count_like_repeated_rows() {
        let data =
            Labelled::new(&[0.3, 0.3, 0.6, 0.2], &[true, false, false, true], Some(&[2.0, 1.0, 3.0, 0.0])).unwrap();
        let repeated = ([0.3, 0.3, 0.3, 0.6, 0.6, 0.6], [true, true, false, false, false, false]);
        let plain = Labelled::new(&repeated.0, &repeated.1, None).unwrap();
        assert_eq!(ranking(&data), ranking(&plain));
    }

    #[test]
    fn negative_and_positive_zero_are_one_score() {
        let data = Labelled::new(&[0.0, -0.0], &[true, false], None).unwrap();
        assert_eq!(auc(&data), 0.5);
    }
}
