//! Reads the records of a data file one at a time, for files of any kind.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use arrow_array::RecordBatch;

use super::array;
use super::delimited::Delimited;
use super::fault::Fault;
use super::field::Field;
use super::open::{Opened, open};
use super::records::{BatchColumns, ColumnarKind, Records};
use crate::progress::JobStage;

/// The columns of a file, before its records are read.
pub(crate) enum Header<'a> {
    Text(&'a Delimited),
    Batches(BatchColumns<'a>),
}

impl Header<'_> {
    /// The columns' names in file order.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::Text(file) => file.names(),
            Self::Batches(columns) => columns.names(),
        }
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        match self {
            Self::Text(file) => file.place(column).is_some(),
            Self::Batches(columns) => columns.has(column),
        }
    }

    /// The index of a required column.
    ///
    /// # Errors
    /// Names the missing column and those that the file has.
    pub(crate) fn place(&self, column: &str) -> Result<usize> {
        match self {
            Self::Text(file) => file.needed(column),
            Self::Batches(columns) => columns.place(column),
        }
    }
}

/// A file that is read record by record.
pub(crate) enum RecordReader {
    /// Lines of text.
    Text {
        file: Box<Delimited>,
        /// For each wanted column, its index in a line.
        places: Vec<usize>,
    },
    /// Rows of record batches.
    Batches {
        records: Box<Records>,
        /// The names of the wanted columns.
        names: Vec<String>,
        /// For each wanted column, its index in a batch.
        places: Vec<usize>,
        batch: Option<RecordBatch>,
        /// The number of rows of the batch read so far, including the current one.
        read: usize,
    },
}

impl RecordReader {
    /// Opens a file of any kind. Text needs a header; the `wanted` columns decide its delimiter. `choose` returns the
    /// indices of the columns that [`RecordReader::field`] gives.
    ///
    /// # Errors
    /// A file that cannot be read, and any error of `choose`.
    pub(crate) fn open(
        path: &Path,
        wanted: &[&str],
        stage: &JobStage,
        choose: impl FnOnce(Header<'_>) -> Result<Vec<usize>>,
    ) -> Result<Self> {
        match open(path, stage)? {
            Opened::Text(stream) => Self::text(Delimited::headed(stream, path, wanted)?, choose),
            Opened::Batches(container, file) => Self::batches(container, file, path, stage, choose),
        }
    }

    /// The lines of a text with named columns.
    pub(crate) fn text(file: Delimited, choose: impl FnOnce(Header<'_>) -> Result<Vec<usize>>) -> Result<Self> {
        let places = choose(Header::Text(&file))?;
        Ok(Self::Text { file: Box::new(file), places })
    }

    /// The rows of record batches.
    pub(crate) fn batches(
        container: ColumnarKind,
        file: File,
        path: &Path,
        stage: &JobStage,
        choose: impl FnOnce(Header<'_>) -> Result<Vec<usize>>,
    ) -> Result<Self> {
        let (mut names, mut within) = (Vec::new(), Vec::new());
        let records = Records::open(file, path, container, stage, |columns| {
            let places = choose(Header::Batches(BatchColumns::new(columns)))?;
            names = places.iter().map(|&place| columns[place].clone()).collect();
            let sorted;
            (sorted, within) = sorted_places(&places);
            Ok(sorted)
        })?;
        Ok(Self::Batches { records: Box::new(records), names, places: within, batch: None, read: 0 })
    }

    /// Goes to the next record; false at the end. `rows`: the number of records read before, for messages.
    ///
    /// # Errors
    /// The file ends early or is damaged.
    pub(crate) fn next(&mut self, path: &Path, rows: u64) -> Result<bool> {
        match self {
            Self::Text { file, .. } => file.next(rows),
            Self::Batches { records, batch, read, .. } => {
                while batch.as_ref().is_none_or(|batch| *read >= batch.num_rows()) {
                    let next = records.next();
                    let next = next.with_context(|| format!("cannot read {} past row {rows}", path.display()))?;
                    if next.is_none() {
                        return Ok(false);
                    }
                    (*batch, *read) = (next, 0);
                }
                *read += 1;
                Ok(true)
            }
        }
    }

    /// Refuses a line whose number of fields differs from the number of columns.
    pub(crate) fn check_length(&self) -> Result<(), Fault> {
        match self {
            Self::Text { file, .. } => file.check_length(),
            Self::Batches { .. } => Ok(()),
        }
    }

    /// The current record's field in a wanted column. Its length was checked.
    pub(crate) fn field(&self, column: usize) -> Result<Field<'_>, Fault> {
        match self {
            Self::Text { file, places } => Ok(Field::text(file.field(places[column]))),
            Self::Batches { names, places, batch: Some(batch), read, .. } => {
                array::field(&names[column], batch.column(places[column]), read - 1)
            }
            Self::Batches { batch: None, .. } => Ok(Field::Missing),
        }
    }

    /// The position of the current record: its line in a text, otherwise its row by the caller's count.
    pub(crate) fn place(&self, row: u64) -> String {
        match self {
            Self::Text { file, .. } => format!("line {}", file.line()),
            Self::Batches { .. } => format!("row {row}"),
        }
    }

    /// The delimiter of a text.
    pub(crate) fn delimiter(&self) -> Option<u8> {
        match self {
            Self::Text { file, .. } => Some(file.delimiter()),
            Self::Batches { .. } => None,
        }
    }

    /// The types of a batch's columns; none for a text, or before the first record.
    pub(crate) fn types(&self) -> Vec<String> {
        match self {
            Self::Batches { batch: Some(batch), .. } => {
                batch.columns().iter().map(|column| column.data_type().to_string()).collect()
            }
            Self::Batches { .. } | Self::Text { .. } => Vec::new(),
        }
    }
}

/// Columns chosen for reading: their indices in file order, and the position of each in a batch.
fn sorted_places(places: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    let within = places.iter().map(|place| sorted.partition_point(|p| p < place)).collect();
    (sorted, within)
}
