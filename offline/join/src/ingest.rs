//! From segments to the state: decisions and slates by their hour, events by the hour in which they happened.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use adclick_data::progress::JobStage;
use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;

use crate::counts::Counts;
use crate::record::{Event, OrderRecord, hour};
use crate::segments::{Segment, Stream, events, longs};
use crate::store::Store;

/// Rows that wait until a batch of them is written.
const BATCH_ROWS: usize = 8192;
/// Files open at once, of each kind.
const OPEN: usize = 96;

/// A file of record batches that is being written.
pub(crate) struct BatchFile {
    writer: StreamWriter<BufWriter<File>>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    pub(crate) rows: u64,
}

impl BatchFile {
    pub(crate) fn create(path: &std::path::Path, batch: &RecordBatch) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("{} is not written", path.display()))?;
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let writer = StreamWriter::try_new_with_options(BufWriter::new(file), &batch.schema(), options)?;
        Ok(Self { writer, waiting: Vec::new(), waiting_rows: 0, rows: 0 })
    }

    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if let Some(first) = self.waiting.first() {
            self.writer.write(&concat_batches(&first.schema(), &self.waiting)?)?;
        }
        self.waiting.clear();
        self.waiting_rows = 0;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.writer.finish()?;
        self.writer.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        Ok(self.rows)
    }
}

/// Batches by hour.
struct ByHour<'a> {
    store: &'a Store,
    kind: &'static str,
    open: HashMap<i64, (String, BatchFile)>,
    /// Hour, name, rows.
    closed: Vec<(i64, String, u64)>,
}

impl ByHour<'_> {
    fn push(&mut self, hour: i64, batch: RecordBatch) -> Result<()> {
        if !self.open.contains_key(&hour) {
            if self.open.len() >= OPEN {
                self.close()?;
            }
            let (name, path) = self.store.make(self.kind);
            self.open.insert(hour, (name, BatchFile::create(&path, &batch)?));
        }
        let (_, file) = self.open.get_mut(&hour).context("just made")?;
        file.push(batch)
    }

    fn close(&mut self) -> Result<()> {
        for (hour, (name, file)) in self.open.drain() {
            self.closed.push((hour, name, file.finish()?));
        }
        Ok(())
    }
}

/// Events by hour.
pub(crate) struct EventsByHour<'a> {
    store: &'a Store,
    kind: &'static str,
    open: HashMap<i64, (String, BufWriter<File>)>,
    closed: Vec<(i64, String)>,
    buffer: Vec<u8>,
}

impl<'a> EventsByHour<'a> {
    pub(crate) fn new(store: &'a Store, kind: &'static str) -> Self {
        Self { store, kind, open: HashMap::new(), closed: Vec::new(), buffer: Vec::new() }
    }

    pub(crate) fn push(&mut self, hour: i64, event: &Event) -> Result<()> {
        if !self.open.contains_key(&hour) {
            if self.open.len() >= OPEN {
                self.close()?;
            }
            let (name, path) = self.store.make(self.kind);
            let file = File::create(&path).with_context(|| format!("{} is not written", path.display()))?;
            self.open.insert(hour, (name, BufWriter::with_capacity(1 << 16, file)));
        }
        let (_, file) = self.open.get_mut(&hour).context("just made")?;
        self.buffer.clear();
        event.encode(&mut self.buffer);
        file.write_all(&self.buffer).context("a file of events is not written")
    }

