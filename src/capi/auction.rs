//! The auction alone, for callers that have their probabilities from elsewhere.

use std::ffi::c_char;

use bytemuck::{Pod, Zeroable};

use super::memory::{put, read_sized, slice, slice_mut};
use super::scorer::{Using, adclick_scorer, reasons_mut};
use super::status::{Failure, adclick_error, guard};
use crate::auction::{Policy, Reason, Scratch, run_candidates};
use crate::types::{BidKind, Candidate, Winner};

/// The rules of an auction; 0 in a field is its default. 56 bytes.
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
}

/// Runs one auction on candidates whose probabilities the caller has, by `options`.
///
/// `pctr` has `n` probabilities; `pcvr` has `n` with NaN where one is missing, or is NULL. `winners` has room for
/// `max_winners` entries, at least min(n_slots, n). `reasons` takes `n` values of `adclick_reason`, or is NULL. On success
/// `*n_winners` are written; their `impression_id` is 0.
/// With a scorer its memory is used and nothing is allocated; with NULL the call allocates 24 bytes a candidate.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_BUFFER_TOO_SMALL,
/// ADCLICK_BUSY. A bad bid is no error: it gets its reason.
///
/// # Safety
/// The arrays have the entries that `n` and `max_winners` say; sized structs begin with their size.
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
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let options = unsafe { read_sized(options, "adclick_auction_options") }?;
        let (n, slots) = (n as usize, options.n_slots.max(1) as usize);
        let policy = to_policy(&options)?;
        // SAFETY: the caller's contract.
        let candidates = unsafe { slice(candidates, n, "candidates") }?;
        // SAFETY: the caller's contract.
        let pctr = unsafe { slice(pctr, n, "pctr") }?;
        // SAFETY: the caller's contract.
        let pcvr = unsafe { slice(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
        // SAFETY: the caller's contract.
        let winners = unsafe { slice_mut(winners, max_winners as usize, "winners") }?;
        // SAFETY: the caller's contract.
        let reasons = unsafe { reasons_mut(reasons, n) }?;
        let reasons: Option<&mut [Reason]> = (!reasons.is_empty()).then_some(reasons);
        // SAFETY: the caller's contract; checked before the work is done.
        unsafe { put(n_winners, 0, "n_winners") }?;
        let filled = if scorer.is_null() {
            run_candidates(&policy, candidates, pctr, pcvr, slots, &mut Scratch::new(n), winners, reasons)?
        } else {
            // SAFETY: the caller's contract.
            let mut using = unsafe { Using::new(scorer) }?;
            let scratch = using.scorer().auction_scratch();
            run_candidates(&policy, candidates, pctr, pcvr, slots, scratch, winners, reasons)?
        };
        // SAFETY: as above.
        unsafe { put(n_winners, filled as u32, "n_winners") }
    })
}

/// A reason in words, such as "below_reserve"; "unknown reason" for other numbers. Static.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_reason_name(reason: u32) -> *const c_char {
    Reason::from_u32(reason).map_or(c"unknown reason", Reason::c_name).as_ptr()
}

fn to_policy(options: &adclick_auction_options) -> Result<Policy, Failure> {
    let mut policy = Policy::default().with_score_floor_micros(options.score_floor_micros)?;
    if options.squash != 0.0 {
        policy = policy.with_squash(options.squash)?;
    }
    for (kind, &reserve) in
        [BidKind::Cpm, BidKind::Cpc, BidKind::Cpa, BidKind::Ocpm].into_iter().zip(&options.reserve_micros)
    {
        policy = policy.with_reserve_micros(kind, reserve)?;
    }
    Ok(policy)
}
