//! Delimited text, one record at a time.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::bad::Fault;

/// A file of lines with fields: commas, quotes and a header, or tabs and neither.
pub(crate) struct Delimited {
    csv: csv::Reader<Box<dyn Read>>,
    record: csv::ByteRecord,
    names: Vec<String>,
    path: PathBuf,
}

impl Delimited {
    /// A CSV file with a header.
    ///
    /// # Errors
    /// A file without a header, or one that names a column twice.
    pub(crate) fn headed(stream: Box<dyn Read>, path: &Path) -> Result<Self> {
        let mut file = Self::new(stream, path, true, Vec::new());
        ensure!(file.next(0)?, "{} has no rows: expected a header", path.display());
        // Spreadsheets put a mark in front of UTF-8.
        let first =
            |i: usize, name: &str| if i == 0 { name.trim_start_matches('\u{feff}') } else { name }.trim().to_owned();
        file.names = file.record.iter().enumerate().map(|(i, n)| first(i, &String::from_utf8_lossy(n))).collect();
        let names = &file.names;
        let mut seen = HashSet::with_capacity(names.len());
        if let Some((i, name)) = names.iter().enumerate().find(|(_, name)| !seen.insert(*name)) {
            bail!("{}: the header names column \"{name}\" twice (again at column {})", path.display(), i + 1);
        }
        Ok(file)
    }

    /// A tab-separated file without a header, whose columns have these names.
    pub(crate) fn tabbed(stream: Box<dyn Read>, path: &Path, names: Vec<String>) -> Self {
        Self::new(stream, path, false, names)
    }

    fn new(stream: Box<dyn Read>, path: &Path, headed: bool, names: Vec<String>) -> Self {
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(headed)
            .delimiter(if headed { b',' } else { b'\t' })
            .from_reader(stream);
        Self { csv, record: csv::ByteRecord::new(), names, path: path.to_owned() }
    }

    /// The place of a column, if there is one.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.names.iter().position(|name| name == column)
    }

    /// The place of a column that must be there.
    ///
    /// # Errors
    /// Names the file, the column and those that there are.
    pub(crate) fn needed(&self, column: &str) -> Result<usize> {
        self.place(column).with_context(|| {
            let shown: Vec<&str> = self.names.iter().take(40).map(String::as_str).collect();
            format!(
                "{}: expected a column \"{column}\" in the header, found: {}",
                self.path.display(),
                shown.join(", ")
            )
        })
    }

    /// Goes to the next record; false at the end. `rows`: how many were read before.
    ///
    /// # Errors
    /// The stream breaks off or cannot be unpacked.
    pub(crate) fn next(&mut self, rows: u64) -> Result<bool> {
        self.csv.read_byte_record(&mut self.record).with_context(|| {
            format!(
                "cannot read {} past row {rows}: the file is damaged or was cut short; fetch or unpack it again",
                self.path.display()
            )
        })
    }

    /// Refuses a record with another number of fields than there are columns.
    pub(crate) fn check_length(&self) -> Result<(), Fault> {
        if self.record.len() == self.names.len() {
            return Ok(());
        }
        Err(Fault {
            field: "the whole line".to_owned(),
            expected: "as many fields as there are columns".into(),
            found: format!("{} fields for {} columns", self.record.len(), self.names.len()),
        })
    }

    /// A field of a record whose length was checked.
    pub(crate) fn field(&self, at: usize) -> &[u8] {
        &self.record[at]
    }

    /// The line on which the record begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }
}
