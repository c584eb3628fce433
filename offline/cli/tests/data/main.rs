//! Logs and tables: from files in every format to what serving reads, without skew.

mod ids;
mod kinds;
mod skew;
#[path = "../support/mod.rs"]
mod support;
mod table_data;
mod table_large;
mod tables;
mod zones;
