//! Builds a table file from rows in any order, in bounded memory.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::columns::{Column, RowLayout};
use super::file::{Head, KEY, Shard, section, stride};
use super::index::Index;
use super::place::{self, Histogram};
use super::spill::{BIN_BITS, BINS, Record, Spill};
use super::{check, set};
use crate::artifact::container::{ALIGN, ArtifactKind, SectionEntry, front, front_len};
use crate::error::{Error, Result};
use crate::files::TempFile;
use crate::hash::{checksum, shard};

/// The number of seeds tried before a set of keys is refused.
const SEEDS: u64 = 16;
/// A file is written in pieces of one large page, each at a page boundary, so that the system keeps it in large pages,
/// in which rows are found faster.
const PIECE: usize = 2 << 20;

/// The description of a table, besides its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSpec {
    /// Its name: 1 to 255 bytes without control characters.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// The row of keys that the table does not have: [`RowLayout::width`] bytes. [`RowLayout::missing`] leaves every
    /// value to the schema's defaults.
    pub default: Vec<u8>,
    /// How new the data is: microseconds since 1970-01-01 UTC.
    pub built_us: i64,
    /// The number of seconds after that for which it counts as fresh; 0 = no limit.
    pub fresh_for_s: u64,
    /// The shard of the keys that the file holds.
    pub shard: Shard,
    /// Where the data comes from: a TOML text, or nothing.
    pub provenance: String,
}

/// The rule for a key that is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Duplicates {
    /// The table is not built; the error names the key and both rows.
    #[default]
    Refuse,
    /// The row given last stays.
    KeepLast,
}

/// The options for building a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildOptions {
    /// The rule for a key that is given twice.
    pub duplicates: Duplicates,
    /// Bytes of rows (each with another 16 bytes) held in memory; more go to temporary files. Building takes up to
    /// twice that, a 256th of all rows, half a byte for each row, and 135,000 slots.
    pub memory: usize,
    /// The parent of the directory for temporary files, if one is needed. It is removed when the table is built or
    /// abandoned.
    pub spill: PathBuf,
}

/// The result of building.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Rows of the table.
    pub rows: u64,
    /// Rows replaced by a later one with the same key.
    pub replaced: u64,
    /// Slots: rows and free places.
    pub slots: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Collects rows and writes the table file. The same rows in any order give the same bytes.
pub struct TableBuilder {
    spec: TableSpec,
    layout: RowLayout,
    duplicates: Duplicates,
    spill: Spill,
    given: u64,
}

impl TableBuilder {
    /// A table without rows.
    ///
    /// # Errors
    /// `InvalidArgument` naming the error in the name, the columns, the default row or the shard.
    pub fn new(spec: TableSpec, options: BuildOptions) -> Result<Self> {
        crate::schema::check_name("table", &spec.name)?;
        let layout = RowLayout::new(spec.columns.clone())?;
        let Shard { index, count } = spec.shard;
        if index >= count || count > set::MAX_SHARDS {
            let most = set::MAX_SHARDS;
            return Err(Error::argument(format!(
                "shard {index} of {count}: expected a number below, and at most {most}"
            )));
        }
        check_row(&layout, &spec.default).map_err(|e| e.within("default row"))?;
        let spill = Spill::new(0, layout.width(), options.memory, &options.spill);
        Ok(Self { spec, layout, duplicates: options.duplicates, spill, given: 0 })
    }

    /// The layout of the rows.
    #[must_use]
    pub fn layout(&self) -> &RowLayout {
        &self.layout
    }

    /// Adds a row. `false`: the key belongs to another shard, and the row is left out.
    ///
    /// # Errors
    /// `InvalidArgument` for key 0 (which is no key) and for a row that [`RowLayout::put`] did not make; `Io` when a
    /// temporary file cannot be written.
    pub fn push(&mut self, key: u64, row: &[u8]) -> Result<bool> {
        let number = self.given;
        self.given += 1;
        if key == 0 {
            return Err(Error::argument(format!("row {}: key 0 means `unknown` and has no row", number + 1)));
        }
        if shard(key, self.spec.shard.count) != self.spec.shard.index {
            return Ok(false);
        }
        check_row(&self.layout, row).map_err(|e| e.within(format_args!("row {} (key {key:#018x})", number + 1)))?;
        self.spill.push(Record { key, number, row })?;
        Ok(true)
    }

