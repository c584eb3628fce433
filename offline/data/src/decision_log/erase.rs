//! Forgetting a user.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::builder::files::TempFile;
use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch};
use arrow_select::filter::filter_record_batch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::compact::{compact, properties};
use super::segments::STREAMS;

/// What was erased.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Decisions and events that no longer say whose they are.
    pub forgotten: u64,
    /// Slates that were removed: their values describe the user.
    pub removed: u64,
    /// Files written anew.
    pub files: u64,
}

/// Forgets a user in a log and in its compacted form: closed segments are compacted to `out` first, and removed. Decisions and
/// events of the user stay, without user, session and class of address; slates go. Segments that are still open are not
/// touched: they are compacted next time, so erase again after the longest age of a segment.
///
/// # Errors
/// As [`compact`]; a Parquet file that cannot be read or replaced, named.
pub fn erase(root: &Path, out: &Path, user: u64) -> Result<Erased> {
    compact(root, out, true)?;
    let mut erased = Erased::default();
    for stream in STREAMS {
        let mut files = Vec::new();
        collect(&out.join(stream), &mut files)?;
        for path in files {
            one(&path, stream == "slates", user as i64, &mut erased)
                .with_context(|| format!("{} is left as it was", path.display()))?;
        }
    }
    Ok(erased)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "parquet") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

fn of_user(batch: &RecordBatch, user: i64) -> Result<Vec<bool>> {
    let column = batch.column_by_name("user").and_then(|column| column.as_primitive_opt::<Int64Type>());
    Ok(column.context("no column user")?.iter().map(|one| one == Some(user)).collect())
}

fn one(path: &Path, slates: bool, user: i64, erased: &mut Erased) -> Result<()> {
    let open = || -> Result<_> { Ok(ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?) };
    let mut found = 0_u64;
    for batch in open()? {
        found += of_user(&batch?, user)?.iter().filter(|is| **is).count() as u64;
    }
    if found == 0 {
        return Ok(());
    }
    let beside = TempFile::make(path)?;
    let reader = open()?;
    let schema = arrow_array::RecordBatchReader::schema(&reader);
    let mut writer = ArrowWriter::try_new(beside.file().try_clone()?, schema, Some(properties()?))?;
    for batch in reader {
        let batch = batch?;
        let theirs = of_user(&batch, user)?;
        let batch = if slates {
            filter_record_batch(&batch, &theirs.iter().map(|is| Some(!is)).collect::<BooleanArray>())?
        } else {
            forget(&batch, &theirs)?
        };
        writer.write(&batch)?;
    }
    writer.close()?;
    beside.rename_to(path)?;
    erased.files += 1;
    *(if slates { &mut erased.removed } else { &mut erased.forgotten }) += found;
    Ok(())
}

/// The same rows; those of the user say so no more.
fn forget(batch: &RecordBatch, theirs: &[bool]) -> Result<RecordBatch> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| -> Result<ArrayRef> {
        Ok(match field.name().as_str() {
            "user" | "session" | "ip_class" => {
                let ids = column.as_primitive::<Int64Type>().iter().zip(theirs);
                Arc::new(ids.map(|(id, theirs)| id.filter(|_| !theirs)).collect::<Int64Array>())
            }
            "flags" => {
                let flags = column.as_primitive::<Int32Type>().values().iter().zip(theirs);
                Arc::new(flags.map(|(flags, theirs)| flags | i32::from(*theirs)).collect::<Int32Array>())
            }
            _ => Arc::clone(column),
        })
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_>>()?)?)
}
