//! `adclick join`.

use std::io::Write;
use std::path::PathBuf;

use adclick_data::time;
use adclick_join::options::{Feature, FeatureKind, Options};
use adclick_join::run::{Done, Job, run as join};
use adclick_join::traffic::{Action, Rules};
use anyhow::{Result, bail};

use crate::progress::on_stderr;

/// Join decision logs with what came of them: a row for each impression, with its labels.
///
/// Reads the Avro segments of decisions, slates and events (docs/logs.md) and writes Parquet by day: rows/, slates/ and set_aside/ in
/// the output directory, and summary.json, in which every record that was read has a fate. A later run with the same --out reads
/// only new segments and renews only the hours that they change. docs/join.md says what the columns mean.
#[derive(clap::Args)]
pub struct Args {
    /// Segments, or directories of them. Names that begin with `_` are still being written, and skipped.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    logs: Vec<PathBuf>,
    /// The directory of the output. It also keeps what later runs need, in _state.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long after a click a conversion is credited to it: a number with s, m, h or d. Both ends of the window count.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    click_window: i64,
    /// How long after a view without a later click one is credited to that.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    view_window: i64,
    /// How long after its decision an impression is believed, and after its impression a click.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    age_limit: i64,
    /// How much earlier than what it belongs to an event may be, because clocks differ.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    tolerance: i64,
    /// How long conversions may be reported late: rows are mature that much later than their windows end.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    lateness: i64,
    /// What becomes of invalid traffic: the name of a rule and off, flag, zero (the row weighs 0) or drop (the click is set aside),
    /// and its limit if it has one, such as `rapid=zero:200`. docs/join.md lists them.
    #[arg(long = "rule", value_name = "NAME=ACTION[:LIMIT]")]
    changed: Vec<String>,
    /// A value behind the model's inputs that becomes a column, as it was served: its name and number, category, multi or vector.
    /// Rows have it where the request's slate was logged.
    #[arg(long = "feature", value_name = "NAME=KIND", value_parser = feature)]
    features: Vec<Feature>,
    /// The time for which rows are called mature: RFC 3339, or seconds since 1970 [default: the last whole hour of the logs].
    #[arg(long, value_name = "TIME", value_parser = as_of)]
    as_of: Option<i64>,
    /// Threads [default: the cores of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A number with a unit, in microseconds.
fn duration(text: &str) -> std::result::Result<i64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim() {
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return Err("expected a whole number with s, m, h or d, such as 24h".to_owned()),
    };
    let years = 100 * 366 * 86_400_000_000;
    let micros = digits.parse::<i64>().ok().and_then(|n| n.checked_mul(unit)).filter(|&us| us <= years);
    micros.ok_or_else(|| "expected at most 100 years".to_owned())
}

fn feature(text: &str) -> std::result::Result<Feature, String> {
    let (name, kind) = text.split_once('=').ok_or("expected NAME=KIND")?;
    let kind = match kind {
        "number" => FeatureKind::Number,
        "category" => FeatureKind::Category,
        "multi" => FeatureKind::Multi,
        "vector" => FeatureKind::Vector,
        _ => return Err(format!("kind `{kind}`: expected number, category, multi or vector")),
    };
    Ok(Feature { name: name.to_owned(), kind })
}

fn as_of(text: &str) -> std::result::Result<i64, String> {
    time::parse(text).map_err(|e| e.to_string())
}

/// Changes a rule as `--rule` says.
fn change(rules: &mut Rules, text: &str) -> Result<()> {
    let names = || Rules::ALL.iter().map(|rule| rule.0).collect::<Vec<_>>().join(", ");
    let Some((name, action)) = text.split_once('=') else { bail!("--rule {text}: expected NAME=ACTION[:LIMIT]") };
    let Some(rule) = rules.by_name(name) else {
        bail!("--rule {text}: there is no rule `{name}`; there are {}", names())
    };
    let (action, limit) = action.split_once(':').map_or((action, None), |(action, limit)| (action, Some(limit)));
    rule.action = match action {
        "off" => Action::Off,
        "flag" => Action::Flag,
        "zero" => Action::Zero,
        "drop" => Action::Drop,
        _ => bail!("--rule {text}: expected off, flag, zero or drop, found `{action}`"),
    };
    if let Some(limit) = limit {
        let Some(limit) = limit.parse().ok().filter(|&n: &i64| n >= 0) else {
            bail!("--rule {text}: expected a whole number after the colon, found `{limit}`")
        };
        rule.limit = limit;
    }
    Ok(())
}

pub(super) fn run(args: Args) -> Result<()> {
    let mut traffic = Rules::default();
    args.changed.iter().try_for_each(|text| change(&mut traffic, text))?;
    let options = Options {
        click_window_us: args.click_window,
        view_window_us: args.view_window,
        age_limit_us: args.age_limit,
        tolerance_us: args.tolerance,
        lateness_us: args.lateness,
        traffic,
        features: args.features,
    };
    let threads = super::threads(args.threads);
    let job = Job { logs: args.logs, out: args.out, options, as_of_us: args.as_of, threads, part_rows: None };
    let done = join(&job, &on_stderr())?;
    let mut out = crate::stdout::lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        return Ok(());
    }
    let Done { segments, known_segments, hours_written, summary, .. } = &done;
    writeln!(out, "{segments} new segments ({known_segments} known before), {hours_written} hours written")?;
    writeln!(
        out,
        "{} rows in {} hours, mature as of {}",
        summary.rows,
        summary.hours,
        if summary.as_of_us == i64::MIN { "never".to_owned() } else { time::show(summary.as_of_us) }
    )?;
    for (kind, read) in &summary.read.0 {
        writeln!(out, "  {read:>12} {kind} records")?;
        for (fate, n) in
            summary.fates.0.iter().filter_map(|(name, n)| Some((name.strip_prefix(&format!("{kind}."))?, n)))
        {
            writeln!(out, "  {n:>14} {fate}")?;
        }
    }
    for (name, n) in summary.fates.0.iter().filter(|(name, _)| name.starts_with("rule.") || name.starts_with("note.")) {
        writeln!(out, "  {n:>12} rows {name}")?;
    }
    Ok(())
}
