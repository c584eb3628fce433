//! Everything that is fitted for one head, and what it does to rows that the fit did not see.

use std::collections::BTreeMap;

use adclick::builder::calibrate::{Calibrator, SegmentKey};
use adclick_measure::{Interval, Labelled, Reliability, ratio_interval, weights};
use anyhow::{Result, ensure};
use serde::Serialize;

use super::evidence::folds;
use super::{Choice, Method, Sample, SegmentValues, Segmented, Shrinkage, choose, fit, segmented};

/// Parts of the rows, each measured by a fit on the others.
const PARTS: u64 = 4;
/// Bins of a plot of all rows, and of one segment.
const BINS: [usize; 2] = [10, 5];
/// The most segments that are measured one by one, those with the most clicks.
const MOST_SEGMENTS: usize = 24;
/// Resamplings are the same each time.
const SEED: u64 = 1;

/// The calibrators of one head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFit {
    /// The kind and the fit of all rows together.
    pub choice: Choice,
    /// The segments on top of it; without keys, none.
    pub segmented: Segmented,
    /// What is measured.
    pub measured: Measured,
}

/// Probabilities before and after. After: by a fit on the other three quarters of the rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// As served before.
    pub before: Reliability,
    /// By the new calibrators.
    pub after: Reliability,
    /// Parts of the rows: the segments with the most clicks.
    pub segments: Vec<MeasuredSegment>,
}

/// One segment's rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredSegment {
    /// Its keys and their values.
    pub name: String,
    /// Its rows, and the positive ones.
    pub rows: usize,
    /// The positive ones.
    pub clicks: usize,
    /// Σp / Σy as served before, with its interval.
    pub before: f64,
    /// Its interval.
    pub before_interval: Interval,
    /// The same by the new calibrators.
    pub after: f64,
    /// Its interval.
    pub after_interval: Interval,
    /// For a plot: before and after.
    #[serde(skip)]
    pub bins: [Vec<adclick_measure::ReliabilityBin>; 2],
}

/// What to fit.
#[derive(Debug, Clone, Copy)]
pub struct HeadTask<'a> {
    /// Logits, after the correction for downsampling.
    pub sample: Sample<'a>,
    /// The rows' values of the keys; empty without keys.
    pub values: &'a [SegmentValues],
    /// The keys of the segments.
    pub keys: &'a [SegmentKey],
    /// The kind to fit; `None`: the one that the rows support.
    pub method: Option<Method>,
    /// The probabilities as served before.
    pub before: &'a [f64],
}

