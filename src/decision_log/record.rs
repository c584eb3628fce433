//! What waits in rings until it is written: plain numbers, sized once.

use super::event::Event;
use crate::types::{Candidate, Value, Winner};

/// The streams of a log. Each has files and a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Decisions,
    Slates,
    Events,
}

impl Stream {
    pub(crate) const ALL: [Self; 3] = [Self::Decisions, Self::Slates, Self::Events];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Slates => "slates",
            Self::Events => "events",
        }
    }

    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Decisions => include_str!("schema/decision.avsc"),
            Self::Slates => include_str!("schema/slate.avsc"),
            Self::Events => include_str!("schema/event.avsc"),
        }
    }
}

/// What a decision's records have in common. Ids that are 0 are not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Decided {
    pub(crate) time_us: i64,
    pub(crate) request_id: u64,
    pub(crate) generation: u64,
    /// The policy of that generation.
    pub(crate) policy: u64,
    pub(crate) user: u64,
    pub(crate) session: u64,
    pub(crate) device: u64,
    pub(crate) placement: u32,
    pub(crate) n_candidates: u32,
    pub(crate) n_scored: u32,
    pub(crate) n_cut: u32,
    pub(crate) n_winners: u32,
    pub(crate) precision: u32,
    /// The probability of all winners in their places together.
    pub(crate) propensity: f64,
    /// Whether the user must not be kept.
    pub(crate) keep_no_user: bool,
    /// 0 when the request's slate is not logged.
    pub(crate) slate_share: f64,
}

/// A candidate and the logits that it had, NaN where the model has no such head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scored {
    pub(crate) candidate: Candidate,
    pub(crate) logits: [f32; 2],
    /// What adjustments and pacing multiplied the bid by; NaN: nothing bid.
    pub(crate) multiplier: f64,
}

/// What came of a decision. Fields that a kind does not have are 0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EventRecord {
    pub(crate) received_us: i64,
    pub(crate) event: Event,
    pub(crate) flags: u32,
}

/// What waits in a ring.
#[expect(clippy::large_enum_variant, reason = "a ring's places have one size")]
pub(crate) enum Waiting {
    /// A winner; `NO_CANDIDATE` as its candidate: nobody won.
    Decision {
        seq: u64,
        decided: Decided,
        scored: Scored,
        winner: Winner,
    },
    Event {
        seq: u64,
        record: EventRecord,
    },
}

/// A candidate of a slate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlateCandidate {
    /// Its place among the candidates.
    pub(crate) index: u32,
    pub(crate) scored: Scored,
    pub(crate) pctr: f32,
    pub(crate) pcvr: f32,
    /// NaN: it made no bid that could be ranked.
    pub(crate) score: f64,
    pub(crate) ecpm: f64,
    pub(crate) reason: u32,
    pub(crate) weight: f64,
    /// The winner that it is, in `Slate::winners`; `u32::MAX`: none.
    pub(crate) winner: u32,
    /// Where its values end in `Slate::values`; they begin where those before it end.
    pub(crate) values_end: u32,
}

/// A sampled decision with its candidates. Its vectors are filled within their capacity.
pub(crate) struct Slate {
    pub(crate) seq: u64,
    pub(crate) decided: Decided,
    pub(crate) winners: Vec<Winner>,
    pub(crate) candidates: Vec<SlateCandidate>,
    /// The request's, then each candidate's.
    pub(crate) values: Vec<Value>,
    pub(crate) request_values: u32,
}
