//! Segments that a process left open: cut after the last whole block, closed, and said.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::avro::Marker;
use super::names;
use crate::error::{Error, Result};
use crate::files::open_regular;

/// No block of ours is as large: what says so is torn.
const MOST_BLOCK: u64 = 256 << 20;

/// What was found of a segment that had been left open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The closed segment's name; that of the open one when it was removed.
    pub name: String,
    /// Bytes cut off after the last whole block.
    pub cut: u64,
    /// Bytes that stay; 0: there was no whole block, and the file was removed.
    pub kept: u64,
}

impl std::fmt::Display for Recovered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self { name, cut, kept: 0 } => write!(f, "{name} held no whole block and was removed ({cut} bytes)"),
            Self { name, cut: 0, kept } => {
                write!(f, "{name} had been left open and was closed: all its {kept} bytes are whole")
            }
            Self { name, cut, kept } => {
                write!(f, "{name} had been left open: {cut} bytes after its last whole block were cut off, {kept} stay")
            }
        }
    }
}

/// Closes the segments in a directory of a stream that were left open and that nobody writes. A segment that cannot be
/// closed stays as it is; the first error is returned after all were tried.
///
/// # Errors
/// `Io`.
pub fn recover(directory: &Path) -> Result<Vec<Recovered>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io("list", directory, &e))?,
    };
    let (mut found, mut failed) = (Vec::new(), None);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(closed) = name.to_str().and_then(names::closed) else { continue };
        match close(directory, &entry.path(), closed) {
            Ok(recovered) => found.extend(recovered),
            Err(e) => failed = failed.or_else(|| Some(Error::io("close", &entry.path(), &e))),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    failed.map_or(Ok(found), Err)
}

/// None: somebody writes it, or has just closed it.
fn close(directory: &Path, path: &Path, closed: &str) -> io::Result<Option<Recovered>> {
    if open_regular(path).is_err() {
        return Ok(None);
    }
    let file = File::options().read(true).write(true).open(path)?;
    if file.try_lock().is_err() || !path.exists() {
        return Ok(None);
    }
    let length = file.metadata()?.len();
    let kept = whole(&file, length)?;
    let recovered = Recovered { name: closed.to_owned(), cut: length - kept, kept };
    if kept == 0 {
        fs::remove_file(path)?;
    } else {
        file.set_len(kept)?;
        file.sync_all()?;
        fs::rename(path, directory.join(closed))?;
    }
    File::open(directory)?.sync_all()?;
    Ok(Some(recovered))
}

/// The length up to and with the last whole block; 0 when there is none.
fn whole(file: &File, length: u64) -> io::Result<u64> {
    let mut from = Reader { from: BufReader::with_capacity(1 << 20, file), at: 0, length };
    from.from.seek(SeekFrom::Start(0))?;
    let Some(marker) = header(&mut from)? else { return Ok(0) };
    let (mut end, mut block, mut plain) = (0, Vec::new(), Vec::new());
    while from.block(&marker, &mut block, &mut plain)? {
        end = from.at;
    }
    Ok(end)
}

/// The marker after a header.
fn header(from: &mut Reader<'_>) -> io::Result<Option<Marker>> {
    let mut magic = [0; 4];
    if !from.take(&mut magic)? || magic != *b"Obj\x01" {
        return Ok(None);
    }
    loop {
        let Some(entries) = from.long()? else { return Ok(None) };
        if entries == 0 {
            break;
        }
        // Name and value of each; ours are written without the size of the block.
        for _ in 0..entries.clamp(0, 1 << 10).saturating_mul(2) {
            let Some(length) = from.long()? else { return Ok(None) };
            let Some(bytes) = from.bytes(length)? else { return Ok(None) };
            drop(bytes);
        }
    }
    let mut marker = Marker::default();
    Ok(from.take(&mut marker)?.then_some(marker))
}

struct Reader<'a> {
    from: BufReader<&'a File>,
    at: u64,
    length: u64,
}

impl Reader<'_> {
    /// False when the file ends before.
    fn take(&mut self, to: &mut [u8]) -> io::Result<bool> {
        if self.length - self.at < to.len() as u64 {
            return Ok(false);
        }
        self.from.read_exact(to)?;
        self.at += to.len() as u64;
        Ok(true)
    }

    fn bytes(&mut self, length: i64) -> io::Result<Option<Vec<u8>>> {
        let Ok(length) = u64::try_from(length) else { return Ok(None) };
        if length > MOST_BLOCK || length > self.length - self.at {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        Ok(self.take(&mut bytes)?.then_some(bytes))
    }

    fn long(&mut self) -> io::Result<Option<i64>> {
        let mut n = 0_u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            if !self.take(&mut byte)? {
                return Ok(None);
            }
            n |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(Some((n >> 1) as i64 ^ -((n & 1) as i64)));
            }
        }
        Ok(None)
    }

    /// Whether a whole block follows: its length, its checksum, its marker.
    fn block(&mut self, marker: &Marker, block: &mut Vec<u8>, plain: &mut Vec<u8>) -> io::Result<bool> {
        let (Some(count), Some(length)) = (self.long()?, self.long()?) else { return Ok(false) };
        if count <= 0 || length < 4 || length as u64 > MOST_BLOCK.min(self.length - self.at) {
            return Ok(false);
        }
        block.resize(length as usize, 0);
        let mut after = Marker::default();
        if !self.take(block)? || !self.take(&mut after)? || after != *marker {
            return Ok(false);
        }
        let (compressed, sum) = block.split_at(block.len() - 4);
        let Ok(size) = snap::raw::decompress_len(compressed) else { return Ok(false) };
        if size as u64 > MOST_BLOCK {
            return Ok(false);
        }
        plain.resize(size, 0);
        let whole = snap::raw::Decoder::new().decompress(compressed, plain).is_ok();
        Ok(whole && crc32fast::hash(plain).to_be_bytes() == sum)
    }
}
