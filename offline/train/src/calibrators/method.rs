//! The available calibrators, and fitting one in the form that serving applies.

use adclick::builder::calibrate::{Calibrator, sigmoid};
use anyhow::Result;
use serde::Serialize;

use super::{Sample, Targets, beta, isotonic_for_serving, platt, shift, temperature};

/// The available calibrators, the simplest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The model's own probabilities.
    Identity,
    /// One parameter: a constant added to all logits. For a model that over- or underpredicts by a factor.
    Shift,
    /// One parameter: all logits divided by T, which leaves 0.5 where it is. For an overconfident model.
    Temperature,
    /// Two parameters: slope and intercept of the logit.
    Platt,
    /// Three parameters: a slope at either end, and an intercept.
    Beta,
    /// A free non-decreasing curve, bounded and tilted for serving.
    Isotonic,
}

impl Method {
    /// All of them, the simplest first.
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Shift, Self::Temperature, Self::Platt, Self::Beta, Self::Isotonic];

    /// The method of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Shift => "shift",
            Self::Temperature => "temperature",
            Self::Platt => "platt",
            Self::Beta => "beta",
            Self::Isotonic => "isotonic",
        }
    }
}

/// Fits one method on logits in the form that serving applies: Platt with smoothed targets, isotonic bounded and
/// tilted. Only the proportions of the weights matter: where a method depends on the number of rows, that is Kish's
/// effective number.
///
/// # Errors
/// The method cannot be fitted on these rows.
pub fn fit(method: Method, logits: &Sample) -> Result<Calibrator> {
    let probabilities = || logits.x.iter().map(|&z| sigmoid(z)).collect::<Vec<_>>();
    let counts = logits.counts();
    let counted = Sample { weights: counts.as_deref(), ..*logits };
    Ok(match method {
        Method::Identity => Calibrator::Identity,
        Method::Shift => Calibrator::Platt(shift(logits)?),
        Method::Temperature => Calibrator::Temperature(temperature(logits)?),
        Method::Platt => Calibrator::Platt(platt(&counted, Targets::Smoothed)?),
        Method::Beta => Calibrator::Beta(beta(&Sample { x: &probabilities(), ..*logits })?),
        Method::Isotonic => Calibrator::Isotonic(isotonic_for_serving(&Sample { x: &probabilities(), ..counted })?),
    })
}
