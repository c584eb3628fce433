//! The auction alone, for callers that get their probabilities from elsewhere.

use std::ffi::c_char;

use bytemuck::{Pod, Zeroable};

use super::arrays::{Entry, Outputs, Room, Strides, entries};
use super::failure::Failure;
use super::memory::{SizedStruct, place, read_sized, slice, slice_mut};
use super::scorer::{adclick_scorer, check_room, on_scorer};
use super::status::{adclick_error, adclick_status, guard};
use crate::auction::{Carry, Page, Policy, PolicyParts, Reason, Scratch, run_candidates};
use crate::limits::MAX_CANDIDATES;
use crate::metrics::Call;
use crate::refusal::Refusal;
use crate::scorer::Scorer;
use crate::types::{BidKind, Candidate, Request, Winner};

/// The rules of an auction; 0 in a field is its default. 88 bytes; 56 in the first version.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_auction_options {
    /// `sizeof(adclick_auction_options)`.
    pub struct_size: u32,
    /// Places to fill; 0 = 1.
    pub n_slots: u32,
    /// The exponent of the event's probability in the rank score, in (0, 1]; 0 = 1.
    pub squash: f64,
    /// The least rank score per 1000 impressions, in micros.
    pub score_floor_micros: i64,
    /// The reserve of candidates without one of their own, by bid kind (CPM, CPC, CPA, oCPM), in micros per billed
    /// event.
    pub reserve_micros: [i64; 4],
    /// `sizeof(adclick_candidate)`: how far apart the candidates stand. 0 = 56, the first version's.
    pub candidate_size: u32,
    /// `sizeof(adclick_winner)`: how far apart the winners stand. 0 = 64, the first version's.
    pub winner_size: u32,
    /// The billable unit in micros: bids are rounded down to whole ones, prices are whole ones; 0 = 1.
    pub unit_micros: i64,
    /// The least value of 1000 impressions for bids of every kind, in micros; 0 = none.
    pub floor_cpm_micros: i64,
    /// The request's id, which throttles draw from.
    pub request_id: u64,
    /// A field of a later header, in the build that tests how the ABI grows.
    #[cfg(adclick_grown)]
    pub grown: u64,
}

/// The options of the headers whose entries are those of the first version. Only they may leave the sizes at 0.
const LAST_WITHOUT_SIZES: usize = 64;

/// As `adclick_request`.
const _: () = assert!(
    size_of::<Candidate>() == Candidate::FIRST && size_of::<Winner>() == Winner::FIRST
        || size_of::<adclick_auction_options>() > LAST_WITHOUT_SIZES,
    "when candidates or winners grow, so must adclick_auction_options"
);

impl SizedStruct for adclick_auction_options {
    const NAME: &'static str = "adclick_auction_options";
    const FIRST: usize = 56;
}

