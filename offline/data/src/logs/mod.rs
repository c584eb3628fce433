//! Click logs as raw rows: Criteo, Avazu, and CSV, Parquet or Arrow files described by a schema.
//!
//! A [`LogReader`] streams a file in batches of bounded size. Raw values have the form in which a server passes them
//! ([`adclick::Value`]): numbers unchanged, integer categories as their own ids, strings by [`adclick::category_id`].
//! The schema decides how a model uses them.

mod bad;
mod clock;
mod columns;
mod lookups;
mod make;
mod reader;
mod values;

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use adclick::builder::enrich::Keys;
use anyhow::Result;

use crate::cells;
use crate::progress::JobStage;

pub use bad::{BadLimit, BadRows};
pub(crate) use clock::{check_zone, guess_unit, hour, unit_name};
pub use columns::{
    AVAZU_INTEGERS, AVAZU_TEXTS, CRITEO_CATEGORIES, CRITEO_NUMBERS, InputColumn, InputKind, KeyColumn, KeyId,
    LogColumns, TimeColumn, TimeFormat, ZoneRule,
};
pub use lookups::{Reads, TableHits, TableLookups};
pub use reader::LogReader;

/// How a file is laid out.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Tab-separated, no header, 40 fields: label, I1..I13 (numbers), C1..C26 (strings). Empty = missing.
    Criteo,
    /// CSV with a header: id, click, hour (YYMMDDHH, UTC) and the 21 fields of the contest.
    Avazu,
    /// Text with a header, Parquet, or Arrow IPC, with these columns.
    Examples(LogColumns),
}

impl Format {
    /// The columns that are read, and their contents.
    #[must_use]
    pub fn columns(&self) -> LogColumns {
        match self {
            Self::Criteo => LogColumns::criteo(),
            Self::Avazu => LogColumns::avazu(),
            Self::Examples(columns) => columns.clone(),
        }
    }
}

/// Whether a file must have labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labels {
    /// A row without a click label is malformed.
    Required,
    /// The label column may be absent, and labels may be empty.
    Optional,
}

/// One row: its labels, and where its values are in the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// The row's number among all data rows read so far, malformed ones included, counted from 0.
    pub number: u64,
    /// Whether the impression was clicked.
    pub click: Option<bool>,
    /// Whether it converted; `None` when not known.
    pub conversion: Option<bool>,
    /// The row's weight: 0 or more.
    pub weight: f64,
    /// The time of the impression: microseconds since 1970-01-01 UTC.
    pub time_us: Option<i64>,
    /// The user's offset from UTC in seconds, as in a request; 0 when not known.
    pub utc_offset_s: i32,
    /// The ids that tables are looked up by; an id that is unknown, or that no table needs, is 0.
    pub keys: Keys,
    values: Range<usize>,
}

/// A raw value of a row: an [`adclick::Value`] by the number of its input instead of an engine's handle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputValue {
    /// The number of the input in [`LogColumns::inputs`]; past them that of a value from a table ([`Reads::found`]).
    pub input: u32,
    /// As in [`adclick::Value`].
    pub number: f32,
    /// As in [`adclick::Value`].
    pub id: u64,
}

/// A batch of rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowBatch {
    rows: Vec<LogRow>,
    values: Vec<InputValue>,
}

impl RowBatch {
    /// The rows in file order.
    #[must_use]
    pub fn rows(&self) -> &[LogRow] {
        &self.rows
    }

    /// The raw values of a row; missing values are absent.
    #[must_use]
    pub fn values(&self, row: &LogRow) -> &[InputValue] {
        &self.values[row.values.clone()]
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
    }
}

/// Which files to read, and how.
#[derive(Debug, Clone)]
pub struct LogFiles {
    /// The files, read one after the other; row numbers continue across files.
    pub paths: Vec<PathBuf>,
    /// Their layout.
    pub format: Format,
    /// Whether they must have labels.
    pub labels: Labels,
    /// How many malformed rows are skipped before reading fails.
    pub limit: BadLimit,
    /// The tables that give values which rows do not carry.
    pub tables: Option<Arc<TableLookups>>,
}

