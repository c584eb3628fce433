//! Reads the rows of one file in batches.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::bad::{BadLimit, BadRows};
use super::make::LogRowMaker;
use super::{Format, Labels, RowBatch};
use crate::cells::{Delimited, Header, Opened, RecordReader, open};
use crate::progress::JobStage;

/// A file being read.
pub struct LogReader {
    records: RecordReader,
    maker: LogRowMaker,
    path: PathBuf,
    first: u64,
    next: u64,
    bad: BadRows,
}

impl LogReader {
    /// Opens a file. Compression (gzip, zstd), Parquet and Arrow are recognised by their first bytes, not by name.
    ///
    /// # Errors
    /// A missing, empty or unreadable file; a header without the needed columns.
    pub fn open(path: &Path, format: &Format, labels: Labels, limit: BadLimit) -> Result<Self> {
        Self::open_at(path, format, labels, &JobStage::silent(), 0, BadRows::new(limit))
    }

    pub(super) fn open_at(
        path: &Path,
        format: &Format,
        labels: Labels,
        stage: &JobStage,
        next: u64,
        bad: BadRows,
    ) -> Result<Self> {
        let columns = format.columns();
        let file = open(path, stage)?;
        let mut maker = None;
        let choose = |header: Header<'_>| {
            let made = LogRowMaker::new(&columns, labels, |name| header.has(name))?;
            let places = made.places(|column| header.place(column))?;
            maker = Some(made);
            Ok(places)
        };
        let records = match file {
            Opened::Batches(container, file) => RecordReader::batches(container, file, path, stage, choose)?,
            Opened::Text(stream) if *format == Format::Criteo => {
                let inputs = columns.inputs.iter().map(|i| i.column.clone());
                let names = std::iter::once(columns.click.clone()).chain(inputs).collect();
                RecordReader::text(Delimited::tabbed(stream, path, names), choose)?
            }
            Opened::Text(stream) => {
                // All columns that a labelled file has help to find its delimiter.
                let all = LogRowMaker::new(&columns, Labels::Required, |_| true)?;
                let wanted: Vec<&str> = all.wanted().iter().map(|w| w.column.as_str()).collect();
                RecordReader::text(Delimited::headed(stream, path, &wanted)?, choose)?
            }
        };
        let maker = maker.context("the columns were not chosen")?;
        Ok(Self { records, maker, path: path.to_owned(), first: next, next, bad })
    }

    /// Replaces the contents of `batch` with the next rows, at most `max_rows`. False at the end of the file.
    ///
    /// # Errors
    /// The stream ends early or cannot be decompressed; more malformed rows than the limit allows.
    pub fn read(&mut self, batch: &mut RowBatch, max_rows: usize) -> Result<bool> {
        batch.clear();
        while batch.rows.len() < max_rows && self.records.next(&self.path, self.next)? {
            let (number, first_value) = (self.next, batch.values.len());
            self.next += 1;
            let made = self.records.check_length().and_then(|()| self.maker.make(&self.records, number, batch));
            match made {
                Ok(row) => batch.rows.push(row),
                Err(fault) => {
                    batch.values.truncate(first_value);
                    self.bad.add(&self.path, self.records.place(number), &fault, self.next)?;
                }
            }
        }
        Ok(!batch.rows.is_empty())
    }

    /// The malformed rows so far.
    #[must_use]
    pub fn bad(&self) -> &BadRows {
        &self.bad
    }

    pub(super) fn finish(self) -> Result<(u64, BadRows)> {
        ensure!(
            self.next > self.first,
            "{} has no rows: expected at least one row of data after the header",
            self.path.display()
        );
        Ok((self.next, self.bad))
    }
}
