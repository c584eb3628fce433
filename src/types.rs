//! The structs that cross the C boundary, the same bytes in Rust, C, C++, Go and Java. None holds a pointer: arrays
//! travel beside them. A field that is 0 means its default.

use std::str::FromStr;

use crate::named::{Named, displayed_by_name};
use bytemuck::{Pod, Zeroable};

/// One raw value: of an input in a request, or of a table's column in an upsert. 16 bytes. Several values with one
/// handle make a multi-valued input or column.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Value {
    /// Whose value it is. In a request: the handle of an input, from `adclick_engine_feature`. In
    /// `adclick_engine_upsert`: the handle of a column, from `adclick_engine_column`. The two kinds of handles are not
    /// interchangeable.
    pub feature: u32,
    /// The number of a number feature or a vector position; the weight of a multi-valued category, 0 = 1.
    pub number: f32,
    /// The id of a category (`adclick_hash` of a string, or the integer itself); the position in a vector.
    pub id: u64,
}

/// One row of a feature table to write. 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    /// The row's key, not 0; for a cross table, what `adclick_key` makes of the ids.
    pub key: u64,
    /// The first of the row's values in the array of values.
    pub first_value: u32,
    /// How many values the row has.
    pub n_values: u32,
}

/// What a bid pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum BidKind {
    /// Per 1000 impressions.
    Cpm = 0,
    /// Per click.
    Cpc = 1,
    /// Per conversion.
    Cpa = 2,
    /// Bid per conversion, billed per 1000 impressions.
    Ocpm = 3,
}

impl BidKind {
    /// The kind with this number.
    #[must_use]
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        [Self::Cpm, Self::Cpc, Self::Cpa, Self::Ocpm].into_iter().find(|kind| *kind as u32 == number)
    }
}

impl TryFrom<u32> for BidKind {
    type Error = crate::Error;

    fn try_from(number: u32) -> crate::Result<Self> {
        Self::from_u32(number).ok_or_else(|| crate::Error::argument(format!("no bid kind has the number {number}")))
    }
}

/// A flag of `adclick_request`: nothing about the user may be kept. The decision is logged without user and session,
/// and without values that belong to the user.
pub const KEEP_NO_USER: u32 = 1;

/// One ad request. 96 bytes; 64 in the first version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Request {
    /// `sizeof(adclick_request)`.
    pub struct_size: u32,
    /// `ADCLICK_KEEP_NO_USER`, or 0.
    pub flags: u32,
    /// The caller's id of the request; seeds what is random and ends up in logs.
    pub request_id: u64,
    /// The user's key in user tables; 0 = unknown.
    pub user_key: u64,
    /// When the request was made: microseconds since 1970-01-01 00:00 UTC.
    pub time_us: i64,
    /// The user's offset from UTC in seconds, -86400 to 86400; 0 for a model that was trained on hours in UTC. Its
    /// provenance says which clock that was (`clock`, shown by `adclick inspect`).
    pub utc_offset_s: i32,
    /// Entries in the request's array of values.
    pub n_values: u32,
    /// Entries in the array of candidates.
    pub n_candidates: u32,
    /// Entries in the candidates' array of values.
    pub n_candidate_values: u32,
    /// Places to fill; 0 = 1.
    pub n_slots: u32,
    /// The caller's number of the placement.
    pub placement: u32,
    /// Time that the call may take, in microseconds; 0 = no limit.
    pub deadline_us: u32,
    /// 0.
    pub reserved: u32,
    /// `sizeof(adclick_candidate)`: how far apart the candidates stand. 0 = 56, the first version's.
    pub candidate_size: u32,
    /// `sizeof(adclick_winner)`: how far apart the winners stand. 0 = 64, the first version's.
    pub winner_size: u32,
    /// The caller's id of the session, for the decision log; 0 = unknown.
    pub session_id: u64,
    /// The least value of 1000 impressions that the publisher takes, in micros, for bids of every kind; 0 = none.
    pub floor_cpm_micros: i64,
    /// The caller's number of the kind of device, for rules of the policy; 0 = unknown.
    pub device: u32,
    /// An `adclick_exploration` to replay a decision by; 0 = the cap on what exploration may cost decides.
    pub exploration: u32,
    /// A field of a later header, in the build that tests how the ABI grows.
    #[cfg(adclick_grown)]
    pub grown: u64,
}

