//! The engine: owns the current generation, stages new ones, and makes scorers. Shared by all threads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::artifact::OpenMode;
use crate::bundle;
use crate::clock::now_us;
use crate::error::{Error, Result, Status};
use crate::infer::Kernel;
use crate::live::{Cancel, Cell, Generation, Opening, Reader, StagingOptions, TableChecks};
use crate::metrics::{Events, Meters};
use crate::model::{AdCacheInfo, Limits};
use crate::overlay::Overlays;
use crate::schema::MAX_TABLES;
use crate::scorer::{Scorer, ScorerLimits};
use crate::table::MAX_ROW;
use crate::types::Precision;
use follow::{Follower, Looked};

mod follow;
mod inputs;
mod metrics;
mod state;
mod tables;

pub use inputs::{ModelInfo, WrongSide};
pub use state::FollowState;

/// Names the kernel to use instead of the best one; for tests.
const KERNEL_VARIABLE: &str = "ADCLICK_KERNEL";

/// How an engine is opened. `Options::default()` is what most want.
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
/// assert_eq!(engine.precision()?, (Precision::Exact, Precision::Exact, None));
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
    /// How much larger than the first model later ones may be (scratch, features and columns): scorers get that much
    /// room. At least 1.
    pub headroom: f32,
    /// Look at `CURRENT` this often on a thread of the engine's own, and go to the bundle it names. `None`: only when
    /// [`Engine::poll`] is called.
    pub follow: Option<Duration>,
    /// How much of the table files staging reads.
    pub tables: TableChecks,
    /// Rows that can be written on top of each table ([`Engine::upsert`]); 0 = none. Memory is reserved for one and a
    /// half times as many and touched as rows are written.
    pub overlay_rows: usize,
    /// Rows written on top of a table count, column by column, for this long, by the time of the request. `None`: until
    /// a newer table comes.
    pub overlay_max_age: Option<Duration>,
    /// How far the time of an upsert may be ahead of this machine's clock; `None`: any time. A time far in the future, such as
    /// one in another unit, would keep all writes before it from counting.
    pub overlay_max_skew: Option<Duration>,
    /// The precision to serve in; `None`: what each bundle says, or exact. A CPU or a model that cannot do it serves exact:
    /// [`Engine::precision`] says so and why.
    pub precision: Option<Precision>,
    /// Bytes of memory that each generation may take to keep what every ad adds to the first layers of the network, which
    /// takes up to a fifth off a large request's time; 0 = none. [`Engine::ad_cache`] says what it takes, and whether it is
    /// worth anything for this model. Staging computes it.
    /// The live generation, the one before and one that is staged have each its own, but for those that have the same model
    /// and ads.
    pub ad_cache_bytes: u64,
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
        }
    }
}

impl Options {
    /// What each staging depends on.
    fn staging(&self, kernel: &'static Kernel) -> StagingOptions {
        let &Self { mode, tables, precision, ad_cache_bytes, .. } = self;
        StagingOptions { mode, kernel, tables, precision, ad_cache_bytes }
    }
}

/// Owns what is live. Cheap to share by reference; dropping it closes it.
pub struct Engine {
    shared: Arc<Shared>,
    follower: Mutex<Option<Follower>>,
}

/// What engine, staged generations and scorers have in common.
pub(crate) struct Shared {
    staging: StagingOptions,
    overlays: Overlays,
    limits: Limits,
    cell: Arc<Cell<Generation>>,
    meters: Arc<Meters>,
    events: Events,
    names: Mutex<HashMap<String, u32>>,
    published: Mutex<Published>,
    /// The directory that holds `CURRENT`, when the engine was opened on one.
    root: Option<PathBuf>,
    /// One look at `CURRENT` at a time: of two that find the same news, both would activate it, and a rollback would
    /// lead from it to itself.
    looking: Mutex<Looked>,
    /// Whoever stages asks this now and then, so that closing does not wait for a bundle to be read.
    closing: AtomicBool,
}

/// What only those who publish see.
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
    /// When `current` became so: microseconds since 1970-01-01 UTC.
    activated_us: i64,
    closed: bool,
}

