//! The columns of a `[[tables]]` entry: their types, where their cells come from, and the default row.

use adclick::builder::table::{Cell, Column, ColumnKind, MAX_ROW, RowLayout};
use anyhow::{Context, Result, anyhow, bail, ensure};

use super::raw;
use super::values::{id, list, plain, texts, typed};

/// The source of a table's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellSource {
    /// The data file's column; for a vector, either the one that holds it or one for each position.
    pub from: Vec<String>,
    /// Whether ids are integers (themselves); otherwise they are strings (hashed).
    pub integer: bool,
    /// The separator of a vector's values or of several ids within one text column.
    pub separator: u8,
}

/// Layout, sources and default row of a table's columns.
pub(super) fn columns_of(value: toml::Value) -> Result<(RowLayout, Vec<CellSource>, Vec<u8>)> {
    let toml::Value::Array(found) = value else {
        bail!("key `columns` is a {}; allowed: a list of tables {{ name = .., type = .. }}", value.type_str());
    };
    let mut columns = Vec::with_capacity(found.len());
    let mut cells = Vec::with_capacity(found.len());
    let mut defaults = Vec::with_capacity(found.len());
    for (i, value) in found.into_iter().enumerate() {
        let name = value.get("name").and_then(toml::Value::as_str).map(str::to_owned);
        let place = || name.as_ref().map_or(format!("columns[{i}]"), |n| format!("column `{n}`"));
        let (column, cell, default) = column(value).with_context(place)?;
        columns.push(column);
        cells.push(cell);
        defaults.push(default);
    }
    let layout = RowLayout::new(columns).context("key `columns`")?;
    let mut row = layout.missing();
    for (i, default) in defaults.iter().enumerate() {
        let Some(value) = default else { continue };
        put_default(&layout, &mut row, i, &cells[i], value)
            .with_context(|| format!("column `{}`: key `default`", layout.columns()[i].name))?;
    }
    Ok((layout, cells, row))
}

fn column(value: toml::Value) -> Result<(Column, CellSource, Option<toml::Value>)> {
    let keys: Vec<String> = value.as_table().into_iter().flatten().map(|(k, _)| k.clone()).collect();
    let raw: raw::TableColumn = typed(value)?;
    ensure!(plain(&raw.name), "key `name` = {:?}; allowed: letters, digits, `_` and `-`", raw.name);
    let (kind_name, further): (_, &[&str]) = match raw.kind {
        raw::CellType::F32 | raw::CellType::F16 => ("number", &[]),
        raw::CellType::Vector => ("vector", &raw::CELL_VECTOR),
        raw::CellType::U32 | raw::CellType::U64 => ("id", &raw::CELL_IDS),
    };
    let allowed = [&raw::CELL[..], further].concat();
    if let Some(key) = keys.iter().find(|k| !allowed.contains(&k.as_str())) {
        bail!("key `{key}` does not belong to a {kind_name} column; allowed: {}", list(&allowed));
    }
    let from = match &raw.from {
        Some(value) => texts("from", value)?,
        None => vec![raw.name.clone()],
    };
    let cap = raw.cap.unwrap_or(1);
    ensure!(cap > 0, "key `cap` = 0; allowed: 1 and more");
    let kind = match raw.kind {
        raw::CellType::F32 => ColumnKind::F32,
        raw::CellType::F16 => ColumnKind::F16,
        raw::CellType::U64 => ColumnKind::U64 { cap },
        raw::CellType::U32 => {
            ensure!(
                raw.raw != Some(raw::IdKind::String),
                "key `raw` = \"string\": hashed ids have 64 bits, so the type must be u64"
            );
            ColumnKind::U32 { cap }
        }
        raw::CellType::Vector => {
            let spread = (from.len() > 1).then_some(from.len());
            let dim = match (raw.dim, spread) {
                (None, None) => bail!("a vector needs the key `dim`, its number of values"),
                (Some(dim), None) => usize::from(dim),
                (None, Some(n)) => n,
                (Some(dim), Some(n)) => {
                    ensure!(usize::from(dim) == n, "key `dim` = {dim}, but `from` names {n} columns");
                    n
                }
            };
            ensure!((1..=MAX_ROW / 2).contains(&dim), "key `dim` = {dim}; allowed: 1 to {}", MAX_ROW / 2);
            ColumnKind::Vector { dim: dim as u16 }
        }
    };
    ensure!(
        !from.is_empty() && (from.len() == 1 || raw.kind == raw::CellType::Vector),
        "key `from` names {} columns; allowed: one, or of a vector one for each position",
        from.len()
    );
    let integer = raw.kind == raw::CellType::U32 || raw.raw == Some(raw::IdKind::Integer);
    let separator = match raw.separator.as_deref().unwrap_or(" ").as_bytes() {
        &[byte] => byte,
        _ => bail!("key `separator`; allowed: one byte"),
    };
    Ok((Column { name: raw.name, kind }, CellSource { from, integer, separator }, raw.default))
}

fn put_default(
    layout: &RowLayout,
    row: &mut [u8],
    column: usize,
    source: &CellSource,
    value: &toml::Value,
) -> Result<()> {
    let number = |value: &toml::Value| match value {
        toml::Value::Float(x) => Ok(*x as f32),
        toml::Value::Integer(x) => Ok(*x as f32),
        other => Err(anyhow!("found a {}, expected a number", other.type_str())),
    };
    let each = |value: &toml::Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    match layout.columns()[column].kind {
        ColumnKind::F32 | ColumnKind::F16 => layout.put(row, column, Cell::Number(number(value)?))?,
        ColumnKind::Vector { .. } => {
            let numbers: Vec<f32> = each(value).iter().map(number).collect::<Result<_>>()?;
            layout.put(row, column, Cell::Vector(&numbers))?;
        }
        ColumnKind::U32 { .. } | ColumnKind::U64 { .. } => {
            let ids: Vec<u64> = each(value).iter().map(|v| id(v, source.integer)).collect::<Result<_>>()?;
            layout.put(row, column, Cell::Ids(&ids))?;
        }
    }
    Ok(())
}
