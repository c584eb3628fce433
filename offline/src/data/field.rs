//! One field of a row to its raw value. The same for text and Parquet.

use adclick::enrich::Keys;
use adclick::hash::category_id;
use adclick::types::Value;

use super::bad::Fault;
use super::columns::{InputKind, KeyColumn, KeyId, TimeFormat};

/// A field as a file holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Bytes(&'a [u8]),
    Integer(i128),
    Float(f64),
}

impl Cell<'_> {
    /// As a message shows it.
    pub(crate) fn show(self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Integer(i) => i.to_string().into_bytes(),
            Self::Float(x) => x.to_string().into_bytes(),
        }
    }

    /// The finite number that it is or spells.
    pub(crate) fn number(self) -> Option<f32> {
        let x = match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse::<f32>().ok()?,
            Self::Integer(i) => i as f32,
            Self::Float(x) => x as f32,
        };
        x.is_finite().then_some(x)
    }

    /// An integer category is its own id, in two's complement when negative.
    pub(crate) fn integer_id(self) -> Option<u64> {
        let i = match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse::<i128>().ok()?,
            Self::Integer(i) => i,
            Self::Float(_) => return None,
        };
        u64::try_from(i).ok().or_else(|| i64::try_from(i).ok().map(|i| i as u64))
    }

    /// A string category is hashed.
    pub(crate) fn text_id(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(category_id(bytes)),
            Self::Integer(_) | Self::Float(_) => None,
        }
    }
}

/// A label: 0 or 1.
pub(super) fn label(column: &str, cell: Cell<'_>) -> Result<bool, Fault> {
    match cell {
        Cell::Bytes(b"0") | Cell::Integer(0) => Ok(false),
        Cell::Bytes(b"1") | Cell::Integer(1) => Ok(true),
        Cell::Float(x) if x == 0.0 || x == 1.0 => Ok(x == 1.0),
        other => Err(Fault::new(column, "a label of 0 or 1", &other.show())),
    }
}

