//! The library behind the `adclick` command: what happens offline, from logs to the next model.

pub mod auctions;
pub mod cmd;
