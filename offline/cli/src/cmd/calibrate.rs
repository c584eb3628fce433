//! `adclick calibrate` and `adclick report`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use adclick::Precision;
use adclick::builder::bundle::current;
use adclick::builder::calibrate::SegmentKey;
use adclick_data::schema_file::duration;
use adclick_data::time;
use adclick_train::calibrators::Method;
use adclick_train::jobs::calibrate::{Job, calibrate};
use adclick_train::jobs::{BundleTarget, TimeRange};
use adclick_train::positions::Position;
use anyhow::{Context, Result, ensure};

use super::logs::{Logs, PartName, SplitPart};
use super::reliability::{show, write_page};
use crate::progress::on_stderr;

/// Fit calibrators on held-out rows and write the bundle with them.
///
/// The model must not have been trained on these rows. Without --method all methods are compared by cross-fitting, and the
/// simplest one that the rows clearly support is taken, or none at all: a calibrator fitted without evidence makes
/// probabilities worse on other days.
///
/// With --segment the parts of the traffic that differ get calibrators of their own, shrunk towards that of the whole. Rows
/// are impressions, so that what is fitted holds for the winners of auctions, whose probabilities a model overstates.
///
/// They are fitted on the logits that this CPU serves: in the precision of the bundle, or that of --precision. A model
/// without the ranges that int8 needs gets them from these rows. A model with position features is calibrated at the
/// positions that the rows were logged at (--position). The bundle's correction for
/// downsampling is carried over, and so is the pCVR calibrator when the rows have no conversions (docs/calibrate.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    fit: FitArgs,
    /// The bundle to write; without it and --publish, only the fit is printed.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Replace the bundle at --out if there is one.
    #[arg(long, requires = "out")]
    replace: bool,
    /// Name the bundle in CURRENT beside it. Without --out it is written beside the bundle that it was made from, under that
    /// one's name and the time.
    #[arg(long)]
    publish: bool,
    /// Write reliability plots, before and after, as one HTML page.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Show how reliable a bundle's probabilities are: plots with intervals as one HTML page.
///
/// Probabilities as they are served stand beside those that `adclick calibrate` would make of them, on rows that its fit had
/// not seen, for all rows and for each segment. Nothing but the page is written.
#[derive(clap::Args)]
pub struct ReportArgs {
    #[command(flatten)]
    fit: FitArgs,
    /// The page to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What is fitted, and on which rows.
#[derive(clap::Args)]
struct FitArgs {
    /// The bundle whose model is calibrated, or the directory whose CURRENT names it.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: SplitPart,
    /// Leave out rows that are younger than this, whose clicks may still come: 30m, 24h, 7d. Needs a column of times.
    #[arg(long, value_name = "AGE", value_parser = age)]
    matured: Option<u64>,
    /// Of the others, take those of this last stretch of time: 6h, 2d.
    #[arg(long, value_name = "TIME", value_parser = age)]
    within: Option<u64>,
    /// The time that --matured and --within count from [default: now].
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    now: Option<i64>,
    /// Calibrate segments: placement, advertiser, ad or a category feature of the model, each within the one before it; `none`
    /// for no segments [default: those of the bundle].
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    segment: Vec<String>,
    /// Calibrate the product of pCTR and pCVR, too: bids per conversion are worth that much.
    #[arg(long)]
    product: bool,
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
}

fn age(text: &str) -> std::result::Result<u64, String> {
    duration::seconds(text).map_err(|e| format!("{e:#}"))
}

fn moment(text: &str) -> std::result::Result<i64, String> {
    time::parse(text).map_err(|e| format!("{e:#}"))
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl FitArgs {
    fn job(self, target: Option<BundleTarget>) -> Result<Job> {
        let mut rows = self.part.of(self.logs.source()?, PartName::Validation)?;
        if self.matured.is_some() || self.within.is_some() {
            let micros = |seconds: u64| i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
            let until_us = self.now.unwrap_or_else(now_us).saturating_sub(self.matured.map_or(0, micros));
            let from_us = self.within.map_or(i64::MIN, |within| until_us.saturating_sub(micros(within)));
            rows.times = Some(TimeRange { from_us, until_us });
        } else {
            ensure!(self.now.is_none(), "--now says what --matured and --within count from: give one of them");
        }
        let none = self.segment.iter().any(|key| key == "none");
        ensure!(!none || self.segment.len() == 1, "--segment none stands alone");
        let keys = self.segment.iter().filter(|_| !none).map(|key| SegmentKey::by_name(key)).collect();
        Ok(Job {
            bundle: self.bundle,
            rows,
            segments: (!self.segment.is_empty()).then_some(keys),
            product: self.product,
            method: self.method,
            downsampling: self.downsampling,
            position: self.position,
            precision: self.precision,
            target,
        })
    }
}

pub(super) fn run(args: Args) -> Result<()> {
    let path = match (args.out, args.publish) {
        (None, true) => Some(beside(&args.fit.bundle, args.fit.now.unwrap_or_else(now_us))?),
        (path, _) => path,
    };
    let target = path.map(|path| BundleTarget { path, replace: args.replace, publish: args.publish });
    let job = args.fit.job(target)?;
    let done = calibrate(&job, &on_stderr())?;
    if let Some(page) = &args.report {
        write_page(page, &job.bundle, &done)?;
    }
    show(&done, job.target.as_ref().map(|t| t.path.as_path()), args.report.as_deref(), args.json)
}

pub(super) fn run_report(args: ReportArgs) -> Result<()> {
    let job = args.fit.job(None)?;
    let done = calibrate(&job, &on_stderr())?;
    write_page(&args.out, &job.bundle, &done)?;
    if args.json {
        return show(&done, None, Some(&args.out), true);
    }
    writeln!(crate::stdout::lock(), "wrote {}", args.out.display())?;
    Ok(())
}

/// Marks, in a name, the time of a calibration.
const MARK: &str = "-calibrated-";

/// The path of a bundle with new calibrators, beside the one that it is made from: its name, and the time.
fn beside(bundle: &Path, now_us: i64) -> Result<PathBuf> {
    let bundle = if bundle.join("CURRENT").exists() { current(bundle)? } else { bundle.to_owned() };
    let name =
        bundle.file_name().and_then(|name| name.to_str()).context("the bundle's path ends in no name: give --out")?;
    let model = name.split(MARK).next().unwrap_or(name);
    let stamp: String = time::show(now_us).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(bundle.with_file_name(format!("{model}{MARK}{stamp}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hourly_bundles_keep_the_name_of_their_model() {
        let path = |name: &str| beside(Path::new(name), 1_795_406_400_000_000).unwrap();
        assert_eq!(path("b/m7"), Path::new("b/m7-calibrated-20261123T040000Z"));
        assert_eq!(path("b/m7-calibrated-20261123T030000Z"), Path::new("b/m7-calibrated-20261123T040000Z"));
    }
}
