//! Scorers: the request path. Nothing here allocates, locks or makes a system call after `adclick_scorer_new`.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::{Pod, Zeroable};

use super::engine::{adclick_engine, engine};
use super::memory::{null, put, read_sized, slice, slice_mut, write_sized};
use super::status::{Failure, adclick_error, guard};
use crate::auction::Reason;
use crate::error::Status;
use crate::scorer::{Input, Scorer, ScorerLimits};
use crate::types::{Candidate, Outcome, Request, Value, Winner};

/// A scorer: one caller's memory, sized once. Belongs to one caller at a time and may move between threads; a call
/// on a scorer that another call is using gives ADCLICK_BUSY. Using a freed one is undefined.
pub struct adclick_scorer {
    busy: AtomicBool,
    scorer: UnsafeCell<Scorer>,
}

/// What a scorer is sized for. Zero everything but `struct_size` for the defaults. 16 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_scorer_options {
    /// `sizeof(adclick_scorer_options)`.
    pub struct_size: u32,
    /// No flag is defined yet: 0.
    pub flags: u32,
    /// Candidates of one request, 1 to 1,048,576; 0 = 1024.
    pub max_candidates: u32,
    /// 0.
    pub reserved: u32,
}

/// The exclusive use of a scorer for one call.
pub(super) struct Using<'a>(&'a adclick_scorer);

impl<'a> Using<'a> {
    /// # Safety
    /// `scorer` is NULL or came from `adclick_scorer_new` and was not freed.
    pub(super) unsafe fn new(scorer: *mut adclick_scorer) -> Result<Self, Failure> {
        if scorer.is_null() {
            return Err(null("scorer"));
        }
        // SAFETY: not NULL, alive by the contract; shared access only, the scorer inside is reached through `busy`.
        let scorer = unsafe { &*scorer };
        if scorer.busy.swap(true, Ordering::Acquire) {
            return Err(Failure::Plain(Status::Busy, "the scorer is in use by another call: give each caller its own"));
        }
        Ok(Self(scorer))
    }

    pub(super) fn scorer(&mut self) -> &mut Scorer {
        // SAFETY: `busy` was false when this value took it, and only this value gives it back, so nobody else holds a
        // reference; `&mut self` makes this one unique.
        unsafe { &mut *self.0.scorer.get() }
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// Makes a scorer for an engine. All memory that its requests need is allocated here. `options` may be NULL. On success
/// `*out` is the scorer; free it with `adclick_scorer_free`, before or after the engine is closed.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED. Any thread.
///
/// # Safety
/// `options` and `error` begin with their size, `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_new(
    engine_: *mut adclick_engine,
    options: *const adclick_scorer_options,
    out: *mut *mut adclick_scorer,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        let mut limits = ScorerLimits::default();
        if !options.is_null() {
            // SAFETY: the caller's contract.
            let options = unsafe { read_sized(options, "adclick_scorer_options") }?;
            if options.flags != 0 || options.reserved != 0 {
                return Err(Failure::Plain(Status::InvalidArgument, "options.flags: no flag is defined, expected 0"));
            }
            if options.max_candidates > 0 {
                limits.max_candidates = options.max_candidates as usize;
            }
        }
        // SAFETY: the caller's contract; checked before the work is done.
        unsafe { put(out, std::ptr::null_mut(), "out") }?;
        let scorer = engine(engine_)?.scorer(limits)?;
        let boxed = Box::new(adclick_scorer { busy: AtomicBool::new(false), scorer: UnsafeCell::new(scorer) });
        // SAFETY: as above.
        unsafe { put(out, Box::into_raw(boxed), "out") }
    })
}

/// Frees a scorer. NULL does nothing. A scorer in use by another call gives ADCLICK_BUSY and is not freed.
///
/// # Safety
/// `scorer` is NULL or came from `adclick_scorer_new` and was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_free(scorer: *mut adclick_scorer) -> i32 {
    guard(std::ptr::null_mut(), || {
        if scorer.is_null() {
            return Ok(());
        }
        // SAFETY: the caller's contract. The use is not given back: the scorer goes.
        std::mem::forget(unsafe { Using::new(scorer) }?);
        // SAFETY: it came from `Box::into_raw` in `adclick_scorer_new`, and `busy` keeps other calls out.
        drop(unsafe { Box::from_raw(scorer) });
        Ok(())
    })
}

/// Calibrated probabilities of all candidates of a request.
///
/// `values`: `request->n_values` entries; `candidates`: `request->n_candidates`; `candidate_values`:
/// `request->n_candidate_values`. An array of no entries may be NULL. `pctr` takes `n_candidates` floats; `pcvr` as many,
/// or is NULL when it is not wanted (without a pCVR head it is filled with NaN). `outcome` may be NULL.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_INVALID_VALUE (a number is
/// NaN or infinite), ADCLICK_CLOSED, ADCLICK_BUSY; then nothing was written but `error`. Allocates nothing, takes no
/// lock, makes no system call.
///
/// # Safety
/// The arrays have the entries that the request says; sized structs begin with their size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_score(
    scorer: *mut adclick_scorer,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    pctr: *mut f32,
    pcvr: *mut f32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let mut using = unsafe { Using::new(scorer) }?;
        // SAFETY: the caller's contract.
        let request = unsafe { read_request(request) }?;
        let n = request.n_candidates as usize;
        // SAFETY: the caller's contract.
        let input = unsafe { arrays(&request, values, candidates, candidate_values) }?;
        // SAFETY: the caller's contract.
        let pctr = unsafe { slice_mut(pctr, n, "pctr") }?;
        // SAFETY: the caller's contract.
        let pcvr = unsafe { slice_mut(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
        let done = using.scorer().score(input, pctr, pcvr)?;
        // SAFETY: the caller's contract.
        unsafe { write_sized(outcome, &done) };
        Ok(())
    })
}