/// An id of the row's request or candidate.
pub(super) fn key(key: &KeyColumn, cell: Cell<'_>, keys: &mut Keys) -> Result<(), Fault> {
    let refuse = |expected: &'static str| Fault::new(&key.column, expected, &cell.show());
    let id = if key.integer {
        cell.integer_id().ok_or_else(|| refuse("an integer id of 64 bits (raw = \"string\" takes others)"))?
    } else {
        cell.text_id().ok_or_else(|| refuse("an id that is a string (raw = \"integer\" takes integers)"))?
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

/// A weight: finite and positive.
pub(super) fn weight(column: &str, cell: Cell<'_>) -> Result<f32, Fault> {
    match cell.number() {
        Some(w) if w > 0.0 => Ok(w),
        _ => Err(Fault::new(column, "a weight above 0", &cell.show())),
    }
}

/// A time, in microseconds since 1970-01-01 UTC.
pub(super) fn time(column: &str, format: TimeFormat, cell: Cell<'_>) -> Result<i64, Fault> {
    let (scale, expected) = match format {
        TimeFormat::Hour => {
            let digits = cell.show();
            return hour(&digits).ok_or_else(|| Fault::new(column, "an hour written YYMMDDHH", &digits));
        }
        TimeFormat::Seconds => (1_000_000, "whole seconds since 1970"),
        TimeFormat::Milliseconds => (1000, "whole milliseconds since 1970"),
        TimeFormat::Microseconds => (1, "whole microseconds since 1970"),
    };
    cell.integer_id()
        .and_then(|id| (id as i64).checked_mul(scale))
        .ok_or_else(|| Fault::new(column, expected, &cell.show()))
}

/// YYMMDDHH of the years 2000 to 2099.
fn hour(digits: &[u8]) -> Option<i64> {
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |i: usize| i64::from(digits[i] - b'0') * 10 + i64::from(digits[i + 1] - b'0');
    let (year, month, day, hour) = (2000 + two(0), two(2), two(4), two(6));
    let leap = year % 4 == 0;
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month_index = usize::try_from(month - 1).ok().filter(|&m| m < 12)?;
    if day < 1 || day > lengths[month_index] || hour > 23 {
        return None;
    }
    // Days from 1970 to the year's start: between 2000 and 2099 every fourth year is a leap year.
    let years = year - 2000;
    let days = 10_957 + years * 365 + (years + 3) / 4 + lengths[..month_index].iter().sum::<i64>() + day - 1;
    Some((days * 24 + hour) * 3_600_000_000)
}

fn fault(column: &str, kind: InputKind, cell: Cell<'_>) -> Fault {
    let expected = match kind {
        InputKind::Number => "a finite number",
        InputKind::Text => "a string",
        InputKind::Texts(_) => "strings",
        InputKind::Integer => "an integer of 64 bits",
        InputKind::Integers(_) => "integers of 64 bits",
        InputKind::Vector(..) => "a vector of finite numbers of the declared length",
    };
    Fault::new(column, expected, &cell.show())
}

/// Appends the raw values of a single-valued field.
pub(super) fn single(
    column: &str,
    kind: InputKind,
    feature: u32,
    cell: Cell<'_>,
    out: &mut Vec<Value>,
) -> Result<(), Fault> {
    let value = match kind {
        InputKind::Number => cell.number().map(|number| Value { feature, number, id: 0 }),
        InputKind::Text | InputKind::Texts(_) => cell.text_id().map(|id| Value { feature, number: 1.0, id }),
        InputKind::Integer | InputKind::Integers(_) => cell.integer_id().map(|id| Value { feature, number: 1.0, id }),
        InputKind::Vector(..) => None,
    };
    out.push(value.ok_or_else(|| fault(column, kind, cell))?);
    Ok(())
}

/// Appends the raw values of a field that holds a list.
pub(super) fn list<'a>(
    column: &str,
    kind: InputKind,
    feature: u32,
    cells: impl Iterator<Item = Cell<'a>>,
    out: &mut Vec<Value>,
) -> Result<(), Fault> {
    if let InputKind::Vector(dim, _) = kind {
        let mut position = 0;
        for cell in cells {
            let number = cell.number().filter(|_| position < dim).ok_or_else(|| fault(column, kind, cell))?;
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
        single(column, kind, feature, cell, out)?;
    }
    Ok(())
}

/// Appends the raw values of a text field; an empty field is a missing value.
pub(super) fn text(
    column: &str,
    kind: InputKind,
    feature: u32,
    bytes: &[u8],
    out: &mut Vec<Value>,
) -> Result<(), Fault> {
    if bytes.is_empty() {
        return Ok(());
    }
    match kind {
        InputKind::Number | InputKind::Text | InputKind::Integer => {
            single(column, kind, feature, Cell::Bytes(bytes), out)
        }
        InputKind::Texts(separator) | InputKind::Integers(separator) => {
            let parts = bytes.split(|&b| b == separator).filter(|part| !part.is_empty());
            list(column, kind, feature, parts.map(Cell::Bytes), out)
        }
        InputKind::Vector(_, separator) => {
            list(column, kind, feature, bytes.split(|&b| b == separator).map(Cell::Bytes), out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hour;

    #[test]
    fn hours_count_from_1970_in_utc() {
        // `date -u -d '2014-10-21 00:00' +%s` and so on.
        for (text, seconds) in [
            ("14102100", 1_413_849_600),
            ("00010100", 946_684_800),
            ("00022923", 951_865_200),
            ("00030100", 951_868_800),
            ("16022912", 1_456_747_200),
            ("99123123", 4_102_441_200_i64),
        ] {
            assert_eq!(hour(text.as_bytes()), Some(seconds * 1_000_000), "{text}");
        }
        for text in ["1410210", "14132100", "14103200", "14102124", "15022900", "1410210x", "14000100", "14010000"] {
            assert_eq!(hour(text.as_bytes()), None, "{text}");
        }
    }
}
