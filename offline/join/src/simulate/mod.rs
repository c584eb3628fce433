//! Logs with known truth, in the schemas of docs/logs.md: for tests, examples and measurements of the join.

mod market;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow_array::builder::{Float32Builder, Float64Builder, Int32Builder, Int64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_avro::compression::CompressionCodec;
use arrow_avro::schema::{AVRO_NAME_METADATA_KEY, AVRO_NAMESPACE_METADATA_KEY};
use arrow_avro::writer::format::AvroOcfFormat;
use arrow_avro::writer::{AvroWriter, WriterBuilder};
use arrow_schema::{DataType, Field, Schema};

use crate::segments::{DECISION, EVENT};

pub use market::{Market, Truth};

/// A decision as it is logged, as far as the simulation says something of it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DecisionRow {
    /// When.
    pub time_us: i64,
    /// The request.
    pub request_id: i64,
    /// The user's key.
    pub user: Option<i64>,
    /// The ad; none = nobody won.
    pub ad: Option<i64>,
    /// Its campaign.
    pub campaign: Option<i64>,
    /// Its advertiser.
    pub advertiser: Option<i64>,
    /// The slot.
    pub slot: i32,
    /// The placement.
    pub placement: i32,
    /// The impression id.
    pub id: u128,
    /// The predicted probability of a click.
    pub pctr: f32,
    /// The price, in micros.
    pub price: i64,
    /// The probability with which the ad was put there.
    pub propensity: f64,
    /// The share of slates that is logged, where this request's is.
    pub slate_share: Option<f64>,
}

/// An event as it is logged. Fields have the names of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[allow(missing_docs, reason = "docs/logs.md says what they mean")]
pub struct EventRow {
    pub received_us: i64,
    pub time_us: i64,
    pub kind: i32,
    pub id: Option<u128>,
    pub event_id: Option<i64>,
    pub click_id: Option<i64>,
    pub user: Option<i64>,
    pub advertiser: Option<i64>,
    pub order_id: Option<i64>,
    pub conversion_kind: Option<i32>,
    pub conversion_type: Option<i32>,
    pub value_micros: Option<i64>,
    pub duration_us: Option<i64>,
    pub feedback: Option<i32>,
    pub ip_class: Option<i64>,
    pub agent_class: i32,
    pub flags: i32,
}

/// A record of a log.
pub trait Record {
    /// Its Avro schema.
    const SCHEMA: &'static str;
    /// The value of a field that is an integer; none = null, or 0 where there is no null.
    fn long(&self, field: &str) -> Option<i64>;
    /// The value of a field that is a number with a fraction.
    fn double(&self, field: &str) -> Option<f64>;
}

impl Record for DecisionRow {
    const SCHEMA: &'static str = DECISION;

    fn long(&self, field: &str) -> Option<i64> {
        let won = self.ad.is_some();
        match field {
            "time_us" => Some(self.time_us),
            "request_id" => Some(self.request_id),
            "user" => self.user,
            "ad" => self.ad,
            "campaign" => self.campaign,
            "advertiser" => self.advertiser,
            "placement" => Some(self.placement.into()),
            "n_winners" => Some(won.into()),
            "slot" if won => Some(self.slot.into()),
            "impression_id" if won => Some(self.id as i64),
            "impression_id_high" if won => Some((self.id >> 64) as i64),
            "price_micros" if won => Some(self.price),
            "bid_kind" if won => Some(1),
            _ => None,
        }
    }

    fn double(&self, field: &str) -> Option<f64> {
        match field {
            "pctr" if self.ad.is_some() => Some(self.pctr.into()),
            "propensity" if self.ad.is_some() => Some(self.propensity),
            "slate_share" => self.slate_share,
            "weight" => Some(1.0),
            _ => None,
        }
    }
}

impl Record for EventRow {
    const SCHEMA: &'static str = EVENT;

