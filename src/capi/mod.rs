//! The C ABI. Every function checks its pointers, converts, calls the engine and maps the error; no panic crosses.
//! The comments here are the manual that C programmers read: cbindgen copies them to `include/adclick.h`.
//!
//! The caller's contract, which `SAFETY` comments refer to, stands at the top of the header (`cbindgen.toml`): pointers
//! are NULL or point to what the parameter says; sized structs begin with their size; arrays have the entries that their
//! counts say; outputs overlap nothing else; nobody else touches them during the call; a scorer came from
//! `adclick_scorer_new` and was not freed.

#![allow(non_camel_case_types, reason = "these are C names")]
#![allow(clippy::missing_safety_doc, reason = "C's contract for all calls stands at the top of the header")]

mod handles;
mod memory;
mod thread;

// In the order in which the header tells of them.
mod status;

mod engine;

mod follow;

mod inputs;

mod scorer;

mod tables;

mod auction;

// For tests that call the exported functions from Rust.
pub use {auction::*, engine::*, follow::*, inputs::*, scorer::*, status::*, tables::*};
