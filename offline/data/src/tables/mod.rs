//! Builds feature tables from data files: Parquet, Arrow IPC and CSV become table files that a bundle carries.

mod build;
mod cells;
mod definition;
mod read;

pub use build::{ColumnSummary, TableOptions, TableSummary, build, file_name};
pub use definition::of_packed;
pub use read::{DataFiles, FileRows, TableRow};
