//! The library behind the `adclick` command: what happens offline, from logs to the next model.

pub mod bundle;
pub mod cmd;
pub mod fit;
pub mod measure;
pub mod pack;
pub mod schema_file;
