//! `adclick calibrate`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use adclick::Precision;
use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::Model;
use adclick::builder::bundle::check_target;
use adclick::builder::calibrate::{Calibrators, HeadCalibrator};
use adclick::builder::model::pack_model;
use anyhow::{Result, bail, ensure};
use serde::Serialize;

use super::evaluate::Look;
use super::logs::{Logs, Part, PartName};
use adclick_data::logs::{Found, Lookups};
use adclick_data::progress::Progress;
use adclick_measure::Unknown;
use adclick_train::bundle::{Beside, Parts, open};
use adclick_train::calibrators::{self, Choice, Method, Sample};
use adclick_train::positions::{Position, Positions, as_logged};
use adclick_train::ranges;
use adclick_train::rows::{fallback, heads, open_engine};
use adclick_train::trainer::Data;
use adclick_train::unpack::unpack;

/// Fit calibrators on held-out rows and write the bundle with them.
///
/// The rows must not be ones that the model was trained on. Without --method all methods are compared by cross-fitting,
/// and the simplest one that the rows clearly speak for is taken, which may be none at all: a calibrator fitted without
/// evidence makes probabilities worse on other days.
///
/// They are fitted on the logits that this CPU serves: in the precision of the bundle, or that of --precision. A model
/// without the ranges that int8 needs gets them from these rows. A model with position features is calibrated at the
/// positions that the rows were logged at (--position). What the bundle says of downsampling is carried over, and of a pCVR
/// head without conversions in the rows the calibrator (docs/calibrate.md).
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
    /// The keep rate of negative downsampling that neither the model's bias nor the bundle accounts for, in (0, 1]
    /// [default: that of the bundle].
    #[arg(long, value_name = "RATE", value_parser = super::kept_share)]
    downsampling: Option<f64>,
    /// A model with position features: fit at the positions that the rows were logged at, or only on rows that were logged at
    /// the position that is served [default: logged].
    #[arg(long, value_enum)]
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

/// What was fitted.
#[derive(Serialize)]
struct Fitted {
    rows: usize,
    /// Absent without a pCTR head.
    #[serde(skip_serializing_if = "Option::is_none")]
    ctr: Option<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvr: Option<Choice>,
    /// The calibrator of pCVR that was carried over, as the rows say nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cvr_kept: Option<String>,
    /// The share of negatives that pCTR is corrected for, before its calibrator; absent without a pCTR head.
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Found>,
    /// What the logits were computed in.
    precision: &'static str,
    /// The rows that ranges were found from, when the model had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    range_rows: Option<usize>,
    /// Clicked rows whose conversion is not known, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_conversions: Option<Unknown>,
    /// At which positions rows were scored; absent by a model without position features.
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<Positions>,
    /// Rows left out, as they were logged at another position than is served.
    elsewhere: u64,
}

