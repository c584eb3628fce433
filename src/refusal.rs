//! The reason why a request was refused, in plain numbers, so that refusing allocates nothing. The text is made on
//! demand.

use std::fmt;

use crate::error::{Error, Status};
use crate::limits::MAX_CANDIDATES;

/// A refused request. Nothing was written; the scorer can be used again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// An array is larger than the scorer was sized for, or shorter than the request says.
    Capacity {
        /// The array.
        what: &'static str,
        /// Its number of entries.
        found: usize,
        /// The number that fits.
        most: usize,
    },
    /// An array does not have the length that the request or another array gives it.
    Length {
        /// The array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that was expected.
        expected: usize,
    },
    /// There is no entry with this index.
    Index {
        /// The array.
        what: &'static str,
        /// The index.
        found: usize,
        /// The number of entries.
        entries: usize,
    },
    /// A number is NaN or infinite.
    NotFinite {
        /// The array.
        what: &'static str,
        /// The index of the entry.
        index: usize,
    },
    /// A field has an invalid value.
    Field {
        /// The field.
        what: &'static str,
        /// The index in its array.
        index: usize,
        /// The rule.
        rule: &'static str,
    },
    /// An argument of a call, or a field of the request, is invalid.
    Argument {
        /// Its name.
        what: &'static str,
        /// The rule.
        rule: &'static str,
    },
    /// A sized struct has a size that this library does not know.
    StructSize {
        /// The struct.
        what: &'static str,
        /// The size found.
        found: u32,
        /// The size of this library.
        expected: u32,
    },
    /// The stated size of an array's entries is not one that they have in any header.
    EntrySize {
        /// The field that states it.
        what: &'static str,
        /// The size found.
        found: u32,
        /// The size in the first header.
        first: u32,
        /// The number that it must be a multiple of.
        align: u32,
    },
    /// An entry of an array has a value in a field that this library does not know.
    UnknownField {
        /// The array.
        what: &'static str,
        /// The index of the entry.
        index: usize,
        /// The size of an entry that this library knows, in bytes.
        known: u32,
    },
    /// The engine was closed.
    Closed,
    /// A bug of this library.
    Internal {
        /// The condition that does not hold.
        what: &'static str,
    },
}

impl Refusal {
    /// The status that the C ABI returns.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::Capacity { .. } => Status::CapacityExceeded,
            Self::Length { .. } | Self::Index { .. } | Self::Field { .. } | Self::Argument { .. } => {
                Status::InvalidArgument
            }
            Self::NotFinite { .. } => Status::InvalidValue,
            Self::StructSize { .. } | Self::EntrySize { .. } | Self::UnknownField { .. } => Status::BadStructSize,
            Self::Closed => Status::Closed,
            Self::Internal { .. } => Status::Internal,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capacity { what, found, most } if *most >= MAX_CANDIDATES => {
                write!(f, "{what}: {found}, a request has at most {most}: split it")
            }
            Self::Capacity { what, found, most } => {
                write!(f, "{what}: {found}, this scorer was sized for {most}: make one with a larger limit")
            }
            Self::Length { what, found, expected } => write!(f, "{what}: {found} entries, expected {expected}"),
            Self::Index { what, found, entries } => {
                write!(f, "{what}: {found}, but the last decision had {entries} of them, numbered from 0")
            }
            Self::NotFinite { what, index } => {
                write!(f, "{what}[{index}] is NaN or infinite, expected a finite number")
            }
            Self::Field { what, index, rule } => write!(f, "{what} (entry {index}): {rule}"),
            Self::Argument { what, rule } => write!(f, "{what}: {rule}"),
            Self::StructSize { what, found, expected } => write!(
                f,
                "{what}.struct_size is {found}, this library knows {expected}: set it to sizeof({what}) of the header \
                 that came with this library or an older one"
            ),
            Self::EntrySize { what, found, first, align } => write!(
                f,
                "{what} is {found}, expected the sizeof of an entry: a multiple of {align} from {first} to 4096 bytes"
            ),
            Self::UnknownField { what, index, known } => write!(
                f,
                "{what}[{index}] is not 0 past byte {known}, where this library knows no field: leave fields of a newer header \
                 at 0, or use the library that came with it"
            ),
            Self::Closed => f.write_str("the engine was closed"),
            Self::Internal { what } => write!(f, "a bug in libadclick: {what}; please report it"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.status(), refusal.to_string())
    }
}
