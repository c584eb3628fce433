//! Why a call failed, before it becomes a status and a message.

use std::fmt;

use crate::error::{Error, Status};
use crate::refusal::Refusal;

/// A failure on its way to the caller, in any of its forms.
pub(super) enum Failure {
    Error(Error),
    Refusal(Refusal),
    Plain(Status, &'static str),
    /// The caller's room for an output is too small.
    Room {
        what: &'static str,
        unit: &'static str,
        found: usize,
        needed: usize,
    },
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
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Error(e) => e.status,
            Self::Refusal(r) => r.status(),
            Self::Plain(status, _) => *status,
            Self::Room { .. } => Status::BufferTooSmall,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(e) => e.fmt(f),
            Self::Refusal(r) => r.fmt(f),
            Self::Plain(_, text) => f.write_str(text),
            Self::Room { what, unit, found, needed } => {
                write!(f, "{what} has room for {found} {unit}, expected at least {needed}")
            }
        }
    }
}

/// A pointer that must not be NULL is.
pub(super) fn null(what: &'static str) -> Failure {
    Failure::Refusal(Refusal::Argument { what, rule: "it is NULL, expected a pointer" })
}
