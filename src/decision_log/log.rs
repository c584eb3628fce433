//! An engine's log: opened once, shared by scorers, callers with events, and the one who writes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::{Disk, System};
use super::event::{self, Event, EventCheck, Recent, flag};
use super::features::FeatureNames;
use super::impression::{ImpressionKey, Impressions, random};
use super::options::LogOptions;
use super::record::{Decided, EventRecord, Scored, Slate};
use super::recover::Recovered;
use super::ring::{Ring, SlateRoom};
use super::writer::{Counts, Writer};
use crate::clock::now_us;
use crate::error::{Error, Result, Status};
use crate::hash::mix;
use crate::types::Winner;

/// How often the thread looks into the rings.
const TURN: Duration = Duration::from_millis(5);
/// Winners that a slate has room for besides its other candidates.
const SLATE_WINNERS: usize = 256;

/// The numbers of a log at one moment, and those of events, which are counted without a log as well.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogNumbers {
    /// None: no log is open.
    pub(crate) log: Option<Counts>,
    /// By kind and [`LogNumbers::VERDICTS`].
    pub(crate) events: [[u64; 5]; 6],
}

impl LogNumbers {
    pub(crate) const VERDICTS: [&str; 5] = ["ok", "forged", "expired", "early", "repeated"];
}

/// The state of a log: [`crate::Engine::log_state`]. Counters never decrease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LogState {
    /// Records that are safe: decisions, slates, events.
    pub written: [u64; 3],
    /// Records that were lost because a ring was full.
    pub lost: [u64; 3],
    /// Records that wait in rings.
    pub waiting: u64,
    /// Slates among the lost that had more values than [`LogOptions::slate_values`].
    pub too_large: u64,
    /// Bytes of the records that are safe.
    pub bytes: u64,
    /// Segments closed.
    pub segments: u64,
    /// Writes, syncs and renames that failed.
    pub failures: u64,
    /// How long the oldest record has waited to be safe.
    pub lag: Duration,
    /// The segments that had been left open and are closed now, and what was cut off them.
    pub recovered: Vec<String>,
    /// What failed last, until something succeeds.
    pub error: Option<Error>,
}

/// What every engine has: the key of its ids, where its scorers leave decisions, and the log if there is one.
pub(crate) struct Hub {
    key: ImpressionKey,
    features: Arc<FeatureNames>,
    outlets: Mutex<Vec<Weak<Outlet>>>,
    log: OnceLock<Arc<Log>>,
    recent: Recent,
    events: [[AtomicU64; 5]; 6],
}

/// Where a scorer leaves its decisions: nowhere until a log is opened.
#[derive(Default)]
pub(crate) struct Outlet {
    plan: OnceLock<Plan>,
}

impl Outlet {
    #[inline]
    pub(crate) fn plan(&self) -> Option<&Plan> {
        self.plan.get()
    }
}

/// What a scorer needs to know of the log.
pub(crate) struct Plan {
    ring: Arc<Ring>,
    pub(crate) device: u32,
    share: f64,
    /// Most candidates of a slate besides its winners.
    pub(crate) others: usize,
}

impl Plan {
    /// The share of slates if this request's is to be logged, else 0.
    #[inline]
    pub(crate) fn slate_share(&self, request_id: u64) -> f64 {
        const SALT: u64 = 0x5a17_e000_0000_0001;
        let drawn = (mix(request_id ^ SALT) >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn < self.share { self.share } else { 0.0 }
    }

    #[inline]
    pub(crate) fn decision(&self, decided: &Decided, scored: Scored, winner: &Winner) {
        self.ring.put_decision(decided, scored, winner);
    }

    /// A slate that `fill` fills; it says whether all had room.
    pub(crate) fn slate(&self, fill: impl FnOnce(&mut Slate) -> bool) {
        self.ring.put_slate(fill);
    }
}

impl Hub {
    pub(crate) fn new(key: Option<u128>, max_age: Duration, features: Arc<FeatureNames>) -> Self {
        Self {
            key: ImpressionKey::new(key, max_age),
            features,
            outlets: Mutex::default(),
            log: OnceLock::new(),
            recent: Recent::new(),
            events: Default::default(),
        }
    }