/// Calibrated probabilities of ready inputs: `x` has `n` rows of `width` floats, row by row, columns in the order in
/// which the schema declares its features (`adclick inspect` prints it). Outputs as `adclick_scorer_score`.
/// Errors: as `adclick_scorer_score`; ADCLICK_INVALID_ARGUMENT also when `width` is not the model's, or the model has a
/// wide part (ready inputs cannot carry its ids).
///
/// # Safety
/// The arrays have the entries that `n` and `width` say; sized structs begin with their size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_score_dense(
    scorer: *mut adclick_scorer,
    x: *const f32,
    n: u32,
    width: u32,
    pctr: *mut f32,
    pcvr: *mut f32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let mut using = unsafe { Using::new(scorer) }?;
        let (n, width) = (n as usize, width as usize);
        // SAFETY: the caller's contract.
        let x = unsafe { slice(x, n.saturating_mul(width), "x") }?;
        // SAFETY: the caller's contract.
        let pctr = unsafe { slice_mut(pctr, n, "pctr") }?;
        // SAFETY: the caller's contract.
        let pcvr = unsafe { slice_mut(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
        let done = using.scorer().score_dense(x, n, width, pctr, pcvr)?;
        // SAFETY: the caller's contract.
        unsafe { write_sized(outcome, &done) };
        Ok(())
    })
}

/// The whole path: scores the candidates, calibrates, runs the auction by the generation's policy, and writes the winners,
/// best slot first.
///
/// Inputs as `adclick_scorer_score`. `winners` has room for `max_winners` entries, at least min(n_slots, n_candidates).
/// `reasons` takes for each candidate an `adclick_reason`, or is NULL when it is not wanted. `outcome` may be NULL; it
/// says how many winners there are, so most callers want it. With `deadline_us`, candidates not scored in time are
/// cut: they take no part and are counted.
/// Errors: as `adclick_scorer_score`. Allocates nothing, takes no lock, makes no system call.
///
/// # Safety
/// The arrays have the entries that the request says; sized structs begin with their size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_decide(
    scorer: *mut adclick_scorer,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    winners: *mut Winner,
    max_winners: u32,
    reasons: *mut u32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let mut using = unsafe { Using::new(scorer) }?;
        // SAFETY: the caller's contract.
        let request = unsafe { read_request(request) }?;
        // SAFETY: the caller's contract.
        let input = unsafe { arrays(&request, values, candidates, candidate_values) }?;
        // SAFETY: the caller's contract.
        let winners = unsafe { slice_mut(winners, max_winners as usize, "winners") }?;
        // SAFETY: the caller's contract.
        let reasons = unsafe { reasons_mut(reasons, request.n_candidates as usize) }?;
        let done = using.scorer().decide(input, winners, reasons)?;
        // SAFETY: the caller's contract.
        unsafe { write_sized(outcome, &done) };
        Ok(())
    })
}

/// # Safety
/// `request` is NULL or begins with its size.
unsafe fn read_request(request: *const Request) -> Result<Request, Failure> {
    // SAFETY: the caller's contract.
    let request = unsafe { read_sized(request, "adclick_request") }?;
    Ok(Request { struct_size: size_of::<Request>() as u32, ..request })
}

/// # Safety
/// The arrays have the entries that the request says.
unsafe fn arrays<'a>(
    request: &'a Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
) -> Result<Input<'a>, Failure> {
    Ok(Input {
        request,
        // SAFETY: the caller's contract.
        values: unsafe { slice(values, request.n_values as usize, "values") }?,
        // SAFETY: the caller's contract.
        candidates: unsafe { slice(candidates, request.n_candidates as usize, "candidates") }?,
        // SAFETY: the caller's contract.
        candidate_values: unsafe { slice(candidate_values, request.n_candidate_values as usize, "candidate_values") }?,
    })
}

/// The caller's array of reasons; NULL when it is not wanted.
///
/// # Safety
/// `to` is NULL or has `n` entries.
pub(super) unsafe fn reasons_mut<'a>(to: *mut u32, n: usize) -> Result<&'a mut [Reason], Failure> {
    // SAFETY: the caller's contract.
    let numbers = unsafe { slice_mut(to, if to.is_null() { 0 } else { n }, "reasons") }?;
    // Every entry must hold a valid reason before it can be seen as one.
    numbers.fill(Reason::Won as u32);
    // SAFETY: `Reason` is repr(u32), so size and alignment are the same, and every entry is 0, which is `Won`.
    Ok(unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), numbers.len()) })
}
