//! Limits shared by several modules.

/// The largest number of candidates that a scorer can be made for.
pub const MAX_CANDIDATES: usize = 1 << 20;

/// The most columns in which a request may pass values of its candidates.
pub(crate) const MAX_CANDIDATE_COLUMNS: usize = 1024;
