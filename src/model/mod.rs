//! A model made ready to score: the plans that run it on this CPU, the assembler that turns raw values into its inputs,
//! the ad cache, its calibrators, and the golden requests that show whether it computes the same here as where it was
//! packed.
//!
//! A [`ScoringModel`] does not depend on bundles, policies or engines, so that several of them can be live at once, and
//! parts can be replaced.

mod ad_cache;
mod golden;
mod id_sums;
mod kept;
mod limits;
#[cfg(feature = "builder")]
mod pack;
mod planned;
mod precision;

pub use ad_cache::{AdCacheInfo, AdCacheState};
pub(crate) use kept::{KeptSums, Lines};
pub use limits::Limits;
#[cfg(feature = "builder")]
pub use pack::{deep_inputs, pack_model};
pub(crate) use planned::PlannedModel;
pub use precision::Fast;

use std::sync::Arc;

use kept::PreparedSums;
use precision::Serving;

use crate::artifact::model::Model;
use crate::calibrate::{Calibrators, ServedCalibrators};
use crate::cancel::Cancel;
use crate::enrich::{Assembler, TablePlan};
use crate::error::Result;
#[cfg(feature = "builder")]
use crate::infer::Arithmetic;
use crate::infer::Plan;
use crate::table::TableSource;
use crate::types::Precision;

/// A model that requests are scored with. Immutable, shared by all scorers.
#[derive(Debug)]
pub struct ScoringModel {
    planned: PlannedModel,
    serving: Serving,
    kept: PreparedSums,
    calibrators: Calibrators,
    segments: ServedCalibrators,
    assembler: Assembler,
    /// For each table that the model reads, its number in the engine.
    table_numbers: Vec<usize>,
    needs: Limits,
}

/// The options for preparing a model.
#[derive(Clone, Copy)]
pub(crate) struct Preparation<'a> {
    /// The requested precision.
    pub(crate) precision: Precision,
    /// The most bytes of an ad cache; 0: none.
    pub(crate) ad_cache_bytes: u64,
    /// The most bytes of sums kept by id.
    pub(crate) id_sums_bytes: u64,
    /// Models of the same engine. Plans and kept sums that are equal are shared.
    pub(crate) earlier: &'a [&'a ScoringModel],
    /// Whether to continue.
    pub(crate) cancel: Cancel<'a>,
}

/// A scoring model without the engine's names: handles of features and numbers of tables. Any refusal comes before
/// this, so that the engine keeps no names of a refused model.
pub(crate) struct Prepared {
    planned: PlannedModel,
    serving: Serving,
    kept: PreparedSums,
    calibrators: Calibrators,
    segments: ServedCalibrators,
    needs: Limits,
}

/// A plan of a model and the sums that fit it. Sums are kept in exact arithmetic, so a fast plan has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServingPlan<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) kept: Option<&'a KeptSums>,
}

impl Prepared {
    /// Makes the plans of the precision, compiles the model's reads from `tables` and computes the sums to keep.
    ///
    /// # Errors
    /// `Unsupported` when the model cannot read the tables; `CapacityExceeded` when there is no memory for the ad
    /// cache; `Closed` when cancelled; any error in the model itself.
    pub(crate) fn new(
        planned: PlannedModel,
        calibrators: Calibrators,
        tables: &[TableSource],
        how: Preparation<'_>,
    ) -> Result<Self> {
        let serving = match how.earlier.iter().find(|e| e.planned.is(&planned) && e.serving.wanted == how.precision) {
            Some(earlier) => earlier.serving.clone(),
            None => Serving::prepare(&planned, how.precision)?,
        };
        let file = &*planned.file;
        let compiled = TablePlan::compile(file.schema(), file.enrichment(), tables)?;
        let segments = ServedCalibrators::new(&calibrators, file.schema())?;
        let kept = PreparedSums::prepare(how, &planned, serving.precision, tables)?;
        let fast = serving.fast.as_ref().map_or(0, |fast| fast.plan.scratch_len());
        let exact = kept.sums.as_ref().map_or(planned.plan.scratch_len(), |kept| kept.keeping.scratch_len());
        let needs = Limits {
            scratch: exact.max(fast),
            features: file.schema().features.len(),
            width: file.layout().width,
            tables: compiled.len(),
            row_bytes: compiled.row_bytes(),
        };
        Ok(Self { planned, serving, kept, calibrators, segments, needs })
    }

    /// The scorer limits needed for it.
    pub(crate) fn needs(&self) -> Limits {
        self.needs
    }

