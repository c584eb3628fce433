//! Converts one field of a row to its raw value, label, weight or key.

use adclick::builder::enrich::Keys;
use arrow_array::Array;

use super::InputValue;
use super::columns::{InputKind, KeyColumn, KeyId};
use crate::cells::{Fault, Field, STRING, Scalar, boolean, cell};

/// A label: 0 or 1, or nothing.
pub(super) fn label(column: &str, field: Field<'_>) -> Result<Option<bool>, Fault> {
    let Some(cell) = field.one(column)?.filter(|cell| !cell.is_absent()) else { return Ok(None) };
    let is = match &cell {
        Scalar::Bytes(text) => {
            let text = text.trim_ascii();
            let number = || std::str::from_utf8(text).ok()?.parse::<f64>().ok();
            match text {
                b"0" => Some(0.0),
                b"1" => Some(1.0),
                b"t" | b"T" => Some(1.0),
                b"f" | b"F" => Some(0.0),
                _ => boolean(text).map(f64::from).or_else(number),
            }
        }
        Scalar::Float(x) => Some(*x),
        other => other.integer().map(|i| i as f64),
    };
    match is {
        Some(0.0) => Ok(Some(false)),
        Some(1.0) => Ok(Some(true)),
        _ => Err(Fault::new(column, "a label of 0 or 1 (or true, false)", &cell.show())),
    }
}

/// An id of the row's request or candidate.
pub(super) fn key(key: &KeyColumn, cell: &Scalar<'_>, keys: &mut Keys) -> Result<(), Fault> {
    let refuse = |expected: &'static str| Fault::new(&key.column, expected, &cell.show());
    let id = if key.integer {
        if cell.is_absent() {
            return Ok(());
        }
        cell.integer_id().ok_or_else(|| refuse("an integer id of 64 bits (raw = \"string\" takes others)"))?
    } else {
        cell.text_id().ok_or_else(|| refuse(STRING))?
    };
    match key.id {
        KeyId::User => keys.user = id,
        KeyId::Ad => keys.ad = id,
        KeyId::Advertiser => keys.advertiser = id,
        // Requests hold it in 32 bits.
        KeyId::Placement if id > u32::MAX.into() => return Err(refuse("a placement from 0 to 4294967295")),
        KeyId::Placement => keys.placement = id,
    }
    Ok(())
}

/// A weight: finite, 0 or more. A row of weight 0 has no effect. All digits are kept, so that multiplying all weights
/// by one number trains the same model.
pub(super) fn weight(column: &str, field: Field<'_>) -> Result<f64, Fault> {
    let cell = field.one(column)?.unwrap_or_else(|| b""[..].into());
    match cell.real() {
        Some(w) if w >= 0.0 => Ok(w),
        _ => Err(Fault::new(column, "a weight of 0 or more", &cell.show())),
    }
}

fn fault(column: &str, kind: InputKind, cell: &Scalar<'_>) -> Fault {
    let expected = match kind {
        InputKind::Number => "a finite number",
        InputKind::Text | InputKind::Texts(_) => STRING,
        InputKind::Integer | InputKind::Integers(_) => cell.expected_integer(),
        InputKind::Vector(..) => "a vector of finite numbers of the declared length",
    };
    Fault::new(column, expected, &cell.show())
}

/// Appends the raw value of one cell. In a number, NaN and the like mean missing.
fn single(
    column: &str,
    kind: InputKind,
    input: u32,
    cell: &Scalar<'_>,
    out: &mut Vec<InputValue>,
) -> Result<(), Fault> {
    let value = match kind {
        InputKind::Number => cell.number().map(|number| InputValue { input, number, id: 0 }),
        InputKind::Text | InputKind::Texts(_) => cell.text_id().map(|id| InputValue { input, number: 1.0, id }),
        InputKind::Integer | InputKind::Integers(_) => {
            cell.integer_id().map(|id| InputValue { input, number: 1.0, id })
        }
        InputKind::Vector(..) => None,
    };
    match value {
        Some(value) => out.push(value),
        None if !matches!(kind, InputKind::Vector(..)) && cell.is_absent() => {}
        None => return Err(fault(column, kind, cell)),
    }
    Ok(())
}

/// Appends the raw values of a field that holds a list.
fn list<'a>(
    column: &str,
    kind: InputKind,
    input: u32,
    cells: impl Iterator<Item = Result<Scalar<'a>, Fault>>,
    out: &mut Vec<InputValue>,
) -> Result<(), Fault> {
    if let InputKind::Vector(dim, _) = kind {
        let mut position = 0;
        for cell in cells {
            let cell = cell?;
            let number = cell.number().filter(|_| position < dim).ok_or_else(|| fault(column, kind, &cell))?;
            out.push(InputValue { input, number, id: u64::from(position) });
            position += 1;
        }
        if position != dim {
            return Err(Fault::new(
                column,
                "a vector of the declared length",
                format!("{position} of {dim} numbers").as_bytes(),
            ));
        }
        return Ok(());
    }
    for cell in cells {
        single(column, kind, input, &cell?, out)?;
    }
    Ok(())
}

/// Appends the raw values of a field; a missing field has none.
pub(super) fn values(
    column: &str,
    kind: InputKind,
    input: u32,
    field: Field<'_>,
    out: &mut Vec<InputValue>,
) -> Result<(), Fault> {
    match (field, kind) {
        (Field::Missing, _) => Ok(()),
        (Field::Text(text), InputKind::Texts(separator) | InputKind::Integers(separator)) => {
            let parts = text.split(|&b| b == separator).filter(|part| !part.is_empty());
            list(column, kind, input, parts.map(|part| Ok(part.into())), out)
        }
        (Field::Text(text), InputKind::Vector(_, separator)) => {
            list(column, kind, input, text.split(|&b| b == separator).map(|part| Ok(part.into())), out)
        }
        (Field::Text(text), _) => single(column, kind, input, &text.into(), out),
        // A vector with a single number.
        (Field::One(cell), InputKind::Vector(..)) => list(column, kind, input, std::iter::once(Ok(cell)), out),
        (Field::One(cell), _) => single(column, kind, input, &cell, out),
        (Field::List(items), InputKind::Texts(_) | InputKind::Integers(_) | InputKind::Vector(..)) => {
            let cells = (0..items.len()).filter_map(|i| cell(column, &items, i).transpose());
            list(column, kind, input, cells, out)
        }
        (Field::List(_), _) => Err(Fault::new(column, "a single value", b"a list")),
    }
}
