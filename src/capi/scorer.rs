//! Scorers: the request path. Nothing here allocates, locks or makes a system call after `adclick_scorer_new`.

use std::cell::UnsafeCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::{Pod, Zeroable};

use super::arrays::{LAST_WITHOUT_SIZES, Outputs, Room, Strides, entries};
use super::asked::{Asked, InColumns};
use super::engine::{adclick_engine, live_engine};
use super::failure::{Failure, null};
use super::memory::{Output, SizedStruct, place, read_optional, read_sized, slice, slice_mut};
use super::status::{adclick_error, adclick_status, guard, guard_whole};
use crate::error::Status;
use crate::metrics::{Block, Call};
use crate::refusal::Refusal;
use crate::request::Input;
use crate::scorer::{Scorer, ScorerLimits};
use crate::types::{Candidate, Explanation, Outcome, Request, Value, Winner};

/// A scorer: one caller's memory, sized once. Belongs to one caller at a time and may move between threads. A call on a
/// scorer that another call is using returns ADCLICK_BUSY. Unlike other handles it is a pointer: using a freed one is
/// undefined.
pub struct adclick_scorer {
    busy: AtomicBool,
    /// Where calls are counted that find it busy.
    counters: Arc<Block>,
    inside: UnsafeCell<Inside>,
}

/// What a call that has the scorer to itself may touch.
struct Inside {
    scorer: Scorer,
    /// For `max_candidates`.
    room: Room,
}

/// A scorer may move between threads.
const _: () = {
    const fn moves<T: Send>() {}
    moves::<Inside>();
};

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

impl SizedStruct for adclick_scorer_options {
    const NAME: &'static str = "adclick_scorer_options";
    const FIRST: usize = 16;
}

impl SizedStruct for Request {
    const NAME: &'static str = "adclick_request";
    const FIRST: usize = 64;
}

impl SizedStruct for Outcome {
    const NAME: &'static str = "adclick_outcome";
    const FIRST: usize = 32;
}

impl SizedStruct for Explanation {
    const NAME: &'static str = "adclick_explanation";
    const FIRST: usize = 144;
}

/// The exclusive use of a scorer for one call.
pub(super) struct Using<'a>(&'a adclick_scorer);

impl<'a> Using<'a> {
    /// `call` names the call, which is counted when another call is using the scorer.
    ///
    /// # Safety
    /// `scorer` is NULL or came from `adclick_scorer_new` and was not freed.
    unsafe fn new(scorer: *mut adclick_scorer, call: Option<Call>) -> Result<Self, Failure> {
        if scorer.is_null() {
            return Err(null("scorer"));
        }
        // SAFETY: not NULL; clause scorers, as this function asks; shared access only, what is inside is reached through `busy`.
        let scorer = unsafe { &*scorer };
        if scorer.busy.swap(true, Ordering::Acquire) {
            if let Some(call) = call {
                scorer.counters.busy(call);
            }
            return Err(Failure::Plain(Status::Busy, "the scorer is in use by another call: give each caller its own"));
        }
        Ok(Self(scorer))
    }

    /// The scorer and its room for what the boundary copies.
    fn parts(&mut self) -> (&mut Scorer, &mut Room) {
        // SAFETY: `busy` was false when this value took it, and only this value gives it back, so no other call holds a
        // reference; `&mut self` makes this one unique.
        let inside = unsafe { &mut *self.0.inside.get() };
        (&mut inside.scorer, &mut inside.room)
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A call that the scorer may count itself. What it never came to see is counted here.
struct Counted<'a> {
    scorer: &'a mut Scorer,
    call: Call,
    before: u64,
    /// What it ended with; a panic leaves it as it is.
    status: Status,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.scorer.meter().counted() == self.before {
            self.scorer.meter().refuse(self.call, self.status);
        }
    }
}

/// One call on a scorer, with its room. It is counted once, whatever it ends with.
///
/// # Safety
/// As [`Using::new`].
pub(super) unsafe fn on_scorer(
    scorer: *mut adclick_scorer,
    call: Call,
    run: impl FnOnce(&mut Scorer, &mut Room) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // SAFETY: clause scorers.
    let mut using = unsafe { Using::new(scorer, Some(call)) }?;
    let (scorer, room) = using.parts();
    scorer.forget();
    let before = scorer.meter().counted();
    let mut counted = Counted { scorer, call, before, status: Status::Internal };
    let result = run(counted.scorer, room);
    if let Err(failure) = &result {
        counted.status = failure.status();
    }
    result
}

