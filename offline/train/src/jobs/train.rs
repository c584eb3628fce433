//! Turns logs into a calibrated bundle.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use adclick::Precision;
use adclick::builder::Named;
use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::{self, Manifest, Role};
use adclick::builder::calibrate::{Calibrators, HeadCalibrator};
use adclick::builder::model::pack_model;
use adclick_data::logs::{LogFiles, TableLookups};
use adclick_data::progress::Progress;
use adclick_data::schema_file::SchemaFile;
use adclick_data::setting::{BadSetting, Setting, require};
use adclick_measure::weights;
use anyhow::{Context, Result};
use serde::Serialize;

use super::pack::{GivenTables, for_training};
use super::{BundleTarget, RowSelection, warn_of_bad_rows};
use crate::bundle::{Beside, BundlePart, BundleParts, open_tables, resolve};
use crate::calibrators::{self, Choice, Sample};
use crate::positions::as_logged;
use crate::rows::{fallback, open_engine};
use crate::trainer::{
    self, Blueprint, Checkpoints, Config, Data, HeldOutScores, RunStatistics, Split, SplitRole, apart,
};
use crate::unpack::unpack;

/// A training job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The logs. Rows look values up in the tables of `tables`.
    pub source: LogFiles,
    /// The schema of `--format examples`; `None` = the built-in features of the logs' format.
    pub schema: Option<SchemaFile>,
    /// The rows that validate.
    pub split: Split,
    /// The options of the trainer.
    pub config: Config,
    /// The model to continue from.
    pub parent: Option<Parent>,
    /// The tables that the schema reads.
    pub tables: GivenTables,
    /// The text of the auction policy; `None` = the default one.
    pub policy: Option<String>,
    /// The precision that the bundle is to be served in; `None` = exact.
    pub precision: Option<Precision>,
    /// Whether to choose calibrators on the validation rows.
    pub calibrate: bool,
    /// The bundle to write.
    pub target: BundleTarget,
}

/// A model to continue from.
#[derive(Debug, Clone)]
pub struct Parent {
    /// The generation of its bundle, for the provenance.
    pub generation: String,
    /// The model.
    pub spec: ModelSpec,
}

impl Parent {
    /// The model of a bundle, or of the one that `CURRENT` in this directory names.
    ///
    /// # Errors
    /// A bundle that cannot be read.
    pub fn read(bundle: &Path) -> Result<Self> {
        let bundle = &resolve(bundle)?;
        let manifest = Manifest::read(bundle)?;
        let entry = manifest.file(Role::Model).context("the bundle has no model")?;
        let path = bundle.join(&entry.name);
        let model = Model::open(Bytes::open(&path, OpenMode::Map)?).with_context(|| path.display().to_string())?;
        Ok(Self { generation: format!("{:016x}", manifest.generation()), spec: unpack(&model) })
    }
}

/// The result of training.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The bundle.
    pub out: String,
    /// Its generation, in hexadecimal.
    pub generation: String,
    /// Statistics of the training run.
    #[serde(flatten)]
    pub metrics: RunStatistics,
    /// The calibrator of the first head.
    pub calibrator: String,
    /// The precision that the bundle is to be served in.
    pub precision: &'static str,
    /// Log loss of the test rows before calibration, when the split has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_logloss: Option<f64>,
    /// The number of test rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rows: Option<usize>,
}

