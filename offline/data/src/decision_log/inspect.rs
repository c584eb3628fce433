//! What a log holds and what it lacks.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use serde::Serialize;

use super::segments::{STREAMS, check, list, read};

/// Gaps that are listed one by one; all are counted.
const MOST_GAPS: usize = 100;

/// What a log holds.
#[derive(Debug, Default, Serialize)]
pub struct Inspection {
    /// By stream.
    pub streams: Vec<StreamInspection>,
}

/// What a stream holds.
#[derive(Debug, Default, Serialize)]
pub struct StreamInspection {
    /// Its name.
    pub stream: String,
    /// Closed segments.
    pub segments: u64,
    /// Segments that are being written, or that a process left open.
    pub open: u64,
    /// Bytes of the closed segments.
    pub bytes: u64,
    /// Their records, each once.
    pub records: u64,
    /// Records that stand there more than once, counted without the first.
    pub repeated: u64,
    /// Numbers that are missing between others: records that were lost, or whose segments are not here.
    pub missing: u64,
    /// Losses that runs told of, in `runs`. More than `missing` when the last records of a ring were lost.
    pub told_lost: u64,
    /// The earliest and the latest time of the records, in µs.
    pub from_us: Option<i64>,
    /// The latest.
    pub to_us: Option<i64>,
    /// The longest time between a segment's last record and its last write, in µs: how late records became readable.
    pub lag_us: i64,
    /// The first gaps.
    pub gaps: Vec<Gap>,
    /// Each closed segment: name, records, bytes.
    pub by_segment: Vec<(String, u64, u64)>,
}

/// Numbers of a ring that are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The run, in hexadecimal digits.
    pub run: String,
    /// The ring.
    pub ring: i32,
    /// The first missing number.
    pub from: i64,
    /// How many are missing.
    pub count: u64,
}

/// The numbers seen of one ring, as ranges: first to last.
#[derive(Default)]
struct Seen(BTreeMap<i64, i64>);

impl Seen {
    /// False when it was seen before.
    fn add(&mut self, n: i64) -> bool {
        let before = self.0.range(..=n).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| n <= last) {
            return false;
        }
        let first = before.filter(|(_, last)| last + 1 == n).map_or(n, |(first, _)| first);
        let last = self.0.remove(&(n + 1)).unwrap_or(n);
        self.0.insert(first, last);
        true
    }

    /// First missing number and count of each gap; numbers begin with 0.
    fn gaps(&self) -> impl Iterator<Item = (i64, u64)> {
        let mut next = 0;
        self.0.iter().filter_map(move |(&first, &last)| {
            let from = std::mem::replace(&mut next, last + 1);
            (first > from).then_some((from, (first - from) as u64))
        })
    }
}

/// Reads all closed segments of a log, once.
///
/// # Errors
/// A directory that is no log's; a segment that cannot be read, named.
pub fn inspect(root: &Path) -> Result<Inspection> {
    check(root)?;
    let mut inspection = Inspection::default();
    for stream in STREAMS {
        inspection.streams.push(of_stream(root, stream)?);
    }
    tell_runs(root, &mut inspection)?;
    Ok(inspection)
}

fn of_stream(root: &Path, stream: &str) -> Result<StreamInspection> {
    let (segments, open) = list(root, stream)?;
    let mut told = StreamInspection { stream: stream.to_owned(), open: open as u64, ..Default::default() };
    let mut rings: BTreeMap<(i64, i32), Seen> = BTreeMap::new();
    // Decisions have one time; of events, that of the server counts for how late they are.
    let clock = if stream == "events" { "received_us" } else { "time_us" };
    for segment in segments {
        let (mut records, mut latest) = (0, None);
        for batch in read(&segment.path, stream)? {
            let batch = batch?;
            let long = |name: &str| {
                let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
                column.with_context(|| format!("{}: no column {name}", segment.name))
            };
            let (run, seq, time, clock) = (long("run")?, long("seq")?, long("time_us")?, long(clock)?);
            let ring = batch.column_by_name("ring").and_then(|column| column.as_primitive_opt::<Int32Type>());
            let ring = ring.with_context(|| format!("{}: no column ring", segment.name))?;
            for row in 0..batch.num_rows() {
                let new = rings.entry((run.value(row), ring.value(row))).or_default().add(seq.value(row));
                told.records += u64::from(new);
                told.repeated += u64::from(!new);
                records += 1;
                let time = time.value(row);
                told.from_us = Some(told.from_us.map_or(time, |from| from.min(time)));
                told.to_us = told.to_us.max(Some(time));
                latest = latest.max(Some(clock.value(row)));
            }
        }
        told.segments += 1;
        told.bytes += segment.bytes;
        told.lag_us = told.lag_us.max(latest.map_or(0, |latest| segment.modified_us.saturating_sub(latest)));
        told.by_segment.push((segment.name, records, segment.bytes));
    }
    for ((run, ring), seen) in &rings {
        for (from, count) in seen.gaps() {
            told.missing += count;
            if told.gaps.len() < MOST_GAPS {
                told.gaps.push(Gap { run: format!("{run:016x}"), ring: *ring, from, count });
            }
        }
    }
    Ok(told)
}

/// Adds what the runs say of themselves.
fn tell_runs(root: &Path, inspection: &mut Inspection) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(root.join("runs")) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = crate::files::read_text(&path)?;
        let run: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        for stream in &mut inspection.streams {
            stream.told_lost += run[&stream.stream]["lost"].as_u64().unwrap_or(0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_in_any_order() {
        let mut seen = Seen::default();
        for n in [5, 3, 4, 9, 0, 8, 3] {
            seen.add(n);
        }
        assert!(!seen.add(9) && !seen.add(4));
        assert_eq!(seen.gaps().collect::<Vec<_>>(), [(1, 2), (6, 2)]);
        assert_eq!(seen.0.len(), 3);
    }
}
