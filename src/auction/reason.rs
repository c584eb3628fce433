//! What became of a candidate.

use std::fmt;

/// What became of a candidate, as a number that is never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[repr(u32)]
pub enum Reason {
    /// It has a place.
    #[default]
    Won = 0,
    /// Eligible, but every place went to candidates ahead of it.
    Outranked = 1,
    /// The bid, in billed units, is under the candidate's reserve.
    BelowReserve = 2,
    /// The bid is zero, negative, NaN or infinite.
    InvalidBid = 3,
    /// The bid is over [`super::MAX_BID_MICROS`].
    BidTooLarge = 4,
    /// pCTR is needed and is NaN, not above 0, or above 1.
    InvalidPctr = 5,
    /// pCVR is needed and is not above 0, or above 1.
    InvalidPcvr = 6,
    /// pCVR is needed and is missing (NaN).
    MissingPcvr = 7,
    /// The bid modifier is zero, negative, NaN or infinite.
    InvalidModifier = 8,
    /// The quality is zero, negative, NaN or infinite.
    InvalidQuality = 9,
    /// The reserve is negative, NaN or infinite.
    InvalidReserve = 10,
    /// The rank score is under the policy's score floor.
    BelowScoreFloor = 11,
    /// The rank score over- or underflows f64 arithmetic.
    ScoreOutOfRange = 12,
    /// The bid's kind is not one that this library knows.
    UnknownBidKind = 13,
}

impl Reason {
    /// The reason's name in logs and command output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Outranked => "outranked",
            Self::BelowReserve => "below_reserve",
            Self::InvalidBid => "invalid_bid",
            Self::BidTooLarge => "bid_too_large",
            Self::InvalidPctr => "invalid_pctr",
            Self::InvalidPcvr => "invalid_pcvr",
            Self::MissingPcvr => "missing_pcvr",
            Self::InvalidModifier => "invalid_modifier",
            Self::InvalidQuality => "invalid_quality",
            Self::InvalidReserve => "invalid_reserve",
            Self::BelowScoreFloor => "below_score_floor",
            Self::ScoreOutOfRange => "score_out_of_range",
            Self::UnknownBidKind => "unknown_bid_kind",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