/// Trains a model, calibrates it and writes its bundle.
///
/// # Errors
/// Files that cannot be read, a split that leaves nothing, features or tables that the rows do not have, training that
/// diverges, a bundle that cannot be written.
pub fn train(job: Job, progress: &Progress) -> Result<Done> {
    let BundleTarget { path: out, replace, publish } = &job.target;
    // Fails before hours of training, not after.
    bundle::check_target(out, *replace)?;
    let blueprint = match &job.schema {
        Some(schema) => Blueprint::given(schema),
        None => Blueprint::of(&job.source.format).ok_or_else(|| {
            BadSetting::new(&[Setting::Schema], "rows with columns of their own need a schema".to_owned())
        })?,
    };
    if let Split::Files(paths) = &job.split {
        apart(&job.source.paths, paths)?;
    }
    let built = build_tables(&job, progress)?;
    let data = Data { source: LogFiles { tables: built.lookups, ..job.source }, split: job.split };
    // Without calibrators, the validation rows are left for fitting some.
    let refit = job.config.refit.or((!job.calibrate).then_some(false));
    let config = Config { parent: job.parent.as_ref().map(|p| p.generation.clone()), refit, ..job.config };
    let trained = trainer::fit(&config, &data, &blueprint, job.parent.as_ref().map(|p| &p.spec), progress)?;
    let (precision, calibrators) = (job.precision, Calibrators::default());
    let mut parts = BundleParts {
        model_file: None,
        model: pack_model(&trained.spec)?,
        calibrators,
        policy: job.policy,
        precision,
        tables: built.parts,
    };
    let mut beside = built.beside;
    let mut served = None;
    if matches!(precision, Some(Precision::Bf16 | Precision::Int8)) && job.calibrate {
        let beside = match &mut beside {
            Some(beside) => beside,
            None => beside.insert(Beside::of(out, *replace)?),
        };
        let unseen = match &trained.unseen {
            Some(spec) => Some(BundleParts { model: pack_model(spec)?, ..parts.clone() }),
            None => None,
        };
        served = as_served(unseen.as_ref().unwrap_or(&parts), &data, beside, progress)?;
    }
    let choice;
    (parts.calibrators, choice) = calibrate(&trained.validation, served.as_ref(), job.calibrate)?;
    let generation = parts.write(out, *replace, *publish)?;
    if let Some(Checkpoints { file, .. }) = &config.checkpoint
        && let Err(err) = fs::remove_file(file)
        && err.kind() != ErrorKind::NotFound
    {
        progress.warn(&format!("{}: the checkpoint cannot be removed: {err}", file.display()));
    }
    Ok(Done {
        out: out.display().to_string(),
        generation: format!("{generation:016x}"),
        metrics: trained.metrics,
        precision: precision.unwrap_or(Precision::Exact).name(),
        calibrator: choice.map_or("identity".to_owned(), |c| c.calibrator.to_string()),
        test_logloss: trained.test.as_ref().map(|t| t.loss),
        test_rows: trained.test.as_ref().map(|t| t.clicks.len()),
    })
}

/// The tables of a model to be trained.
#[derive(Default)]
struct BuiltTables {
    /// For looking up rows; `None` when the model reads no table.
    lookups: Option<Arc<TableLookups>>,
    /// For the bundle.
    parts: Vec<BundlePart>,
    /// Their directory until the bundle links them.
    beside: Option<Beside>,
}

/// Builds the tables that the model reads.
fn build_tables(job: &Job, progress: &Progress) -> Result<BuiltTables> {
    let Some(schema) = job.schema.as_ref().filter(|s| !s.enrichment.is_empty()) else {
        require!(
            job.tables.given.is_empty(),
            [Table, Schema],
            "tables are given, and the model reads none: give a schema with [[tables]] and features that read them"
        );
        return Ok(BuiltTables::default());
    };
    let beside = Beside::of(&job.target.path, job.target.replace)?;
    let (mut parts, summaries) = for_training(&job.tables, schema, beside.path(), progress)?;
    warn_of_bad_rows(&summaries, progress);
    // The same tables give the same generation, in any order.
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let lookups = TableLookups::new(&schema.schema, &schema.enrichment, open_tables(&parts)?)?;
    Ok(BuiltTables { lookups: Some(Arc::new(lookups)), parts, beside: Some(beside) })
}

