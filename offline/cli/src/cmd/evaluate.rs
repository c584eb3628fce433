//! `adclick evaluate`.

use std::io::Write as _;
use std::path::PathBuf;

use adclick::builder::artifact::model::spec::HeadKind;
use adclick::{Engine, Precision};
use anyhow::{Result, ensure};
use serde::Serialize;

use super::logs::{Logs, Part, PartName};
use adclick_data::logs::Found;
use adclick_data::progress::Progress;
use adclick_measure::cost::{self, Cost, Scores};
use adclick_measure::fields::Field;
use adclick_measure::report::Options;
use adclick_measure::{Labelled, Report, Unknown};
use adclick_train::positions::{Opened, Position, Positions};
use adclick_train::rows::{ScoredRows, fallback, open_engine, score_source};
use adclick_train::trainer::Data;

/// Measure a model on labelled rows, as it would serve them.
///
/// Prints AUC (ties count one half), log loss, normalised entropy, calibration errors (10 bins of equal width, and 20 of
/// equal mass beside what chance does) and the calibration ratio, of the calibrated pCTR, and of pCVR over clicked rows
/// when the model and the rows have conversions (docs/calibrate.md). A model with a pCVR head alone has the figures of pCVR
/// only. Without --precision all of it is as the bundle is served on this CPU.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, or the directory whose CURRENT names one.
    #[arg(long)]
    bundle: PathBuf,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    part: Part,
    /// A model with position features: score each row at the position that it was logged at, or look only at the rows that
    /// were logged at the position that is served [default: logged].
    #[arg(long, value_enum)]
    position: Option<Position>,
    /// Break the metrics of pCTR (of pCVR, without a pCTR head) down by the values of this input; may be given several
    /// times.
    #[arg(long, value_name = "INPUT")]
    field: Vec<String>,
    /// The values listed of each field, the most frequent ones [default: 10].
    #[arg(long, requires = "field")]
    top: Option<usize>,
    /// Also the impression-weighted AUC of pCTR (of pCVR, without a pCTR head) per value of this input (the user).
    #[arg(long, value_name = "INPUT")]
    group: Option<String>,
    /// Measure the model's own probabilities, without calibrators (but corrected for downsampling).
    #[arg(long)]
    raw: bool,
    /// The kernel to use instead of the best one: portable, avx2 or avx512.
    #[arg(long)]
    kernel: Option<String>,
    /// Measure exact, and what these precisions cost beside it on the same rows: exact, bf16, int8. Fails where one
    /// cannot be had.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = measurable)]
    precision: Vec<Precision>,
    /// The seed of the simulated clicks, by which chance is measured.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Both heads.
#[derive(Serialize)]
struct Evaluation {
    /// Which the model has.
    heads: Vec<&'static str>,
    /// Absent without a pCTR head.
    #[serde(flatten)]
    ctr: Option<Report>,
    /// Rows that were scored, when no report of pCTR says it.
    #[serde(rename = "rows", skip_serializing_if = "Option::is_none")]
    scored: Option<usize>,
    generation: String,
    bad_rows: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tables: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion: Option<Report>,
    /// Clicked rows whose conversion is not known, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_conversions: Option<Unknown>,
    /// At which positions rows were scored; absent by a model without position features.
    #[serde(skip_serializing_if = "Option::is_none")]
    positions: Option<Positions>,
    /// Rows left out, as they were logged at another position than is served.
    elsewhere: u64,
    /// What the figures above were computed in.
    precision: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    costs: Vec<Cost>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conversion_costs: Vec<Cost>,
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
    let mut fields = args.field.clone();
    fields.extend(args.group.clone());
    let columns = args.logs.source()?.format.columns();
    let bundle = Opened::new(&super::verify::resolve(&args.bundle)?, &columns, args.position)?;
    let open = |precision| open_engine(&bundle.path, args.kernel.as_deref(), precision);
    // All engines before the first row: what cannot be had is said at once.
    let fast = args.precision.iter().filter(|p| **p != Precision::Exact).map(|p| Ok((*p, open(Some(*p))?)));
    let fast = fast.collect::<Result<Vec<_>>>()?;
    let engine = open((!args.precision.is_empty()).then_some(Precision::Exact))?;
    if let Some(warning) = fallback(&engine)? {
        eprintln!("warning: {warning}");
    }
    let served = engine.precision()?.1;
    let keep_rates = keep_rates(&engine)?;
    let look =
        Look { logs: &args.logs, part: &args.part, default: PartName::Test, positions: bundle.positions.as_ref() };
    let score = |engine: &Engine, fields| look.rows(engine, fields);
    let rows = score(&engine, &fields)?;
    rows.check_heads()?;
    let unknown_conversions = rows.unknown_conversions();
    if let Some(warning) = unknown_conversions.as_ref().and_then(Unknown::warning) {
        eprintln!("warning: {warning}");
    }
    let [ctr, conversion] = reports(&args, &rows, keep_rates)?;
    let (mut costs, mut conversion_costs) = (Vec::new(), Vec::new());
    for (precision, engine) in fast {
        let name = precision.name();
        let [click, conversion] = cost(name, args.raw.then_some(keep_rates), &rows, &score(&engine, &[])?)?;
        costs.extend(click);
        conversion_costs.extend(conversion);
    }
    let evaluation = Evaluation {
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
    };
    let mut out = crate::stdout::lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&evaluation)?)?;
        return Ok(());
    }
    if let Some(ctr) = &evaluation.ctr {
        write!(out, "{}", ctr.table())?;
    }
    if let Some(conversion) = &evaluation.conversion {
        let apart = if evaluation.ctr.is_some() { "\n" } else { "" };
        write!(out, "{apart}conversions of clicked rows\n{}", conversion.table())?;
    }
    if !evaluation.costs.is_empty() {
        write!(out, "\nprecisions beside exact\n{}", cost::table(&evaluation.costs))?;
    }
    if !evaluation.conversion_costs.is_empty() {
        write!(out, "\nof conversions of clicked rows\n{}", cost::table(&evaluation.conversion_costs))?;
    }
    if let Some(positions) = &evaluation.positions {
        writeln!(out, "scored: {positions}")?;
    }
    if evaluation.elsewhere > 0 {
        writeln!(out, "{} rows were logged elsewhere and are left out", evaluation.elsewhere)?;
    }
    if let Some(Unknown { clicked, unknown, .. }) = &evaluation.unknown_conversions {
        writeln!(out, "{unknown} of {clicked} clicked rows have no conversion label and are left out of pCVR")?;
    }
    for found in &evaluation.tables {
        writeln!(out, "{found}")?;
    }
    if evaluation.bad_rows > 0 {
        writeln!(out, "{} malformed rows were skipped", evaluation.bad_rows)?;
    }
    Ok(())
}

