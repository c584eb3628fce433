//! Isotonic regression by pooling adjacent violators.

use adclick::builder::calibrate::Isotonic;
use adclick_measure::Sum;
use anyhow::Result;

use super::Sample;

/// Scores closer together than this are one score.
const RESOLUTION: f64 = 1e-15;

/// The share of the straight line that is mixed into a served curve so that no two scores tie.
const TILT: f64 = 0.01;

/// A stretch of scores with one fitted value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// The least score.
    pub lo: f64,
    /// The greatest score.
    pub hi: f64,
    /// The weight of its rows.
    pub weight: f64,
    /// The weight of its positive rows.
    pub clicks: f64,
}

impl Block {
    fn rate(&self) -> f64 {
        self.clicks / self.weight
    }
}

/// The blocks of the isotonic fit, ascending in score and in rate. Rows with one score are pooled by weight first;
/// rows of weight 0 are left out.
///
/// # Errors
/// A score is not a probability.
pub fn pool(probabilities: &Sample) -> Result<Vec<Block>> {
    probabilities.need_probabilities()?;
    let mut order: Vec<usize> = (0..probabilities.len()).filter(|&row| probabilities.weight(row) > 0.0).collect();
    order.sort_by(|&a, &b| probabilities.x[a].total_cmp(&probabilities.x[b]));
    let mut blocks: Vec<Block> = Vec::new();
    let mut rows = order.into_iter().peekable();
    while let Some(first) = rows.next() {
        // All rows of one score.
        let x = probabilities.x[first];
        let mut block = Block { lo: x, hi: x, weight: 0.0, clicks: 0.0 };
        let mut row = Some(first);
        while let Some(r) = row {
            block.weight += probabilities.weight(r);
            block.clicks += if probabilities.labels[r] { probabilities.weight(r) } else { 0.0 };
            row = rows.next_if(|&r| probabilities.x[r] - x < RESOLUTION);
        }
        // Pool with the blocks before it that are not lower.
        while let Some(before) = blocks.pop_if(|before| before.rate() >= block.rate()) {
            block.lo = before.lo;
            block.weight += before.weight;
            block.clicks += before.clicks;
        }
        blocks.push(block);
    }
    Ok(blocks)
}

/// Isotonic regression of the labels on probabilities, with a knot at both ends of each block. It keeps plateaus at 0
/// and 1 and ties; for serving see [`isotonic_for_serving`].
///
/// # Errors
/// A score is not a probability.
pub fn isotonic(probabilities: &Sample) -> Result<Isotonic> {
    let blocks = pool(probabilities)?;
    let rates: Vec<f64> = blocks.iter().map(Block::rate).collect();
    let (x, y) = knots(&blocks, &rates);
    Ok(Isotonic::new(x, y)?)
}

