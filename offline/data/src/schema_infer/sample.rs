//! A bounded sample of a file's rows, evenly spread.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use arrow_array::Array;

use crate::cells::{Delimited, Field, Header, Opened, RecordReader, Scalar, cell, open};
use crate::progress::JobStage;

/// The most rows that are kept.
const ROWS: usize = 20_000;
/// The most fields that are kept, and the most bytes of them.
const FIELDS: usize = 4 << 20;
const BYTES: usize = 64 << 20;
/// The length to which a text is examined.
const TEXT: usize = 512;

/// A field's contents as text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    Missing,
    Text(Box<[u8]>),
    List(Vec<Box<[u8]>>),
}

impl Kept {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Missing => 0,
                Self::Text(text) => text.len(),
                Self::List(items) => items.iter().map(|i| i.len() + size_of::<Box<[u8]>>()).sum(),
            }
    }
}

/// The columns of a file, and some of its rows.
pub(super) struct FileSample {
    pub(super) names: Vec<String>,
    /// The columns' types, for record batches.
    pub(super) types: Vec<Option<String>>,
    /// The delimiter of a text.
    pub(super) delimiter: Option<u8>,
    /// Rows of the file.
    pub(super) rows: u64,
    /// Rows of text with too many fields or too few.
    pub(super) ragged: u64,
    /// One row in `step` is sampled.
    pub(super) step: u64,
    sample: Vec<Vec<Kept>>,
    bytes: usize,
}

impl FileSample {
    /// Reads a file. `wanted` are columns that are known to exist.
    pub(super) fn read(path: &Path, wanted: &[&str], stage: &JobStage) -> Result<Self> {
        let mut sample = Self {
            names: Vec::new(),
            types: Vec::new(),
            delimiter: None,
            rows: 0,
            ragged: 0,
            step: 1,
            sample: Vec::new(),
            bytes: 0,
        };
        let mut all = |header: Header<'_>| {
            sample.names = header.names().to_vec();
            Ok((0..sample.names.len()).collect())
        };
        let reader = match open(path, stage)? {
            Opened::Text(stream) => {
                let file = Delimited::headed(stream, path, wanted);
                let file = file.context("a schema is inferred from a file whose first line names the columns")?;
                ensure!(
                    !file.names().iter().all(|name| name.parse::<f64>().is_ok()),
                    "the first line holds numbers ({}): a schema is inferred from a file whose first line names the columns",
                    file.names().iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ")
                );
                RecordReader::text(file, &mut all)?
            }
            Opened::Batches(container, file) => RecordReader::batches(container, file, path, stage, &mut all)?,
        };
        sample.take(path, reader, stage)?;
        ensure!(sample.rows > 0, "{} has no rows: expected rows of data after the header", path.display());
        ensure!(
            !sample.sample.is_empty(),
            "{}: no row has as many fields as the header has columns ({})",
            path.display(),
            sample.names.len()
        );
        Ok(sample)
    }

    /// The fields of a column.
    pub(super) fn column(&self, at: usize) -> impl Iterator<Item = &Kept> {
        self.sample.iter().map(move |row| &row[at])
    }

    /// The number of sampled rows.
    pub(super) fn len(&self) -> usize {
        self.sample.len()
    }

    fn take(&mut self, path: &Path, mut reader: RecordReader, stage: &JobStage) -> Result<()> {
        self.delimiter = reader.delimiter();
        self.types = vec![None; self.names.len()];
        while reader.next(path, self.rows)? {
            if self.rows == 0 && self.delimiter.is_none() {
                self.types = reader.types().into_iter().map(Some).collect();
            }
            if self.rows.is_multiple_of(4096) {
                stage.check()?;
            }
            if reader.check_length().is_err() {
                self.ragged += 1;
                self.rows += 1;
                continue;
            }
            self.see(&reader)?;
        }
        Ok(())
    }

    fn see(&mut self, record: &RecordReader) -> Result<()> {
        if self.rows.is_multiple_of(self.step) {
            let row: Vec<Kept> = (0..self.names.len()).map(|at| self.keep(record, at)).collect();
            self.bytes += row.iter().map(Kept::bytes).sum::<usize>();
            self.sample.push(row);
        }
        self.rows += 1;
        if self.sample.len() > ROWS.min(FIELDS / self.names.len().max(1)).max(1) || self.bytes > BYTES {
            let mut at = 0;
            self.sample.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.bytes = self.sample.iter().flatten().map(Kept::bytes).sum();
            self.step *= 2;
        }
        Ok(())
    }

    fn keep(&self, record: &RecordReader, at: usize) -> Kept {
        let short = |text: &[u8]| Box::from(&text[..text.len().min(TEXT)]);
        let one = |cell: &Scalar<'_>| Kept::Text(short(&cell.show()));
        match record.field(at) {
            Ok(Field::Missing) => Kept::Missing,
            Ok(Field::Text(text)) => Kept::Text(short(text)),
            Ok(Field::One(cell)) => one(&cell),
            Ok(Field::List(items)) => {
                let item = |i| cell(&self.names[at], &items, i).ok().flatten().map(|cell| short(&cell.show()));
                Kept::List((0..items.len().min(TEXT)).filter_map(item).collect())
            }
            // For structs and the like, the type says what they are.
            Err(_) => Kept::Missing,
        }
    }
}
