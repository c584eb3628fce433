//! Streams the rows of a table from its data files.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::cells::TableRowMaker;
use crate::cells::{RecordReader, size};
use crate::logs::{BadLimit, BadRows};
use crate::progress::JobStage;
use crate::schema_file::TableFile;

/// The number of rows between two checks for cancellation.
const ROWS_BETWEEN_CHECKS: u64 = 4096;

/// The data files of a table.
#[derive(Debug, Clone)]
pub struct DataFiles {
    /// Text with a header (plain, .gz or .zst), Parquet or Arrow IPC, recognised by content; read one after the other.
    pub paths: Vec<PathBuf>,
    /// How many malformed rows are skipped before reading fails.
    pub limit: BadLimit,
}

/// A row as it was read.
#[derive(Debug, Clone, Copy)]
pub struct TableRow<'a> {
    /// Never 0.
    pub key: u64,
    /// In the table's layout.
    pub row: &'a [u8],
    /// Which of its cells are missing.
    pub missing: &'a [bool],
}

/// The number of rows read from a file, without malformed ones.
pub struct FileRows {
    /// The file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
}

impl DataFiles {
    /// Reads all files, in order, and hands each row to `visit`. Memory is bounded by one record batch.
    ///
    /// # Errors
    /// Files that cannot be read or lack a column, more malformed rows than the limit allows, and any error of `visit`.
    pub fn for_each(
        &self,
        table: &TableFile,
        stage: &JobStage,
        mut visit: impl FnMut(TableRow<'_>) -> Result<()>,
    ) -> Result<(Vec<FileRows>, BadRows)> {
        let mut maker = TableRowMaker::new(table);
        let mut bad = BadRows::new(self.limit);
        let mut files = Vec::with_capacity(self.paths.len());
        let columns = maker.columns();
        let mut records = 0;
        for path in &self.paths {
            let mut reader = RecordReader::open(path, &columns, stage, |header| {
                columns.iter().map(|column| header.place(column)).collect()
            })?;
            // Rows of this file so far: all, malformed ones included, and those handed on.
            let (mut read, mut rows) = (0, 0);
            while reader.next(path, read)? {
                if read % ROWS_BETWEEN_CHECKS == 0 {
                    stage.check()?;
                }
                read += 1;
                match reader.check_length().and_then(|()| maker.make(&reader)) {
                    Ok(key) => {
                        rows += 1;
                        visit(TableRow { key, row: maker.row(), missing: maker.missing() })?;
                    }
                    Err(fault) => bad.add(path, reader.place(read), &fault, read)?,
                }
            }
            records += read;
            files.push(FileRows { path: path.clone(), rows });
        }
        bad.some_good(records, &self.paths)?;
        // A part of an export may be empty, but an export that is empty as a whole has more likely failed.
        ensure!(
            files.iter().any(|f| f.rows > 0),
            "{}: no rows: expected at least one row of data",
            self.paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        Ok((files, bad))
    }

    /// The total size of the files on disk: the length of a stage counted in bytes.
    ///
    /// # Errors
    /// A file that does not exist or is empty.
    pub fn bytes(&self) -> Result<u64> {
        self.paths.iter().try_fold(0, |sum, path| Ok(sum + size(path)?))
    }
}
