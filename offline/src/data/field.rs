//! One field of a row to its raw value. The same for text, Parquet and Arrow, for rows and for tables.

use std::borrow::Cow;

use adclick::enrich::Keys;
use adclick::hash::category_id;
use adclick::types::Value;
use arrow_array::{Array, ArrayRef};

use super::array;
use super::bad::Fault;
use super::columns::{InputKind, KeyColumn, KeyId};

/// What stands in one column of a record.
pub(crate) enum Field<'a> {
    /// Nothing: null, or an empty text.
    Missing,
    /// A text, which may hold several values.
    Text(&'a [u8]),
    /// One value that is no text.
    One(Cell<'a>),
    /// A list.
    List(ArrayRef),
}

impl<'a> Field<'a> {
    /// The field of a text: empty is missing.
    pub(crate) fn text(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::Missing } else { Self::Text(bytes) }
    }

    /// Its one value, if it has one.
    ///
    /// # Errors
    /// A list.
    pub(crate) fn one(self, column: &str) -> Result<Option<Cell<'a>>, Fault> {
        match self {
            Self::Missing => Ok(None),
            Self::Text(text) => Ok(Some(text.into())),
            Self::One(cell) => Ok(Some(cell)),
            Self::List(_) => Err(Fault::new(column, "a single value", b"a list")),
        }
    }
}

/// One value as a file holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell<'a> {
    /// A text, bytes, or the text of a decimal.
    Bytes(Cow<'a, [u8]>),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01, in UTC when the column's type names a zone, else on a clock that it does not name.
    Timestamp(i64, Option<&'a str>),
}

impl<'a> From<&'a [u8]> for Cell<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

/// Integers up to here are exact in an f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A word of ASCII letters, whatever their case.
fn is_word(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text.len() {
        4 if is_word(text, &["true"]) => Some(true),
        5 if is_word(text, &["false"]) => Some(false),
        _ => None,
    }
}

impl Cell<'_> {
    /// As a message shows it.
    pub(crate) fn show(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Integer(i) => i.to_string().into_bytes(),
            Self::Float(x) => x.to_string().into_bytes(),
            Self::Boolean(b) => b.to_string().into_bytes(),
            Self::Date(days) => crate::time::date(*days).into_bytes(),
            Self::Timestamp(us, zone) => {
                let shown = crate::time::show(*us);
                if zone.is_some() { shown } else { shown.trim_end_matches('Z').to_owned() }.into_bytes()
            }
        }
    }

    /// Whether it says, where a number belongs, that there is none: NaN, and what exports write for null.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Bytes(text) => {
                // Few numbers begin with one of these, so that most are not compared with words.
                let text = text.trim_ascii();
                matches!(text.first(), None | Some(b'n' | b'N' | b'-' | b'\\'))
                    && (text.is_empty() || is_word(text, &["nan", "-nan", "na", "null", "none", "\\n"]))
            }
            Self::Float(x) => x.is_nan(),
            _ => false,
        }
    }

    /// The finite number that it is or spells; a boolean is 0 or 1.
    pub(crate) fn number(&self) -> Option<f32> {
        let x = match self {
            Self::Bytes(text) => {
                let text = text.trim_ascii();
                match std::str::from_utf8(text).ok()?.parse::<f32>() {
                    Ok(x) => x,
                    Err(_) => boolean(text)?.into(),
                }
            }
            Self::Integer(i) => *i as f32,
            Self::Float(x) => *x as f32,
            Self::Boolean(b) => (*b).into(),
            Self::Date(_) | Self::Timestamp(..) => return None,
        };
        x.is_finite().then_some(x)
    }

    /// The whole number that it is or spells: of floats those up to 2^53, which are exact.
    pub(crate) fn integer(&self) -> Option<i128> {
        let whole = |x: f64| (x.fract() == 0.0 && x.abs() <= EXACT).then_some(x as i128);
        match self {
            Self::Bytes(text) => {
                let text = std::str::from_utf8(text).ok()?.trim();
                // "2.0" and "2.00" are 2, whatever its length.
                let digits = match text.split_once('.') {
                    Some((digits, zeros)) if zeros.bytes().all(|b| b == b'0') => digits,
                    _ => text,
                };
                let parsed = digits.parse().ok();
                parsed
                    .or_else(|| boolean(text.as_bytes()).map(i128::from))
                    .or_else(|| text.parse().ok().and_then(whole))
            }
            Self::Integer(i) => Some(*i),
            Self::Float(x) => whole(*x),
            Self::Boolean(b) => Some(i128::from(*b)),
            Self::Date(_) | Self::Timestamp(..) => None,
        }
    }

    /// An integer category is its own id, in two's complement when negative.
    pub(crate) fn integer_id(&self) -> Option<u64> {
        let i = self.integer()?;
        u64::try_from(i).ok().or_else(|| i64::try_from(i).ok().map(|i| i as u64))
    }

    /// A string category is hashed: of integers, booleans and dates the text that CSV has for them. A float has no one
    /// text.
    pub(crate) fn text_id(&self) -> Option<u64> {
        match self {
            Self::Bytes(text) => Some(category_id(text)),
            Self::Integer(_) | Self::Boolean(_) | Self::Date(_) => Some(category_id(&self.show())),
            Self::Float(_) | Self::Timestamp(..) => None,
        }
    }

    /// What an integer of 64 bits would be, for a cell that is none.
    pub(crate) fn expected_integer(&self) -> &'static str {
        match self {
            Self::Float(x) if x.is_finite() && x.fract() == 0.0 => {
                "an integer: floats are exact up to 2^53 only, so the file may have lost digits"
            }
            _ => "an integer of 64 bits",
        }
    }
}

