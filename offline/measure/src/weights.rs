//! Row weights. Only their proportions matter, not their scale.

use anyhow::{Result, bail, ensure};

use super::Sum;

/// Divides weights by their mean over the rows that count (weight above 0), so that their scale has no effect. Equal
/// weights become exactly 1.
pub fn by_their_mean(weights: &mut [f64]) {
    let (mut sum, mut rows, mut first, mut equal) = (Sum::default(), 0u64, None, true);
    for &w in weights.iter().filter(|w| **w > 0.0) {
        sum.add(w);
        rows += 1;
        equal &= *first.get_or_insert(w) == w;
    }
    let mean = if equal { first.unwrap_or(1.0) } else { sum.value() / rows as f64 };
    if mean.is_finite() {
        weights.iter_mut().for_each(|w| *w /= mean);
    }
}

/// Kish's effective number of rows, (Σw)² / Σw²: this many rows of equal weight carry as much information. 0 without weight.
pub fn effective(weights: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut squares) = (Sum::default(), Sum::default());
    weights.for_each(|w| {
        sum.add(w);
        squares.add(w * w);
    });
    if squares.value() > 0.0 { sum.value() * (sum.value() / squares.value()) } else { 0.0 }
}

/// Checks that `rows` weights are finite, not negative and not all 0.
///
/// # Errors
/// A different number of weights, or an invalid one; the message names the row.
pub fn check(weights: &[f64], rows: usize) -> Result<()> {
    ensure!(weights.len() == rows, "{rows} rows came with {} weights", weights.len());
    if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        bail!("row {row}: expected a finite weight of at least 0, found {}", weights[row]);
    }
    ensure!(weights.iter().any(|&w| w > 0.0), "all {rows} rows have weight 0");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_goes_and_the_shares_stay() {
        let mut weights = [2.0, 6.0, 0.0, 4.0];
        by_their_mean(&mut weights);
        assert_eq!(weights, [0.5, 1.5, 0.0, 1.0]);
        let mut equal = [0.1, 0.1, 0.0, 0.1];
        by_their_mean(&mut equal);
        assert_eq!(equal, [1.0, 1.0, 0.0, 1.0]);
        let mut none = [0.0; 3];
        by_their_mean(&mut none);
        assert_eq!(none, [0.0; 3]);
    }

    #[test]
    fn one_heavy_row_is_little_evidence() {
        assert!((effective([0.3; 7].into_iter()) - 7.0).abs() < 1e-12);
        let one_heavy = effective([1000.0, 1.0, 1.0, 1.0].into_iter());
        assert!((one_heavy - 1.006).abs() < 1e-3, "{one_heavy}");
        assert_eq!(effective(std::iter::empty()), 0.0);
    }
}
