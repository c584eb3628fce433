//! The rules of the auctions.

mod parse;
mod parts;
mod rules;
#[cfg(test)]
mod tests;
mod write;

use crate::error::{Error, Status};
use crate::types::BidKind;
use rules::{Modifier, Rules};

#[cfg(feature = "builder")]
pub use parts::PolicyDetails;
pub use parts::PolicyParts;
pub(crate) use rules::Moment;

/// How prices are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pricing {
    /// Generalised second price: the least bid that keeps the place.
    Gsp,
    /// Vickrey-Clarke-Groves: what the others lose by the winner's place, with click factors of slots.
    Vcg,
    /// The bid itself.
    First,
    /// The ranker of the design document as it is written, faults included: for comparison only.
    Document,
}

/// Who is ahead at equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ties {
    /// The smaller ad key.
    Key,
    /// The smaller hash of request and ad: equal ads share the traffic.
    Hash,
}

/// At most so many on one page, of each advertiser, campaign, creative, category and competitive label; 0 = any number.
pub type Limits = [u32; 5];

pub(super) const LIMITS: [&str; 5] = ["advertiser", "campaign", "creative", "category", "label"];

/// The most places of a page on which places depend on each other: under limits, slot masks, rules of slots, VCG or
/// exploration.
pub const MAX_PAGE_SLOTS: usize = 64;

/// The most candidates among which a place is drawn.
pub(super) const MAX_POOL: usize = 256;

/// How many candidates stand on a page, and what they must be worth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdLoad {
    /// 0 = as many as there are slots.
    pub(super) max_ads: u32,
    pub(super) min_ecpm_micros: i64,
    pub(super) min_quality: f64,
    pub(super) limits: Limits,
}

/// A class of candidates that stands ahead of the next, whatever either bids.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tier {
    pub(super) name: String,
    pub(super) key: u64,
    pub(super) floor_exempt: bool,
}

/// How places are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Draw {
    /// With this probability a place goes to any candidate of the pool, each as likely.
    EpsilonGreedy(f64),
    /// Plackett-Luce: proportionally to score^(1 / temperature).
    PlackettLuce(f64),
}

/// Exploration by chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Explore {
    pub(super) draw: Draw,
    /// The best so many take part.
    pub(super) pool: u32,
    /// The most that 100,000 requests may give up, in micros of expected revenue.
    pub(super) max_given_up_micros: i64,
}

/// The bonus of ads with few impressions: `1 + bonus·n0 / (n0 + impressions)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ColdStart {
    pub(super) bonus: f64,
    pub(super) impressions: f64,
}

/// What the document's ranker is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Document {
    pub(crate) conversion: bool,
    /// In currency units.
    pub(crate) reserve: f64,
    /// 0 = 1.
    pub(crate) bid_modification: f64,
}

/// The rules of the auctions. `docs/auction.md` has each with its formula and an example.
///
/// Its text form is TOML; a key that is left out keeps its default, which is shown here. What is shown as a comment has no
/// default.
///
/// ```toml
/// pricing = "gsp"          # gsp, vcg, first; document: the design document's ranker, for comparison
/// ties = "key"             # key: the smaller ad wins a tie; hash: equal ads share the traffic
/// squash = 1.0             # α in q^α, above 0 and at most 1
/// score_floor_micros = 0   # the least rank score per 1000 impressions; the last winner is priced against it
/// unit_micros = 1          # the billable unit: bids and prices are whole numbers of it
/// bid_rounding = "down"    # down: to whole units; refuse: a bid that is none takes no part
/// slot_factors = []        # clicks of each slot against the first (α_k); the last holds for all after it
///
/// [mean_probability]       # q̄ in q^α · q̄^(1-α), by the kind of bid: what squashed scores are comparable at
/// cpc = 1.0
/// cpa = 1.0
/// ocpm = 1.0
///
/// [reserve_micros]         # for candidates without a reserve of their own, per billed event
/// cpm = 0                  # per 1000 impressions
/// cpc = 0                  # per click
/// cpa = 0                  # per conversion
/// ocpm = 0                 # per 1000 impressions
///
/// [page]
/// max_ads = 0              # 0 = as many as there are slots
/// min_ecpm_micros = 0
/// min_quality = 0.0
/// per_advertiser = 0       # at most so many on a page; 0 = any number
/// per_campaign = 0
/// per_creative = 0
/// per_category = 0
/// per_label = 0
///
/// # [[tier]]               # the first stands ahead of the second, whatever either bids
/// # name = "deals"
/// # floor_exempt = false   # no reserve or floor but the candidate's own
/// # default = false        # true: candidates that name no tier are of this one
///
/// # [[modifier]]           # for candidates and requests that have all that is named
/// # campaign = 7           # a key, or a text that is hashed to one; so is advertiser
/// # device = 2
/// # placement = 1
/// # hours = [18, 23]       # from the beginning of the first to the beginning of the second, in the user's time
/// # adjust = 0.2           # moves the bid: +20%
/// # boost = 1.0            # multiplies the rank and divides the price
///
/// # [[reserve]]            # the least price for candidates and requests that have all that is named, as above
/// # slot = 0               # or for this slot; then neither advertiser nor campaign
/// # cpc = 50_000
///
/// # [cold_start]
/// # bonus = 0.5            # an ad without impressions ranks as if it bid 50% more
/// # impressions = 1000     # and one with so many as if it bid 25% more
///
/// # [exploration]
/// # method = "epsilon-greedy"    # or "plackett-luce"
/// # epsilon = 0.01               # of epsilon-greedy
/// # temperature = 0.1            # of plackett-luce
/// # pool = 20                    # the best so many take part
/// # max_given_up_micros = 0      # the most expected revenue that 100,000 requests may give up
///
/// # [document]                   # of pricing = "document"
/// # objective = "click"
/// # reserve = 0.01
/// # bid_modification = 1.0
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(super) pricing: Pricing,
    pub(super) ties: Ties,
    pub(super) squash: f64,
    pub(super) score_floor_micros: i64,
    pub(super) unit_micros: i64,
    pub(super) refuses_parts: bool,
    pub(super) slot_factors: Vec<f64>,
    pub(super) mean_probability: [f64; KINDS.len()],
    /// `q̄^(1-α)`.
    pub(super) squash_scale: [f64; KINDS.len()],
    pub(super) reserve_micros: [i64; KINDS.len()],
    pub(super) page: AdLoad,
    pub(super) tiers: Vec<Tier>,
    pub(super) default_tier: u16,
    pub(super) modifiers: Rules<Modifier>,
    pub(super) reserves: Rules<[i64; KINDS.len()]>,
    pub(super) cold_start: Option<ColdStart>,
    pub(super) explore: Option<Explore>,
    pub(super) document: Document,
}

