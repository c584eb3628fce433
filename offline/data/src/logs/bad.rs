//! Malformed rows: counted, shown, and skipped up to a limit.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::setting::refuse;

use crate::cells::Fault;

/// The number of malformed rows that are skipped before reading fails.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum BadLimit {
    /// This many.
    Rows(u64),
    /// Ten, or a thousandth of the rows read so far, whichever is more.
    #[default]
    Default,
}

impl BadLimit {
    fn allows(self, bad: u64, rows: u64) -> bool {
        match self {
            Self::Rows(limit) => bad <= limit,
            Self::Default => bad <= (rows / 1000).max(10),
        }
    }
}

/// The number of malformed rows that are quoted.
const SHOWN: usize = 5;

/// The malformed rows met so far.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRows {
    limit: BadLimit,
    /// Their number.
    pub count: u64,
    /// The errors of the first few.
    pub first: Vec<String>,
}

impl BadRows {
    pub(crate) fn new(limit: BadLimit) -> Self {
        Self { limit, count: 0, first: Vec::new() }
    }

    /// Counts one more. `line` is its line (or row) and `rows` the number of rows read so far.
    pub(crate) fn add(&mut self, path: &Path, line: impl fmt::Display, fault: &Fault, rows: u64) -> Result<()> {
        self.count += 1;
        let message = format!("{}, {line}, {fault}", path.display());
        if !self.limit.allows(self.count, rows) {
            refuse!(
                [MaxBadRows],
                "{message}; this is malformed row number {} of {rows} rows read, more than the limit allows: mend the \
                 file or raise the limit",
                self.count
            );
        }
        if self.first.len() < SHOWN {
            self.first.push(message);
        }
        Ok(())
    }

    /// Refuses files in which every row was malformed: there is nothing to work on.
    pub(crate) fn some_good(&self, rows: u64, paths: &[PathBuf]) -> Result<()> {
        if self.count == 0 || self.count < rows {
            return Ok(());
        }
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        let more = if self.count > self.first.len() as u64 { "; ..." } else { "" };
        bail!("{}: all {rows} rows are malformed: {}{more}", paths.join(", "), self.first.join("; "))
    }
}
