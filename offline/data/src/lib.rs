//! The inputs of offline work: data files, click logs, schema files, and the feature tables built from them.
//!
//! Each module uses those before it: [`cells`] (files of any kind as records of cells), [`logs`] (rows with labels,
//! times, keys and raw values), [`schema_file`], [`tables`], [`schema_infer`]. [`decision_log`] reads
//! what engines log of decisions and events.

pub(crate) mod cells;
pub mod decision_log;
pub mod files;
pub mod logs;
pub mod progress;
pub mod schema_file;
pub mod schema_infer;
pub mod setting;
pub mod tables;
pub mod time;