    /// Connects it to the engine's names: `handle` gives the handle of a feature's input name, `number` that of a
    /// table. `tables` are those that it was prepared with, now with their overrides.
    ///
    /// # Errors
    /// As [`Prepared::new`] for the tables.
    pub(crate) fn bind(
        self,
        tables: &[TableSource],
        mut handle: impl FnMut(&str) -> u32,
        number: impl FnMut(&str) -> usize,
    ) -> Result<ScoringModel> {
        let Self { planned, serving, kept, calibrators, segments, needs } = self;
        let (schema, enrichment) = (planned.file.schema(), planned.file.enrichment());
        let compiled = TablePlan::compile(schema, enrichment, tables)?;
        let handles: Vec<u32> = schema.features.iter().map(|f| handle(&f.input)).collect();
        let assembler = Assembler::new(&planned.file, compiled, |i, _| handles[i]);
        let table_numbers = assembler.tables().names().map(number).collect();
        Ok(ScoringModel { planned, serving, kept, calibrators, segments, assembler, table_numbers, needs })
    }
}

impl ScoringModel {
    /// The model file.
    #[must_use]
    pub fn file(&self) -> &Arc<Model> {
        &self.planned.file
    }

    /// Turns raw values into inputs.
    #[inline]
    pub(crate) fn assembler(&self) -> &Assembler {
        &self.assembler
    }

    /// The calibrators.
    #[must_use]
    pub fn calibrators(&self) -> &Calibrators {
        &self.calibrators
    }

    /// The calibrators of segments and of the product.
    #[inline]
    pub(crate) fn segments(&self) -> &ServedCalibrators {
        &self.segments
    }

    /// For each table that the model reads, its number in the engine.
    pub(crate) fn table_numbers(&self) -> &[usize] {
        &self.table_numbers
    }

    /// The scorer limits needed to score with it.
    #[must_use]
    pub fn needs(&self) -> Limits {
        self.needs
    }

    /// The plan in exact arithmetic.
    #[inline]
    pub(crate) fn exact(&self) -> ServingPlan<'_> {
        ServingPlan { plan: &self.planned.plan, kept: self.kept.sums.as_ref() }
    }

    /// The plan for probabilities of all candidates, and their precision. Without an auction nothing decides which
    /// candidates matter, so `AuctionExact` gives exact ones.
    #[inline]
    pub(crate) fn for_scores(&self) -> (ServingPlan<'_>, Precision) {
        match (self.serving.precision, &self.serving.fast) {
            (precision @ (Precision::Bf16 | Precision::Int8), Some(fast)) => (fast.serving_plan(), precision),
            _ => (self.exact(), Precision::Exact),
        }
    }

    /// The fast plan of auctions in two passes.
    #[inline]
    pub(crate) fn fast_pass(&self) -> Option<&Fast> {
        self.serving.fast.as_ref().filter(|_| self.serving.precision == Precision::AuctionExact)
    }

    /// The precision that was requested and the one in which it is served here; when they differ, the reason.
    #[must_use]
    pub fn precision(&self) -> (Precision, Precision, Option<&str>) {
        (self.serving.wanted, self.serving.precision, self.serving.reason.as_deref())
    }

    /// The precision that it is served in.
    #[inline]
    pub(crate) fn served(&self) -> Precision {
        self.serving.precision
    }

    /// The arithmetic of the first pass of `auction-exact`: `Int8` or `Bf16`. None when another precision is served.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn first_pass(&self) -> Option<Precision> {
        self.fast_pass().map(|fast| match fast.arithmetic {
            Arithmetic::Int8 => Precision::Int8,
            Arithmetic::Bf16 => Precision::Bf16,
            Arithmetic::Exact => Precision::Exact,
        })
    }

    /// The ad cache, and its size.
    #[must_use]
    pub fn ad_cache(&self) -> AdCacheInfo {
        self.kept.info
    }

    /// Bytes of its ad cache, unless `other` has the same one.
    pub(crate) fn ad_cache_bytes_beside(&self, other: Option<&Self>) -> u64 {
        match (self.kept.ads(), other.and_then(|other| other.kept.ads())) {
            (Some(own), Some(others)) if Arc::ptr_eq(own, others) => 0,
            _ => self.kept.info.bytes,
        }
    }

    /// The features whose inputs were passed on the wrong side, and the numbers of values.
    pub(crate) fn wrong_sides(&self) -> impl Iterator<Item = (u32, u64)> {
        let counts = (0..self.file().schema().features.len()).map(|i| (i as u32, self.assembler.wrong_side(i)));
        counts.filter(|(_, count)| *count > 0)
    }
}
