//! The files of the core whose orderings loom checks, with what they need of it and nothing else. Their tests are in the files.
#![allow(dead_code, unsafe_code, unreachable_pub, reason = "files of another crate")]
#![allow(clippy::arc_with_non_send_sync, reason = "loom's cells are never Sync: it runs one thread at a time")]

#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/hash.rs"]
mod hash;
#[path = "../../../src/prefetch.rs"]
mod prefetch;
#[path = "../../../src/overlay/slots.rs"]
mod slots;
#[path = "../../../src/live/swap_cell.rs"]
mod swap_cell;
