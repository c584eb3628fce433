//! Turns records into rows: labels, time, ids and raw values.

use std::collections::HashMap;

use adclick::builder::enrich::Keys;
use anyhow::{Context, Result};

use super::clock::Clock;
use super::columns::{InputColumn, InputKind, KeyColumn, LogColumns};
use super::values;
use super::{Labels, LogRow, RowBatch};
use crate::cells::Fault;
use crate::cells::Field;
use crate::cells::RecordReader;

/// A column that is read, and the reason why it is required.
pub(super) struct Wanted {
    pub(super) column: String,
    why: Option<String>,
}

/// A column by its number in [`LogRowMaker::wanted`], and its name.
type ColumnAt = (usize, String);

/// Turns records into rows of a batch.
pub(super) struct LogRowMaker {
    wanted: Vec<Wanted>,
    labels: Labels,
    click: Option<ColumnAt>,
    conversion: Option<ColumnAt>,
    weight: Option<ColumnAt>,
    time: Option<(usize, Option<usize>, Clock)>,
    /// `None` for an optional column that the file lacks.
    inputs: Vec<Option<(ColumnAt, InputKind)>>,
    keys: Vec<(usize, KeyColumn)>,
}

impl LogRowMaker {
    /// Prepares for a file that `has` columns of these names.
    ///
    /// # Errors
    /// A time zone that does not exist.
    pub(super) fn new(columns: &LogColumns, labels: Labels, has: impl Fn(&str) -> bool) -> Result<Self> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut needed = |column: &str, why: Option<String>| {
            *numbers.entry(column.to_owned()).or_insert_with(|| {
                wanted.push(Wanted { column: column.to_owned(), why });
                wanted.len() - 1
            })
        };
        let label = |column: &str, needed: &mut dyn FnMut(&str, Option<String>) -> usize| {
            (labels == Labels::Required || has(column)).then(|| (needed(column, None), column.to_owned()))
        };
        let click = label(&columns.click, &mut needed);
        let conversion = columns.conversion.as_deref().and_then(|c| label(c, &mut needed));
        let weight = columns.weight.as_deref().and_then(|c| label(c, &mut needed));
        let time = match &columns.time {
            Some(rule) => {
                let zone = rule.zone_column().map(|column| needed(column, None));
                Some((needed(&rule.column, None), zone, Clock::new(rule).context("[labels]")?))
            }
            None => None,
        };
        let input = |input: &InputColumn| {
            let there = !input.optional || has(&input.column);
            there.then(|| ((needed(&input.column, None), input.column.clone()), input.kind))
        };
        let inputs = columns.inputs.iter().map(input).collect();
        let there = columns.keys.iter().filter(|key| key.needed || has(&key.column));
        let keys = there.map(|key| (needed(&key.column, Some(key.needed_for())), key.clone())).collect();
        Ok(Self { labels, click, conversion, weight, time, inputs, keys, wanted })
    }

    /// The columns that are read, without duplicates.
    pub(super) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// The indices of the columns in a file.
    ///
    /// # Errors
    /// A column that the file lacks; the message gives its purpose.
    pub(super) fn places(&self, place: impl Fn(&str) -> Result<usize>) -> Result<Vec<usize>> {
        let find = |wanted: &Wanted| {
            let found = place(&wanted.column);
            match &wanted.why {
                Some(why) => found.with_context(|| why.clone()),
                None => found,
            }
        };
        self.wanted.iter().map(find).collect()
    }

    /// Makes a row from a record and adds its values to the batch; a malformed record may leave some of its values
    /// there.
    pub(super) fn make(&self, record: &RecordReader, number: u64, batch: &mut RowBatch) -> Result<LogRow, Fault> {
        let label = |place: &Option<ColumnAt>| match place {
            Some((at, column)) => values::label(column, record.field(*at)?),
            None => Ok(None),
        };
        let click = label(&self.click)?;
        if let (None, Labels::Required, Some((_, column))) = (click, self.labels, &self.click) {
            return Err(Fault::new(column, "a label of 0 or 1", b""));
        }
        let weight = match &self.weight {
            Some((at, column)) => values::weight(column, record.field(*at)?)?,
            None => 1.0,
        };
        let (time_us, utc_offset_s) = match &self.time {
            Some((at, zone, clock)) => {
                let zone = zone.map_or(Ok(Field::Missing), |zone| record.field(zone))?;
                let (time_us, utc_offset_s) = clock.read(record.field(*at)?, zone)?;
                (Some(time_us), utc_offset_s)
            }
            None => (None, 0),
        };
        let conversion = label(&self.conversion)?;
        let mut keys = Keys::default();
        for (at, key) in &self.keys {
            if let Some(cell) = record.field(*at)?.one(&key.column)? {
                values::key(key, &cell, &mut keys)?;
            }
        }
        let start = batch.values.len();
        for (input, reading) in self.inputs.iter().enumerate() {
            let Some(((at, column), kind)) = reading else { continue };
            values::values(column, *kind, input as u32, record.field(*at)?, &mut batch.values)?;
        }
        let values = start..batch.values.len();
        Ok(LogRow { number, click, conversion, weight, time_us, utc_offset_s, keys, values })
    }
}
