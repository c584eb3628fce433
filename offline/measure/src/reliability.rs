//! How reliable probabilities are, with intervals: for a person to look at, and to compare calibrators by.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::bins::{Bin, ece};
use super::smooth::Residuals;
use super::{Interval, Labelled, Spread, Sum, loss, weights};

/// Bins of the equal-mass error, as in a report.
const MASS_BINS: usize = 20;
/// Bins from which the smooth error is computed, and those whose clicks are resampled: a whole number of the latter makes
/// an equal-mass bin.
const FINE: [usize; 2] = [1000, 400];
/// Resamplings.
const DRAWS: usize = 100;
/// The 97.5th percentile of the normal law.
const Z: f64 = 1.959_963_984_540_054;

/// Measures of probabilities against labels, each with a 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Rows.
    pub rows: usize,
    /// The positive ones.
    pub clicks: usize,
    /// Σp / Σy.
    pub ratio: f64,
    /// Its interval: that of a Poisson number of clicks.
    pub ratio_interval: Interval,
    /// Mean log loss.
    pub logloss: f64,
    /// Its interval: that of a mean of independent rows.
    pub logloss_interval: Interval,
    /// ECE of [`MASS_BINS`] equal-mass bins.
    pub ece: f64,
    /// Its basic bootstrap interval.
    pub ece_interval: Interval,
    /// The smooth calibration error.
    pub smooth_ece: f64,
    /// Its basic bootstrap interval.
    pub smooth_ece_interval: Interval,
    /// Equal-mass bins for a plot.
    pub bins: Vec<ReliabilityBin>,
}

/// A bin of a reliability plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Rows, rounded.
    pub rows: usize,
    /// Their mean probability.
    pub predicted: f64,
    /// The share of positive ones.
    pub observed: f64,
    /// Its interval (Wilson's, on the effective number of rows).
    pub interval: Interval,
}

impl Reliability {
    /// Measures rows; `bins` are those of the plot. The resamplings are the same for the same seed.
    #[must_use]
    pub fn new(data: &Labelled, bins: usize, seed: u64) -> Self {
        let total = data.total();
        let (mut clicks, mut squares, mut second) = (Sum::default(), Sum::default(), Sum::default());
        let logloss = loss::log_loss(data);
        let mut positive = 0;
        for row in 0..data.len() {
            let w = data.weight(row);
            squares.add(w * w);
            if data.labels()[row] && w > 0.0 {
                clicks.add(w);
                positive += 1;
            }
            second.add((w * (loss::row_log_loss(data.scores()[row], data.labels()[row]) - logloss)).powi(2));
        }
        let (clicks, squares) = (clicks.value(), squares.value());
        let predicted = data.sum(|row| data.scores()[row]);
        let margin = Z * second.value().sqrt() / total;
        // Ties are spread, so that the order of rows has no effect.
        let [fine, resampled_bins] = FINE.map(|n| Spread::new(data, n));
        let spread = Spread::new(data, MASS_BINS);
        let [ece, smooth_ece] = [ece(spread.bins()), Residuals::of(fine.bins()).error()];
        let [ece_interval, smooth_ece_interval] =
            resampled(resampled_bins.bins(), [ece, smooth_ece], squares / total, seed);
        // Rows of equal weight carry total² / squares of evidence.
        let each = total / squares;
        Self {
            rows: data.len(),
            clicks: positive,
            ratio: predicted / clicks,
            ratio_interval: ratio_interval(predicted * each, clicks * each),
            logloss,
            logloss_interval: Interval { low: logloss - margin, high: logloss + margin },
            ece,
            ece_interval,
            smooth_ece,
            smooth_ece_interval,
            bins: reliability_bins(data, bins),
        }
    }
}

/// The 95 % interval of Σp / Σy, for a Poisson number of clicks (Byar's approximation of the exact one).
#[must_use]
pub fn ratio_interval(predicted: f64, clicks: f64) -> Interval {
    let root = |n: f64| Z / (3.0 * n.sqrt());
    let least = if clicks > 0.0 { clicks * (1.0 - 1.0 / (9.0 * clicks) - root(clicks)).max(0.0).powi(3) } else { 0.0 };
    let n = clicks + 1.0;
    let most = n * (1.0 - 1.0 / (9.0 * n) + root(n)).powi(3);
    Interval { low: predicted / most, high: predicted / least }
}

/// The equal-mass bins of a reliability plot.
#[must_use]
pub fn reliability_bins(data: &Labelled, bins: usize) -> Vec<ReliabilityBin> {
    let each = weights::effective((0..data.len()).map(|row| data.weight(row))) / data.total();
    let spread = Spread::new(data, bins);
    spread.bins().iter().filter(|bin| bin.weight > 0.0).map(|bin| point(bin, each)).collect()
}

