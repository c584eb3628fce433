//! Parquet files, one record batch at a time.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use indicatif::ProgressBar;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::bad::{BadRows, Fault};
use super::columns::{Columns, InputKind, TimeFormat};
use super::field::{self, Cell};
use super::{Batch, Labels, Row};

pub(super) struct ParquetReader {
    reader: ParquetRecordBatchReader,
    columns: Columns,
    labels: Labels,
    batch: Option<RecordBatch>,
    at: usize,
    bar: ProgressBar,
    bytes_per_row: f64,
}

impl ParquetReader {
    pub(super) fn new(file: File, columns: &Columns, labels: Labels, bar: &ProgressBar) -> Result<Self> {
        let bytes = file.metadata()?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let names: Vec<String> = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
        let mut columns = columns.clone();
        let has = |column: &str| names.iter().any(|name| name == column);
        let check = |column: &str| {
            ensure!(has(column), "expected a column \"{column}\", found: {}", names.join(", "));
            Ok(())
        };
        if labels == Labels::Required {
            check(&columns.click)?;
            columns.conversion.iter().chain(&columns.weight).try_for_each(|c| check(c))?;
        } else {
            columns.conversion = columns.conversion.filter(|c| has(c));
            columns.weight = columns.weight.filter(|c| has(c));
        }
        columns.time.iter().try_for_each(|(c, _)| check(c))?;
        columns.inputs.iter().try_for_each(|i| check(&i.column))?;
        let used = [&columns.click]
            .into_iter()
            .chain(&columns.conversion)
            .chain(&columns.weight)
            .chain(columns.time.iter().map(|(c, _)| c))
            .chain(columns.inputs.iter().map(|i| &i.column));
        let roots: Vec<usize> = used.filter_map(|c| names.iter().position(|name| name == c)).collect();
        let rows = builder.metadata().file_metadata().num_rows();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder.with_projection(mask).with_batch_size(4096).build()?;
        let bytes_per_row = bytes as f64 / rows.max(1) as f64;
        Ok(Self { reader, columns, labels, batch: None, at: 0, bar: bar.clone(), bytes_per_row })
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
                let Some(record) = self.reader.next() else { return Ok(()) };
                let record = record.with_context(|| format!("cannot read {} past row {next}", path.display()))?;
                self.bar.inc((record.num_rows() as f64 * self.bytes_per_row) as u64);
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
        let start = batch.values.len();
        for (feature, input) in self.columns.inputs.iter().enumerate() {
            let Some(a) = array(&input.column) else { continue };
            input_values(&input.column, input.kind, feature as u32, a, at, &mut batch.values)?;
        }
        Ok(Row { number, click, conversion, weight, time_us, values: start..batch.values.len() })
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
    let items = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(at),
        DataType::LargeList(_) => array.as_list::<i64>().value(at),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(at),
        _ => {
            return match cell(column, array, at)? {
                Cell::Bytes(bytes) => field::text(column, kind, feature, bytes, out),
                other => field::single(column, kind, feature, other, out),
            };
        }
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

fn cell<'a>(column: &str, array: &'a ArrayRef, at: usize) -> Result<Cell<'a>, Fault> {
    macro_rules! integer {
        ($type:ty) => {
            Cell::Integer(i128::from(array.as_primitive::<$type>().value(at)))
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => Cell::Integer(i128::from(array.as_boolean().value(at))),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float32 => Cell::Float(f64::from(array.as_primitive::<Float32Type>().value(at))),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => Cell::Bytes(array.as_string::<i32>().value(at).as_bytes()),
        DataType::LargeUtf8 => Cell::Bytes(array.as_string::<i64>().value(at).as_bytes()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(at)),
        other => {
            return Err(Fault::new(column, "a boolean, integer, float, string or list", other.to_string().as_bytes()));
        }
    })
}
