//! The options for opening an engine.

use std::time::Duration;

#[cfg(doc)]
use super::Engine;
use crate::artifact::OpenMode;
use crate::decision_log::LogOptions;
use crate::error::{Error, Result};
use crate::infer::Kernel;
use crate::live::{ID_SUMS_BYTES, StagingOptions, TableChecks};
use crate::types::Precision;

/// Names the kernel to use instead of the best one; for tests.
const KERNEL_VARIABLE: &str = "ADCLICK_KERNEL";

/// The most switches of a kind.
const MOST_SWITCHES: usize = 1 << 24;

/// The options for opening an engine. `Options::default()` suits most.
///
/// ```
/// use std::path::Path;
/// use std::time::Duration;
///
/// use adclick::{Engine, OpenMode, Options, Precision, TableChecks};
///
/// # fn main() -> adclick::Result<()> {
/// let mut options = Options::default();
/// options.mode = OpenMode::Copy; // survives files that are truncated in place
/// options.tables = TableChecks::Full;
/// options.precision = Some(Precision::Exact);
/// options.overlay_rows = 100_000;
/// options.follow = Some(Duration::from_secs(5)); // the directory has a CURRENT
/// let engine = Engine::open(Path::new("examples/bundles"), &options)?;
/// assert!(engine.follow_state()?.follows);
/// assert_eq!(engine.model()?.precision, Precision::Exact);
/// engine.close();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Options {
    /// Map the files (default), or copy them into memory of the process.
    pub mode: OpenMode,
    /// The kernel by name (`portable`, `avx2`, `avx512`); `None`: `ADCLICK_KERNEL` if set, else the best.
    pub kernel: Option<String>,
    /// The size of later models relative to the first: scorers get this many times its room (scratch, features and
    /// columns). At least 1.
    pub headroom: f32,
    /// How often a thread of the engine looks at `CURRENT` and switches to the bundle it names. `None`: only when
    /// [`Engine::poll`] is called.
    pub follow: Option<Duration>,
    /// How much of the table files staging reads.
    pub tables: TableChecks,
    /// Rows that can be written on top of each table ([`Engine::upsert`]); 0 = none. Memory is reserved for one and a
    /// half times as many and touched as rows are written.
    pub overlay_rows: usize,
    /// How long each column of a row written on top of a table counts, by the time of the request. `None`: until a
    /// newer table comes.
    pub overlay_max_age: Option<Duration>,
    /// How far the time of an upsert may be ahead of this machine's clock; `None`: any time. A time far in the future,
    /// such as one in another unit, would hide all writes before it.
    pub overlay_max_skew: Option<Duration>,
    /// The precision to serve in; `None`: each bundle's own, or exact. A CPU or a model that does not support it serves
    /// exact: [`crate::engine::ModelInfo::precision_reason`] says so and why.
    pub precision: Option<Precision>,
    /// Bytes that each generation may use to cache what every ad adds to the first layers of the network; 0 = none. The
    /// cache takes up to a fifth off a large request's time. [`Engine::ad_cache`] gives its size, and whether it helps
    /// this model. Staging computes it. The live generation, the one before and one being staged have a cache each, but
    /// generations with the same model and ads share one.
    pub ad_cache_bytes: u64,
    /// The key of impression ids, shared by all servers whose events may reach this one. `None`: one that only this engine
    /// has, so that other servers take its ids for forged.
    pub impression_key: Option<u128>,
    /// How long an impression id is good for.
    pub impression_max_age: Duration,
    /// Bytes that each generation may use to keep, for features that read small embedding tables, what each row adds to the
    /// first layers of the network; 0 = none. Default 64 MiB, the most that are ever used. [`Engine::ad_cache`] gives their
    /// size. Staging computes them, and generations with the same model share them. Logits have the same bits with and
    /// without: without, the sums are computed with the request.
    pub id_sums_bytes: u64,
    /// How many ads, campaigns and advertisers, of each kind, can be off at a time ([`Engine::switch`]); 0 = none. The first
    /// switch of a kind takes the memory of all of the kind, 24 bytes for each.
    pub switch_keys: usize,
    /// The log to keep of decisions and events; `None`: none until [`Engine::open_log`] opens one.
    pub log: Option<LogOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: OpenMode::Map,
            kernel: None,
            headroom: 2.0,
            follow: None,
            tables: TableChecks::Full,
            overlay_rows: 65_536,
            overlay_max_age: None,
            overlay_max_skew: Some(Duration::from_secs(300)),
            precision: None,
            ad_cache_bytes: 0,
            impression_key: None,
            impression_max_age: Duration::from_secs(30 * 86_400),
            id_sums_bytes: ID_SUMS_BYTES,
            switch_keys: 65_536,
            log: None,
        }
    }
}

impl Options {
    /// The settings that each staging depends on.
    pub(super) fn staging(&self, kernel: &'static Kernel) -> StagingOptions {
        let &Self { mode, tables, precision, ad_cache_bytes, id_sums_bytes, .. } = self;
        StagingOptions { mode, kernel, tables, precision, ad_cache_bytes, id_sums_bytes }
    }

    /// Checks that the numbers are within their ranges.
    pub(super) fn check(&self) -> Result<()> {
        if !(self.headroom >= 1.0 && self.headroom <= 1000.0) {
            return Err(Error::argument(format!("headroom {}: expected 1 to 1000", self.headroom)));
        }
        if self.switch_keys > MOST_SWITCHES {
            return Err(Error::argument(format!("switch_keys {}: expected at most {MOST_SWITCHES}", self.switch_keys)));
        }
        if self.follow.is_some_and(|interval| interval.is_zero()) {
            return Err(Error::argument("follow: an interval of 0, expected more, or none to follow by polling only"));
        }
        Ok(())
    }

    /// The kernel of the options, else of the environment, else the best.
    pub(super) fn kernel(&self) -> Result<&'static Kernel> {
        match (&self.kernel, std::env::var(KERNEL_VARIABLE)) {
            (Some(name), _) => Kernel::by_name(name),
            (None, Ok(name)) if !name.is_empty() => {
                Kernel::by_name(&name).map_err(|e| e.within(format_args!("environment variable {KERNEL_VARIABLE}")))
            }
            _ => Ok(Kernel::detect()),
        }
    }
}
