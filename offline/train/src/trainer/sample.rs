//! Uniform samples of rows that are too many to keep. Rows are chosen by the hash of their number, so the choice does
//! not depend on what else is read.

use adclick::builder::hash::mix;

/// Salts the hash, which other code applies to row numbers too.
const SALT: u64 = 0x5d8a_19c6_72f4_0be3;

/// Lets rows through by their hash; each halving drops half of them.
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

    /// Halves the rows that pass, from now on.
    pub(super) fn halve(&mut self) {
        self.most >>= 1;
    }
}
