//! Engines: opening and closing them, and their own state.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use super::failure::Failure;
use super::handles::Handles;
use super::memory::{self, Output, SizedStruct, place, read_optional, slice, slice_mut, text};
use super::status::{adclick_error, adclick_status, guard_whole};
use super::thread::WithoutSignals;
use crate::artifact::OpenMode;
use crate::decision_log::LogOptions;
use crate::engine::{Engine, Options};
use crate::error::{Error, Status};
use crate::infer::Kernel;
use crate::live::TableChecks;
use crate::model::AdCacheInfo;
use crate::types::Precision;

/// An engine: owns the live generation. Shared by all threads: every call on it may be made at any time from any thread.
/// The handle is a number and never followed, so a call on a closed engine gives ADCLICK_CLOSED.
pub struct adclick_engine {
    _opaque: [u8; 0],
}

/// A flag of `adclick_engine_options`: copy the files into memory of the process instead of mapping them. Mapped files are
/// shared between processes, but a file that is truncated while it is mapped kills the process.
pub const ADCLICK_COPY: u32 = 1;
/// A flag of `adclick_engine_options`: nothing can be written on top of tables (`adclick_engine_upsert`).
pub const ADCLICK_NO_OVERLAYS: u32 = 2;
/// A flag of `adclick_engine_options`: check only the length and the structure of table files, and read no row before a
/// request asks for it. For tables larger than memory that were checked where they were packed; a damaged
/// row then gives wrong values and nothing worse.
pub const ADCLICK_LAZY_TABLES: u32 = 4;

/// How an engine is opened. Zero everything but `struct_size` for the defaults. 344 bytes; 32 in the first version.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_engine_options {
    /// `sizeof(adclick_engine_options)`.
    pub struct_size: u32,
    /// `ADCLICK_COPY`, `ADCLICK_NO_OVERLAYS`, `ADCLICK_LAZY_TABLES`, joined by `|`; or 0.
    pub flags: u32,
    /// How much larger than the first model later ones may be, 1 to 1000; 0 = 2. Scorers get that much room.
    pub headroom: f32,
    /// How often, in milliseconds, the library's own thread ("adclick-follow") looks at CURRENT and switches to the bundle
    /// it names; 0 = never, only when `adclick_engine_poll` is called.
    pub follow_ms: u32,
    /// The kernel by name ("portable", "avx2", "avx512"), closed with 0; empty = the environment's ADCLICK_KERNEL, or the
    /// best that this CPU has.
    pub kernel: [c_char; 16],
    /// Rows that can be written on top of each table; 0 = 65,536. The engine reserves memory for one and a half times as
    /// many; the memory is used as rows are written.
    pub overlay_rows: u32,
    /// How many seconds a row written on top of a table counts, column by column, by the time of the request; 0 = until a
    /// newer table comes.
    pub overlay_max_age_s: u32,
    /// The precision to serve in: 1 + an `adclick_precision`; 0 = what each bundle says, or exact. A CPU or a model that
    /// cannot do it serves exact: `adclick_engine_precision_error` says why.
    pub precision: u32,
    /// MiB of memory that each generation may take to keep what every ad adds to the first layers of the network; 0 = none.
    /// `adclick_engine_ad_cache` tells what it takes. The live generation, the previous one and a staged one each have
    /// their own; generations with the same model and ads share one.
    pub ad_cache_mib: u32,
    /// How many seconds the time of an upsert may be ahead of this machine's clock; 0 = 300, 4294967295 = any time. A time
    /// far in the future, such as one in the wrong unit, would make every earlier write count for nothing.
    pub overlay_max_skew_s: u32,
    /// How many seconds an impression id is valid; 0 = 2,592,000, which is 30 days.
    pub impression_max_age_s: u32,
    /// The key of impression ids, lower and upper half; 0 in both = one that only this engine has. Servers whose events
    /// may reach each other share a key, because each takes ids made with another key for forged. Keep it secret.
    pub impression_key: u64,
    /// The upper half of `impression_key`.
    pub impression_key_high: u64,
    /// MiB of memory that each generation may take to keep, for features that read small embedding tables, what each row
    /// adds to the first layers of the network; 0 = 64, which is the most that is ever used, 4294967295 = none.
    /// `adclick_engine_ad_cache` tells what it takes. Logits have the same bits with and without; without, the sums are
    /// computed with the request.
    pub id_sums_mib: u32,
    /// 0.
    pub reserved: u32,
    /// The directory of the log of decisions and events, closed with 0; empty = no log. `adclick_engine_log_open` also takes
    /// longer paths, and options.
    pub log_directory: [c_char; 256],
    /// How many ads, campaigns and advertisers, of each kind, can be off at a time (`adclick_engine_switch`), at most
    /// 16,777,216; 0 = 65,536, 18446744073709551615 = none. The first switch of a kind takes 24 bytes for each key of the kind.
    pub switch_keys: u64,
}

