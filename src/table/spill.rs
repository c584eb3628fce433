//! Rows that are not yet placed: kept in memory up to a limit, past it in temporary files, partitioned by hash.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::place;
use crate::error::{Error, Result};
use crate::files::Beside;

/// Bits of the hash that choose a bin.
pub(super) const BIN_BITS: u32 = 8;
pub(super) const BINS: usize = 1 << BIN_BITS;
/// Key and row number before each row.
const FRONT: usize = 16;

/// A row that is not yet placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: u64,
    /// Its number in the order of the rows given, from 0.
    pub(super) number: u64,
    pub(super) row: &'a [u8],
}

/// Bins of rows.
pub(super) struct Spill {
    seed: u64,
    record: usize,
    memory: usize,
    held: usize,
    bins: Vec<Bin>,
    directory: Option<Beside>,
    parent: PathBuf,
    rows: u64,
}

#[derive(Default)]
struct Bin {
    waiting: Vec<u8>,
    /// Whether some of its rows are in its file, which is opened only while in use: many tables may be built at once.
    spilled: bool,
}

impl Spill {
    /// Bins for rows of `width` bytes under a seed; up to `memory` bytes stay in memory, more go to files in a
    /// directory of `parent`.
    pub(super) fn new(seed: u64, width: usize, memory: usize, parent: &Path) -> Self {
        let bins = (0..BINS).map(|_| Bin::default()).collect();
        let parent = parent.to_owned();
        Self { seed, record: FRONT + width, memory, held: 0, bins, directory: None, parent, rows: 0 }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Rows in all bins.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn push(&mut self, record: Record<'_>) -> Result<()> {
        let bin = place::part_of(place::hash(record.key, self.seed), BIN_BITS);
        let waiting = &mut self.bins[bin].waiting;
        waiting.extend_from_slice(&record.key.to_le_bytes());
        waiting.extend_from_slice(&record.number.to_le_bytes());
        waiting.extend_from_slice(record.row);
        self.held += self.record;
        self.rows += 1;
        if self.held > self.memory { self.flush() } else { Ok(()) }
    }

    /// Moves the rows in memory to the files.
    fn flush(&mut self) -> Result<()> {
        let directory = match &mut self.directory {
            Some(directory) => directory.path(),
            none => none.insert(Beside::make(&self.parent, "spill".as_ref())?).path(),
        };
        for (i, bin) in self.bins.iter_mut().enumerate().filter(|(_, bin)| !bin.waiting.is_empty()) {
            let path = bin_file(directory, i);
            let opened = File::options().append(true).create(true).open(&path);
            let mut file = opened.map_err(|e| Error::io("open", &path, &e))?;
            file.write_all(&bin.waiting).map_err(|e| Error::io("write", &path, &e))?;
            // Frees the memory: together the bins stay within the limit.
            (bin.waiting, bin.spilled) = (Vec::new(), true);
        }
        self.held = 0;
        Ok(())
    }

    /// The rows of some bins, in no particular order.
    pub(super) fn read(&self, bins: std::ops::Range<usize>) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for i in bins {
            let bin = &self.bins[i];
            if let (true, Some(directory)) = (bin.spilled, &self.directory) {
                let path = bin_file(directory.path(), i);
                let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut all));
                read.map_err(|e| Error::io("read back", &path, &e))?;
            }
            all.extend_from_slice(&bin.waiting);
        }
        Ok(all)
    }

    /// The records in bytes that [`Spill::read`] gave.
    pub(super) fn records<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = Record<'a>> + use<'a> {
        let u64_at = |bytes: &[u8], at: usize| {
            let mut array = [0; 8];
            array.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(array)
        };
        bytes.chunks_exact(self.record).map(move |record| Record {
            key: u64_at(record, 0),
            number: u64_at(record, 8),
            row: &record[FRONT..],
        })
    }

    /// The hashes of their keys.
    pub(super) fn hashes<'a>(&self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        let seed = self.seed;
        self.records(bytes).map(move |record| place::hash(record.key, seed))
    }

    /// The same rows in bins of another seed.
    pub(super) fn with_seed(mut self, seed: u64) -> Result<Self> {
        let mut new = Self::new(seed, self.record - FRONT, self.memory, &self.parent);
        for bin in 0..BINS {
            let bytes = self.read(bin..bin + 1)?;
            for record in self.records(&bytes) {
                new.push(record)?;
            }
            // Its space becomes the new one's.
            self.bins[bin] = Bin::default();
            if let Some(directory) = &self.directory {
                let path = bin_file(directory.path(), bin);
                std::fs::remove_file(&path).or_else(|e| match e.kind() {
                    std::io::ErrorKind::NotFound => Ok(()),
                    _ => Err(Error::io("remove", &path, &e)),
                })?;
            }
        }
        Ok(new)
    }
}

fn bin_file(directory: &Path, bin: usize) -> PathBuf {
    directory.join(format!("{bin:03}"))
}
