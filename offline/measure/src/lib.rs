//! Metrics of predicted probabilities against labels, by the field's definitions, in f64.
//!
//! All take [`Labelled`] rows, with optional weights. An undefined value (the AUC of one class, the ratio to no clicks)
//! is NaN or infinite, and null in JSON.

pub mod bins;
mod chance;
pub mod cost;
pub mod fields;
mod labelled;
pub mod loss;
pub mod rank;
mod reliability;
pub mod report;
mod smooth;
mod spread;
mod sum;
mod unknown;
pub mod weights;

pub use chance::{Chance, Interval};
pub use labelled::Labelled;
pub use reliability::{Reliability, ReliabilityBin, ratio_interval, reliability_bins};
pub use report::Report;
pub use spread::Spread;
pub use sum::Sum;
pub use unknown::Unknown;
