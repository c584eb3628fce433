//! Output of `adclick inspect` for a feature table.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use adclick::builder::table::{ColumnKind, RowLayout, Table};
use adclick::{category_id, composite_key};
use adclick_data::schema_file::TableFile;
use adclick_data::setting::require;
use adclick_data::tables::of_packed;
use adclick_data::time;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// A table file.
pub(super) fn describe(table: &Table, text: &mut String) -> Result<Value> {
    let (layout, shard) = (table.layout(), table.shard());
    let definition = of_packed(table).ok();
    write!(text, "\ntable {}", table.name())?;
    if shard.count > 1 {
        write!(text, " · shard {} of {}", shard.index, shard.count)?;
    }
    writeln!(text, " · {} rows in {} slots of {} bytes", table.len(), table.slots(), table.stride())?;
    let built = time::show(table.built_us());
    let age = age(table.built_us());
    let fresh_for = table.fresh_for_s();
    let stale = age.is_some_and(|age| fresh_for > 0 && age > fresh_for);
    let how_old = age.map_or("in the future".to_owned(), |age| format!("{} ago", time::show_length(age)));
    let limit = match fresh_for {
        0 => "its age does not matter".to_owned(),
        limit => format!("fresh for {}{}", time::show_length(limit), if stale { ": STALE" } else { "" }),
    };
    writeln!(text, "  data of {built}, {how_old}; {limit}")?;
    if let Some(definition) = &definition {
        let key: Vec<String> =
            definition.key.iter().map(|id| format!("{} ({})", id.column, form(id.integer))).collect();
        writeln!(text, "  key {}", key.join(", "))?;
    }
    writeln!(text, "  {:<28} {:<20} {:<28} default row", "column", "type", "from")?;
    let mut columns = Vec::new();
    for (i, column) in layout.columns().iter().enumerate() {
        let source = definition.as_ref().map(|d| &d.cells[i]);
        let from = source.map_or(String::new(), |s| s.from.join(", "));
        let default = cell(layout, table.default_row(), i, definition.as_ref());
        writeln!(text, "  {:<28} {:<20} {from:<28} {}", column.name, column.kind.to_string(), show(&default))?;
        columns.push(json!({
            "name": column.name,
            "type": column.kind.to_string(),
            "from": source.map(|s| s.from.clone()),
            "default": default,
        }));
    }
    Ok(json!({
        "name": table.name(),
        "rows": table.len(),
        "slots": table.slots(),
        "slot_bytes": table.stride(),
        "row_bytes": layout.width(),
        "shard": { "index": shard.index, "count": shard.count },
        "built": built,
        "built_us": table.built_us(),
        "age_s": age,
        "fresh_for_s": fresh_for,
        "stale": stale,
        "columns": columns,
        "sections": table.sections().iter().map(|s| json!({ "name": s.name, "bytes": s.len })).collect::<Vec<_>>(),
        "provenance": table.provenance(),
    }))
}

/// The row of a key in the files of one table.
pub(super) fn row(tables: &[Table], ids: &[String], text: &mut String) -> Result<Value> {
    let Some(first) = tables.first() else { bail!("there is no table to look the key up in") };
    let definition = of_packed(first).ok();
    let key = key(ids, definition.as_ref()).with_context(|| format!("table `{}`", first.name()))?;
    let found = tables.iter().find_map(|table| table.get(key));
    let (row, name) = (found.unwrap_or(first.default_row()), first.name());
    writeln!(text, "\nkey {} of table {name}, {key:#018x}", ids.join(", "))?;
    if found.is_none() {
        let shards = first.shard().count as usize;
        let why = if tables.len() < shards {
            format!(" (of {shards} shards {} are here)", tables.len())
        } else {
            String::new()
        };
        writeln!(text, "  not there{why}; the default row:")?;
    }
    let mut cells = json!({});
    for (i, column) in first.layout().columns().iter().enumerate() {
        let value = cell(first.layout(), row, i, definition.as_ref());
        writeln!(text, "  {:<28} {}", column.name, show(&value))?;
        cells[&column.name] = value;
    }
    Ok(json!({ "table": name, "key": format!("{key:016x}"), "found": found.is_some(), "row": cells }))
}

/// The key made of the ids: as the table's data files hold them, or the key itself as 0x and 16 digits.
fn key(ids: &[String], definition: Option<&TableFile>) -> Result<u64> {
    if let [one] = ids
        && let Some(digits) = one.strip_prefix("0x")
    {
        return u64::from_str_radix(digits, 16).with_context(|| format!("`{one}` is not a key of 64 bits"));
    }
    let definition = definition
        .context("the file does not say how its keys are made: give the key itself, as 0x and 16 hexadecimal digits")?;
    require!(
        ids.len() == definition.key.len(),
        [Key],
        "{} ids are given, its key has {}: give one id for each of {}",
        ids.len(),
        definition.key.len(),
        definition.key.iter().map(|k| k.column.as_str()).collect::<Vec<_>>().join(", ")
    );
    let ids = ids.iter().zip(&definition.key).map(|(text, part)| {
        if !part.integer {
            return Ok(category_id(text.as_bytes()));
        }
        let negative = text.parse::<i64>().map(|i| i as u64);
        text.parse::<u64>().or(negative).ok().with_context(|| format!("{}: `{text}` is not an integer", part.column))
    });
    let key = composite_key(&ids.collect::<Result<Vec<u64>>>()?);
    ensure!(key != 0, "id 0 means `unknown` and has no row");
    Ok(key)
}

/// A cell; null = missing. Ids that are hashes are shown in hexadecimal.
fn cell(layout: &RowLayout, row: &[u8], column: usize, definition: Option<&TableFile>) -> Value {
    if layout.is_missing(row, column) {
        return Value::Null;
    }
    let kind = layout.columns()[column].kind;
    // The shortest text that f32 needs, not f64.
    let number = |position| {
        layout.number(row, column, position).map_or(Value::Null, |x| json!(x.to_string().parse::<f64>().ok()))
    };
    match kind {
        ColumnKind::F32 | ColumnKind::F16 => number(0),
        ColumnKind::Vector { dim } => (0..usize::from(dim)).map(number).collect(),
        ColumnKind::U32 { .. } | ColumnKind::U64 { .. } => {
            let integer = definition.is_none_or(|d| d.cells[column].integer);
            let id = |id: u64| if integer { json!(id) } else { json!(format!("{id:#018x}")) };
            layout.ids(row, column).map(id).collect()
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "missing".into(),
        Value::Array(all) => all.iter().map(show).collect::<Vec<_>>().join(" "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn form(integer: bool) -> &'static str {
    if integer { "integer" } else { "string" }
}

/// Seconds since then; `None` when it is in the future.
fn age(built_us: i64) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_micros() as i64;
    u64::try_from(now.checked_sub(built_us)?).ok().map(|us| us / 1_000_000)
}