/// What the heads are worth: pCTR on all rows, pCVR on clicked rows whose conversion is known. Nothing of a head that the
/// model lacks, and nothing of pCVR where no conversion is known. Fields and groups go with pCTR if the model has it.
fn reports(args: &Args, rows: &ScoredRows, keep_rates: [f64; 2]) -> Result<[Option<Report>; 2]> {
    let has_ctr = !rows.logits.is_empty();
    let told: Vec<usize> = if has_ctr { (0..rows.clicks.len()).collect() } else { rows.of_conversions() };
    let (broken_down, grouped) = rows.fields.split_at(args.field.len());
    let columns: Vec<Field> = (args.field.iter().zip(broken_down))
        .map(|(name, texts)| Field::from_values(name, told.iter().map(|&row| texts[row].as_str())))
        .collect();
    let groups: Option<Vec<u64>> =
        (grouped.first()).map(|texts| told.iter().map(|&row| adclick::category_id(texts[row].as_bytes())).collect());
    let options = Options { groups: groups.as_deref(), fields: &columns, top: args.top.unwrap_or(10), seed: args.seed };
    let plain = Options { seed: args.seed, ..Options::default() };
    let measure = |probabilities: &[f64], labels: &[bool], weights, options| {
        check(probabilities)?;
        Report::compute(&Labelled::new(probabilities, labels, weights)?, options)
    };
    let ctr = has_ctr.then(|| {
        let probabilities = if args.raw { raw(&rows.logits, keep_rates[0]) } else { rows.pctr.clone() };
        measure(&probabilities, &rows.clicks, rows.weights(), &options)
    });
    let (logits, pcvr, converted, weights) = rows.clicked();
    let conversion = (!converted.is_empty()).then(|| {
        let probabilities = if args.raw { raw(&logits, keep_rates[1]) } else { pcvr };
        let weights = rows.weights().map(|_| weights.as_slice());
        measure(&probabilities, &converted, weights, if has_ctr { &plain } else { &options })
    });
    Ok([ctr.transpose()?, conversion.transpose()?])
}

/// What a verb looks at.
pub(super) struct Look<'a> {
    pub(super) logs: &'a Logs,
    pub(super) part: &'a Part,
    /// The part of a split that is meant unless told.
    pub(super) default: PartName,
    pub(super) positions: Option<&'a Positions>,
}

impl Look<'_> {
    /// Its rows, scored by an engine.
    pub(super) fn rows(&self, engine: &Engine, fields: &[String]) -> Result<ScoredRows> {
        let (source, progress) = (self.logs.source()?, Progress::detect());
        let generation = engine.generation()?;
        let only = self.positions.and_then(|p| p.filter(generation.model().schema(), &source));
        match self.part.choose(self.default)? {
            None => score_source(engine, &source, |_| true, only.as_ref(), fields, progress),
            Some((split, role)) => {
                let data = Data { source, split };
                let roles = data.roles(progress)?;
                score_source(engine, &data.source, |row| roles.of(row) == role, only.as_ref(), fields, progress)
            }
        }
    }
}

/// The shares of negatives that the heads' logits are corrected for.
fn keep_rates(engine: &Engine) -> Result<[f64; 2]> {
    let generation = engine.generation()?;
    let calibrators = generation.calibrators();
    Ok([calibrators.ctr.keep_rate(), calibrators.cvr.keep_rate()])
}

/// What scores cost beside exact ones: of clicks, and of conversions if there are any.
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

/// The probabilities without a calibrator, of all rows where training kept a share of the negatives.
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
