//! Progress of long work, and cancelling it.
//!
//! The work reports to a [`Watch`]: a progress bar, a log, a callback into another language. Between batches it asks
//! the watch whether to continue, and stops with [`Cancelled`] if not.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

/// The unit of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of files on disk.
    Bytes,
    /// Rows.
    Rows,
}

/// An observer of the work. At most one stage runs at a time.
pub trait Watch: Send + Sync {
    /// A stage begins: its name and its length.
    fn begin(&self, stage: &str, length: u64, unit: Unit);
    /// The stage has reached this position.
    fn tick(&self, position: u64);
    /// The stage has ended.
    fn end(&self);
    /// A line for the user; warnings begin with `warning: `.
    fn note(&self, line: &str);
    /// Whether to stop the work. Asked between batches of rows.
    fn cancelled(&self) -> bool {
        false
    }
}

/// The watch stopped the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled before the work was done")
    }
}

impl std::error::Error for Cancelled {}

/// Reports progress to a watch.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Watch>>);

impl Progress {
    /// Reports to a watch.
    #[must_use]
    pub fn to(watch: Arc<dyn Watch>) -> Self {
        Self(Some(watch))
    }

    /// Reports to no watch.
    #[must_use]
    pub fn silent() -> Self {
        Self(None)
    }

    /// Begins a stage of `length` bytes.
    #[must_use]
    pub fn bytes(&self, what: &str, length: u64) -> JobStage {
        self.begin(what, length, Unit::Bytes)
    }

    /// Begins a stage of `length` rows.
    #[must_use]
    pub fn rows(&self, what: &str, length: u64) -> JobStage {
        self.begin(what, length, Unit::Rows)
    }

    /// A part of a stage that counts separately: it does not tick, but can be cancelled.
    #[must_use]
    pub fn within(&self) -> JobStage {
        JobStage(Arc::new(Ticks { watch: self.0.clone(), shown: false, position: AtomicU64::new(0) }))
    }

    /// Shows a line.
    pub fn note(&self, line: &str) {
        if let Some(watch) = &self.0 {
            watch.note(line);
        }
    }

    /// Shows a warning.
    pub fn warn(&self, warning: &str) {
        self.note(&format!("warning: {warning}"));
    }

    fn begin(&self, what: &str, length: u64, unit: Unit) -> JobStage {
        if let Some(watch) = &self.0 {
            watch.begin(what, length, unit);
        }
        JobStage(Arc::new(Ticks { watch: self.0.clone(), shown: true, position: AtomicU64::new(0) }))
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Progress(to a watch)" } else { "Progress(silent)" })
    }
}

/// A running stage; it ends when the last clone is dropped.
#[derive(Clone)]
pub struct JobStage(Arc<Ticks>);

struct Ticks {
    watch: Option<Arc<dyn Watch>>,
    shown: bool,
    position: AtomicU64,
}

impl JobStage {
    /// A stage without a watch.
    #[must_use]
    pub fn silent() -> Self {
        Progress::silent().within()
    }

    /// Advances by this much.
    pub fn advance(&self, by: u64) {
        self.tick(self.0.position.fetch_add(by, Ordering::Relaxed) + by);
    }

    /// Advances to this position.
    pub fn set(&self, position: u64) {
        self.0.position.store(position, Ordering::Relaxed);
        self.tick(position);
    }

    fn tick(&self, position: u64) {
        if let (true, Some(watch)) = (self.0.shown, &self.0.watch) {
            watch.tick(position);
        }
    }

    /// Whether to continue.
    ///
    /// # Errors
    /// [`Cancelled`] when the watch stops the work.
    pub fn check(&self) -> Result<()> {
        match &self.0.watch {
            Some(watch) if watch.cancelled() => Err(Cancelled.into()),
            _ => Ok(()),
        }
    }

    /// A stream that advances the stage by the bytes read from it.
    pub(crate) fn reads<R: Read>(&self, inner: R) -> Watched<R> {
        Watched { inner, stage: self.clone() }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        if let (true, Some(watch)) = (self.shown, &self.watch) {
            watch.end();
        }
    }
}

/// A stream that advances a stage.
pub(crate) struct Watched<R> {
    inner: R,
    stage: JobStage,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.stage.advance(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[derive(Default)]
    struct Notes {
        lines: Mutex<Vec<String>>,
        stop: AtomicBool,
    }

    impl Notes {
        fn add(&self, line: String) {
            self.lines.lock().unwrap().push(line);
        }
    }

    impl Watch for Notes {
        fn begin(&self, stage: &str, length: u64, unit: Unit) {
            self.add(format!("{stage}: {length} {unit:?}"));
        }
        fn tick(&self, position: u64) {
            self.add(format!("{position}"));
        }
        fn end(&self) {
            self.add("end".to_owned());
        }
        fn note(&self, line: &str) {
            self.add(line.to_owned());
        }
        fn cancelled(&self) -> bool {
            self.stop.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_stage_ticks_ends_once_and_can_be_cancelled() {
        let notes = Arc::new(Notes::default());
        let progress = Progress::to(notes.clone());
        let stage = progress.bytes("Reading", 10);
        io::copy(&mut stage.reads(&b"four"[..]), &mut io::sink()).unwrap();
        let within = progress.within();
        within.advance(100);
        stage.check().unwrap();
        notes.stop.store(true, Ordering::Relaxed);
        for stage in [&stage, &within] {
            assert!(stage.check().unwrap_err().is::<Cancelled>());
        }
        drop((stage, within));
        progress.warn("late");
        let lines = notes.lines.lock().unwrap();
        assert_eq!(lines.first().unwrap(), "Reading: 10 Bytes");
        assert_eq!(lines[1], "4");
        assert_eq!(lines[lines.len() - 2..], ["end", "warning: late"]);
        assert!(!lines.contains(&"100".to_owned()));
        JobStage::silent().check().unwrap();
    }
}
