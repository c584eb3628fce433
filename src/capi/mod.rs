//! The C ABI. Every function checks its pointers, converts, calls the engine and maps the error; no panic crosses.
//! The comments here are the manual that C programmers read: cbindgen copies them to `include/adclick.h`.
//!
//! The caller's contract stands at the top of the header (`cbindgen.toml`). `SAFETY` comments name the clause that they rely on:
//! - **pointers**: a pointer is NULL or points to what its parameter says;
//! - **sizes**: a sized struct begins with its size, and that many bytes are readable;
//! - **arrays**: an array has the entries that its count says, as far apart as their size says; a text has the bytes that its length
//!   says;
//! - **outputs**: an output may be written and overlaps no other argument, and nothing else accesses the arguments
//!   during the call;
//! - **scorers**: a scorer came from `adclick_scorer_new` and was not freed.

#![allow(non_camel_case_types, reason = "these are C names")]
#![allow(clippy::missing_safety_doc, reason = "C's contract for all calls stands at the top of the header")]

mod arrays;
mod asked;
mod failure;
mod handles;
mod memory;
mod thread;

mod auction;
mod columns;
mod engine;
mod follow;
mod generations;
mod inputs;
mod log;
mod scorer;
mod status;
mod switches;
mod upsert;

// For tests that call the exported functions from Rust.
#[cfg(feature = "builder")]
pub use {
    asked::*, auction::*, columns::*, engine::*, follow::*, generations::*, inputs::*, log::*, scorer::*, status::*,
    switches::*, upsert::*,
};
