//! The engine: owns the current generation, stages new ones, and makes scorers. Shared by all threads.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bundle;
use crate::clock::now_us;
use crate::decision_log::Hub;
use crate::error::{Error, Result, Status};
use crate::live::{Cancel, Generation, Opening, StagingOptions, SwapCell, SwapReader};
use crate::metrics::{Events, Meters};
use crate::model::{AdCacheInfo, Limits};
use crate::overlay::{Overlays, Switches};
use crate::schema::MAX_TABLES;
use crate::scorer::{Scorer, ScorerLimits};
use crate::table::MAX_ROW;
use follow::{Follower, Looked};
use names::Names;

mod close;
mod follow;
mod inputs;
mod log;
mod metrics;
mod names;
mod options;
mod staged;
mod state;
mod switches;
mod upsert;

pub use inputs::{ModelInfo, WrongSide};
pub use options::Options;
pub use staged::Staged;
pub use state::FollowState;

/// Owns the live generation. Cheap to share by reference; dropping it closes it.
pub struct Engine {
    shared: Arc<Shared>,
    follower: Mutex<Option<Follower>>,
}

/// State shared by the engine, staged generations and scorers.
pub(crate) struct Shared {
    staging: StagingOptions,
    overlays: Overlays,
    switches: Arc<Switches>,
    limits: Limits,
    swap_cell: Arc<SwapCell<Generation>>,
    meters: Arc<Meters>,
    events: Events,
    log: Hub,
    names: Mutex<Names>,
    published: Mutex<Published>,
    /// The directory that holds `CURRENT`, when the engine was opened on one.
    root: Option<PathBuf>,
    /// Allows one look at `CURRENT` at a time: two that find the same news would both activate it, and a rollback would
    /// lead from it to itself.
    looking: Mutex<Looked>,
    /// Staging checks this now and then, so that closing need not wait for a bundle to be read.
    closing: AtomicBool,
}

/// State that only publishers use.
#[derive(Default)]
struct Published {
    current: Option<Arc<Generation>>,
    previous: Option<Arc<Generation>>,
    /// The generation that `CURRENT` named when it was last acted upon, so that a rollback is not undone by the next
    /// look.
    followed: Option<u64>,
    follow_error: Option<Error>,
    /// When `CURRENT` was last looked at; 0 = never.
    looked_us: i64,
    /// When `current` became the live one: microseconds since 1970-01-01 UTC.
    activated_us: i64,
    closed: bool,
}