impl HeadTask<'_> {
    /// Fits the head.
    ///
    /// # Errors
    /// A method that cannot be fitted on these rows.
    pub fn fit(&self) -> Result<HeadFit> {
        let choice = self.choice()?;
        let segmented = self.segments(&self.sample, self.values, &choice.calibrator)?;
        let after = self.unseen(&choice)?;
        let measure = |p: &[f64]| -> Result<Reliability> {
            Ok(Reliability::new(&Labelled::new(p, self.sample.labels, self.sample.weights)?, BINS[0], SEED))
        };
        let measured =
            Measured { before: measure(self.before)?, after: measure(&after)?, segments: self.by_segment(&after)? };
        Ok(HeadFit { choice, segmented, measured })
    }

    fn choice(&self) -> Result<Choice> {
        let Some(method) = self.method else { return choose(&self.sample) };
        let (positive, rows) = (self.sample.positive(), self.sample.len());
        ensure!(
            method == Method::Identity || (1..rows).contains(&positive),
            "{positive} of {rows} rows are positive: {} cannot be fitted without rows of both kinds",
            method.name()
        );
        let calibrator = fit(method, &self.sample)?;
        ensure!(
            calibrator.is_strictly_increasing(),
            "{} would turn the order of the scores around: the model ranks these rows backwards",
            method.name()
        );
        Ok(Choice { method, calibrator, candidates: Vec::new(), reason: "as requested".to_owned() })
    }

    fn segments(&self, sample: &Sample, values: &[SegmentValues], root: &Calibrator) -> Result<Segmented> {
        if self.keys.is_empty() {
            return Ok(Segmented::whole(root.clone()));
        }
        segmented(sample, values, self.keys, root, Shrinkage::ByEvidence)
    }

    /// Each row's probability by a fit of the same kind on the other parts; by the fit of all rows where the others do not
    /// allow one.
    fn unseen(&self, choice: &Choice) -> Result<Vec<f64>> {
        let fold = folds(&self.sample);
        let mut after = vec![f64::NAN; self.sample.len()];
        for part in 0..PARTS {
            let others: Vec<usize> = (0..after.len()).filter(|&row| fold[row] % PARTS != part).collect();
            let x: Vec<f64> = others.iter().map(|&row| self.sample.x[row]).collect();
            let labels: Vec<bool> = others.iter().map(|&row| self.sample.labels[row]).collect();
            let w: Vec<f64> = others.iter().map(|&row| self.sample.weight(row)).collect();
            let values: Vec<SegmentValues> =
                if self.keys.is_empty() { vec![] } else { others.iter().map(|&row| self.values[row]).collect() };
            let fitted = Sample::new(&x, &labels, self.sample.weights.is_some().then_some(w.as_slice()))
                .and_then(|sample| {
                    let root = fit(choice.method, &sample)?;
                    ensure!(root.is_strictly_increasing(), "backwards");
                    self.segments(&sample, &values, &root)
                })
                .or_else(|_| Ok::<_, anyhow::Error>(Segmented::whole(choice.calibrator.clone())))?;
            for row in (0..after.len()).filter(|&row| fold[row] % PARTS == part) {
                let none = SegmentValues::default();
                let values = self.values.get(row).unwrap_or(&none);
                after[row] = fitted.calibrator(&values[..self.keys.len()]).apply_logit(self.sample.x[row]);
            }
        }
        Ok(after)
    }

    /// The segments of all levels with the most clicks.
    fn by_segment(&self, after: &[f64]) -> Result<Vec<MeasuredSegment>> {
        let mut rows: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
        for (row, values) in self.values.iter().enumerate() {
            let path: Vec<u64> = values[..self.keys.len()].iter().map_while(|value| *value).collect();
            (1..=path.len()).for_each(|n| rows.entry(path[..n].to_vec()).or_default().push(row));
        }
        let clicks = |rows: &[usize]| rows.iter().filter(|&&row| self.sample.labels[row]).count();
        let mut all: Vec<_> = rows.into_iter().map(|(path, rows)| (clicks(&rows), path, rows)).collect();
        all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        all.truncate(MOST_SEGMENTS);
        all.into_iter().map(|(clicks, path, rows)| self.measure_segment(clicks, &path, &rows, after)).collect()
    }

    fn measure_segment(&self, clicks: usize, path: &[u64], rows: &[usize], after: &[f64]) -> Result<MeasuredSegment> {
        let labels: Vec<bool> = rows.iter().map(|&row| self.sample.labels[row]).collect();
        let w: Vec<f64> = rows.iter().map(|&row| self.sample.weight(row)).collect();
        let sums = |p: &[f64]| rows.iter().map(|&row| self.sample.weight(row) * p[row]).sum::<f64>();
        let observed: f64 =
            rows.iter().zip(&labels).filter(|(_, y)| **y).map(|(&row, _)| self.sample.weight(row)).sum();
        let each = weights::effective(w.iter().copied()) / w.iter().sum::<f64>();
        let of = |p: &[f64]| {
            let sum = sums(p);
            (sum / observed, ratio_interval(sum * each, observed * each))
        };
        let bins = |p: &[f64]| -> Result<Vec<_>> {
            let p: Vec<f64> = rows.iter().map(|&row| p[row]).collect();
            let w = self.sample.weights.is_some().then_some(w.as_slice());
            Ok(adclick_measure::reliability_bins(&Labelled::new(&p, &labels, w)?, BINS[1]))
        };
        let ((before, before_interval), (now, after_interval)) = (of(self.before), of(after));
        let named = self.keys.iter().zip(path).map(|(key, value)| format!("{} {}", key.name(), shown(*value)));
        Ok(MeasuredSegment {
            name: named.collect::<Vec<_>>().join(", "),
            rows: rows.len(),
            clicks,
            before,
            before_interval,
            after: now,
            after_interval,
            bins: [bins(self.before)?, bins(after)?],
        })
    }
}

/// A value of a key: a small number as it is, the id of a text in hexadecimal.
fn shown(value: u64) -> String {
    if value < 1 << 32 { value.to_string() } else { format!("{value:016x}") }
}
