//! The segments of a log's directory, and their records as Arrow batches.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use adclick::builder::decision_log::{self, Recovered};
use anyhow::{Context, Result, ensure};
use arrow_array::RecordBatch;
use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::AvroSchema;

/// The streams of a log, as their folders are named.
pub const STREAMS: [&str; 3] = ["decisions", "slates", "events"];

/// Rows of a batch.
const BATCH: usize = 8192;

/// A file of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// When it was last written: microseconds since 1970-01-01 UTC.
    pub(super) modified_us: i64,
}

/// The closed segments of a stream by name, which is by time, and how many are open.
pub(super) fn list(root: &Path, stream: &str) -> Result<(Vec<Segment>, usize)> {
    let directory = root.join(stream);
    let (mut segments, mut open) = (Vec::new(), 0);
    let entries = match fs::read_dir(&directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((segments, open)),
        entries => entries.with_context(|| format!("cannot list {}", directory.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('_') && name.ends_with(".avro.open") {
            open += 1;
        } else if name.starts_with(&format!("{stream}-")) && name.ends_with(".avro") {
            let path = entry.path();
            let modified_us = crate::time::modified(&path)?;
            segments.push(Segment { bytes: entry.metadata()?.len(), name, path, modified_us });
        }
    }
    segments.sort();
    Ok((segments, open))
}

/// Whether a directory is that of a log.
pub(super) fn check(root: &Path) -> Result<()> {
    let there = STREAMS.iter().any(|stream| root.join(stream).is_dir());
    ensure!(there, "{}: no log is there: expected a directory with decisions, slates and events", root.display());
    Ok(())
}

/// A segment's records with the schema that this version has, one batch at a time.
pub(super) fn read(path: &Path, stream: &str) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let what = format!("cannot read {}", path.display());
    let file = BufReader::with_capacity(1 << 20, File::open(path).with_context(|| what.clone())?);
    let schema = decision_log::schema(stream).context("no such stream")?;
    let reader = ReaderBuilder::new().with_batch_size(BATCH).with_reader_schema(AvroSchema::new(schema.to_owned()));
    let reader = reader.build(file).with_context(|| what.clone())?;
    Ok(reader.map(move |batch| batch.with_context(|| what.clone())))
}

/// Closes the segments that processes left open: all streams of a log.
///
/// # Errors
/// A directory that is no log's, or a segment that cannot be closed.
pub fn recover(root: &Path) -> Result<Vec<Recovered>> {
    check(root)?;
    let mut all = Vec::new();
    for stream in STREAMS {
        all.extend(decision_log::recover(&root.join(stream))?);
    }
    Ok(all)
}