/// Runs one auction, by `options`, on `n` candidates whose probabilities the caller has. Best slot first, the winners go to
/// `winners` and their number to `*n_winners`. Their `impression_id` is 0; the values that candidates refer to
/// (`first_value`, `n_values`) play no part.
///
/// `candidates` has `n` entries and `pctr` `n` probabilities; `pcvr` has `n`, NaN where one is missing, or is NULL.
/// `winners` has room for `max_winners` entries, at least min(n_slots, n). `reasons` takes `n` values of
/// `adclick_reason`, or is NULL when it is not wanted.
/// `scorer` lends its memory, so that nothing is allocated; with NULL the call allocates up to 28 bytes a candidate, and 128 for one of another size. The
/// scorer's engine may be closed.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_BUFFER_TOO_SMALL,
/// ADCLICK_BUSY. A bad bid or probability is no error: the candidate gets its reason.
/// One thread at a time for each scorer; with NULL, any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_auction_run(
    scorer: *mut adclick_scorer,
    options: *const adclick_auction_options,
    candidates: *const Candidate,
    pctr: *const f32,
    pcvr: *const f32,
    n: u32,
    winners: *mut Winner,
    max_winners: u32,
    reasons: *mut u32,
    n_winners: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard(error, || {
        let run = |lent: Option<(&mut Scorer, &mut Room)>| {
            // SAFETY: clauses pointers and outputs.
            let n_winners = unsafe { place(n_winners, "n_winners") }?;
            // SAFETY: clause sizes.
            let options = unsafe { read_sized(options) }?;
            let policy = to_policy(&options)?;
            let may_be_zero = options.struct_size as usize <= LAST_WITHOUT_SIZES;
            let strides = Strides::new(options.candidate_size, options.winner_size, may_be_zero)?;
            let (n, slots) = (n as usize, options.n_slots.max(1) as usize);
            let most = lent.as_ref().map_or(MAX_CANDIDATES, |(scorer, _)| scorer.max_candidates());
            check_room(n, most, slots, max_winners)?;
            let n_reasons = if reasons.is_null() { 0 } else { n };
            let mut owned;
            let (scorer, room) = match lent {
                Some((scorer, room)) => (Some(scorer), room),
                None => {
                    owned = Room::of_call(n_reasons, n, slots.min(n), strides)?;
                    (None, &mut owned)
                }
            };
            // SAFETY: clause arrays.
            let candidates = unsafe { entries(candidates, n, strides.candidate, &mut room.candidates) }?;
            // SAFETY: clause arrays.
            let pctr = unsafe { slice(pctr, n, "pctr") }?;
            // SAFETY: clause arrays.
            let pcvr = unsafe { slice(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
            let most = max_winners as usize;
            // SAFETY: clauses arrays and outputs.
            let mut winners = unsafe { Outputs::new(winners, most, strides.winner, &mut room.winners) }?;
            // SAFETY: clauses arrays and outputs.
            let to = unsafe { slice_mut(reasons, n_reasons, "reasons") }?;
            let found = &mut room.reasons[..n_reasons];
            let wanted = (!found.is_empty()).then_some(&mut *found);
            let request = Request {
                request_id: options.request_id,
                n_slots: slots as u32,
                floor_cpm_micros: options.floor_cpm_micros,
                ..Request::default()
            };
            let (page, won) = (Page::of_request(&policy, &request), winners.entries());
            let filled = match scorer {
                Some(scorer) => scorer.auction(&page, candidates, pctr, pcvr, won, wanted)?,
                None => run_candidates(&page, candidates, pctr, pcvr, &mut Scratch::new(n), won, wanted)?,
            };
            let filled = filled.n_winners;
            winners.finish(filled);
            for (to, reason) in to.iter_mut().zip(found) {
                *to = *reason as u32;
            }
            n_winners.put(filled as u32);
            Ok(())
        };
        match scorer.is_null() {
            true => run(None),
            // SAFETY: clause scorers.
            false => unsafe { on_scorer(scorer, Call::Auction, |scorer, room| run(Some((scorer, room)))) },
        }
    })
}

/// The name of a reason, such as "below_reserve"; "unknown reason" for other numbers. The text is static: do not free it.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_reason_name(reason: u32) -> *const c_char {
    Reason::from_u32(reason).map_or(c"unknown reason", Reason::c_name).as_ptr()
}

/// What to bill for one impression at a price per 1000 impressions, in micros, so that nothing is lost: one impression is rarely a
/// whole number of micros. `*carry` begins at 0 and holds what is left over, in thousandths of a micro, 0 to 999, for the next bill.
/// Keep one for each account that is billed, and bill from one thread at a time. 1000 impressions at 1,999,999 micros bill
/// 1,999,999; cut each time, they would bill 1,999,000.
///
/// 0, with `*carry` as it was, for a price under 0. With `carry` NULL what is left over is lost.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_bill(carry: *mut u32, price_micros: i64) -> i64 {
    let mut kept = Carry::default();
    if carry.is_null() {
        return kept.bill(price_micros);
    }
    // SAFETY: clause pointers.
    let carry = unsafe { &mut *carry };
    kept = Carry(*carry);
    let billed = kept.bill(price_micros);
    *carry = kept.0;
    billed
}

fn to_policy(options: &adclick_auction_options) -> Result<Policy, Failure> {
    let mut policy = Policy::default().with_score_floor_micros(options.score_floor_micros)?;
    if options.squash != 0.0 {
        policy = policy.with_squash(options.squash)?;
    }
    if options.unit_micros != 0 {
        policy = policy.with_unit_micros(options.unit_micros)?;
    }
    if options.floor_cpm_micros < 0 {
        return Err(Refusal::Argument { what: "options.floor_cpm_micros", rule: "expected 0 or more" }.into());
    }
    for (kind, &reserve) in
        [BidKind::Cpm, BidKind::Cpc, BidKind::Cpa, BidKind::Ocpm].into_iter().zip(&options.reserve_micros)
    {
        policy = policy.with_reserve_micros(kind, reserve)?;
    }
    Ok(policy)
}
