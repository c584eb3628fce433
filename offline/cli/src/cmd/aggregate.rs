//! `adclick aggregate`.

use std::io::Write;
use std::path::PathBuf;

use adclick_data::time;
use adclick_join::aggregate::{Job, aggregate};
use anyhow::Result;

use crate::progress::on_stderr;

/// Count joined rows into feature tables: click rates, impressions and affinities of users, ads and advertisers.
///
/// Counts over 1, 7 and 30 days by whole hours. Nothing that was not known before --as-of is in them. The tables are Parquet files
/// that `adclick pack --table` takes. Hours of rows that did not change are not read again.
#[derive(clap::Args)]
pub struct Args {
    /// The output directory of adclick join.
    #[arg(long, value_name = "DIR")]
    joined: PathBuf,
    /// The directory of the tables. It also keeps the counters of each hour, in _counters.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What is known before the hour of this time is counted: RFC 3339, or seconds since 1970 [default: that of the join].
    #[arg(long, value_name = "TIME", value_parser = as_of)]
    as_of: Option<i64>,
    /// How many impressions at the click rate of all every rate begins with.
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = super::positive)]
    smoothing: f64,
    /// How many impressions a user gets in a day at most, for what remains of them.
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = super::positive)]
    daily_cap: f64,
    /// The categories of ads: a CSV file with the columns `ad` and `category`, both numbers as in the logs.
    #[arg(long, value_name = "FILE")]
    categories: Option<PathBuf>,
    /// Also write the rows with the features that were known before their hour, for training.
    #[arg(long)]
    examples: bool,
    /// Threads [default: the cores of this machine].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn as_of(text: &str) -> std::result::Result<i64, String> {
    time::parse(text).map_err(|e| e.to_string())
}

pub(super) fn run(args: Args) -> Result<()> {
    let job = Job {
        joined: args.joined,
        out: args.out,
        as_of_us: args.as_of,
        smoothing: args.smoothing,
        daily_cap: args.daily_cap,
        categories: args.categories,
        examples: args.examples,
        threads: super::threads(args.threads),
    };
    let done = aggregate(&job, &on_stderr())?;
    let mut out = crate::stdout::lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        return Ok(());
    }
    writeln!(out, "counted {} of {} hours, as of {}", done.hours_counted, done.hours, time::show(done.as_of_us))?;
    for (table, rows) in &done.tables {
        writeln!(out, "  {rows:>12} rows {table}.parquet")?;
    }
    if job.examples {
        writeln!(out, "  {:>12} rows with features", done.examples)?;
    }
    Ok(())
}
