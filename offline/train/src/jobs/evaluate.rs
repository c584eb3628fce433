//! Measures a model on labelled rows, as it would serve them.

use std::path::PathBuf;

use adclick::Engine;
use adclick::Precision;
use adclick::builder::Named;
use adclick::builder::artifact::model::spec::HeadKind;
use adclick_data::logs::TableHits;
use adclick_data::progress::Progress;
use adclick_measure::cost::{Cost, Scores};
use adclick_measure::fields::Field;
use adclick_measure::report::ReportOptions;
use adclick_measure::{Labelled, Report, Unknown};
use anyhow::{Result, ensure};
use serde::Serialize;

use super::RowSelection;
use crate::bundle::resolve;
use crate::positions::{LoggedBundle, Position, Positions};
use crate::rows::{ScoredRows, fallback, open_engine};

/// An evaluation job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The bundle, or the directory whose `CURRENT` names it.
    pub bundle: PathBuf,
    /// The rows.
    pub rows: RowSelection,
    /// The positions at which rows are scored; `None` = those at which they were logged, if the rows hold them.
    pub position: Option<Position>,
    /// Inputs by whose values the metrics of the first head are broken down.
    pub fields: Vec<String>,
    /// The number of values listed for each field, the most frequent ones.
    pub top: usize,
    /// The input whose values are the groups of GAUC.
    pub group: Option<String>,
    /// Whether calibrators are left out and the model's own probabilities are measured.
    pub raw: bool,
    /// The kernel to use instead of the best one.
    pub kernel: Option<String>,
    /// Precisions whose cost is measured against exact; empty = only the served one.
    pub precisions: Vec<Precision>,
    /// The seed of the simulated clicks that give the errors expected by chance.
    pub seed: u64,
}

/// The result of an evaluation.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// The model's heads.
    pub heads: Vec<&'static str>,
    /// pCTR; absent without a pCTR head.
    #[serde(flatten)]
    pub ctr: Option<Report>,
    /// Rows that were scored, when no report of pCTR holds the number.
    #[serde(rename = "rows", skip_serializing_if = "Option::is_none")]
    pub scored: Option<usize>,
    /// The generation of the bundle, in hexadecimal.
    pub generation: String,
    /// Malformed rows that were skipped.
    pub bad_rows: u64,
    /// How many rows found their key in each table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableHits>,
    /// pCVR over clicked rows whose conversion is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Report>,
    /// Clicked rows whose conversion is not known, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_conversions: Option<Unknown>,
    /// The positions at which rows were scored; absent for a model without position features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Rows left out because they were logged at another position than is served.
    pub elsewhere: u64,
    /// The precision and kernel of the figures above.
    pub precision: &'static str,
    /// The cost of other precisions for pCTR.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<Cost>,
    /// The cost of other precisions for pCVR.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conversion_costs: Vec<Cost>,
}

/// Measures a bundle's model on labelled rows, as it would serve them.
///
/// # Errors
/// A bundle or files that cannot be read, a precision or a kernel that is not available, rows without labels for any of
/// the model's heads.
pub fn evaluate(job: &Job, progress: &Progress) -> Result<Done> {
    let mut fields = job.fields.clone();
    fields.extend(job.group.clone());
    let columns = job.rows.source.format.columns();
    let bundle = LoggedBundle::new(&resolve(&job.bundle)?, &columns, job.position, progress)?;
    let open = |precision| open_engine(&bundle.path, job.kernel.as_deref(), precision);
    // All engines are made before the first row, so that one that is not available fails at once.
    let fast = job.precisions.iter().filter(|p| **p != Precision::Exact).map(|p| Ok((*p, open(Some(*p))?)));
    let fast = fast.collect::<Result<Vec<_>>>()?;
    let engine = open((!job.precisions.is_empty()).then_some(Precision::Exact))?;
    if let Some(warning) = fallback(&engine)? {
        progress.warn(&warning);
    }
    if job.rows.taught(engine.generation()?.model().provenance()) {
        progress.warn("the model has learnt from these rows: it looks better on them than it is");
    }
    let served = engine.model()?.precision;
    let keep_rates = keep_rates(&engine)?;
    let positions = bundle.positions.as_ref();
    let score = |engine: &Engine, fields| job.rows.scored(engine, positions, fields, progress);
    let rows = score(&engine, &fields)?;
    rows.check_heads()?;
    let unknown_conversions = rows.unknown_conversions();
    if let Some(warning) = unknown_conversions.as_ref().and_then(Unknown::warning) {
        progress.warn(&warning);
    }
    let [ctr, conversion] = reports(job, &rows, keep_rates)?;
    let (mut costs, mut conversion_costs) = (Vec::new(), Vec::new());
    for (precision, engine) in fast {
        let name = precision.name();
        let [click, conversion] = cost(name, job.raw.then_some(keep_rates), &rows, &score(&engine, &[])?)?;
        costs.extend(click);
        conversion_costs.extend(conversion);
    }
    Ok(Done {
        heads: [(HeadKind::Ctr, !rows.logits.is_empty()), (HeadKind::Cvr, !rows.cvr_logits.is_empty())]
            .into_iter()
            .filter_map(|(head, has)| has.then_some(head.name()))
            .collect(),
        scored: ctr.is_none().then_some(rows.clicks.len()),
        ctr,
        generation: format!("{:016x}", bundle.generation),
        bad_rows: rows.bad_rows,
        tables: rows.tables,
        conversion,
        unknown_conversions,
        positions: bundle.positions.clone(),
        elsewhere: rows.elsewhere,
        precision: if served == Precision::AuctionExact { Precision::Exact } else { served }.name(),
        costs,
        conversion_costs,
    })
}