    fn close(&mut self) -> Result<()> {
        for (hour, (name, file)) in self.open.drain() {
            file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|f| f.sync_all())?;
            self.closed.push((hour, name));
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Vec<(i64, String)>> {
        self.close()?;
        Ok(self.closed)
    }
}

/// What a run's segments held.
#[derive(Default)]
pub(crate) struct Ingested {
    /// Hour, name, rows.
    pub(crate) decisions: Vec<(i64, String, u64)>,
    pub(crate) slates: Vec<(i64, String, u64)>,
    /// By the hour of the event: their decisions are not looked for yet.
    pub(crate) events: Vec<(i64, String)>,
    pub(crate) orders: Vec<OrderRecord>,
    pub(crate) forged: Vec<OrderRecord>,
    pub(crate) read: Counts,
    pub(crate) elsewhere: Counts,
    pub(crate) latest_us: i64,
}

/// Reads segments, on `threads` threads.
pub(crate) fn ingest(store: &Store, paths: &[PathBuf], threads: usize, stage: &JobStage) -> Result<Ingested> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Ingested { latest_us: i64::MIN, ..Ingested::default() }));
    crate::parallel::run(threads, || {
        let mut decisions = ByHour { store, kind: "decisions", open: HashMap::new(), closed: Vec::new() };
        let mut slates = ByHour { store, kind: "slates", open: HashMap::new(), closed: Vec::new() };
        let mut by_hour = EventsByHour::new(store, "events");
        let mut mine = Ingested { latest_us: i64::MIN, ..Ingested::default() };
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut segment = Segment::open(path)?;
            while let Some(batch) = segment.next()? {
                let what = || path.display().to_string();
                match segment.stream {
                    Stream::Decisions => mine.decided(&batch, &mut decisions).with_context(what)?,
                    Stream::Slates => {
                        mine.read.add("slate", batch.num_rows() as u64);
                        split(&batch, &mut slates).with_context(what)?;
                    }
                    Stream::Events => mine.happened(&batch, &mut by_hour).with_context(what)?,
                }
            }
        }
        decisions.close()?;
        slates.close()?;
        mine.decisions = decisions.closed;
        mine.slates = slates.closed;
        mine.events = by_hour.finish()?;
        all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).merge(mine);
        Ok(())
    })?;
    stage.check()?;
    Ok(all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

impl Ingested {
    fn merge(&mut self, mut other: Self) {
        self.decisions.append(&mut other.decisions);
        self.slates.append(&mut other.slates);
        self.events.append(&mut other.events);
        self.orders.append(&mut other.orders);
        self.forged.append(&mut other.forged);
        self.read.merge(&other.read);
        self.elsewhere.merge(&other.elsewhere);
        self.latest_us = self.latest_us.max(other.latest_us);
    }

    fn decided(&mut self, batch: &RecordBatch, out: &mut ByHour<'_>) -> Result<()> {
        let (ad, low, time) = (longs(batch, "ad")?, longs(batch, "impression_id")?, longs(batch, "time_us")?);
        self.read.add("decision", batch.num_rows() as u64);
        self.latest_us = self.latest_us.max(time.values().iter().copied().max().unwrap_or(i64::MIN));
        let won: Vec<u32> = (0..batch.num_rows()).filter(|&row| !ad.is_null(row)).map(|row| row as u32).collect();
        let named: Vec<u32> = won.iter().copied().filter(|&row| !low.is_null(row as usize)).collect();
        self.elsewhere.add("decision.no_winner", (batch.num_rows() - won.len()) as u64);
        self.elsewhere.add("decision.no_impression_id", (won.len() - named.len()) as u64);
        if named.len() == batch.num_rows() {
            return split(batch, out);
        }
        split(&take_record_batch(batch, &UInt32Array::from(named))?, out)
    }

    fn happened(&mut self, batch: &RecordBatch, out: &mut EventsByHour<'_>) -> Result<()> {
        let mut found = events(batch)?;
        self.latest_us = self.latest_us.max(found.latest_us);
        for event in &found.events {
            self.read.add(event.kind.name(), 1);
            out.push(hour(event.time_us), event)?;
        }
        self.read.add("conversion", (found.orders.len() + found.forged.len()) as u64);
        self.read.add("unknown", found.unknown);
        self.elsewhere.add("unknown.unknown_kind", found.unknown);
        self.elsewhere.add("conversion.forged", found.forged.len() as u64);
        self.orders.append(&mut found.orders);
        self.forged.append(&mut found.forged);
        Ok(())
    }
}

/// Sends the rows of a batch to the files of their hours.
fn split(batch: &RecordBatch, out: &mut ByHour<'_>) -> Result<()> {
    let times =
        batch.column_by_name("time_us").and_then(|c| c.as_primitive_opt::<Int64Type>()).context("no time_us")?;
    let mut rows: HashMap<i64, Vec<u32>> = HashMap::new();
    for (row, &time) in times.values().iter().enumerate() {
        rows.entry(hour(time)).or_default().push(row as u32);
    }
    for (hour, rows) in rows {
        let part = if rows.len() == batch.num_rows() {
            batch.clone()
        } else {
            take_record_batch(batch, &UInt32Array::from(rows))?
        };
        out.push(hour, part)?;
    }
    Ok(())
}
