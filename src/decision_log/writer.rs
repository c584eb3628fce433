//! The one who writes: takes what waits in all rings, and keeps the streams' segments.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::LogOptions;
use super::disk::Disk;
use super::encode::{self, Place};
use super::features::FeatureNames;
use super::record::{Stream, Waiting};
use super::recover::{Recovered, recover};
use super::ring::Ring;
use super::segment::{Rhythm, Segments, StreamCounts};
use crate::error::{Error, Result, Status};

/// Records taken between two looks at the clock.
const BATCH: usize = 1024;

/// What a log has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) streams: [StreamCounts; 3],
    /// By stream: records offered, and those lost because nobody took them in time.
    pub(crate) offered: [u64; 3],
    pub(crate) lost: [u64; 3],
    /// Slates, of those lost, that had more values than there is room for.
    pub(crate) too_large: u64,
    /// Records that wait in rings.
    pub(crate) waiting: u64,
    /// How long the oldest record has waited that was taken out of a ring and is not safe.
    pub(crate) lag: Duration,
    /// Segments that had been left open, and the bytes cut off them.
    pub(crate) recovered: u64,
    pub(crate) cut: u64,
    /// Whether the last write or sync of a stream failed.
    pub(crate) failing: bool,
}

pub(super) struct Writer {
    run: u64,
    root: PathBuf,
    disk: Box<dyn Disk>,
    streams: [Segments; 3],
    rings: Vec<Arc<Ring>>,
    features: Arc<FeatureNames>,
    names: Vec<Arc<str>>,
    /// Counts of rings whose scorers are gone: offered and lost by stream, slates too large.
    gone: ([u64; 3], [u64; 3], u64),
    recovered: Vec<Recovered>,
    /// Segments that were given up wait to be closed.
    to_recover: bool,
    segments: u64,
}

impl Writer {
    /// Makes the directories, and closes what others left open in them.
    pub(super) fn open(
        options: &LogOptions,
        run: u64,
        disk: Box<dyn Disk>,
        features: Arc<FeatureNames>,
    ) -> Result<Self> {
        let root = std::path::absolute(&options.directory).map_err(|e| Error::io("resolve", &options.directory, &e))?;
        for name in Stream::ALL.map(Stream::name).into_iter().chain(["runs"]) {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(|e| Error::io("make the log's directory", &path, &e))?;
        }
        let rhythm = Rhythm { bytes: options.segment_bytes, age: options.segment_age, sync: options.sync_interval };
        let marker = (u128::from(super::impression::random()) << 64 | u128::from(run)).to_le_bytes();
        let streams = Stream::ALL.map(|stream| Segments::new(stream, &root, run, marker, rhythm));
        let mut this = Self {
            run,
            root,
            disk,
            streams,
            rings: Vec::new(),
            features,
            names: Vec::new(),
            gone: Default::default(),
            recovered: Vec::new(),
            to_recover: false,
            segments: 0,
        };
        this.recover()?;
        Ok(this)
    }

    fn recover(&mut self) -> Result<()> {
        for stream in Stream::ALL {
            self.recovered.extend(recover(&self.root.join(stream.name()))?);
        }
        // Messages are for people; the counters keep all.
        let most = self.recovered.len().saturating_sub(1000);
        self.recovered.drain(..most);
        Ok(())
    }

    pub(super) fn add(&mut self, ring: Arc<Ring>) {
        self.rings.push(ring);
    }

    /// Takes and writes what waits, and syncs and closes what is due. `counts` is told how it stands.
    pub(super) fn turn(&mut self, counts: &mut Counts) {
        for at in 0..self.rings.len() {
            let ring = Arc::clone(&self.rings[at]);
            // Not more than it holds, so that the others get their turn.
            for _ in 0..ring.waiting() / BATCH + 1 {
                self.take(&ring);
                self.streams.iter_mut().for_each(|stream| stream.tend(&*self.disk));
            }
        }
        self.streams.iter_mut().for_each(|stream| stream.tend(&*self.disk));
        let (mut failures, mut segments) = (false, 0);
        for stream in &self.streams {
            failures |= stream.error().is_some();
            segments += stream.counts().segments;
        }
        if failures {
            self.to_recover = true;
        } else if self.to_recover {
            self.to_recover = self.recover().is_err();
        }
        if segments != self.segments {
            self.segments = segments;
            self.summary(false);
        }
        let gone = &mut self.gone;
        self.rings.retain(|ring| {
            // Only the writer has it: its scorer is gone.
            let kept = Arc::strong_count(ring) > 1 || ring.waiting() > 0;
            if !kept {
                for stream in Stream::ALL {
                    let (offered, lost) = ring.counts(stream);
                    gone.0[stream as usize] += offered;
                    gone.1[stream as usize] += lost;
                }
                gone.2 += ring.too_large();
            }
            kept
        });
        self.tell(counts);
    }