/// Measures the heads: pCTR on all rows, pCVR on clicked rows whose conversion is known. Leaves out a head that the
/// model lacks, and pCVR where no conversion is known. Fields and groups go with pCTR if the model has it.
fn reports(job: &Job, rows: &ScoredRows, keep_rates: [f64; 2]) -> Result<[Option<Report>; 2]> {
    let has_ctr = !rows.logits.is_empty();
    let told: Vec<usize> = if has_ctr { (0..rows.clicks.len()).collect() } else { rows.of_conversions() };
    let (broken_down, grouped) = rows.fields.split_at(job.fields.len());
    let columns: Vec<Field> = (job.fields.iter().zip(broken_down))
        .map(|(name, texts)| Field::from_values(name, told.iter().map(|&row| texts[row].as_str())))
        .collect();
    let groups: Option<Vec<u64>> =
        (grouped.first()).map(|texts| told.iter().map(|&row| adclick::category_id(texts[row].as_bytes())).collect());
    let options = ReportOptions { groups: groups.as_deref(), fields: &columns, top: job.top, seed: job.seed };
    let plain = ReportOptions { seed: job.seed, ..ReportOptions::default() };
    let measure = |probabilities: &[f64], labels: &[bool], weights, options| {
        check(probabilities)?;
        Report::compute(&Labelled::new(probabilities, labels, weights)?, options)
    };
    let ctr = has_ctr.then(|| {
        let probabilities = if job.raw { raw(&rows.logits, keep_rates[0]) } else { rows.pctr.clone() };
        measure(&probabilities, &rows.clicks, rows.weights(), &options)
    });
    let (logits, pcvr, converted, weights) = rows.clicked();
    let conversion = (!converted.is_empty()).then(|| {
        let probabilities = if job.raw { raw(&logits, keep_rates[1]) } else { pcvr };
        let weights = rows.weights().map(|_| weights.as_slice());
        measure(&probabilities, &converted, weights, if has_ctr { &plain } else { &options })
    });
    Ok([ctr.transpose()?, conversion.transpose()?])
}

/// The shares of negatives that the heads' logits are corrected for.
fn keep_rates(engine: &Engine) -> Result<[f64; 2]> {
    let generation = engine.generation()?;
    let calibrators = generation.calibrators();
    Ok([calibrators.ctr.keep_rate(), calibrators.cvr.keep_rate()])
}

/// The cost of scores against exact ones, for clicks and, if there are any, conversions.
fn cost(
    name: &'static str,
    as_raw: Option<[f64; 2]>,
    exact: &ScoredRows,
    fast: &ScoredRows,
) -> Result<[Option<Cost>; 2]> {
    let of = |head: usize, logits: [&[f64]; 2], served: [&[f64]; 2], labels: &[bool], weights: Option<&[f64]>| {
        if logits[0].is_empty() {
            return Ok(None);
        }
        let probabilities = |i: usize| as_raw.map_or_else(|| served[i].to_vec(), |rates| raw(logits[i], rates[head]));
        let probabilities = [probabilities(0), probabilities(1)];
        check(&probabilities[1])?;
        let scores = |i: usize| {
            Ok::<_, anyhow::Error>(Scores {
                logits: logits[i],
                data: Labelled::new(&probabilities[i], labels, weights)?,
            })
        };
        Cost::of(name, scores(0)?, scores(1)?).map(Some)
    };
    let click = of(0, [&exact.logits, &fast.logits], [&exact.pctr, &fast.pctr], &exact.clicks, exact.weights())?;
    let [(logits, pcvr, converted, weights), (fast_logits, fast_pcvr, ..)] = [exact.clicked(), fast.clicked()];
    let weights = exact.weights().map(|_| weights.as_slice());
    Ok([click, of(1, [&logits, &fast_logits], [&pcvr, &fast_pcvr], &converted, weights)?])
}

/// The uncalibrated probabilities over all rows, where training kept a share of the negatives.
fn raw(logits: &[f64], keep_rate: f64) -> Vec<f64> {
    logits.iter().map(|&z| adclick::builder::calibrate::sigmoid(z + keep_rate.ln())).collect()
}

fn check(probabilities: &[f64]) -> Result<()> {
    let bad = probabilities.iter().filter(|p| p.is_nan()).count();
    ensure!(
        bad == 0,
        "{bad} rows have logits that overflow f32: the model's weights or the rows' numbers are too large"
    );
    Ok(())
}
