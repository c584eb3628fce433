//! What the `adclick` command is made of: the verbs, the demo, and what they print.

// It panics when standard output is full or closed: `stdout::lock` gives an error.
#![cfg_attr(not(test), deny(clippy::print_stdout))]

pub mod auctions;
pub mod cmd;
pub mod demo;
pub mod progress;
pub mod stdout;
pub mod synthetic;
