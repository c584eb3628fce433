//! Files on disk: the container that all artifacts share, and the contents of each kind. `docs/format.md` is normative.

// Files are used as mapped, and their shapes are multiplied in usize.
#[cfg(not(all(target_endian = "little", target_pointer_width = "64")))]
compile_error!("adclick needs a little-endian target with 64-bit addresses");

#[allow(unsafe_code, reason = "mapping a file is unsafe by nature")]
mod bytes;
pub mod container;
pub mod model;

pub(crate) use bytes::Words;
pub use bytes::{Bytes, OpenMode};
