//! Data files of any kind as records of cells: text, Parquet and Arrow alike.

mod array;
mod delimited;
mod fault;
mod field;
mod open;
mod reader;
mod records;

pub(crate) use array::cell;
pub(crate) use delimited::Delimited;
pub(crate) use fault::Fault;
pub(crate) use field::{Field, STRING, Scalar, boolean};
pub(crate) use open::{Opened, open, size};
pub(crate) use reader::{Header, RecordReader};
