//! The arguments that name tables.

use std::path::PathBuf;

use adclick::builder::table::Duplicates;
use adclick_data::logs::BadLimit;
use adclick_train::jobs::pack::{GivenTable, GivenTables};
use clap::ValueEnum;

/// What happens to a key that is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cmd) enum DuplicateKeys {
    /// Fail and name both rows.
    Refuse,
    /// Keep the row that is given last.
    Last,
}

/// Which tables, and how they are built.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cmd) struct BuildArgs {
    /// A feature table: CSV (also .gz, .zst), Parquet or Arrow IPC files, or a packed table file, which is taken as it is.
    #[arg(long = "table", value_name = "NAME=FILE[,FILE...]", value_parser = given)]
    tables: Vec<GivenTable>,
    /// What happens to a key that is given twice.
    #[arg(long, value_enum, default_value_t = DuplicateKeys::Refuse)]
    duplicates: DuplicateKeys,
    /// The time up to which the tables' data goes: RFC 3339, or seconds since 1970 [default: the newest change of a table's files].
    #[arg(long, value_name = "TIME", value_parser = as_of)]
    as_of: Option<i64>,
    /// MB of rows that wait in memory while a table is built.
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
}

/// The same with what only packing needs.
#[derive(Debug, clap::Args)]
pub(super) struct TableArgs {
    #[command(flatten)]
    build: BuildArgs,
    /// Build only this shard (counted from 0) of tables that have shards.
    #[arg(long, value_name = "K")]
    shard: Option<u32>,
    /// Leave out up to this many malformed rows of a table, then fail [default: 10, or a thousandth of the rows].
    #[arg(long, value_name = "ROWS")]
    max_bad_rows: Option<u64>,
}

fn given(text: &str) -> Result<GivenTable, String> {
    let (name, paths) = text.split_once('=').ok_or("expected NAME=FILE, or NAME=FILE,FILE for several")?;
    if paths.is_empty() || paths.split(',').any(str::is_empty) {
        return Err("expected the name of a file after `=` and each comma".into());
    }
    Ok(GivenTable { name: name.to_owned(), paths: paths.split(',').map(PathBuf::from).collect() })
}

fn as_of(text: &str) -> Result<i64, String> {
    let time = adclick_data::time::parse(text).map_err(|e| e.to_string())?;
    // Overlay writes use the same limit. A later time is a mistake: such a table would count as fresh for ever.
    if !(0..=i64::from(u32::MAX) * 1_000_000).contains(&time) {
        return Err(format!(
            "`{text}` is {}, expected 1970 to 2106: a number is in seconds",
            adclick_data::time::show(time)
        ));
    }
    Ok(time)
}

impl BuildArgs {
    /// The tables, all of their shards.
    pub(in crate::cmd) fn tables(&self, max_bad_rows: Option<u64>) -> GivenTables {
        GivenTables {
            given: self.tables.clone(),
            duplicates: match self.duplicates {
                DuplicateKeys::Refuse => Duplicates::Refuse,
                DuplicateKeys::Last => Duplicates::KeepLast,
            },
            as_of: self.as_of,
            memory: (self.memory as usize) << 20,
            shard: None,
            limit: max_bad_rows.map_or(BadLimit::Default, BadLimit::Rows),
        }
    }
}

impl TableArgs {
    /// The tables, or the one shard that was asked for.
    pub(super) fn tables(&self) -> GivenTables {
        GivenTables { shard: self.shard, ..self.build.tables(self.max_bad_rows) }
    }
}
