//! The output of `adclick pack`.

use adclick::builder::Named;
use std::io::Write;
use std::path::Path;

use adclick_data::tables::TableSummary;
use adclick_data::time;
use adclick_train::jobs::BundleTarget;
use adclick_train::jobs::pack::{Done, PackedModel};
use adclick_train::pack::compare::Proof;
use adclick_train::pack::taken;
use anyhow::Result;
use serde_json::{Value, json};

/// A bundle was written.
pub(super) fn bundle(target: &BundleTarget, done: &Done, as_json: bool) -> Result<()> {
    let Done { generation, bytes, tables, wanted, here, reason, .. } = done;
    let generation = format!("{generation:016x}");
    let model = done.model.as_deref();
    let (notes, warnings) = model.map_or((&[][..], &[][..]), |packed| (&packed.notes[..], &packed.warnings[..]));
    let goldens = model.map(|packed| packed.spec.goldens.len());
    let mut out = crate::stdout::lock();
    if as_json {
        let mut summary = json!({
            "bundle": target.path.display().to_string(),
            "generation": generation,
            "bytes": bytes,
            "published": target.publish,
            "precision": { "wanted": wanted.name(), "here": here.name(), "reason": reason },
            "notes": notes,
            "warnings": warnings,
            "tables": tables.iter().map(value).collect::<Result<Vec<_>>>()?,
        });
        if let Some(packed) = model {
            summary["goldens"] = packed.spec.goldens.len().into();
            summary["layers"] = packed.taken.iter().map(taken::TakenLayer::json).collect();
            summary["assumed"] = taken::assumed(&packed.taken).into();
            summary["left_out"] = packed.left_out.clone().into();
            summary["compared"] = packed.proof.as_ref().map_or(Value::Null, Proof::json);
        }
        writeln!(out, "{summary}")?;
        return Ok(());
    }
    for note in notes {
        writeln!(out, "{note}")?;
    }
    if let Some(packed) = model {
        for layer in &packed.taken {
            writeln!(out, "  {}", layer.text())?;
        }
        compared(&mut out, packed)?;
    }
    for table in tables {
        text(&mut out, table)?;
    }
    writeln!(
        out,
        "packed generation {generation} into {}: {bytes} bytes{}, precision {}{}",
        target.path.display(),
        goldens.map_or(String::new(), |n| format!(", {n} golden requests")),
        wanted.name(),
        if target.publish { ", published" } else { "" }
    )?;
    Ok(())
}

/// Whether the model was compared with the original.
fn compared(out: &mut impl Write, packed: &PackedModel) -> Result<()> {
    if let Some(proof) = &packed.proof {
        if let Some(note) = &proof.note {
            writeln!(out, "{note}")?;
        }
        writeln!(out, "{}", proof.text())?;
        return Ok(());
    }
    let assumed = taken::assumed(&packed.taken);
    let assumed = if assumed.is_empty() { String::new() } else { format!("; assumed: {}", assumed.join(", ")) };
    writeln!(
        out,
        "not compared with the model that it came from{assumed}. --goldens INPUTS --expect OUTPUTS compares it (docs/pack.md)"
    )?;
    Ok(())
}

/// Table files were written, and nothing else.
pub(super) fn tables(directory: &Path, tables: &[TableSummary], as_json: bool) -> Result<()> {
    let mut out = crate::stdout::lock();
    if as_json {
        let summary = json!({
            "directory": directory.display().to_string(),
            "tables": tables.iter().map(value).collect::<Result<Vec<_>>>()?,
        });
        writeln!(out, "{summary}")?;
        return Ok(());
    }
    for table in tables {
        text(&mut out, table)?;
    }
    Ok(())
}

fn value(table: &TableSummary) -> Result<Value> {
    let mut value = serde_json::to_value(table)?;
    value["bytes_per_row"] = per_row(table).into();
    value["files"] = table
        .files
        .iter()
        .map(|f| f.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .into();
    Ok(value)
}

fn per_row(table: &TableSummary) -> f64 {
    table.bytes as f64 / table.rows.max(1) as f64
}

fn text(out: &mut impl Write, table: &TableSummary) -> Result<()> {
    let elsewhere = if table.elsewhere > 0 { format!(", {} of other shards", table.elsewhere) } else { String::new() };
    writeln!(
        out,
        "table {}: {} rows ({} replaced, {} malformed{elsewhere}), {} bytes, {:.1} per row, {:.1} s, data of {}",
        table.name,
        table.rows,
        table.replaced,
        table.bad_rows,
        table.bytes,
        per_row(table),
        table.seconds,
        time::show(table.built_us)
    )?;
    for column in &table.columns {
        writeln!(out, "  {:<28} {:<20} {:>6.1}% missing", column.name, column.kind, 100.0 * column.missing)?;
    }
    Ok(())
}
