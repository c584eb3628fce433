//! Delimited text: Criteo's tab-separated lines, Avazu's and other CSV files.

use std::io::Read;
use std::path::Path;

use adclick::enrich::Keys;
use anyhow::{Context, Result};

use super::bad::{BadRows, Fault};
use super::columns::{Columns, Input, InputKind, KeyColumn, TimeFormat};
use super::delimited::Delimited;
use super::field::{self, Cell};
use super::{Batch, Format, Labels, Row};

/// A column that is read: its place in the line and its name.
#[derive(Debug, Clone)]
struct Place {
    at: usize,
    column: String,
}

pub(super) struct TextReader {
    file: Delimited,
    labels: Labels,
    click: Option<Place>,
    conversion: Option<Place>,
    weight: Option<Place>,
    time: Option<(Place, TimeFormat)>,
    /// `None` of a column that the file may lack and does.
    inputs: Vec<Option<(Place, InputKind)>>,
    keys: Vec<(usize, KeyColumn)>,
}

impl TextReader {
    pub(super) fn new(
        stream: Box<dyn Read>,
        path: &Path,
        format: &Format,
        columns: &Columns,
        labels: Labels,
    ) -> Result<Self> {
        let file = if *format == Format::Criteo {
            let inputs = columns.inputs.iter().map(|i| i.column.clone());
            Delimited::tabbed(stream, path, std::iter::once(columns.click.clone()).chain(inputs).collect())
        } else {
            Delimited::headed(stream, path)?
        };
        let place = |column: &str| file.place(column).map(|at| Place { at, column: column.to_owned() });
        let needed = |column: &str| file.needed(column).map(|at| Place { at, column: column.to_owned() });
        let click = match labels {
            Labels::Required => Some(needed(&columns.click)?),
            Labels::Optional => place(&columns.click),
        };
        let label = |column: &Option<String>| match (column, labels) {
            (Some(column), Labels::Required) => needed(column).map(Some),
            (Some(column), Labels::Optional) => Ok(place(column)),
            (None, _) => Ok(None),
        };
        let input = |input: &Input| {
            let found = if input.optional { place(&input.column) } else { Some(needed(&input.column)?) };
            anyhow::Ok(found.map(|place| (place, input.kind)))
        };
        let key = |key: &KeyColumn| {
            let at = file.needed(&key.column).with_context(|| key.needed_for())?;
            anyhow::Ok((at, key.clone()))
        };
        Ok(Self {
            labels,
            click,
            conversion: label(&columns.conversion)?,
            weight: label(&columns.weight)?,
            time: columns.time.as_ref().map(|(c, format)| anyhow::Ok((needed(c)?, *format))).transpose()?,
            inputs: columns.inputs.iter().map(input).collect::<Result<_>>()?,
            keys: columns.keys.iter().map(key).collect::<Result<_>>()?,
            file,
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
            if !self.file.next(*next)? {
                return Ok(());
            }
            let number = *next;
            *next += 1;
            let first_value = batch.values.len();
            match self.row(number, batch) {
                Ok(row) => batch.rows.push(row),
                Err(fault) => {
                    batch.values.truncate(first_value);
                    bad.add(path, format_args!("line {}", self.file.line()), &fault, *next)?;
                }
            }
        }
        Ok(())
    }

    fn row(&self, number: u64, batch: &mut Batch) -> Result<Row, Fault> {
        self.file.check_length()?;
        let get = |place: &Place| self.file.field(place.at);
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
        let mut keys = Keys::default();
        for (at, key) in &self.keys {
            match self.file.field(*at) {
                [] => {}
                text => field::key(key, Cell::Bytes(text), &mut keys)?,
            }
        }
        for (feature, input) in self.inputs.iter().enumerate() {
            let Some((place, kind)) = input else { continue };
            field::text(&place.column, *kind, feature as u32, get(place), &mut batch.values)?;
        }
        Ok(Row { number, click, conversion, weight, time_us, keys, values: start..batch.values.len() })
    }
}
