//! Engines and staged generations.

use std::ffi::c_char;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use super::handles::Handles;
use super::memory::{put, read_sized, slice, text};
use super::status::{Failure, adclick_error, guard};
use crate::artifact::OpenMode;
use crate::engine::{Engine, Options, Staged};
use crate::error::{Error, Status};
use crate::infer::Kernel;

/// An engine: owns the live generation. Shared by all threads; every call on it may be made at any time from any
/// thread. Using a closed one gives ADCLICK_CLOSED.
pub struct adclick_engine {
    _opaque: [u8; 0],
}

/// A generation that was opened and checked and is not live yet. Belongs to one caller; used up by
/// `adclick_staged_activate` or `adclick_staged_discard`.
pub struct adclick_staged {
    _opaque: [u8; 0],
}

/// Copy the files into memory of the process instead of mapping them: a file that is truncated while it is mapped kills
/// the process.
pub const ADCLICK_COPY: u32 = 1;

/// How an engine is opened. Zero everything but `struct_size` for the defaults. 32 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_engine_options {
    /// `sizeof(adclick_engine_options)`.
    pub struct_size: u32,
    /// `ADCLICK_COPY` or 0.
    pub flags: u32,
    /// How much larger than the first model later ones may be, 1 to 1000; 0 = 2. Scorers get that much room.
    pub headroom: f32,
    /// Look at CURRENT every so many milliseconds on a thread of the library's own ("adclick-follow") and go to the
    /// bundle it names; 0 = never, only when `adclick_engine_poll` is called.
    pub follow_ms: u32,
    /// The kernel by name ("portable", "avx2", "avx512"), closed with 0; empty = the environment's ADCLICK_KERNEL, or the
    /// best that this CPU has.
    pub kernel: [c_char; 16],
}

static ENGINES: Handles<Engine> = Handles::new();
static STAGED: Handles<Mutex<Option<Staged>>> = Handles::new();

/// The engine behind a handle.
pub(super) fn engine(handle: *const adclick_engine) -> Result<Arc<Engine>, Failure> {
    ENGINES.get(handle, "engine")
}

/// Opens an engine on `path`: a bundle directory, or a directory that holds bundles and CURRENT. The bundle is checked
/// whole (manifest, checksums, every shape and count, golden requests) before the call returns.
///
/// `options` may be NULL. On success `*out` is the engine; close it with `adclick_engine_close`.
/// Errors: ADCLICK_IO, ADCLICK_CORRUPT, ADCLICK_UNSUPPORTED, ADCLICK_GOLDEN_MISMATCH, ADCLICK_INVALID_ARGUMENT,
/// ADCLICK_BAD_STRUCT_SIZE. Any thread; blocks on files.
///
/// # Safety
/// `path` has `path_len` bytes, `options` and `error` begin with their size, `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_open(
    path: *const u8,
    path_len: usize,
    options: *const adclick_engine_options,
    out: *mut *mut adclick_engine,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let path = unsafe { super::memory::path(path, path_len) }?;
        let options = match options.is_null() {
            true => Options::default(),
            // SAFETY: the caller's contract.
            false => to_options(&unsafe { read_sized(options, "adclick_engine_options") }?)?,
        };
        // SAFETY: the caller's contract; checked before the work is done.
        unsafe { put(out, std::ptr::null_mut(), "out") }?;
        let handle = ENGINES.insert(Engine::open(path, &options)?);
        // SAFETY: as above.
        unsafe { put(out, handle, "out") }
    })
}

/// Closes an engine: no request begins any more (scorers answer ADCLICK_CLOSED), requests under way end well, then its
/// memory and maps go. Scorers stay the caller's to free. NULL does nothing. Closing twice gives ADCLICK_CLOSED. Any
/// thread; waits for the following thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_engine_close(engine: *mut adclick_engine) -> i32 {
    guard(std::ptr::null_mut(), || {
        if !engine.is_null() {
            ENGINES.remove(engine, "engine")?.close();
        }
        Ok(())
    })
}

/// Opens and checks a bundle without making it live; what is live stays as it is, also on failure. On success `*out` is
/// the staged generation, to be activated or discarded.
/// Errors: as `adclick_engine_open`, and ADCLICK_CLOSED. Any thread; blocks on files.
///
/// # Safety
/// `path` has `path_len` bytes, `error` begins with its size, `out` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_stage(
    engine_: *mut adclick_engine,
    path: *const u8,
    path_len: usize,
    out: *mut *mut adclick_staged,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let path = unsafe { super::memory::path(path, path_len) }?;
        // SAFETY: the caller's contract; checked before the work is done.
        unsafe { put(out, std::ptr::null_mut(), "out") }?;
        let staged = engine(engine_)?.stage(path)?;
        let handle = STAGED.insert(Mutex::new(Some(staged)));
        // SAFETY: as above.
        unsafe { put(out, handle, "out") }
    })
}

/// Makes a staged generation live by one pointer swap: requests that begin from now on see it, requests under way end
/// with the one that they began with. The one before is kept for `adclick_engine_rollback`. Uses `staged` up, whatever
/// the result. `generation` may be NULL.
/// Errors: ADCLICK_CLOSED. Any thread; takes microseconds, plus freeing what was replaced earlier.
///
/// # Safety
/// `generation` is NULL or writable, `error` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_staged_activate(
    staged: *mut adclick_staged,
    generation: *mut u64,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        let slot = STAGED.remove(staged, "staged")?;
        let staged = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let id = staged.ok_or(Failure::Plain(Status::Closed, "it was activated before"))?.activate()?;
        if !generation.is_null() {
            // SAFETY: the caller's contract.
            unsafe { put(generation, id, "generation") }?;
        }
        Ok(())
    })
}

