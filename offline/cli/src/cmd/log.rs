//! `adclick log`.

use std::io::Write;
use std::path::PathBuf;

use adclick::category_id;
use adclick_data::decision_log::{self, Compacted, Erased, Gap};
use adclick_data::time;
use anyhow::{Result, bail};
use clap::Subcommand;

/// Inspect, compact, expire and erase logs of decisions and events.
///
/// A log is the directory that engines write to: decisions, slates and events (docs/logs.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Say what a log holds and what it lacks: segments, records, losses, gaps, lag.
    Inspect {
        /// The log's directory.
        log: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Close the segments that processes left open, cut after their last whole block.
    Recover {
        /// The log's directory.
        log: PathBuf,
    },
    /// Turn closed segments into Parquet, in folders by stream, day and hour.
    Compact {
        /// The log's directory.
        log: PathBuf,
        /// Where the Parquet files go. Segments that are there already are skipped.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Remove segments once they are in Parquet.
        #[arg(long)]
        remove: bool,
        /// Then remove the days before this one.
        #[arg(long, value_name = "YYYY-MM-DD")]
        expire_before: Option<String>,
    },
    /// Forget a user: decisions and events stay without user, session and class of address; slates of the user go.
    ///
    /// Closed segments are compacted first, and removed.
    Erase {
        /// The log's directory.
        log: PathBuf,
        /// Where its Parquet files are.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The user's key, a number.
        #[arg(long, value_name = "KEY", conflicts_with = "user_id", required_unless_present = "user_id")]
        user: Option<u64>,
        /// The user's id, of which the key is the hash.
        #[arg(long, value_name = "TEXT")]
        user_id: Option<String>,
    },
}

pub(super) fn run(args: Args) -> Result<()> {
    match args.task {
        Task::Inspect { log, json } => inspect(&log, json),
        Task::Recover { log } => {
            let mut out = crate::stdout::lock();
            let recovered = decision_log::recover(&log)?;
            for one in &recovered {
                writeln!(out, "{one}")?;
            }
            writeln!(out, "{} segments closed", recovered.len())?;
            Ok(())
        }
        Task::Compact { log, out, remove, expire_before } => {
            let Compacted { segments, skipped, files, records, removed } = decision_log::compact(&log, &out, remove)?;
            let mut stdout = crate::stdout::lock();
            writeln!(
                stdout,
                "{records} records of {segments} segments in {files} files; {skipped} were there; {removed} removed"
            )?;
            if let Some(day) = expire_before {
                for path in decision_log::expire(&out, &day)? {
                    writeln!(stdout, "removed {}", path.display())?;
                }
            }
            Ok(())
        }
        Task::Erase { log, out, user, user_id } => {
            let user = match (user, user_id) {
                (Some(0), _) => bail!("--user 0 is nobody's key: it stands for unknown users"),
                (Some(key), _) => key,
                (None, id) => category_id(id.unwrap_or_default().as_bytes()),
            };
            let Erased { forgotten, removed, files } = decision_log::erase(&log, &out, user)?;
            writeln!(
                crate::stdout::lock(),
                "{forgotten} records no longer say whose they are, {removed} slates removed, {files} files written anew"
            )?;
            Ok(())
        }
    }
}

fn inspect(log: &std::path::Path, json: bool) -> Result<()> {
    let found = decision_log::inspect(log)?;
    let mut out = crate::stdout::lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&found)?)?;
        return Ok(());
    }
    for stream in &found.streams {
        let (records, segments, bytes, open) = (stream.records, stream.segments, stream.bytes, stream.open);
        let name = &stream.stream;
        writeln!(out, "{name}: {records} records in {segments} closed segments, {bytes} bytes; {open} open")?;
        if let (Some(from), Some(to)) = (stream.from_us, stream.to_us) {
            let (from, to, lag) = (time::show(from), time::show(to), stream.lag_us as f64 / 1e6);
            writeln!(out, "{}: from {from} to {to}, written up to {lag:.1} s later", stream.stream)?;
        }
        for (name, records, bytes) in &stream.by_segment {
            writeln!(out, "  {name}: {records} records, {bytes} bytes")?;
        }
        if stream.missing + stream.repeated + stream.told_lost > 0 {
            let (missing, told, repeated) = (stream.missing, stream.told_lost, stream.repeated);
            writeln!(
                out,
                "{}: {missing} records missing between others, {told} lost by what the runs say, {repeated} repeated",
                stream.stream
            )?;
        }
        for Gap { run, ring, from, count } in &stream.gaps {
            writeln!(out, "  run {run}, ring {ring}: {count} missing from number {from} on")?;
        }
    }
    Ok(())
}