    /// What a new scorer needs: its ids, and where it leaves its decisions.
    pub(crate) fn join(&self) -> Result<(Impressions, Arc<Outlet>)> {
        let outlet = Arc::new(Outlet::default());
        let mut outlets = self.outlets();
        outlets.retain(|outlet| outlet.strong_count() > 0);
        if let Some(log) = self.log.get() {
            log.connect(&outlet)?;
        }
        outlets.push(Arc::downgrade(&outlet));
        Ok((Impressions::new(&self.key), outlet))
    }

    /// Opens the log and connects the scorers that there are.
    pub(crate) fn open(&self, options: &LogOptions, device: u32) -> Result<()> {
        self.open_on(options, device, Box::new(System))
    }

    pub(super) fn open_on(&self, options: &LogOptions, device: u32, disk: Box<dyn Disk>) -> Result<()> {
        options.check()?;
        let outlets = self.outlets();
        if self.log.get().is_some() {
            return Err(Error::argument("the engine has a log already"));
        }
        let log = Arc::new(Log::open(options, device, disk, Arc::clone(&self.features))?);
        for outlet in outlets.iter().filter_map(Weak::upgrade) {
            log.connect(&outlet)?;
        }
        if options.thread {
            log.start()?;
        }
        // The lock keeps others from doing the same.
        let _ = self.log.set(log);
        Ok(())
    }

    fn outlets(&self) -> MutexGuard<'_, Vec<Weak<Outlet>>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event in, and returns its flags.
    pub(crate) fn event(&self, event: &Event) -> Result<EventCheck> {
        event.check()?;
        let flags = event::flags(event, &self.key, &self.recent);
        let verdict =
            [flag::FORGED, flag::EXPIRED, flag::EARLY, flag::REPEATED].iter().position(|bit| flags & bit != 0);
        self.events[event.kind as usize - 1][verdict.map_or(0, |at| at + 1)].fetch_add(1, Ordering::Relaxed);
        if let Some(log) = self.log.get() {
            log.events.put_event(EventRecord { received_us: now_us(), event: *event, flags });
        }
        Ok(EventCheck::of(flags))
    }

    fn log(&self) -> Result<&Log> {
        let none = || Error::argument("the engine has no log: open one first");
        self.log.get().map(|log| &**log).ok_or_else(none)
    }

    /// Writes and syncs what waits now.
    pub(crate) fn drain(&self) -> Result<()> {
        let log = self.log()?;
        let mut counts = Counts::default();
        let done = log.writer().finish(&mut counts, false);
        log.tell(counts);
        done
    }

    pub(crate) fn state(&self) -> Result<LogState> {
        let log = self.log()?;
        let counts = log.counts();
        let told = log.told.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |of: fn(&super::segment::StreamCounts) -> u64| counts.streams.iter().map(of).sum();
        Ok(LogState {
            written: counts.streams.map(|stream| stream.written),
            lost: counts.lost,
            waiting: counts.waiting,
            too_large: counts.too_large,
            bytes: sum(|stream| stream.bytes),
            segments: sum(|stream| stream.segments),
            failures: sum(|stream| stream.failures),
            lag: counts.lag,
            recovered: told.0.iter().map(ToString::to_string).collect(),
            error: told.1.clone(),
        })
    }

    pub(crate) fn numbers(&self) -> LogNumbers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogNumbers {
            log: self.log.get().map(|log| log.counts()),
            events: self.events.each_ref().map(|kind| kind.each_ref().map(read)),
        }
    }

    /// Writes all that waits and closes the segments, by `end`.
    pub(crate) fn close(&self, end: Instant) -> Result<()> {
        self.log.get().map_or(Ok(()), |log| log.close(end))
    }
}