/// Makes a scorer for an engine. All memory that its requests need is allocated here, none later.
///
/// `options` may be NULL for the defaults. On success `*out` is the scorer, the caller's to free with
/// `adclick_scorer_free`, before or after the engine is closed.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED, ADCLICK_CAPACITY_EXCEEDED when the system refuses
/// so much memory.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_new(
    engine: *mut adclick_engine,
    options: *const adclick_scorer_options,
    out: *mut *mut adclick_scorer,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let out = unsafe { place(out, "out") }?;
        let mut limits = ScorerLimits::default();
        // SAFETY: clause sizes.
        if let Some(options) = unsafe { read_optional(options) }? {
            if options.flags != 0 || options.reserved != 0 {
                let text = "options.flags and options.reserved: nothing is defined, expected 0";
                return Err(Failure::Plain(Status::InvalidArgument, text));
            }
            if options.max_candidates > 0 {
                limits.max_candidates = options.max_candidates as usize;
            }
        }
        let mut scorer = live_engine(engine)?.scorer(limits)?;
        let room = Room::of_scorer(limits.max_candidates)?;
        scorer.meter().hold(room.bytes());
        let counters = Arc::clone(scorer.meter().block());
        let inside = UnsafeCell::new(Inside { scorer, room });
        out.put(Box::into_raw(Box::new(adclick_scorer { busy: AtomicBool::new(false), counters, inside })));
        Ok(())
    })
}

/// Frees a scorer. NULL does nothing.
/// Errors: ADCLICK_BUSY when another call is using it; then it is not freed.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_free(scorer: *mut adclick_scorer) -> adclick_status {
    guard_whole(std::ptr::null_mut(), || {
        if scorer.is_null() {
            return Ok(());
        }
        // SAFETY: clause scorers. The use is not given back: the scorer goes.
        std::mem::forget(unsafe { Using::new(scorer, None) }?);
        // SAFETY: it came from `Box::into_raw` in `adclick_scorer_new`, and `busy` keeps other calls out.
        drop(unsafe { Box::from_raw(scorer) });
        Ok(())
    })
}

/// Calibrated probabilities of all candidates of a request.
///
/// `values` has `request->n_values` entries, `candidates` `request->n_candidates`, and `candidate_values`
/// `request->n_candidate_values`, of which each candidate names its own by `first_value` and `n_values`. `pctr` takes
/// `n_candidates` floats, P(click | impression); `pcvr` takes as many, P(conversion | click), or is NULL when they are
/// not wanted. Without a pCTR head `pctr` is filled with NaN, without a pCVR head `pcvr`. A candidate whose logit
/// overflows gets NaN. `outcome` may be NULL.
/// `n_slots`, `deadline_us` and the bids are not read. The caller keeps all memory; the library keeps no pointer to it.
/// Errors: ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CAPACITY_EXCEEDED, ADCLICK_INVALID_VALUE (a value
/// is NaN or infinite), ADCLICK_CLOSED, ADCLICK_BUSY. Then only `error` was written, and the scorer can be used again.
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
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
) -> adclick_status {
    let asked = Asked { request, values, candidates, candidate_values, columns: InColumns::NONE };
    // SAFETY: every clause holds for the call as for this one; without columns no array of them is read.
    unsafe { score(scorer, asked, pctr, pcvr, outcome, error) }
}

