//! Statuses, the caller's error struct, versions, and the guard around every call.

use std::ffi::{CStr, c_char};
use std::fmt::{self, Write};
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::failure::Failure;
use super::memory::sized_room;
use super::thread::Uncancelled;
use crate::error::Status;

/// What a call returned. 0 is success, errors are negative and never renumbered; a later library may return numbers that
/// this header does not list.
/// cbindgen:rename-all=None
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum adclick_status {
    /// Done.
    ADCLICK_OK = 0,
    /// An argument is NULL, out of range, or contradicts another one.
    ADCLICK_INVALID_ARGUMENT = -1,
    /// A sized struct has a size smaller than its first version or absurdly large (it was never set), or holds non-zero
    /// bytes past what this library knows: the program asks for something newer than the library.
    ADCLICK_BAD_STRUCT_SIZE = -2,
    /// More candidates than the scorer was sized for (or more than 1,048,576), more than 65,536 names, or more rows on top
    /// of tables than memory has room for.
    ADCLICK_CAPACITY_EXCEEDED = -3,
    /// An input value is NaN or infinite; or, from `adclick_engine_input_error`, values came with the wrong side.
    ADCLICK_INVALID_VALUE = -4,
    /// The engine was closed, or the handle is not one: closed or used up before, or never given out.
    ADCLICK_CLOSED = -5,
    /// A file or directory cannot be opened or read.
    ADCLICK_IO = -6,
    /// A file is damaged: checksum, length, offset, count or content.
    ADCLICK_CORRUPT = -7,
    /// A file needs a newer library, or something that this CPU or library does not support.
    ADCLICK_UNSUPPORTED = -8,
    /// The model's golden requests give other results here than where it was packed.
    ADCLICK_GOLDEN_MISMATCH = -9,
    /// There is no earlier generation to roll back to.
    ADCLICK_NO_PREVIOUS = -10,
    /// The scorer is in use by another call; or something still runs after the time in which an engine was to be closed.
    ADCLICK_BUSY = -11,
    /// The array for the winners, or the room for a text, is too small.
    ADCLICK_BUFFER_TOO_SMALL = -12,
    /// A bug in the library: a panic was caught at the boundary.
    ADCLICK_INTERNAL = -100,
}

/// The bytes of `adclick_error.message`.
pub const ADCLICK_ERROR_MESSAGE: usize = 504;

/// Filled by a call that fails, if the caller passes one; a call that succeeds leaves it alone. It belongs to the caller
/// and can be used again and again: set `struct_size` once. 512 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct adclick_error {
    /// `sizeof(adclick_error)`, set by the caller. With less, the message is cut to fit; with less than 8, nothing is
    /// written.
    pub struct_size: u32,
    /// An `adclick_status`.
    pub status: i32,
    /// One sentence for a person: what was expected, what was found, what to do. UTF-8, ends with a 0 byte.
    pub message: [c_char; ADCLICK_ERROR_MESSAGE],
}

/// As [`guard`], for calls that read files, wait, or take locks: a thread that is cancelled meanwhile goes on to the end of
/// the call. Cancellation unwinds the stack, which would end the process here.
pub(super) fn guard_whole(error: *mut adclick_error, body: impl FnOnce() -> Result<(), Failure>) -> adclick_status {
    let _whole = Uncancelled::new();
    guard(error, body)
}

/// Runs the body of a call: its failure or panic becomes a status and fills the caller's error. Allocates nothing
/// itself.
pub(super) fn guard(error: *mut adclick_error, body: impl FnOnce() -> Result<(), Failure>) -> adclick_status {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return adclick_status::ADCLICK_OK,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Plain(Status::Internal, "a bug in libadclick (a panic was caught): please report it"),
    };
    let status = adclick_status::from(failure.status());
    let mut text = Text { bytes: [0; ADCLICK_ERROR_MESSAGE], len: 0, most: ADCLICK_ERROR_MESSAGE - 1 };
    // SAFETY: the caller passes NULL or a struct that begins with its own size, as the header asks.
    if let Some(room) = unsafe { sized_room(error) } {
        text.most = room.saturating_sub(offset_of!(adclick_error, message)).saturating_sub(1).min(text.most);
        // A message that does not fit is cut.
        let _ = write!(text, "{failure}");
        // SAFETY: clause sizes, as checked by `sized_room`; `fill` writes no further than the size that the struct states.
        unsafe { fill(error, room, status, &text) };
    }
    status
}

/// Fills the caller's error as far as its size says.
///
/// # Safety
/// `error` points to `room` writable bytes.
unsafe fn fill(error: *mut adclick_error, room: usize, status: adclick_status, text: &Text) {
    let at = offset_of!(adclick_error, message);
    if room < at {
        return;
    }
    // SAFETY: the first 8 bytes are within `room`; no reference is made, so neither alignment nor old content matters.
    unsafe { (&raw mut (*error).status).write_unaligned(status as i32) };
    if room > at {
        // The text and the 0 after it: `Text` keeps `len` under `room - at`.
        let len = text.len + 1;
        // SAFETY: `at + len` is at most `room`, and `bytes` holds `len` because `len` is at most its length; the source
        // is a local of the library.
        unsafe { std::ptr::copy_nonoverlapping(text.bytes.as_ptr(), error.cast::<u8>().add(at), len) };
    }
}

