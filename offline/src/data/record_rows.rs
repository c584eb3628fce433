//! Rows of Parquet and Arrow files, one record batch at a time.

use std::fs::File;
use std::path::Path;

use adclick::enrich::Keys;
use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampMicrosecondType, TimestampMillisecondType, TimestampSecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use indicatif::ProgressBar;

use super::array::{cell, items};
use super::bad::{BadRows, Fault};
use super::columns::{Columns, InputKind, TimeFormat};
use super::field::{self, Cell};
use super::records::{Container, Records, place};
use super::{Batch, Labels, Row};

pub(super) struct RecordReader {
    records: Records,
    columns: Columns,
    labels: Labels,
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
        let mut columns = columns.clone();
        let records = Records::open(file, path, container, bar, |names| {
            let has = |column: &String| names.contains(column);
            if labels == Labels::Optional {
                columns.conversion = columns.conversion.take().filter(has);
                columns.weight = columns.weight.take().filter(has);
            }
            let click = (labels == Labels::Required || has(&columns.click)).then_some(&columns.click);
            let used = click
                .into_iter()
                .chain(&columns.conversion)
                .chain(&columns.weight)
                .chain(columns.time.iter().map(|(c, _)| c))
                .chain(columns.inputs.iter().filter(|i| !i.optional || has(&i.column)).map(|i| &i.column));
            let mut places = used.map(|c| place(names, c)).collect::<Result<Vec<_>>>()?;
            for key in &columns.keys {
                places.push(place(names, &key.column).with_context(|| key.needed_for())?);
            }
            places.sort_unstable();
            places.dedup();
            Ok(places)
        })?;
        Ok(Self { records, columns, labels, batch: None, at: 0 })
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
            let (number, at, first_value) = (*next, self.at, batch.values.len());
            *next += 1;
            self.at += 1;
            match self.row(record, at, number, batch) {
                Ok(row) => batch.rows.push(row),
                Err(fault) => {
                    batch.values.truncate(first_value);
                    bad.add(path, format_args!("row {number}"), &fault, *next)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, record: &RecordBatch, at: usize, number: u64, batch: &mut Batch) -> Result<Row, Fault> {
        let array = |name: &str| record.column_by_name(name).filter(|a| !a.is_null(at));
        let label = |name: &str| match array(name) {
            Some(a) => field::label(name, cell(name, a, at)?).map(Some),
            None => Ok(None),
        };
        let click = label(&self.columns.click)?;
        if click.is_none() && self.labels == Labels::Required {
            return Err(Fault::new(&self.columns.click, "a label of 0 or 1", b"null"));
        }
        let conversion = self.columns.conversion.as_deref().map_or(Ok(None), label)?;
        let weight = match &self.columns.weight {
            Some(name) => match array(name) {
                Some(a) => field::weight(name, cell(name, a, at)?)?,
                None => return Err(Fault::new(name, "a weight above 0", b"null")),
            },
            None => 1.0,
        };
        let time_us = match &self.columns.time {
            Some((name, format)) => match array(name) {
                Some(a) => Some(time(name, *format, a, at)?),
                None => return Err(Fault::new(name, "a time", b"null")),
            },
            None => None,
        };
        let mut keys = Keys::default();
        for key in &self.columns.keys {
            let Some(a) = array(&key.column) else { continue };
            match cell(&key.column, a, at)? {
                Cell::Bytes([]) => {}
                found => field::key(key, found, &mut keys)?,
            }
        }
        let start = batch.values.len();
        for (feature, input) in self.columns.inputs.iter().enumerate() {
            let Some(a) = array(&input.column) else { continue };
            input_values(&input.column, input.kind, feature as u32, a, at, &mut batch.values)?;
        }
        Ok(Row { number, click, conversion, weight, time_us, keys, values: start..batch.values.len() })
    }
}

fn input_values(
    column: &str,
    kind: InputKind,
    feature: u32,
    array: &ArrayRef,
    at: usize,
    out: &mut Vec<adclick::types::Value>,
) -> Result<(), Fault> {
    let Some(items) = items(array, at) else {
        return match cell(column, array, at)? {
            Cell::Bytes(bytes) => field::text(column, kind, feature, bytes, out),
            other => field::single(column, kind, feature, other, out),
        };
    };
    if !matches!(kind, InputKind::Texts(_) | InputKind::Integers(_) | InputKind::Vector(..)) {
        return Err(Fault::new(column, "a single value", b"a list"));
    }
    let cells: Vec<Cell<'_>> =
        (0..items.len()).filter(|&i| !items.is_null(i)).map(|i| cell(column, &items, i)).collect::<Result<_, _>>()?;
    field::list(column, kind, feature, cells.into_iter(), out)
}

fn time(column: &str, format: TimeFormat, array: &ArrayRef, at: usize) -> Result<i64, Fault> {
    let late = || Fault::new(column, "a time within 290,000 years of 1970", b"a later one");
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            array.as_primitive::<TimestampSecondType>().value(at).checked_mul(1_000_000).ok_or_else(late)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            array.as_primitive::<TimestampMillisecondType>().value(at).checked_mul(1000).ok_or_else(late)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array.as_primitive::<TimestampMicrosecondType>().value(at)),
        _ => field::time(column, format, cell(column, array, at)?),
    }
}