/// One candidate ad. 128 bytes; 56 in the first version, and more in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Candidate {
    /// The ad's key in ad tables; breaks ties (the smaller wins).
    pub ad_key: u64,
    /// The advertiser's key in cross tables.
    pub advertiser_key: u64,
    /// The bid for one event of its kind (CPM: 1000 impressions; oCPM: a conversion) in millionths of the currency unit.
    pub bid_micros: i64,
    /// The least price of one billed event (CPM and oCPM: 1000 impressions); 0 = the policy's.
    pub reserve_micros: i64,
    /// An `adclick_bid_kind`.
    pub bid_kind: u32,
    /// The first of this candidate's values in the candidates' array of values.
    pub first_value: u32,
    /// How many values this candidate has.
    pub n_values: u32,
    /// A boost by the platform: multiplies the bid in ranking and divides the price; 0 = 1. `adjust_ppm` moves the bid itself.
    pub modifier: f32,
    /// Multiplies the rank score; 0 = 1.
    pub quality: f32,
    /// `ADCLICK_CANDIDATE_STOPPED`, `ADCLICK_CANDIDATE_FLOOR_EXEMPT`; 0 = neither.
    pub flags: u32,
    /// The campaign, for limits and rules of the policy; 0 = none.
    pub campaign_key: u64,
    /// The creative, for limits of the policy; 0 = none.
    pub creative_key: u64,
    /// The category, for limits of the policy; 0 = none.
    pub category_key: u64,
    /// The competitive label (ads of one label are rivals that may not stand together), for limits of the policy; 0 = none.
    pub label_key: u64,
    /// `adclick_hash` of the name of a tier of the policy; 0 = the policy's default tier.
    pub tier_key: u64,
    /// The value of a conversion, in micros, for a bid by value (CPA and oCPM): it bids `value_micros` / target return, and
    /// `bid_micros` is the most that it bids, 0 = no such limit. 0 = the bid is `bid_micros`.
    pub value_micros: i64,
    /// The return that a bid by value aims at, in millionths: 4,000,000 is a value of 4 for each 1 paid. Needed with
    /// `value_micros`, and 0 without it.
    pub target_return_ppm: u32,
    /// Moves the bid by this many millionths: 200,000 = +20%, -1,000,000 = out of the auction.
    pub adjust_ppm: i32,
    /// The share of the bid, in millionths, that pacing holds back; 1,000,000 = all, which is out of the auction.
    pub withheld_ppm: u32,
    /// The probability, in millionths, with which pacing leaves the candidate out. Drawn from the request's id and the campaign, or
    /// the ad where there is no campaign.
    pub throttle_ppm: u32,
    /// The slots that the ad fits, slot s as bit s; 0 = all; with a mask, only the slots 0 to 31.
    pub slot_mask: u32,
    /// One more than the number of the ad's impressions so far, for the policy's cold-start bonus; 0 = not known, no bonus.
    pub impressions: u32,
    /// A field of a later header, in the build that tests how the ABI grows.
    #[cfg(adclick_grown)]
    pub grown: u64,
}

/// What decided a winner's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PriceBound {
    /// The next candidate's score.
    NextScore = 0,
    /// The reserve.
    Reserve = 1,
    /// The candidate's own bid.
    Bid = 2,
    /// The billable unit: the bid in billed units is no whole number of them, and the part of a unit is not billed.
    Unit = 3,
    /// What the others lose by its place (VCG).
    Externality = 4,
}

/// Where the reserve of a winner comes from: the highest one that applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum ReserveSource {
    /// There is none.
    #[default]
    None = 0,
    /// The candidate's own.
    Candidate = 1,
    /// The policy's for the kind of bid.
    Kind = 2,
    /// A rule of the policy; `reserve_rule` says which.
    Rule = 3,
    /// The request's floor.
    Request = 4,
    /// The policy's least eCPM.
    Ecpm = 5,
    /// The policy's score floor.
    ScoreFloor = 6,
}

