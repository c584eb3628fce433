//! Following CURRENT: looks at it, and the history of an engine's generations.

use bytemuck::{Pod, Zeroable};

use super::engine::{adclick_engine, live_engine};
use super::memory::{Output, SizedStruct, optional_place, place};
use super::status::{adclick_error, adclick_status, guard_whole};

/// The history of an engine's generations. Counters never decrease, so a difference says what happened since they were last
/// read. 72 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_follow_state {
    /// `sizeof(adclick_follow_state)`, set by the caller.
    pub struct_size: u32,
    /// The status of the last look at CURRENT; `adclick_engine_follow_error` has the message.
    pub status: i32,
    /// 1 when a thread of the library's own looks at CURRENT (`follow_ms`), else 0.
    pub follows: u32,
    /// 0.
    pub reserved: u32,
    /// The id of the live generation.
    pub generation: u64,
    /// When it became live here: microseconds since 1970-01-01 00:00 UTC.
    pub activated_us: i64,
    /// When CURRENT was last looked at; 0 = never.
    pub looked_us: i64,
    /// Looks at CURRENT, including those of `adclick_engine_poll`.
    pub looks: u64,
    /// Looks that failed.
    pub failed_looks: u64,
    /// Generations that became live after the first.
    pub activations: u64,
    /// Returns to the generation before.
    pub rollbacks: u64,
}

impl SizedStruct for adclick_follow_state {
    const NAME: &'static str = "adclick_follow_state";
    const FIRST: usize = 72;
}

/// The state of following, into `*state`, for programs that want to know about new generations and failures. Ask from
/// time to time: there are no callbacks, so none of the caller's code runs on a thread of the library.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_follow_state(
    engine: *const adclick_engine,
    state: *mut adclick_follow_state,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(state, "state").and_then(|_| Output::new(state)) }?;
        let state = live_engine(engine)?.follow_state()?;
        out.write(&adclick_follow_state {
            struct_size: 0,
            status: state.error.map_or(0, |error| adclick_status::from(error.status) as i32),
            follows: state.follows.into(),
            reserved: 0,
            generation: state.generation,
            activated_us: state.activated_us,
            looked_us: state.looked_us,
            looks: state.looks,
            failed_looks: state.failed_looks,
            activations: state.activations,
            rollbacks: state.rollbacks,
        });
        Ok(())
    })
}

/// Looks at CURRENT now. When it names a different bundle than at the last look, stages and activates that bundle. Also
/// frees replaced generations that no call holds any more. For callers that follow on a thread of their own.
/// A refused bundle is remembered: until its files or CURRENT change, looks return the same error and read nothing.
/// (Failures that may pass by themselves, such as a lack of memory, are retried, first after a second, in the end every
/// five minutes.)
///
/// On success `*generation` is the id of the generation that was activated, 0 when there is nothing new; it may be NULL.
/// Errors: as `adclick_engine_stage`; ADCLICK_INVALID_ARGUMENT also when the engine was opened on a bundle itself.
/// Any thread; reads files, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_poll(
    engine: *mut adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let generation = unsafe { optional_place(generation) };
        generation.put(live_engine(engine)?.poll()?.unwrap_or(0));
        Ok(())
    })
}

/// Why the last look at CURRENT failed: returns its status and fills `error` with its message. Returns ADCLICK_OK when it
/// did not fail. For the health check of a server that follows; the live generation keeps serving. It also reports a live
/// bundle whose files have gone missing or changed their length: a restart would not find them.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED, and those of `adclick_engine_stage`.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_follow_error(
    engine: *const adclick_engine,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || match live_engine(engine)?.follow_error() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    })
}
