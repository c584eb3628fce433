//! Builds table files from data files.

use std::path::{Path, PathBuf};
use std::time::Instant;

use adclick::builder::table::{BuildOptions, Duplicates, Shard, TableBuilder, TableSpec};
use anyhow::Result;

use crate::setting::{BadSetting, Setting, require};
use serde::Serialize;

use super::definition::provenance;
use super::read::{DataFiles, FileRows};
use crate::progress::Progress;
use crate::schema_file::TableFile;

/// How tables are built.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// The rule for a key that is given twice.
    pub duplicates: Duplicates,
    /// How new the data is, in microseconds since 1970-01-01 UTC; `None` = the newest change of the data files.
    pub as_of: Option<i64>,
    /// Build only this shard of sharded tables.
    pub shard: Option<u32>,
    /// Bytes of rows held in memory before they go to temporary files.
    pub memory: usize,
    /// The directory of those files.
    pub spill: PathBuf,
}

/// The result of building a table.
#[derive(Debug, Clone, Serialize)]
pub struct TableSummary {
    /// Its name.
    pub name: String,
    /// The files: one for each shard.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// How new the data is.
    pub built_us: i64,
    /// Rows in the files.
    pub rows: u64,
    /// Rows replaced by a later one with the same key.
    pub replaced: u64,
    /// Rows of shards that were not built.
    pub elsewhere: u64,
    /// Malformed rows that were left out.
    pub bad_rows: u64,
    /// The error of the first of them.
    pub bad: Vec<String>,
    /// Bytes of the files.
    pub bytes: u64,
    /// The time from the first row read to the last byte written.
    pub seconds: f64,
    /// For each column, its name, its type, and the share of rows that lack it.
    pub columns: Vec<ColumnSummary>,
}

/// How full a column is.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The share of rows in which it is missing.
    pub missing: f64,
}

/// The file of a table, or of one of its shards, in a bundle.
#[must_use]
pub fn file_name(table: &str, shard: Shard) -> String {
    if shard.count == 1 {
        format!("table.{table}.adc")
    } else {
        format!("table.{table}.{}-of-{}.adc", shard.index, shard.count)
    }
}

/// Builds a table in the directory `out`, which must not hold a file of that name. The same rows give the same bytes,
/// in any order and from any kind of file.
///
/// Files that cannot be read, too many malformed rows, duplicate keys, a shard that the table does not have, and files
/// that cannot be written.
/// files that cannot be written.
pub fn build(
    table: &TableFile,
    data: &DataFiles,
    options: &TableOptions,
    out: &Path,
    progress: &Progress,
) -> Result<TableSummary> {
    let begin = Instant::now();
    let built_us = match options.as_of {
        Some(time) => time,
        None => data.paths.iter().map(|p| crate::time::modified(p)).try_fold(i64::MIN, |a, b| b.map(|b| a.max(b)))?,
    };
    let shards = shards(table, options.shard)?;
    let provenance = provenance(table)?;
    let mut builders = Vec::with_capacity(shards.len());
    for &shard in &shards {
        let spec = TableSpec {
            name: table.name.clone(),
            columns: table.layout.columns().to_vec(),
            default: table.default.clone(),
            built_us,
            fresh_for_s: table.fresh_for_s,
            shard,
            provenance: provenance.clone(),
        };
        let memory = options.memory / shards.len();
        let options = BuildOptions { duplicates: options.duplicates, memory, spill: options.spill.clone() };
        builders.push(TableBuilder::new(spec, options)?);
    }
    let mut missing = vec![0u64; table.cells.len()];
    let (mut given, mut taken) = (0u64, 0u64);
    let stage = progress.bytes(&format!("Reading {}", table.name), data.bytes()?);
    let (files, bad) = data.for_each(table, &stage, |row| {
        given += 1;
        let mut own = false;
        // Each builder sees each row, so all of them count rows alike; errors name rows by these counts.
        for builder in &mut builders {
            own |= builder.push(row.key, row.row)?;
        }
        if own {
            taken += 1;
            for (n, &is_missing) in missing.iter_mut().zip(row.missing) {
                *n += u64::from(is_missing);
            }
        }
        Ok(())
    })?;
    drop(stage);
    let mut summary = TableSummary {
        name: table.name.clone(),
        files: Vec::new(),
        built_us,
        rows: 0,
        replaced: 0,
        elsewhere: given - taken,
        bad_rows: bad.count,
        bad: bad.first,
        bytes: 0,
        seconds: 0.0,
        columns: Vec::new(),
    };
    let stage = progress.rows(&format!("Writing {}", table.name), taken);
    for (builder, &shard) in builders.into_iter().zip(&shards) {
        let path = out.join(file_name(&table.name, shard));
        let before = summary.rows + summary.replaced;
        let built =
            builder.finish(&path, &mut |rows| stage.set(before + rows)).map_err(|error| counted(error, &files))?;
        summary.rows += built.rows;
        summary.replaced += built.replaced;
        summary.bytes += built.bytes;
        summary.files.push(path);
    }
    drop(stage);
    let columns = table.layout.columns().iter().zip(&missing).map(|(column, &n)| ColumnSummary {
        name: column.name.clone(),
        kind: column.kind.to_string(),
        missing: n as f64 / taken.max(1) as f64,
    });
    summary.columns = columns.collect();
    summary.seconds = begin.elapsed().as_secs_f64();
    Ok(summary)
}

/// The shards that are built.
fn shards(table: &TableFile, only: Option<u32>) -> Result<Vec<Shard>> {
    let count = table.shards;
    match only {
        // Small tables have no shards.
        Some(_) | None if count == 1 => Ok(vec![Shard { index: 0, count }]),
        None => Ok((0..count).map(|index| Shard { index, count }).collect()),
        Some(index) => {
            require!(
                index < count,
                [Shard],
                "there is no shard {index}: table `{}` has {count} shards, numbered from 0 to {}",
                table.name,
                count - 1
            );
            Ok(vec![Shard { index, count }])
        }
    }
}

/// Adds to an error about row numbers which file holds which rows.
fn counted(error: adclick::Error, files: &[FileRows]) -> anyhow::Error {
    if error.status != adclick::Status::InvalidArgument {
        return error.into();
    }
    let mut first = 1;
    let mut parts = Vec::new();
    for file in files.iter().filter(|f| f.rows > 0) {
        parts.push(format!("{} (rows {first} to {})", file.path.display(), first + file.rows - 1));
        first += file.rows;
    }
    let text = format!("{error}; rows are counted through {}, malformed ones left out", parts.join(", "));
    BadSetting::new(&[Setting::Duplicates], text).into()
}