/// Totals of reading all files.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadTotals {
    /// The malformed rows.
    pub bad: BadRows,
    /// For each table, the rows that found their key.
    pub found: Vec<TableHits>,
}

/// Rows per batch of [`LogFiles::for_each`].
const BATCH_ROWS: usize = 4096;
/// Batches that are read ahead.
const AHEAD: usize = 2;

impl LogFiles {
    /// Labelled files with the default limit of malformed rows.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, format: Format) -> Self {
        Self { paths, format, labels: Labels::Required, limit: BadLimit::default(), tables: None }
    }

    /// Streams all files through `visit`, adding values from tables where rows do not carry them. A thread of its own reads
    /// ahead while `visit` works; memory is bounded by a few batches. Bytes read advance the stage.
    ///
    /// # Errors
    /// Files that cannot be read, too many malformed rows, no well-formed row, tables that do not fit, and any error of
    /// `visit`.
    pub fn for_each(&self, stage: &JobStage, mut visit: impl FnMut(&RowBatch) -> Result<()>) -> Result<ReadTotals> {
        let (send, batches) = sync_channel(AHEAD);
        let (give_back, used) = channel();
        thread::scope(|scope| {
            let reader = scope.spawn(move || self.read(stage, &send, &used));
            let visited = batches.iter().try_for_each(|batch| {
                visit(&batch)?;
                // A reader that has ended needs it no more.
                let _ = give_back.send(batch);
                Ok(())
            });
            // A reader that waits for room ends.
            drop(batches);
            let read = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
            visited.and(read)
        })
    }

    /// Reads all files into batches, those that come back among them, until nobody takes any more.
    fn read(&self, stage: &JobStage, send: &SyncSender<RowBatch>, used: &Receiver<RowBatch>) -> Result<ReadTotals> {
        let mut bad = BadRows::new(self.limit);
        let mut next = 0;
        let mut lookups = self.tables.as_deref().map(|t| t.start(&self.format.columns())).transpose()?;
        let mut batch = RowBatch::default();
        for path in &self.paths {
            let mut reader = LogReader::open_at(path, &self.format, self.labels, stage, next, bad)?;
            while reader.read(&mut batch, BATCH_ROWS)? {
                stage.check()?;
                if let Some(lookups) = &mut lookups {
                    lookups.fill(&mut batch);
                }
                if send.send(std::mem::replace(&mut batch, used.try_recv().unwrap_or_default())).is_err() {
                    return Ok(ReadTotals { bad: BadRows::new(self.limit), found: Vec::new() });
                }
            }
            (next, bad) = reader.finish()?;
        }
        bad.some_good(next, &self.paths)?;
        Ok(ReadTotals { bad, found: lookups.map_or_else(Vec::new, |l| l.found()) })
    }

    /// Where a feature's values are in batches: the feature's number and input. `None` when rows have no such input.
    #[must_use]
    pub fn reads(&self, columns: &LogColumns, feature: usize, input: &str) -> Option<Reads> {
        let passed = columns.input(input)?;
        let found = self.tables.as_deref().and_then(|t| t.binding(feature, input)).map(|b| columns.inputs.len() + b);
        Some(Reads { passed, found })
    }

    /// The same files without the tables.
    #[must_use]
    pub fn bare(&self) -> Self {
        Self { tables: None, ..self.clone() }
    }

    /// The total size of the files on disk: the length of a stage counted in bytes.
    ///
    /// # Errors
    /// A file that does not exist or is empty.
    pub fn bytes(&self) -> Result<u64> {
        self.paths.iter().try_fold(0, |sum, path| Ok(sum + cells::size(path)?))
    }
}

#[cfg(test)]
mod tests;
