//! What became of a candidate.

use crate::named::{Named, displayed_by_name};
use std::ffi::CStr;

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
    /// The bid is over 2^53 micros.
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
    /// It was not scored before the deadline, so it took no part.
    Cut = 14,
    /// It has stopped: its flag says so.
    Stopped = 15,
    /// An adjustment of -100% takes it out.
    AdjustedOut = 16,
    /// Pacing holds back the whole bid.
    Withheld = 17,
    /// Pacing left it out of this request, by the throttle's probability.
    Throttled = 18,
    /// An adjustment is under -100%, or a pacing share or probability over 100%.
    InvalidAdjustment = 19,
    /// A bid by value has no target return, or the return no value; or either is negative, or the kind is not billed for
    /// conversions.
    InvalidValue = 20,
    /// The bid is less than one billable unit, or no whole number of them where the policy refuses that.
    BelowUnit = 21,
    /// The policy has no tier of its name.
    UnknownTier = 22,
    /// The bid's eCPM is under the request's floor or the policy's least eCPM.
    BelowFloor = 23,
    /// The quality is under the policy's least.
    BelowMinQuality = 24,
    /// It fits none of the slots. Under VCG pricing it carries a slot mask, under which that has no exact price.
    NoSlot = 25,
    /// It may not stand beside those ahead of it: a limit of the policy for its advertiser, campaign, creative, category
    /// or competitive label is reached.
    Excluded = 26,
    /// Its ad, its campaign or its advertiser is switched off.
    SwitchedOff = 27,
}

impl Reason {
    /// The same name as a C string.
    #[must_use]
    pub(crate) fn c_name(self) -> &'static CStr {
        match self {
            Self::Won => c"won",
            Self::Outranked => c"outranked",
            Self::BelowReserve => c"below_reserve",
            Self::InvalidBid => c"invalid_bid",
            Self::BidTooLarge => c"bid_too_large",
            Self::InvalidPctr => c"invalid_pctr",
            Self::InvalidPcvr => c"invalid_pcvr",
            Self::MissingPcvr => c"missing_pcvr",
            Self::InvalidModifier => c"invalid_modifier",
            Self::InvalidQuality => c"invalid_quality",
            Self::InvalidReserve => c"invalid_reserve",
            Self::BelowScoreFloor => c"below_score_floor",
            Self::ScoreOutOfRange => c"score_out_of_range",
            Self::UnknownBidKind => c"unknown_bid_kind",
            Self::Cut => c"cut",
            Self::Stopped => c"stopped",
            Self::AdjustedOut => c"adjusted_out",
            Self::Withheld => c"withheld",
            Self::Throttled => c"throttled",
            Self::InvalidAdjustment => c"invalid_adjustment",
            Self::InvalidValue => c"invalid_value",
            Self::BelowUnit => c"below_unit",
            Self::UnknownTier => c"unknown_tier",
            Self::BelowFloor => c"below_floor",
            Self::BelowMinQuality => c"below_min_quality",
            Self::NoSlot => c"no_slot",
            Self::Excluded => c"excluded",
            Self::SwitchedOff => c"switched_off",
        }
    }

    /// The reason with this number.
    #[must_use]
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }

    pub(crate) const ALL: [Self; 28] = [
        Self::Won,
        Self::Outranked,
        Self::BelowReserve,
        Self::InvalidBid,
        Self::BidTooLarge,
        Self::InvalidPctr,
        Self::InvalidPcvr,
        Self::MissingPcvr,
        Self::InvalidModifier,
        Self::InvalidQuality,
        Self::InvalidReserve,
        Self::BelowScoreFloor,
        Self::ScoreOutOfRange,
        Self::UnknownBidKind,
        Self::Cut,
        Self::Stopped,
        Self::AdjustedOut,
        Self::Withheld,
        Self::Throttled,
        Self::InvalidAdjustment,
        Self::InvalidValue,
        Self::BelowUnit,
        Self::UnknownTier,
        Self::BelowFloor,
        Self::BelowMinQuality,
        Self::NoSlot,
        Self::Excluded,
        Self::SwitchedOff,
    ];
}

impl TryFrom<u32> for Reason {
    type Error = crate::Error;

    fn try_from(number: u32) -> crate::Result<Self> {
        Self::from_u32(number).ok_or_else(|| crate::Error::argument(format!("no reason has the number {number}")))
    }
}

impl Named for Reason {
    fn name(self) -> &'static str {
        // The names are ASCII.
        self.c_name().to_str().unwrap_or_default()
    }
}

displayed_by_name!(Reason);

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn numbers_find_their_reasons() {
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert_eq!(Reason::from_u32(number as u32), Some(reason));
        }
        assert_eq!(Reason::from_u32(28), None);
    }
}
