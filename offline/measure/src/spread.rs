//! Equal-mass bins that do not depend on the order of the rows: the rows of one score are spread over the bins that it
//! lies in, each bin with the same share of clicks.

use super::bins::Bin;
use super::{Labelled, Sum};

/// A share of a group's weight that is small enough to be rounding.
const SLIVER: f64 = 1e-9;

/// Rows whose clicks are drawn together: those of a bin, or those of one score that lies in several bins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Σ w.
    pub(super) weight: f64,
    /// Σ w p.
    pub(super) mean: f64,
    /// Σ w² p and Σ w² p².
    pub(super) squares: [f64; 2],
    /// The bins, and the share of the part that is in each of them.
    pub(super) shares: Vec<(usize, f64)>,
}

/// Bins of equal weight in the order of the scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    bins: Vec<Bin>,
    parts: Vec<Part>,
}

/// The contents of a bin.
#[derive(Clone, Default)]
struct Filling {
    lo: Option<f64>,
    hi: f64,
    rows: f64,
    weight: Sum,
    scores: Sum,
    labels: Sum,
    /// The sums of the rows in this bin alone: Σ w, Σ w p, Σ w² p, Σ w² p².
    alone: [Sum; 4],
}

impl Spread {
    /// `n` bins, or fewer where there are fewer rows. For equal weights, an edge may split a row or the rows of one
    /// score.
    #[must_use]
    pub fn new(data: &Labelled, n: usize) -> Self {
        let order: Vec<usize> = data.ascending().into_iter().filter(|&row| data.weight(row) > 0.0).collect();
        let n = n.min(order.len()).max(1);
        let total = data.total();
        let mut bins = vec![Filling::default(); n];
        let mut across = Vec::new();
        let mut before = Sum::default();
        for rows in order.chunk_by(|&a, &b| data.scores()[a] == data.scores()[b]) {
            let score = data.scores()[rows[0]];
            let (mut weight, mut clicks, mut squares) = (Sum::default(), Sum::default(), Sum::default());
            for &row in rows {
                let w = data.weight(row);
                weight.add(w);
                clicks.add(w * data.label(row));
                squares.add(w * w);
            }
            let (weight, clicks, squares) = (weight.value(), clicks.value(), squares.value());
            let start = before.value();
            before.add(weight);
            let shares = shares(start, weight, total, n);
            for &(bin, share) in &shares {
                let bin = &mut bins[bin];
                bin.lo.get_or_insert(score);
                bin.hi = score;
                bin.rows += share * rows.len() as f64;
                bin.weight.add(share * weight);
                bin.scores.add(share * weight * score);
                bin.labels.add(share * clicks);
            }
            let squares = [squares * score, squares * score * score];
            match shares.as_slice() {
                [(bin, _)] => {
                    let terms = [weight, weight * score, squares[0], squares[1]];
                    bins[*bin].alone.iter_mut().zip(terms).for_each(|(sum, term)| sum.add(term));
                }
                _ => across.push(Part { weight, mean: weight * score, squares, shares }),
            }
        }
        let alone = bins.iter().enumerate().filter(|(_, bin)| bin.alone[0].value() > 0.0).map(|(number, bin)| {
            let [weight, mean, first, second] = bin.alone.map(Sum::value);
            Part { weight, mean, squares: [first, second], shares: vec![(number, 1.0)] }
        });
        let parts = across.into_iter().chain(alone).collect();
        let mut rows = 0.0;
        let bins = bins.iter().map(|bin| bin.done(&mut rows)).collect();
        Self { bins, parts }
    }

