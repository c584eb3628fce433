//! The calibrators of a bundle's heads, fitted on scored rows.

use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, SegmentKey, logit};
use anyhow::Result;

use crate::calibrators::{HeadFit, HeadTask, Method, Sample, SegmentValues, Segmented, tree};
use crate::rows::ScoredRows;

/// What is fitted.
pub(super) struct FitPlan<'a> {
    /// The keys of the segments.
    pub(super) keys: &'a [SegmentKey],
    /// The kind to fit; `None`: the one that the rows support.
    pub(super) method: Option<Method>,
    /// Whether the product is calibrated in any case.
    pub(super) product: bool,
    /// The calibrators of the bundle.
    pub(super) before: &'a Calibrators,
    /// The keep rate that pCTR is corrected for; none without that head.
    pub(super) keep_rate: Option<f64>,
}

/// The heads that the rows allow to fit; by default none.
#[derive(Default)]
pub(super) struct Fitted {
    pub(super) ctr: Option<HeadFit>,
    pub(super) cvr: Option<HeadFit>,
    pub(super) product: Option<HeadFit>,
}

impl Fitted {
    pub(super) fn new(plan: &FitPlan<'_>, rows: &ScoredRows) -> Result<Self> {
        let FitPlan { keys, method, before, keep_rate, .. } = *plan;
        // Calibrators are fitted on the logits that they will be applied to, after the correction.
        let corrected = |logits: &[f64], rate: f64| logits.iter().map(|z| z + rate.ln()).collect::<Vec<_>>();
        let ctr = match keep_rate {
            Some(rate) => {
                let logits = corrected(&rows.logits, rate);
                let sample = Sample::new(&logits, &rows.clicks, rows.weights())?;
                let values = rows.segments.as_slice();
                let task = HeadTask { sample, values, keys, method, before: &rows.pctr };
                Some(task.fit()?)
            }
            None => None,
        };
        let (logits, pcvr, converted, weights) = rows.clicked();
        let cvr = if converted.is_empty() || weights.iter().all(|&w| w == 0.0) {
            None
        } else {
            let logits = corrected(&logits, before.cvr.keep_rate());
            let values = rows.of_conversions().into_iter().filter_map(|row| rows.segments.get(row).copied());
            let values: Vec<SegmentValues> = values.collect();
            let sample = Sample::new(&logits, &converted, rows.weights().map(|_| weights.as_slice()))?;
            let task = HeadTask { sample, values: &values, keys, method, before: &pcvr };
            Some(task.fit()?)
        };
        let mut fitted = Self { ctr, cvr, product: None };
        if plan.product || before.product != Calibrator::Identity {
            fitted.product = fitted.of_product(keys, rows, keep_rate, before.cvr.keep_rate())?;
        }
        Ok(fitted)
    }

    /// The product over all impressions: clicked and converted, or not. Clicks whose conversion is not known are left out.
    fn of_product(
        &self,
        keys: &[SegmentKey],
        rows: &ScoredRows,
        keep_rate: Option<f64>,
        cvr_keep_rate: f64,
    ) -> Result<Option<HeadFit>> {
        let (Some(ctr), Some(cvr), Some(keep_rate)) = (&self.ctr, &self.cvr, keep_rate) else { return Ok(None) };
        let known: Vec<usize> =
            (0..rows.clicks.len()).filter(|&row| !rows.clicks[row] || rows.conversions[row].is_some()).collect();
        let values: Vec<SegmentValues> = known.iter().filter_map(|&row| rows.segments.get(row).copied()).collect();
        let of = |fit: &HeadFit, row: usize, z: f64| {
            let none = SegmentValues::default();
            let values = rows.segments.get(row).unwrap_or(&none);
            fit.segmented.calibrator(&values[..keys.len()]).apply_logit(z)
        };
        let logits: Vec<f64> = known
            .iter()
            .map(|&row| {
                let pctr = of(ctr, row, rows.logits[row] + keep_rate.ln());
                logit(pctr * of(cvr, row, rows.cvr_logits[row] + cvr_keep_rate.ln()))
            })
            .collect();
        let labels: Vec<bool> =
            known.iter().map(|&row| rows.clicks[row] && rows.conversions[row] == Some(true)).collect();
        let weights: Vec<f64> = known.iter().map(|&row| rows.weights[row]).collect();
        let before: Vec<f64> = known.iter().map(|&row| rows.pctr[row] * rows.pcvr[row]).collect();
        let sample = Sample::new(&logits, &labels, rows.weights().map(|_| weights.as_slice()))?;
        let task = HeadTask { sample, values: &values, keys, method: None, before: &before };
        task.fit().map(Some)
    }

    /// The calibrators of the bundle: what was not fitted stays as it was.
    pub(super) fn calibrators(&self, plan: &FitPlan<'_>) -> Result<Calibrators> {
        let FitPlan { keys, before, keep_rate, .. } = *plan;
        // Segments of other keys say nothing of these.
        let same_keys = before.segments.keys() == keys;
        let segmented = |head: usize, fit: &Option<HeadFit>| match fit {
            Some(fit) => fit.segmented.clone(),
            None if same_keys => Segmented::carried(&before.segments, head),
            None => Segmented::whole(Calibrator::Identity),
        };
        let own = [segmented(0, &self.ctr), segmented(1, &self.cvr), segmented(2, &self.product)];
        let root = |fit: &HeadFit| match fit.segmented.is_empty() {
            true => fit.choice.calibrator.clone(),
            false => fit.segmented.root.clone(),
        };
        Ok(Calibrators {
            ctr: match (&self.ctr, keep_rate) {
                (Some(fit), Some(rate)) => HeadCalibrator::new(rate, root(fit))?,
                _ => before.ctr.clone(),
            },
            // The rows may have no conversions.
            cvr: match &self.cvr {
                Some(fit) => HeadCalibrator::new(before.cvr.keep_rate(), root(fit))?,
                None => before.cvr.clone(),
            },
            product: self.product.as_ref().map_or_else(|| before.product.clone(), root),
            segments: tree(keys, own.each_ref())?,
        })
    }
}
