//! What is live: the generation that is made from a bundle, and the cell through which requests see it.

#[allow(unsafe_code, reason = "the one place that shares a pointer between threads without a lock")]
mod cell;
mod generation;
mod open;
mod options;

pub use crate::cancel::Cancel;
pub(crate) use cell::{Cell, Reader};
pub use generation::{Generation, Opening};
pub use options::{StagingOptions, TableChecks};