/// The ad cache of a generation, or what it would take, and the sums that are kept by id. 56 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_ad_cache {
    /// `sizeof(adclick_ad_cache)`, set by the caller.
    pub struct_size: u32,
    /// An `adclick_ad_cache_state`: whether there is one, or why not.
    pub state: u32,
    /// Ads whose sums it holds.
    pub n_ads: u64,
    /// Bytes that it holds.
    pub bytes: u64,
    /// Bytes that it takes or would take; 0 when no sums can be kept.
    pub bytes_needed: u64,
    /// Embedding rows whose sums are kept by id, once for each feature that reads them.
    pub n_ids: u64,
    /// Bytes that these sums hold.
    pub id_bytes: u64,
    /// Bytes that they would take with enough memory allowed; 0 when no feature's are worth keeping.
    pub id_bytes_needed: u64,
}

impl SizedStruct for adclick_ad_cache {
    const NAME: &'static str = "adclick_ad_cache";
    const FIRST: usize = 32;
}

impl SizedStruct for adclick_engine_options {
    const NAME: &'static str = "adclick_engine_options";
    const FIRST: usize = 32;
}

static ENGINES: Handles<Engine> = Handles::new(1);

/// The engine behind a handle.
pub(super) fn live_engine(handle: *const adclick_engine) -> Result<Arc<Engine>, Failure> {
    ENGINES.get(handle, "engine")
}

/// Opens an engine on `path`: a bundle directory, or a directory that holds bundles and CURRENT. The bundle is checked
/// whole (manifest, checksums, every shape and count, golden requests) before the call returns.
///
/// `path` has `path_len` bytes; it is not kept. `options` may be NULL for the defaults. On success `*out` is the engine,
/// the caller's to close with `adclick_engine_close`.
/// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED (also an unknown kernel, or one that this CPU lacks),
/// ADCLICK_GOLDEN_MISMATCH, ADCLICK_CAPACITY_EXCEEDED (no memory for `overlay_rows` or the ad cache),
/// ADCLICK_INVALID_ARGUMENT, ADCLICK_BAD_STRUCT_SIZE.
/// Any thread; reads files, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_open(
    path: *const c_char,
    path_len: usize,
    options: *const adclick_engine_options,
    out: *mut *mut adclick_engine,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let out = unsafe { place(out, "out") }?;
        // SAFETY: clause arrays.
        let path = unsafe { memory::path(path, path_len) }?;
        // SAFETY: clause sizes.
        let options = match unsafe { read_optional(options) }? {
            Some(options) => to_options(&options)?,
            None => Options::default(),
        };
        let engine = Engine::open_unfollowed(path, &options)?;
        {
            // The host's signals are for the host's threads.
            let _without = WithoutSignals::new();
            engine.start_threads(&options)?;
        }
        out.put(ENGINES.insert(engine));
        Ok(())
    })
}

/// Closes an engine. Calls already running on scorers finish normally; calls that begin afterwards return ADCLICK_CLOSED.
/// Memory and maps are released when no call holds them, at the latest when the caller has freed the engine's scorers and
/// discarded its staged generations.
///
/// NULL does nothing. Errors: ADCLICK_CLOSED when it was closed before.
/// Any thread; waits for the following thread, and up to a second for running calls. It abandons a bundle that is being
/// staged, which takes well under a second unless the file system hangs. `adclick_engine_close_within` bounds both.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_engine_close(engine: *mut adclick_engine) -> adclick_status {
    guard_whole(std::ptr::null_mut(), || {
        if !engine.is_null() {
            ENGINES.remove(engine, "engine")?.close();
        }
        Ok(())
    })
}

