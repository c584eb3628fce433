//! Switches of ads, campaigns and advertisers.

use super::engine::{adclick_engine, live_engine};
use super::failure::Failure;
use super::memory::place;
use super::status::{adclick_error, adclick_status, guard_whole};
use crate::error::Error;
use crate::overlay::SwitchKind;

/// Turns an ad, a campaign or an advertiser off in decisions, or on again: when a budget is spent, or something is paused.
/// `kind` is an `adclick_switch_kind`; `key` is compared with `ad_key`, `campaign_key` or `advertiser_key` of candidates.
/// `reason` is the caller's own number of why it is off, for `adclick_engine_switched`; 0 turns it on.
///
/// Every `adclick_scorer_decide` that begins after this call has returned sees the switch, on any thread, and it outlives new
/// generations and rollbacks; a new engine begins with everything on. A candidate that is off loses for
/// ADCLICK_REASON_SWITCHED_OFF. A decision under way looks at its winners once more before it returns: when one was switched
/// off meanwhile, and the deadline allows, it is made again, once. `adclick_scorer_score` and `adclick_auction_run` take no notice.
/// Errors: ADCLICK_INVALID_ARGUMENT (key 0, an unknown kind), ADCLICK_CAPACITY_EXCEEDED (`switch_keys` of the kind are off; this
/// one stays on), ADCLICK_CLOSED. Then nothing was switched.
/// Any thread; takes well under a microsecond and allocates nothing. Takes locks that no request takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_switch(
    engine: *mut adclick_engine,
    kind: u32,
    key: u64,
    reason: u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || Ok(live_engine(engine)?.switch(kind_of(kind)?, key, reason)?))
}

/// Why an ad, a campaign or an advertiser is off, into `*reason`; 0: it is on. `kind` and `key` are those of
/// `adclick_engine_switch`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, an unknown kind), ADCLICK_CLOSED.
/// Any thread; takes locks that no request takes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_switched(
    engine: *const adclick_engine,
    kind: u32,
    key: u64,
    reason: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let reason = unsafe { place(reason, "reason") }?;
        reason.put(live_engine(engine)?.switched(kind_of(kind)?, key)?);
        Ok(())
    })
}

fn kind_of(number: u32) -> Result<SwitchKind, Failure> {
    let known = SwitchKind::ALL.into_iter().find(|(kind, _)| *kind as u32 == number);
    known.map(|(kind, _)| kind).ok_or_else(|| {
        Error::argument(format!(
            "kind is {number}, expected ADCLICK_SWITCH_KIND_AD (0), ADCLICK_SWITCH_KIND_CAMPAIGN (1) or \
             ADCLICK_SWITCH_KIND_ADVERTISER (2)"
        ))
        .into()
    })
}
