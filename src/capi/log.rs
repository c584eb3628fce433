//! The log: what was decided, and the events that came of it.

use std::ffi::c_char;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use super::engine::{adclick_engine, live_engine};
use super::failure::Failure;
use super::memory::{self, Output, SizedStruct, optional_place, place, read_optional, read_sized};
use super::status::{adclick_error, adclick_status, guard_whole};
use super::thread::WithoutSignals;
use crate::decision_log::{Event, EventCheck, EventKind, LogOptions};
use crate::error::{Error, Status};
use crate::types::KEEP_NO_USER;

/// A flag of `adclick_log_options`: no thread of the library writes, only `adclick_log_drain` does.
pub const ADCLICK_LOG_NO_THREAD: u32 = 1;

/// What an engine saw at once of an event: its impression id was not made with this engine's key.
pub const ADCLICK_EVENT_FORGED: u32 = 2;
/// What an engine saw at once of an event: its impression id is older than `impression_max_age_s`.
pub const ADCLICK_EVENT_EXPIRED: u32 = 4;
/// What an engine saw at once of an event: this engine recorded the same event before.
pub const ADCLICK_EVENT_REPEATED: u32 = 8;
/// What an engine saw at once of an event: its time is earlier than its decision's by more than a minute.
pub const ADCLICK_EVENT_EARLY: u32 = 16;

/// How a log is kept. Zero everything but `struct_size` for the defaults. 112 bytes; 104 in the first version.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_log_options {
    /// `sizeof(adclick_log_options)`.
    pub struct_size: u32,
    /// `ADCLICK_LOG_NO_THREAD`, or 0.
    pub flags: u32,
    /// The share of requests whose slate is logged, 0 to 1: winners, other candidates, and the raw values behind the model's
    /// inputs.
    pub slate_share: f64,
    /// Records that can wait for the writer, of each scorer's decisions and of events; 0 = 8192. A record takes about 330
    /// bytes.
    pub ring_records: u32,
    /// The most candidates of a slate besides its winners; 0 = 32, 4294967295 = none. When there are more, some are taken at
    /// random.
    pub slate_candidates: u32,
    /// The most raw values of a slate; 0 = 4096. A slate that has more is not logged, and counted as lost.
    pub slate_values: u32,
    /// The size at which a segment is closed, in MiB; 0 = 64.
    pub segment_mib: u32,
    /// The age at which a segment is closed, in seconds; 0 = 300.
    pub segment_s: u32,
    /// The longest time, in milliseconds, after which what was written is synced; 0 = 1000.
    pub sync_ms: u32,
    /// The input whose id is logged as the device, closed with 0; empty = "device_type".
    pub device: [c_char; 64],
    /// Slates that can wait for the writer, of each scorer, 1 to 4096; 0 = 8. By default each takes about 170,000 bytes, whether it
    /// waits or not.
    pub ring_slates: u32,
    /// 0.
    pub reserved: u32,
}

/// The state of a log. Counters never decrease. 104 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_log_state {
    /// `sizeof(adclick_log_state)`, set by the caller.
    pub struct_size: u32,
    /// The status of the last write or sync; `adclick_engine_log_error` has the message.
    pub status: i32,
    /// Decisions that are safe.
    pub decisions: u64,
    /// Slates that are safe.
    pub slates: u64,
    /// Events that are safe.
    pub events: u64,
    /// Decisions that were lost because a ring was full.
    pub lost_decisions: u64,
    /// Slates that were lost for that reason, or because they have more values than `slate_values`.
    pub lost_slates: u64,
    /// Events that were lost because their ring was full.
    pub lost_events: u64,
    /// Records that wait in rings.
    pub waiting: u64,
    /// Bytes of the records that are safe.
    pub bytes: u64,
    /// Segments closed.
    pub segments: u64,
    /// Writes, syncs and renames that failed.
    pub failures: u64,
    /// How long the oldest record has waited to be safe, in microseconds.
    pub lag_us: u64,
    /// Segments that had been left open and were closed.
    pub recovered: u32,
    /// 0.
    pub reserved: u32,
}