/// Closes an engine in at most `timeout_ms` milliseconds.
///
/// Errors: ADCLICK_BUSY when something is still running after that time; `error` says what: the following thread in the
/// middle of a bundle, or calls under way. The engine is closed and its handle is used up all the same. What is still
/// running ends by itself, and then memory and maps are released. After ADCLICK_BUSY leave the library loaded; a
/// program that unloads it (`dlclose`) closes without a bound. ADCLICK_CLOSED when it was closed before.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_close_within(
    engine: *mut adclick_engine,
    timeout_ms: u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        if !engine.is_null() {
            ENGINES.remove(engine, "engine")?.close_within(Duration::from_millis(timeout_ms.into()))?;
        }
        Ok(())
    })
}

/// Why the live generation is served in exact precision although another was asked for (`adclick_engine_options.precision`,
/// or the bundle): returns ADCLICK_UNSUPPORTED and fills `error` with the reason. Returns ADCLICK_OK when it is served as
/// asked for.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
/// Any thread; takes a lock. `adclick_outcome.precision` says what a single request was computed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_precision_error(
    engine: *const adclick_engine,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || match live_engine(engine)?.live()?.precision() {
        (_, _, Some(reason)) => Err(Error::unsupported(reason).into()),
        _ => Ok(()),
    })
}

/// The ad cache of the live generation, or what it would take, into `*cache`: `adclick_engine_options.ad_cache_mib`. Also
/// what sums kept by id take: `adclick_engine_options.id_sums_mib`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_ad_cache(
    engine: *const adclick_engine,
    cache: *mut adclick_ad_cache,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(cache, "cache").and_then(|_| Output::new(cache)) }?;
        let AdCacheInfo { state, ads, bytes, bytes_needed, ids, id_bytes, id_bytes_needed } =
            live_engine(engine)?.ad_cache()?;
        let state = state as u32;
        out.write(&adclick_ad_cache {
            struct_size: 0,
            state,
            n_ads: ads,
            bytes,
            bytes_needed,
            n_ids: ids,
            id_bytes,
            id_bytes_needed,
        });
        Ok(())
    })
}

/// All metrics of an engine at this moment, in Prometheus' text exposition format 0.0.4, into `text`: for the answer to
/// GET /metrics, with the content type "text/plain; version=0.0.4; charset=utf-8". docs/operations.md says what each means.
///
/// `text` has room for `room` bytes; it may be NULL when `room` is 0. On success `*length` of them are written, no 0
/// after them. When the room is too small, nothing is written to `text`, and `*length` is the room needed: the one
/// output that is written on failure. The text grows with its numbers and with tables, so allow a little more; 64 KB is
/// enough for 20 tables.
/// Errors: ADCLICK_BUFFER_TOO_SMALL, ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
/// Any thread; takes locks that no request takes, allocates nothing, and delays no request. Takes a few tenths of a
/// millisecond.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_metrics(
    engine: *const adclick_engine,
    text: *mut c_char,
    room: usize,
    length: *mut usize,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let length = unsafe { place(length, "length") }?;
        // SAFETY: clauses arrays and outputs.
        let text = unsafe { slice_mut(text.cast::<u8>(), room, "text") }?;
        let written = live_engine(engine)?.metrics()?.write(text);
        length.put(written.unwrap_or_else(|needed| needed));
        match written {
            Ok(_) => Ok(()),
            Err(needed) => Err(Failure::Room { what: "text", unit: "bytes", found: room, needed }),
        }
    })
}

/// The handle of a feature's input name, for `adclick_value.feature`, into `*handle`. The same name has the same handle
/// for the engine's life, whichever generation is live: get handles once, at start. A name that no model uses gets one
/// too; its values are ignored and counted in `n_missing` until a model uses it. Handles are never 0. Each engine has
/// handles of its own.
///
/// `name` has `name_len` bytes; it is not kept.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names),
/// ADCLICK_CLOSED.
/// Any thread; takes a lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_feature(
    engine: *mut adclick_engine,
    name: *const c_char,
    name_len: usize,
    handle: *mut u32,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses pointers and outputs.
        let handle = unsafe { place(handle, "handle") }?;
        // SAFETY: clause arrays.
        let name = unsafe { text(name, name_len, "name") }?;
        handle.put(live_engine(engine)?.feature(name)?);
        Ok(())
    })
}

