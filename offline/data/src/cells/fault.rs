//! Errors in a field.

use std::borrow::Cow;
use std::fmt;

/// An error in a row.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) expected: Cow<'static, str>,
    pub(crate) found: String,
}

impl Fault {
    /// `found` is cut to a length that fits a terminal.
    pub(crate) fn new(field: &str, expected: impl Into<Cow<'static, str>>, found: &[u8]) -> Self {
        let text = String::from_utf8_lossy(found);
        let mut short: String = text.chars().take(40).collect();
        if short.len() < text.len() {
            short.push_str("...");
        }
        Self { field: field.to_owned(), expected: expected.into(), found: format!("\"{short}\"") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.field, self.expected, self.found)
    }
}
