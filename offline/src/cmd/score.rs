//! `adclick score`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use safetensors::tensor::{Dtype, TensorView};

use crate::pack::inputs::Inputs;
use crate::pack::run::{Runner, Scores};

/// Score a file of inputs.
///
/// The input is a safetensors file: `x` [n, columns] holds ready model inputs in the schema's order; otherwise `x` holds
/// the raw number and vector columns, `single_ids` the ids of single-valued categories, `NAME_ids`, `NAME_offsets` and
/// `NAME_values` a multi-valued one, or one tensor named after each feature. The output holds `pctr` and `logit`, and
/// `pcvr`, `pctcvr` and `logit_cvr` when the model predicts conversions, all F32 [n]. Logits are before calibration.
/// Rows with an input that is NaN or infinite get NaN.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    #[arg(long)]
    bundle: PathBuf,
    /// The safetensors file of inputs.
    #[arg(long)]
    input: PathBuf,
    /// The safetensors file to write.
    #[arg(long)]
    output: PathBuf,
    /// The kernel to use instead of the best one: portable, avx2 or avx512.
    #[arg(long)]
    kernel: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let mut runner = Runner::open(&args.bundle, args.kernel.as_deref())?;
    let bytes = std::fs::read(&args.input).with_context(|| format!("cannot read {}", args.input.display()))?;
    let inputs = Inputs::parse(&bytes, runner.schema()).with_context(|| args.input.display().to_string())?;
    drop(bytes);
    let progress = ProgressBar::with_draw_target(Some(inputs.rows() as u64), ProgressDrawTarget::stderr());
    progress.set_style(ProgressStyle::with_template("scoring {bar:40} {human_pos}/{human_len} rows")?);
    let scores = runner.score(&inputs, &progress)?;
    progress.finish_and_clear();
    write(&args.output, &scores).with_context(|| format!("cannot write {}", args.output.display()))?;
    let rows = scores.pctr.len();
    let seconds = scores.spent.as_secs_f64();
    let rate = (rows - scores.bad_rows) as f64 / seconds.max(1e-9);
    let generation = format!("{:016x}", runner.generation()?);
    let mut out = std::io::stdout().lock();
    if args.json {
        let summary = serde_json::json!({
            "rows": rows,
            "bad_rows": scores.bad_rows,
            "kernel": runner.kernel(),
            "generation": generation,
            "seconds": seconds,
            "predictions_per_second": rate,
            "output": args.output.display().to_string(),
        });
        writeln!(out, "{summary}")?;
    } else {
        writeln!(out, "scored {rows} rows with generation {generation} on kernel {}", runner.kernel())?;
        writeln!(out, "{seconds:.3} s in the scorer, {rate:.0} predictions per second")?;
        if scores.bad_rows > 0 {
            writeln!(out, "{} rows hold NaN or infinite inputs: their outputs are NaN", scores.bad_rows)?;
        }
        writeln!(out, "written to {}", args.output.display())?;
    }
    Ok(())
}

/// Writes beside, syncs and renames.
fn write(path: &Path, scores: &Scores) -> Result<()> {
    let mut columns = vec![("pctr", scores.pctr.clone()), ("logit", scores.logit.clone())];
    if let Some((pcvr, logit)) = &scores.cvr {
        columns.push(("pcvr", pcvr.clone()));
        columns.push(("pctcvr", scores.pctr.iter().zip(pcvr).map(|(a, b)| a * b).collect()));
        columns.push(("logit_cvr", logit.clone()));
    }
    let bytes: Vec<(&str, Vec<u8>)> =
        columns.iter().map(|(name, v)| (*name, v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = bytes
        .iter()
        .map(|(name, b)| Ok((*name, TensorView::new(Dtype::F32, vec![b.len() / 4], b)?)))
        .collect::<Result<Vec<_>>>()?;
    let text = safetensors::serialize(views, None)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    Ok(())
}