/// The name of the kernel (the instruction set) that an engine uses: "avx512", "avx2" or "portable"; with NULL, of the
/// best one that this CPU has; "" for a closed engine. The text is static: do not free it. Any thread; takes a lock.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_kernel(engine: *const adclick_engine) -> *const c_char {
    let name = match engine.is_null() {
        true => Kernel::detect().name(),
        false => live_engine(engine).map_or("", |engine| engine.kernel()),
    };
    match name {
        "avx512" => c"avx512",
        "avx2" => c"avx2",
        "portable" => c"portable",
        _ => c"",
    }
    .as_ptr()
}

/// The id of a category string of `len` bytes, for `adclick_value.id`: XXH3-64 with seed 0. An integer category is its own
/// id. NULL or a length of 0 gives the id of the empty string. Any thread; allocates nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_hash(bytes: *const c_void, len: usize) -> u64 {
    // SAFETY: clause arrays.
    unsafe { slice(bytes.cast(), len, "bytes") }
        .map_or_else(|_| crate::hash::category_id(b""), crate::hash::category_id)
}

fn to_options(c: &adclick_engine_options) -> Result<Options, Failure> {
    let known = ADCLICK_COPY | ADCLICK_NO_OVERLAYS | ADCLICK_LAZY_TABLES;
    if c.flags & !known != 0 {
        return Err(Error::argument(format!("options.flags is {:#x}, known are {known:#x}", c.flags)).into());
    }
    if c.reserved != 0 {
        return Err(Error::argument("options.reserved is not 0").into());
    }
    let name: Vec<u8> = c.kernel.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
    let name =
        String::from_utf8(name).map_err(|_| Failure::Plain(Status::InvalidArgument, "options.kernel is not UTF-8"))?;
    let precision = match c.precision.checked_sub(1) {
        None => None,
        Some(at) => Some(*Precision::ALL.get(at as usize).ok_or_else(|| {
            Error::argument(format!("options.precision is {}, expected 0 to {}", c.precision, Precision::ALL.len()))
        })?),
    };
    let log: Vec<u8> = c.log_directory.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
    let (is, usual) = (|flag: u32| c.flags & flag != 0, Options::default());
    Ok(Options {
        mode: if is(ADCLICK_COPY) { OpenMode::Copy } else { OpenMode::Map },
        kernel: (!name.is_empty()).then_some(name),
        headroom: if c.headroom == 0.0 { usual.headroom } else { c.headroom },
        follow: (c.follow_ms > 0).then(|| Duration::from_millis(c.follow_ms.into())),
        tables: if is(ADCLICK_LAZY_TABLES) { TableChecks::Lazy } else { TableChecks::Full },
        overlay_rows: match c.overlay_rows {
            _ if is(ADCLICK_NO_OVERLAYS) => 0,
            0 => usual.overlay_rows,
            rows => rows as usize,
        },
        overlay_max_skew: match c.overlay_max_skew_s {
            0 => usual.overlay_max_skew,
            u32::MAX => None,
            seconds => Some(Duration::from_secs(seconds.into())),
        },
        overlay_max_age: (c.overlay_max_age_s > 0).then(|| Duration::from_secs(c.overlay_max_age_s.into())),
        precision,
        ad_cache_bytes: u64::from(c.ad_cache_mib) << 20,
        impression_key: match u128::from(c.impression_key_high) << 64 | u128::from(c.impression_key) {
            0 => None,
            key => Some(key),
        },
        impression_max_age: match c.impression_max_age_s {
            0 => usual.impression_max_age,
            seconds => Duration::from_secs(seconds.into()),
        },
        id_sums_bytes: match c.id_sums_mib {
            0 => usual.id_sums_bytes,
            u32::MAX => 0,
            mib => u64::from(mib) << 20,
        },
        switch_keys: match c.switch_keys {
            0 => usual.switch_keys,
            u64::MAX => 0,
            keys => usize::try_from(keys).unwrap_or(usize::MAX),
        },
        log: match &*log {
            [] => None,
            bytes => Some(LogOptions::new(memory::path_of(bytes)?)),
        },
    })
}
