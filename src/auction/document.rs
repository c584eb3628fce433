//! The ranker of the design document as it is written, faults included, for comparison. It knows no kinds of bids, no reserve
//! in a bid's own unit and no refusal: see `docs/auction.md`.

#[cfg(feature = "builder")]
use super::Scratch;
use super::order::{Entry, State};
use super::policy::Document;
#[cfg(feature = "builder")]
use crate::error::{Error, Result, Status};

/// A candidate as that ranker sees it: `[bid in currency units, pCTR, pCVR]`; a pCVR of NaN is none.
pub type DocumentBid = [f64; 3];

/// Runs that ranker, to the bit: rank by `bid · bid_modification · p`, and a price of `max(reserve, next / pctr)` in currency
/// units for whoever has a next one. Fills `places[..filled]` with candidates and prices.
///
/// # Errors
/// [`Status::CapacityExceeded`] for more bids than `scratch` was made for; [`Status::BufferTooSmall`] when `places` holds fewer
/// than `min(n_slots, bids)`.
#[cfg(feature = "builder")]
pub fn run_document(
    policy: &super::Policy,
    bids: &[DocumentBid],
    n_slots: usize,
    scratch: &mut Scratch,
    places: &mut [(u32, f64)],
) -> Result<usize> {
    let n = bids.len();
    if n > scratch.max_candidates() || places.len() < n_slots.min(n) {
        let text = format!("{n} bids and room for {} places", places.len());
        let status = if n > scratch.max_candidates() { Status::CapacityExceeded } else { Status::BufferTooSmall };
        return Err(Error::new(status, text));
    }
    let entries = rank(&policy.document, n, |i| Some(bids[i]), scratch.entries());
    let filled = n_slots.min(n);
    for (place, to) in places.iter_mut().take(filled).enumerate() {
        let index = entries[place].index;
        *to = (index, price(&policy.document, entries, place, bids[index as usize][1]));
    }
    Ok(filled)
}

/// All candidates that bid, in that ranker's order: equal ones as they came.
pub(super) fn rank<'a>(
    rules: &Document,
    n: usize,
    get: impl Fn(usize) -> Option<DocumentBid>,
    entries: &'a mut Vec<Entry>,
) -> &'a [Entry] {
    let modification = if rules.bid_modification == 0.0 { 1.0 } else { rules.bid_modification };
    entries.clear();
    entries.extend((0..n).filter_map(|index| {
        let [bid, pctr, pcvr] = get(index)?;
        let p = if rules.conversion && pcvr != 0.0 && !pcvr.is_nan() { pcvr } else { pctr };
        // Minus zero ranks as zero.
        Some(Entry { score: bid * modification * p + 0.0, key: 0, index: index as u32, tier: 0, state: State::Open })
    }));
    entries.sort_unstable_by(Entry::rank);
    entries
}

/// The price of a place in currency units.
pub(super) fn price(rules: &Document, entries: &[Entry], place: usize, pctr: f64) -> f64 {
    match entries.get(place + 1) {
        Some(next) if pctr > 0.0 => {
            let price = next.score / pctr;
            if price > rules.reserve { price } else { rules.reserve }
        }
        Some(_) => 0.0,
        None => rules.reserve,
    }
}
