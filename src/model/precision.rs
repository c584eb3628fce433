//! The precision of a model: the one that the bundle or the options ask for, and the one that this CPU serves.

use std::sync::Arc;

use super::{PlannedModel, ServingPlan, golden};
use crate::error::Result;
use crate::infer::{Arithmetic, Plan, Weights};
use crate::types::Precision;

/// How far a golden request's logit may be off in a fast arithmetic before it is not served: this share of its size, or of
/// 1 when it is smaller.
const FARTHEST: f64 = 0.25;
/// A candidate's exact logit is taken to be within so many times what the golden requests were off at most. Each request
/// checks it on the candidates that it computes exactly; for the others it must hold. Measured on 63 models, 16 golden
/// requests and 20,000 candidates each: docs/performance.md.
const MARGIN: f64 = 8.0;
/// A row whose inputs are so many times as large as any of the golden requests' is computed exactly: how far the others are
/// off says nothing of it.
const BEYOND: f32 = 2.0;
/// The largest input that is relied upon without golden requests: inputs are standardised.
const UNMEASURED: f32 = 4.0;
/// The least that a logit of any size is taken to be off.
const LEAST_MARGIN: f32 = 1.0 / 16.0;
/// The first pass of an auction leaves so many times the largest value seen of a deep layer's inputs before 8 bits end. What is
/// cut off is off by any amount, so rows that reach the end are computed exactly; with more room there are fewer.
const ROOM: f32 = 2.0;
/// The first pass of an auction is in int8 up to this tolerance. Some 7 in 100 candidates are then computed exactly; what
/// int8 saves pays for twice as many in the smallest of the models measured.
const WORTH: f32 = 1.0 / 8.0;

/// A plan in a fast arithmetic.
#[derive(Debug, Clone)]
pub struct Fast {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it multiplies.
    pub arithmetic: Arithmetic,
    /// How far a logit may be off: this share of its size, or of 1 when it is smaller. See [`Fast::off`].
    pub tolerance: f32,
    /// The largest input of a row for which the tolerance holds.
    limit: f32,
}

impl Fast {
    /// Whether one of these inputs is larger than the tolerance holds for, or no number.
    #[must_use]
    #[inline]
    pub fn is_beyond(&self, inputs: &[f32]) -> bool {
        // Without an early end this is vector code. A NaN is not within.
        !inputs.iter().fold(true, |within, x| within & (x.abs() <= self.limit))
    }

    /// The same plan, whose tolerance was measured on inputs up to `largest`.
    #[must_use]
    pub fn measured_to(self, largest: f32) -> Self {
        Self { limit: largest * BEYOND, ..self }
    }

    /// The plan as scorers run it: no sums are kept in a fast arithmetic.
    #[inline]
    pub(crate) fn serving_plan(&self) -> ServingPlan<'_> {
        ServingPlan { plan: &self.plan, ads: None }
    }

    /// How far an exact logit is taken to be from this one at most. One that overflowed says nothing.
    #[must_use]
    #[inline]
    pub fn off(&self, logit: f32) -> f32 {
        if logit.is_finite() { (self.tolerance * logit.abs().max(1.0)).max(LEAST_MARGIN) } else { f32::INFINITY }
    }

    /// A plan in `arithmetic` whose golden requests are off by `worst` at most; none without golden requests.
    ///
    /// # Errors
    /// In words: why it is not to be served.
    pub fn new(plan: Plan, arithmetic: Arithmetic, worst: Option<f64>) -> std::result::Result<Self, String> {
        if let Some(worst) = worst.filter(|&worst| worst.is_nan() || worst > FARTHEST) {
            return Err(format!(
                "in {arithmetic:?} a golden request's logit is off by {worst:.3}, and {FARTHEST} is the most"
            ));
        }
        let tolerance = (worst.unwrap_or(FARTHEST / MARGIN) * MARGIN) as f32;
        Ok(Self { plan: Arc::new(plan), arithmetic, tolerance, limit: UNMEASURED })
    }

    /// The first pass of auctions that are to be exact: in int8 for a model with `ranges`, where that is near enough;
    /// else in bf16. `make` is as [`Fast::new`], of a plan in this arithmetic with these ranges.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn of_auctions(
        ranges: &[f32],
        mut make: impl FnMut(Arithmetic, &[f32]) -> Result<std::result::Result<Self, String>>,
    ) -> Result<std::result::Result<Self, String>> {
        if !ranges.is_empty() {
            let roomy: Vec<f32> = ranges.iter().map(|range| range * ROOM).collect();
            if let Ok(fast) = make(Arithmetic::Int8, &roomy)?
                && fast.tolerance <= WORTH
            {
                return Ok(Ok(fast));
            }
        }
        make(Arithmetic::Bf16, &[])
    }
}

/// The precision of a model, and the plan that it needs.
#[derive(Debug, Clone)]
pub(super) struct Serving {
    /// What was asked for.
    pub(super) wanted: Precision,
    /// What is served: the same, or exact.
    pub(super) precision: Precision,
    /// Why they differ.
    pub(super) reason: Option<String>,
    /// The plan in the fast arithmetic; none when all is exact.
    pub(super) fast: Option<Fast>,
}

impl Serving {
    /// Everything exact.
    pub(super) fn exact() -> Self {
        Self { wanted: Precision::Exact, precision: Precision::Exact, reason: None, fast: None }
    }

    /// Makes the plan that `wanted` needs and runs the golden requests with it. Where that cannot be, all is exact and the
    /// reason is kept.
    ///
    /// # Errors
    /// Only what is wrong with the model itself.
    pub(super) fn prepare(planned: &PlannedModel, wanted: Precision) -> Result<Self> {
        let (model, kernel) = (&*planned.file, planned.plan.kernel());
        let make = |arithmetic, ranges: &[f32]| {
            let plan = match Plan::with(model.network(), Weights::of(model), kernel, arithmetic, ranges) {
                Ok(plan) => plan,
                Err(error) if error.status == crate::Status::Unsupported => return Ok(Err(error.message)),
                Err(error) => return Err(error),
            };
            let farthest = golden::farthest(model, &plan)?;
            let fast = Fast::new(plan, arithmetic, farthest.map(|f| f.off));
            Ok(fast.map(|fast| match farthest {
                Some(farthest) => fast.measured_to(farthest.largest_input),
                None => fast,
            }))
        };
        let ranges = model.ranges();
        let fast = match wanted {
            Precision::Exact => return Ok(Self::exact()),
            Precision::Bf16 => make(Arithmetic::Bf16, &[])?,
            Precision::Int8 if model.network().deep.is_empty() => {
                Err("int8 is for deep layers, and the model has none: bf16 would be as fast".to_owned())
            }
            Precision::Int8 if ranges.is_empty() => {
                Err("the model has no ranges for int8: pack it with rows to find them".to_owned())
            }
            Precision::Int8 => make(Arithmetic::Int8, ranges)?,
            Precision::AuctionExact => Fast::of_auctions(ranges, make)?,
        };
        Ok(match fast {
            Ok(fast) => Self { wanted, precision: wanted, reason: None, fast: Some(fast) },
            Err(reason) => Self { wanted, reason: Some(reason), ..Self::exact() },
        })
    }
}
