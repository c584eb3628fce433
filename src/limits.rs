//! Limits shared by several modules.

/// The largest number of candidates that a scorer can be made for.
pub const MAX_CANDIDATES: usize = 1 << 20;
