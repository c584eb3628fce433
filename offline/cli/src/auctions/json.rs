//! Values of a line, each wrong one with its field, what was expected and what was found.

use std::fmt;

use adclick::category_id;
use serde_json::{Map, Value};

pub(super) type Result<T> = std::result::Result<T, Fault>;

/// An error in a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    field: String,
    expected: String,
    found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "field {}: ", self.field)?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for Fault {}

/// A JSON number, or as a string one of the three that JSON cannot hold.
pub(super) fn number(field: &str, value: &Value) -> Result<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| fault(field, "a number", &show(value)))
}

/// The key that breaks ties: the integer itself, the hash of a string, 0 for none.
pub(super) fn key(field: &str, ad: &Value) -> Result<u64> {
    match ad {
        Value::Null => Ok(0),
        Value::String(name) => Ok(category_id(name.as_bytes())),
        _ => ad.as_u64().ok_or_else(|| fault(field, "an unsigned 64-bit integer or a string", &show(ad))),
    }
}

pub(super) fn object<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>> {
    value.as_object().ok_or_else(|| fault(field, "a JSON object", &show(value)))
}

pub(super) fn array<'a>(field: &str, value: &'a Value) -> Result<&'a Vec<Value>> {
    value.as_array().ok_or_else(|| fault(field, "an array", &show(value)))
}

pub(super) fn fault(field: &str, expected: &str, found: &str) -> Fault {
    Fault { field: field.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}

pub(super) fn names<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    keys.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// A value as the line has it, shortened.
pub(super) fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