/// Where the thread is.
#[derive(Default)]
struct Turns {
    stop: bool,
    ended: bool,
}

struct Log {
    options: LogOptions,
    device: u32,
    /// Ring 0.
    events: Arc<Ring>,
    next_ring: AtomicU32,
    writer: Mutex<Writer>,
    counts: Mutex<Counts>,
    /// Segments that were recovered, and the last error.
    told: Mutex<(Vec<Recovered>, Option<Error>)>,
    turns: Mutex<Turns>,
    changed: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    fn open(options: &LogOptions, device: u32, disk: Box<dyn Disk>, features: Arc<FeatureNames>) -> Result<Self> {
        let mut writer = Writer::open(options, random(), disk, features)?;
        let events = Arc::new(Ring::new(0, options.ring_records, None)?);
        writer.add(Arc::clone(&events));
        let told = (writer.recovered().to_vec(), None);
        Ok(Self {
            options: options.clone(),
            device,
            events,
            next_ring: AtomicU32::new(1),
            writer: Mutex::new(writer),
            counts: Mutex::default(),
            told: Mutex::new(told),
            turns: Mutex::default(),
            changed: Condvar::new(),
            thread: Mutex::default(),
        })
    }

    /// Gives a scorer's outlet a ring.
    fn connect(&self, outlet: &Outlet) -> Result<()> {
        let options = &self.options;
        let slates = (options.slate_share > 0.0).then_some(SlateRoom {
            candidates: options.slate_candidates + SLATE_WINNERS,
            values: options.slate_values,
            waiting: options.ring_slates,
        });
        let number = self.next_ring.fetch_add(1, Ordering::Relaxed);
        let ring = Arc::new(Ring::new(number, options.ring_records, slates)?);
        self.writer().add(Arc::clone(&ring));
        let plan = Plan { ring, device: self.device, share: options.slate_share, others: options.slate_candidates };
        // Nobody else connects it: the list of outlets is locked.
        let _ = outlet.plan.set(plan);
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, counts: Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    /// One turn of the writer.
    fn turn(&self) {
        let mut counts = Counts::default();
        let (error, recovered) = {
            let mut writer = self.writer();
            let before = writer.recovered().len();
            writer.turn(&mut counts);
            let recovered = writer.recovered();
            (writer.error(), (recovered.len() != before).then(|| recovered.to_vec()))
        };
        self.tell(counts);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 = error;
        if let Some(recovered) = recovered {
            told.0 = recovered;
        }
    }

    fn start(self: &Arc<Self>) -> Result<()> {
        let log = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("adclick-log".to_owned())
            .spawn(move || {
                let mut now = log.turns();
                while !now.stop {
                    drop(now);
                    log.turn();
                    now = log.turns();
                    if !now.stop {
                        now = log.changed.wait_timeout(now, TURN).unwrap_or_else(PoisonError::into_inner).0;
                    }
                }
                drop(now);
                log.end();
                log.turns().ended = true;
                log.changed.notify_all();
            })
            .map_err(|e| Error::new(Status::Io, format!("cannot start the log's thread: {e}")))?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// The last turn.
    fn end(&self) {
        let mut counts = Counts::default();
        let done = self.writer().finish(&mut counts, true);
        self.tell(counts);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).1 = done.err();
    }

    fn close(&self, end: Instant) -> Result<()> {
        let mut turns = self.turns();
        turns.stop = true;
        self.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else {
            let again = std::mem::replace(&mut turns.ended, true);
            drop(turns);
            if !again {
                self.end();
            }
            return self.result();
        };
        while !turns.ended {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(turns);
                *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
                return Err(Error::new(Status::Busy, "closed, but the log's thread is still writing"));
            }
            turns = self.changed.wait_timeout(turns, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(turns);
        // It has ended but for its last instructions.
        let _ = thread.join();
        self.result()
    }

    fn result(&self) -> Result<()> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.1.clone().map_or(Ok(()), Err)
    }
}
