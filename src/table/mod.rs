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
pub use columns::{Cell, Column, ColumnKind, MAX_COLUMNS, MAX_ROW, NumberAt, RowLayout, Span};
pub use file::{Shard, Table};
pub use open::Checks;
pub use set::{MAX_SHARDS, RowAt, TableSet};
pub use source::{Overrides, TableSource, join_shards};