    fn long(&self, field: &str) -> Option<i64> {
        match field {
            "received_us" => Some(self.received_us),
            "time_us" => Some(self.time_us),
            "kind" => Some(self.kind.into()),
            "impression_id" => self.id.map(|id| id as i64),
            "impression_id_high" => self.id.map(|id| (id >> 64) as i64),
            "event_id" => self.event_id,
            "click_id" => self.click_id,
            "user" => self.user,
            "advertiser" => self.advertiser,
            "order_id" => self.order_id,
            "conversion_kind" => self.conversion_kind.map(Into::into),
            "conversion_type" => self.conversion_type.map(Into::into),
            "value_micros" => self.value_micros,
            "duration_us" => self.duration_us,
            "feedback" => self.feedback.map(Into::into),
            "ip_class" => self.ip_class,
            "agent_class" => Some(self.agent_class.into()),
            "flags" => Some(self.flags.into()),
            _ => None,
        }
    }

    fn double(&self, _: &str) -> Option<f64> {
        None
    }
}

/// Writes records as a segment.
pub struct SegmentWriter<R> {
    writer: AvroWriter<BufWriter<File>>,
    schema: Arc<Schema>,
    waiting: Vec<R>,
    seq: i64,
}

/// Records of a block.
const BLOCK: usize = 4096;

impl<R: Record> SegmentWriter<R> {
    /// Begins a segment.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let document: serde_json::Value = serde_json::from_str(R::SCHEMA)?;
        let mut fields = Vec::new();
        for field in document["fields"].as_array().context("a schema without fields")? {
            let (kind, nullable) = match &field["type"] {
                serde_json::Value::Array(kinds) => (&kinds[1], true),
                kind => (kind, false),
            };
            let kind = match kind.as_str() {
                Some("long") => DataType::Int64,
                Some("int") => DataType::Int32,
                Some("float") => DataType::Float32,
                Some("double") => DataType::Float64,
                _ => bail!("{kind} is no plain type"),
            };
            fields.push(Field::new(field["name"].as_str().unwrap_or_default(), kind, nullable));
        }
        let name = |key: &str| document[key].as_str().unwrap_or_default().to_owned();
        let metadata = std::collections::HashMap::from([
            (AVRO_NAME_METADATA_KEY.to_owned(), name("name")),
            (AVRO_NAMESPACE_METADATA_KEY.to_owned(), name("namespace")),
        ]);
        let schema = Schema::new_with_metadata(fields, metadata);
        let file = BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?);
        let builder = WriterBuilder::new(schema.clone()).with_compression(Some(CompressionCodec::Snappy));
        let writer = builder.build::<_, AvroOcfFormat>(file)?;
        Ok(Self { writer, schema: Arc::new(schema), waiting: Vec::new(), seq: 0 })
    }

    /// Adds a record.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn push(&mut self, record: R) -> Result<()> {
        self.waiting.push(record);
        if self.waiting.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        macro_rules! column {
            ($builder:ident, $value:expr, $field:expr) => {{
                let mut column = $builder::with_capacity(self.waiting.len());
                for (at, record) in self.waiting.iter().enumerate() {
                    let value = $value(record, at as i64);
                    column.append_option(if $field.is_nullable() { value } else { Some(value.unwrap_or_default()) });
                }
                Arc::new(column.finish()) as ArrayRef
            }};
        }
        let mut columns = Vec::new();
        for field in self.schema.fields() {
            let name = field.name().as_str();
            let seq = self.seq;
            let long = |r: &R, at: i64| if name == "seq" { Some(seq + at) } else { r.long(name) };
            columns.push(match field.data_type() {
                DataType::Int64 => column!(Int64Builder, long, field),
                DataType::Int32 => column!(Int32Builder, |r: &R, _: i64| r.long(name).map(|n| n as i32), field),
                DataType::Float32 => column!(Float32Builder, |r: &R, _: i64| r.double(name).map(|n| n as f32), field),
                _ => column!(Float64Builder, |r: &R, _: i64| r.double(name), field),
            });
        }
        if !self.waiting.is_empty() {
            self.writer.write(&RecordBatch::try_new(self.schema.clone(), columns)?)?;
        }
        self.seq += self.waiting.len() as i64;
        self.waiting.clear();
        Ok(())
    }

    /// Ends the segment.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.finish()?;
        Ok(())
    }
}

/// Writes records as one segment.
///
/// # Errors
/// A file that cannot be written.
pub fn write<R: Record + Copy>(path: &Path, records: &[R]) -> Result<()> {
    let mut out = SegmentWriter::create(path)?;
    records.iter().try_for_each(|record| out.push(*record))?;
    out.finish()
}
