//! What became of an engine's generations, for programs that look now and then.

use bytemuck::{Pod, Zeroable};

use super::engine::{adclick_engine, live_engine};
use super::memory::{Output, SizedStruct, place};
use super::status::{adclick_error, adclick_status, guard_whole};

/// What became of an engine's generations. Counters never go back, so that a change tells of what happened since they were
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
    /// Looks at CURRENT, by `adclick_engine_poll` too.
    pub looks: u64,
    /// Of them, those that failed.
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

/// What following came to so far, into `*state`: for programs that want to know of new generations and of failures. Look now
/// and then; there are no callbacks, so that no code of the caller's runs on a thread of the library's.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_follow_state(
    engine: *const adclick_engine,
    state: *mut adclick_follow_state,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: the caller's contract.
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
