//! The counters of one scorer, and the sums of many.

use std::sync::atomic::{AtomicU64, Ordering};

use super::buckets::{BUCKETS, bucket};
use super::{Call, STATUSES, Stage, place};
use crate::auction::Reason;
use crate::error::Status;
use crate::schema::{MAX_TABLES, Side};
use crate::types::Precision;

/// Tables with counters of their own, by the engine's numbers for their names, and one place for all others.
pub(super) const TABLES: usize = MAX_TABLES + 1;

/// The result of a key lookup: see [`crate::enrich::Lookups`].
pub(super) const KEY_RESULTS: [&str; 3] = ["found", "missing", "unknown"];

// Where what is counted stands among the counts.
const REQUESTS: usize = 0;
const SCORED: usize = REQUESTS + Call::NAMES.len() * STATUSES.len();
const CUT: usize = SCORED + Precision::ALL.len();
const KEPT: usize = CUT + 1;
const REASONS: usize = KEPT + 1;
const VALUES: usize = REASONS + Reason::ALL.len();
const KEYS: usize = VALUES + 3 * 2;
const TIMES: usize = KEYS + TABLES * KEY_RESULTS.len();
const COUNTERS: usize = TIMES + (Call::NAMES.len() + Stage::NAMES.len()) * (BUCKETS + 1);

/// A counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter(usize);

impl Counter {
    pub(super) const CUT: Self = Self(CUT);
    pub(super) const KEPT: Self = Self(KEPT);

    /// Calls with this result; `status` is an index in [`STATUSES`].
    pub(super) fn requests(call: Call, status: usize) -> Self {
        Self(REQUESTS + call as usize * STATUSES.len() + status)
    }

    /// Candidates scored, by `Outcome::precision`.
    pub(super) fn scored(precision: usize) -> Self {
        Self(SCORED + precision.min(Precision::ALL.len() - 1))
    }

    /// Candidates of auctions.
    pub(super) fn reason(reason: usize) -> Self {
        Self(REASONS + reason)
    }

    pub(super) fn missing(side: Side) -> Self {
        Self(VALUES + (side == Side::Candidate) as usize)
    }

    pub(super) fn ignored(side: Side) -> Self {
        Self(VALUES + 2 + (side == Side::Candidate) as usize)
    }

    pub(super) fn wrong_side(side: Side) -> Self {
        Self(VALUES + 4 + (side == Side::Candidate) as usize)
    }

    /// Keys looked up in a table; `result` is an index in [`KEY_RESULTS`].
    pub(super) fn keys(table: usize, result: usize) -> Self {
        Self(KEYS + table.min(TABLES - 1) * KEY_RESULTS.len() + result)
    }
}

/// A histogram of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times(usize);

impl Times {
    pub(super) fn call(call: Call) -> Self {
        Self(call as usize)
    }

    pub(super) fn stage(stage: Stage) -> Self {
        Self(Call::NAMES.len() + stage as usize)
    }

    pub(super) fn bucket(self, bucket: usize) -> Counter {
        Counter(TIMES + self.0 * (BUCKETS + 1) + bucket)
    }

    /// Nanoseconds in all.
    pub(super) fn sum(self) -> Counter {
        self.bucket(BUCKETS)
    }
}

/// One scorer's counters. Apart from other memory, so that scorers do not disturb each other.
#[repr(align(128))]
pub(crate) struct Block {
    counts: [AtomicU64; COUNTERS],
    /// Bytes that the scorer holds.
    bytes: AtomicU64,
}

impl Block {
    pub(super) fn new(bytes: usize) -> Self {
        Self { counts: [const { AtomicU64::new(0) }; COUNTERS], bytes: AtomicU64::new(bytes as u64) }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn hold(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts for the owner of the scorer. A load and a store suffice, because only the owner writes here.
    #[inline]
    pub(super) fn add(&self, counter: Counter, n: u64) {
        let count = &self.counts[counter.0];
        count.store(count.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn time(&self, times: Times, ns: u64) {
        self.add(times.bucket(bucket(ns)), 1);
        self.add(times.sum(), ns);
    }

    /// Counts a call that found the scorer in use. Such calls come from anywhere, and are all that writes these counts.
    pub(crate) fn busy(&self, call: Call) {
        self.counts[Counter::requests(call, place(Status::Busy)).0].fetch_add(1, Ordering::Relaxed);
    }
}

/// The same counters, summed.
#[derive(Clone)]
pub(super) struct Sums([u64; COUNTERS]);

impl Sums {
    pub(super) const ZERO: Self = Self([0; COUNTERS]);

    pub(super) fn add(&mut self, block: &Block) {
        for (sum, count) in self.0.iter_mut().zip(&block.counts) {
            *sum = sum.wrapping_add(count.load(Ordering::Relaxed));
        }
    }

    pub(super) fn get(&self, counter: Counter) -> u64 {
        self.0[counter.0]
    }
}
