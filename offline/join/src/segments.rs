//! Reads the Avro segments of a decision log into record batches, events and orders.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, Int32Array, Int64Array, RecordBatch};
use arrow_avro::reader::{Reader, ReaderBuilder};
use arrow_avro::schema::AvroSchema;

use crate::record::{Event, EventKind, OrderKind, OrderRecord, flag};

pub(crate) const DECISION: &str = include_str!("../../../src/decision_log/schema/decision.avsc");
const SLATE: &str = include_str!("../../../src/decision_log/schema/slate.avsc");
pub(crate) const EVENT: &str = include_str!("../../../src/decision_log/schema/event.avsc");

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
/// Where a record was written. What comes of a decision does not depend on it.
const LINEAGE: [&str; 3] = ["run", "ring", "seq"];

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Decisions,
    Slates,
    Events,
}

/// A segment, open.
pub(crate) struct Segment {
    pub(crate) stream: Stream,
    path: PathBuf,
    reader: Reader<BufReader<File>>,
}

/// The segments under a directory, or one file: whatever ends in `.avro` and does not begin with `_` or a dot.
pub(crate) fn list(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let what = || format!("cannot read {}", path.display());
    if std::fs::metadata(path).with_context(what)?.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(['_', '.']) {
            continue;
        }
        if entry.file_type().with_context(what)?.is_dir() {
            list(&entry.path(), found)?;
        } else if name.ends_with(".avro") {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Refuses a file that does not end with its sync marker: the reader would pass over what is left of its last block.
fn whole(path: &Path, sync: &[u8; 16]) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::open(path)?;
    let mut end = [0; 16];
    file.read_exact_at(&mut end, file.metadata()?.len().saturating_sub(16))?;
    ensure!(end == *sync, "it ends within a block: `adclick log recover` cuts it after its last whole one");
    Ok(())
}

fn reader_schema(text: &str) -> Result<AvroSchema> {
    let mut schema: serde_json::Value = serde_json::from_str(text)?;
    let fields = schema["fields"].as_array_mut().context("a schema without fields")?;
    fields.retain(|field| !LINEAGE.iter().any(|name| field["name"] == *name));
    Ok(AvroSchema::new(schema.to_string()))
}

impl Segment {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let what = || format!("cannot read {} as Avro", path.display());
        let open = || -> Result<_> { Ok(BufReader::with_capacity(1 << 18, File::open(path)?)) };
        let plain = ReaderBuilder::new().build(open().with_context(what)?).with_context(what)?;
        let sync = plain.avro_header().sync();
        whole(path, &sync).with_context(what)?;
        let names: HashSet<String> = plain.schema().fields().iter().map(|f| f.name().clone()).collect();
        let has = |name: &str| names.contains(name);
        let (stream, schema) = if has("received_us") && has("kind") {
            (Stream::Events, EVENT)
        } else if has("candidates") {
            (Stream::Slates, SLATE)
        } else if has("price_micros") && has("impression_id") {
            (Stream::Decisions, DECISION)
        } else {
            bail!("{}: no decisions, slates or events (docs/logs.md says what these hold)", path.display());
        };
        let builder = ReaderBuilder::new().with_batch_size(BATCH_ROWS).with_reader_schema(reader_schema(schema)?);
        Ok(Self {
            stream,
            path: path.to_owned(),
            reader: builder.build(open().with_context(what)?).with_context(what)?,
        })
    }

    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.reader.next().transpose().with_context(|| format!("cannot read {} to its end", self.path.display()))
    }
}

/// A column of 64-bit integers.
pub(crate) fn longs<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int64Array> {
    let column = batch.column_by_name(name).with_context(|| format!("no column `{name}`"))?;
    column
        .as_primitive_opt::<Int64Type>()
        .with_context(|| format!("column `{name}` is {}, expected long", column.data_type()))
}

