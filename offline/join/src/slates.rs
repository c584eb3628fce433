//! Slates: all candidates of sampled decisions, with what came of those that were seen; and the values behind the model's
//! inputs, as rows take them.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::builder::{BooleanBuilder, Float32Builder, Int32Builder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::interleave::{interleave, interleave_record_batch};

use crate::options::{Feature, FeatureKind};
use crate::part::batches;
use crate::segments::{id, longs};
use crate::store::{HourState, Store};
use crate::write::Output;

/// Slates of a batch that is written: each has up to hundreds of candidates.
const BATCH: usize = 256;

/// What came of an impression, for its candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels {
    pub(crate) click: i32,
    pub(crate) conversion: Option<i32>,
    pub(crate) post_click: Option<i32>,
}

/// The slates of an hour.
pub(crate) struct Slates {
    batches: Vec<RecordBatch>,
    /// Each request's slate once, by time and request: batch, row.
    places: Vec<(usize, usize)>,
    /// Where the winners are: batch, row, place among the batch's candidates.
    winners: HashMap<u128, (usize, usize, usize)>,
    /// Slates that came again.
    pub(crate) duplicates: u64,
}

fn candidates(batch: &RecordBatch) -> Result<(&ListArray, &StructArray)> {
    let list =
        batch.column_by_name("candidates").and_then(|c| c.as_list_opt::<i32>()).context("no list `candidates`")?;
    Ok((list, list.values().as_struct_opt().context("`candidates` holds no records")?))
}

fn child<'a>(array: &'a StructArray, name: &str) -> Result<&'a ArrayRef> {
    array.column_by_name(name).with_context(|| format!("no field `{name}`"))
}