/// Isotonic regression made safe to serve.
///
/// - A lowest block without clicks would predict 0, and a later click there would cost an infinite loss. It gets
///   1/(N+2), N the number of its rows (Laplace's rule), but no more than the block after it. A highest block of clicks
///   alone gets 1 − 1/(N+2), but no less than the block before it.
/// - Plateaus would tie candidates that the model told apart. 1 % of the straight line `y = x` is mixed in, with knots
///   at 0 and 1, so the curve is strictly increasing everywhere.
/// - Both move the mean. All odds are therefore multiplied by one factor that makes the curve's mean over the rows
///   equal to their mean label again.
///
/// Rows of one class give a flat curve at 0 or 1, tilted; there is no mean to restore.
///
/// # Errors
/// A score is not a probability.
pub fn isotonic_for_serving(probabilities: &Sample) -> Result<Isotonic> {
    let blocks = pool(probabilities)?;
    let (x, y) = knots(&blocks, &bounded(&blocks));
    let ends = (y.first().copied().unwrap_or(0.0), y.last().copied().unwrap_or(1.0));
    let curve = std::iter::once((0.0, ends.0)).chain(x.into_iter().zip(y)).chain(std::iter::once((1.0, ends.1)));
    let mut knots: (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for (x, y) in curve {
        // A score of exactly 0 or 1 has its knot already.
        if knots.0.last().is_none_or(|&last| x > last) {
            knots.0.push(x);
            knots.1.push((1.0 - TILT) * y + TILT * x);
        }
    }
    let (weight, clicks) = blocks.iter().fold((0.0, 0.0), |(w, c), b| (w + b.weight, c + b.clicks));
    if clicks > 0.0 && clicks < weight {
        let factor = factor_of_odds(&masses(probabilities, &knots.0), &knots.1, clicks);
        knots.1.iter_mut().for_each(|y| *y = with_odds(*y, factor));
    }
    // Knots that are so close that rounding merges or swaps them become one.
    let mut kept: (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for (&x, &y) in knots.0.iter().zip(&knots.1) {
        while x == 1.0 && kept.0.len() > 1 && kept.1.last().is_some_and(|&last| last >= y) {
            kept.0.pop();
            kept.1.pop();
        }
        if x == 1.0 || kept.1.last().is_none_or(|&last| last < y) {
            kept.0.push(x);
            kept.1.push(y);
        }
    }
    Ok(Isotonic::new(kept.0, kept.1)?)
}

/// The blocks' rates, with the first raised above 0 and the last lowered below 1.
fn bounded(blocks: &[Block]) -> Vec<f64> {
    let mut rates: Vec<f64> = blocks.iter().map(Block::rate).collect();
    let last = rates.len() - 1;
    if last > 0 && rates[0] <= 0.0 {
        rates[0] = (1.0 / (blocks[0].weight + 2.0)).min(rates[1]);
    }
    if last > 0 && rates[last] >= 1.0 {
        rates[last] = (1.0 - 1.0 / (blocks[last].weight + 2.0)).max(rates[last - 1]);
    }
    rates
}

/// The weight of each knot; a row between two knots counts for both in the proportion of the curve's interpolation.
fn masses(probabilities: &Sample, x: &[f64]) -> Vec<f64> {
    let mut masses = vec![Sum::default(); x.len()];
    for row in 0..probabilities.len() {
        let (p, weight) = (probabilities.x[row], probabilities.weight(row));
        let above = x.partition_point(|&knot| knot <= p).min(x.len() - 1);
        let share = (p - x[above - 1]) / (x[above] - x[above - 1]);
        masses[above - 1].add(weight * (1.0 - share));
        masses[above].add(weight * share);
    }
    masses.into_iter().map(Sum::value).collect()
}

/// Multiplies the odds of a probability.
fn with_odds(p: f64, factor: f64) -> f64 {
    p * factor / (p * factor + (1.0 - p))
}

/// The factor of all odds that makes Σ mass · y equal to `clicks`; found by bisection, as the sum rises with it.
fn factor_of_odds(masses: &[f64], y: &[f64], clicks: f64) -> f64 {
    let (mut low, mut high) = (-60.0_f64, 60.0_f64);
    while high - low > 1e-15 {
        let middle = 0.5 * (low + high);
        let factor = libm::exp(middle);
        let mut sum = Sum::default();
        masses.iter().zip(y).for_each(|(mass, &y)| sum.add(mass * with_odds(y, factor)));
        let end = if sum.value() < clicks { &mut low } else { &mut high };
        if *end == middle {
            break;
        }
        *end = middle;
    }
    libm::exp(0.5 * (low + high))
}

/// A knot at both ends of each block, at its rate.
fn knots(blocks: &[Block], rates: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (block, &rate) in blocks.iter().zip(rates) {
        x.push(block.lo);
        y.push(rate);
        if block.hi > block.lo {
            x.push(block.hi);
            y.push(rate);
        }
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use adclick::builder::calibrate::Calibrator;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn violators_are_pooled_by_weight() {
        let sample = Sample::new(
            &[0.1, 0.2, 0.2, 0.3, 0.4, 0.5],
            &[true, false, true, false, true, true],
            Some(&[1.0, 2.0, 1.0, 4.0, 1.0, 0.0]),
        )
        .unwrap();
        let curve = isotonic(&sample).unwrap();
        assert_eq!(curve.x(), [0.1, 0.3, 0.4]);
        assert_eq!(curve.y(), [0.25, 0.25, 1.0]);
    }

    #[test]
    fn a_served_curve_is_never_certain_and_never_ties() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) / 199.0).collect();
        let labels: Vec<bool> = (0..200).map(|i| i > 150 || (i > 40 && i % 3 == 0)).collect();
        let sample = Sample::new(&x, &labels, None).unwrap();
        let plain = Calibrator::Isotonic(isotonic(&sample).unwrap());
        assert_eq!((plain.apply_probability(0.0), plain.apply_probability(1.0)), (0.0, 1.0));
        assert!(!plain.is_strictly_increasing());
        let served = Calibrator::Isotonic(isotonic_for_serving(&sample).unwrap());
        assert!(served.is_strictly_increasing());
        // The curve begins with 42 rows without a click and ends with 50 of only clicks; the mean stays.
        let end = |p: f64, bound: f64| served.apply_probability(p) / bound;
        assert!((end(0.0, 0.99 / 44.0) - 1.0).abs() < 0.03, "{}", end(0.0, 0.99 / 44.0));
        let certain = 1.0 - (0.99 * (1.0 - 1.0 / 52.0) + 0.01);
        assert!(((1.0 - served.apply_probability(1.0)) / certain - 1.0).abs() < 0.03);
        let predicted: f64 = x.iter().map(|&p| served.apply_probability(p)).sum();
        let clicks = labels.iter().filter(|&&y| y).count() as f64;
        assert!((predicted - clicks).abs() < 1e-9, "{predicted} for {clicks}");
        for p in &x {
            let (a, b) = (plain.apply_probability(*p), served.apply_probability(*p));
            assert!((a - b).abs() < 0.035, "{p}: {a} {b}");
        }
    }

    #[test]
    fn one_class_is_a_flat_curve_off_the_ends() {
        let sample = Sample::new(&[0.2, 0.6], &[false, false], None).unwrap();
        let served = isotonic_for_serving(&sample).unwrap();
        assert!(served.y().windows(2).all(|y| y[0] < y[1]));
        assert!(served.y()[0] >= 0.0 && served.y()[3] <= 0.02, "{served:?}");
    }

    /// Clicks on calibrated scores, and the curve's predictions for these scores.
    fn predicted(scores: &[f64], random: &mut ChaCha8Rng) -> (f64, Vec<f64>) {
        let labels: Vec<bool> = scores.iter().map(|&p| random.random_bool(p)).collect();
        let sample = Sample::new(scores, &labels, None).unwrap();
        let curve = Calibrator::Isotonic(isotonic_for_serving(&sample).unwrap());
        let clicks = labels.iter().filter(|&&y| y).count() as f64;
        (clicks, scores.iter().map(|&p| curve.apply_probability(p)).collect())
    }

    #[test]
    fn few_clicks_are_not_made_many() {
        // p = 0.08 i/1000: some 40 clicks, 3.6 of them in the lowest 300 rows.
        let scores: Vec<f64> = (0..1000).map(|i| 0.08 * f64::from(i) / 1000.0).collect();
        let mut random = ChaCha8Rng::seed_from_u64(42);
        let expected: f64 = scores.iter().sum();
        let (mut all, mut lowest) = (0.0, 0.0);
        let fits = 400;
        for _ in 0..fits {
            let (clicks, curve) = predicted(&scores, &mut random);
            let sum: f64 = curve.iter().sum();
            assert!((sum - clicks).abs() < 1e-6 * clicks, "{sum} for {clicks}");
            all += sum / expected / f64::from(fits);
            lowest += curve[..300].iter().sum::<f64>() / scores[..300].iter().sum::<f64>() / f64::from(fits);
        }
        println!("mean of {fits} fits: {all:.4} of all clicks, {lowest:.3} of the lowest 300 rows'");
        // Within three standard errors of 1: the fits have √(39.96) clicks of noise each.
        assert!((all - 1.0).abs() < 3.0 / (expected * f64::from(fits)).sqrt(), "{all}");
        assert!(lowest < 1.25, "{lowest}");
    }

    #[test]
    fn the_tilt_does_not_move_the_mean() {
        // The model predicts five times too much.
        let scores: Vec<f64> = (0..4000).map(|i| 0.02 + 0.3 * f64::from(i) / 4000.0).collect();
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let labels: Vec<bool> = scores.iter().map(|&p| random.random_bool(0.2 * p)).collect();
        let sample = Sample::new(&scores, &labels, None).unwrap();
        let curve = Calibrator::Isotonic(isotonic_for_serving(&sample).unwrap());
        let (sum, clicks): (f64, usize) =
            (scores.iter().map(|&p| curve.apply_probability(p)).sum(), labels.iter().filter(|&&y| y).count());
        assert!((sum / clicks as f64 - 1.0).abs() < 1e-9, "{sum} for {clicks}");
        assert!(curve.is_strictly_increasing());
    }
}
