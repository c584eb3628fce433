//! Fits calibrators on held-out rows and writes the bundle with them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::Precision;
use adclick::builder::Named;
use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::Model;
use adclick::builder::bundle::check_target;
use adclick::builder::calibrate::{Calibrators, HeadCalibrator, SegmentKey, Segments};
use adclick::builder::model::pack_model;
use adclick_data::logs::{Format, KeyId, LogFiles, TableHits, TableLookups};
use adclick_data::progress::Progress;
use adclick_data::setting::{refuse, require};
use adclick_measure::Unknown;
use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::fitted::{FitPlan, Fitted};
use super::{BundleTarget, RowSelection};
use crate::bundle::{Beside, BundleParts, open, resolve};
use crate::calibrators::{Choice, HeadFit, Measured, Method, SegmentLevel};
use crate::positions::{Position, Positions, as_logged};
use crate::ranges;
use crate::rows::{fallback, heads, open_engine};
use crate::unpack::unpack;

/// A calibration job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The bundle whose model is calibrated, or the directory whose `CURRENT` names it.
    pub bundle: PathBuf,
    /// The rows; the model must not have been trained on any of them.
    pub rows: RowSelection,
    /// The keys of the segments that are calibrated by themselves, where they differ; none of them: all rows alike.
    /// `None` = those of the bundle.
    pub segments: Option<Vec<SegmentKey>>,
    /// Whether the product of pCTR and pCVR is calibrated, too.
    pub product: bool,
    /// The method to fit; `None` = the simplest one that the rows clearly support.
    pub method: Option<Method>,
    /// The keep rate of negative downsampling that neither the model's bias nor the bundle accounts for; `None` = that of
    /// the bundle.
    pub downsampling: Option<f64>,
    /// The positions at which rows are scored; `None` = those at which they were logged, if the rows hold them.
    pub position: Option<Position>,
    /// The precision that the bundle is to be served in; `None` = the bundle's own.
    pub precision: Option<Precision>,
    /// The bundle to write; `None` = only fit.
    pub target: Option<BundleTarget>,
}

/// The result of a calibration.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The rows that were fitted on.
    pub rows: usize,
    /// The calibrator of pCTR; absent without a pCTR head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctr: Option<Choice>,
    /// The calibrator of pCVR; absent when the rows hold no conversions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvr: Option<Choice>,
    /// The calibrator of pCVR that was carried over because the rows hold no conversions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvr_kept: Option<String>,
    /// The calibrator of the product of pCTR and pCVR, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Choice>,
    /// The segments, where keys were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segments: Option<SegmentsFound>,
    /// Reliability before and after, of each head that was fitted.
    pub measured: MeasuredHeads,
    /// The share of negatives that pCTR is corrected for, before its calibrator; absent without a pCTR head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_rate: Option<f64>,
    /// The generation that was written, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// How many rows found their key in each table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableHits>,
    /// The precision and kernel of the logits.
    pub precision: &'static str,
    /// The rows that ranges were computed from, when the model had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_rows: Option<usize>,
    /// Clicked rows whose conversion is not known, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_conversions: Option<Unknown>,
    /// The positions at which rows were scored; absent for a model without position features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Rows left out because they were logged at another position than is served.
    pub elsewhere: u64,
}

/// What was found of segments.
#[derive(Debug, Clone, Serialize)]
pub struct SegmentsFound {
    /// How many have a calibrator of their own in the bundle.
    pub calibrated: usize,
    /// The levels of pCTR.
    pub ctr: Vec<SegmentLevel>,
    /// The levels of pCVR.
    pub cvr: Vec<SegmentLevel>,
    /// The levels of their product.
    pub product: Vec<SegmentLevel>,
}

/// Measures of the heads that were fitted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MeasuredHeads {
    /// pCTR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctr: Option<Measured>,
    /// pCVR, over clicked rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvr: Option<Measured>,
    /// Their product, over all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Measured>,
}

