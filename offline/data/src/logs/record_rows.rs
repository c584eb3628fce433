//! Rows of Parquet and Arrow files, one record batch at a time.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use arrow_array::{ArrayRef, RecordBatch};
use indicatif::ProgressBar;

use super::bad::BadRows;
use super::columns::Columns;
use super::make::RowMaker;
use super::{Batch, Labels};
use crate::cells::ArrayRecord;
use crate::cells::{Container, Places, Records, chosen};

pub(super) struct RecordReader {
    records: Records,
    maker: RowMaker,
    /// Where the columns stand in a batch.
    places: Vec<usize>,
    batch: Option<RecordBatch>,
    at: usize,
}

impl RecordReader {
    pub(super) fn new(
        (container, file): (Container, File),
        path: &Path,
        columns: &Columns,
        labels: Labels,
        bar: &ProgressBar,
    ) -> Result<Self> {
        let mut made = None;
        let records = Records::open(file, path, container, bar, |names| {
            let places = Places::new(names);
            let maker = RowMaker::new(columns, labels, |name| places.has(name))?;
            let (sorted, within) = chosen(&maker.places(|column| places.of(column))?);
            made = Some((maker, within));
            Ok(sorted)
        })?;
        let (maker, places) = made.context("the columns were not chosen")?;
        Ok(Self { records, maker, places, batch: None, at: 0 })
    }

    pub(super) fn read(
        &mut self,
        batch: &mut Batch,
        max_rows: usize,
        next: &mut u64,
        bad: &mut BadRows,
        path: &Path,
    ) -> Result<()> {
        while batch.rows.len() < max_rows {
            let Some(record) = self.batch.as_ref().filter(|b| self.at < b.num_rows()) else {
                let record = self.records.next();
                let record = record.with_context(|| format!("cannot read {} past row {next}", path.display()))?;
                let Some(record) = record else { return Ok(()) };
                self.batch = Some(record);
                self.at = 0;
                continue;
            };
            let wanted = self.maker.wanted().iter().map(|w| w.column.as_str());
            let columns: Vec<(&str, &ArrayRef)> =
                wanted.zip(&self.places).map(|(name, &at)| (name, record.column(at))).collect();
            while batch.rows.len() < max_rows && self.at < record.num_rows() {
                let (number, first_value) = (*next, batch.values.len());
                *next += 1;
                let made = self.maker.make(&ArrayRecord { columns: &columns, at: self.at }, number, batch);
                self.at += 1;
                match made {
                    Ok(row) => batch.rows.push(row),
                    Err(fault) => {
                        batch.values.truncate(first_value);
                        bad.add(path, format_args!("row {number}"), &fault, *next)?;
                    }
                }
            }
        }
        Ok(())
    }
}
