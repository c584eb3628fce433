//! Feature tables: files that map a u64 key to a row of typed columns, answered from the map in batches.

mod build;
mod check;
mod columns;
mod file;
mod index;
mod set;
mod source;
mod spill;

pub use build::{BuildOptions, Built, Duplicates, TableBuilder, TableSpec};
pub use columns::{Cell, Column, ColumnKind, MAX_COLUMNS, MAX_ROW, NumberAt, RowLayout, Span};
pub use file::{Checks, Shard, Table};
pub use set::{MAX_SHARDS, RowAt, TableSet};
pub use source::{Overrides, TableSource};
