//! Losses of probabilities, and the ratio of predicted to observed clicks.

use super::Labelled;

/// Log loss clips probabilities to `[CLIP, 1 − CLIP]`, CLIP = 2⁻⁵², so that a certain but wrong score costs 36.04.
pub const CLIP: f64 = f64::EPSILON;

/// The log loss of one row.
#[must_use]
pub fn row_log_loss(score: f64, label: bool) -> f64 {
    let p = score.clamp(CLIP, 1.0 - CLIP);
    if label { -p.ln() } else { -(-p).ln_1p() }
}

/// The mean log loss.
#[must_use]
pub fn log_loss(data: &Labelled) -> f64 {
    data.sum(|row| row_log_loss(data.scores()[row], data.labels()[row])) / data.total()
}

/// The entropy of a rate, in nats.
#[must_use]
pub fn entropy(rate: f64) -> f64 {
    -(rate * rate.ln() + (1.0 - rate) * (-rate).ln_1p())
}

/// Normalised entropy (He et al. 2014): the mean log loss divided by the entropy of the mean label, which is the loss
/// of constantly predicting the CTR. NaN with one class only.
#[must_use]
pub fn normalised_entropy(data: &Labelled) -> f64 {
    log_loss(data) / entropy(data.mean_label())
}

/// The mean squared difference between score and label.
#[must_use]
pub fn brier(data: &Labelled) -> f64 {
    data.sum(|row| (data.scores()[row] - data.label(row)).powi(2)) / data.total()
}

/// Σp / Σy: above 1, more clicks were predicted than observed.
#[must_use]
pub fn calibration_ratio(data: &Labelled) -> f64 {
    data.sum(|row| data.scores()[row]) / data.sum(|row| data.label(row))
}
