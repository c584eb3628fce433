//! One auction's setting: the policy as it applies to one request.

use super::policy::Moment;
use super::{MAX_PAGE_SLOTS, Policy};
use crate::types::{BidKind, Exploration, Request, ReserveSource};

/// One auction's setting: how many places there are, and what of the policy the request decides. [`Page::new`] is that of a
/// request of which nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub(super) policy: &'a Policy,
    pub(super) n_slots: usize,
    pub(super) request_id: u64,
    pub(super) moment: Moment,
    /// The least eCPM of bids that are not exempt, and where it comes from.
    pub(super) floor_ecpm: f64,
    pub(super) floor_source: ReserveSource,
    /// What rules for all candidates multiply the bid by.
    pub(super) adjust: f64,
    /// What they boost.
    pub(super) boost: f64,
    /// What they reserve, by kind of bid, and the rule.
    pub(super) reserve: [(i64, u32); 4],
    /// The least that any slot reserves, by kind of bid.
    least_slot: [i64; 4],
    /// The verdict to replay; [`Exploration::Off`] when there is none.
    pub(super) exploration: Exploration,
}

impl<'a> Page<'a> {
    /// `n_slots` places, and nothing known of the request: rules that ask for a placement or a device do not hold for number 0
    /// unless they name it, and the hour is the first of the day.
    #[must_use]
    pub fn new(policy: &'a Policy, n_slots: usize) -> Self {
        Self::at(policy, n_slots, Moment::default())
    }

    /// What the request says.
    #[must_use]
    pub fn of_request(policy: &'a Policy, request: &Request) -> Self {
        let seconds = request.time_us.div_euclid(1_000_000).saturating_add(request.utc_offset_s.into());
        let hour = (seconds.div_euclid(3600)).rem_euclid(24) as u32;
        let moment = Moment { placement: request.placement, device: request.device, hour };
        let mut page = Self::at(policy, request.n_slots.max(1) as usize, moment);
        page.request_id = request.request_id;
        page.exploration = Exploration::from_u32(request.exploration).unwrap_or_default();
        if request.floor_cpm_micros as f64 > page.floor_ecpm {
            page.floor_ecpm = request.floor_cpm_micros as f64;
            page.floor_source = ReserveSource::Request;
        }
        page
    }

    fn at(policy: &'a Policy, n_slots: usize, moment: Moment) -> Self {
        let most = match policy.page.max_ads {
            0 => usize::MAX,
            most => most as usize,
        };
        let floor_ecpm = policy.page.min_ecpm_micros as f64;
        let floor_source = if floor_ecpm > 0.0 { ReserveSource::Ecpm } else { ReserveSource::None };
        let (mut adjust, mut boost) = (1.0, 1.0);
        for (_, modifier) in policy.modifiers.of_page(moment) {
            adjust *= 1.0 + modifier.adjust;
            boost *= modifier.boost;
        }
        let mut reserve = [(0, 0); 4];
        for (rule, amounts) in policy.reserves.of_page(moment) {
            highest(&mut reserve, rule, amounts);
        }
        let mut page = Self {
            policy,
            n_slots: n_slots.min(most),
            request_id: 0,
            moment,
            floor_ecpm,
            floor_source,
            adjust,
            boost,
            reserve,
            least_slot: [0; 4],
            exploration: Exploration::Off,
        };
        if policy.has_slot_reserves() {
            page.least_slot = KINDS.map(|kind| page.least_of_slots(kind, 0));
        }
        page
    }

    /// The least reserve of the slots that a candidate with this mask fits.
    #[inline]
    pub(super) fn least_slot_reserve(&self, kind: BidKind, mask: u32) -> i64 {
        match mask {
            0 => self.least_slot[kind as usize],
            _ if !self.policy.has_slot_reserves() => 0,
            mask => self.least_of_slots(kind, mask),
        }
    }

    fn least_of_slots(&self, kind: BidKind, mask: u32) -> i64 {
        self.slot_reserve(self.slot_of_least_reserve(kind, mask) as usize, kind).0
    }

    /// The slot with that reserve.
    pub(super) fn slot_of_least_reserve(&self, kind: BidKind, mask: u32) -> u32 {
        let slots = (0..self.slots_in_order()).filter(|&slot| fits(mask, slot));
        slots.min_by_key(|&slot| self.slot_reserve(slot, kind).0).unwrap_or(0) as u32
    }

    /// The reserve of a slot for bids of one kind, and the rule that it comes from.
    pub(super) fn slot_reserve(&self, slot: usize, kind: BidKind) -> (i64, u32) {
        let mut reserve = [(0, 0); 4];
        for (rule, amounts) in self.policy.reserves.of_slot(self.moment, slot as u32) {
            highest(&mut reserve, rule, amounts);
        }
        reserve[kind as usize]
    }

    /// The slots that may be filled when places depend on each other.
    pub(super) fn slots_in_order(&self) -> usize {
        self.n_slots.min(MAX_PAGE_SLOTS)
    }

    /// Whether a candidate with this mask fits any of the slots.
    pub(super) fn has_slot_for(&self, mask: u32) -> bool {
        mask == 0 || (mask.trailing_zeros() as usize) < self.n_slots
    }
}

const KINDS: [BidKind; 4] = [BidKind::Cpm, BidKind::Cpc, BidKind::Cpa, BidKind::Ocpm];

/// Raises reserves to those of a rule.
pub(super) fn highest(reserve: &mut [(i64, u32); 4], rule: u32, amounts: &[i64; 4]) {
    for (reserve, &amount) in reserve.iter_mut().zip(amounts) {
        if amount > reserve.0 {
            *reserve = (amount, rule);
        }
    }
}

/// Whether a candidate with this mask fits this slot.
pub(super) fn fits(mask: u32, slot: usize) -> bool {
    mask == 0 || slot < 32 && mask >> slot & 1 == 1
}
