//! Statuses, the caller's error struct, versions, and the guard around every call.

use std::ffi::c_char;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::memory::write_sized;
use crate::error::{Error, Status};
use crate::refusal::Refusal;

/// What a call returned. 0 is success, errors are negative and never renumbered.
///
/// cbindgen:rename-all=None
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum adclick_status {
    /// Done.
    ADCLICK_OK = 0,
    /// An argument is NULL, out of range, or contradicts another one.
    ADCLICK_INVALID_ARGUMENT = -1,
    /// A sized struct has a size that this library does not know, or non-zero bytes past what it knows.
    ADCLICK_BAD_STRUCT_SIZE = -2,
    /// More candidates than the scorer was sized for.
    ADCLICK_CAPACITY_EXCEEDED = -3,
    /// An input value is NaN or infinite.
    ADCLICK_INVALID_VALUE = -4,
    /// The engine was closed.
    ADCLICK_CLOSED = -5,
    /// A file or directory cannot be opened or read.
    ADCLICK_IO = -6,
    /// A file is damaged: checksum, length, offset, count or content.
    ADCLICK_CORRUPT = -7,
    /// A file needs a newer library, or describes something that this one does not do.
    ADCLICK_UNSUPPORTED = -8,
    /// The model's golden requests give other results here than where it was packed.
    ADCLICK_GOLDEN_MISMATCH = -9,
    /// There is no earlier generation to roll back to.
    ADCLICK_NO_PREVIOUS = -10,
    /// The scorer is in use by another call.
    ADCLICK_BUSY = -11,
    /// The caller's buffer is too small.
    ADCLICK_BUFFER_TOO_SMALL = -12,
    /// A bug in the library: a panic was caught at the boundary.
    ADCLICK_INTERNAL = -100,
}

/// The bytes of `adclick_error.message`.
pub const ADCLICK_ERROR_MESSAGE: usize = 504;

/// Filled by a call that fails, if the caller passes one; untouched by one that succeeds. 512 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct adclick_error {
    /// `sizeof(adclick_error)`, set by the caller. With less room the message is cut.
    pub struct_size: u32,
    /// An `adclick_status`.
    pub status: i32,
    /// UTF-8, ends with a 0 byte.
    pub message: [c_char; ADCLICK_ERROR_MESSAGE],
}

/// A failure on its way to the caller, whatever it is made of.
pub(super) enum Failure {
    Error(Error),
    Refusal(Refusal),
    Plain(Status, &'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl Failure {
    fn status(&self) -> Status {
        match self {
            Self::Error(e) => e.status,
            Self::Refusal(r) => r.status(),
            Self::Plain(status, _) => *status,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(e) => e.fmt(f),
            Self::Refusal(r) => r.fmt(f),
            Self::Plain(_, text) => f.write_str(text),
        }
    }
}

/// Runs the body of a call: its failure or panic becomes a status and fills the caller's error. Allocates nothing
/// itself.
pub(super) fn guard(error: *mut adclick_error, body: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return adclick_status::ADCLICK_OK as i32,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Plain(Status::Internal, "a bug in libadclick (a panic was caught): please report it"),
    };
    let status = failure.status() as i32;
    let mut filled =
        adclick_error { struct_size: size_of::<adclick_error>() as u32, status, message: [0; ADCLICK_ERROR_MESSAGE] };
    // A message that does not fit is cut.
    let _ = write!(Text { to: &mut filled.message, at: 0 }, "{failure}");
    // SAFETY: the caller passes NULL or a struct that begins with its own size, as the header asks.
    unsafe { write_sized(error, &filled) };
    status
}

/// Writes text into a C array, cut at a character's end and closed with 0.
struct Text<'a> {
    to: &'a mut [c_char],
    at: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).as_bytes();
            if self.at + bytes.len() >= self.to.len() {
                return Err(fmt::Error);
            }
            for &b in bytes {
                self.to[self.at] = b as c_char;
                self.at += 1;
            }
        }
        Ok(())
    }
}

/// The version of the ABI that this header describes. A library with a larger one still runs programs built with it.
pub const ADCLICK_ABI_VERSION: u32 = 1;

/// The version of the ABI that the linked library has; compare with `ADCLICK_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_abi_version() -> u32 {
    ADCLICK_ABI_VERSION
}

/// The library's version, such as "0.1.0". Static.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// A status in words, such as "ADCLICK_CLOSED"; "unknown status" for other numbers. Static.
#[unsafe(no_mangle)]
pub extern "C" fn adclick_status_name(status: i32) -> *const c_char {
    let name = match status {
        0 => c"ADCLICK_OK",
        -1 => c"ADCLICK_INVALID_ARGUMENT",
        -2 => c"ADCLICK_BAD_STRUCT_SIZE",
        -3 => c"ADCLICK_CAPACITY_EXCEEDED",
        -4 => c"ADCLICK_INVALID_VALUE",
        -5 => c"ADCLICK_CLOSED",
        -6 => c"ADCLICK_IO",
        -7 => c"ADCLICK_CORRUPT",
        -8 => c"ADCLICK_UNSUPPORTED",
        -9 => c"ADCLICK_GOLDEN_MISMATCH",
        -10 => c"ADCLICK_NO_PREVIOUS",
        -11 => c"ADCLICK_BUSY",
        -12 => c"ADCLICK_BUFFER_TOO_SMALL",
        -100 => c"ADCLICK_INTERNAL",
        _ => c"unknown status",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn c_statuses_are_the_core_ones() {
        use Status::*;
        for (c, core) in [
            (adclick_status::ADCLICK_INVALID_ARGUMENT, InvalidArgument),
            (adclick_status::ADCLICK_BAD_STRUCT_SIZE, BadStructSize),
            (adclick_status::ADCLICK_CAPACITY_EXCEEDED, CapacityExceeded),
            (adclick_status::ADCLICK_INVALID_VALUE, InvalidValue),
            (adclick_status::ADCLICK_CLOSED, Closed),
            (adclick_status::ADCLICK_IO, Io),
            (adclick_status::ADCLICK_CORRUPT, Corrupt),
            (adclick_status::ADCLICK_UNSUPPORTED, Unsupported),
            (adclick_status::ADCLICK_GOLDEN_MISMATCH, GoldenMismatch),
            (adclick_status::ADCLICK_NO_PREVIOUS, NoPrevious),
            (adclick_status::ADCLICK_BUSY, Busy),
            (adclick_status::ADCLICK_BUFFER_TOO_SMALL, BufferTooSmall),
            (adclick_status::ADCLICK_INTERNAL, Internal),
        ] {
            assert_eq!(c as i32, core as i32);
            // SAFETY: the names are static C strings.
            let name = unsafe { CStr::from_ptr(adclick_status_name(c as i32)) };
            assert_eq!(name.to_str().unwrap(), format!("{c:?}"));
        }
    }

    #[test]
    fn a_panic_becomes_a_status_and_long_messages_are_cut() {
        let mut error = adclick_error { struct_size: size_of::<adclick_error>() as u32, status: 0, message: [1; 504] };
        let status = guard(&mut error, || panic!("planted"));
        assert_eq!((status, error.status), (-100, -100));
        let long = "ä".repeat(1000);
        guard(&mut error, || Err(Error::new(Status::Io, long.clone()).into()));
        // SAFETY: the guard closes every message with 0.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap();
        assert!(message.len() > 500 && long.starts_with(message));
    }
}
