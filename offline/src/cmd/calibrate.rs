//! `adclick calibrate`.

use std::path::PathBuf;

use adclick::calibrate::{Calibrator, Calibrators, HeadCalibrator};
use anyhow::{Result, bail};
use serde::Serialize;

use super::evaluate::rows_of;
use super::logs::{Logs, Part, PartName};
use crate::bundle::Parts;
use crate::data::Found;
use crate::fit::{self, Choice, Method, Sample};

/// Fit calibrators on held-out rows and write the bundle with them.
///
/// The rows must not be ones that the model was trained on. Without --method all methods are compared by cross-fitting,
/// and the simplest one that the rows clearly speak for is taken, which may be none at all: a calibrator fitted without
/// evidence makes probabilities worse on other days.
#[derive(clap::Args)]
pub struct Args {
    /// The bundle whose model is calibrated.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: Part,
    /// The bundle to write; without it, only the fit is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Fit this method instead of choosing.
    #[arg(long, value_enum)]
    method: Option<Method>,
    /// The keep rate of negative downsampling that the model's bias does not account for, in (0, 1].
    #[arg(long, default_value_t = 1.0)]
    downsampling: f64,
    /// Replace the bundle at --out if there is one.
    #[arg(long)]
    replace: bool,
    /// Name the bundle in CURRENT beside it.
    #[arg(long, requires = "out")]
    publish: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What was fitted.
#[derive(Serialize)]
struct Fitted {
    rows: usize,
    ctr: Choice,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvr: Option<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Found>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let (_, rows) = rows_of(&args.bundle, None, &args.logs, &args.part, PartName::Validation, &[])?;
    // Calibrators are fitted on what they will be applied to: logits after the correction.
    HeadCalibrator::new(args.downsampling, Calibrator::Identity)?;
    let logits: Vec<f64> = rows.logits.iter().map(|z| z + args.downsampling.ln()).collect();
    let ctr = choice(args.method, &Sample::new(&logits, &rows.clicks, rows.weights())?)?;
    let (logits, _, converted, weights) = rows.clicked();
    let cvr = if converted.is_empty() {
        None
    } else {
        Some(choice(args.method, &Sample::new(&logits, &converted, rows.weights().map(|_| weights.as_slice()))?)?)
    };
    let calibrators = Calibrators {
        ctr: HeadCalibrator::new(args.downsampling, ctr.calibrator.clone())?,
        cvr: HeadCalibrator::new(1.0, cvr.as_ref().map_or(Calibrator::Identity, |c| c.calibrator.clone()))?,
    };
    let mut generation = None;
    if let Some(out) = &args.out {
        let parts = Parts { calibrators, ..Parts::read(&args.bundle)? };
        generation = Some(format!("{:016x}", parts.write(out, args.replace, args.publish)?));
    }
    let fitted = Fitted { rows: rows.clicks.len(), ctr, cvr, generation, tables: rows.tables };
    if args.json {
        println!("{}", serde_json::to_string(&fitted)?);
        return Ok(());
    }
    println!("fitted on {} rows", fitted.rows);
    for found in &fitted.tables {
        println!("{found}");
    }
    print!("pCTR {}", fitted.ctr.table());
    if let Some(cvr) = &fitted.cvr {
        print!("pCVR {}", cvr.table());
    }
    match (&args.out, &fitted.generation) {
        (Some(out), Some(generation)) => println!("wrote {} (generation {generation})", out.display()),
        _ => println!("nothing was written: give --out"),
    }
    Ok(())
}

fn choice(method: Option<Method>, sample: &Sample) -> Result<Choice> {
    let Some(method) = method else { return fit::choose(sample) };
    let calibrator = fit::fit(method, sample)?;
    if !calibrator.is_strictly_increasing() {
        bail!("{} would turn the order of the scores around: the model ranks these rows backwards", method.name());
    }
    Ok(Choice { method, calibrator, candidates: Vec::new(), reason: "as asked for".to_owned() })
}
