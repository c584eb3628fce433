//! One stream's segments: records to blocks, blocks to files; what a disk does to them.
//!
//! A block stays in memory until it is synced. When writing or syncing fails, the segment is given up and never touched
//! again: the kernel may have dropped what it could not write, and says so once. The next segment begins with all
//! blocks that were not synced. All segments of a run have one marker, so that a block is the same bytes in each.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::avro::{Blocks, Marker, header};
use super::disk::{Disk, Output};
use super::names;
use super::record::Stream;

/// Plain bytes of a block.
const BLOCK: usize = 64 << 10;
/// What may wait for a sync before one is made ahead of time, and the most that is kept when none succeeds.
const UNSYNCED: usize = 8 << 20;
const MOST_UNSYNCED: usize = 32 << 20;
/// How long a failed disk is left alone, at first and in the end.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// When segments are closed and synced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rhythm {
    pub(super) bytes: u64,
    pub(super) age: Duration,
    pub(super) sync: Duration,
}

/// What a stream has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StreamCounts {
    /// Records that were synced.
    pub(crate) written: u64,
    /// Bytes that were synced.
    pub(crate) bytes: u64,
    /// Segments that were closed.
    pub(crate) segments: u64,
    /// Writes, syncs and renames that failed.
    pub(crate) failures: u64,
}

pub(super) struct Segments {
    stream: Stream,
    directory: PathBuf,
    run: u64,
    marker: Marker,
    rhythm: Rhythm,
    blocks: Blocks,
    /// Records that are no block yet.
    plain: Vec<u8>,
    plain_records: u64,
    /// Blocks that are not known to be safe, and the records in them.
    unsynced: Vec<u8>,
    unsynced_records: u64,
    /// When the oldest record came that is not safe.
    waiting_since: Option<Instant>,
    current: Option<Current>,
    number: u64,
    again: Option<(Instant, Duration)>,
    counts: StreamCounts,
    /// What failed last, until something succeeds.
    error: Option<String>,
}

/// The segment that is being written.
struct Current {
    file: Box<dyn Output>,
    open: PathBuf,
    closed: PathBuf,
    began: Instant,
    synced: u64,
    /// Bytes of `unsynced` that are in the file.
    written: usize,
}

impl Segments {
    pub(super) fn new(stream: Stream, root: &Path, run: u64, marker: Marker, rhythm: Rhythm) -> Self {
        Self {
            stream,
            directory: root.join(stream.name()),
            run,
            marker,
            rhythm,
            blocks: Blocks::new(),
            plain: Vec::with_capacity(2 * BLOCK),
            plain_records: 0,
            unsynced: Vec::new(),
            unsynced_records: 0,
            waiting_since: None,
            current: None,
            number: 0,
            again: None,
            counts: StreamCounts::default(),
            error: None,
        }
    }

    /// Whether it takes no more records until the disk does.
    pub(super) fn is_full(&self) -> bool {
        self.unsynced.len() >= MOST_UNSYNCED
    }

