//! Streams the rows of a table from its data files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use arrow_array::ArrayRef;
use indicatif::ProgressBar;

use super::cells::RowMaker;
use crate::cells::{ArrayRecord, Delimited, Fault, Opened, Places, Records, TextRecord, chosen, open, size};
use crate::logs::{BadLimit, BadRows};
use crate::schema_file::TableFile;

/// The data files of a table.
#[derive(Debug, Clone)]
pub struct DataFiles {
    /// Text with a header (plain, .gz or .zst), Parquet or Arrow IPC, recognised by content; read one after the other.
    pub paths: Vec<PathBuf>,
    /// How many malformed rows are bearable.
    pub limit: BadLimit,
}

/// A row as it was read.
#[derive(Debug, Clone, Copy)]
pub struct TableRow<'a> {
    /// Never 0.
    pub key: u64,
    /// As the table's layout has it.
    pub row: &'a [u8],
    /// Which of its cells are missing.
    pub missing: &'a [bool],
}

/// How many rows of a file were read, malformed ones left out.
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
    /// Files that cannot be read or lack a column, more malformed rows than the limit allows, and what `visit` returns.
    pub fn for_each(
        &self,
        table: &TableFile,
        bar: &ProgressBar,
        mut visit: impl FnMut(TableRow<'_>) -> Result<()>,
    ) -> Result<(Vec<FileRows>, BadRows)> {
        let mut maker = RowMaker::new(table);
        let mut bad = BadRows::new(self.limit);
        let mut files = Vec::with_capacity(self.paths.len());
        let mut records = 0;
        for path in &self.paths {
            let mut pass = Pass { path, maker: &mut maker, bad: &mut bad, records: 0, rows: 0, visit: &mut visit };
            match open(path, bar)? {
                Opened::Text(stream) => {
                    let file = Delimited::headed(stream, path, &pass.maker.columns())?;
                    pass.text(file)?;
                }
                Opened::Records(container, file) => {
                    let columns = pass.maker.columns();
                    let mut within = Vec::new();
                    let records = Records::open(file, path, container, bar, |names| {
                        let places = Places::new(names);
                        let places = columns.iter().map(|c| places.of(c)).collect::<Result<Vec<_>>>()?;
                        let (sorted, places) = chosen(&places);
                        within = places;
                        Ok(sorted)
                    })?;
                    pass.records(records, &within)?;
                }
            }
            records += pass.records;
            files.push(FileRows { path: path.clone(), rows: pass.rows });
        }
        bad.some_good(records, &self.paths)?;
        // A part of an export may be empty; all of it is more likely to be a failed one.
        ensure!(
            files.iter().any(|f| f.rows > 0),
            "{}: no rows: expected at least one row of data",
            self.paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
        );
        Ok((files, bad))
    }

    /// The sizes of the files on disk, added up: the length of a progress bar over bytes.
    ///
    /// # Errors
    /// A file that does not exist or is empty.
    pub fn bytes(&self) -> Result<u64> {
        self.paths.iter().try_fold(0, |sum, path| Ok(sum + size(path)?))
    }
}

/// One file being read.
struct Pass<'p, 't, V> {
    path: &'p Path,
    maker: &'p mut RowMaker<'t>,
    bad: &'p mut BadRows,
    /// Rows of this file so far, malformed ones included.
    records: u64,
    /// Those that were handed on.
    rows: u64,
    visit: &'p mut V,
}

impl<V: FnMut(TableRow<'_>) -> Result<()>> Pass<'_, '_, V> {
    fn text(&mut self, mut file: Delimited) -> Result<()> {
        let places: Vec<usize> = self.maker.columns().iter().map(|c| file.needed(c)).collect::<Result<_>>()?;
        while file.next(self.records)? {
            let record = TextRecord { file: &file, places: &places };
            let made = file.check_length().and_then(|()| self.maker.make(&record));
            self.take(made, |_| format!("line {}", file.line()))?;
        }
        Ok(())
    }

    fn records(&mut self, mut records: Records, places: &[usize]) -> Result<()> {
        let names = self.maker.columns();
        let path = self.path;
        loop {
            let batch = records.next();
            let batch = batch.with_context(|| format!("cannot read {} past row {}", path.display(), self.records))?;
            let Some(batch) = batch else { return Ok(()) };
            let columns: Vec<(&str, &ArrayRef)> =
                names.iter().zip(places).map(|(name, &at)| (*name, batch.column(at))).collect();
            for at in 0..batch.num_rows() {
                let record = ArrayRecord { columns: &columns, at };
                let made = self.maker.make(&record);
                self.take(made, |row| format!("row {row}"))?;
            }
        }
    }

    /// Hands a row on, or counts it as malformed.
    fn take(&mut self, made: Result<u64, Fault>, place: impl FnOnce(u64) -> String) -> Result<()> {
        self.records += 1;
        match made {
            Ok(key) => {
                self.rows += 1;
                (self.visit)(TableRow { key, row: self.maker.row(), missing: self.maker.missing() })
            }
            Err(fault) => self.bad.add(self.path, place(self.records), &fault, self.records),
        }
    }
}
