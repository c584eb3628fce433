//! Reads an hour's decisions and events from the state, whole or in parts that fit in memory.

use std::fs::File;
use std::io::BufReader;

use anyhow::{Context, Result};
use arrow_array::{RecordBatch, UInt32Array};
use arrow_ipc::reader::StreamReader;
use arrow_select::take::take_record_batch;

use crate::hour::{Hour, resolve};
use crate::ingest::BatchFile;
use crate::options::Options;
use crate::record::{Decision, place};
use crate::segments::{id, ints, longs, or_zero};
use crate::store::{DecisionFile, HourState, Store, read_events};

/// Decisions of one part at most, about.
const PART_ROWS: u64 = 1 << 18;
/// Files of an hour that are read without making one of them first.
const FILES: usize = 16;

/// A part of an hour: those decisions whose [`place`] begins with these bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) depth: u32,
    pub(crate) part: u32,
}

impl Part {
    fn of(place: u64, depth: u32) -> u32 {
        if depth == 0 { 0 } else { (place >> (64 - depth)) as u32 }
    }

    pub(crate) fn has(self, id: u128) -> bool {
        Self::of(place(id), self.depth) == self.part
    }
}

/// The parts of an hour, in the order of their rows.
pub(crate) fn parts(state: &HourState, part_rows: u64) -> impl Iterator<Item = Part> + use<> {
    let depth = depth(state, part_rows);
    (0..1 << depth).map(move |part| Part { depth, part })
}

fn depth(state: &HourState, part_rows: u64) -> u32 {
    let rows: u64 = state.decisions.iter().map(|f| f.rows).sum();
    rows.div_ceil(part_rows.max(1)).next_power_of_two().trailing_zeros().min(16)
}

/// The rows of a part, unless set otherwise.
pub(crate) fn part_rows() -> u64 {
    PART_ROWS
}

/// The batches of a file of the state; `columns`: only those.
pub(crate) fn batches(store: &Store, name: &str, columns: Option<&[&str]>) -> Result<StreamReader<BufReader<File>>> {
    let path = store.path(name);
    let what = || format!("cannot read {}", path.display());
    let open = || -> Result<_> { Ok(BufReader::with_capacity(1 << 18, File::open(&path)?)) };
    let reader = StreamReader::try_new(open().with_context(what)?, None).with_context(what)?;
    let Some(columns) = columns else { return Ok(reader) };
    let schema = reader.schema();
    let places =
        columns.iter().map(|name| Ok(schema.index_of(name)?)).collect::<Result<Vec<_>>>().with_context(what)?;
    StreamReader::try_new(open().with_context(what)?, Some(places)).with_context(what)
}

/// Brings the files of an hour into a form in which each part can be read alone: few files, divided if they are large.
pub(crate) fn compact(store: &Store, state: &mut HourState, part_rows: u64) -> Result<()> {
    let depth = depth(state, part_rows);
    let divided = state.decisions.iter().all(|f| f.depth == depth);
    if divided && (depth > 0 || state.decisions.len() <= FILES) || depth == 0 && state.decisions.len() <= FILES {
        return Ok(());
    }
    let mut files: Vec<Option<(String, BatchFile)>> = (0..1 << depth).map(|_| None).collect();
    for file in &state.decisions {
        for batch in batches(store, &file.name, None)? {
            let batch = batch?;
            let (high, low) = (longs(&batch, "impression_id_high")?, longs(&batch, "impression_id")?);
            let mut rows = vec![Vec::new(); 1 << depth];
            for row in 0..batch.num_rows() {
                rows[Part::of(place(id(high, low, row)), depth) as usize].push(row as u32);
            }
            for (file, rows) in files.iter_mut().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
                let part = take_record_batch(&batch, &UInt32Array::from(rows))?;
                if file.is_none() {
                    let (name, path) = store.make("decisions");
                    *file = Some((name, BatchFile::create(&path, &part)?));
                }
                file.as_mut().context("just made")?.1.push(part)?;
            }
        }
    }
    state.decisions.clear();
    for (part, file) in files.into_iter().enumerate() {
        if let Some((name, file)) = file {
            state.decisions.push(DecisionFile { name, rows: file.finish()?, depth, part: part as u32 });
        }
    }
    Ok(())
}

const NARROW: [&str; 7] = ["time_us", "user", "ad", "advertiser", "slot", "impression_id", "impression_id_high"];

/// The decisions of a part; `whole`: with all columns, in the batches that they point into.
pub(crate) fn decisions(
    store: &Store,
    state: &HourState,
    part: Part,
    whole: bool,
) -> Result<(Vec<Decision>, Vec<RecordBatch>)> {
    let (mut found, mut kept) = (Vec::new(), Vec::new());
    let files = state.decisions.iter().filter(|f| f.depth == 0 || (f.depth, f.part) == (part.depth, part.part));
    for file in files {
        for batch in batches(store, &file.name, if whole { None } else { Some(&NARROW) })? {
            let batch = batch?;
            let before = found.len();
            narrow(&batch, kept.len() as u32, &mut found)?;
            if file.depth == 0 && part.depth > 0 {
                let mut at = before;
                found.retain(|d: &Decision| {
                    at += 1;
                    at <= before || part.has(d.id)
                });
            }
            if whole {
                kept.push(batch);
            }
        }
    }
    Ok((found, kept))
}

fn narrow(batch: &RecordBatch, number: u32, out: &mut Vec<Decision>) -> Result<()> {
    let (time, user, ad) = (longs(batch, "time_us")?, longs(batch, "user")?, longs(batch, "ad")?);
    let (advertiser, slot) = (longs(batch, "advertiser")?, ints(batch, "slot")?);
    let (high, low) = (longs(batch, "impression_id_high")?, longs(batch, "impression_id")?);
    out.extend((0..batch.num_rows()).map(|row| Decision {
        id: id(high, low, row),
        time_us: time.value(row),
        user: or_zero(user, row),
        advertiser: or_zero(advertiser, row),
        ad: or_zero(ad, row),
        slot: if arrow_array::Array::is_null(slot, row) { 0 } else { slot.value(row) },
        batch: number,
        row: row as u32,
    }));
    Ok(())
}

/// A part of an hour, joined but not yet judged, and the batches of its decisions.
pub(crate) fn join(
    store: &Store,
    options: &Options,
    state: &HourState,
    part: Part,
    whole: bool,
) -> Result<(Hour, Vec<RecordBatch>)> {
    let (decisions, batches) = decisions(store, state, part, whole)?;
    let mut events = Vec::new();
    for name in &state.events {
        read_events(&store.path(name), |event| {
            if part.has(event.id) {
                events.push(event);
            }
        })?;
    }
    Ok((resolve(options, decisions, events), batches))
}
