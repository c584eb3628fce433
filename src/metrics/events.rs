//! Events of generations and tables. Publishers count them, never a request.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{OK, STATUSES, place};
use crate::error::Result;
use crate::overlay::UpsertCounts;

/// An engine's events so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    stagings: [AtomicU64; STATUSES.len()],
    looks: [AtomicU64; STATUSES.len()],
    activations: AtomicU64,
    rollbacks: AtomicU64,
    upserted: [AtomicU64; 3],
}

/// The same at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventCounts {
    pub(super) stagings: [u64; STATUSES.len()],
    pub(super) looks: [u64; STATUSES.len()],
    pub(super) activations: u64,
    pub(super) rollbacks: u64,
    /// By index in [`EventCounts::UPSERTED`].
    pub(super) upserted: [u64; 3],
}

/// Looks at `CURRENT` and their results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FollowCounts {
    pub(crate) looks: u64,
    pub(crate) failed_looks: u64,
    pub(crate) activations: u64,
    pub(crate) rollbacks: u64,
}

impl EventCounts {
    pub(super) const UPSERTED: [&str; 3] = ["applied", "stale", "evicted"];
}

impl Events {
    pub(crate) fn staged<T>(&self, result: &Result<T>) {
        one_more(&self.stagings[status(result)]);
    }

    pub(crate) fn looked<T>(&self, result: &Result<T>) {
        one_more(&self.looks[status(result)]);
    }

    pub(crate) fn activated(&self) {
        one_more(&self.activations);
    }

    pub(crate) fn rolled_back(&self) {
        one_more(&self.rollbacks);
    }

    pub(crate) fn upserted(&self, counts: &UpsertCounts) {
        for (sum, n) in self.upserted.iter().zip([counts.applied, counts.stale, counts.evicted]) {
            sum.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The results of following.
    pub(crate) fn follow_counts(&self) -> FollowCounts {
        let EventCounts { looks, activations, rollbacks, .. } = self.read();
        let all = looks.iter().sum();
        FollowCounts { looks: all, failed_looks: all - looks[OK], activations, rollbacks }
    }

    pub(super) fn read(&self) -> EventCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EventCounts {
            stagings: self.stagings.each_ref().map(read),
            looks: self.looks.each_ref().map(read),
            activations: read(&self.activations),
            rollbacks: read(&self.rollbacks),
            upserted: self.upserted.each_ref().map(read),
        }
    }
}

fn status<T>(result: &Result<T>) -> usize {
    result.as_ref().map_or_else(|e| place(e.status), |_| OK)
}

fn one_more(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
