//! Who gets which place where places depend on each other: under limits, slot masks, and reserves of slots.
//!
//! The slots are filled in order, each by the best candidate that fits it and may stand beside those placed before. What keeps
//! a price up is the candidate next in line for the same slot, after all that the winner itself excludes are gone: an
//! excluded sibling sets no price.

use super::order::{Entry, Order, State};
use super::{Groups, Limits, MAX_PAGE_SLOTS};
use crate::error::Result;
use crate::memory::reserved;

/// A place with its winner and the next in line for it, both as positions in the order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) slot: u32,
    pub(super) at: u32,
    /// [`NOBODY`] when nobody is left.
    pub(super) next: u32,
}

pub(super) const NOBODY: u32 = u32::MAX;

/// Those who stand on the page already, as the limits count them.
#[derive(Debug)]
pub(super) struct Standing {
    limits: Limits,
    placed: [Groups; MAX_PAGE_SLOTS],
    n: usize,
}

impl Standing {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, placed: [[0; 5]; MAX_PAGE_SLOTS], n: 0 }
    }

    pub(super) fn add(&mut self, groups: Groups) {
        self.placed[self.n] = groups;
        self.n += 1;
    }

    /// Whether one more of these groups is within the limits.
    pub(super) fn admits(&self, groups: &Groups) -> bool {
        admits(&self.limits, &self.placed[..self.n], groups)
    }
}

/// The same for more candidates than a page has slots.
#[derive(Debug)]
pub(super) struct Crowd(Vec<Groups>);

impl Crowd {
    pub(super) fn new(most: usize) -> Result<Self> {
        reserved(most).map(Self)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<Groups>()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, groups: Groups) {
        self.0.push(groups);
    }

    pub(super) fn admits(&self, limits: &Limits, groups: &Groups) -> bool {
        admits(limits, &self.0, groups)
    }
}

fn admits(limits: &Limits, placed: &[Groups], groups: &Groups) -> bool {
    (0..groups.len()).all(|of| {
        let (limit, group) = (limits[of], groups[of]);
        let same = || placed.iter().filter(|placed| placed[of] == group).count();
        limit == 0 || group == 0 || same() < limit as usize
    })
}

/// What the allocation asks of candidates, by their index.
pub(super) trait Candidates {
    /// What the limits count.
    fn groups(&self, index: u32) -> Groups;
    /// Whether it fits the slot and is worth its reserve.
    fn fits(&self, index: u32, slot: usize) -> bool;
}

/// Fills the slots. The number of seats in `seats` comes back.
pub(super) fn fill(
    order: &mut Order<'_>,
    candidates: &impl Candidates,
    limits: Limits,
    n_slots: usize,
    seats: &mut [Seat],
) -> usize {
    let (mut standing, mut n) = (Standing::new(limits), 0);
    // Nobody before it is open.
    let mut first = 0;
    for slot in 0..n_slots.min(seats.len()) {
        while order.reach(first) && order.entries[first].state != State::Open {
            first += 1;
        }
        let Some(at) = find(order, candidates, &standing, slot, first) else { continue };
        order.entries[at].state = State::Placed;
        standing.add(candidates.groups(order.entries[at].index));
        let next = find(order, candidates, &standing, slot, first);
        seats[n] = Seat { slot: slot as u32, at: at as u32, next: next.map_or(NOBODY, |next| next as u32) };
        n += 1;
    }
    n
}

/// The best open candidate for a slot, from a position on. Marks those that a limit keeps out: they stay out, as the page
/// only fills.
fn find(
    order: &mut Order<'_>,
    candidates: &impl Candidates,
    standing: &Standing,
    slot: usize,
    first: usize,
) -> Option<usize> {
    let mut at = first;
    while order.reach(at) {
        let Entry { state, index, .. } = order.entries[at];
        if state == State::Open {
            if !standing.admits(&candidates.groups(index)) {
                order.entries[at].state = State::Excluded;
            } else if candidates.fits(index, slot) {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

/// What the candidates of one tier lose by the winner of seat `j`, in rank scores per 1000 impressions of the first slot:
/// its VCG payment. Without it, the slots from its own on are filled by the others in their order.
/// `Σ_{k≥j} α_k·s'_k − α_{k+1}·s_{k+1}`, with `s'` the scores without it and `s` those behind it; where nobody is left,
/// the seller takes a slot at `floor`.
#[expect(clippy::too_many_arguments, reason = "the setting of one auction, which nothing else needs together")]
pub(super) fn externality(
    order: &mut Order<'_>,
    candidates: &impl Candidates,
    limits: Limits,
    seats: &[Seat],
    j: usize,
    n_slots: usize,
    factor: impl Fn(usize) -> f64,
    floor: f64,
) -> f64 {
    let tier = order.entries[seats[j].at as usize].tier;
    let mut standing = Standing::new(limits);
    for seat in &seats[..j] {
        standing.add(candidates.groups(order.entries[seat.at as usize].index));
    }
    let mut at = seats[j].at as usize;
    let mut lost = 0.0;
    for k in j..n_slots {
        let without = loop {
            at += 1;
            if !order.reach(at) {
                break None;
            }
            let Entry { index, tier: its, score, .. } = order.entries[at];
            if standing.admits(&candidates.groups(index)) {
                standing.add(candidates.groups(index));
                break Some(if its == tier { score } else { 0.0 });
            }
        };
        let behind = seats.get(k + 1).map(|seat| {
            let entry = order.entries[seat.at as usize];
            if entry.tier == tier { entry.score } else { 0.0 }
        });
        let (without, is_last) = (without.unwrap_or(0.0).max(floor), k + 1 >= n_slots);
        let behind = if is_last { 0.0 } else { behind.unwrap_or(0.0).max(floor) };
        let (own, next) = (factor(k), if is_last { 0.0 } else { factor(k + 1) });
        // So split, what is equal on both sides leaves nothing behind.
        lost += own * (without - behind) + (own - next) * behind;
        if at >= order.entries.len() && k >= seats.len() {
            // Slots that stay empty either way: the seller's share telescopes to nothing more than this slot's.
            lost += next * floor * f64::from(u8::from(!is_last));
            break;
        }
    }
    lost
}
