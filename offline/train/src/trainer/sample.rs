//! Uniform samples of rows that are too many to keep: by the hash of the row's number, so that the same rows are kept
//! whatever else is read.

use adclick::builder::hash::mix;

/// Set apart from what else hashes row numbers.
const SALT: u64 = 0x5d8a_19c6_72f4_0be3;

/// Lets rows through by their hash, and half of those after each halving.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sieve {
    most: u64,
}

impl Default for Sieve {
    fn default() -> Self {
        Self { most: u64::MAX }
    }
}

impl Sieve {
    pub(super) fn passes(&self, number: u64) -> bool {
        mix(number ^ SALT) <= self.most
    }

    /// Half of the rows that passed so far pass from now on.
    pub(super) fn halve(&mut self) {
        self.most >>= 1;
    }
}