/// A label: 0 or 1, or nothing.
pub(super) fn label(column: &str, field: Field<'_>) -> Result<Option<bool>, Fault> {
    let Some(cell) = field.one(column)?.filter(|cell| !cell.is_absent()) else { return Ok(None) };
    let is = match &cell {
        Cell::Bytes(text) => {
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
        Cell::Float(x) => Some(*x),
        other => other.integer().map(|i| i as f64),
    };
    match is {
        Some(0.0) => Ok(Some(false)),
        Some(1.0) => Ok(Some(true)),
        _ => Err(Fault::new(column, "a label of 0 or 1 (or true, false)", &cell.show())),
    }
}

/// An id of the row's request or candidate.
pub(super) fn key(key: &KeyColumn, cell: &Cell<'_>, keys: &mut Keys) -> Result<(), Fault> {
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
        // Requests have 32 bits for it.
        KeyId::Placement if id > u32::MAX.into() => return Err(refuse("a placement from 0 to 4294967295")),
        KeyId::Placement => keys.placement = id,
    }
    Ok(())
}

/// What a string category takes.
pub(crate) const STRING: &str = "a string or an integer (a float or time has no one text that could be hashed; \
                                 raw = \"integer\" takes floats that are whole)";

/// A weight: finite, 0 or more. A row of weight 0 counts nothing.
pub(super) fn weight(column: &str, field: Field<'_>) -> Result<f32, Fault> {
    let cell = field.one(column)?.unwrap_or_else(|| b""[..].into());
    match cell.number() {
        Some(w) if w >= 0.0 => Ok(w),
        _ => Err(Fault::new(column, "a weight of 0 or more", &cell.show())),
    }
}

fn fault(column: &str, kind: InputKind, cell: &Cell<'_>) -> Fault {
    let expected = match kind {
        InputKind::Number => "a finite number",
        InputKind::Text | InputKind::Texts(_) => STRING,
        InputKind::Integer | InputKind::Integers(_) => cell.expected_integer(),
        InputKind::Vector(..) => "a vector of finite numbers of the declared length",
    };
    Fault::new(column, expected, &cell.show())
}

/// Appends the raw value of one cell. Where a number belongs, NaN and the like are missing.
fn single(column: &str, kind: InputKind, feature: u32, cell: &Cell<'_>, out: &mut Vec<Value>) -> Result<(), Fault> {
    let value = match kind {
        InputKind::Number => cell.number().map(|number| Value { feature, number, id: 0 }),
        InputKind::Text | InputKind::Texts(_) => cell.text_id().map(|id| Value { feature, number: 1.0, id }),
        InputKind::Integer | InputKind::Integers(_) => cell.integer_id().map(|id| Value { feature, number: 1.0, id }),
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
    feature: u32,
    cells: impl Iterator<Item = Result<Cell<'a>, Fault>>,
    out: &mut Vec<Value>,
) -> Result<(), Fault> {
    if let InputKind::Vector(dim, _) = kind {
        let mut position = 0;
        for cell in cells {
            let cell = cell?;
            let number = cell.number().filter(|_| position < dim).ok_or_else(|| fault(column, kind, &cell))?;
            out.push(Value { feature, number, id: u64::from(position) });
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
        single(column, kind, feature, &cell?, out)?;
    }
    Ok(())
}

/// Appends the raw values of a field; a field that is missing has none.
pub(super) fn values(
    column: &str,
    kind: InputKind,
    feature: u32,
    field: Field<'_>,
    out: &mut Vec<Value>,
) -> Result<(), Fault> {
    match (field, kind) {
        (Field::Missing, _) => Ok(()),
        (Field::Text(text), InputKind::Texts(separator) | InputKind::Integers(separator)) => {
            let parts = text.split(|&b| b == separator).filter(|part| !part.is_empty());
            list(column, kind, feature, parts.map(|part| Ok(part.into())), out)
        }
        (Field::Text(text), InputKind::Vector(_, separator)) => {
            list(column, kind, feature, text.split(|&b| b == separator).map(|part| Ok(part.into())), out)
        }
        (Field::Text(text), _) => single(column, kind, feature, &text.into(), out),
        // A vector of one number.
        (Field::One(cell), InputKind::Vector(..)) => list(column, kind, feature, std::iter::once(Ok(cell)), out),
        (Field::One(cell), _) => single(column, kind, feature, &cell, out),
        (Field::List(items), InputKind::Texts(_) | InputKind::Integers(_) | InputKind::Vector(..)) => {
            let cells = (0..items.len()).filter_map(|i| array::cell(column, &items, i).transpose());
            list(column, kind, feature, cells, out)
        }
        (Field::List(_), _) => Err(Fault::new(column, "a single value", b"a list")),
    }
}
