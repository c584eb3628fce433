//! Feature tables from data files: Parquet, Arrow IPC and CSV become table files that a bundle carries.

mod cells;
mod read;

pub use read::{DataFiles, FileRows, TableRow};
