//! Isotonic regression by pooling adjacent violators.

use adclick::calibrate::Isotonic;
use anyhow::Result;

use super::Sample;

/// Scores closer than this are one score.
const RESOLUTION: f64 = 1e-15;

/// How much of the straight line is mixed into a served curve, so that no two scores tie.
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

/// Isotonic regression of the labels on probabilities: a knot at both ends of each block. Plateaus at 0 and 1 and
/// ties are in it; for serving see [`isotonic_for_serving`].
///
/// # Errors
/// A score is not a probability.
pub fn isotonic(probabilities: &Sample) -> Result<Isotonic> {
    let (x, y) = knots(&pool(probabilities)?);
    Ok(Isotonic::new(x, y)?)
}

/// Isotonic regression made safe to serve, in two ways.
///
/// A lowest block without clicks would predict 0, and an infinite loss when one comes: values are kept at or above
/// 1/(N+2), N the weight of the lowest block, as Laplace's rule has it (but not above the mean label); the same at the
/// upper end. And plateaus would make candidates tie that the model told apart: 1 % of the straight line `y = x` is
/// mixed in, with knots at 0 and 1, so that the curve is strictly increasing everywhere.
///
/// # Errors
/// A score is not a probability.
pub fn isotonic_for_serving(probabilities: &Sample) -> Result<Isotonic> {
    let blocks = pool(probabilities)?;
    let (x, mut y) = knots(&blocks);
    let (weight, clicks) = blocks.iter().fold((0.0, 0.0), |(w, c), b| (w + b.weight, c + b.clicks));
    let least = blocks.first().map_or(0.0, |b| 1.0 / (b.weight + 2.0)).min(clicks / weight);
    let most = blocks.last().map_or(1.0, |b| 1.0 - 1.0 / (b.weight + 2.0)).max(clicks / weight);
    y.iter_mut().for_each(|y| *y = y.clamp(least, most));
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
    Ok(Isotonic::new(knots.0, knots.1)?)
}

fn knots(blocks: &[Block]) -> (Vec<f64>, Vec<f64>) {
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for block in blocks {
        x.push(block.lo);
        y.push(block.rate());
        if block.hi > block.lo {
            x.push(block.hi);
            y.push(block.rate());
        }
    }
    (x, y)
}

#[cfg(test)]
mod tests {
    use adclick::calibrate::Calibrator;

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
        // 42 rows without a click begin the curve, 50 with nothing else end it.
        assert!((served.apply_probability(0.0) - 0.99 / 44.0).abs() < 1e-12, "{}", served.apply_probability(0.0));
        let end = 0.99 * (1.0 - 1.0 / 52.0) + 0.01;
        assert!((served.apply_probability(1.0) - end).abs() < 1e-12, "{}", served.apply_probability(1.0));
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
}