impl Slates {
    pub(crate) fn load(store: &Store, state: &HourState) -> Result<Self> {
        let mut found = Self { batches: Vec::new(), places: Vec::new(), winners: HashMap::new(), duplicates: 0 };
        let mut keys = Vec::new();
        for name in &state.slates {
            for batch in batches(store, name, None)? {
                let batch = batch?;
                let (time, request) = (longs(&batch, "time_us")?, longs(&batch, "request_id")?);
                keys.extend(
                    (0..batch.num_rows()).map(|row| (time.value(row), request.value(row), found.batches.len(), row)),
                );
                found.batches.push(batch);
            }
        }
        keys.sort_unstable();
        let all = keys.len();
        keys.dedup_by_key(|key| (key.0, key.1));
        found.duplicates = (all - keys.len()) as u64;
        for (_, _, batch, row) in keys {
            found.places.push((batch, row));
            let (list, array) = candidates(&found.batches[batch])?;
            let half = |name| Ok::<_, anyhow::Error>(child(array, name)?.as_primitive::<Int64Type>());
            let (high, low) = (half("impression_id_high")?, half("impression_id")?);
            let offsets = list.value_offsets();
            for at in offsets[row] as usize..offsets[row + 1] as usize {
                if !low.is_null(at) {
                    found.winners.insert(id(high, low, at), (batch, row, at));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// All records, duplicates included.
    pub(crate) fn all(&self) -> u64 {
        self.len() + self.duplicates
    }

    /// Whether an impression was a candidate of one of these.
    pub(crate) fn has(&self, id: u128) -> bool {
        self.winners.contains_key(&id)
    }

    /// Writes a row for each candidate. Candidates that were not seen have no labels: they are no negatives.
    pub(crate) fn write(&self, out: std::path::PathBuf, labels: &HashMap<u128, Labels>) -> Result<()> {
        let Some(first) = self.batches.first() else { return Ok(()) };
        let request: Vec<usize> =
            (0..first.num_columns()).filter(|&c| first.schema().field(c).name() != "candidates").collect();
        let plain = |name: &str| if name == "values" { "request_values".to_owned() } else { name.to_owned() };
        let mut fields: Vec<Field> = Vec::new();
        for &column in &request {
            let field = first.schema().field(column).clone();
            fields.push(field.clone().with_name(plain(field.name())));
        }
        let (_, array) = candidates(first)?;
        fields.extend(array.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)));
        fields.push(Field::new("shown", DataType::Boolean, false));
        for name in ["label_click", "label_conversion", "label_post_click"] {
            fields.push(Field::new(name, DataType::Int32, true));
        }
        let schema = Arc::new(Schema::new(fields));
        let mut out = Output::create(out, schema.clone())?;
        let whole: Vec<&RecordBatch> = self.batches.iter().collect();
        let structs = self.batches.iter().map(|b| Ok(candidates(b)?.1)).collect::<Result<Vec<_>>>()?;
        for some in self.places.chunks(BATCH) {
            let (mut parents, mut children) = (Vec::new(), Vec::new());
            for &(batch, row) in some {
                let offsets = candidates(&self.batches[batch])?.0.value_offsets();
                for at in offsets[row] as usize..offsets[row + 1] as usize {
                    parents.push((batch, row));
                    children.push((batch, at));
                }
            }
            let parent = interleave_record_batch(&whole, &parents)?;
            let arrays: Vec<&dyn Array> = structs.iter().map(|s| *s as &dyn Array).collect();
            let own = interleave(&arrays, &children)?;
            let own = own.as_struct();
            let mut columns: Vec<ArrayRef> = request.iter().map(|&c| parent.column(c).clone()).collect();
            columns.extend(own.columns().iter().cloned());
            columns.extend(self::labels(own, labels)?);
            out.push(&RecordBatch::try_new(schema.clone(), columns)?)?;
        }
        out.finish()?;
        Ok(())
    }

    /// The values behind a row's inputs, as columns.
    pub(crate) fn features(&self, features: &[Feature], ids: &[u128]) -> Result<Vec<ArrayRef>> {
        features.iter().map(|feature| self.feature(feature, ids)).collect()
    }

    fn feature(&self, feature: &Feature, ids: &[u128]) -> Result<ArrayRef> {
        let mut found: Vec<Vec<(f32, i64)>> = Vec::with_capacity(ids.len());
        for id in ids {
            let mut values = Vec::new();
            if let Some(&(batch, row, at)) = self.winners.get(id) {
                let whole = &self.batches[batch];
                let request =
                    whole.column_by_name("values").and_then(|c| c.as_list_opt::<i32>()).context("no list `values`")?;
                let own = child(candidates(whole)?.1, "values")?.as_list_opt::<i32>().context("no list `values`")?;
                pick(request, row, &feature.name, &mut values)?;
                pick(own, at, &feature.name, &mut values)?;
            }
            found.push(values);
        }
        Ok(match feature.kind {
            FeatureKind::Number => {
                let mut column = Float32Builder::new();
                found.iter().for_each(|v| column.append_option(v.first().map(|v| v.0)));
                Arc::new(column.finish())
            }
            FeatureKind::Category => {
                let mut column = Int64Builder::new();
                found.iter().for_each(|v| column.append_option(v.first().map(|v| v.1)));
                Arc::new(column.finish())
            }
            FeatureKind::Multi => {
                let mut column = ListBuilder::new(Int64Builder::new());
                for values in &found {
                    values.iter().for_each(|v| column.values().append_value(v.1));
                    column.append(!values.is_empty());
                }
                Arc::new(column.finish())
            }
            FeatureKind::Vector => {
                let mut column = ListBuilder::new(Float32Builder::new());
                for values in &mut found {
                    // The id is the position.
                    values.sort_unstable_by_key(|v| v.1);
                    values.iter().for_each(|v| column.values().append_value(v.0));
                    column.append(!values.is_empty());
                }
                Arc::new(column.finish())
            }
        })
    }
}

/// The columns of features.
pub(crate) fn fields(features: &[Feature]) -> Vec<Field> {
    let list = |kind| DataType::List(Arc::new(Field::new("item", kind, true)));
    let kind = |feature: &Feature| match feature.kind {
        FeatureKind::Number => DataType::Float32,
        FeatureKind::Category => DataType::Int64,
        FeatureKind::Multi => list(DataType::Int64),
        FeatureKind::Vector => list(DataType::Float32),
    };
    features.iter().map(|feature| Field::new(&feature.name, kind(feature), true)).collect()
}

/// Adds the values of one name in one list.
fn pick(list: &ListArray, row: usize, name: &str, out: &mut Vec<(f32, i64)>) -> Result<()> {
    let array = list.values().as_struct_opt().context("`values` holds no records")?;
    let names = child(array, "feature")?.as_string_opt::<i32>().context("`feature` is no text")?;
    let numbers = child(array, "number")?.as_primitive_opt::<Float32Type>().context("`number` is no float")?;
    let ids = child(array, "id")?.as_primitive_opt::<Int64Type>().context("`id` is no long")?;
    let offsets = list.value_offsets();
    for at in offsets[row] as usize..offsets[row + 1] as usize {
        if names.value(at) == name {
            out.push((numbers.value(at), ids.value(at)));
        }
    }
    Ok(())
}

fn labels(own: &StructArray, labels: &HashMap<u128, Labels>) -> Result<Vec<ArrayRef>> {
    let half = |name| Ok::<_, anyhow::Error>(child(own, name)?.as_primitive::<Int64Type>());
    let (high, low) = (half("impression_id_high")?, half("impression_id")?);
    let mut shown = BooleanBuilder::new();
    let mut columns = [Int32Builder::new(), Int32Builder::new(), Int32Builder::new()];
    for at in 0..own.len() {
        let known = if low.is_null(at) { None } else { labels.get(&id(high, low, at)) };
        shown.append_value(known.is_some());
        columns[0].append_option(known.map(|l| l.click));
        columns[1].append_option(known.and_then(|l| l.conversion));
        columns[2].append_option(known.and_then(|l| l.post_click));
    }
    let mut all: Vec<ArrayRef> = vec![Arc::new(shown.finish())];
    all.extend(columns.map(|mut column| Arc::new(column.finish()) as ArrayRef));
    Ok(all)
}
