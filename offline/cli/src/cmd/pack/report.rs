//! What `adclick pack` says when it is done.

use std::io::Write;

use adclick::builder::bundle::Manifest;
use anyhow::Result;
use serde_json::{Value, json};

use super::Args;
use super::base::Base;
use super::model::Packed;
use adclick_data::tables::Summary;
use adclick_data::time;
use adclick_train::pack::compare::Proof;
use adclick_train::pack::taken;

/// Of a bundle.
pub(super) fn bundle(args: &Args, base: &Base, generation: u64, tables: &[Summary]) -> Result<()> {
    let manifest = Manifest::read(&args.out)?;
    let bytes: u64 = manifest.files.iter().map(|f| f.bytes).sum();
    let generation = format!("{generation:016x}");
    let model = match base {
        Base::Model(packed) => Some(&**packed),
        _ => None,
    };
    let (notes, warnings) = model.map_or((&[][..], &[][..]), |packed| (&packed.notes[..], &packed.warnings[..]));
    let goldens = model.map(|packed| packed.spec.goldens.len());
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(text) = model.and_then(unproven) {
        eprintln!("warning: {text}");
    }
    let generation_here = adclick_train::bundle::open_untouched(&args.out)?;
    let (wanted, precision, reason) = generation_here.precision();
    if let Some(reason) = reason {
        eprintln!("warning: {} would be served exact here: {reason}", wanted.name());
    }
    warn_of_bad(tables);
    let mut out = crate::stdout::lock();
    if args.json {
        let mut summary = json!({
            "bundle": args.out.display().to_string(),
            "generation": generation,
            "bytes": bytes,
            "published": args.publish,
            "precision": { "wanted": wanted.name(), "here": precision.name(), "reason": reason },
            "notes": notes,
            "warnings": warnings,
            "tables": tables.iter().map(value).collect::<Result<Vec<_>>>()?,
        });
        if let Some(packed) = model {
            summary["goldens"] = packed.spec.goldens.len().into();
            summary["layers"] = packed.taken.iter().map(taken::Layer::json).collect();
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
        args.out.display(),
        goldens.map_or(String::new(), |n| format!(", {n} golden requests")),
        wanted.name(),
        if args.publish { ", published" } else { "" }
    )?;
    Ok(())
}

/// What may be otherwise than it was taken, for all that is known.
fn unproven(packed: &Packed) -> Option<String> {
    if let Some(proof) = &packed.proof {
        let untold = proof.untold.join("; ");
        return (!untold.is_empty()).then(|| {
            format!("the outputs fit as well {untold}: these rows do not tell; give more, and different ones")
        });
    }
    let activations = taken::assumed(&packed.taken).into_iter().find(|text| text.starts_with("activation"))?;
    Some(format!(
        "nothing proves the {activations}: compare with --goldens INPUTS --expect OUTPUTS, or say it in the schema"
    ))
}

/// Whether the model was compared with the one that it came from.
fn compared(out: &mut impl Write, packed: &Packed) -> Result<()> {
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

/// Of table files alone.
pub(super) fn tables(args: &Args, tables: &[Summary]) -> Result<()> {
    warn_of_bad(tables);
    let mut out = crate::stdout::lock();
    if args.json {
        let summary = json!({
            "directory": args.out.display().to_string(),
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

fn warn_of_bad(tables: &[Summary]) {
    for table in tables.iter().filter(|t| t.bad_rows > 0) {
        eprintln!("warning: table {}: {} malformed rows were left out, the first:", table.name, table.bad_rows);
        for message in &table.bad {
            eprintln!("  {message}");
        }
    }
}

fn value(table: &Summary) -> Result<Value> {
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

fn per_row(table: &Summary) -> f64 {
    table.bytes as f64 / table.rows.max(1) as f64
}

fn text(out: &mut impl Write, table: &Summary) -> Result<()> {
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
