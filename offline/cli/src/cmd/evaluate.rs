//! `adclick evaluate`.

use std::io::Write as _;
use std::path::PathBuf;

use adclick::Precision;
use adclick_measure::{Unknown, cost};
use adclick_train::jobs::evaluate::{Done, Job, evaluate};
use adclick_train::positions::Position;
use anyhow::Result;

use super::logs::{Logs, PartName, SplitPart};
use crate::progress::on_stderr;

/// Measure a model on labelled rows, as it would serve them.
///
/// Prints AUC (ties count one half), log loss, normalised entropy, calibration errors (10 bins of equal width, and 20 of
/// equal mass beside what chance alone gives) and the calibration ratio: of the calibrated pCTR, and of pCVR over clicked rows
/// when the model and the rows have conversions (docs/calibrate.md). A model that has only a pCVR head gets the figures of
/// pCVR alone. Without --precision the model is measured as the bundle is served on this CPU.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: SplitPart,
    /// A model with position features: score each row at the position that it was logged at, or look only at the rows that
    /// were logged at the position that is served [default: logged].
    #[arg(long, value_parser = super::position())]
    position: Option<Position>,
    /// Break the metrics of pCTR (or of pCVR, without a pCTR head) down by the values of this input; may be given several
    /// times.
    #[arg(long, value_name = "INPUT")]
    field: Vec<String>,
    /// How many values of each field are listed, the most frequent ones first [default: 10].
    #[arg(long, requires = "field")]
    top: Option<usize>,
    /// Also print the impression-weighted AUC of pCTR (or of pCVR, without a pCTR head) per value of this input, such as the user.
    #[arg(long, value_name = "INPUT")]
    group: Option<String>,
    /// Measure the model's own probabilities, without calibrators (but corrected for downsampling).
    #[arg(long)]
    raw: bool,
    /// The kernel to use instead of the best one: portable, avx2 or avx512.
    #[arg(long)]
    kernel: Option<String>,
    /// Measure exact, and what these precisions cost beside it on the same rows: exact, bf16, int8. Fails where one is not
    /// available.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = measurable)]
    precision: Vec<Precision>,
    /// The seed of the simulated clicks that measure what chance alone gives.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn measurable(name: &str) -> std::result::Result<Precision, String> {
    match super::precision(name)? {
        Precision::AuctionExact => Err(
            "auction-exact gives the winners and prices of exact, and scores without an auction are exact: there is \
                 nothing to measure"
                .to_owned(),
        ),
        other => Ok(other),
    }
}

pub(super) fn run(args: Args) -> Result<()> {
    let job = Job {
        bundle: args.bundle,
        rows: args.part.of(args.logs.source()?, PartName::Test)?,
        position: args.position,
        fields: args.field,
        top: args.top.unwrap_or(10),
        group: args.group,
        raw: args.raw,
        kernel: args.kernel,
        precisions: args.precision,
        seed: args.seed,
    };
    show(&evaluate(&job, &on_stderr())?, args.json)
}

/// The output, for a script or a person.
fn show(done: &Done, json: bool) -> Result<()> {
    let mut out = crate::stdout::lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(done)?)?;
        return Ok(());
    }
    if let Some(ctr) = &done.ctr {
        write!(out, "{}", ctr.table())?;
    }
    if let Some(conversion) = &done.conversion {
        let apart = if done.ctr.is_some() { "\n" } else { "" };
        write!(out, "{apart}conversions of clicked rows\n{}", conversion.table())?;
    }
    if !done.costs.is_empty() {
        write!(out, "\nprecisions beside exact\n{}", cost::table(&done.costs))?;
    }
    if !done.conversion_costs.is_empty() {
        write!(out, "\nof conversions of clicked rows\n{}", cost::table(&done.conversion_costs))?;
    }
    if let Some(positions) = &done.positions {
        writeln!(out, "scored: {positions}")?;
    }
    if done.elsewhere > 0 {
        writeln!(out, "{} rows were logged elsewhere and are left out", done.elsewhere)?;
    }
    if let Some(Unknown { clicked, unknown, .. }) = &done.unknown_conversions {
        writeln!(out, "{unknown} of {clicked} clicked rows have no conversion label and are left out of pCVR")?;
    }
    for found in &done.tables {
        writeln!(out, "{found}")?;
    }
    if done.bad_rows > 0 {
        writeln!(out, "{} malformed rows were skipped", done.bad_rows)?;
    }
    Ok(())
}
