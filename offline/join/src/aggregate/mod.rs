//! Joined rows counted into feature tables, and rows with the features that were known before their requests.

pub mod counters;
mod read;
mod tables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adclick_data::files::{read_text, write_whole};
use adclick_data::progress::Progress;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use self::counters::{Hours, Sums};
use crate::parallel;
use crate::record::{HOUR_US, hour};

/// What to count.
#[derive(Debug, Clone)]
pub struct Job {
    /// The output of a join.
    pub joined: PathBuf,
    /// The directory of the tables, which also keeps the counters of each hour.
    pub out: PathBuf,
    /// What is known before this time is counted; none = that of the join.
    pub as_of_us: Option<i64>,
    /// Impressions at the overall click rate that every rate begins with.
    pub smoothing: f64,
    /// Impressions of an ad campaign that a user sees in a day at most, as the feature of what remains counts.
    pub daily_cap: f64,
    /// A CSV file with the columns `ad` and `category`, both numbers; none = no affinities of categories.
    pub categories: Option<PathBuf>,
    /// Also write rows with the features that were known before their hour.
    pub examples: bool,
    /// Threads.
    pub threads: usize,
}

/// What was counted.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// What is known before this time is counted.
    pub as_of_us: i64,
    /// Hours of rows that were counted in this run; the others were counted before.
    pub hours_counted: u64,
    /// Hours of rows.
    pub hours: u64,
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// Rows written with features.
    pub examples: u64,
}

/// What a file of rows was when it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    bytes: u64,
    modified_ns: u128,
    counters: String,
}

const INDEX: &str = "index.json";

/// Counts rows, and writes the tables.
///
/// # Errors
/// A directory that is no join's, files that cannot be read or written.
pub fn aggregate(job: &Job, progress: &Progress) -> Result<Done> {
    let state = job.out.join("_counters");
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    let as_of_us = match job.as_of_us {
        Some(time) => time,
        None => joined_as_of(&job.joined)?,
    };
    let until = hour(as_of_us);
    let categories = job.categories.as_deref().map(read::categories).transpose()?.unwrap_or_default();
    // Counters of other categories are other counters.
    let tag = format!("{:016x}", adclick::category_id(format!("{categories:?}").as_bytes()));
    let index = state.join(INDEX);
    let mut known: BTreeMap<String, Source> = match index.exists() {
        true => serde_json::from_str(&read_text(&index)?).with_context(|| format!("{} is damaged", index.display()))?,
        false => BTreeMap::new(),
    };
    let files = read::rows_of(&job.joined)?;
    ensure!(!files.is_empty(), "{} has no rows: give the --out of adclick join", job.joined.display());
    let mut fresh = Vec::new();
    for (at, path) in &files {
        let found = source(path, *at, &tag)?;
        if known.get(&at.to_string()) != Some(&found) {
            fresh.push((*at, path.clone(), found));
        }
    }
    let stage = progress.rows("Counting", fresh.len() as u64);
    parallel::map(job.threads, &fresh, |(_, path, source)| {
        progress.within().check()?;
        let mut hours = Hours::default();
        read::counted(path, &categories, |row| hours.count(&row))?;
        read::write_counters(&state.join(&source.counters), &hours)
    })?;
    stage.set(fresh.len() as u64);
    drop(stage);
    known.retain(|at, _| files.iter().any(|(hour, _)| hour.to_string() == *at));
    known.extend(fresh.iter().map(|(at, _, source)| (at.to_string(), source.clone())));
    let text = serde_json::to_string(&known)?;
    write_whole(&index, |out| Ok(out.write_all(text.as_bytes())?))?;
    sweep(&state, &known)?;

    let mut hours = Hours::default();
    // Of what is older than the longest window, and not wanted for examples, nothing is read.
    let oldest = until - counters::WINDOWS[counters::WINDOWS.len() - 1] - 49;
    for (at, source) in &known {
        if job.examples || at.parse::<i64>()? >= oldest {
            hours.merge(&read::read_counters(&state.join(&source.counters))?);
        }
    }
    let examples = if job.examples { tables::examples(job, &files, &hours, until, &categories, progress)? } else { 0 };
    let mut sums = Sums::default();
    sums.advance(&hours, until);
    let tables = tables::write(job, &sums)?;
    Ok(Done {
        as_of_us: until * HOUR_US,
        hours_counted: fresh.len() as u64,
        hours: files.len() as u64,
        tables,
        examples,
    })
}

fn joined_as_of(joined: &Path) -> Result<i64> {
    let path = joined.join("summary.json");
    let what = || format!("{} is no output of adclick join", joined.display());
    let summary: serde_json::Value = serde_json::from_str(&read_text(&path).with_context(what)?).with_context(what)?;
    summary["as_of_us"].as_i64().with_context(what)
}

fn source(path: &Path, hour: i64, tag: &str) -> Result<Source> {
    let found = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let modified_ns = found.modified()?.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let counters = format!("{hour}-{modified_ns}-{tag}");
    Ok(Source { bytes: found.len(), modified_ns, counters })
}

/// Removes counters that are not used any more.
fn sweep(state: &Path, known: &BTreeMap<String, Source>) -> Result<()> {
    for entry in std::fs::read_dir(state)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != INDEX && !name.starts_with('.') && known.values().all(|source| source.counters != name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
