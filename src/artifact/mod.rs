//! Files on disk: the container that all artifacts share, and what each kind holds. `docs/format.md` is normative.

#[allow(unsafe_code, reason = "mapping a file is unsafe by nature")]
mod bytes;
pub mod container;
pub mod model;

pub use bytes::{Bytes, OpenMode};