/// The validation rows, scored in the arithmetic that serves; `None` when this CPU serves exact.
fn as_served(parts: &BundleParts, data: &Data, beside: &Beside, progress: &Progress) -> Result<Option<HeldOutScores>> {
    let bundle = beside.path().join("uncalibrated");
    // At the positions that were logged, to match the clicks.
    let logged = as_logged(&parts.model)?.map(|model| BundleParts { model, ..parts.clone() });
    logged.as_ref().unwrap_or(parts).write(&bundle, true, false)?;
    let engine = open_engine(&bundle, None, None)?;
    if let Some(warning) = fallback(&engine)? {
        progress.warn(&format!("{warning}: the calibrator is fitted on exact logits"));
        return Ok(None);
    }
    let rows = match &data.split {
        Split::Files(paths) => {
            RowSelection { source: LogFiles { paths: paths.clone(), ..data.source.clone() }, part: None, times: None }
        }
        split => RowSelection {
            source: data.source.clone(),
            part: Some((split.clone(), SplitRole::Validation)),
            times: None,
        },
    };
    let rows = rows.scored(&engine, None, &[], progress)?;
    Ok(Some(HeldOutScores {
        click_logits: rows.logits,
        conversion_logits: rows.cvr_logits,
        clicks: rows.clicks,
        conversions: rows.conversions,
        weights: rows.weights.iter().map(|&w| w as f32).collect(),
        loss: f64::NAN,
    }))
}

/// The calibrators that the validation rows support, and the choice for the first head. The exact logits decide the
/// kind, so that one model gets the same kind in every precision; the numbers are fitted on the `served` logits, if
/// those differ.
fn calibrate(
    exact: &HeldOutScores,
    served: Option<&HeldOutScores>,
    wanted: bool,
) -> Result<(Calibrators, Option<Choice>)> {
    let mut calibrators = Calibrators::default();
    let mut first = None;
    if !wanted {
        return Ok((calibrators, None));
    }
    let heads = [(&mut calibrators.ctr, clicks_of as LabelsOf), (&mut calibrators.cvr, conversions_of)];
    for (calibrator, rows) in heads {
        let (logits, labels, weights) = rows(exact);
        if logits.is_empty() {
            continue;
        }
        let mut choice = calibrators::choose(&Sample::new(&logits, &labels, Some(&weights))?)?;
        if let Some(served) = served {
            let (logits, labels, weights) = rows(served);
            choice.calibrator = calibrators::fit(choice.method, &Sample::new(&logits, &labels, Some(&weights))?)?;
        }
        *calibrator = HeadCalibrator::new(1.0, choice.calibrator.clone())?;
        first = first.or(Some(choice));
    }
    Ok((calibrators, first))
}

/// Logits, labels and weights that a head is calibrated on.
type HeadLabels = (Vec<f64>, Vec<bool>, Vec<f64>);
type LabelsOf = fn(&HeldOutScores) -> HeadLabels;

fn clicks_of(rows: &HeldOutScores) -> HeadLabels {
    labelled(rows, 0..rows.click_logits.len(), &rows.click_logits, |row| rows.clicks[row])
}

/// Clicked rows whose conversion is known.
fn conversions_of(rows: &HeldOutScores) -> HeadLabels {
    let known = (0..rows.conversion_logits.len()).filter(|&row| rows.clicks[row] && rows.conversions[row].is_some());
    labelled(rows, known, &rows.conversion_logits, |row| rows.conversions[row] == Some(true))
}

fn labelled(
    rows: &HeldOutScores,
    which: impl Iterator<Item = usize> + Clone,
    logits: &[f64],
    label: impl Fn(usize) -> bool,
) -> HeadLabels {
    let mut weights: Vec<f64> = rows.weights.iter().map(|&w| w.into()).collect();
    weights::by_their_mean(&mut weights);
    let logits = which.clone().map(|row| logits[row]).collect();
    (logits, which.clone().map(label).collect(), which.map(|row| weights[row]).collect())
}
