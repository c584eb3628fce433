//! The verbs of the command, from arguments and files to what they print and write.

mod auction;
mod calibrate;
mod checkpoint;
mod clicks_alone;
mod commands;
mod golden_calibration;
mod precision;
mod schema_infer;
mod segments;
#[path = "../support/mod.rs"]
mod support;
mod workshop;