/// What came of a decision. What is 0 is not known, or not a matter of this kind of event; what another kind has is refused.
/// 120 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_event {
    /// `sizeof(adclick_event)`.
    pub struct_size: u32,
    /// `ADCLICK_KEEP_NO_USER`: the event is logged without the user; or 0.
    pub flags: u32,
    /// The impression's id, both halves from its `adclick_winner`. Only a conversion may be without.
    pub impression_id: u64,
    /// Its upper half.
    pub impression_id_high: u64,
    /// When it happened: microseconds since 1970-01-01 00:00 UTC.
    pub time_us: i64,
    /// The caller's id of the event, such as a click's; 0: an impression has one event of the kind.
    pub event_id: u64,
    /// Conversion: the click that led to it, by its `event_id`.
    pub click_id: u64,
    /// The user's key.
    pub user_key: u64,
    /// Conversion: the advertiser's key.
    pub advertiser_key: u64,
    /// Conversion: the order, one of the advertiser's. Not 0.
    pub order_id: u64,
    /// Conversion: the value, in millionths of the currency unit.
    pub value_micros: i64,
    /// Dwell: how long the user stayed. Viewable: how long the ad was in view. Microseconds.
    pub duration_us: i64,
    /// The caller's class of the client's address, such as a hash of its /24.
    pub ip_class: u64,
    /// An `adclick_agent`: what sent it.
    pub agent_class: u32,
    /// An `adclick_conversion`: what a conversion says of its order.
    pub conversion_kind: u32,
    /// Conversion: the caller's number of its type, up to 2,147,483,647.
    pub conversion_type: u32,
    /// An `adclick_feedback`: what the user said. Not 0 in a feedback.
    pub feedback: u32,
    /// Feedback: the answer to a survey.
    pub answer: i32,
    /// 0.
    pub reserved: u32,
}

/// What sent an event, as far as the server knows.
#[allow(dead_code, reason = "its numbers are what C passes")]
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum adclick_agent {
    /// Not known.
    Unstated = 0,
    /// A browser or an app.
    Browser = 1,
    /// A robot that says so.
    Robot = 2,
    /// A prefetch or a preview.
    Prefetch = 3,
    /// A data centre or a proxy.
    DataCentre = 4,
    /// Other invalid traffic.
    Invalid = 5,
}

/// What a conversion says of its order.
#[allow(dead_code, reason = "its numbers are what C passes")]
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum adclick_conversion {
    /// It is new.
    New = 0,
    /// Its value is this one and no longer the one before.
    Restated = 1,
    /// It was taken back.
    Retracted = 2,
}

/// What a user said of an ad.
#[allow(dead_code, reason = "its numbers are what C passes")]
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum adclick_feedback {
    /// Hid it.
    Hidden = 1,
    /// Reported it.
    Reported = 2,
    /// Answered a survey: `answer`.
    Answered = 3,
}

impl SizedStruct for adclick_log_options {
    const NAME: &'static str = "adclick_log_options";
    const FIRST: usize = 104;
}

impl SizedStruct for adclick_log_state {
    const NAME: &'static str = "adclick_log_state";
    const FIRST: usize = 104;
}

impl SizedStruct for adclick_event {
    const NAME: &'static str = "adclick_event";
    const FIRST: usize = 120;
}

