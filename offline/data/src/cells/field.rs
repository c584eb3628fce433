//! One column of a record. It is the same for text, Parquet and Arrow, and for rows and tables.

use std::borrow::Cow;

use adclick::category_id;
use arrow_array::ArrayRef;

use super::fault::Fault;

/// One column of a record.
pub(crate) enum Field<'a> {
    /// Nothing: null, or an empty text.
    Missing,
    /// A text, which may hold several values.
    Text(&'a [u8]),
    /// A single value that is not text.
    One(Scalar<'a>),
    /// A list.
    List(ArrayRef),
}

impl<'a> Field<'a> {
    /// The field of a text; empty means missing.
    pub(crate) fn text(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { Self::Missing } else { Self::Text(bytes) }
    }

    /// The field's single value, if it has one.
    ///
    /// # Errors
    /// A list.
    pub(crate) fn one(self, column: &str) -> Result<Option<Scalar<'a>>, Fault> {
        match self {
            Self::Missing => Ok(None),
            Self::Text(text) => Ok(Some(text.into())),
            Self::One(cell) => Ok(Some(cell)),
            Self::List(_) => Err(Fault::new(column, "a single value", b"a list")),
        }
    }
}

/// A single value of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// A text, bytes, or the text of a decimal.
    Bytes(Cow<'a, [u8]>),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i64),
    /// Microseconds since 1970-01-01: in UTC when the column's type names a zone, otherwise local time of an unnamed
    /// zone.
    Timestamp(i64, Option<&'a str>),
}

impl<'a> From<&'a [u8]> for Scalar<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

/// The values that a string category accepts.
pub(crate) const STRING: &str = "a string or an integer (a float or time has no one text that could be hashed; \
                                 raw = \"integer\" takes floats that are whole)";

/// Integers up to here are exact in an f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A word of ASCII letters in any case.
fn is_word(text: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
}

/// `true` or `false` in any case.
pub(crate) fn boolean(text: &[u8]) -> Option<bool> {
    match text.len() {
        4 if is_word(text, &["true"]) => Some(true),
        5 if is_word(text, &["false"]) => Some(false),
        _ => None,
    }
}

impl Scalar<'_> {
    /// The value as messages show it.
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

    /// Whether it means a missing number: NaN, or a word that exports write for null.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            Self::Bytes(text) => {
                // Few numbers begin with one of these, so most need no comparison with words.
                let text = text.trim_ascii();
                matches!(text.first(), None | Some(b'n' | b'N' | b'-' | b'\\'))
                    && (text.is_empty() || is_word(text, &["nan", "-nan", "na", "null", "none", "\\n"]))
            }
            Self::Float(x) => x.is_nan(),
            _ => false,
        }
    }

    /// The finite number that it is or spells; a boolean counts as 0 or 1.
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

    /// The same with all digits.
    pub(crate) fn real(&self) -> Option<f64> {
        let single = self.number()?;
        match self {
            Self::Bytes(text) => {
                Some(std::str::from_utf8(text).ok()?.trim_ascii().parse().unwrap_or(f64::from(single)))
            }
            Self::Integer(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            Self::Boolean(_) | Self::Date(_) | Self::Timestamp(..) => Some(f64::from(single)),
        }
    }

    /// The whole number that it is or spells. Floats are accepted up to 2^53, where they are exact.
    pub(crate) fn integer(&self) -> Option<i128> {
        let whole = |x: f64| (x.fract() == 0.0 && x.abs() <= EXACT).then_some(x as i128);
        match self {
            Self::Bytes(text) => {
                let text = std::str::from_utf8(text).ok()?.trim();
                // "2.0" and "2.00" are 2, at any length.
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

    /// The id of a string category: the hash of its text. Integers, booleans and dates hash the text that CSV gives
    /// them; a float has no unique text.
    pub(crate) fn text_id(&self) -> Option<u64> {
        match self {
            Self::Bytes(text) => Some(category_id(text)),
            Self::Integer(_) | Self::Boolean(_) | Self::Date(_) => Some(category_id(&self.show())),
            Self::Float(_) | Self::Timestamp(..) => None,
        }
    }

    /// The text "expected" for a cell that is not a 64-bit integer.
    pub(crate) fn expected_integer(&self) -> &'static str {
        match self {
            Self::Float(x) if x.is_finite() && x.fract() == 0.0 => {
                "an integer: floats are exact up to 2^53 only, so the file may have lost digits"
            }
            _ => "an integer of 64 bits",
        }
    }
}
