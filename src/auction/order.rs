//! Eligible candidates in order, sorted as far as somebody asked.

use std::cmp::Ordering;

use super::Reason;

/// What the allocation has found of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It may still get a place.
    Open,
    Placed,
    /// A limit keeps it from every place that is left.
    Excluded,
}

impl State {
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Open => Reason::Outranked,
            Self::Placed => Reason::Won,
            Self::Excluded => Reason::Excluded,
        }
    }
}

/// An eligible candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) score: f64,
    pub(super) key: u64,
    pub(super) index: u32,
    pub(super) tier: u16,
    pub(super) state: State,
}

impl Entry {
    /// Best first. A total order in which no two candidates are equal, so the winners do not depend on the algorithm.
    pub(super) fn rank(&self, other: &Self) -> Ordering {
        self.tier
            .cmp(&other.tier)
            .then(other.score.total_cmp(&self.score))
            .then(self.key.cmp(&other.key))
            .then(self.index.cmp(&other.index))
    }
}

/// Entries of which the first `sorted` are the best, in order.
pub(super) struct Order<'a> {
    pub(super) entries: &'a mut [Entry],
    sorted: usize,
}

impl<'a> Order<'a> {
    pub(super) fn new(entries: &'a mut [Entry]) -> Self {
        Self { entries, sorted: 0 }
    }

    /// Sorts up to `at` and a little further. False when there are not so many. All calls together take no more than
    /// O(n log n), and none allocates.
    pub(super) fn reach(&mut self, at: usize) -> bool {
        if at < self.sorted {
            return true;
        }
        if at >= self.entries.len() {
            return false;
        }
        self.sort_to((self.sorted * 2).max(at + 1).max(16));
        true
    }

    /// Those that are sorted, and how many are not.
    pub(super) fn split(&self) -> (&[Entry], usize) {
        (&self.entries[..self.sorted], self.entries.len() - self.sorted)
    }

    /// Sorts the first `n`.
    pub(super) fn sort_to(&mut self, n: usize) {
        let n = n.min(self.entries.len());
        if n <= self.sorted {
            return;
        }
        let (rest, more) = (&mut self.entries[self.sorted..], n - self.sorted);
        if more < rest.len() {
            rest.select_nth_unstable_by(more, Entry::rank);
        }
        rest[..more].sort_unstable_by(Entry::rank);
        self.sorted = n;
    }
}