/// Begins to log what an engine decides and the events that it is told, in `directory`, which is made when it is not there.
/// Scorers that exist log from now on, too. An engine has one log in its life; `adclick_engine_close` ends it. Segments that
/// other processes left open in the directory are cut after their last whole block and closed. docs/logs.md says what the files
/// hold, when a record is safe, and how losses are seen.
///
/// `directory` has `directory_len` bytes; it is not kept. `options` may be NULL for the defaults.
/// Errors: ADCLICK_IO, ADCLICK_INVALID_ARGUMENT (also when there is a log already), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED,
/// ADCLICK_CAPACITY_EXCEEDED.
/// Any thread; writes files, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_log_open(
    engine: *mut adclick_engine,
    directory: *const c_char,
    directory_len: usize,
    options: *const adclick_log_options,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clause arrays.
        let directory = unsafe { memory::path(directory, directory_len) }?;
        let mut log = LogOptions::new(directory);
        // SAFETY: clause sizes.
        if let Some(options) = unsafe { read_optional(options) }? {
            set(&mut log, &options)?;
        }
        let engine = live_engine(engine)?;
        // The host's signals are for the host's threads.
        let _without = WithoutSignals::new();
        Ok(engine.open_log(&log)?)
    })
}

fn set(log: &mut LogOptions, c: &adclick_log_options) -> Result<(), Failure> {
    if c.flags & !ADCLICK_LOG_NO_THREAD != 0 {
        return Err(Error::argument("options.flags knows ADCLICK_LOG_NO_THREAD alone").into());
    }
    if c.reserved != 0 {
        return Err(Error::argument("options.reserved: nothing is defined, expected 0").into());
    }
    log.thread = c.flags & ADCLICK_LOG_NO_THREAD == 0;
    log.slate_share = c.slate_share;
    let number = |given: u32, to: &mut usize| match given {
        0 => {}
        given => *to = given as usize,
    };
    number(c.ring_records, &mut log.ring_records);
    number(c.slate_values, &mut log.slate_values);
    number(c.ring_slates, &mut log.ring_slates);
    match c.slate_candidates {
        0 => {}
        u32::MAX => log.slate_candidates = 0,
        most => log.slate_candidates = most as usize,
    }
    if c.segment_mib > 0 {
        log.segment_bytes = u64::from(c.segment_mib) << 20;
    }
    if c.segment_s > 0 {
        log.segment_age = Duration::from_secs(c.segment_s.into());
    }
    if c.sync_ms > 0 {
        log.sync_interval = Duration::from_millis(c.sync_ms.into());
    }
    let device: Vec<u8> = c.device.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
    if !device.is_empty() {
        log.device = String::from_utf8(device).map_err(|_| Error::argument("options.device is not UTF-8"))?;
    }
    Ok(())
}

/// Writes and syncs all that waits in an engine's log. With ADCLICK_LOG_NO_THREAD call it often: what finds no room in a ring is
/// lost. With a thread it may be called as well, to know that all is safe.
/// Errors: ADCLICK_IO (the records stay in memory as far as there is room, and are tried again), ADCLICK_INVALID_ARGUMENT
/// (NULL, or there is no log), ADCLICK_CLOSED.
/// Any thread; waits for the disk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_log_drain(engine: *mut adclick_engine, error: *mut adclick_error) -> adclick_status {
    guard_whole(error, || Ok(live_engine(engine)?.drain_log()?))
}

/// The state of an engine's log, into `*state`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or there is no log), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_log_state(
    engine: *const adclick_engine,
    state: *mut adclick_log_state,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(state, "state").and_then(|_| Output::new(state)) }?;
        let state = live_engine(engine)?.log_state()?;
        let ([decisions, slates, events], [lost_decisions, lost_slates, lost_events]) = (state.written, state.lost);
        out.write(&adclick_log_state {
            struct_size: 0,
            status: state.error.map_or(0, |error| adclick_status::from(error.status) as i32),
            decisions,
            slates,
            events,
            lost_decisions,
            lost_slates,
            lost_events,
            waiting: state.waiting,
            bytes: state.bytes,
            segments: state.segments,
            failures: state.failures,
            lag_us: u64::try_from(state.lag.as_micros()).unwrap_or(u64::MAX),
            recovered: u32::try_from(state.recovered.len()).unwrap_or(u32::MAX),
            reserved: 0,
        });
        Ok(())
    })
}

