//! Histogram binning: each bin's calibrated probability is its mean label.

use adclick::builder::calibrate::Histogram;
use adclick_measure::{Sum, bins};
use anyhow::{Result, ensure};

use super::Sample;

/// Bins of equal width.
///
/// # Errors
/// A score is not a probability, or no bins.
pub fn histogram_uniform(probabilities: &Sample, n: usize) -> Result<Histogram> {
    probabilities.need_probabilities()?;
    ensure!(n > 0, "a histogram needs at least one bin");
    fill(probabilities, bins::uniform_edges(n))
}

/// Bins between the scores' quantiles, ignoring weights; the first begins at 0, the last ends at 1.
///
/// # Errors
/// A score is not a probability, or no bins.
pub fn histogram_quantile(probabilities: &Sample, n: usize) -> Result<Histogram> {
    probabilities.need_probabilities()?;
    ensure!(n > 0, "a histogram needs at least one bin");
    let mut scores = probabilities.x.to_vec();
    scores.sort_by(f64::total_cmp);
    let mut edges = bins::quantile_edges(&scores, n);
    (edges[0], edges[n]) = (0.0, 1.0);
    fill(probabilities, edges)
}

fn fill(probabilities: &Sample, edges: Vec<f64>) -> Result<Histogram> {
    let n = edges.len() - 1;
    // An empty bin gets its midpoint.
    let middles: Vec<f64> = edges.windows(2).map(|e| 0.5 * (e[0] + e[1])).collect();
    let mut sums = vec![(Sum::default(), Sum::default()); n];
    for row in 0..probabilities.len() {
        let bin = edges[1..n].partition_point(|&e| e <= probabilities.x[row]);
        let weight = probabilities.weight(row);
        sums[bin].0.add(weight);
        sums[bin].1.add(if probabilities.labels[row] { weight } else { 0.0 });
    }
    let value = |(sum, &middle): (&(Sum, Sum), &f64)| {
        let weight = sum.0.value();
        if weight > 0.0 { (sum.1.value() / weight).clamp(0.0, 1.0) } else { middle }
    };
    let values = sums.iter().zip(&middles).map(value).collect();
    Ok(Histogram::new(edges, values)?)
}