/// Whether a decision might explore: given back with a decision, and taken to replay it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Exploration {
    /// The policy does not explore. In a request: the cap on its cost decides.
    #[default]
    Off = 0,
    /// It might: places were drawn with the stated propensities.
    Allowed = 1,
    /// It might not: what it could have cost did not fit under the cap. Nothing was random.
    Capped = 2,
}

impl Exploration {
    /// The one with this number.
    #[must_use]
    pub(crate) fn from_u32(number: u32) -> Option<Self> {
        [Self::Off, Self::Allowed, Self::Capped].into_iter().find(|known| *known as u32 == number)
    }
}

impl TryFrom<u32> for Exploration {
    type Error = crate::Error;

    fn try_from(number: u32) -> crate::Result<Self> {
        Self::from_u32(number).ok_or_else(|| crate::Error::argument(format!("no exploration has the number {number}")))
    }
}

/// `flags` of a candidate: it has stopped (out of budget, switched off) and takes no part.
pub const CANDIDATE_STOPPED: u32 = 1;

/// `flags` of a candidate: no reserve and no floor applies to it but its own `reserve_micros`, of which 0 means 0. For house ads.
pub const CANDIDATE_FLOOR_EXEMPT: u32 = 2;

/// `flags` of a winner: exploration put it where it stands. Its price is that of its rank.
pub const WINNER_EXPLORED: u32 = 1;

/// `runner_up` of a winner without a candidate behind it.
pub const NO_CANDIDATE: u32 = u32::MAX;

/// One winner. 120 bytes; 64 in the first version, and more in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Winner {
    /// Index in the array of candidates.
    pub candidate: u32,
    /// The place, from 0.
    pub slot: u32,
    /// Calibrated P(click | impression); NaN when the model has no such head.
    pub pctr: f32,
    /// Calibrated P(conversion | click); NaN when the model has no such head.
    pub pcvr: f32,
    /// Expected value of 1000 impressions at the bid, in millionths of the currency unit.
    pub ecpm_micros: i64,
    /// The price of one billed event (1000 impressions for CPM and oCPM).
    pub price_micros: i64,
    /// An `adclick_price_bound`.
    pub price_bound: u32,
    /// The eligible candidate next in rank, placed or not; `ADCLICK_NO_CANDIDATE` when there is none.
    pub runner_up: u32,
    /// The probability with which this candidate was put in this place, given those in the places before; 1 when nothing is
    /// random. The product over the places is the slate's (`adclick_outcome.propensity`).
    pub propensity: f64,
    /// Identifies this impression in logs and events: the lower half of an id that no other decision has, and that cannot be
    /// made without the engine's key.
    pub impression_id: u64,
    /// Its upper half. As text an id is 32 lower-case hexadecimal digits, this half first.
    pub impression_id_high: u64,
    /// The rank score per 1000 impressions, in micros.
    pub score: f64,
    /// The bid for one event of its kind as it took part: after adjustments and pacing, in whole billable units.
    pub bid_micros: i64,
    /// The reserve that applied, per billed event.
    pub reserve_micros: i64,
    /// The probability with which this candidate was put in this place, whatever stands in the places before. NaN where it is not
    /// known exactly: past the first place of a slate that was drawn.
    pub marginal_propensity: f64,
    /// An `adclick_reserve_source`.
    pub reserve_source: u32,
    /// The rule of the policy that the reserve comes from: its number, from 0; meant for `reserve_source` rule alone.
    pub reserve_rule: u32,
    /// Its place among all eligible candidates, from 0.
    pub rank: u32,
    /// The number of its tier in the policy, from 0.
    pub tier: u32,
    /// `ADCLICK_WINNER_EXPLORED`; 0 = placed by its rank.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// A field of a later header, in the build that tests how the ABI grows.
    #[cfg(adclick_grown)]
    pub grown: u64,
}