/// A generation that was opened and checked and is not live yet. Dropping it discards it.
///
/// ```
/// use std::path::Path;
///
/// use adclick::{Engine, Options};
///
/// # fn main() -> adclick::Result<()> {
/// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
/// let first = engine.model()?.generation;
///
/// let staged = engine.stage(Path::new("examples/bundles/second"))?; // read and checked; nothing changes for requests
/// let second = staged.generation();
/// assert_eq!(staged.activate()?, second); // requests that begin from now on see it
/// assert_eq!(engine.rollback()?, first);
/// # Ok(())
/// # }
/// ```
pub struct Staged {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
}

impl Engine {
    /// Opens an engine on a bundle directory, or on a directory that holds `CURRENT`.
    ///
    /// # Errors
    /// As [`Engine::stage`]; `Unsupported` for a kernel that is unknown or that this CPU lacks, `InvalidArgument` for an option
    /// out of range.
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        let engine = Self::open_unfollowed(path, options)?;
        engine.start_following(options)?;
        Ok(engine)
    }

    /// The same without the following thread, which inherits what is set for the thread that starts it.
    pub(crate) fn open_unfollowed(path: &Path, options: &Options) -> Result<Self> {
        if !(options.headroom >= 1.0 && options.headroom <= 1000.0) {
            return Err(Error::argument(format!("headroom {}: expected 1 to 1000", options.headroom)));
        }
        let kernel = choose_kernel(options.kernel.as_deref())?;
        // Where a relative path leads must not change with the process's directory.
        let path = &std::path::absolute(path).map_err(|e| Error::io("resolve", path, &e))?;
        let root = path.join(bundle::CURRENT).exists().then(|| path.clone());
        let first = match &root {
            Some(root) => bundle::current(root)?,
            None => path.clone(),
        };
        if options.follow.is_some_and(|interval| interval.is_zero()) {
            return Err(Error::argument("follow: an interval of 0, expected more, or none to follow by polling only"));
        }
        if options.follow.is_some() && root.is_none() {
            return Err(Error::argument(format!(
                "{} has no {} to follow: open the directory that holds the bundles",
                path.display(),
                bundle::CURRENT
            )));
        }
        let mut names = HashMap::new();
        let overlays = Overlays::new(options.overlay_rows, options.overlay_max_age).with_skew(options.overlay_max_skew);
        let staging = options.staging(kernel);
        let how = Opening { staging, earlier: &[], overlays: Some(&overlays), limits: None, cancel: Cancel::default() };
        let generation = Generation::open(&first, how, |name| register(&mut names, name))?;
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
        let cell = Arc::new(Cell::new());
        cell.publish(Some(Arc::clone(&generation)));
        let activated_us = now_us();
        let published = Published { current: Some(generation), followed, activated_us, ..Published::default() };
        let shared = Arc::new(Shared {
            staging,
            overlays,
            limits,
            cell,
            meters: Arc::new(Meters::new()),
            events: Events::default(),
            names: Mutex::new(names),
            published: Mutex::new(published),
            root,
            looking: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        Ok(Self { shared, follower: Mutex::new(None) })
    }

    /// Starts the following thread if there is to be one. To be called once.
    pub(crate) fn start_following(&self, options: &Options) -> Result<()> {
        let follower = options.follow.map(|interval| Follower::start(&self.shared, interval)).transpose()?;
        *self.follower() = follower;
        Ok(())
    }

    fn follower(&self) -> MutexGuard<'_, Option<Follower>> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens and checks a bundle without making it live: manifest, checksums, every shape and count, golden requests,
    /// and that its tables are what the model reads them as. A model or table file that the live generation or the one
    /// before has too, by length and checksum, is not read again: its map is shared.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Unsupported`, `GoldenMismatch`, `CapacityExceeded` when there is no memory for
    /// [`Options::overlay_rows`], or `Closed`. What is live stays as it is.
    pub fn stage(&self, bundle: &Path) -> Result<Staged> {
        stage(&self.shared, bundle)
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
        self.shared.cell.publish(Some(Arc::clone(&previous)));
        published.current = Some(previous);
        published.activated_us = now_us();
        self.shared.events.rolled_back();
        Ok(id)
    }

    /// Looks at `CURRENT` now: when the bundle that it names holds another generation than at the last look, and not
    /// the live one, stages and activates it. Frees replaced generations that no request holds any more. Returns the
    /// new generation's id if there is one.
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
    /// A bundle that was refused is remembered, and so is why: the same error comes again, without another staging, until
    /// `CURRENT` or a file of the bundle changes. When the reason was not in the files (no memory, an I/O error), or a file changed
    /// within the second before, it is
    /// staged again after a second, and after twice as long each time, up to five minutes.
    ///
    /// # Errors
    /// As [`Engine::stage`]; `Io` or `Corrupt` also when the live bundle is what `CURRENT` names and its files are not all
    /// there, so that a restart would fail; `InvalidArgument` when the engine was opened on a bundle itself.
    pub fn poll(&self) -> Result<Option<u64>> {
        follow::poll(&self.shared)
    }

    /// Why the last look at `CURRENT` failed, if it did.
    #[must_use]
    pub fn follow_error(&self) -> Option<Error> {
        self.shared.published().follow_error.clone()
    }

    /// The handle of a feature's input name, for [`crate::types::Value::feature`]. The same name has the same handle for
    /// the engine's life, whichever generation is live; a name that no generation knows yet gets one too, and its
    /// values are ignored (and counted) until one does.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is not 1 to 255 bytes, `CapacityExceeded` past 65,536 names.
    pub fn feature(&self, name: &str) -> Result<u32> {
        let mut names = self.shared.names();
        if name.is_empty() || name.len() > crate::schema::MAX_NAME {
            return Err(Error::argument(format!("a feature name of {} bytes, expected 1 to 255", name.len())));
        }
        if names.len() >= MAX_NAMES && !names.contains_key(name) {
            return Err(Error::new(Status::CapacityExceeded, format!("more than {MAX_NAMES} feature names")));
        }
        Ok(register(&mut names, name))
    }

    /// Makes a scorer: all the memory that a caller's requests need.
    ///
    /// # Errors
    /// `InvalidArgument` when a limit is out of range, `Closed`.
    pub fn scorer(&self, limits: ScorerLimits) -> Result<Scorer> {
        drop(self.shared.publisher()?);
        Scorer::new(Reader::new(&self.shared.cell), self.shared.limits, limits, &self.shared.meters)
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

    /// The precision that was asked for and the one that the live generation is served in; when they differ, why.
    ///
    /// # Errors
    /// `Closed`.
    pub fn precision(&self) -> Result<(Precision, Precision, Option<String>)> {
        let generation = self.live()?;
        let (wanted, serving, reason) = generation.precision();
        Ok((wanted, serving, reason.map(str::to_owned)))
    }

    /// The ad cache of the live generation, or what it would take ([`Options::ad_cache_bytes`]).
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

    /// Stops following and withdraws the generation: from now on scorers answer `Closed`. Requests under way end well:
    /// this waits for them, for a second at most, then memory and maps go. (What a request holds for longer goes with its
    /// scorer.) It waits for the following thread, too: a bundle that is being staged is given up at the next golden request,
    /// table, 16,384 rows or 16 MiB, which takes well under a second unless the file system hangs. Closing twice does nothing.
    pub fn close(&self) {
        // Without a bound nothing is left to wait for, but requests that take longer than any should.
        let _ = self.close_by(None);
    }

    /// The same in `most` at most. From the first moment on scorers answer `Closed`.
    ///
    /// # Errors
    /// `Busy` when something goes on after that time, and what: the following thread in the middle of a bundle, or requests
    /// under way. It is closed all the same; what goes on ends by itself, and memory and maps go with it. Closing again waits
    /// for it again.
    pub fn close_within(&self, most: Duration) -> Result<()> {
        self.close_by(Instant::now().checked_add(most))
    }

    fn close_by(&self, end: Option<Instant>) -> Result<()> {
        self.shared.closing.store(true, Ordering::Relaxed);
        {
            let mut published = self.shared.published();
            *published = Published { closed: true, ..Published::default() };
            self.shared.cell.publish(None);
        }
        let follower = self.follower().take();
        if let Some(Err(looking)) = follower.map(|follower| follower.stop_by(end)) {
            // For whoever closes again, and has more time.
            *self.follower() = Some(looking);
            return Err(Error::new(Status::Busy, "closed, but the following thread is still opening a bundle"));
        }
        let last = Instant::now() + LAST_REQUESTS;
        let last = end.map_or(last, |end| end.min(last));
        while self.shared.cell.reclaim() > 0 {
            if Instant::now() >= last {
                return Err(Error::new(Status::Busy, "closed, but requests under way still hold a generation"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let is_closed = self.shared.published().closed;
        if !is_closed {
            self.close();
        }
    }
}

impl Staged {
    /// The id that the generation will have.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.id()
    }

    /// The ad cache that it has, or would take.
    #[must_use]
    pub fn ad_cache(&self) -> AdCacheInfo {
        self.generation.ad_cache()
    }

    /// Makes the generation live: requests that begin from now on see it. The one before is kept for
    /// [`Engine::rollback`].
    ///
    /// # Errors
    /// `Closed`; what is live stays as it is.
    pub fn activate(self) -> Result<u64> {
        let quiet = self.shared.overlays.quiet();
        let mut published = self.shared.publisher_of(&self.generation)?;
        self.shared.cell.publish(Some(Arc::clone(&self.generation)));
        let id = self.generation.id();
        published.previous = published.current.replace(self.generation);
        published.activated_us = now_us();
        self.shared.events.activated();
        drop((published, quiet));
        // What was previous until now is held by nobody but slow requests.
        self.shared.cell.reclaim();
        Ok(id)
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

    /// The publisher's lock, once what was written on top of the live tables is on those of the next generation too. To be
    /// called with writers kept out: who holds them off is alone in changing what is current, so closing need not wait while
    /// rows are taken over.
    fn publisher_of(&self, next: &Generation) -> Result<MutexGuard<'_, Published>> {
        let current = self.publisher()?.current.clone();
        if let Some(current) = current {
            self.overlays.carry_over(current.tables(), next.tables());
        }
        self.publisher()
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long closing waits for requests under way. They take milliseconds.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// Tables that scorers have room for even when the first model reads none.
const LEAST_TABLES: usize = 8;

/// More names than any sane set of schemas has; bounds the memory that a caller's mistake can take.
const MAX_NAMES: usize = 1 << 16;

fn register(names: &mut HashMap<String, u32>, name: &str) -> u32 {
    if let Some(&handle) = names.get(name) {
        return handle;
    }
    // 0 stays free: a value that was never filled in belongs to no feature.
    let handle = names.len() as u32 + 1;
    names.insert(name.to_owned(), handle);
    handle
}

fn choose_kernel(name: Option<&str>) -> Result<&'static Kernel> {
    match (name, std::env::var(KERNEL_VARIABLE)) {
        (Some(name), _) => Kernel::by_name(name),
        (None, Ok(name)) if !name.is_empty() => {
            Kernel::by_name(&name).map_err(|e| e.within(format_args!("environment variable {KERNEL_VARIABLE}")))
        }
        _ => Ok(Kernel::detect()),
    }
}

fn stage(shared: &Arc<Shared>, bundle: &Path) -> Result<Staged> {
    let staged = open_staged(shared, bundle);
    shared.events.staged(&staged);
    staged
}

fn open_staged(shared: &Arc<Shared>, bundle: &Path) -> Result<Staged> {
    let earlier: Vec<_> = {
        let published = shared.publisher()?;
        published.current.iter().chain(&published.previous).cloned().collect()
    };
    let closing = || shared.closing.load(Ordering::Relaxed);
    let how = Opening {
        staging: shared.staging,
        earlier: &earlier,
        overlays: Some(&shared.overlays),
        limits: Some(shared.limits),
        cancel: Cancel::when(&closing),
    };
    let generation = Generation::open(bundle, how, |name| register(&mut shared.names(), name))?;
    Ok(Staged { shared: Arc::clone(shared), generation: Arc::new(generation) })
}