/// Why the last write or sync of an engine's log failed: returns its status and fills `error` with its message. Returns ADCLICK_OK
/// when it did not fail. For the health check of a server.
/// Errors: ADCLICK_IO, ADCLICK_INVALID_ARGUMENT (NULL, or there is no log), ADCLICK_CLOSED.
/// Any thread; takes locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_log_error(
    engine: *const adclick_engine,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || match live_engine(engine)?.log_state()?.error {
        Some(error) => Err(error.into()),
        None => Ok(()),
    })
}

/// Records an event, with what an engine saw at once of it.
///
/// # Safety
/// Clauses pointers, sizes and outputs.
unsafe fn record(
    engine: *mut adclick_engine,
    kind: EventKind,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let seen = unsafe { optional_place(seen) };
        // SAFETY: clause sizes.
        let c = unsafe { read_sized(event) }?;
        if c.flags & !KEEP_NO_USER != 0 || c.reserved != 0 {
            let text = "event.flags knows ADCLICK_KEEP_NO_USER, event.reserved expects 0";
            return Err(Failure::Plain(Status::InvalidArgument, text));
        }
        let EventCheck { forged, expired, early, repeated, .. } = live_engine(engine)?.record(&Event {
            kind,
            impression_id: u128::from(c.impression_id_high) << 64 | u128::from(c.impression_id),
            time_us: c.time_us,
            event_id: c.event_id,
            click_id: c.click_id,
            user_key: c.user_key,
            keep_no_user: c.flags & KEEP_NO_USER != 0,
            advertiser_key: c.advertiser_key,
            order_id: c.order_id,
            conversion_kind: c.conversion_kind,
            conversion_type: c.conversion_type,
            value_micros: c.value_micros,
            duration_us: c.duration_us,
            feedback: c.feedback,
            answer: c.answer,
            ip_class: c.ip_class,
            agent_class: c.agent_class,
        })?;
        let bits = [
            (forged, ADCLICK_EVENT_FORGED),
            (expired, ADCLICK_EVENT_EXPIRED),
            (repeated, ADCLICK_EVENT_REPEATED),
            (early, ADCLICK_EVENT_EARLY),
        ];
        seen.put(bits.iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit));
        Ok(())
    })
}

/// Records that an ad was rendered: only then did its decision lead to an impression. `event` names the impression and the time,
/// and what is known besides.
///
/// On success `*seen` is 0, or what is wrong with the event: `ADCLICK_EVENT_FORGED`, `ADCLICK_EVENT_EXPIRED`,
/// `ADCLICK_EVENT_REPEATED`, `ADCLICK_EVENT_EARLY`, joined by `|`. It may be NULL. The event is counted, and logged if there is a
/// log, in any case: with what is wrong.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, a field out of range or of another kind of event), ADCLICK_BAD_STRUCT_SIZE,
/// ADCLICK_CLOSED.
/// Any thread; takes a lock, allocates nothing and waits for no disk: when the log's ring is full, the event is lost and counted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_impression(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Impression, event, seen, error) }
}

/// Records that an ad was in view, for `duration_us` if known. As `adclick_engine_record_impression`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_viewable(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Viewable, event, seen, error) }
}

/// Records a click, with an `event_id` of its own if it has one. As `adclick_engine_record_impression`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_click(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Click, event, seen, error) }
}

/// Records how long the user stayed after a click: `duration_us`. As `adclick_engine_record_impression`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_dwell(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Dwell, event, seen, error) }
}

/// Records a conversion: `order_id`, `advertiser_key`, `value_micros`, `conversion_kind` and `conversion_type`, and what led to it:
/// the impression's id, the click's `event_id` as `click_id`, or the user's key. An order that is restated or retracted has the
/// same `order_id`. As `adclick_engine_record_impression`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_conversion(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Conversion, event, seen, error) }
}

/// Records what the user said of an ad: `feedback`, and `answer`. As `adclick_engine_record_impression`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_record_feedback(
    engine: *mut adclick_engine,
    event: *const adclick_event,
    seen: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    // SAFETY: every clause holds for the call as for this one.
    unsafe { record(engine, EventKind::Feedback, event, seen, error) }
}