    /// The bins, ascending.
    #[must_use]
    pub fn bins(&self) -> &[Bin] {
        &self.bins
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// The bins in which a stretch lies, of `n` equal bins over `total`, and the share of the stretch in each.
fn shares(start: f64, length: f64, total: f64, n: usize) -> Vec<(usize, f64)> {
    let place = |at: f64| at * n as f64 / total;
    let last = n - 1;
    let first = ((place(start) + SLIVER) as usize).min(last);
    let end = ((place(start + length) - SLIVER).max(0.0) as usize).clamp(first, last);
    if first == end {
        return vec![(first, 1.0)];
    }
    let border = |bin: usize| (bin as f64 * total / n as f64).clamp(start, start + length);
    let edge = |bin: usize| if bin > end { start + length } else { border(bin) };
    (first..=end).map(|bin| (bin, (edge(bin + 1) - if bin == first { start } else { border(bin) }) / length)).collect()
}

impl Filling {
    /// `rows` are those of the bins before it. They are rounded together, so that the bins together hold all rows.
    fn done(&self, rows: &mut f64) -> Bin {
        let before = rows.round();
        *rows += self.rows;
        let weight = self.weight.value();
        Bin {
            lo: self.lo.unwrap_or(f64::NAN),
            hi: self.hi,
            rows: (rows.round() - before) as usize,
            weight,
            mean_score: self.scores.value() / weight,
            mean_label: self.labels.value() / weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bins::{ece, equal_mass_by_rank};
    use super::*;

    #[test]
    fn ties_have_no_order() {
        // Clicks come first, so by rank all of the error shows, though the model is right.
        let labels: Vec<bool> = (0..10_000).map(|i| i < 5_000).collect();
        let data = Labelled::new(&[0.5; 10_000], &labels, None).unwrap();
        assert_eq!(ece(&equal_mass_by_rank(&data, 20)), 0.5);
        let spread = Spread::new(&data, 20);
        assert_eq!(ece(spread.bins()), 0.0);
        assert!(spread.bins().iter().all(|b| b.rows == 500 && (b.weight - 500.0).abs() < 1e-9));
        assert_eq!(spread.parts().len(), 1);
        assert_eq!(spread.parts()[0].shares.len(), 20);
    }

    #[test]
    fn without_ties_bins_are_those_by_rank() {
        let scores: Vec<f64> = (0..600).map(|i| f64::from(i * 7 % 600) / 700.0).collect();
        let labels: Vec<bool> = (0..600).map(|i| i % 3 == 0).collect();
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let (spread, rank) = (Spread::new(&data, 20), equal_mass_by_rank(&data, 20));
        for (a, b) in spread.bins().iter().zip(&rank) {
            assert_eq!((a.lo, a.hi, a.rows, a.weight), (b.lo, b.hi, b.rows, b.weight));
            assert!((a.mean_score - b.mean_score).abs() < 1e-15 && (a.mean_label - b.mean_label).abs() < 1e-15);
        }
        assert_eq!(spread.parts().len(), 20);
    }

    #[test]
    fn weights_are_repeated_rows() {
        let (scores, labels) = ([0.1, 0.2, 0.2, 0.7, 0.9], [false, true, false, true, false]);
        let weights = [3.0, 1.0, 0.0, 4.0, 2.0];
        let rows = |i: usize| std::iter::repeat_n(i, weights[i] as usize);
        let repeated: Vec<usize> = (0..5).flat_map(rows).collect();
        let (s, l): (Vec<f64>, Vec<bool>) = repeated.iter().map(|&i| (scores[i], labels[i])).unzip();
        let weighted = Spread::new(&Labelled::new(&scores, &labels, Some(&weights)).unwrap(), 3);
        let plain = Spread::new(&Labelled::new(&s, &l, None).unwrap(), 3);
        for (a, b) in weighted.bins().iter().zip(plain.bins()) {
            for (x, y) in [(a.weight, b.weight), (a.mean_score, b.mean_score), (a.mean_label, b.mean_label)] {
                assert!((x - y).abs() < 1e-12, "{a:?} {b:?}");
            }
        }
        // The edge at a third splits the rows of 0.1 and the one of 0.2.
        assert!((plain.bins()[0].weight - 10.0 / 3.0).abs() < 1e-12);
        assert_eq!(plain.bins().iter().map(|b| b.rows).sum::<usize>(), 10);
    }
}