/// # Safety
/// As [`super::columns::adclick_scorer_score_columns`].
pub(super) unsafe fn score(
    scorer: *mut adclick_scorer,
    asked: Asked,
    pctr: *mut f32,
    pcvr: *mut f32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> adclick_status {
    guard(error, || {
        let run = |scorer: &mut Scorer, room: &mut Room| {
            // SAFETY: clauses sizes and outputs.
            let outcome = unsafe { Output::new(outcome) }?;
            // SAFETY: clause sizes.
            let (request, strides) = unsafe { read_request(asked.request) }?;
            let n = request.n_candidates as usize;
            check_capacity(n, scorer.max_candidates())?;
            // SAFETY: clause arrays.
            let candidates = unsafe { entries(asked.candidates, n, strides.candidate, &mut room.candidates) }?;
            // SAFETY: clauses sizes and arrays.
            let input = unsafe { input(&request, asked, candidates) }?;
            // SAFETY: clauses arrays and outputs.
            let pctr = unsafe { slice_mut(pctr, n, "pctr") }?;
            // SAFETY: clauses arrays and outputs.
            let pcvr = unsafe { slice_mut(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
            outcome.write(&scorer.score(input, pctr, pcvr)?);
            Ok(())
        };
        // SAFETY: clause scorers.
        unsafe { on_scorer(scorer, Call::Score, run) }
    })
}

/// Calibrated probabilities of ready inputs: `x` has `n` rows of `width` floats, row after row, columns in the order in
/// which the schema declares its features (`adclick inspect` prints it). `pctr`, `pcvr` and `outcome` as in
/// `adclick_scorer_score`, one entry for each row.
/// Errors: as `adclick_scorer_score`; ADCLICK_INVALID_ARGUMENT also when `width` is not the model's, or the model has a
/// wide part (ready inputs cannot carry its ids).
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
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
) -> adclick_status {
    guard(error, || {
        let run = |scorer: &mut Scorer, _: &mut Room| {
            // SAFETY: clauses sizes and outputs.
            let outcome = unsafe { Output::new(outcome) }?;
            let (n, width) = (n as usize, width as usize);
            check_capacity(n, scorer.max_candidates())?;
            // SAFETY: clause arrays.
            let x = unsafe { slice(x, n.saturating_mul(width), "x") }?;
            // SAFETY: clauses arrays and outputs.
            let pctr = unsafe { slice_mut(pctr, n, "pctr") }?;
            // SAFETY: clauses arrays and outputs.
            let pcvr = unsafe { slice_mut(pcvr, if pcvr.is_null() { 0 } else { n }, "pcvr") }?;
            outcome.write(&scorer.score_dense(x, n, width, pctr, pcvr)?);
            Ok(())
        };
        // SAFETY: clause scorers.
        unsafe { on_scorer(scorer, Call::ScoreDense, run) }
    })
}

/// The whole path: scores the candidates, calibrates, runs the auction by the generation's policy, and writes the winners,
/// best slot first.
///
/// Inputs as in `adclick_scorer_score`. `winners` has room for `max_winners` entries, at least
/// min(n_slots, n_candidates); entries past `outcome->n_winners` are left alone. `reasons` takes an `adclick_reason` for
/// each candidate, or is NULL when it is not wanted. `outcome` may be NULL; it says how many winners there are, so most
/// callers want it. With `deadline_us`, candidates not scored in time are cut off: they cannot win, and are counted. The first few
/// are always scored, and those before others that would score best by a cheap guess (docs/auction.md). With a model that has no
/// pCTR head, CPC, CPA and oCPM bids get ADCLICK_REASON_INVALID_PCTR, and only CPM bids win. The caller keeps all memory; the
/// library keeps no pointer to it.
/// Errors: as `adclick_scorer_score`, and ADCLICK_BUFFER_TOO_SMALL for `winners`. A bad bid is no error: the candidate gets
/// its reason.
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call (it reads the clock,
/// as the other calls do, which takes none on Linux).
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
) -> adclick_status {
    let asked = Asked { request, values, candidates, candidate_values, columns: InColumns::NONE };
    // SAFETY: every clause holds for the call as for this one; without columns no array of them is read.
    unsafe { decide(scorer, asked, winners, max_winners, reasons, outcome, error) }
}

/// What the scorer's last decision found of the candidate with this index: its logits, probabilities, multipliers, rank score,
/// reserve, place and reason.
///
/// The scorer keeps the last decision until its next call, whatever that is; `explanation->request_id` says which it is.
/// Winners have the same numbers as in `adclick_winner`, which also has their prices.
/// Errors: ADCLICK_INVALID_ARGUMENT when the scorer's last call was no decision or failed, when it had no such candidate, or when
/// the generation that decided is no longer live; ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED, ADCLICK_BUSY.
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call. Its time grows with the
/// decision's candidates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_explain(
    scorer: *mut adclick_scorer,
    candidate: u32,
    explanation: *mut Explanation,
    error: *mut adclick_error,
) -> adclick_status {
    guard(error, || {
        if explanation.is_null() {
            return Err(null(Explanation::NAME));
        }
        // SAFETY: clause sizes and outputs.
        let explanation = unsafe { Output::new(explanation) }?;
        // SAFETY: clause scorers.
        let mut using = unsafe { Using::new(scorer, None) }?;
        let (scorer, _) = using.parts();
        explanation.write(&scorer.explain(candidate as usize)?);
        Ok(())
    })
}

/// # Safety
/// As [`super::columns::adclick_scorer_decide_columns`].
pub(super) unsafe fn decide(
    scorer: *mut adclick_scorer,
    asked: Asked,
    winners: *mut Winner,
    max_winners: u32,
    reasons: *mut u32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> adclick_status {
    guard(error, || {
        let run = |scorer: &mut Scorer, room: &mut Room| {
            // SAFETY: clauses sizes and outputs.
            let outcome = unsafe { Output::new(outcome) }?;
            // SAFETY: clause sizes.
            let (request, strides) = unsafe { read_request(asked.request) }?;
            let n = request.n_candidates as usize;
            check_room(n, scorer.max_candidates(), request.n_slots.max(1) as usize, max_winners)?;
            // SAFETY: clause arrays.
            let candidates = unsafe { entries(asked.candidates, n, strides.candidate, &mut room.candidates) }?;
            // SAFETY: clauses sizes and arrays.
            let input = unsafe { input(&request, asked, candidates) }?;
            let most = max_winners as usize;
            // SAFETY: clauses arrays and outputs.
            let mut winners = unsafe { Outputs::new(winners, most, strides.winner, &mut room.winners) }?;
            // SAFETY: clauses arrays and outputs.
            let to = unsafe { slice_mut(reasons, if reasons.is_null() { 0 } else { n }, "reasons") }?;
            let found = &mut room.reasons[..to.len()];
            let done = scorer.decide(input, winners.entries(), found)?;
            winners.finish(done.n_winners as usize);
            for (to, reason) in to.iter_mut().zip(found) {
                *to = *reason as u32;
            }
            outcome.write(&done);
            Ok(())
        };
        // SAFETY: clause scorers.
        unsafe { on_scorer(scorer, Call::Decide, run) }
    })
}

/// Before any array is looked at: the counts may be what is wrong.
fn check_capacity(n: usize, most: usize) -> Result<(), Failure> {
    if n > most {
        return Err(Failure::Refusal(Refusal::Capacity { what: "candidates", found: n, most }));
    }
    Ok(())
}

/// The same for calls with winners.
pub(super) fn check_room(n: usize, most: usize, slots: usize, max_winners: u32) -> Result<(), Failure> {
    check_capacity(n, most)?;
    let (found, needed) = (max_winners as usize, slots.min(n));
    if found < needed {
        return Err(Failure::Room { what: "winners", unit: "entries (max_winners)", found, needed });
    }
    Ok(())
}

/// The request as this library knows it, and the sizes of its arrays' entries.
///
/// # Safety
/// `request` is NULL or begins with its size.
pub(super) unsafe fn read_request(request: *const Request) -> Result<(Request, Strides), Failure> {
    // SAFETY: clause sizes.
    let stated = unsafe { read_sized(request) }?;
    let may_be_zero = stated.struct_size as usize <= LAST_WITHOUT_SIZES;
    let strides = Strides::new(stated.candidate_size, stated.winner_size, may_be_zero)?;
    let request = Request { struct_size: size_of::<Request>() as u32, candidate_size: 0, winner_size: 0, ..stated };
    Ok((request, strides))
}

/// # Safety
/// The arrays of values and columns have the entries that the request says.
pub(super) unsafe fn input<'a>(
    request: &'a Request,
    asked: Asked,
    candidates: &'a [Candidate],
) -> Result<Input<'a>, Failure> {
    let n_values = request.n_candidate_values as usize;
    Ok(Input {
        request,
        // SAFETY: clause arrays.
        values: unsafe { slice(asked.values, request.n_values as usize, "values") }?,
        candidates,
        // SAFETY: clause arrays.
        candidate_values: unsafe { slice(asked.candidate_values, n_values, "candidate_values") }?,
        // SAFETY: clauses sizes and arrays.
        columns: unsafe { asked.columns.read(candidates.len()) }?,
    })
}