/// A column of 32-bit integers.
pub(crate) fn ints<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a Int32Array> {
    let column = batch.column_by_name(name).with_context(|| format!("no column `{name}`"))?;
    column
        .as_primitive_opt::<Int32Type>()
        .with_context(|| format!("column `{name}` is {}, expected int", column.data_type()))
}

/// A value, 0 when it is null.
pub(crate) fn or_zero(column: &Int64Array, row: usize) -> i64 {
    if column.is_null(row) { 0 } else { column.value(row) }
}

fn int_or_zero(column: &Int32Array, row: usize) -> i32 {
    if column.is_null(row) { 0 } else { column.value(row) }
}

/// An impression id from its halves; 0 = none.
pub(crate) fn id(high: &Int64Array, low: &Int64Array, row: usize) -> u128 {
    (u128::from(or_zero(high, row) as u64) << 64) | u128::from(or_zero(low, row) as u64)
}

/// What a batch of events holds.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) events: Vec<Event>,
    pub(crate) orders: Vec<OrderRecord>,
    /// Conversions that name a forged impression.
    pub(crate) forged: Vec<OrderRecord>,
    /// Events of kinds that this version does not know.
    pub(crate) unknown: u64,
    /// The latest time at which a server recorded one.
    pub(crate) latest_us: i64,
}

/// The events and orders of a batch.
pub(crate) fn events(batch: &RecordBatch) -> Result<Events> {
    let long = |name| longs(batch, name);
    let int = |name| ints(batch, name);
    let (time, received, kind) = (long("time_us")?, long("received_us")?, int("kind")?);
    let (low, high) = (long("impression_id")?, long("impression_id_high")?);
    let (own, click, user) = (long("event_id")?, long("click_id")?, long("user")?);
    let (advertiser, order, value) = (long("advertiser")?, long("order_id")?, long("value_micros")?);
    let (order_kind, type_) = (int("conversion_kind")?, int("conversion_type")?);
    let (duration, feedback, ip) = (long("duration_us")?, int("feedback")?, long("ip_class")?);
    let (agent, flags) = (int("agent_class")?, int("flags")?);
    let mut found = Events { latest_us: i64::MIN, ..Events::default() };
    for row in 0..batch.num_rows() {
        found.latest_us = found.latest_us.max(received.value(row));
        let time_us = time.value(row);
        let impression = id(high, low, row);
        let flags = flags.value(row);
        if kind.value(row) == 5 {
            let Some(kind) = OrderKind::of(int_or_zero(order_kind, row)) else {
                found.unknown += 1;
                continue;
            };
            let record = OrderRecord {
                advertiser: or_zero(advertiser, row),
                order: or_zero(order, row),
                kind,
                time_us,
                impression,
                click: or_zero(click, row),
                user: or_zero(user, row),
                value: or_zero(value, row),
                type_: int_or_zero(type_, row),
            };
            let forged = flags & i32::from(flag::FORGED) != 0;
            if forged { &mut found.forged } else { &mut found.orders }.push(record);
            continue;
        }
        let Some(kind) = EventKind::of(kind.value(row)) else {
            found.unknown += 1;
            continue;
        };
        let value = match kind {
            EventKind::Impression | EventKind::Click => 0,
            EventKind::Viewable | EventKind::Dwell if duration.is_null(row) => -1,
            EventKind::Viewable | EventKind::Dwell => duration.value(row),
            EventKind::Feedback => int_or_zero(feedback, row).into(),
        };
        let click = if kind == EventKind::Click { or_zero(own, row) } else { 0 };
        let agent = u8::try_from(agent.value(row)).unwrap_or(crate::record::agent::INVALID);
        // Server and join agree on these bits; the others are for people.
        let flags = flags as u8 & (flag::FORGED | flag::EXPIRED);
        found.events.push(Event { id: impression, kind, time_us, click, value, ip: or_zero(ip, row), agent, flags });
    }
    Ok(found)
}
