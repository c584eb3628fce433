//! Closed segments to Parquet, by stream, day and hour.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fs;
use std::path::{Path, PathBuf};

use adclick::builder::files::TempFile;
use anyhow::{Context, Result, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::segments::{STREAMS, Segment, check, list, read};

const HOUR_US: i64 = 3_600_000_000;

/// What became of a log's segments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments turned into Parquet now.
    pub segments: u64,
    /// Those that had been already.
    pub skipped: u64,
    /// Files written.
    pub files: u64,
    /// Records in them.
    pub records: u64,
    /// Segments removed.
    pub removed: u64,
}

/// The folder of an hour.
fn folder(out: &Path, stream: &str, hour: i64) -> Result<PathBuf> {
    let time = Timestamp::from_microsecond(hour * HOUR_US).context("a time that no calendar has")?;
    let part = time.strftime("day=%Y-%m-%d/hour=%H").to_string();
    Ok(out.join(stream).join(part))
}

/// Writes each closed segment's records to `OUT/STREAM/day=…/hour=…/SEGMENT.parquet`, by the records' time in UTC. A segment
/// that is there is skipped, so it can run as often as wanted; a run that was cut short is made good by the next. With `remove`,
/// segments go once they are safe in Parquet.
///
/// # Errors
/// A directory that is no log's; a segment that cannot be read, named; a file that cannot be written.
pub fn compact(root: &Path, out: &Path, remove: bool) -> Result<Compacted> {
    check(root)?;
    let mut done = Compacted::default();
    for stream in STREAMS {
        for segment in list(root, stream)?.0 {
            let mark = out.join(stream).join("_done").join(&segment.name);
            if mark.exists() {
                done.skipped += 1;
            } else {
                let (files, records) = one(&segment, stream, out)?;
                fs::create_dir_all(out.join(stream).join("_done"))?;
                fs::File::create(&mark)
                    .and_then(|file| file.sync_all())
                    .with_context(|| format!("cannot write {}", mark.display()))?;
                done.segments += 1;
                done.files += files;
                done.records += records;
            }
            if remove {
                fs::remove_file(&segment.path).with_context(|| format!("cannot remove {}", segment.path.display()))?;
                done.removed += 1;
            }
        }
    }
    Ok(done)
}

/// A file that is being written.
struct Part {
    writer: ArrowWriter<fs::File>,
    beside: TempFile,
    path: PathBuf,
}

/// Files and records of one segment.
fn one(segment: &Segment, stream: &str, out: &Path) -> Result<(u64, u64)> {
    let (mut parts, mut records) = (BTreeMap::<i64, Part>::new(), 0);
    for batch in read(&segment.path, stream)? {
        let batch = batch?;
        records += batch.num_rows() as u64;
        for (hour, rows) in by_hour(&batch)? {
            let part = match parts.entry(hour) {
                Entry::Occupied(part) => part.into_mut(),
                Entry::Vacant(place) => place.insert(begin(&folder(out, stream, hour)?, segment, &batch)?),
            };
            part.writer.write(&rows)?;
        }
    }
    let files = parts.len() as u64;
    for Part { writer, beside, path } in parts.into_values() {
        writer.close().with_context(|| format!("cannot write {}", path.display()))?;
        beside.rename_to(&path)?;
    }
    Ok((files, records))
}

fn begin(folder: &Path, segment: &Segment, batch: &RecordBatch) -> Result<Part> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(segment.name.replace(".avro", ".parquet"));
    let beside = TempFile::make(&path)?;
    let writer = ArrowWriter::try_new(beside.file().try_clone()?, batch.schema(), Some(properties()?))?;
    Ok(Part { writer, beside, path })
}

pub(super) fn properties() -> Result<WriterProperties> {
    Ok(WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build())
}

/// The rows of each hour.
fn by_hour(batch: &RecordBatch) -> Result<Vec<(i64, RecordBatch)>> {
    let times = batch.column_by_name("time_us").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let hours: Vec<i64> =
        times.context("no column time_us")?.values().iter().map(|us| us.div_euclid(HOUR_US)).collect();
    let mut distinct = hours.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let rows = |hour: i64| {
        let mask: BooleanArray = hours.iter().map(|h| Some(*h == hour)).collect();
        Ok((hour, filter_record_batch(batch, &mask)?))
    };
    distinct.into_iter().map(rows).collect()
}

/// Removes the days of compacted logs before a day, `YYYY-MM-DD`. Returns the folders that went.
///
/// # Errors
/// A day that is none, or a folder that cannot be removed.
pub fn expire(out: &Path, before: &str) -> Result<Vec<PathBuf>> {
    let day: Result<jiff::civil::Date, _> = before.parse();
    ensure!(day.is_ok() && before.len() == 10, "\"{before}\" is no day: expected YYYY-MM-DD");
    let mut gone = Vec::new();
    for stream in STREAMS {
        let Ok(entries) = fs::read_dir(out.join(stream)) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("day="));
            if name.is_some_and(|name| name < before) {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
                gone.push(path);
            }
        }
    }
    gone.sort();
    Ok(gone)
}
