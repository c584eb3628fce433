//! The parts of the `adclick` command: the subcommands, the demo, and their output.

// `println!` panics when standard output is full or closed; `stdout::lock` returns an error.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

pub mod auctions;
pub mod cmd;
pub mod demo;
pub mod plot;
pub mod progress;
pub mod settings;
pub mod stdout;
pub mod synthetic;
