//! `adclick calibrate`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use adclick::Precision;
use adclick_train::calibrators::Method;
use adclick_train::jobs::BundleTarget;
use adclick_train::jobs::calibrate::{Done, Job, calibrate};
use adclick_train::positions::Position;
use anyhow::Result;

use super::logs::{Logs, PartName, SplitPart};
use crate::progress::on_stderr;

/// Fit calibrators on held-out rows and write the bundle with them.
///
/// The model must not have been trained on these rows. Without --method all methods are compared by cross-fitting, and the
/// simplest one that the rows clearly support is taken, or none at all: a calibrator fitted without evidence makes
/// probabilities worse on other days.
///
/// They are fitted on the logits that this CPU serves: in the precision of the bundle, or that of --precision. A model
/// without the ranges that int8 needs gets them from these rows. A model with position features is calibrated at the
/// positions that the rows were logged at (--position). The bundle's correction for
/// downsampling is carried over, and so is the pCVR calibrator when the rows have no conversions (docs/calibrate.md).
#[derive(clap::Args)]
pub struct Args {
    /// The bundle whose model is calibrated.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: SplitPart,
    /// The bundle to write; without it, only the fit is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Fit this method instead of choosing.
    #[arg(long, value_parser = super::method())]
    method: Option<Method>,
    /// The keep rate of negative downsampling that neither the model's bias nor the bundle accounts for, in (0, 1]
    /// [default: that of the bundle].
    #[arg(long, value_name = "RATE", value_parser = super::kept_share)]
    downsampling: Option<f64>,
    /// A model with position features: fit at the positions that the rows were logged at, or only on rows that were logged at
    /// the position that is served [default: logged].
    #[arg(long, value_parser = super::position())]
    position: Option<Position>,
    /// The precision that the bundle is to be served in, instead of the one that it says: exact, bf16, int8 or
    /// auction-exact.
    #[arg(long, value_name = "NAME", value_parser = super::precision)]
    precision: Option<Precision>,
    /// Replace the bundle at --out if there is one.
    #[arg(long, requires = "out")]
    replace: bool,
    /// Name the bundle in CURRENT beside it.
    #[arg(long, requires = "out")]
    publish: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let target = args.out.map(|path| BundleTarget { path, replace: args.replace, publish: args.publish });
    let job = Job {
        bundle: args.bundle,
        rows: args.part.of(args.logs.source()?, PartName::Validation)?,
        method: args.method,
        downsampling: args.downsampling,
        position: args.position,
        precision: args.precision,
        target,
    };
    let done = calibrate(&job, &on_stderr())?;
    show(&done, job.target.as_ref().map(|t| t.path.as_path()), args.json)
}

/// The output, for a script or a person.
fn show(done: &Done, out_path: Option<&Path>, json: bool) -> Result<()> {
    let mut out = crate::stdout::lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(done)?)?;
        return Ok(());
    }
    writeln!(out, "fitted on {} rows, {}", done.rows, done.precision)?;
    if let Some(positions) = &done.positions {
        writeln!(out, "scored: {positions}")?;
    }
    if done.elsewhere > 0 {
        writeln!(out, "{} rows were logged elsewhere and are left out", done.elsewhere)?;
    }
    if let Some(rate) = done.keep_rate.filter(|&rate| rate < 1.0) {
        writeln!(out, "corrected for a keep rate of {rate}")?;
    }
    if let Some(rows) = done.range_rows {
        writeln!(out, "ranges for int8 from {rows} of them")?;
    }
    for found in &done.tables {
        writeln!(out, "{found}")?;
    }
    if let Some(ctr) = &done.ctr {
        write!(out, "pCTR {}", ctr.table())?;
    }
    if let Some(cvr) = &done.cvr {
        write!(out, "pCVR {}", cvr.table())?;
    }
    if let Some(kept) = &done.cvr_kept {
        writeln!(out, "pCVR as before: {kept}")?;
    }
    match (out_path, &done.generation) {
        (Some(to), Some(generation)) => writeln!(out, "wrote {} (generation {generation})", to.display())?,
        _ => writeln!(out, "nothing was written: give --out")?,
    }
    Ok(())
}
