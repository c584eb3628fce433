//! How sure the equal-mass calibration error is.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::bins::split_sizes;
use super::{Labelled, Sum};

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Draws for all resamples together, which bounds the time on large sets.
const DRAWS: usize = 200_000_000;

/// A bootstrap interval of 95 % for the ECE of `n` equal-mass bins by rank.
///
/// Rows are resampled with their weights, 200 times (fewer, but at least 40, above a million rows). A resample's ECE
/// is biased upwards, since it adds noise to noise; so the interval is the basic one, the resamples' quantiles
/// reflected about the estimate, cut at 0. One that begins at 0 says that the error may be noise alone.
#[must_use]
pub fn ece_interval(data: &Labelled, n: usize, seed: u64) -> Interval {
    let order = data.ascending();
    // Per sorted row: its share of |Σ w (p − y)| and of Σ w.
    let gaps: Vec<(f64, f64)> = order
        .iter()
        .map(|&row| (data.weight(row) * (data.scores()[row] - data.label(row)), data.weight(row)))
        .collect();
    let resamples = (DRAWS / gaps.len()).clamp(40, 200);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut copies = vec![1_u32; gaps.len()];
    let estimate = ece_of_copies(&gaps, &copies, n);
    let mut values: Vec<f64> = (0..resamples)
        .map(|_| {
            copies.fill(0);
            (0..gaps.len()).for_each(|_| copies[random.random_range(0..gaps.len())] += 1);
            ece_of_copies(&gaps, &copies, n)
        })
        .filter(|ece| ece.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| match values.len().checked_sub(1) {
        Some(last) => values[(share * last as f64).round() as usize],
        None => estimate,
    };
    Interval {
        low: (2.0 * estimate - quantile(0.975)).max(0.0),
        high: (2.0 * estimate - quantile(0.025)).clamp(0.0, 1.0),
    }
}

/// The ECE over `n` bins of equal numbers of rows, each sorted row taken `copies` times.
fn ece_of_copies(gaps: &[(f64, f64)], copies: &[u32], n: usize) -> f64 {
    let (mut error, mut total) = (Sum::default(), 0.0);
    let mut row = 0;
    let mut left = copies[0] as usize;
    for size in split_sizes(gaps.len(), n) {
        let (mut wanted, mut gap) = (size, 0.0);
        while wanted > 0 {
            while left == 0 {
                row += 1;
                left = copies[row] as usize;
            }
            let taken = left.min(wanted);
            gap += taken as f64 * gaps[row].0;
            total += taken as f64 * gaps[row].1;
            left -= taken;
            wanted -= taken;
        }
        error.add(gap.abs());
    }
    error.value() / total
}

/// The ECE that a perfectly calibrated model would have on rows of these scores, by chance alone: the expected
/// |Σ w (y − p)| of each equal-mass bin, in the normal approximation.
#[must_use]
pub fn ece_noise(data: &Labelled, n: usize) -> f64 {
    let order = data.ascending();
    let (mut sum, mut start) = (Sum::default(), 0);
    for size in split_sizes(order.len(), n) {
        let variance: f64 =
            order[start..start + size].iter().map(|&row| data.weight(row).powi(2) * p_q(data.scores()[row])).sum();
        sum.add((variance * std::f64::consts::FRAC_2_PI).sqrt());
        start += size;
    }
    sum.value() / data.total()
}

fn p_q(p: f64) -> f64 {
    p * (1.0 - p)
}

#[cfg(test)]
mod tests {
    use super::super::bins::{ece, equal_mass_by_rank};
    use super::*;

    fn clicks(rows: usize, rate: impl Fn(f64) -> f64, seed: u64) -> (Vec<f64>, Vec<bool>) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let scores: Vec<f64> = (0..rows).map(|_| 0.046 * random.random::<f64>()).collect();
        let labels = scores.iter().map(|&p| random.random_bool(rate(p))).collect();
        (scores, labels)
    }

    #[test]
    fn the_estimate_inside_is_the_ece() {
        let (scores, labels) = clicks(1003, |p| p, 1);
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let gaps: Vec<(f64, f64)> = data.ascending().iter().map(|&r| (data.scores()[r] - data.label(r), 1.0)).collect();
        let (a, b) = (ece_of_copies(&gaps, &vec![1; 1003], 20), ece(&equal_mass_by_rank(&data, 20)));
        assert!((a - b).abs() < 1e-14, "{a} {b}");
    }

    #[test]
    fn noise_alone_is_told_from_error() {
        // Facts of the field: a perfect model at 2.3 % CTR scores about 0.015 / 0.004 on 20 bins at 1k / 10k rows.
        for (rows, expected) in [(1_000, 0.0165), (10_000, 0.0052)] {
            let (scores, labels) = clicks(rows, |p| p, 7);
            let data = Labelled::new(&scores, &labels, None).unwrap();
            let (noise, seen) = (ece_noise(&data, 20), ece(&equal_mass_by_rank(&data, 20)));
            assert!((noise / expected - 1.0).abs() < 0.1, "{noise}");
            assert!((seen / noise - 1.0).abs() < 0.5, "{seen} {noise}");
            let interval = ece_interval(&data, 20, 3);
            assert!(interval.low < 0.3 * seen, "{interval:?} around {seen}");
        }
        let (scores, labels) = clicks(10_000, |p| 2.0 * p, 7);
        let data = Labelled::new(&scores, &labels, None).unwrap();
        let interval = ece_interval(&data, 20, 3);
        assert!(interval.low > 0.015 && interval.high < 0.031, "{interval:?}");
        assert_eq!(interval, ece_interval(&data, 20, 3));
        assert_ne!(interval, ece_interval(&data, 20, 4));
    }
}
