//! How a decision log is kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// How an engine logs what it decides and what came of it: [`crate::Options::log`] or [`crate::Engine::open_log`].
/// docs/logs.md says what the files hold.
///
/// ```
/// use std::time::Duration;
///
/// use adclick::LogOptions;
///
/// let mut log = LogOptions::new("logs");
/// log.slate_share = 0.01; // one request in a hundred with its whole slate
/// log.sync_interval = Duration::from_millis(200);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogOptions {
    /// The directory; it is made when it is not there. Many processes and machines may share one.
    pub directory: PathBuf,
    /// Whether a thread of the engine's own ("adclick-log") writes. Without it, only [`crate::Engine::drain_log`] does.
    pub thread: bool,
    /// Records that can wait for the writer: of each scorer's decisions, and of events. A power of two suits best.
    pub ring_records: usize,
    /// The share of requests whose slate is logged, 0 to 1, chosen by a hash of the request's id.
    pub slate_share: f64,
    /// The most candidates of a slate besides its winners. When there are more, some are taken at random.
    pub slate_candidates: usize,
    /// The most raw values of a slate. One that has more is not logged, and counted as lost.
    pub slate_values: usize,
    /// Slates that can wait for the writer, of each scorer. Each takes 16 bytes for each of `slate_values` and 352 for each of
    /// `slate_candidates` and 256 winners, whether it waits or not: 167 KiB by default.
    pub ring_slates: usize,
    /// Size at which a segment is closed, in bytes.
    pub segment_bytes: u64,
    /// Age at which a segment is closed.
    pub segment_age: Duration,
    /// The longest time after which what was written is synced.
    pub sync_interval: Duration,
    /// The input whose id is logged as the device; empty = none.
    pub device: String,
}

impl LogOptions {
    /// The defaults: a thread, 8,192 records a ring, no slates (32 candidates and 4,096 values when there are, of which 8 can wait),
    /// segments of 64 MiB or 300 s, synced each second, the input "device_type" as the device.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            thread: true,
            ring_records: 8192,
            slate_share: 0.0,
            slate_candidates: 32,
            slate_values: 4096,
            ring_slates: 8,
            segment_bytes: 64 << 20,
            segment_age: Duration::from_secs(300),
            sync_interval: Duration::from_secs(1),
            device: "device_type".to_owned(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let range = |what: &str, found: usize, least: usize, most: usize| {
            if (least..=most).contains(&found) {
                return Ok(());
            }
            Err(Error::argument(format!("the log's {what} is {found}, expected {least} to {most}")))
        };
        range("ring_records", self.ring_records, 16, 1 << 24)?;
        range("slate_candidates", self.slate_candidates, 0, crate::MAX_CANDIDATES)?;
        range("ring_slates", self.ring_slates, 1, 4096)?;
        range("slate_values", self.slate_values, 0, 1 << 24)?;
        if !(0.0..=1.0).contains(&self.slate_share) {
            return Err(Error::argument(format!("the log's slate_share is {}, expected 0 to 1", self.slate_share)));
        }
        if self.segment_bytes < 4096 {
            return Err(Error::argument(format!("the log's segment_bytes is {}, at least 4096", self.segment_bytes)));
        }
        if self.segment_age.is_zero() || self.sync_interval.is_zero() {
            return Err(Error::argument("the log's segment_age or sync_interval is 0, expected more"));
        }
        Ok(())
    }
}
