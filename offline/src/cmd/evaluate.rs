//! `adclick evaluate`.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Serialize;

use super::logs::{Logs, Part, PartName};
use crate::data::Found;
use crate::measure::fields::Field;
use crate::measure::report::Options;
use crate::measure::{Labelled, Report};
use crate::progress::Progress;
use crate::rows::{ScoredRows, open_engine, score_source};
use crate::train::Data;

/// Measure a model on labelled rows, as it would serve them.
///
/// Prints AUC (ties count one half), log loss, normalised entropy, calibration errors (10 bins of equal width, and 20 of
/// equal mass with a bootstrap interval) and the calibration ratio, of the calibrated pCTR, and of pCVR over clicked rows
/// when the model and the rows have conversions.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: Part,
    /// Break the metrics down by the values of this input; may be given several times.
    #[arg(long, value_name = "INPUT")]
    field: Vec<String>,
    /// The values listed of each field, the most frequent ones.
    #[arg(long, default_value_t = 10)]
    top: usize,
    /// Also the impression-weighted AUC per value of this input (the user).
    #[arg(long, value_name = "INPUT")]
    group: Option<String>,
    /// Measure the model's own probabilities, without calibrators.
    #[arg(long)]
    raw: bool,
    /// The kernel to use instead of the best one: portable, avx2 or avx512.
    #[arg(long)]
    kernel: Option<String>,
    /// The seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Both heads.
#[derive(Serialize)]
struct Evaluation {
    #[serde(flatten)]
    ctr: Report,
    generation: String,
    bad_rows: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion: Option<Report>,
}

pub(super) fn run(args: Args) -> Result<()> {
    let mut fields = args.field.clone();
    fields.extend(args.group.clone());
    let (generation, rows) =
        rows_of(&args.bundle, args.kernel.as_deref(), &args.logs, &args.part, PartName::Test, &fields)?;
    let columns: Vec<Field> = args
        .field
        .iter()
        .zip(&rows.fields)
        .map(|(name, texts)| Field::from_values(name, texts.iter().map(String::as_str)))
        .collect();
    let groups: Option<Vec<u64>> = args.group.as_ref().map(|_| {
        rows.fields[args.field.len()].iter().map(|text| adclick::hash::category_id(text.as_bytes())).collect()
    });
    let options = Options { groups: groups.as_deref(), fields: &columns, top: args.top, seed: args.seed };
    let probabilities = if args.raw { raw(&rows.logits) } else { rows.pctr.clone() };
    check(&probabilities)?;
    let ctr = Report::compute(&Labelled::new(&probabilities, &rows.clicks, rows.weights())?, &options)?;
    let (logits, pcvr, converted, weights) = rows.clicked();
    let conversion = if converted.is_empty() {
        None
    } else {
        let probabilities = if args.raw { raw(&logits) } else { pcvr };
        let data = Labelled::new(&probabilities, &converted, rows.weights().map(|_| weights.as_slice()))?;
        Some(Report::compute(&data, &Options { seed: args.seed, ..Options::default() })?)
    };
    let generation = format!("{generation:016x}");
    let evaluation = Evaluation { ctr, generation, bad_rows: rows.bad_rows, tables: rows.tables, conversion };
    if args.json {
        println!("{}", serde_json::to_string(&evaluation)?);
        return Ok(());
    }
    print!("{}", evaluation.ctr.table());
    if let Some(conversion) = &evaluation.conversion {
        print!("\nconversions of clicked rows\n{}", conversion.table());
    }
    for found in &evaluation.tables {
        println!("{found}");
    }
    if evaluation.bad_rows > 0 {
        println!("{} malformed rows were skipped", evaluation.bad_rows);
    }
    Ok(())
}

/// The rows that a verb looks at, scored by a bundle.
pub(super) fn rows_of(
    bundle: &Path,
    kernel: Option<&str>,
    logs: &Logs,
    part: &Part,
    default: PartName,
    fields: &[String],
) -> Result<(u64, ScoredRows)> {
    let engine = open_engine(bundle, kernel)?;
    let (source, progress) = (logs.source()?, Progress::detect());
    let rows = match part.choose(default)? {
        None => score_source(&engine, &source, |_| true, fields, progress)?,
        Some((split, role)) => {
            let data = Data { source, split };
            let roles = data.roles(progress)?;
            score_source(&engine, &data.source, |row| roles.of(row) == role, fields, progress)?
        }
    };
    Ok((engine.generation()?.id(), rows))
}

fn raw(logits: &[f64]) -> Vec<f64> {
    logits.iter().map(|&z| adclick::calibrate::sigmoid(z)).collect()
}

fn check(probabilities: &[f64]) -> Result<()> {
    let bad = probabilities.iter().filter(|p| p.is_nan()).count();
    ensure!(
        bad == 0,
        "{bad} rows have logits that overflow f32: the model's weights or the rows' numbers are too large"
    );
    Ok(())
}
