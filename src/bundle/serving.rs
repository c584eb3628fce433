//! The serving settings of a bundle: a small file that names the precision.

use super::toml_of;
use crate::error::{Error, Result};
use crate::types::Precision;

/// The text of `serving.toml`.
#[cfg(feature = "builder")]
#[must_use]
pub fn serving_text(precision: Precision) -> String {
    format!("precision = \"{precision}\"\n")
}

/// Parses the text of `serving.toml`.
///
/// # Errors
/// `Corrupt`, naming the key, what was expected and what was found.
pub fn parse_serving(text: &str) -> Result<Precision> {
    let table = toml_of(text)?;
    if let Some(key) = table.keys().find(|key| *key != "precision") {
        return Err(Error::corrupt(format!("unknown key `{key}`, known is precision")));
    }
    match table.get("precision").map(|value| value.as_str()) {
        None => Ok(Precision::Exact),
        Some(Some(name)) => name.parse::<Precision>().map_err(|e| Error::corrupt(e.message)),
        Some(None) => Err(Error::corrupt("`precision` is not a text")),
    }
}
