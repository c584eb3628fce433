//! Counts the work of serving without making anybody wait: requests and their results, the times of requests and their
//! stages, candidates, missing values, keys, and events of generations. [`Metrics`] is a snapshot of all of them; its
//! text is in the Prometheus format.
//!
//! Every scorer has a block of counters on cache lines of its own, which it alone writes: a plain load and a plain
//! store for each count, without a locked instruction. A reader sums the blocks of all scorers; neither waits for the
//! other. Each counter is read whole and never decreases; two of them may be read a moment apart. The block of a freed
//! scorer is added to the engine's sums, so nothing is lost.
//!
//! The clock is read twice for each call. One call in eight of each scorer is also timed stage by stage. A hash picks
//! these calls, so that a caller's own rhythm does not pick the same kind of call each time.

mod block;
mod buckets;
mod events;
mod exposition;
mod meter;
mod snapshot;
mod stopwatch;
mod text;

pub(crate) use block::Block;
pub(crate) use events::Events;
pub(crate) use meter::{Meter, Meters};
pub use snapshot::Metrics;
pub(crate) use snapshot::{Live, TableState};
pub(crate) use stopwatch::Stopwatch;

use crate::error::Status;

/// The kind of a call on a scorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Score,
    ScoreDense,
    Decide,
    Auction,
}

impl Call {
    const NAMES: [&str; 4] = ["score", "score_dense", "decide", "auction"];
}

/// A part of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Checks, lookups in tables, and filling the network's inputs.
    Enrich,
    /// The network.
    Score,
    /// Logits to probabilities.
    Calibrate,
    /// Eligibility, ranking and prices.
    Auction,
    /// Leaving the decision in the log's ring.
    Log,
}

impl Stage {
    pub(crate) const ALL: [Self; 5] = [Self::Enrich, Self::Score, Self::Calibrate, Self::Auction, Self::Log];
    const NAMES: [&str; 5] = ["enrich", "score", "calibrate", "auction", "log"];
}

/// Success, and each [`Status`] in turn.
const STATUSES: [&str; 14] = [
    "ok",
    "invalid_argument",
    "bad_struct_size",
    "capacity_exceeded",
    "invalid_value",
    "closed",
    "io",
    "corrupt",
    "unsupported",
    "golden_mismatch",
    "no_previous",
    "busy",
    "buffer_too_small",
    "internal",
];

/// The index of success.
const OK: usize = 0;

/// The index of a status in [`STATUSES`].
fn place(status: Status) -> usize {
    match status {
        Status::InvalidArgument => 1,
        Status::BadStructSize => 2,
        Status::CapacityExceeded => 3,
        Status::InvalidValue => 4,
        Status::Closed => 5,
        Status::Io => 6,
        Status::Corrupt => 7,
        Status::Unsupported => 8,
        Status::GoldenMismatch => 9,
        Status::NoPrevious => 10,
        Status::Busy => 11,
        Status::BufferTooSmall => 12,
        Status::Internal => 13,
    }
}
