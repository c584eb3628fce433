//! The library behind the `adclick` command: what happens offline, from logs to the next model.

// It panics when standard output is full or closed: `stdout::lock` gives an error.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

pub mod auctions;
pub mod bundle;
pub mod cmd;
pub mod data;
pub mod demo;
pub mod files;
pub mod fit;
pub mod infer;
pub mod measure;
pub mod pack;
pub mod positions;
pub mod progress;
pub mod ranges;
pub mod rows;
pub mod schema_file;
pub mod simulate;
pub mod stdout;
pub mod tables;
pub mod time;
pub mod train;
pub mod unpack;
