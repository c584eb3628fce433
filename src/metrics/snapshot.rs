//! All metrics of an engine at one moment.

use std::fmt;
use std::sync::Arc;

use super::block::{Sums, TABLES};
use super::events::{EventCounts, Events};
use super::meter::Meters;
use crate::decision_log::LogNumbers;
use crate::live::Generation;
use crate::overlay::TableInfo;

/// An engine's metrics at one moment. Its text, by [`fmt::Display`] or [`Metrics::write`], is in Prometheus' text
/// exposition format 0.0.4 (content type `text/plain; version=0.0.4; charset=utf-8`) and always the same for the same
/// moment. docs/operations.md says what each means.
///
/// Taking one and writing it allocates nothing; it is about 20 KB of stack.
///
/// ```
/// # use std::path::Path;
/// # use adclick::{Engine, Options};
/// # fn main() -> adclick::Result<()> {
/// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
/// assert!(engine.metrics()?.to_string().contains("adclick_"));
/// # Ok(())
/// # }
/// ```
pub struct Metrics {
    pub(super) sums: Sums,
    pub(super) scorers: u64,
    pub(super) scorer_bytes: u64,
    pub(super) events: EventCounts,
    pub(super) live: Live,
    pub(super) tables: Tables,
    pub(super) generation: Arc<Generation>,
    pub(super) wrong_sides: WrongSides,
    pub(super) log: LogNumbers,
}

/// The number of inputs of the live generation that are reported by name.
const MOST_WRONG_SIDES: usize = 64;

/// Features (by number) whose inputs were passed on the wrong side, and the numbers of values. Only the first ones; the
/// counters by side cover all.
pub(super) struct WrongSides {
    all: [(u32, u64); MOST_WRONG_SIDES],
    len: usize,
}

impl WrongSides {
    fn new(generation: &Generation) -> Self {
        let mut this = Self { all: [(0, 0); MOST_WRONG_SIDES], len: 0 };
        for (place, wrong) in this.all.iter_mut().zip(generation.scoring().wrong_sides()) {
            *place = wrong;
            this.len += 1;
        }
        this
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.all[..self.len].iter().map(|&(feature, count)| (feature as usize, count))
    }
}

/// The live generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    pub(crate) kernel: &'static str,
    pub(crate) generation: u64,
    /// Microseconds since 1970-01-01 UTC.
    pub(crate) activated_us: i64,
    pub(crate) now_us: i64,
    /// Whether there is a generation to roll back to.
    pub(crate) has_previous: bool,
    /// Whether the last look at `CURRENT` failed.
    pub(crate) follow_failing: bool,
    /// How many ads, campaigns and advertisers are off.
    pub(crate) switched_off: [u32; 3],
    /// Bytes of the models and tables that are open.
    pub(crate) file_bytes: u64,
    /// Bytes of the ad caches.
    pub(crate) ad_cache_bytes: u64,
}

/// A table that is live or that a caller asked for.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) name: Arc<str>,
    /// None: the live generation does not have it.
    pub(crate) info: Option<TableInfo>,
}

/// By the engine's number for the table's name, for tables that have counters of their own.
pub(crate) type Tables = [Option<TableState>; TABLES - 1];

impl Metrics {
    pub(crate) fn new(
        meters: &Meters,
        events: &Events,
        live: Live,
        tables: Tables,
        generation: Arc<Generation>,
        log: LogNumbers,
    ) -> Self {
        let reading = meters.read();
        Self {
            sums: reading.sums,
            scorers: reading.scorers,
            scorer_bytes: reading.bytes,
            events: events.read(),
            live,
            tables,
            wrong_sides: WrongSides::new(&generation),
            generation,
            log,
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("generation", &self.live.generation).finish_non_exhaustive()
    }
}