impl Engine {
    /// Opens an engine on a bundle directory, or on a directory that holds `CURRENT`.
    ///
    /// # Errors
    /// As [`Engine::stage`]; `Unsupported` for a kernel that is unknown or that this CPU lacks, `InvalidArgument` for an option
    /// out of range.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        let engine = Self::open_unfollowed(path, options)?;
        engine.start_threads(options)?;
        Ok(engine)
    }

    /// The same without its threads, which inherit the settings of the thread that starts them.
    pub(crate) fn open_unfollowed(path: &Path, options: &Options) -> Result<Self> {
        options.check()?;
        let kernel = options.kernel()?;
        // A relative path must not change its meaning with the process's directory.
        let path = &std::path::absolute(path).map_err(|e| Error::io("resolve", path, &e))?;
        let root = path.join(bundle::CURRENT).exists().then(|| path.clone());
        let first = match &root {
            Some(root) => bundle::current(root)?,
            None => path.clone(),
        };
        if options.follow.is_some() && root.is_none() {
            return Err(Error::argument(format!(
                "{} has no {} to follow: open the directory that holds the bundles",
                path.display(),
                bundle::CURRENT
            )));
        }
        let mut names = Names::default();
        let log = Hub::new(options.impression_key, options.impression_max_age, names.list());
        let overlays = Overlays::new(options.overlay_rows, options.overlay_max_age).with_skew(options.overlay_max_skew);
        let staging = options.staging(kernel);
        let how = Opening { staging, earlier: &[], overlays: Some(&overlays), limits: None, cancel: Cancel::default() };
        let generation = Generation::open(&first, how, |name| names.handle(name))?;
        let needs = generation.needs();
        let roomy = |n: usize| (n as f64 * f64::from(options.headroom)).ceil() as usize;
        let limits = Limits {
            scratch: roomy(needs.scratch),
            features: roomy(needs.features),
            width: roomy(needs.width),
            tables: roomy(needs.tables).clamp(LEAST_TABLES, MAX_TABLES),
            row_bytes: roomy(needs.row_bytes).max(MAX_ROW),
        };
        let followed = root.is_some().then_some(generation.id());
        let generation = Arc::new(generation);
        let swap_cell = Arc::new(SwapCell::new());
        swap_cell.publish(Some(Arc::clone(&generation)));
        let activated_us = now_us();
        let published = Published { current: Some(generation), followed, activated_us, ..Published::default() };
        let shared = Arc::new(Shared {
            staging,
            overlays,
            switches: Arc::new(Switches::new(options.switch_keys)),
            limits,
            swap_cell,
            meters: Arc::new(Meters::new()),
            events: Events::default(),
            log,
            names: Mutex::new(names),
            published: Mutex::new(published),
            root,
            looking: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        Ok(Self { shared, follower: Mutex::new(None) })
    }

    /// Starts the following thread and the log's, as configured. Call once.
    pub(crate) fn start_threads(&self, options: &Options) -> Result<()> {
        if let Some(log) = &options.log {
            self.open_log(log)?;
        }
        let follower = options.follow.map(|interval| Follower::start(&self.shared, interval)).transpose()?;
        *self.follower() = follower;
        Ok(())
    }

    fn follower(&self) -> MutexGuard<'_, Option<Follower>> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and checks a bundle without making it live: manifest, checksums, every shape and count, golden requests,
    /// and that the model can read its tables. A model or table file that the live generation or the one before also
    /// has, by length and checksum, is not read again: its map is shared.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Unsupported`, `GoldenMismatch`, `CapacityExceeded` when there is no memory for
    /// [`Options::overlay_rows`], or `Closed`. The live generation stays.
    pub fn stage(&self, bundle: &Path) -> Result<Staged> {
        staged::stage(&self.shared, bundle)
    }

    /// Goes back to the generation before the last activation. Returns its id.
    ///
    /// # Errors
    /// `NoPrevious` when there is none: only one earlier generation is kept, and a rollback uses it up.
    pub fn rollback(&self) -> Result<u64> {
        let _quiet = self.shared.overlays.quiet();
        let previous = self.shared.publisher()?.previous.clone();
        let Some(previous) = previous else {
            return Err(Error::new(Status::NoPrevious, "there is no earlier generation to roll back to"));
        };
        let id = previous.id();
        let mut published = self.shared.publisher_of(&previous)?;
        published.previous = None;
        self.shared.swap_cell.publish(Some(Arc::clone(&previous)));
        published.current = Some(previous);
        published.activated_us = now_us();
        self.shared.events.rolled_back();
        Ok(id)
    }

    /// Looks at `CURRENT` now. If its bundle holds another generation than at the last look, and not the live one,
    /// stages and activates it. Frees replaced generations that no request holds any more. Returns the new generation's
    /// id if there is one.
    ///
    /// ```
    /// # use std::path::Path;
    /// # use adclick::{Engine, Options};
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles"), &Options::default())?;
    /// assert_eq!(engine.poll()?, None); // CURRENT names what is live
    /// let state = engine.follow_state()?;
    /// assert_eq!((state.looks, state.failed_looks, state.activations, state.error), (1, 0, 0, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A bundle that was refused is remembered with the reason: later calls return the same error without staging
    /// again, until `CURRENT` or a file of the bundle changes. If the reason was outside the files (no memory, an I/O
    /// error), or if a file changed within the second before, it is staged again after a second, and after twice as
    /// long each time, up to five minutes.
    ///
    /// # Errors
    /// As [`Engine::stage`]; `Io` or `Corrupt` also when `CURRENT` names the live bundle and some of its files are
    /// missing, so that a restart would fail; `InvalidArgument` when the engine was opened on a bundle itself.
    pub fn poll(&self) -> Result<Option<u64>> {
        follow::poll(&self.shared)
    }

    /// Why the last look at `CURRENT` failed, if it did.
    #[must_use]
    pub(crate) fn follow_error(&self) -> Option<Error> {
        self.shared.published().follow_error.clone()
    }

    /// The handle of a feature's input name, for [`crate::types::Value::feature`]. A name keeps its handle for the
    /// engine's life, across generations. A name that no generation knows yet gets one too, and its values are ignored
    /// (and counted) until one does.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is not 1 to 255 bytes, `CapacityExceeded` past 65,536 names.
    pub fn feature(&self, name: &str) -> Result<u32> {
        self.shared.names().given(name)
    }

    /// Makes a scorer, which holds all the memory that a caller's requests need.
    ///
    /// # Errors
    /// `InvalidArgument` when a limit is out of range, `Closed`.
    pub fn scorer(&self, limits: ScorerLimits) -> Result<Scorer> {
        drop(self.shared.publisher()?);
        let shared = &self.shared;
        let reader = SwapReader::new(&shared.swap_cell);
        Scorer::new(reader, shared.limits, limits, &shared.meters, &shared.log, &shared.switches)
    }

    /// The live generation, for inspection; requests read it through a scorer.
    ///
    /// # Errors
    /// `Closed`.
    #[cfg(feature = "builder")]
    pub fn generation(&self) -> Result<Arc<Generation>> {
        self.live()
    }

    /// The live generation.
    pub(crate) fn live(&self) -> Result<Arc<Generation>> {
        let published = self.shared.publisher()?;
        published.current.clone().ok_or_else(|| Error::new(Status::Closed, "the engine was closed"))
    }

    /// The ad cache of the live generation, or the size that it would have ([`Options::ad_cache_bytes`]).
    ///
    /// # Errors
    /// `Closed`.
    pub fn ad_cache(&self) -> Result<AdCacheInfo> {
        Ok(self.live()?.ad_cache())
    }

    /// The name of the kernel that the engine chose.
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.shared.staging.kernel.name()
    }
}

impl Shared {
    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The publisher's lock, if the engine is open.
    fn publisher(&self) -> Result<MutexGuard<'_, Published>> {
        let published = self.published();
        if published.closed {
            return Err(Error::new(Status::Closed, "the engine was closed"));
        }
        Ok(published)
    }

    /// The publisher's lock, once the rows written on top of the live tables are also on those of the next generation.
    /// Call it with writers kept out: the caller then is the only one that changes the current generation, so closing
    /// need not wait while rows are carried over.
    fn publisher_of(&self, next: &Generation) -> Result<MutexGuard<'_, Published>> {
        let current = self.publisher()?.current.clone();
        if let Some(current) = current {
            self.overlays.carry_over(current.tables(), next.tables());
        }
        self.publisher()
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of tables that scorers have room for even when the first model reads none.
const LEAST_TABLES: usize = 8;
