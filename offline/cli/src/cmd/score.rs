//! `adclick score`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use adclick::Precision;
use adclick_data::files::{read_file, write_over_own};
use adclick_data::logs::{Labels, TableHits};
use adclick_train::pack::inputs::InputRows;
use adclick_train::pack::run::{BundleScorer, RowScores};
use adclick_train::rows::{fallback, score_source};
use anyhow::{Context, Result, bail};
use safetensors::tensor::{Dtype, TensorView};

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
    let mut runner = BundleScorer::open(&args.bundle, args.kernel.as_deref(), args.precision)?;
    let (scores, logged) = match (&args.input, args.format) {
        (Some(input), _) => (score_inputs(&mut runner, input)?, None),
        (None, Some(format)) => score_logs(&runner, &Logs::of(&args.data, format, args.schema.as_deref()))?,
        (None, None) => bail!("give --input, or --data with --format"),
    };
    write(&args.output, &scores, logged.as_ref().map(|l| &l.numbers[..]))?;
    let tables = logged.as_ref().map_or(&[][..], |l| &l.tables);
    let (probabilities, _) = scores.ctr.as_ref().or(scores.cvr.as_ref()).context("the model predicts nothing")?;
    let rows = probabilities.len();
    let seconds = scores.spent.as_secs_f64();
    let scored = probabilities.iter().filter(|p| !p.is_nan()).count();
    let rate = scored as f64 / seconds.max(1e-9);
    let generation = format!("{:016x}", runner.generation()?);
    if let Some(warning) = fallback(runner.engine())? {
        eprintln!("warning: {warning}");
    }
    // The precision that a call without an auction serves.
    let precision = match runner.engine().precision()?.1 {
        Precision::AuctionExact => Precision::Exact,
        other => other,
    };
    let mut out = crate::stdout::lock();
    if args.json {
        let mut summary = serde_json::json!({
            "rows": rows,
            "bad_rows": scores.bad_rows,
            "kernel": runner.kernel(),
            "precision": precision.name(),
            "generation": generation,
            "seconds": seconds,
            "predictions_per_second": rate,
            "output": args.output.display().to_string(),
        });
        if !tables.is_empty() {
            summary["tables"] = serde_json::to_value(tables)?;
        }
        writeln!(out, "{summary}")?;
    } else {
        let (kernel, precision) = (runner.kernel(), precision.name());
        writeln!(out, "scored {rows} rows with generation {generation} on kernel {kernel}, {precision}")?;
        writeln!(out, "{seconds:.3} s in the scorer, {rate:.0} predictions per second")?;
        for found in tables {
            writeln!(out, "{found}")?;
        }
        if scores.bad_rows > 0 {
            match logged {
                None => writeln!(out, "{} rows hold NaN or infinite inputs: their outputs are NaN", scores.bad_rows)?,
                Some(_) => writeln!(out, "{} malformed rows were skipped", scores.bad_rows)?,
            }
        }
        writeln!(out, "written to {}", args.output.display())?;
    }
    Ok(())
}

fn score_inputs(runner: &mut BundleScorer, input: &Path) -> Result<RowScores> {
    let bytes = read_file(input)?;
    let inputs = InputRows::parse(&bytes, runner.schema()).with_context(|| input.display().to_string())?;
    drop(bytes);
    let stage = on_stderr().rows("Scoring rows", inputs.rows() as u64);
    let scores = runner.score(&inputs, &stage)?;
    drop(stage);
    Ok(scores)
}

/// Data about logged rows besides their scores.
struct Logged {
    numbers: Vec<u64>,
    tables: Vec<TableHits>,
}

fn score_logs(runner: &BundleScorer, logs: &Logs) -> Result<(RowScores, Option<Logged>)> {
    let mut source = logs.source()?;
    source.labels = Labels::Optional;
    let begin = Instant::now();
    let rows = score_source(runner.engine(), &source, |_| true, None, &[], &on_stderr())?;
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let scores = RowScores {
        ctr: (!rows.pctr.is_empty()).then(|| (narrow(&rows.pctr), narrow(&rows.logits))),
        cvr: (!rows.pcvr.is_empty()).then(|| (narrow(&rows.pcvr), narrow(&rows.cvr_logits))),
        bad_rows: usize::try_from(rows.bad_rows)?,
        spent: begin.elapsed(),
    };
    Ok((scores, Some(Logged { numbers: rows.numbers, tables: rows.tables })))
}

/// Writes a temporary file, syncs it and renames it.
fn write(path: &Path, scores: &RowScores, numbers: Option<&[u64]>) -> Result<()> {
    let mut columns = Vec::new();
    if let Some((pctr, logit)) = &scores.ctr {
        columns.extend([("pctr", pctr.clone()), ("logit", logit.clone())]);
    }
    if let Some((pcvr, logit)) = &scores.cvr {
        columns.extend([("pcvr", pcvr.clone()), ("logit_cvr", logit.clone())]);
    }
    if let (Some((pctr, _)), Some((pcvr, _))) = (&scores.ctr, &scores.cvr) {
        columns.push(("pctcvr", pctr.iter().zip(pcvr).map(|(a, b)| a * b).collect()));
    }
    let bytes: Vec<(&str, Vec<u8>)> =
        columns.iter().map(|(name, v)| (*name, v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = bytes
        .iter()
        .map(|(name, b)| Ok((*name, TensorView::new(Dtype::F32, vec![b.len() / 4], b)?)))
        .collect::<Result<Vec<_>>>()?;
    let numbers: Option<Vec<u8>> = numbers.map(|n| n.iter().flat_map(|x| x.to_le_bytes()).collect());
    let mut views = views;
    if let Some(bytes) = &numbers {
        views.push(("row", TensorView::new(Dtype::I64, vec![bytes.len() / 8], bytes)?));
    }
    let text = safetensors::serialize(views, None)?;
    // The names of its tensors come first.
    let has = |head: &[u8], name: &str| head.windows(name.len()).any(|w| w == name.as_bytes());
    let pairs = [["\"pctr\"", "\"logit\""], ["\"pcvr\"", "\"logit_cvr\""]];
    let is_ours = |head: &[u8]| pairs.iter().any(|pair| pair.iter().all(|name| has(head, name)));
    write_over_own(path, "what an earlier `adclick score` wrote", is_ours, |out| Ok(out.write_all(&text)?))
}
