//! Delimited text, one record at a time.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::fault::Fault;
use super::open::MAX_LINE;

/// The delimiters that a file with a header may use.
pub(crate) const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// Either a file with quotes and a header, or a tab-separated one with neither.
pub(crate) struct Delimited {
    csv: csv::Reader<Lines>,
    record: csv::ByteRecord,
    names: Vec<String>,
    places: HashMap<String, usize>,
    path: PathBuf,
    delimiter: u8,
}

impl Delimited {
    /// Opens a file with a header. Its delimiter is the one of [`DELIMITERS`] that gives the most of the `wanted`
    /// columns; ties go to the one that gives the most columns.
    ///
    /// # Errors
    /// A file without a header, or with two columns of one name.
    pub(crate) fn headed(mut stream: Box<dyn Read>, path: &Path, wanted: &[&str]) -> Result<Self> {
        let what = || format!("cannot read {}: the file is damaged or was cut short", path.display());
        let begin = header(&mut stream).with_context(what)?;
        let mut best: Option<((usize, usize), u8)> = None;
        for delimiter in DELIMITERS {
            let mut only = Self::new(Box::new(io::Cursor::new(begin.clone())), path, true, delimiter);
            ensure!(only.next(0)?, "{} has no rows: expected a header", path.display());
            only.take_names();
            let found = wanted.iter().filter(|&&name| only.place(name).is_some()).count();
            let score = (found, only.names.len());
            if best.is_none_or(|(other, _)| score > other) {
                best = Some((score, delimiter));
            }
        }
        let delimiter = best.map_or(b',', |(_, delimiter)| delimiter);
        let mut file = Self::new(Box::new(io::Cursor::new(begin).chain(stream)), path, true, delimiter);
        file.next(0)?;
        file.take_names();
        if let Some((i, name)) = file.names.iter().enumerate().find(|(i, name)| file.place(name) != Some(*i)) {
            bail!("{}: the header names column \"{name}\" twice (again at column {})", path.display(), i + 1);
        }
        Ok(file)
    }

    /// Opens a tab-separated file without a header, whose columns have these names.
    pub(crate) fn tabbed(stream: Box<dyn Read>, path: &Path, names: Vec<String>) -> Self {
        let mut file = Self::new(stream, path, false, b'\t');
        file.set_names(names);
        file
    }

    fn new(stream: Box<dyn Read>, path: &Path, quotes: bool, delimiter: u8) -> Self {
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(quotes)
            .delimiter(delimiter)
            .from_reader(Lines::new(stream));
        Self {
            csv,
            record: csv::ByteRecord::new(),
            names: Vec::new(),
            places: HashMap::new(),
            path: path.to_owned(),
            delimiter,
        }
    }

    fn take_names(&mut self) {
        self.set_names(self.record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect());
    }

    fn set_names(&mut self, names: Vec<String>) {
        // The first of several columns with one name counts.
        self.places = names.iter().enumerate().rev().map(|(i, name)| (name.clone(), i)).collect();
        self.names = names;
    }

    /// The columns of the header.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The delimiter.
    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The index of a column, if it exists.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.places.get(column).copied()
    }

    /// The index of a required column.
    ///
    /// # Errors
    /// The message names the file, the column, and the columns that the file has.
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

    /// Goes to the next record; false at the end. `rows`: the number of records read before.
    ///
    /// # Errors
    /// The stream ends early or cannot be decompressed.
    pub(crate) fn next(&mut self, rows: u64) -> Result<bool> {
        let at = self.csv.position().byte();
        self.csv.get_mut().go_to(at);
        self.csv.read_byte_record(&mut self.record).with_context(|| {
            format!(
                "cannot read {} past row {rows}: the file is damaged or was cut short; fetch or unpack it again",
                self.path.display()
            )
        })
    }

    /// Refuses a record whose number of fields differs from the number of columns.
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
        self.csv.get_ref().line()
    }
}

/// Reads roughly to the end of the first line that is not empty.
fn header(stream: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    let mut chunk = [0; 4096];
    let (mut quoted, mut seen) = (false, false);
    loop {
        let n = stream.read(&mut chunk)?;
        // A stray quote never ends.
        if n == 0 || begin.len() > MAX_LINE {
            return Ok(begin);
        }
        begin.extend_from_slice(&chunk[..n]);
        for byte in &chunk[..n] {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' | b'\r' if !quoted && seen => return Ok(begin),
                b'\n' | b'\r' => {}
                _ => seen = true,
            }
        }
    }
}

/// Counts lines. The parser counts only roughly: it adds the second half of CRLF, and empty lines, to the record after
/// them.
struct Lines {
    inner: Box<dyn Read>,
    /// Bytes read from `at` on. The part before it is cut off from time to time.
    bytes: Vec<u8>,
    /// The offset of the record in `bytes`.
    at: usize,
    /// The offset of `bytes` in the file.
    start: u64,
    /// The line of `at`, from 1.
    line: u64,
}

impl Lines {
    fn new(inner: Box<dyn Read>) -> Self {
        Self { inner, bytes: Vec::new(), at: 0, start: 0, line: 1 }
    }

    /// Moves to a byte of the file; the record before it is no longer needed.
    fn go_to(&mut self, byte: u64) {
        let to = ((byte - self.start) as usize).min(self.bytes.len());
        self.line += newlines(&self.bytes[self.at..to]);
        self.at = to;
        if self.at > 1 << 16 {
            self.bytes.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
        }
    }

    /// The line of the first byte of the record.
    fn line(&self) -> u64 {
        let rest = &self.bytes[self.at..];
        let blank = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        self.line + newlines(&rest[..blank])
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&b| b == b'\n').count() as u64
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.extend_from_slice(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An algorithm quadratic in the number of columns would take minutes here.
    #[test]
    fn a_header_of_many_columns_is_read_in_linear_time() {
        const COLUMNS: usize = 400_000;
        let names: Vec<String> = (0..COLUMNS).map(|i| format!("c{i}")).collect();
        let headed = |text: String| Delimited::headed(Box::new(io::Cursor::new(text)), Path::new("wide.csv"), &["c7"]);
        let file = headed(names.join(",") + "\n1\n").unwrap();
        assert_eq!((file.names().len(), file.needed("c399999").unwrap()), (COLUMNS, COLUMNS - 1));
        let twice = headed(names.join(",") + ",c7\n1\n").err().unwrap().to_string();
        assert!(twice.contains("names column \"c7\" twice (again at column 400001)"), "{twice}");
    }
}
