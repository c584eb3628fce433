//! From rows to the next model: training, calibration, packing and bundles. [`jobs`] does what the verbs of the command do.

pub mod bundle;
pub mod calibrators;
pub mod jobs;
mod kernel;
pub mod pack;
pub mod positions;
pub mod ranges;
pub mod rows;
pub mod trainer;
pub mod unpack;
