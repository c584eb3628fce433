//! What is live: the generation that is made from a bundle, and the swap cell through which requests see it.

mod generation;
mod open;
mod options;
#[allow(unsafe_code, reason = "the one place that shares a pointer between threads without a lock")]
mod swap_cell;

pub use crate::cancel::Cancel;
pub use generation::{Generation, Opening};
pub(crate) use options::ID_SUMS_BYTES;
pub use options::{StagingOptions, TableChecks};
pub(crate) use swap_cell::{SwapCell, SwapReader};
