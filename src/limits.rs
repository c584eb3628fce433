//! Limits that several rooms keep to.

/// The largest number of candidates a scorer can be made for.
pub const MAX_CANDIDATES: usize = 1 << 20;