pub(super) fn run(args: Args) -> Result<()> {
    if let Some(out) = &args.out {
        check_target(out, args.replace)?;
    }
    let served = Served::new(&args)?;
    let engine = match &served.at {
        // Written just before with the precision in it.
        Some(beside) => open_engine(&beside.path().join(Served::NAME), None, None)?,
        None => open_engine(&args.bundle, None, None)?,
    };
    if let Some(warning) = fallback(&engine)? {
        eprintln!("warning: {warning}: the calibrators are fitted on exact logits");
    }
    let precision = engine.precision()?.1;
    let positions = served.positions.as_ref();
    let look = Look { logs: &args.logs, part: &args.part, default: PartName::Validation, positions };
    let rows = look.rows(&engine, &[])?;
    rows.check_heads()?;
    let unknown_conversions = rows.unknown_conversions();
    if let Some(warning) = unknown_conversions.as_ref().and_then(Unknown::warning) {
        eprintln!("warning: {warning}");
    }
    // Calibrators are fitted on what they will be applied to: logits after the correction.
    let corrected = |logits: &[f64], rate: f64| logits.iter().map(|z| z + rate.ln()).collect::<Vec<_>>();
    let before = &served.parts.calibrators;
    let keep_rate = keep_rate(args.downsampling, &served)?;
    let ctr = match keep_rate {
        Some(rate) => {
            let logits = corrected(&rows.logits, rate);
            Some(choice(args.method, &Sample::new(&logits, &rows.clicks, rows.weights())?)?)
        }
        None => None,
    };
    let (logits, _, converted, weights) = rows.clicked();
    let cvr = if converted.is_empty() || weights.iter().all(|&w| w == 0.0) {
        None
    } else {
        let logits = corrected(&logits, before.cvr.keep_rate());
        Some(choice(args.method, &Sample::new(&logits, &converted, rows.weights().map(|_| weights.as_slice()))?)?)
    };
    let calibrators = Calibrators {
        ctr: match (&ctr, keep_rate) {
            (Some(choice), Some(rate)) => HeadCalibrator::new(rate, choice.calibrator.clone())?,
            _ => before.ctr.clone(),
        },
        // Rows without conversions say nothing of it.
        cvr: match &cvr {
            Some(choice) => HeadCalibrator::new(before.cvr.keep_rate(), choice.calibrator.clone())?,
            None => before.cvr.clone(),
        },
    };
    let kept = (cvr.is_none() && before.cvr != HeadCalibrator::default()).then(|| before.cvr.calibrator().to_string());
    let mut generation = None;
    if let Some(out) = &args.out {
        let parts = Parts { calibrators, ..served.parts };
        generation = Some(format!("{:016x}", parts.write(out, args.replace, args.publish)?));
    }
    let fitted = Fitted {
        rows: rows.clicks.len(),
        ctr,
        cvr,
        cvr_kept: kept,
        keep_rate,
        generation,
        tables: rows.tables,
        precision: precision.name(),
        range_rows: served.range_rows,
        unknown_conversions,
        positions: served.positions,
        elsewhere: rows.elsewhere,
    };
    let mut out = crate::stdout::lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&fitted)?)?;
        return Ok(());
    }
    writeln!(out, "fitted on {} rows, {}", fitted.rows, fitted.precision)?;
    if let Some(positions) = &fitted.positions {
        writeln!(out, "scored: {positions}")?;
    }
    if fitted.elsewhere > 0 {
        writeln!(out, "{} rows were logged elsewhere and are left out", fitted.elsewhere)?;
    }
    if let Some(rate) = fitted.keep_rate.filter(|&rate| rate < 1.0) {
        writeln!(out, "corrected for a keep rate of {rate}")?;
    }
    if let Some(rows) = fitted.range_rows {
        writeln!(out, "ranges for int8 from {rows} of them")?;
    }
    for found in &fitted.tables {
        writeln!(out, "{found}")?;
    }
    if let Some(ctr) = &fitted.ctr {
        write!(out, "pCTR {}", ctr.table())?;
    }
    if let Some(cvr) = &fitted.cvr {
        write!(out, "pCVR {}", cvr.table())?;
    }
    if let Some(kept) = &fitted.cvr_kept {
        writeln!(out, "pCVR as before: {kept}")?;
    }
    match (&args.out, &fitted.generation) {
        (Some(to), Some(generation)) => writeln!(out, "wrote {} (generation {generation})", to.display())?,
        _ => writeln!(out, "nothing was written: give --out")?,
    }
    Ok(())
}

/// The bundle as it is to be served.
struct Served {
    parts: Parts,
    /// Where it is, when it is another one than that of --bundle.
    at: Option<Beside>,
    range_rows: Option<usize>,
    positions: Option<Positions>,
    /// The keep rate that training has folded into the model's bias, where the model says so.
    folded: Option<f64>,
    has_ctr: bool,
}

impl Served {
    /// Its name beside the bundle that is to be written.
    const NAME: &str = "uncalibrated";

    fn new(args: &Args) -> Result<Self> {
        let path = super::verify::resolve(&args.bundle)?;
        let mut parts = Parts::read(&path)?;
        parts.precision = args.precision.or(parts.precision);
        let (mut range_rows, mut at) = (None, None);
        let model = Model::open(Bytes::copy_of(&parts.model)?)?;
        let positions = Positions::new(model.schema(), &args.logs.source()?.format.columns(), args.position)?;
        if let Some(warning) = positions.as_ref().and_then(Positions::warning) {
            eprintln!("warning: {warning}");
        }
        if parts.precision == Some(Precision::Int8) {
            range_rows = find_ranges(args, &path, &mut parts)?;
        }
        let logged = match &positions {
            Some(Positions { scored: Some(Position::Logged), .. }) => as_logged(&parts.model)?,
            _ => None,
        };
        if args.precision.is_some() || range_rows.is_some() || logged.is_some() {
            let beside = match &args.out {
                Some(out) => Beside::of(out, args.replace)?,
                None => Beside::next_to(&path)?,
            };
            let scored = logged.map(|model| Parts { model, ..parts.clone() });
            scored.as_ref().unwrap_or(&parts).write(&beside.path().join(Self::NAME), true, false)?;
            at = Some(beside);
        }
        let [has_ctr, _] = heads(&model);
        Ok(Self { parts, at, range_rows, positions, folded: folded(model.provenance()), has_ctr })
    }
}