/// A text on the stack, cut at a character's end. The bytes after it are 0.
struct Text {
    bytes: [u8; ADCLICK_ERROR_MESSAGE],
    len: usize,
    /// The most bytes; less than all of them, so that a 0 follows.
    most: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut len = text.len().min(self.most - self.len);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        if len < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Every failure: what the core calls it, its number in C, its name there.
const FAILURES: [(Status, adclick_status, &CStr); 13] = [
    (Status::InvalidArgument, adclick_status::ADCLICK_INVALID_ARGUMENT, c"ADCLICK_INVALID_ARGUMENT"),
    (Status::BadStructSize, adclick_status::ADCLICK_BAD_STRUCT_SIZE, c"ADCLICK_BAD_STRUCT_SIZE"),
    (Status::CapacityExceeded, adclick_status::ADCLICK_CAPACITY_EXCEEDED, c"ADCLICK_CAPACITY_EXCEEDED"),
    (Status::InvalidValue, adclick_status::ADCLICK_INVALID_VALUE, c"ADCLICK_INVALID_VALUE"),
    (Status::Closed, adclick_status::ADCLICK_CLOSED, c"ADCLICK_CLOSED"),
    (Status::Io, adclick_status::ADCLICK_IO, c"ADCLICK_IO"),
    (Status::Corrupt, adclick_status::ADCLICK_CORRUPT, c"ADCLICK_CORRUPT"),
    (Status::Unsupported, adclick_status::ADCLICK_UNSUPPORTED, c"ADCLICK_UNSUPPORTED"),
    (Status::GoldenMismatch, adclick_status::ADCLICK_GOLDEN_MISMATCH, c"ADCLICK_GOLDEN_MISMATCH"),
    (Status::NoPrevious, adclick_status::ADCLICK_NO_PREVIOUS, c"ADCLICK_NO_PREVIOUS"),
    (Status::Busy, adclick_status::ADCLICK_BUSY, c"ADCLICK_BUSY"),
    (Status::BufferTooSmall, adclick_status::ADCLICK_BUFFER_TOO_SMALL, c"ADCLICK_BUFFER_TOO_SMALL"),
    (Status::Internal, adclick_status::ADCLICK_INTERNAL, c"ADCLICK_INTERNAL"),
];

impl From<Status> for adclick_status {
    fn from(status: Status) -> Self {
        FAILURES.iter().find(|failure| failure.0 == status).map_or(Self::ADCLICK_INTERNAL, |failure| failure.1)
    }
}

/// The version of the ABI that this header describes. A library with a larger one still runs programs built with it.
pub const ADCLICK_ABI_VERSION: u32 = 1;

/// The version of the ABI that the linked library has. A program runs with every library for which this is at least the
/// `ADCLICK_ABI_VERSION` that it was compiled with. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_abi_version() -> u32 {
    ADCLICK_ABI_VERSION
}

/// The library's version, such as "0.1.0". The text is static: do not free it. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of a status, such as "ADCLICK_CLOSED"; "unknown status" for other numbers. The text is static: do not free
/// it. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_status_name(status: i32) -> *const c_char {
    let failure = FAILURES.iter().find(|failure| failure.1 as i32 == status);
    match (status, failure) {
        (0, _) => c"ADCLICK_OK",
        (_, Some(failure)) => failure.2,
        (_, None) => c"unknown status",
    }
    .as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn c_statuses_are_the_core_ones() {
        for (core, c, name) in FAILURES {
            assert_eq!(c as i32, core as i32);
            assert_eq!((adclick_status::from(core), name.to_str().unwrap()), (c, &*format!("{c:?}")));
            assert_eq!(adclick_status_name(c as i32), name.as_ptr());
        }
        // The core's statuses are all there: a new one has to be named here too.
        let known = |status: Status| match status {
            Status::InvalidArgument | Status::BadStructSize | Status::CapacityExceeded | Status::InvalidValue => true,
            Status::Closed | Status::Io | Status::Corrupt | Status::Unsupported | Status::GoldenMismatch => true,
            Status::NoPrevious | Status::Busy | Status::BufferTooSmall | Status::Internal => true,
        };
        assert!(FAILURES.iter().all(|failure| known(failure.0)));
    }

    #[test]
    fn a_panic_becomes_a_status() {
        let mut error = adclick_error { struct_size: size_of::<adclick_error>() as u32, status: 0, message: [1; 504] };
        let status = guard(&mut error, || panic!("planted"));
        assert_eq!((status as i32, error.status), (-100, -100));
    }

    #[test]
    fn messages_are_cut_to_the_room_that_the_caller_states() {
        let long = "ä".repeat(1000);
        for size in [0, 4, 7, 8, 9, 10, 11, 12, 100, 511, 512, 100_000] {
            let mut error = adclick_error { struct_size: size, status: 7, message: [0x55; 504] };
            let status = guard(&mut error, || Err(Error::new(Status::Io, long.clone()).into()));
            assert_eq!(status as i32, -6);
            assert_eq!((error.struct_size, error.status), (size, if size < 8 { 7 } else { -6 }), "{size}");
            let room = (size as usize).clamp(8, 512) - 8;
            assert!(error.message[room..].iter().all(|&b| b == 0x55), "{size}: written past the end");
            if room > 0 {
                // SAFETY: the guard closes every message with 0.
                let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
                assert!(long.starts_with(message) && message.len() + 2 >= room, "{size}: {message}");
            }
        }
    }
}
