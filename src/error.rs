//! The one error type of the core, and the status codes that cross the C boundary.

use std::fmt;

/// What went wrong, as a number that is never renumbered. It is what the C ABI returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum Status {
    /// An argument is NULL, out of range, or contradicts another one.
    InvalidArgument = -1,
    /// A sized struct has a size that this library does not know, or non-zero bytes past what it knows.
    BadStructSize = -2,
    /// More candidates, values or slots than the scorer was sized for.
    CapacityExceeded = -3,
    /// An input value is NaN or infinite.
    InvalidValue = -4,
    /// The engine was closed.
    Closed = -5,
    /// A file or directory cannot be opened or read.
    Io = -6,
    /// A file is damaged: checksum, length, offset, count or content.
    Corrupt = -7,
    /// A file needs a newer library, or describes something that this library does not support.
    Unsupported = -8,
    /// The model's golden requests give other results here than where it was packed.
    GoldenMismatch = -9,
    /// There is no earlier generation to roll back to.
    NoPrevious = -10,
    /// The handle is in use by another call.
    Busy = -11,
    /// The caller's buffer is too small.
    BufferTooSmall = -12,
    /// A bug in this library: a panic was caught at the boundary.
    Internal = -100,
}

/// An error with its [`Status`] and a message that says where, what was expected, what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Error {
    /// The class of the error.
    pub status: Status,
    /// One sentence for a person.
    pub message: String,
}

/// The result of every fallible call of the core.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of the given class.
    #[must_use]
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Status::Corrupt, message)
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Status::Unsupported, message)
    }

    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Status::Io, format!("cannot {what} {}: {error}", path.display()))
    }

    /// The same error with `place` (a file or section name) in front.
    #[must_use]
    pub(crate) fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
