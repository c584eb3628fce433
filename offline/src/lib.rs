//! The library behind the `adclick` command: what happens offline, from logs to the next model.

pub mod cmd;
pub mod data;
pub mod progress;
pub mod train;