    /// Takes a record, which `encode` writes.
    pub(super) fn put(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.plain);
        self.plain_records += 1;
        self.waiting_since.get_or_insert_with(Instant::now);
        if self.plain.len() >= BLOCK {
            self.finish_block();
        }
    }

    fn finish_block(&mut self) {
        if self.plain_records > 0 {
            self.blocks.put(self.plain_records, &self.plain, &self.marker, &mut self.unsynced);
            self.unsynced_records += std::mem::take(&mut self.plain_records);
            self.plain.clear();
        }
    }

    /// Writes, syncs and closes what is due. Call it often.
    pub(super) fn tend(&mut self, disk: &dyn Disk) {
        let now = Instant::now();
        if self.again.is_some_and(|(at, _)| now < at) {
            return;
        }
        let late = self.waiting_since.is_some_and(|since| now >= since + self.rhythm.sync);
        let old = self.current.as_ref().is_some_and(|current| now >= current.began + self.rhythm.age);
        let long = |this: &Self| {
            this.current.as_ref().is_some_and(|c| c.synced + this.unsynced.len() as u64 >= this.rhythm.bytes)
        };
        let done = if late || old || long(self) || self.unsynced.len() >= UNSYNCED {
            self.sync(disk).and_then(|()| if old || long(self) { self.close(disk) } else { Ok(()) })
        } else {
            self.write(disk)
        };
        self.settle(done);
    }

    /// Syncs everything now, and closes the segment if it is to be.
    pub(super) fn finish(&mut self, disk: &dyn Disk, close: bool) -> Result<(), String> {
        let done = self.sync(disk).and_then(|()| if close { self.close(disk) } else { Ok(()) });
        self.settle(done);
        self.error.clone().map_or(Ok(()), Err)
    }

    fn settle(&mut self, done: Result<(), String>) {
        match done {
            Ok(()) => (self.again, self.error) = (None, None),
            Err(text) => {
                self.counts.failures += 1;
                self.error = Some(text);
                if let Some(mut current) = self.current.take() {
                    // What was synced stays; what was not stands in the next segment. If this fails as well, a record
                    // may stand in both.
                    let _ = current.file.cut(current.synced);
                }
                let pause = self.again.map_or(FIRST_PAUSE, |(_, pause)| (2 * pause).min(LAST_PAUSE));
                self.again = Some((Instant::now() + pause, pause));
            }
        }
    }

    /// Hands whole blocks to the system.
    fn write(&mut self, disk: &dyn Disk) -> Result<(), String> {
        if self.current.as_ref().map_or(0, |current| current.written) == self.unsynced.len() {
            return Ok(());
        }
        let current = match &mut self.current {
            Some(current) => current,
            empty => {
                let current = begin(disk, self.stream, &self.directory, (self.run, self.number), &self.marker)?;
                self.number += 1;
                empty.insert(current)
            }
        };
        let failed = |e: io::Error| format!("cannot write {}: {e}", current.open.display());
        current.file.write(&self.unsynced[current.written..]).map_err(failed)?;
        current.written = self.unsynced.len();
        Ok(())
    }

    fn sync(&mut self, disk: &dyn Disk) -> Result<(), String> {
        self.finish_block();
        self.write(disk)?;
        if self.unsynced.is_empty() {
            return Ok(());
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let failed = |e: io::Error| format!("cannot sync {}: {e}", current.open.display());
        current.file.sync().map_err(failed)?;
        current.synced += current.written as u64;
        current.written = 0;
        self.counts.bytes += self.unsynced.len() as u64;
        self.counts.written += std::mem::take(&mut self.unsynced_records);
        self.unsynced.clear();
        self.unsynced.shrink_to(UNSYNCED);
        self.waiting_since = None;
        Ok(())
    }

    /// Gives a synced segment its name.
    fn close(&mut self, disk: &dyn Disk) -> Result<(), String> {
        if let Some(Current { open, closed, .. }) = self.current.take() {
            let failed = |e: io::Error| format!("cannot rename {}: {e}", open.display());
            disk.rename(&open, &closed).map_err(failed)?;
            disk.sync_directory(&self.directory).map_err(failed)?;
            self.counts.segments += 1;
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> StreamCounts {
        self.counts
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// How long the oldest record that is not safe has waited.
    pub(super) fn lag(&self) -> Duration {
        self.waiting_since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

fn begin(
    disk: &dyn Disk,
    stream: Stream,
    directory: &Path,
    (run, number): (u64, u64),
    marker: &Marker,
) -> Result<Current, String> {
    let opened_us = crate::clock::now_us();
    let name = names::segment(stream.name(), opened_us, run, number);
    let (open, closed) = (directory.join(format!("_{name}.open")), directory.join(&name));
    let failed = |e: io::Error| format!("cannot begin {}: {e}", open.display());
    let mut file = disk.create(&open).map_err(failed)?;
    let (run, opened) = (format!("{run:016x}"), opened_us.to_string());
    let metadata = [
        ("adclick.stream", stream.name()),
        ("adclick.version", "1"),
        ("adclick.run", run.as_str()),
        ("adclick.opened_us", opened.as_str()),
    ];
    let header = header(stream.schema(), &metadata, marker);
    let written = file.write(&header).and_then(|()| file.sync()).and_then(|()| disk.sync_directory(directory));
    if let Err(e) = written {
        // Without its header it says nothing; when this fails, recovery removes it.
        let _ = std::fs::remove_file(&open);
        return Err(failed(e));
    }
    Ok(Current { file, open, closed, began: Instant::now(), synced: header.len() as u64, written: 0 })
}