/// What a decision found of one candidate. 144 bytes.
///
/// A number that the decision did not come to is NaN where it is a probability, a logit or a score, and 0 elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Explanation {
    /// `sizeof(adclick_explanation)`, set by the caller.
    pub struct_size: u32,
    /// Index in the decision's array of candidates.
    pub candidate: u32,
    /// An `adclick_reason`.
    pub reason: u32,
    /// The place of a winner, from 0; 0 for all others.
    pub slot: u32,
    /// The logit of a click as the network gave it, before calibration.
    pub logit_ctr: f32,
    /// The logit of a conversion after a click.
    pub logit_cvr: f32,
    /// Calibrated P(click | impression).
    pub pctr: f32,
    /// Calibrated P(conversion | click).
    pub pcvr: f32,
    /// Multiplies the bid: the candidate's adjustment and those of the policy's rules.
    pub adjust: f64,
    /// Multiplies the bid: the share that pacing leaves.
    pub paced: f64,
    /// Multiplies the rank and divides the price: the candidate's modifier, the boosts of the policy's rules, the cold-start bonus.
    pub boost: f64,
    /// Multiplies the rank score.
    pub quality: f64,
    /// The score of one micro of the bid; the score is this times the bid.
    pub weight: f64,
    /// The rank score per 1000 impressions, in micros.
    pub score: f64,
    /// The bid for one event of its kind as it took part: after adjustments and pacing, in whole billable units; 0: it made none.
    pub bid_micros: i64,
    /// Expected value of 1000 impressions at the bid, in micros.
    pub ecpm_micros: i64,
    /// The highest reserve or floor that applied, per billed event; of a candidate that did not reach one, that one.
    pub reserve_micros: i64,
    /// An `adclick_reserve_source`.
    pub reserve_source: u32,
    /// The rule of the policy that the reserve comes from: its number, from 0; meant for `reserve_source` rule alone.
    pub reserve_rule: u32,
    /// Its place among the eligible candidates, from 0; `n_eligible` when it was not one.
    pub rank: u32,
    /// Candidates that were eligible.
    pub n_eligible: u32,
    /// The number of its tier in the policy, from 0.
    pub tier: u32,
    /// 0.
    pub reserved: u32,
    /// The generation that decided.
    pub generation: u64,
    /// The request's id.
    pub request_id: u64,
}

impl Default for Explanation {
    fn default() -> Self {
        Self {
            logit_ctr: f32::NAN,
            logit_cvr: f32::NAN,
            pctr: f32::NAN,
            pcvr: f32::NAN,
            weight: f64::NAN,
            score: f64::NAN,
            ..Self::zeroed()
        }
    }
}

/// The arithmetic that outputs are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Precision {
    /// fp16 weights, f32 sums.
    Exact = 0,
    /// bf16 weights and activations, f32 sums.
    Bf16 = 1,
    /// As bf16, with 8-bit integers in the deep layers behind a ReLU.
    Int8 = 2,
    /// For decisions: int8 or bf16 for all candidates, and exact for those that winners and prices depend on. Gives the
    /// same winners at the same prices as exact.
    AuctionExact = 3,
}

impl Precision {
    /// All of them, by number.
    pub(crate) const ALL: [Self; 4] = [Self::Exact, Self::Bf16, Self::Int8, Self::AuctionExact];
}

impl FromStr for Precision {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            crate::Error::argument(format!("no precision is named \"{name}\"; there are {names}"))
        })
    }
}

impl Named for Precision {
    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::AuctionExact => "auction-exact",
        }
    }
}

displayed_by_name!(Precision);

/// What a call did. 56 bytes; 32 in the first version.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Outcome {
    /// `sizeof(adclick_outcome)`, set by the caller.
    pub struct_size: u32,
    /// Winners written.
    pub n_winners: u32,
    /// Candidates scored.
    pub n_scored: u32,
    /// Candidates that the deadline cut off.
    pub n_cut: u32,
    /// Feature values that were missing or unknown and took their default, and values that the model has no use for.
    pub n_missing: u32,
    /// An `adclick_precision`.
    pub precision: u32,
    /// The generation that the whole call saw.
    pub generation: u64,
    /// Values among `n_missing` that were passed with the request although the model reads them with candidates, or the
    /// other way round. `adclick_engine_input_error` names their inputs.
    pub n_wrong_side: u32,
    /// An `adclick_exploration`: pass it in the request to replay the decision.
    pub exploration: u32,
    /// The probability of the whole slate: 1 when nothing is random; 0 from calls that decide nothing.
    pub propensity: f64,
    /// The revenue of 1000 such requests that exploration gave up by this slate, at expected prices, in micros.
    pub given_up_micros: i64,
}
