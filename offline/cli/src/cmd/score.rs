//! `adclick score`.

use std::io::Write;
use std::path::PathBuf;

use adclick::Precision;
use adclick::builder::Named;
use adclick_train::jobs::score::{Job, RowsToScore, score};
use anyhow::{Result, bail};

use super::logs::{FormatName, Logs};
use crate::progress::on_stderr;

/// Score a file of inputs.
///
/// The input is a safetensors file: `x` [n, columns] holds ready model inputs in the schema's order; otherwise `x` holds
/// the raw number and vector columns, `single_ids` the ids of single-valued categories, `NAME_ids`, `NAME_offsets` and
/// `NAME_values` a multi-valued one, or one tensor named after each feature; `time_us` and `utc_offset_s` the request's time
/// and the user's offset from UTC (docs/pack.md). The output holds `pctr` and `logit` when the model predicts clicks, `pcvr` and
/// `logit_cvr` when it predicts conversions, and `pctcvr` when it predicts both, all F32 [n]. Logits are before calibration.
/// Rows with an input that is NaN or infinite get NaN.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    #[arg(long)]
    bundle: PathBuf,
    /// The safetensors file of inputs.
    #[arg(long, required_unless_present = "data", conflicts_with = "data")]
    input: Option<PathBuf>,
    /// Score the rows of log files instead, each as a request of one candidate; labels are not needed.
    #[arg(long, num_args = 1.., value_name = "FILE", requires = "format")]
    data: Vec<PathBuf>,
    /// The layout of the logs.
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// The schema file of --format examples (docs/schema.md).
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The safetensors file to write. An existing file is replaced only if this command wrote it.
    #[arg(long)]
    output: PathBuf,
    /// The kernel to use instead of the best one: portable, avx2 or avx512.
    #[arg(long)]
    kernel: Option<String>,
    /// Score in this precision instead of the bundle's: exact, bf16 or int8. Fails where it is not available.
    #[arg(long, value_name = "NAME", value_parser = super::precision)]
    precision: Option<Precision>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let rows = match (args.input, args.format) {
        (Some(input), _) => RowsToScore::Inputs(input),
        (None, Some(format)) => {
            RowsToScore::Logs(Box::new(Logs::of(&args.data, format, args.schema.as_deref()).source()?))
        }
        (None, None) => bail!("give --input, or --data with --format"),
    };
    let from_logs = matches!(rows, RowsToScore::Logs(_));
    let job = Job { bundle: args.bundle, rows, output: args.output, kernel: args.kernel, precision: args.precision };
    let done = score(&job, &on_stderr())?;
    let generation = format!("{:016x}", done.generation);
    let (kernel, precision) = (done.kernel, done.precision.name());
    let rate = done.scored as f64 / done.seconds.max(1e-9);
    let mut out = crate::stdout::lock();
    if args.json {
        let mut summary = serde_json::json!({
            "rows": done.rows,
            "bad_rows": done.bad_rows,
            "kernel": kernel,
            "precision": precision,
            "generation": generation,
            "seconds": done.seconds,
            "predictions_per_second": rate,
            "output": job.output.display().to_string(),
        });
        if !done.tables.is_empty() {
            summary["tables"] = serde_json::to_value(&done.tables)?;
        }
        writeln!(out, "{summary}")?;
    } else {
        let rows = done.rows;
        writeln!(out, "scored {rows} rows with generation {generation} on kernel {kernel}, {precision}")?;
        writeln!(out, "{:.3} s in the scorer, {rate:.0} predictions per second", done.seconds)?;
        for hits in &done.tables {
            writeln!(out, "{hits}")?;
        }
        if done.bad_rows > 0 {
            match from_logs {
                false => writeln!(out, "{} rows hold NaN or infinite inputs: their outputs are NaN", done.bad_rows)?,
                true => writeln!(out, "{} malformed rows were skipped", done.bad_rows)?,
            }
        }
        writeln!(out, "written to {}", job.output.display())?;
    }
    Ok(())
}