    /// Writes the file: to a temporary file beside `out`, synced, then renamed. `progress` gets the number of rows
    /// placed.
    ///
    /// # Errors
    /// `InvalidArgument` for a key that is given twice, when that is refused, and for keys chosen to collide; `Io`
    /// naming the file.
    pub fn finish(mut self, out: &Path, progress: &mut dyn FnMut(u64)) -> Result<Built> {
        for seed in 1..=SEEDS {
            if let Some(built) = self.attempt(out, progress)? {
                return Ok(built);
            }
            self.spill = self.spill.with_seed(seed)?;
        }
        Err(Error::argument(format!(
            "table `{}`: its keys collide under {SEEDS} seeds, which chance does not do: look where they come from",
            self.spec.name
        )))
    }

    /// Builds under the spill's seed; `None` when the keys do not fit under it.
    fn attempt(&mut self, out: &Path, progress: &mut dyn FnMut(u64)) -> Result<Option<Built>> {
        let seed = self.spill.seed();
        let (rows, histogram) = self.count()?;
        let Some(shape) = histogram.shape() else { return Ok(None) };
        let head = Head {
            name: self.spec.name.clone(),
            layout: self.layout.clone(),
            rows,
            built_us: self.spec.built_us,
            fresh_for_s: self.spec.fresh_for_s,
            shard: self.spec.shard,
            seed,
            shape,
        };
        let index = Index::new(seed, shape);
        let mut file = Output::create(out)?;
        let mut pilots: Vec<u8> = Vec::new();
        let mut done = 0;
        // Whole bins make up a part, or whole parts a bin.
        let bins = BINS >> shape.part_bits.min(BIN_BITS);
        let mut part = 0;
        for first in (0..BINS).step_by(bins) {
            let bytes = self.spill.read(first..first + bins)?;
            let sorted = self.sorted(&bytes)?;
            let mut rest = &sorted[..];
            for _ in 0..1usize << shape.part_bits.saturating_sub(BIN_BITS) {
                let end = rest.partition_point(|r| place::part_of(r.0, shape.part_bits) <= part);
                let (own, others) = rest.split_at(end);
                rest = others;
                let hashes: Vec<u64> = own.iter().map(|r| r.0).collect();
                let Some(placed) = place::place(&hashes, part, index) else { return Ok(None) };
                file.slots(&placed.slots, own, shape.slots as usize, stride(self.layout.width()))?;
                pilots.extend(placed.pilots.iter().flat_map(|p| p.to_le_bytes()));
                done += own.len() as u64;
                progress(done);
                part += 1;
            }
        }
        let bytes = file.finish(&head, &self.spec, &pilots)?;
        Ok(Some(Built { rows, replaced: self.spill.rows() - rows, slots: shape.all_slots(), bytes }))
    }

    /// The records by hash, one for each key.
    fn sorted<'a>(&self, bytes: &'a [u8]) -> Result<Vec<(u64, Record<'a>)>> {
        let mut sorted: Vec<_> = self.spill.hashes(bytes).zip(self.spill.records(bytes)).collect();
        // The last one of equal keys comes first, and stays.
        sorted.sort_unstable_by_key(|(hash, r)| (*hash, std::cmp::Reverse(r.number)));
        if let (Duplicates::Refuse, Some(pair)) = (self.duplicates, sorted.windows(2).find(|w| w[0].0 == w[1].0)) {
            let (first, second, key) = (pair[1].1.number + 1, pair[0].1.number + 1, pair[0].1.key);
            return Err(Error::argument(format!(
                "table `{}`: rows {first} and {second} have the same key {key:#018x} ({key}): remove one, or let the \
                 last one win",
                self.spec.name
            )));
        }
        sorted.dedup_by_key(|(hash, _)| *hash);
        Ok(sorted)
    }

    /// The number of keys and their distribution. A key that is given twice counts once if that is allowed; otherwise
    /// it will be refused.
    fn count(&self) -> Result<(u64, Histogram)> {
        let mut histogram = Histogram::new();
        let mut rows = 0;
        for bin in 0..BINS {
            let bytes = self.spill.read(bin..bin + 1)?;
            let mut hashes: Vec<u64> = self.spill.hashes(&bytes).collect();
            if self.duplicates == Duplicates::KeepLast {
                hashes.sort_unstable();
                hashes.dedup();
            }
            rows += hashes.len() as u64;
            hashes.into_iter().for_each(|hash| histogram.add(hash));
        }
        Ok((rows, histogram))
    }
}

