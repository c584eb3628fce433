//! Requests whose candidates have values in columns. Nothing here allocates, locks or makes a system call, except the check.

use std::ffi::c_char;

use super::asked::{Asked, InColumns, adclick_columns};
use super::engine::adclick_engine;
use super::inputs::{adclick_check, check_asked};
use super::scorer::{adclick_scorer, decide, score};
use super::status::{adclick_error, adclick_status};
use crate::types::{Candidate, Outcome, Request, Value, Winner};

/// `adclick_scorer_score` of candidates that have values in columns.
///
/// `columns` says how many there are, and may be NULL for none. `id_features` and `number_features` are their handles, `ids` and
/// `numbers` the blocks. An array without entries may be NULL. The rest as in `adclick_scorer_score`.
/// Errors: as `adclick_scorer_score`; ADCLICK_CAPACITY_EXCEEDED also for more than 1024 columns, ADCLICK_INVALID_VALUE for a number
/// that is infinite.
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_score_columns(
    scorer: *mut adclick_scorer,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    columns: *const adclick_columns,
    id_features: *const u32,
    ids: *const u64,
    number_features: *const u32,
    numbers: *const f32,
    pctr: *mut f32,
    pcvr: *mut f32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> adclick_status {
    let columns = InColumns { counts: columns, id_features, ids, number_features, numbers };
    let asked = Asked { request, values, candidates, candidate_values, columns };
    // SAFETY: every clause holds for the call as for this one.
    unsafe { score(scorer, asked, pctr, pcvr, outcome, error) }
}

/// `adclick_scorer_decide` on candidates that have values in columns: `columns` and its arrays as in
/// `adclick_scorer_score_columns`, the rest as in `adclick_scorer_decide`.
/// Errors: as both.
/// One thread at a time for each scorer. Allocates nothing, takes no lock, makes no system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_scorer_decide_columns(
    scorer: *mut adclick_scorer,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    columns: *const adclick_columns,
    id_features: *const u32,
    ids: *const u64,
    number_features: *const u32,
    numbers: *const f32,
    winners: *mut Winner,
    max_winners: u32,
    reasons: *mut u32,
    outcome: *mut Outcome,
    error: *mut adclick_error,
) -> adclick_status {
    let columns = InColumns { counts: columns, id_features, ids, number_features, numbers };
    let asked = Asked { request, values, candidates, candidate_values, columns };
    // SAFETY: every clause holds for the call as for this one.
    unsafe { decide(scorer, asked, winners, max_winners, reasons, outcome, error) }
}

/// `adclick_engine_check` of a request whose candidates have values in columns: `columns` and its arrays as in
/// `adclick_scorer_score_columns`, the rest as in `adclick_engine_check`. A cell is checked as the value that it stands for; a
/// missing one is none. An input that has a column and a candidate's own value is counted in `n_repeated`.
/// Errors: as `adclick_engine_check`, and those of `adclick_scorer_score_columns` for counts and sizes.
/// Any thread; takes locks and allocates, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_check_columns(
    engine: *const adclick_engine,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    columns: *const adclick_columns,
    id_features: *const u32,
    ids: *const u64,
    number_features: *const u32,
    numbers: *const f32,
    check: *mut adclick_check,
    text: *mut c_char,
    room: usize,
    length: *mut usize,
    error: *mut adclick_error,
) -> adclick_status {
    let columns = InColumns { counts: columns, id_features, ids, number_features, numbers };
    let asked = Asked { request, values, candidates, candidate_values, columns };
    // SAFETY: every clause holds for the call as for this one.
    unsafe { check_asked(engine, asked, check, (text, room, length), error) }
}
