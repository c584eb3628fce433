//! The C ABI. Every function checks its pointers, converts, calls the engine and maps the error; no panic crosses.
//! The comments here are the manual that C programmers read: cbindgen copies them to `include/adclick.h`.

#![allow(non_camel_case_types, reason = "these are C names")]

mod auction;
mod engine;
mod handles;
mod memory;
mod scorer;
mod status;

pub use auction::*;
pub use engine::*;
pub use scorer::*;
pub use status::*;
