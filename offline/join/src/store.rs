//! What a join keeps between runs: a directory of immutable files, and a manifest that is replaced as one.
//!
//! Files that no manifest names are left over from a killed run; the next one removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use adclick_data::files::{read_text, write_whole};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::options::Options;
use crate::record::{EVENT_BYTES, Event};

/// The directory within the output.
const DIRECTORY: &str = "_state";
const MANIFEST: &str = "manifest.json";
const VERSION: u32 = 1;

/// A file of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DecisionFile {
    /// Its name in the directory.
    pub(crate) name: String,
    /// Its rows.
    pub(crate) rows: u64,
    /// The rows are those of part `part` of 2^`depth` parts of the hour.
    pub(crate) depth: u32,
    pub(crate) part: u32,
}

/// What is known of an hour of decisions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct HourState {
    pub(crate) decisions: Vec<DecisionFile>,
    pub(crate) ids: Vec<String>,
    pub(crate) events: Vec<String>,
    pub(crate) slates: Vec<String>,
    /// The touches, sorted by user: of clicks, of views.
    pub(crate) touches: Option<[String; 2]>,
    pub(crate) counts: Counts,
    pub(crate) rows: u64,
    /// When the next of its rows is mature.
    pub(crate) due_us: Option<i64>,
}

/// All that is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) options: Options,
    /// Runs so far: file names begin with it.
    pub(crate) runs: u64,
    /// The latest time of any record.
    pub(crate) latest_us: i64,
    /// For what time rows were last called mature.
    pub(crate) as_of_us: i64,
    /// The segments that were read: name and length.
    pub(crate) segments: BTreeMap<String, u64>,
    /// Records read, by kind.
    pub(crate) read: Counts,
    pub(crate) hours: BTreeMap<i64, HourState>,
    /// Events whose decision is not known, by the hour of the event.
    pub(crate) unmatched: BTreeMap<i64, Vec<String>>,
    pub(crate) unmatched_counts: BTreeMap<i64, Counts>,
    /// All records of orders; and each order with its credit.
    pub(crate) orders: Option<String>,
    pub(crate) forged_orders: Option<String>,
    pub(crate) placed: Option<String>,
    pub(crate) orders_counts: Counts,
    /// Records that no hour has: decisions without a winner and the like.
    pub(crate) elsewhere: Counts,
}

/// The directory, locked for one run.
pub(crate) struct Store {
    path: PathBuf,
    pub(crate) manifest: Manifest,
    made: std::sync::atomic::AtomicU64,
    _lock: File,
}

impl Store {
    /// Opens the state of an output directory, or begins one.
    pub(crate) fn open(out: &Path, options: &Options) -> Result<Self> {
        let path = out.join(DIRECTORY);
        let what = || format!("cannot use {}", path.display());
        fs::create_dir_all(&path).with_context(what)?;
        let lock = File::create(path.join("lock")).with_context(what)?;
        ensure!(lock.try_lock().is_ok(), "{}: another run is at work here; wait for it", out.display());
        let at = path.join(MANIFEST);
        let manifest = if at.exists() {
            let manifest: Manifest =
                serde_json::from_str(&read_text(&at)?).with_context(|| format!("{} is damaged", at.display()))?;
            ensure!(manifest.version == VERSION, "{}: version {}, expected {VERSION}", at.display(), manifest.version);
            ensure!(
                manifest.options == *options,
                "{} was joined with other rules (windows, age limit, traffic, features): give the same, or another --out",
                out.display()
            );
            manifest
        } else {
            Manifest {
                version: VERSION,
                options: options.clone(),
                runs: 0,
                latest_us: i64::MIN,
                as_of_us: i64::MIN,
                segments: BTreeMap::new(),
                read: Counts::default(),
                hours: BTreeMap::new(),
                unmatched: BTreeMap::new(),
                unmatched_counts: BTreeMap::new(),
                orders: None,
                forged_orders: None,
                placed: None,
                orders_counts: Counts::default(),
                elsewhere: Counts::default(),
            }
        };
        let mut store = Self { path, manifest, made: 0.into(), _lock: lock };
        store.manifest.runs += 1;
        store.sweep()?;
        Ok(store)
    }

    /// A new file's name, and its path.
    pub(crate) fn make(&self, kind: &str) -> (String, PathBuf) {
        let n = self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("{kind}-{:06}-{n:06}", self.manifest.runs);
        let path = self.path.join(&name);
        (name, path)
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the manifest: from now on this run is part of the state.
    pub(crate) fn commit(&mut self) -> Result<()> {
        File::open(&self.path)
            .and_then(|d| d.sync_all())
            .with_context(|| format!("cannot sync {}", self.path.display()))?;
        let text = serde_json::to_string(&self.manifest)?;
        write_whole(&self.path.join(MANIFEST), |out| Ok(out.write_all(text.as_bytes())?))?;
        self.sweep()
    }

    /// Removes files that the manifest does not name.
    fn sweep(&self) -> Result<()> {
        let m = &self.manifest;
        let mut named: BTreeSet<&str> = ["lock", MANIFEST].into();
        for hour in m.hours.values() {
            named.extend(hour.decisions.iter().map(|f| f.name.as_str()));
            named.extend(hour.ids.iter().chain(&hour.events).chain(&hour.slates).map(String::as_str));
            named.extend(hour.touches.iter().flatten().map(String::as_str));
        }
        named.extend(m.unmatched.values().flatten().map(String::as_str));
        named.extend([&m.orders, &m.forged_orders, &m.placed].into_iter().flatten().map(String::as_str));
        for entry in fs::read_dir(&self.path).with_context(|| format!("cannot read {}", self.path.display()))? {
            let entry = entry?;
            if !named.contains(&*entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

/// Writes a file of the state and syncs it.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let what = || format!("{} is not written", path.display());
    let mut out = BufWriter::with_capacity(1 << 18, File::create(path).with_context(what)?);
    write(&mut out).with_context(what)?;
    out.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|f| f.sync_all()).with_context(what)
}

/// The events of a file.
pub(crate) fn read_events(path: &Path, mut each: impl FnMut(Event)) -> Result<()> {
    let what = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(what)?;
    let mut buffer = vec![0; EVENT_BYTES * 4096];
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]).with_context(what)? {
                0 => break,
                n => filled += n,
            }
        }
        let (records, rest) = buffer[..filled].as_chunks::<EVENT_BYTES>();
        ensure!(rest.is_empty(), "{} ends within a record: {} bytes too many", path.display(), rest.len());
        for record in records {
            each(Event::decode(record).with_context(what)?);
        }
        if filled < buffer.len() {
            return Ok(());
        }
    }
}