    fn tell(&self, counts: &mut Counts) {
        let (offered, lost, too_large) = self.gone;
        *counts = Counts { offered, lost, too_large, ..Counts::default() };
        for ring in &self.rings {
            for stream in Stream::ALL {
                let (offered, lost) = ring.counts(stream);
                counts.offered[stream as usize] += offered;
                counts.lost[stream as usize] += lost;
            }
            counts.too_large += ring.too_large();
            counts.waiting += ring.waiting() as u64;
        }
        for (to, stream) in counts.streams.iter_mut().zip(&self.streams) {
            *to = stream.counts();
            counts.lag = counts.lag.max(stream.lag());
            counts.failing |= stream.error().is_some();
        }
        counts.recovered = self.recovered.len() as u64;
        counts.cut = self.recovered.iter().map(|one| one.cut).sum();
    }

    /// Up to a batch of a ring's records, as long as the disk keeps up.
    fn take(&mut self, ring: &Ring) {
        let place = |seq| Place { run: self.run, ring: ring.number, seq };
        let [decisions, slates, events] = &mut self.streams;
        for _ in 0..BATCH {
            if decisions.is_full() || events.is_full() {
                break;
            }
            match ring.take() {
                None => break,
                Some(Waiting::Decision { seq, decided, scored, winner }) => {
                    decisions.put(|out| encode::decision(out, place(seq), &decided, &scored, &winner));
                }
                Some(Waiting::Event { seq, record }) => events.put(|out| encode::event(out, place(seq), &record)),
            }
        }
        while !slates.is_full() {
            let Some(slate) = ring.take_slate() else { break };
            let last = slate.values.iter().map(|value| value.feature).max().unwrap_or(0);
            if last as usize > self.names.len() {
                self.features.copy(&mut self.names);
            }
            slates.put(|out| encode::slate(out, place(slate.seq), &slate, &self.names));
            ring.give_back(slate);
        }
    }

    /// Writes and syncs all that waits; closes the segments if they are to be.
    pub(super) fn finish(&mut self, counts: &mut Counts, close: bool) -> Result<()> {
        // What comes while this goes on may wait for the next time.
        let mut turns = 2 + self.rings.iter().map(|ring| ring.waiting()).max().unwrap_or(0) / BATCH;
        while turns > 0 && self.rings.iter().any(|ring| ring.waiting() > 0) {
            self.turn(counts);
            turns -= 1;
        }
        let mut failed = None;
        for stream in &mut self.streams {
            failed = failed.or(stream.finish(&*self.disk, close).err());
        }
        if close {
            self.summary(true);
        }
        self.tell(counts);
        failed.map_or(Ok(()), |text| Err(Error::new(Status::Io, text)))
    }

    pub(super) fn error(&self) -> Option<Error> {
        let text = self.streams.iter().find_map(Segments::error)?;
        Some(Error::new(Status::Io, text))
    }

    pub(super) fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// What the run has done, beside the streams: losses after the last record show in no gap. It is written as segments are
    /// closed; when that fails, only this is missing.
    fn summary(&self, closed: bool) {
        let mut counts = Counts::default();
        self.tell(&mut counts);
        let streams = Stream::ALL.map(|stream| {
            let at = stream as usize;
            let (offered, lost) = (counts.offered[at], counts.lost[at]);
            let StreamCounts { written, segments, .. } = counts.streams[at];
            let name = stream.name();
            format!(
                "\"{name}\":{{\"offered\":{offered},\"lost\":{lost},\"written\":{written},\"segments\":{segments}}}"
            )
        });
        let text = format!(
            "{{\"run\":\"{:016x}\",\"updated_us\":{},\"closed\":{closed},{}}}\n",
            self.run,
            crate::clock::now_us(),
            streams.join(",")
        );
        let _ = replace(&self.root.join("runs"), &format!("{:016x}.json", self.run), &text);
    }
}

fn replace(directory: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let beside = directory.join(format!("_{name}"));
    fs::write(&beside, text)?;
    fs::rename(beside, directory.join(name))
}
