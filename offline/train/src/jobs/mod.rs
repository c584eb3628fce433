//! The work of each subcommand as a function, for the command and for packages in other languages.
//!
//! A job is a struct that says what to do. Its function returns a struct with the result and prints nothing. It reports
//! stages, notes and warnings to a [`Progress`], which may cancel it.

pub mod calibrate;
pub mod evaluate;
mod fitted;
pub mod inspect;
pub mod pack;
pub mod schema;
pub mod score;
pub mod train;
pub mod verify;

use std::path::PathBuf;

use adclick::Engine;
use adclick_data::logs::{LogFiles, LogRow};
use adclick_data::progress::Progress;
use adclick_data::tables::TableSummary;
use anyhow::{Result, ensure};

use crate::positions::Positions;
use crate::rows::{ScoredRows, score_source};
use crate::trainer::{Data, Split, SplitRole, SplitRoles};

/// The bundle that a job writes.
#[derive(Debug, Clone)]
pub struct BundleTarget {
    /// Its directory.
    pub path: PathBuf,
    /// Whether to replace an existing bundle.
    pub replace: bool,
    /// Whether to make it the live bundle, by naming it in `CURRENT` beside it.
    pub publish: bool,
}

/// The rows that a job reads.
#[derive(Debug, Clone)]
pub struct RowSelection {
    /// The files.
    pub source: LogFiles,
    /// Only the rows with this role in this split; `None` = all.
    pub part: Option<(Split, SplitRole)>,
    /// Only the rows of these times; `None` = all.
    pub times: Option<TimeRange>,
}

/// Times from one moment on until before another, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// The first moment.
    pub from_us: i64,
    /// The first moment that is no longer in it.
    pub until_us: i64,
}

/// The split rule of a part, resolved for the files, and the range of times.
struct Chosen {
    part: Option<(SplitRoles, SplitRole)>,
    times: Option<TimeRange>,
}

impl Chosen {
    fn has(&self, row: &LogRow) -> bool {
        let within = |times: &TimeRange| row.time_us.is_some_and(|t| (times.from_us..times.until_us).contains(&t));
        self.times.as_ref().is_none_or(within) && self.part.as_ref().is_none_or(|(roles, role)| roles.of(row) == *role)
    }
}

impl RowSelection {
    /// Whether a model with this provenance has learnt from these rows, as far as both tell.
    fn taught(&self, provenance: &str) -> bool {
        let refit = || provenance.parse::<toml::Table>().ok()?.get("refit")?.as_bool();
        match self.part {
            Some((_, SplitRole::Train)) => true,
            Some((_, SplitRole::Validation)) => refit() == Some(true),
            Some((_, SplitRole::Test)) | None => false,
        }
    }

    fn chosen(&self, progress: &Progress) -> Result<Chosen> {
        ensure!(
            self.times.is_none() || self.source.format.columns().time.is_some(),
            "rows are chosen by their times, and they have none: name the column (`time` under [labels] in the schema)"
        );
        let Some((split, role)) = &self.part else { return Ok(Chosen { part: None, times: self.times }) };
        let data = Data { source: self.source.clone(), split: split.clone() };
        Ok(Chosen { part: Some((data.roles(progress)?, *role)), times: self.times })
    }

    /// The rows, scored by an engine at these positions. `fields` are inputs whose values are returned as text.
    fn scored(
        &self,
        engine: &Engine,
        positions: Option<&Positions>,
        fields: &[String],
        progress: &Progress,
    ) -> Result<ScoredRows> {
        let generation = engine.generation()?;
        let only = positions.and_then(|p| p.filter(generation.model().schema(), &self.source));
        let chosen = self.chosen(progress)?;
        score_source(engine, &self.source, |row| chosen.has(row), only.as_ref(), fields, progress)
    }
}

/// Shows the malformed rows that were left out of tables.
fn warn_of_bad_rows(tables: &[TableSummary], progress: &Progress) {
    for table in tables.iter().filter(|t| t.bad_rows > 0) {
        progress.warn(&format!("table {}: {} malformed rows were left out, the first:", table.name, table.bad_rows));
        table.bad.iter().for_each(|message| progress.note(&format!("  {message}")));
    }
}
