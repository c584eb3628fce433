//! The functions between probabilities and logits.

/// Probabilities are clipped to `[LOGIT_CLIP, 1 − LOGIT_CLIP]` before their logit is taken.
#[cfg(feature = "builder")]
pub const LOGIT_CLIP: f64 = 1e-12;

/// Beta calibration clips probabilities to `[2⁻⁵², 1 − 2⁻⁵²]`.
#[cfg(feature = "builder")]
pub(super) const BETA_CLIP: f64 = f64::EPSILON;

/// The logit of `1 − 2⁻⁵²`: ln(2⁵² − 1).
pub(super) const BETA_LOGIT_LIMIT: f64 = 36.043_653_389_117_15;

/// The logistic function σ(z) = 1 / (1 + e⁻ᶻ), to the last bits on both sides of 0.
#[must_use]
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + libm::exp(-z))
    } else {
        let e = libm::exp(z);
        e / (1.0 + e)
    }
}

/// ln(p / (1−p)) of a probability clipped to `[LOGIT_CLIP, 1 − LOGIT_CLIP]`.
#[must_use]
#[cfg(feature = "builder")]
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(LOGIT_CLIP, 1.0 - LOGIT_CLIP);
    libm::log(p) - libm::log1p(-p)
}

/// ln(1 + eᶻ) without overflow.
pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + libm::log1p(libm::exp(-z.abs()))
}

/// The probability before negative downsampling: of a model trained on all positives and a share `w` in (0, 1] of the
/// negatives, `p / (p + (1−p)/w)`. On logits it is the addition of ln w.
#[must_use]
#[cfg(feature = "builder")]
pub fn correct_downsampling(p: f64, w: f64) -> f64 {
    p / (p + (1.0 - p) / w)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_logit_undo_each_other() {
        for i in -270..=270 {
            let z = f64::from(i) * 0.1;
            let there_and_back = logit(sigmoid(z));
            // Near 1 a probability has 2⁻⁵³ of room: 1−p = e⁻ᶻ is known to that.
            let slack = 1e-14 * (1.0 + z.abs()) + 2.3e-16 * z.max(0.0).exp();
            assert!((there_and_back - z).abs() <= slack, "{z}: {there_and_back}");
        }
        assert_eq!(sigmoid(f64::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(f64::INFINITY), 1.0);
        assert_eq!(sigmoid(-745.2), 0.0);
        assert!(sigmoid(-745.0) > 0.0);
    }

    #[test]
    fn beta_limit_is_the_logit_of_its_clip() {
        assert_eq!(BETA_LOGIT_LIMIT, libm::log(4_503_599_627_370_495.0));
    }

    #[test]
    fn downsampling_is_a_shift_of_the_logit() {
        for w in [1.0, 0.5, 0.1, 1e-3] {
            for z in [-9.0, -1.0, 0.0, 2.0, 7.0] {
                let (a, b) = (correct_downsampling(sigmoid(z), w), sigmoid(z + libm::log(w)));
                // 1−p of a rounded p near 1 carries the difference.
                assert!((a - b).abs() <= 1e-12 * b, "{z} {w}: {a} {b}");
            }
        }
    }
}
