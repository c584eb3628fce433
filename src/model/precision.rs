//! The precision of a model: the one that the bundle or the options request, and the one that this CPU serves.

use std::sync::Arc;

use super::{PlannedModel, ServingPlan, golden};
use crate::error::Result;
use crate::infer::{Arithmetic, Plan, Weights};
use crate::types::Precision;

/// The largest error of a golden request's logit at which a fast arithmetic is served: a share of its size, or of 1
/// when it is smaller.
const FARTHEST: f64 = 0.25;
/// A candidate's exact logit is taken to be within this many times the largest error of the golden requests. Each
/// request checks this on the candidates that it computes exactly; for the others it is assumed. Measured on 63 models,
/// 16 golden requests and 20,000 candidates each: docs/performance.md.
const MARGIN: f64 = 8.0;
/// A row whose inputs are this many times as large as any of the golden requests' is computed exactly: their errors say
/// nothing about it.
const BEYOND: f32 = 2.0;
/// The largest input that is trusted without golden requests: inputs are standardised.
const UNMEASURED: f32 = 4.0;
/// The least error assumed for a logit of any size.
const LEAST_MARGIN: f32 = 1.0 / 16.0;
/// The 8-bit range in the first pass of an auction covers this many times the largest value seen in a deep layer's
/// inputs. Clipped values may be off by any amount, so rows that reach the limit are computed exactly; a larger range
/// leaves fewer of them.
const ROOM: f32 = 2.0;
/// Up to this tolerance the first pass of an auction is in int8. About 7 in 100 candidates are then computed exactly;
/// in the smallest of the models measured, int8's savings pay for twice as many.
const WORTH: f32 = 1.0 / 8.0;

/// A plan in a fast arithmetic.
#[derive(Debug, Clone)]
pub struct Fast {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Its arithmetic.
    #[cfg_attr(not(feature = "builder"), expect(dead_code, reason = "builders ask for it"))]
    pub arithmetic: Arithmetic,
    /// The largest error assumed for a logit: a share of its size, or of 1 when it is smaller. See [`Fast::off`].
    pub tolerance: f32,
    /// The largest input of a row for which the tolerance holds.
    limit: f32,
}

impl Fast {
    /// Whether one of these inputs is NaN or larger than the tolerance holds for.
    #[must_use]
    #[inline]
    pub fn is_beyond(&self, inputs: &[f32]) -> bool {
        // Without an early exit this loop is vectorised. A NaN is not within the range.
        !inputs.iter().fold(true, |within, x| within & (x.abs() <= self.limit))
    }

    /// The same plan, with a tolerance measured on inputs up to `largest`.
    #[must_use]
    pub fn measured_to(self, largest: f32) -> Self {
        Self { limit: largest * BEYOND, ..self }
    }

    /// The plan as scorers run it: no sums are kept in fast arithmetic.
    #[inline]
    pub(crate) fn serving_plan(&self) -> ServingPlan<'_> {
        ServingPlan { plan: &self.plan, kept: None }
    }

    /// The largest distance assumed between this logit and the exact one. A logit that overflowed has no bound.
    #[must_use]
    #[inline]
    pub fn off(&self, logit: f32) -> f32 {
        if logit.is_finite() { (self.tolerance * logit.abs().max(1.0)).max(LEAST_MARGIN) } else { f32::INFINITY }
    }

    /// A plan in `arithmetic`, with `worst` as the largest error of its golden requests; none without golden requests.
    ///
    /// # Errors
    /// The reason why it cannot be served, in words.
    pub fn new(plan: Plan, arithmetic: Arithmetic, worst: Option<f64>) -> std::result::Result<Self, String> {
        if let Some(worst) = worst.filter(|&worst| worst.is_nan() || worst > FARTHEST) {
            return Err(format!(
                "in {arithmetic:?} a golden request's logit is off by {worst:.3}, and {FARTHEST} is the most"
            ));
        }
        let tolerance = (worst.unwrap_or(FARTHEST / MARGIN) * MARGIN) as f32;
        Ok(Self { plan: Arc::new(plan), arithmetic, tolerance, limit: UNMEASURED })
    }

    /// The first pass of exact auctions: in int8 for a model with `ranges` where that is accurate enough, otherwise in
    /// bf16. `make` is like [`Fast::new`], for a plan in this arithmetic with these ranges.
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
    /// The requested precision.
    pub(super) wanted: Precision,
    /// The served precision: the same, or exact.
    pub(super) precision: Precision,
    /// The reason why they differ.
    pub(super) reason: Option<String>,
    /// The plan in fast arithmetic; none when everything is exact.
    pub(super) fast: Option<Fast>,
}

impl Serving {
    /// Everything exact.
    pub(super) fn exact() -> Self {
        Self { wanted: Precision::Exact, precision: Precision::Exact, reason: None, fast: None }
    }

    /// Makes the plan that `wanted` needs and runs the golden requests with it. If that fails, everything is exact and
    /// the reason is kept.
    ///
    /// # Errors
    /// Only errors in the model itself.
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
