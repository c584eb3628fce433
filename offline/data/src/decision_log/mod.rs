//! Logs of decisions, slates and events as engines write them (docs/logs.md): [`inspect`] says what is there and what is
//! missing, [`compact`] turns closed segments into Parquet, [`erase`] forgets a user.

mod compact;
mod erase;
mod inspect;
mod segments;
#[cfg(test)]
mod tests;

pub use compact::{Compacted, compact, expire};
pub use erase::{Erased, erase};
pub use inspect::{Gap, Inspection, StreamInspection, inspect};
pub use segments::{STREAMS, recover};
