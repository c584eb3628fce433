//! Feature tables: files that map a u64 key to a row of typed columns, looked up in batches in the mapped file.

#[cfg(feature = "builder")]
mod build;
mod check;
mod columns;
mod file;
mod index;
mod open;
#[cfg(feature = "builder")]
mod place;
mod set;
mod source;
#[cfg(feature = "builder")]
mod spill;

#[cfg(feature = "builder")]
pub use build::{BuildOptions, Built, Duplicates, TableBuilder, TableSpec};
pub(crate) use columns::IdAt;
pub use columns::{Cell, Column, ColumnKind, MAX_ROW, NumberAt, RowLayout};
#[cfg(feature = "builder")]
pub use columns::{MAX_COLUMNS, Span};
#[cfg(feature = "builder")]
pub use file::Shard;
pub use file::Table;
pub use open::Checks;
#[cfg(feature = "builder")]
pub use set::MAX_SHARDS;
pub use set::{RowAt, TableSet};
pub use source::{Overrides, TableSource, join_shards};