/// The keep rate that pCTR is to be corrected for: the bundle's, or one for a bundle that has none; `None` without a pCTR
/// head.
fn keep_rate(given: Option<f64>, served: &Served) -> Result<Option<f64>> {
    if !served.has_ctr {
        ensure!(given.is_none(), "--downsampling corrects pCTR, and the model has no pCTR head: leave the option out");
        return Ok(None);
    }
    let before = served.parts.calibrators.ctr.keep_rate();
    let Some(given) = given else { return Ok(Some(before)) };
    ensure!(
        before == 1.0 || given == before,
        "--downsampling {given}: the bundle corrects for a keep rate of {before} already: leave the option out, and it is \
         carried over"
    );
    if let Some(folded) = served.folded.filter(|_| given < 1.0) {
        bail!(
            "--downsampling {given}: the model's bias accounts for the keep rate of {folded} that it was trained with: leave \
             the option out"
        );
    }
    Ok(Some(given))
}

/// The keep rate below 1 that a model's provenance says to be in its bias: of `adclick train`, or of `adclick pack`.
fn folded(provenance: &str) -> Option<f64> {
    let document: toml::Table = provenance.parse().ok()?;
    let number = |value: Option<&toml::Value>| value?.as_float().filter(|&rate| rate < 1.0);
    number(document.get("downsample")).or_else(|| number(document.get("pack")?.get("downsampling")))
}

/// Gives a model without ranges those of the rows. Returns how many rows they are from.
fn find_ranges(args: &Args, bundle: &std::path::Path, parts: &mut Parts) -> Result<Option<usize>> {
    let model = Model::open(Bytes::copy_of(&parts.model)?)?;
    if !model.ranges().is_empty() || model.network().deep.is_empty() {
        return Ok(None);
    }
    ensure!(args.out.is_some(), "the model has no ranges for int8, and with them it is another one: give --out");
    let progress = Progress::detect();
    let mut source = args.logs.source()?;
    if !model.enrichment().is_empty() {
        let tables = open(bundle)?.tables().to_vec();
        source.tables = Some(Arc::new(Lookups::new(model.schema(), model.enrichment(), tables)?));
    }
    let chosen = args.part.choose(PartName::Validation)?;
    let data =
        Data { source, split: chosen.as_ref().map_or(adclick_train::trainer::Split::Hash, |(split, _)| split.clone()) };
    let roles = data.roles(progress)?;
    let keep = |row: &adclick_data::logs::Row| chosen.as_ref().is_none_or(|(_, role)| roles.of(row) == *role);
    let mut sample = ranges::Sample::new(model.schema(), &data.source);
    let bar = progress.bytes("Looking for ranges", data.source.bytes()?);
    data.source.for_each(&bar, |batch| {
        batch.rows().iter().filter(|row| keep(row)).for_each(|row| sample.see(batch, row));
        Ok(())
    })?;
    bar.finish_and_clear();
    let mut spec = unpack(&model);
    let (found, rows) = ranges::find(&spec, &sample.rows())?;
    ensure!(rows > 0, "no row is left to find ranges from: the split leaves none of them, or the files hold none");
    spec.ranges = found;
    parts.model = pack_model(&spec)?;
    Ok(Some(rows))
}

fn choice(method: Option<Method>, sample: &Sample) -> Result<Choice> {
    let Some(method) = method else { return calibrators::choose(sample) };
    let positive = sample.positive();
    ensure!(
        method == Method::Identity || (1..sample.len()).contains(&positive),
        "{positive} of {} rows are positive: {} cannot be fitted without rows of both kinds",
        sample.len(),
        method.name()
    );
    let calibrator = calibrators::fit(method, sample)?;
    if !calibrator.is_strictly_increasing() {
        bail!("{} would turn the order of the scores around: the model ranks these rows backwards", method.name());
    }
    Ok(Choice { method, calibrator, candidates: Vec::new(), reason: "as asked for".to_owned() })
}
