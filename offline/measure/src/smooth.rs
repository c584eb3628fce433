//! The smooth calibration error (Błasiok and Nakkiran 2023): no bins, so that no edge decides it.

use super::bins::Bin;

/// The most cells that [0, 1] is divided into.
const FINEST: usize = 1 << 16;
/// A kernel reaches so many bandwidths.
const REACH: f64 = 5.0;
/// A bandwidth takes at least so many cells.
const CELLS: f64 = 12.0;
/// Steps of bisection.
const HALVINGS: usize = 16;

/// Labels less scores at their scores, each with its weight; together with all weights.
#[derive(Debug, Clone)]
pub(super) struct Residuals {
    /// Score and sum.
    sums: Vec<(f64, f64)>,
    total: f64,
}

impl Residuals {
    /// Those of bins that are narrow enough.
    pub(super) fn of(bins: &[Bin]) -> Self {
        let bins = bins.iter().filter(|bin| bin.weight > 0.0);
        let total = bins.clone().map(|bin| bin.weight).sum();
        let sums = bins.map(|bin| (bin.mean_score, bin.weight * (bin.mean_label - bin.mean_score))).collect();
        Self { sums, total }
    }

    /// The error: the bandwidth σ at which the residuals, smoothed by a Gaussian kernel of width σ that is reflected at 0
    /// and 1, have a mean absolute value of σ. Smoothing more leaves less, so there is one.
    pub(super) fn error(&self) -> f64 {
        // It is no more than the residuals without smoothing.
        let most = self.sums.iter().map(|(_, sum)| sum.abs()).sum::<f64>() / self.total;
        let (mut low, mut high) = (0.0, most);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            *(if self.smoothed(middle) > middle { &mut low } else { &mut high }) = middle;
        }
        0.5 * (low + high)
    }

    /// ∫ |Σ w (y − p) K_σ(t, p)| dt / Σ w.
    fn smoothed(&self, width: f64) -> f64 {
        let mut cells = FINEST;
        while cells > 64 && width * (cells / 2) as f64 >= CELLS {
            cells /= 2;
        }
        let mut sums = vec![0.0; cells];
        for &(score, sum) in &self.sums {
            sums[((score * cells as f64) as usize).min(cells - 1)] += sum;
        }
        let step = width * cells as f64;
        let reach = ((REACH * step).ceil() as isize).min(cells as isize);
        let kernel: Vec<f64> = (0..=reach).map(|k| (-0.5 * (k as f64 / step).powi(2)).exp()).collect();
        let whole: f64 = kernel[0] + 2.0 * kernel[1..].iter().sum::<f64>();
        let n = cells as isize;
        let mut smooth = vec![0.0; cells];
        for (at, &sum) in sums.iter().enumerate().filter(|(_, sum)| **sum != 0.0) {
            for k in -reach..=reach {
                // Cell −1 is the image of cell 0, and cell n that of n − 1.
                let place = at as isize + k;
                let place = if place < 0 { -1 - place } else { place };
                let place = if place >= n { 2 * n - 1 - place } else { place };
                if let Some(cell) = smooth.get_mut(place.unsigned_abs()) {
                    *cell += sum * kernel[k.unsigned_abs()] / whole;
                }
            }
        }
        smooth.iter().map(|s| s.abs()).sum::<f64>() / self.total
    }
}
