//! Opens files. Compression and containers are recognised by their first bytes.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;

use super::records::ColumnarKind;
use crate::progress::JobStage;

pub(crate) enum Opened {
    /// Lines, decompressed.
    Text(Box<dyn Read>),
    /// Record batches.
    Batches(ColumnarKind, File),
}

/// The longest line. Without this limit a file of another kind would be read into memory as one line.
pub(super) const MAX_LINE: usize = 16 << 20;

/// The size of a file that exists and is not empty.
pub(crate) fn size(path: &Path) -> Result<u64> {
    let found = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Rows are read more than once, which a pipe does not allow.
    ensure!(found.is_file(), "{} is not a regular file: write the rows to one, packed or not", path.display());
    let bytes = found.len();
    ensure!(bytes > 0, "{} is empty: expected rows of data", path.display());
    Ok(bytes)
}

/// Opens a file; bytes read from disk advance the stage.
pub(crate) fn open(path: &Path, stage: &JobStage) -> Result<Opened> {
    size(path)?;
    let what = || format!("cannot read {}", path.display());
    let (mut file, _) = adclick::builder::files::open_regular(path)?;
    let mut magic = [0; 8];
    let mut length = 0;
    while length < magic.len() {
        match file.read(&mut magic[length..]).with_context(what)? {
            0 => break,
            n => length += n,
        }
    }
    file.rewind().with_context(what)?;
    let container = match &magic {
        [b'P', b'A', b'R', b'1', ..] => Some(ColumnarKind::Parquet),
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0] => Some(ColumnarKind::ArrowFile),
        // An Arrow message begins with these bytes; no text does.
        [0xff, 0xff, 0xff, 0xff, ..] => Some(ColumnarKind::ArrowStream),
        _ => None,
    };
    if let Some(container) = container {
        return Ok(Opened::Batches(container, file));
    }
    let stream = BufReader::with_capacity(1 << 16, stage.reads(file));
    let text: Box<dyn Read> = match magic {
        [0x1f, 0x8b, ..] => Box::new(LineGuard::new(MultiGzDecoder::new(stream))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(LineGuard::new(zstd::stream::read::Decoder::with_buffer(stream).with_context(what)?))
        }
        _ => Box::new(LineGuard::new(stream)),
    };
    Ok(Opened::Text(unmarked(text, path)?))
}

/// Skips the byte order mark that spreadsheets put in front of UTF-8.
fn unmarked(mut text: Box<dyn Read>, path: &Path) -> Result<Box<dyn Read>> {
    let mut begin = Vec::with_capacity(3);
    // A read error is reported with the row, when rows are read.
    let broken = text.by_ref().take(3).read_to_end(&mut begin).err();
    ensure!(
        !begin.starts_with(&[0xff, 0xfe]) && !begin.starts_with(&[0xfe, 0xff]),
        "{} is text in UTF-16: save it as UTF-8",
        path.display()
    );
    if begin == [0xef, 0xbb, 0xbf] {
        begin.clear();
    }
    let begin = Cursor::new(begin);
    Ok(match broken {
        None => Box::new(begin.chain(text)),
        Some(error) => Box::new(begin.chain(Broken(Some(error)))),
    })
}

/// A stream that fails at once.
struct Broken(Option<io::Error>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.take().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Fails when a line does not end.
struct LineGuard<R> {
    inner: R,
    since_newline: usize,
}

impl<R> LineGuard<R> {
    fn new(inner: R) -> Self {
        Self { inner, since_newline: 0 }
    }
}

impl<R: Read> Read for LineGuard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.since_newline = match buffer[..n].iter().rposition(|&b| b == b'\n') {
            Some(last) => n - 1 - last,
            None => self.since_newline + n,
        };
        if self.since_newline > MAX_LINE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a line is longer than {MAX_LINE} bytes: this is not a file of text rows"),
            ));
        }
        Ok(n)
    }
}
