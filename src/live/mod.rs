//! What is live: the generation that is made from a bundle, and the cell through which requests see it.

mod ad_cache;
#[allow(unsafe_code, reason = "the one place that shares a pointer between threads without a lock")]
mod cell;
mod generation;
mod golden;
mod open;
pub(crate) mod precision;

pub use crate::cancel::Cancel;
pub use ad_cache::{AdCacheInfo, AdCacheState};
pub(crate) use cell::{Cell, Reader};
pub(crate) use generation::weights;
pub use generation::{Generation, Limits, encode_calibrators};
pub use golden::{deep_inputs, pack_model};
pub use open::{Opening, TableChecks};
pub use precision::{Fast, parse as parse_serving, text as serving_text};