/// Fits the calibrators of a bundle on rows, and writes the bundle with them if a target is given.
///
/// # Errors
/// A bundle or files that cannot be read, rows without labels for any of the model's heads, a method that cannot be fitted.
pub fn calibrate(job: &Job, progress: &Progress) -> Result<Done> {
    if let Some(target) = &job.target {
        check_target(&target.path, target.replace)?;
    }
    let served = Served::new(job, progress)?;
    let engine = match &served.at {
        // The precision was just written into it.
        Some(beside) => open_engine(&beside.path().join(Served::NAME), None, None)?,
        None => open_engine(&job.bundle, None, None)?,
    };
    if let Some(warning) = fallback(&engine)? {
        progress.warn(&format!("{warning}: the calibrators are fitted on exact logits"));
    }
    let precision = engine.model()?.precision;
    let selection = RowSelection { source: served.source.clone(), ..job.rows.clone() };
    let mut rows = selection.scored(&engine, served.positions.as_ref(), &[], progress)?;
    rows.check_heads()?;
    if let Some(before) = &served.before {
        // The segments that were served had other keys.
        let engine = open_engine(before, None, None)?;
        let before = selection.scored(&engine, served.positions.as_ref(), &[], &Progress::default())?;
        (rows.pctr, rows.pcvr) = (before.pctr, before.pcvr);
    }
    let unknown_conversions = rows.unknown_conversions();
    if let Some(warning) = unknown_conversions.as_ref().and_then(Unknown::warning) {
        progress.warn(&warning);
    }
    let keep_rate = keep_rate(job.downsampling, &served)?;
    let before = &served.parts.calibrators;
    let plan = FitPlan { keys: &served.keys, method: job.method, product: job.product, before, keep_rate };
    let fitted = if served.taught { Fitted::default() } else { Fitted::new(&plan, &rows)? };
    let calibrators = fitted.calibrators(&plan)?;
    let Fitted { ctr, cvr, product } = fitted;
    let kept = (cvr.is_none() && before.cvr != HeadCalibrator::default()).then(|| before.cvr.calibrator().to_string());
    let mut generation = None;
    if let Some(BundleTarget { path, replace, publish }) = &job.target {
        let parts = BundleParts { calibrators: calibrators.clone(), ..served.parts };
        generation = Some(format!("{:016x}", parts.write(path, *replace, *publish)?));
    }
    Ok(Done {
        rows: rows.clicks.len(),
        segments: (!served.keys.is_empty()).then(|| SegmentsFound {
            calibrated: calibrators.segments.list().len(),
            ctr: levels(&ctr),
            cvr: levels(&cvr),
            product: levels(&product),
        }),
        measured: MeasuredHeads {
            ctr: ctr.as_ref().map(|fit| fit.measured.clone()),
            cvr: cvr.as_ref().map(|fit| fit.measured.clone()),
            product: product.as_ref().map(|fit| fit.measured.clone()),
        },
        ctr: ctr.map(|fit| fit.choice),
        cvr: cvr.map(|fit| fit.choice),
        product: product.map(|fit| fit.choice),
        cvr_kept: kept,
        keep_rate,
        generation,
        tables: rows.tables,
        precision: precision.name(),
        range_rows: served.range_rows,
        unknown_conversions,
        positions: served.positions,
        elsewhere: rows.elsewhere,
    })
}

/// The bundle in the form to be served.
struct Served {
    parts: BundleParts,
    /// The keys of the segments that are fitted.
    keys: Vec<SegmentKey>,
    /// The rows' files.
    source: LogFiles,
    /// Where it is, when it is not the bundle of --bundle.
    at: Option<Beside>,
    /// The bundle with the calibrators that were served, when those of `at` have other keys.
    before: Option<PathBuf>,
    range_rows: Option<usize>,
    positions: Option<Positions>,
    /// Whether the model has learnt from the rows.
    taught: bool,
    /// The keep rate that training has folded into the model's bias, where the model records it.
    folded: Option<f64>,
    has_ctr: bool,
}

impl Served {
    /// Its name beside the bundle to be written.
    const NAME: &str = "uncalibrated";

    fn new(job: &Job, progress: &Progress) -> Result<Self> {
        let path = resolve(&job.bundle)?;
        let mut parts = BundleParts::read(&path)?;
        parts.precision = job.precision.or(parts.precision);
        let (mut range_rows, mut at) = (None, None);
        let model = Model::open(Bytes::copy_of(&parts.model)?)?;
        let positions = Positions::new(model.schema(), &job.rows.source.format.columns(), job.position)?;
        if let Some(warning) = positions.as_ref().and_then(Positions::warning) {
            progress.warn(&warning);
        }
        if parts.precision == Some(Precision::Int8) {
            range_rows = find_ranges(job, &path, &mut parts, progress)?;
        }
        let logged = match &positions {
            Some(Positions { scored: Some(Position::Logged), .. }) => as_logged(&parts.model)?,
            _ => None,
        };
        let keys = job.segments.clone().unwrap_or_else(|| parts.calibrators.segments.keys().to_vec());
        let source = with_keys(&job.rows.source, &keys)?;
        let keyed = keyed(&parts.calibrators, &keys)?;
        let mut before = None;
        if job.precision.is_some() || range_rows.is_some() || logged.is_some() || keyed.is_some() {
            let beside = match &job.target {
                Some(target) => Beside::of(&target.path, target.replace)?,
                None => Beside::next_to(&path)?,
            };
            let mut scored = BundleParts { model: logged.unwrap_or_else(|| parts.model.clone()), ..parts.clone() };
            if let Some(keyed) = keyed {
                if !scored.calibrators.segments.keys().is_empty() {
                    let path = beside.path().join("before");
                    scored.write(&path, true, false)?;
                    before = Some(path);
                }
                scored.calibrators = keyed;
            }
            scored.write(&beside.path().join(Self::NAME), true, false)?;
            at = Some(beside);
        }
        let [has_ctr, _] = heads(&model);
        let taught = job.rows.taught(model.provenance());
        ensure!(
            !taught || job.method.is_none() && job.segments.is_none() && !job.product,
            "the model has learnt from these rows: a calibrator fitted to them would make it surer than it is. Give rows that \
             it has not seen, or train it without the refit and hold them out"
        );
        if taught {
            progress.warn(
                "the model has learnt from these rows: its calibrators are kept, which were fitted while it had not",
            );
        }
        let folded = folded(model.provenance());
        Ok(Self { parts, keys, source, at, before, range_rows, positions, taught, folded, has_ctr })
    }
}

