//! How a table is filled. The table file keeps this, so that the table can be rebuilt from new data without the schema
//! file.

use adclick::builder::table::Table;
use anyhow::{Context, Result};

use crate::setting::{BadSetting, Setting, require};
use serde::{Deserialize, Serialize};

use crate::schema_file::{CellSource, IdColumn, TableFile};

/// The provenance document of a table.
#[derive(Serialize, Deserialize)]
struct Document {
    table: Definition,
}

#[derive(Serialize, Deserialize)]
struct Definition {
    key: Vec<Id>,
    columns: Vec<CellDefinition>,
}

#[derive(Serialize, Deserialize)]
struct Id {
    column: String,
    raw: Raw,
}

#[derive(Serialize, Deserialize)]
struct CellDefinition {
    name: String,
    from: Vec<String>,
    raw: Raw,
    separator: String,
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Raw {
    String,
    Integer,
}

impl Raw {
    fn of(integer: bool) -> Self {
        if integer { Self::Integer } else { Self::String }
    }
}

/// The provenance document of a table.
///
/// # Errors
/// None that is known of: names are text.
pub(super) fn provenance(table: &TableFile) -> Result<String> {
    let key = table.key.iter().map(|id| Id { column: id.column.clone(), raw: Raw::of(id.integer) });
    let columns = table.layout.columns().iter().zip(&table.cells).map(|(column, cell)| CellDefinition {
        name: column.name.clone(),
        from: cell.from.clone(),
        raw: Raw::of(cell.integer),
        separator: char::from(cell.separator).to_string(),
    });
    let table = Definition { key: key.collect(), columns: columns.collect() };
    toml::to_string(&Document { table }).context("the table's definition")
}

/// How the rows of a packed table were made, for making new ones.
///
/// # Errors
/// The table file does not say it.
pub fn of_packed(table: &Table) -> Result<TableFile> {
    let document: Document =
        toml::from_str(table.provenance()).map_err(|e| anyhow::anyhow!("{}", e.message())).map_err(|e| {
            let text = format!("table `{}` does not say how its rows were made ({e}): give a schema", table.name());
            BadSetting::new(&[Setting::Schema], text)
        })?;
    let columns = table.layout().columns();
    let sources = document.table.columns;
    require!(
        columns.len() == sources.len() && columns.iter().zip(&sources).all(|(c, s)| c.name == s.name),
        [Schema],
        "table `{}` says how rows of other columns were made: give a schema",
        table.name()
    );
    let key = document.table.key.into_iter();
    let cells = sources.into_iter().map(|s| CellSource {
        from: s.from,
        integer: s.raw == Raw::Integer,
        separator: s.separator.bytes().next().unwrap_or(b' '),
    });
    Ok(TableFile {
        name: table.name().to_owned(),
        key: key.map(|id| IdColumn { column: id.column, integer: id.raw == Raw::Integer }).collect(),
        cells: cells.collect(),
        layout: (**table.layout()).clone(),
        default: table.default_row().to_vec(),
        fresh_for_s: table.fresh_for_s(),
        shards: table.shard().count,
    })
}
