//! Delimited text: Criteo's tab-separated lines, Avazu's and other CSV files.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::bad::{BadRows, Fault};
use super::columns::{Columns, InputKind, TimeFormat};
use super::field::{self, Cell};
use super::{Batch, Format, Labels, Row};

/// A column that is read: its place in the line and its name.
#[derive(Debug, Clone)]
struct Place {
    at: usize,
    column: String,
}

pub(super) struct TextReader {
    csv: csv::Reader<Box<dyn Read>>,
    record: csv::ByteRecord,
    fields: usize,
    labels: Labels,
    click: Option<Place>,
    conversion: Option<Place>,
    weight: Option<Place>,
    time: Option<(Place, TimeFormat)>,
    inputs: Vec<(Place, InputKind)>,
}

impl TextReader {
    pub(super) fn new(
        stream: Box<dyn Read>,
        path: &Path,
        format: &Format,
        columns: &Columns,
        labels: Labels,
    ) -> Result<Self> {
        let headed = *format != Format::Criteo;
        let mut csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(headed)
            .delimiter(if headed { b',' } else { b'\t' })
            .from_reader(stream);
        let mut record = csv::ByteRecord::new();
        let names: Vec<String> = if headed {
            let found = csv.read_byte_record(&mut record).with_context(|| broken(path, 0))?;
            ensure!(found, "{} has no rows: expected a header", path.display());
            record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect()
        } else {
            std::iter::once(columns.click.clone()).chain(columns.inputs.iter().map(|i| i.column.clone())).collect()
        };
        if let Some((i, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            bail!("{}: the header names column \"{name}\" twice (again at column {})", path.display(), i + 1);
        }
        let place = |column: &str| {
            names.iter().position(|name| name == column).map(|at| Place { at, column: column.to_owned() })
        };
        let needed = |column: &str| {
            place(column).with_context(|| {
                let shown: Vec<&str> = names.iter().take(40).map(String::as_str).collect();
                format!("{}: expected a column \"{column}\" in the header, found: {}", path.display(), shown.join(", "))
            })
        };
        let click = match labels {
            Labels::Required => Some(needed(&columns.click)?),
            Labels::Optional => place(&columns.click),
        };
        let label = |column: &Option<String>| match (column, labels) {
            (Some(column), Labels::Required) => needed(column).map(Some),
            (Some(column), Labels::Optional) => Ok(place(column)),
            (None, _) => Ok(None),
        };
        Ok(Self {
            fields: names.len(),
            labels,
            click,
            conversion: label(&columns.conversion)?,
            weight: label(&columns.weight)?,
            time: columns.time.as_ref().map(|(c, format)| anyhow::Ok((needed(c)?, *format))).transpose()?,
            inputs: columns.inputs.iter().map(|i| anyhow::Ok((needed(&i.column)?, i.kind))).collect::<Result<_>>()?,
            csv,
            record,
        })
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
            if !self.csv.read_byte_record(&mut self.record).with_context(|| broken(path, *next))? {
                return Ok(());
            }
            let number = *next;
            *next += 1;
            let first_value = batch.values.len();
            match self.row(number, batch) {
                Ok(row) => batch.rows.push(row),
                Err(fault) => {
                    batch.values.truncate(first_value);
                    let line = self.record.position().map_or(0, csv::Position::line);
                    bad.add(path, format_args!("line {line}"), &fault, *next)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, number: u64, batch: &mut Batch) -> Result<Row, Fault> {
        if self.record.len() != self.fields {
            return Err(Fault {
                field: "the whole line".to_owned(),
                expected: "as many fields as there are columns",
                found: format!("{} fields for {} columns", self.record.len(), self.fields),
            });
        }
        let get = |place: &Place| &self.record[place.at];
        let label = |place: &Option<Place>| match place {
            Some(place) if !get(place).is_empty() => field::label(&place.column, Cell::Bytes(get(place))).map(Some),
            _ => Ok(None),
        };
        let click = label(&self.click)?;
        if let (None, Labels::Required, Some(place)) = (click, self.labels, &self.click) {
            return Err(Fault::new(&place.column, "a label of 0 or 1", b""));
        }
        let weight = match &self.weight {
            Some(place) => field::weight(&place.column, Cell::Bytes(get(place)))?,
            None => 1.0,
        };
        let time_us = match &self.time {
            Some((place, format)) => Some(field::time(&place.column, *format, Cell::Bytes(get(place)))?),
            None => None,
        };
        let conversion = label(&self.conversion)?;
        let start = batch.values.len();
        for (feature, (place, kind)) in self.inputs.iter().enumerate() {
            field::text(&place.column, *kind, feature as u32, get(place), &mut batch.values)?;
        }
        Ok(Row { number, click, conversion, weight, time_us, values: start..batch.values.len() })
    }
}

fn broken(path: &Path, rows: u64) -> String {
    format!(
        "cannot read {} past row {rows}: the file is damaged or was cut short; fetch or unpack it again",
        path.display()
    )
}