fn point(bin: &Bin, each: f64) -> ReliabilityBin {
    ReliabilityBin {
        rows: bin.rows,
        predicted: bin.mean_score,
        observed: bin.mean_label,
        interval: wilson(bin.mean_label, bin.weight * each),
    }
}

/// Wilson's interval of a share that was seen in `n` rows.
fn wilson(share: f64, n: f64) -> Interval {
    let z = Z * Z / n;
    let middle = (share + 0.5 * z) / (1.0 + z);
    let half = Z / (1.0 + z) * (share * (1.0 - share) / n + 0.25 * z / n).sqrt();
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// Basic bootstrap intervals of both errors: 2 e − q for the quantiles q of the errors of resampled clicks, which chance
/// enlarges once more; from 0 on where a perfect model shows as much. `heavy` is Σ w² / Σ w, how much more a click's weight varies than that of single rows.
fn resampled(fine: &[Bin], seen: [f64; 2], heavy: f64, seed: u64) -> [Interval; 2] {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut errors = [const { Vec::new() }; 2];
    let merged = |fine: &[Bin]| -> Vec<Bin> {
        fine.chunks(fine.len().div_ceil(MASS_BINS).max(1))
            .map(|some| {
                let weight: f64 = some.iter().map(|b| b.weight).sum();
                let mean = |of: fn(&Bin) -> f64| some.iter().map(|b| b.weight * of(b)).sum::<f64>() / weight;
                Bin { weight, mean_score: mean(|b| b.mean_score), mean_label: mean(|b| b.mean_label), ..some[0] }
            })
            .collect()
    };
    let mut perfect = [const { Vec::new() }; 2];
    for _ in 0..DRAWS {
        // Around the shares that were seen, and around the scores as if they were right.
        let mut drawn = |around: fn(&Bin) -> f64| -> Vec<Bin> {
            let draw = |bin: &Bin| {
                let (n, share) = (bin.weight / heavy, around(bin));
                let mean = n * share * (1.0 - share);
                let noise = poisson(&mut random, mean) - mean;
                Bin { mean_label: share + if n > 0.0 { noise / n } else { 0.0 }, ..*bin }
            };
            fine.iter().map(draw).collect()
        };
        for (errors, bins) in [(&mut errors, drawn(|bin| bin.mean_label)), (&mut perfect, drawn(|bin| bin.mean_score))]
        {
            errors[0].push(ece(&merged(&bins)));
            errors[1].push(Residuals::of(&bins).error());
        }
    }
    let mut at = seen.iter().zip(perfect);
    errors.map(|mut errors| {
        errors.sort_by(f64::total_cmp);
        let quantile = |errors: &[f64], share: f64| errors[((DRAWS - 1) as f64 * share).round() as usize];
        let Some((&seen, mut perfect)) = at.next() else { return Interval { low: f64::NAN, high: f64::NAN } };
        perfect.sort_by(f64::total_cmp);
        let is_chance = seen <= quantile(&perfect, 0.975);
        let low = if is_chance { 0.0 } else { (2.0 * seen - quantile(&errors, 0.975)).max(0.0) };
        Interval { low, high: (2.0 * seen - quantile(&errors, 0.025)).max(seen) }
    })
}

/// A Poisson number; from 50 on by the normal law.
fn poisson(random: &mut ChaCha8Rng, mean: f64) -> f64 {
    if mean >= 50.0 {
        let normal = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        return (mean + mean.sqrt() * normal).max(0.0);
    }
    let (limit, mut product, mut n) = ((-mean).exp(), random.random::<f64>(), 0.0);
    while product > limit {
        product *= random.random::<f64>();
        n += 1.0;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::super::bins::equal_mass_by_rank;
    use super::*;

    fn rows(n: u32, truth: impl Fn(f64) -> f64, seed: u64) -> (Vec<f64>, Vec<bool>) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let p = 0.3 * random.random::<f64>().powi(2);
                (p, random.random_bool(truth(p)))
            })
            .unzip()
    }

    #[test]
    fn intervals_hold_what_is_true_and_see_what_is_not() {
        let mut held = [0; 2];
        for seed in 0..12 {
            let (p, y) = rows(4000, |p| p, seed);
            let right = Reliability::new(&Labelled::new(&p, &y, None).unwrap(), 10, seed);
            held[0] += usize::from(right.ratio_interval.low <= 1.0 && 1.0 <= right.ratio_interval.high);
            held[1] += usize::from(right.smooth_ece_interval.low == 0.0);
        }
        assert!(held[0] >= 9 && held[1] >= 9, "{held:?} of 12");
        let (p, y) = rows(20_000, |p| 0.5 * p, 1);
        let half = Reliability::new(&Labelled::new(&p, &y, None).unwrap(), 10, 1);
        let Interval { low, high } = half.ratio_interval;
        assert!(low > 1.8 && (low..high).contains(&2.0) && high < 2.4, "{half:?}");
        assert!((half.ece - 0.05).abs() < 0.006 && half.ece_interval.low > 0.04, "{half:?}");
        assert!(half.smooth_ece > 0.025 && half.smooth_ece_interval.low > 0.02, "{half:?}");
        assert!(half.bins.iter().skip(2).all(|b| b.interval.high < b.predicted), "{half:?}");
    }

    #[test]
    fn weights_are_evidence_only_as_far_as_they_are_equal() {
        let (p, y) = rows(5000, |p| p, 3);
        let plain = Reliability::new(&Labelled::new(&p, &y, None).unwrap(), 10, 1);
        let same = Reliability::new(&Labelled::new(&p, &y, Some(&vec![3.0; 5000])).unwrap(), 10, 1);
        assert!((plain.ratio_interval.low - same.ratio_interval.low).abs() < 1e-9);
        assert!((plain.logloss_interval.high - same.logloss_interval.high).abs() < 1e-12);
        let uneven: Vec<f64> = (0..5000).map(|i| if i % 5 == 0 { 5.0 } else { 0.0001 }).collect();
        let wide = Reliability::new(&Labelled::new(&p, &y, Some(&uneven)).unwrap(), 10, 1).ratio_interval;
        assert!(wide.high - wide.low > 1.8 * (plain.ratio_interval.high - plain.ratio_interval.low), "{wide:?}");
    }

    #[test]
    fn without_clicks_the_ratio_has_no_upper_end() {
        let interval = ratio_interval(2.0, 0.0);
        assert!(interval.high == f64::INFINITY && (interval.low - 2.0 / 3.69).abs() < 0.05, "{interval:?}");
        // The exact interval of 10 clicks is 4.795 to 18.39.
        let ten = ratio_interval(10.0, 10.0);
        assert!((10.0 / ten.high - 4.795).abs() < 0.02 && (10.0 / ten.low - 18.39).abs() < 0.02, "{ten:?}");
    }

    /// relplot 1.0 (`smECE`), the implementation of the measure's authors, gives these figures for these numbers.
    #[test]
    fn the_smooth_error_is_that_of_its_authors() {
        let chance = |i: usize| (i * 7919 % 1000) as f64 / 1000.0;
        let of = |p: Vec<f64>, y: Vec<bool>| Reliability::new(&Labelled::new(&p, &y, None).unwrap(), 10, 1).smooth_ece;
        let p: Vec<f64> = (0..3000).map(|i| 0.3 * ((f64::from(i) + 0.5) / 3000.0).powi(2)).collect();
        let y: Vec<bool> = p.iter().enumerate().map(|(i, p)| chance(i) < 1.6 * p).collect();
        let error = of(p, y);
        assert!((error / 0.060_325 - 1.0).abs() < 0.01, "{error}");
        let p: Vec<f64> = (0..2000).map(|i| 0.3 + 0.2 * f64::from(i).sin()).collect();
        let y: Vec<bool> = p.iter().enumerate().map(|(i, p)| chance(i) < p.powf(1.5)).collect();
        let error = of(p, y);
        assert!((error / 0.120_458 - 1.0).abs() < 0.01, "{error}");
    }

    #[test]
    fn the_smooth_error_is_that_of_a_plain_sum() {
        let (p, y) = rows(3000, |p| (1.6 * p).min(1.0), 5);
        let data = Labelled::new(&p, &y, None).unwrap();
        let error = Residuals::of(&equal_mass_by_rank(&data, 3000)).error();
        // The definition, plainly: the kernel's images at the ends, the integral by a fine sum.
        let kernel = |x: f64, s: f64| (-0.5 * (x / s).powi(2)).exp() / (s * (2.0 * std::f64::consts::PI).sqrt());
        let at = |s: f64| {
            let steps = 2000;
            let sum: f64 = (0..steps)
                .map(|k| {
                    let t = (f64::from(k) + 0.5) / f64::from(steps);
                    let r: f64 = p
                        .iter()
                        .zip(&y)
                        .map(|(&p, &y)| {
                            (f64::from(u8::from(y)) - p)
                                * (kernel(t - p, s) + kernel(t + p, s) + kernel(2.0 - t - p, s))
                        })
                        .sum();
                    (r / 3000.0).abs() / f64::from(steps)
                })
                .sum();
            sum
        };
        assert!(at(error * 0.98) > error * 0.98 && at(error * 1.02) < error * 1.02, "{error}");
    }
}
