//! Values of a schema file, and their form in messages.

use adclick::category_id;
use anyhow::{Result, anyhow, bail};
use serde::de::DeserializeOwned;

/// The id of a category value in the file: an integer is its own id, a string is hashed.
pub(super) fn id(value: &toml::Value, integer: bool) -> Result<u64> {
    match (value, integer) {
        // A negative integer is encoded in two's complement, as in data files.
        (toml::Value::Integer(i), true) => Ok(*i as u64),
        (toml::Value::String(s), false) => Ok(category_id(s.as_bytes())),
        (_, true) => bail!("found a {}, expected an integer", value.type_str()),
        (_, false) => bail!("found a {}, expected a string (or raw = \"integer\")", value.type_str()),
    }
}

/// Deserialises, with the library's error message on one line.
pub(super) fn typed<T: DeserializeOwned>(value: toml::Value) -> Result<T> {
    value.try_into().map_err(|e: toml::de::Error| anyhow!("{}", e.to_string().trim().replace('\n', " ")))
}

/// A text, or a list of them.
pub(super) fn texts(key: &str, value: &toml::Value) -> Result<Vec<String>> {
    let wrong =
        |v: &toml::Value| anyhow!("key `{key}` has a {} in it; allowed: a string or a list of strings", v.type_str());
    match value {
        toml::Value::Array(each) => {
            each.iter().map(|v| v.as_str().map(str::to_owned).ok_or_else(|| wrong(v))).collect()
        }
        one => Ok(vec![one.as_str().ok_or_else(|| wrong(one))?.to_owned()]),
    }
}

/// Whether a name can be used in file names and in `TABLE.COLUMN[3]`.
pub(super) fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The name that an entry gives itself, for messages.
pub(super) fn name_of(table: &toml::Table) -> Option<&str> {
    table.get("name").and_then(toml::Value::as_str)
}

/// Names as a message lists them.
pub(super) fn list(names: &[&str]) -> String {
    if names.is_empty() { "(none)".into() } else { names.join(", ") }
}
