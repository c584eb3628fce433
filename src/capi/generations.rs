//! Generations: staging, activating and going back.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use super::engine::{adclick_engine, live_engine};
use super::failure::Failure;
use super::handles::Handles;
use super::memory::{self, optional_place, place};
use super::status::{adclick_error, adclick_status, guard_whole};
use crate::engine::Staged;
use crate::error::Status;

/// A generation that was opened and checked and is not live yet. Belongs to one caller, on any thread. It is used up by
/// `adclick_staged_activate` or `adclick_staged_discard`; using it again gives ADCLICK_CLOSED.
pub struct adclick_staged {
    _opaque: [u8; 0],
}

static STAGED: Handles<Mutex<Option<Staged>>> = Handles::new(2);

/// Opens and checks a bundle, as `adclick_engine_open` does, without making it live. What is live stays as it is, even on
/// failure.
///
/// On success `*out` is the staged generation, the caller's to use up by `adclick_staged_activate` or
/// `adclick_staged_discard`.
/// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED (also when it is larger than the engine's `headroom` allows),
/// ADCLICK_GOLDEN_MISMATCH, ADCLICK_CAPACITY_EXCEEDED (no memory for `overlay_rows` or the ad cache),
/// ADCLICK_INVALID_ARGUMENT, ADCLICK_CLOSED.
/// Any thread; reads files, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_stage(
    engine: *mut adclick_engine,
    path: *const c_char,
    path_len: usize,
    out: *mut *mut adclick_staged,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let out = unsafe { place(out, "out") }?;
        // SAFETY: clause arrays.
        let path = unsafe { memory::path(path, path_len) }?;
        out.put(STAGED.insert(Mutex::new(Some(live_engine(engine)?.stage(path)?))));
        Ok(())
    })
}

/// Makes a staged generation live by one pointer swap: calls that begin from now on see it; running calls finish with the
/// generation that they began with. The previous generation is kept for `adclick_engine_rollback`.
///
/// Uses up `staged`, whatever the result. On success `*generation` is the generation's id; it may be NULL.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED (the engine was closed, or `staged` was used up before).
/// Any thread; takes microseconds, plus the time to unmap what was replaced earlier. Waits for running upserts, and moves
/// rows that were written on top of a table whose columns have changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_staged_activate(
    staged: *mut adclick_staged,
    generation: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let generation = unsafe { optional_place(generation) };
        let slot = STAGED.remove(staged, "staged")?;
        let staged = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        generation.put(staged.ok_or(Failure::Plain(Status::Closed, "it was activated before"))?.activate()?);
        Ok(())
    })
}

/// Drops a staged generation without making it live. NULL does nothing.
/// Errors: ADCLICK_CLOSED when it was used up before.
/// Any thread; takes the time to unmap its files.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_staged_discard(staged: *mut adclick_staged) -> adclick_status {
    guard_whole(std::ptr::null_mut(), || {
        if !staged.is_null() {
            STAGED.remove(staged, "staged")?;
        }
        Ok(())
    })
}

/// The id that a staged generation will have, into `*generation`: `adclick_engine_generation`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED (`staged` was used up).
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_staged_generation(
    staged: *const adclick_staged,
    generation: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let generation = unsafe { place(generation, "generation") }?;
        let slot = STAGED.get(staged, "staged")?;
        let id = slot.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Staged::generation);
        generation.put(id.ok_or(Failure::Plain(Status::Closed, "the staged generation was used up"))?);
        Ok(())
    })
}

/// Goes back to the generation before the last activation. One earlier generation is kept, and a rollback uses it up.
///
/// On success `*generation` is the id of what is live now; it may be NULL.
/// Errors: ADCLICK_NO_PREVIOUS, ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
/// Any thread; takes microseconds. Waits for running upserts, as `adclick_staged_activate` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_rollback(
    engine: *mut adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let generation = unsafe { optional_place(generation) };
        generation.put(live_engine(engine)?.rollback()?);
        Ok(())
    })
}

/// The id of the live generation, into `*generation`: the hash of its bundle's content, never 0, the same on every machine.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
/// Any thread; takes a lock. `adclick_outcome.generation` says which generation a single request saw.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_generation(
    engine: *const adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let generation = unsafe { place(generation, "generation") }?;
        generation.put(live_engine(engine)?.live()?.id());
        Ok(())
    })
}