/// Drops a staged generation. NULL does nothing; a second time gives ADCLICK_CLOSED. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_staged_discard(staged: *mut adclick_staged) -> i32 {
    guard(std::ptr::null_mut(), || {
        if !staged.is_null() {
            STAGED.remove(staged, "staged")?;
        }
        Ok(())
    })
}

/// Goes back to the generation before the last activation. One earlier generation is kept, and a rollback uses it up.
/// `generation` may be NULL.
/// Errors: ADCLICK_NO_PREVIOUS, ADCLICK_CLOSED. Any thread; takes microseconds.
///
/// # Safety
/// `generation` is NULL or writable, `error` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_rollback(
    engine_: *mut adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        let id = engine(engine_)?.rollback()?;
        if !generation.is_null() {
            // SAFETY: the caller's contract.
            unsafe { put(generation, id, "generation") }?;
        }
        Ok(())
    })
}

/// Looks at CURRENT now: when it names another bundle than at the last look, stages and activates it and sets
/// `*generation`, otherwise sets it to 0. Also frees replaced generations that no request holds any more. For callers
/// that drive the following themselves. `generation` may be NULL.
/// Errors: as `adclick_engine_stage`; ADCLICK_INVALID_ARGUMENT when the engine was opened on a bundle itself.
///
/// # Safety
/// `generation` is NULL or writable, `error` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_poll(
    engine_: *mut adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        let id = engine(engine_)?.poll()?;
        if !generation.is_null() {
            // SAFETY: the caller's contract.
            unsafe { put(generation, id.unwrap_or(0), "generation") }?;
        }
        Ok(())
    })
}

/// Why the last look at CURRENT failed: its status, with the message in `error`; ADCLICK_OK when it did not fail.
///
/// # Safety
/// `error` is NULL or begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_follow_error(engine_: *const adclick_engine, error: *mut adclick_error) -> i32 {
    guard(error, || match engine(engine_)?.follow_error() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    })
}

/// The id of the live generation: the hash of its bundle's content, never 0.
/// Errors: ADCLICK_CLOSED.
///
/// # Safety
/// `generation` is writable, `error` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_generation(
    engine_: *const adclick_engine,
    generation: *mut u64,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        let id = engine(engine_)?.generation()?.id();
        // SAFETY: the caller's contract.
        unsafe { put(generation, id, "generation") }
    })
}

/// The handle of a feature's input name, for `adclick_value.feature`. The same name has the same handle for the engine's
/// life, whichever generation is live; get handles once, at start. A name that no model uses gets one too: its values
/// are ignored, and counted in `n_missing`, until a model does. Handles are never 0.
/// Errors: ADCLICK_INVALID_ARGUMENT (not UTF-8, or not 1 to 255 bytes), ADCLICK_CAPACITY_EXCEEDED (65,536 names),
/// ADCLICK_CLOSED. Any thread; takes a lock.
///
/// # Safety
/// `name` has `name_len` bytes, `handle` is writable, `error` begins with its size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_feature(
    engine_: *mut adclick_engine,
    name: *const u8,
    name_len: usize,
    handle: *mut u32,
    error: *mut adclick_error,
) -> i32 {
    guard(error, || {
        // SAFETY: the caller's contract.
        let name = unsafe { text(name, name_len, "name") }?;
        let number = engine(engine_)?.feature(name)?;
        // SAFETY: the caller's contract.
        unsafe { put(handle, number, "handle") }
    })
}

/// The name of the kernel that an engine uses ("avx512", "avx2", "portable"), or with NULL of the best one that this CPU
/// has; "" for a closed engine. Static.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_kernel(engine_: *const adclick_engine) -> *const c_char {
    let name = match engine_.is_null() {
        true => Kernel::detect().name(),
        false => engine(engine_).map_or("", |engine| engine.kernel()),
    };
    match name {
        "avx512" => c"avx512",
        "avx2" => c"avx2",
        "portable" => c"portable",
        _ => c"",
    }
    .as_ptr()
}

/// The id of a category string, for `adclick_value.id`: XXH3-64 with seed 0 of its bytes. An integer category is its own
/// id. NULL or a length of 0 gives the id of the empty string. Any thread; allocates nothing.
///
/// # Safety
/// `bytes` has `len` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_hash(bytes: *const u8, len: usize) -> u64 {
    // SAFETY: the caller's contract.
    unsafe { slice(bytes, len, "bytes") }.map_or_else(|_| crate::hash::category_id(b""), crate::hash::category_id)
}

fn to_options(c: &adclick_engine_options) -> Result<Options, Failure> {
    if c.flags & !ADCLICK_COPY != 0 {
        return Err(Error::argument(format!("options.flags is {:#x}, known is ADCLICK_COPY (0x1)", c.flags)).into());
    }
    let name: Vec<u8> = c.kernel.iter().map(|&b| b as u8).take_while(|&b| b != 0).collect();
    let name =
        String::from_utf8(name).map_err(|_| Failure::Plain(Status::InvalidArgument, "options.kernel is not UTF-8"))?;
    Ok(Options {
        mode: if c.flags & ADCLICK_COPY != 0 { OpenMode::Copy } else { OpenMode::Map },
        kernel: (!name.is_empty()).then_some(name),
        headroom: if c.headroom == 0.0 { Options::default().headroom } else { c.headroom },
        follow: (c.follow_ms > 0).then(|| Duration::from_millis(c.follow_ms.into())),
    })
}
