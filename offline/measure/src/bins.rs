//! Calibration by bins of the score: expected and maximum calibration error.
//!
//! There are three ways to bin, because they differ: equal width, equal mass by rank (ties may be split), and equal
//! mass by quantile edges (ties stay together). Weights change how much a row counts within its bin, not the bin edges.

use serde::Serialize;

use super::{Labelled, Sum};

/// The number of bins of the calibration errors in a report.
pub const BINS: usize = 10;

/// One bin of scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// The lower edge; for a bin by rank, the lowest score in it.
    pub lo: f64,
    /// The upper edge; for a bin by rank, the highest score in it.
    pub hi: f64,
    /// Rows in the bin.
    pub rows: usize,
    /// Their weight.
    pub weight: f64,
    /// Their mean score; NaN in an empty bin.
    pub mean_score: f64,
    /// Their mean label; NaN in an empty bin.
    pub mean_label: f64,
}

/// The expected calibration error: Σ (weight of the bin / all) · |mean score − mean label|.
#[must_use]
pub fn ece(bins: &[Bin]) -> f64 {
    let (mut sum, mut total) = (Sum::default(), Sum::default());
    for bin in bins.iter().filter(|b| b.weight > 0.0) {
        sum.add(bin.weight * (bin.mean_score - bin.mean_label).abs());
        total.add(bin.weight);
    }
    sum.value() / total.value()
}

/// The maximum calibration error: the largest |mean score − mean label| of a bin that is not empty.
#[must_use]
pub fn mce(bins: &[Bin]) -> f64 {
    let gaps = bins.iter().filter(|b| b.weight > 0.0).map(|b| (b.mean_score - b.mean_label).abs());
    gaps.fold(0.0, f64::max)
}

/// Edges of `n` bins of equal width over [0, 1]: i·(1/n), so that the fourth edge of 10 bins is 0.30000000000000004
/// (numpy's `linspace`).
#[must_use]
pub fn uniform_edges(n: usize) -> Vec<f64> {
    let step = 1.0 / n as f64;
    let mut edges: Vec<f64> = (0..=n).map(|i| i as f64 * step).collect();
    edges[n] = 1.0;
    edges
}

/// Edges of `n` bins at the scores' quantiles: numpy's linear quantiles to the last bit. The first and last are the
/// least and the greatest score. `ascending` holds sorted scores.
#[must_use]
pub fn quantile_edges(ascending: &[f64], n: usize) -> Vec<f64> {
    let last = (ascending.len() - 1) as f64;
    let quantile = |share: f64| {
        let place = last * share;
        let below = place.floor();
        let t = place - below;
        let a = ascending[below as usize];
        let b = ascending[(below as usize + 1).min(ascending.len() - 1)];
        // Interpolates from the nearer end, as numpy does.
        if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
    };
    uniform_edges(n).into_iter().map(quantile).collect()
}

/// `n` bins of equal width, `[e, e')`; the last one is closed, so 1.0 belongs to it.
#[must_use]
pub fn uniform(data: &Labelled, n: usize) -> Vec<Bin> {
    let edges = uniform_edges(n);
    by_edges(data, &edges, |score| edges[1..n].partition_point(|&e| e <= score))
}

/// `n` bins between the scores' quantiles, `(e, e']`, the first one closed. Ties stay in one bin, and bins between
/// equal quantiles are empty.
#[must_use]
pub fn equal_mass_by_quantile(data: &Labelled, n: usize) -> Vec<Bin> {
    let mut scores = data.scores().to_vec();
    scores.sort_by(f64::total_cmp);
    let edges = quantile_edges(&scores, n);
    by_edges(data, &edges, |score| edges[1..n].partition_point(|&e| e < score))
}

/// `n` bins whose numbers of rows are as equal as possible, in the stable order of the scores; the first bins take the
/// remainder (numpy's `array_split`). There are fewer bins when there are fewer rows.
#[must_use]
pub fn equal_mass_by_rank(data: &Labelled, n: usize) -> Vec<Bin> {
    let order = data.ascending();
    split_sizes(order.len(), n)
        .scan(0, |start, size| {
            let rows = &order[*start..*start + size];
            *start += size;
            Some(rows)
        })
        .filter(|rows| !rows.is_empty())
        .map(|rows| {
            let mut bin = Filling::default();
            rows.iter().for_each(|&row| bin.add(data, row));
            bin.done(data.scores()[rows[0]], data.scores()[rows[rows.len() - 1]])
        })
        .collect()
}

/// The sizes of `n` parts of `rows` rows, the larger ones first.
pub(super) fn split_sizes(rows: usize, n: usize) -> impl Iterator<Item = usize> {
    (0..n).map(move |i| rows / n + usize::from(i < rows % n))
}

fn by_edges(data: &Labelled, edges: &[f64], bin_of: impl Fn(f64) -> usize) -> Vec<Bin> {
    let mut bins = vec![Filling::default(); edges.len() - 1];
    for (row, &score) in data.scores().iter().enumerate() {
        bins[bin_of(score)].add(data, row);
    }
    bins.iter().zip(edges.windows(2)).map(|(bin, e)| bin.done(e[0], e[1])).collect()
}

#[derive(Clone, Default)]
struct Filling {
    rows: usize,
    weight: Sum,
    scores: Sum,
    labels: Sum,
}

impl Filling {
    fn add(&mut self, data: &Labelled, row: usize) {
        let weight = data.weight(row);
        self.rows += 1;
        self.weight.add(weight);
        self.scores.add(weight * data.scores()[row]);
        self.labels.add(weight * data.label(row));
    }

    fn done(&self, lo: f64, hi: f64) -> Bin {
        let weight = self.weight.value();
        let mean = |sum: Sum| sum.value() / weight;
        Bin { lo, hi, rows: self.rows, weight, mean_score: mean(self.scores), mean_label: mean(self.labels) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_wrong_scores_are_not_lost() {
        let data = Labelled::new(&[1.0; 100], &[false; 100], None).unwrap();
        assert_eq!(ece(&uniform(&data, 10)), 1.0);
        assert_eq!(mce(&equal_mass_by_rank(&data, 10)), 1.0);
        assert_eq!(ece(&equal_mass_by_quantile(&data, 10)), 1.0);
    }

    #[test]
    fn weights_count_like_repeated_rows() {
        let weighted = Labelled::new(&[0.05, 0.31, 0.33], &[true, false, true], Some(&[1.0, 3.0, 2.0])).unwrap();
        let (scores, labels) = ([0.05, 0.31, 0.31, 0.31, 0.33, 0.33], [true, false, false, false, true, true]);
        let plain = Labelled::new(&scores, &labels, None).unwrap();
        let (a, b) = (ece(&uniform(&weighted, 10)), ece(&uniform(&plain, 10)));
        assert!((a - b).abs() < 1e-15, "{a} {b}");
    }
}
