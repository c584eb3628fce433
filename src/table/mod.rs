//! Feature tables: files that map a u64 key to a row of typed columns, answered from the map in batches.

mod columns;

pub use columns::{Cell, Column, ColumnKind, MAX_COLUMNS, MAX_ROW, RowLayout, Span};
