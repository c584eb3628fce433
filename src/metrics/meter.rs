//! Meters, which count, and the list of their counters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::{Block, Counter, Sums, Times};
use super::stopwatch::Stopwatch;
use super::{Call, OK, place};
use crate::auction::{Reason, Tally};
use crate::enrich::{Counts, Lookups};
use crate::error::Status;
use crate::hash::mix;
use crate::refusal::Refusal;
use crate::schema::Side;
use crate::types::Outcome;

/// One call in this many is timed stage by stage: a power of two.
const STAGED_IN: u64 = 8;

/// The blocks of an engine's scorers. Locked when a scorer is made or freed and when metrics are read, never by a
/// request.
pub(crate) struct Meters(Mutex<Blocks>);

struct Blocks {
    blocks: Vec<Arc<Block>>,
    /// The counts of freed scorers.
    freed: Sums,
}

/// All scorers of an engine together.
pub(super) struct Reading {
    pub(super) sums: Sums,
    pub(super) scorers: u64,
    pub(super) bytes: u64,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Blocks { blocks: Vec::new(), freed: Sums::ZERO }))
    }

    pub(super) fn read(&self) -> Reading {
        let all = self.blocks();
        let mut sums = all.freed.clone();
        all.blocks.iter().for_each(|block| sums.add(block));
        let bytes = all.blocks.iter().map(|block| block.bytes()).sum();
        Reading { sums, scorers: all.blocks.len() as u64, bytes }
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        // List and sums are valid at every point where a panic could happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One scorer's access to its counters.
pub(crate) struct Meter {
    meters: Arc<Meters>,
    block: Arc<Block>,
    started: u64,
    counted: u64,
}

impl Meter {
    /// The counters of a new scorer, which holds `bytes` of memory.
    pub(crate) fn new(meters: &Arc<Meters>, bytes: usize) -> Self {
        let block = Arc::new(Block::new(bytes + size_of::<Block>()));
        meters.blocks().blocks.push(Arc::clone(&block));
        Self { meters: Arc::clone(meters), block, started: 0, counted: 0 }
    }

    /// The counters themselves, for callers that do not own the scorer.
    pub(crate) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// The scorer holds this many more bytes.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.block.hold(bytes);
    }

    /// Calls that were counted so far.
    pub(crate) fn counted(&self) -> u64 {
        self.counted
    }

    #[inline]
    pub(crate) fn start(&mut self, call: Call) -> Stopwatch {
        let staged = mix(self.started).is_multiple_of(STAGED_IN);
        self.started += 1;
        Stopwatch::start(call, staged)
    }

    /// Counts a finished call.
    #[inline]
    pub(crate) fn finish(&mut self, watch: &Stopwatch, result: &Result<Outcome, Refusal>) {
        match result {
            Ok(outcome) => {
                self.done(watch);
                self.block.add(Counter::scored(outcome.precision as usize), outcome.n_scored.into());
                self.add_some(Counter::CUT, outcome.n_cut.into());
            }
            Err(refusal) => self.refuse(watch.call(), refusal.status()),
        }
    }

    /// Counts a successful call.
    pub(crate) fn done(&mut self, watch: &Stopwatch) {
        let elapsed = watch.elapsed();
        self.counted += 1;
        self.block.add(Counter::requests(watch.call(), OK), 1);
        self.block.time(Times::call(watch.call()), elapsed);
        for (stage, ns) in watch.stages() {
            // A call without this stage says nothing about it.
            if ns > 0 {
                self.block.time(Times::stage(stage), ns);
            }
        }
    }

    /// Counts a call that was refused.
    #[cold]
    pub(crate) fn refuse(&mut self, call: Call, status: Status) {
        self.counted += 1;
        self.block.add(Counter::requests(call, place(status)), 1);
    }

    /// Counts candidates whose sums came from the ad cache.
    pub(crate) fn kept(&mut self, n: u32) {
        self.add_some(Counter::KEPT, n.into());
    }

    /// Counts the missing and ignored values of one side of a request.
    pub(crate) fn values(&mut self, side: Side, counts: Counts) {
        self.add_some(Counter::missing(side), counts.missing.into());
        self.add_some(Counter::ignored(side), counts.ignored.into());
        self.add_some(Counter::wrong_side(side), counts.wrong_side.into());
    }

    /// Counts a request's keys for each table, by its number in the engine.
    pub(crate) fn keys(&mut self, lookups: impl Iterator<Item = (usize, Lookups)>) {
        for (table, Lookups { found, missing, unknown }) in lookups {
            for (result, n) in [found, missing, unknown].into_iter().enumerate() {
                self.add_some(Counter::keys(table, result), n.into());
            }
        }
    }

    /// Counts the reasons of an auction's candidates, of which `cut` more took no part.
    pub(crate) fn candidates(&mut self, tally: &Tally, cut: usize) {
        for (reason, &n) in tally.iter().enumerate() {
            self.add_some(Counter::reason(reason), n.into());
        }
        self.add_some(Counter::reason(Reason::Cut as usize), cut as u64);
    }

    #[inline]
    fn add_some(&self, counter: Counter, n: u64) {
        if n > 0 {
            self.block.add(counter, n);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let mut all = self.meters.blocks();
        let Blocks { blocks, freed } = &mut *all;
        freed.add(&self.block);
        blocks.retain(|block| !Arc::ptr_eq(block, &self.block));
    }
}
