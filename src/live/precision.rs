//! How a generation is to be computed: what the bundle or the configuration asks for, and what this CPU serves.

use std::sync::Arc;

use super::generation::weights;
use super::golden;
use crate::artifact::model::Model;
use crate::error::{Error, Result};
use crate::infer::{Arithmetic, Kernel, Plan};
use crate::types::Precision;

/// How far a golden request's logit may be off in a fast arithmetic before it is not served: this share of its size, or of
/// 1 when it is smaller.
const FARTHEST: f64 = 0.25;
/// A candidate's exact logit is taken to be within so many times what the golden requests were off at most. Each request
/// checks it on the candidates that it computes exactly.
const MARGIN: f64 = 4.0;
/// The least that a logit is taken to be off.
const LEAST_MARGIN: f64 = 1.0 / 64.0;

/// The precision of a generation.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    /// What was asked for.
    pub(crate) wanted: Precision,
    /// What is served: the same, or exact.
    pub(crate) precision: Precision,
    /// Why they differ.
    pub(crate) reason: Option<String>,
    /// The plan in the fast arithmetic; none when all is exact.
    pub(crate) fast: Option<Arc<Plan>>,
    /// How far a fast logit may be off: this share of its size, or of 1 when it is smaller.
    pub(crate) tolerance: f32,
}

impl Serving {
    /// Everything exact.
    pub(crate) fn exact() -> Self {
        Self { wanted: Precision::Exact, precision: Precision::Exact, reason: None, fast: None, tolerance: 0.0 }
    }

    /// Makes the plan that `wanted` needs and runs the golden requests with it. Where that cannot be, all is exact and the
    /// reason is kept.
    ///
    /// # Errors
    /// Only what is wrong with the model itself.
    pub(crate) fn prepare(model: &Model, kernel: &'static Kernel, wanted: Precision) -> Result<Self> {
        let arithmetic = match wanted {
            Precision::Exact => return Ok(Self::exact()),
            Precision::Bf16 | Precision::AuctionExact => Arithmetic::Bf16,
            Precision::Int8 => Arithmetic::Int8,
        };
        let falls_back = |reason: String| Ok(Self { wanted, reason: Some(reason), ..Self::exact() });
        if arithmetic == Arithmetic::Int8 && model.ranges().is_empty() {
            return falls_back("the model has no ranges for int8: pack it with rows to find them".to_owned());
        }
        let plan = match Plan::with(model.network(), weights(model), kernel, arithmetic, model.ranges()) {
            Ok(plan) => plan,
            Err(error) if error.status == crate::Status::Unsupported => return falls_back(error.message),
            Err(error) => return Err(error),
        };
        let worst = golden::farthest(model, &plan)?;
        if let Some(worst) = worst.filter(|&worst| worst.is_nan() || worst > FARTHEST) {
            return falls_back(format!(
                "in {} a golden request's logit is off by {worst:.3}, and {FARTHEST} is the most",
                wanted.name()
            ));
        }
        let tolerance = (worst.unwrap_or(FARTHEST / MARGIN) * MARGIN).max(LEAST_MARGIN) as f32;
        Ok(Self { wanted, precision: wanted, reason: None, fast: Some(Arc::new(plan)), tolerance })
    }

    /// The plan for probabilities of all candidates, and the precision that they have. Probabilities alone decide no
    /// auction, so `AuctionExact` gives exact ones.
    pub(crate) fn of_scores<'a>(&'a self, exact: &'a Plan) -> (&'a Plan, Precision) {
        match (self.precision, &self.fast) {
            (Precision::Bf16 | Precision::Int8, Some(fast)) => (fast, self.precision),
            _ => (exact, Precision::Exact),
        }
    }
}

/// The text of `serving.toml`.
#[must_use]
pub fn text(precision: Precision) -> String {
    format!("precision = \"{}\"\n", precision.name())
}

/// What the text of `serving.toml` says.
///
/// # Errors
/// `Corrupt`, naming the key, what was expected and what was found.
pub fn parse(text: &str) -> Result<Precision> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| Error::corrupt(e.message().to_owned()))?;
    if let Some(key) = table.keys().find(|key| *key != "precision") {
        return Err(Error::corrupt(format!("unknown key `{key}`, known is precision")));
    }
    match table.get("precision").map(|value| value.as_str()) {
        None => Ok(Precision::Exact),
        Some(Some(name)) => Precision::by_name(name).map_err(|e| Error::corrupt(e.message)),
        Some(None) => Err(Error::corrupt("`precision` is not a text")),
    }
}