fn check_row(layout: &RowLayout, row: &[u8]) -> Result<()> {
    if row.len() != layout.width() {
        return Err(Error::argument(format!("{} bytes, the columns take {}", row.len(), layout.width())));
    }
    check::row(layout, row).map_err(Error::argument)
}

/// The file being written, beside its final place.
struct Output {
    file: BufWriter<File>,
    beside: TempFile,
    out: PathBuf,
    checksum: Xxh3,
    rows: u64,
}

impl Output {
    fn create(out: &Path) -> Result<Self> {
        let beside = TempFile::make(out)?;
        let file = beside.file().try_clone().map_err(|e| Error::io("open", beside.path(), &e))?;
        let file = BufWriter::with_capacity(PIECE, file);
        let mut output = Self { file, beside, out: out.to_owned(), checksum: Xxh3::new(), rows: 0 };
        output.write(&vec![0; front_len(section::ALL.len())])?;
        Ok(output)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // Enough to complete the piece; a complete one is written when the next begins.
            let waiting = self.file.buffer().len() % PIECE;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - waiting));
            self.file.write_all(now).map_err(|e| Error::io("write", self.beside.path(), &e))?;
            bytes = later;
        }
        Ok(())
    }

    /// A part's slots, `taken` of them taken by rows.
    fn slots(&mut self, taken: &[u32], rows: &[(u64, Record<'_>)], slots: usize, stride: usize) -> Result<()> {
        let mut bytes = vec![0; slots * stride];
        for (&slot, (_, record)) in taken.iter().zip(rows) {
            let at = &mut bytes[slot as usize * stride..][..stride];
            at[..KEY].copy_from_slice(&record.key.to_le_bytes());
            at[KEY..KEY + record.row.len()].copy_from_slice(record.row);
        }
        self.checksum.update(&bytes);
        self.rows += bytes.len() as u64;
        self.write(&bytes)
    }

    /// The small sections after the rows, then the front.
    fn finish(mut self, head: &Head, spec: &TableSpec, pilots: &[u8]) -> Result<u64> {
        let head = head.encode();
        let small: [(&str, &[u8]); 4] = [
            (section::TABLE, &head),
            (section::DEFAULT, &spec.default),
            (section::PILOTS, pilots),
            (section::PROVENANCE, spec.provenance.as_bytes()),
        ];
        let rows =
            SectionEntry { name: section::ROWS, required: true, len: self.rows, checksum: self.checksum.digest() };
        let mut entries = vec![rows];
        self.pad(self.rows)?;
        for (name, bytes) in small {
            let required = name != section::PROVENANCE;
            entries.push(SectionEntry { name, required, len: bytes.len() as u64, checksum: checksum(bytes) });
            self.write(bytes)?;
            self.pad(bytes.len() as u64)?;
        }
        let fail = |e| Error::io("write", self.beside.path(), &e);
        let bytes = self.file.stream_position().map_err(fail)?;
        self.file.seek(SeekFrom::Start(0)).map_err(fail)?;
        self.file.write_all(&front(ArtifactKind::Table, &entries)).map_err(fail)?;
        self.file.flush().map_err(fail)?;
        self.beside.rename_to(&self.out)?;
        Ok(bytes)
    }

    fn pad(&mut self, len: u64) -> Result<()> {
        let padding = len.next_multiple_of(ALIGN as u64) - len;
        self.write(&[0; ALIGN][..padding as usize])
    }
}
