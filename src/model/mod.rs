//! A model made ready to score: its plans for the CPU, the precision that it is served in, the sums that are kept of ads;
//! and the golden requests that show whether it computes what it did where it was packed.

mod ad_cache;
pub(crate) mod golden;
mod limits;
#[cfg(feature = "builder")]
mod pack;
mod precision;

pub(crate) use ad_cache::{AdCache, KeptSums};
pub use ad_cache::{AdCacheInfo, AdCacheState};
pub use limits::Limits;
#[cfg(feature = "builder")]
pub use pack::{deep_inputs, pack_model};
pub use precision::Fast;
pub(crate) use precision::Serving;