/// In the order of [`BidKind`]'s numbers.
pub(super) const KINDS: [&str; 4] = ["cpm", "cpc", "cpa", "ocpm"];

impl Default for Policy {
    fn default() -> Self {
        Self {
            pricing: Pricing::Gsp,
            ties: Ties::Key,
            squash: 1.0,
            score_floor_micros: 0,
            unit_micros: 1,
            refuses_parts: false,
            slot_factors: Vec::new(),
            mean_probability: [1.0; KINDS.len()],
            squash_scale: [1.0; KINDS.len()],
            reserve_micros: [0; KINDS.len()],
            page: AdLoad { max_ads: 0, min_ecpm_micros: 0, min_quality: 0.0, limits: Limits::default() },
            tiers: Vec::new(),
            default_tier: 0,
            modifiers: Rules::default(),
            reserves: Rules::default(),
            cold_start: None,
            explore: None,
            document: Document { conversion: false, reserve: 0.01, bid_modification: 1.0 },
        }
    }
}

impl Policy {
    /// The number of the tier with this key, 0 for the default one.
    pub(super) fn tier(&self, key: u64) -> Option<u16> {
        match key {
            0 => Some(self.default_tier),
            _ => self.tiers.iter().position(|tier| tier.key == key).map(|at| at as u16),
        }
    }

    pub(super) fn is_floor_exempt(&self, tier: u16) -> bool {
        self.tiers.get(usize::from(tier)).is_some_and(|tier| tier.floor_exempt)
    }

    pub(super) fn score_floor(&self) -> f64 {
        self.score_floor_micros as f64
    }

    /// `q^α · q̄^(1-α)`. It does not use the platform's `pow`, so that every machine ranks alike.
    #[inline]
    pub(super) fn squashed(&self, kind: BidKind, q: f64) -> f64 {
        if self.squash == 1.0 { q } else { libm::pow(q, self.squash) * self.squash_scale[kind as usize] }
    }

    /// Clicks of the slot against those of the first.
    pub(super) fn slot_factor(&self, slot: usize) -> f64 {
        let factors = &self.slot_factors;
        factors.get(slot).or(factors.last()).copied().unwrap_or(1.0)
    }

    /// Whether a place depends on more than the order of scores, whatever the candidates are.
    pub(super) fn has_page_rules(&self) -> bool {
        self.page.limits != Limits::default()
            || self.has_slot_reserves()
            || self.explore.is_some()
            || self.pricing == Pricing::Vcg
    }

    pub(super) fn has_slot_reserves(&self) -> bool {
        self.reserves.has_slots()
    }

    /// Whether it draws places: every probability matters then, and none may be approximate.
    pub(crate) fn explores(&self) -> bool {
        self.explore.is_some()
    }
}

fn out_of_range(key: &str, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::new(Status::InvalidArgument, format!("{key}: expected {expected}, found {found}"))
}
