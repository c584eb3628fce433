//! Log loss of one or two heads, and its gradients at the logits.

use adclick::builder::artifact::model::spec::HeadKind;

use super::encode::Label;

/// σ(z).
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

/// ln(1 + e^z).
pub(super) fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// The targets of one example's logits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge {
    /// ln w of negative downsampling; added to the click logit to get the logit over all impressions.
    pub(super) log_keep: f64,
    /// Whether the first head is trained on clicks.
    clicks: bool,
    /// Whether the last head is trained on clicks that convert.
    pub(super) conversions: bool,
}

impl Judge {
    pub(super) fn of(heads: &[HeadKind], keep: f64) -> Self {
        let has = |kind| heads.contains(&kind);
        Self { log_keep: keep.ln(), clicks: has(HeadKind::Ctr), conversions: has(HeadKind::Cvr) }
    }

    /// The correction that serving adds to the logit of a head.
    pub(super) fn correction(&self, kind: HeadKind) -> f64 {
        if kind == HeadKind::Ctr { self.log_keep } else { 0.0 }
    }

    /// The loss at the logits as served, after the downsampling correction: log loss of the click, plus that of click
    /// and conversion (ESMM) where both are known. Without a click head, log loss of the conversion of clicked rows.
    pub(super) fn loss(&self, logits: &[f64], label: &Label) -> f64 {
        if !self.clicks {
            return conversion(label).map_or(0.0, |y| softplus(if y { -logits[0] } else { logits[0] }));
        }
        let click = softplus(if label.click { -logits[0] } else { logits[0] });
        let Some((both, weight)) = self.both(label) else { return click };
        let log_p = -softplus(-logits[0]) - softplus(-logits[1]);
        click - weight * if both { log_p } else { (-log_p.exp()).ln_1p().max(-50.0) }
    }

    /// Replaces the raw logits (before the downsampling correction) by the gradients of the weighted loss. Where the
    /// rate of conversions per impression is learnt, an unclicked example stands for all those that were dropped; the
    /// click head learns the rate among the kept ones.
    pub(super) fn gradient(&self, logits: &mut [f32], label: &Label) {
        let weight = f64::from(label.weight);
        let z = f64::from(logits[0]);
        if !self.clicks {
            logits[0] = conversion(label).map_or(0.0, |y| weight * (sigmoid(z) - f64::from(u8::from(y)))) as f32;
            return;
        }
        let mut click = weight * (sigmoid(z) - f64::from(u8::from(label.click)));
        if let Some((both, share)) = self.both(label) {
            let weight = weight * share;
            let stands_for = if label.click { weight } else { weight * (-self.log_keep).exp() };
            let (p, q) = (sigmoid(z + self.log_keep), sigmoid(f64::from(logits[1])));
            let odds = if both { -1.0 } else { p * q / (1.0 - p * q).max(1e-12) };
            click += stands_for * odds * (1.0 - p);
            logits[1] = (stands_for * odds * (1.0 - q)) as f32;
        } else if self.conversions {
            logits[1] = 0.0;
        }
        logits[0] = click as f32;
    }

    /// Whether the impression was clicked and converted, if known, and the row's weight in that: clicked rows without a
    /// label drop out of the loss, and the unclicked rows beside them in the same proportion.
    fn both(&self, label: &Label) -> Option<(bool, f64)> {
        match label.click {
            _ if !self.conversions => None,
            true => label.conversion.map(|converted| (converted, 1.0)),
            false => Some((false, f64::from(label.known))),
        }
    }
}

/// Whether a click converted, if known.
pub(super) fn conversion(label: &Label) -> Option<bool> {
    label.conversion.filter(|_| label.click)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_the_loss() {
        let judge = Judge::of(&[HeadKind::Ctr, HeadKind::Cvr], 1.0);
        for (click, conversion) in [(false, Some(false)), (true, Some(false)), (true, Some(true)), (true, None)] {
            let label = Label { click, conversion, weight: 2.0, known: 0.7 };
            for at in [[-2.0, 1.5], [0.3, -0.7], [4.0, 3.0]] {
                let mut got = [at[0] as f32, at[1] as f32];
                judge.gradient(&mut got, &label);
                for i in 0..2 {
                    let (mut up, mut down) = (at, at);
                    up[i] += 1e-5;
                    down[i] -= 1e-5;
                    let slope = 2.0 * (judge.loss(&up, &label) - judge.loss(&down, &label)) / 2e-5;
                    assert!((slope - f64::from(got[i])).abs() < 1e-5, "{label:?} at {at:?}: {slope} and {got:?}");
                }
            }
        }
    }
}