/// The files, which must have the columns of the keys now; features are another thing.
fn with_keys(source: &LogFiles, keys: &[SegmentKey]) -> Result<LogFiles> {
    let mut columns = source.format.columns();
    for key in keys {
        let id = match key {
            SegmentKey::Placement => KeyId::Placement,
            SegmentKey::Advertiser => KeyId::Advertiser,
            SegmentKey::Ad => KeyId::Ad,
            SegmentKey::Feature(_) => continue,
        };
        let column = columns.keys.iter_mut().find(|column| column.id == id);
        let column = column.with_context(|| {
            format!(
                "segments by {0}: the rows have no column for the {0}; name it under [keys] in the schema",
                key.name()
            )
        })?;
        column.needed = true;
    }
    Ok(match &source.format {
        Format::Examples(_) => LogFiles { format: Format::Examples(columns), ..source.clone() },
        _ => source.clone(),
    })
}

/// The calibrators with these keys of segments, so that a scorer tells their values; none where it does already, or where
/// none are asked for.
fn keyed(calibrators: &Calibrators, keys: &[SegmentKey]) -> Result<Option<Calibrators>> {
    if keys.is_empty() || calibrators.segments.keys() == keys {
        return Ok(None);
    }
    let segments = Segments::new(keys.to_vec(), vec![])?;
    Ok(Some(Calibrators { segments, ..calibrators.clone() }))
}

/// The keep rate that pCTR is corrected for: the bundle's, or a new one for a bundle that has none; `None` without a
/// pCTR head.
fn keep_rate(given: Option<f64>, served: &Served) -> Result<Option<f64>> {
    if !served.has_ctr {
        require!(
            given.is_none(),
            [Downsampling],
            "a keep rate corrects pCTR, and the model has no pCTR head: leave it out"
        );
        return Ok(None);
    }
    let before = served.parts.calibrators.ctr.keep_rate();
    let Some(given) = given else { return Ok(Some(before)) };
    require!(
        before == 1.0 || given == before,
        [Downsampling],
        "a keep rate of {given} is given, and the bundle corrects for a keep rate of {before} already: leave it out, and the \
         bundle's is carried over"
    );
    if let Some(folded) = served.folded.filter(|_| given < 1.0) {
        refuse!(
            [Downsampling],
            "a keep rate of {given} is given, and the model's bias accounts for the keep rate of {folded} that it was trained \
             with: leave it out"
        );
    }
    Ok(Some(given))
}

/// The keep rate below 1 that the bias accounts for, according to the provenance that `adclick train` or `adclick pack` wrote.
fn folded(provenance: &str) -> Option<f64> {
    let document: toml::Table = provenance.parse().ok()?;
    let number = |value: Option<&toml::Value>| value?.as_float().filter(|&rate| rate < 1.0);
    number(document.get("downsample")).or_else(|| number(document.get("pack")?.get("downsampling")))
}

/// Gives a model without ranges those of the rows. Returns the number of rows used.
fn find_ranges(job: &Job, bundle: &Path, parts: &mut BundleParts, progress: &Progress) -> Result<Option<usize>> {
    let model = Model::open(Bytes::copy_of(&parts.model)?)?;
    if !model.ranges().is_empty() || model.network().deep.is_empty() {
        return Ok(None);
    }
    require!(
        job.target.is_some(),
        [Out],
        "the model has no ranges for int8, and with them it is another one: say where to write it"
    );
    let mut source = job.rows.source.clone();
    if !model.enrichment().is_empty() {
        let tables = open(bundle)?.tables().to_vec();
        source.tables = Some(Arc::new(TableLookups::new(model.schema(), model.enrichment(), tables)?));
    }
    let chosen = job.rows.chosen(progress)?;
    let mut sample = ranges::InputSample::new(model.schema(), &source);
    let stage = progress.bytes("Looking for ranges", source.bytes()?);
    source.for_each(&stage, |batch| {
        batch.rows().iter().filter(|row| chosen.has(row)).for_each(|row| sample.see(batch, row));
        Ok(())
    })?;
    drop(stage);
    let mut spec = unpack(&model);
    let (found, rows) = ranges::find(&spec, &sample.rows())?;
    ensure!(rows > 0, "no row is left to find ranges from: the split leaves none of them, or the files hold none");
    spec.ranges = found;
    parts.model = pack_model(&spec)?;
    Ok(Some(rows))
}

fn levels(fit: &Option<HeadFit>) -> Vec<SegmentLevel> {
    fit.as_ref().map(|fit| fit.segmented.levels.clone()).unwrap_or_default()
}
