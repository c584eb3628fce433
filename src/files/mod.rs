//! Opening, naming and making files: only regular ones are read, one rule says what a valid name is, and temporary
//! files have unique names.

mod regular;
#[cfg(feature = "builder")]
mod temporary;

#[cfg(feature = "builder")]
pub use regular::read_limited;
pub use regular::{open_regular, read_text};
#[cfg(feature = "builder")]
pub use temporary::{Beside, TempFile};
#[cfg(feature = "builder")]
pub(crate) use temporary::{rename_new, sync_directory};

#[cfg(feature = "builder")]
use std::path::{Path, PathBuf};

/// The longest name of a bundle, or of a file in one, in bytes. File systems still accept a temporary name beside it.
pub const MAX_NAME: usize = 200;

/// Checks the name of a bundle, or of a file in one. Writers and readers share this rule: 1 to [`MAX_NAME`] bytes of
/// UTF-8, no leading dot, no slash, backslash, double quote or control character.
///
/// # Errors
/// What is wrong with the name, in words.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let what = match name {
        "" => "it is empty".to_owned(),
        _ if name.len() > MAX_NAME => format!("it has {} bytes, at most {MAX_NAME}", name.len()),
        _ if name.starts_with('.') => "it begins with a dot".to_owned(),
        _ => match name.chars().find(|c| matches!(c, '/' | '\\' | '"') || c.is_control()) {
            Some(found) => format!("it holds {found:?}"),
            None => return Ok(()),
        },
    };
    Err(format!("{:?} is not a plain name: {what}", shortened(name)))
}

/// As much of a text as an error message should quote.
pub(crate) fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(100)).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

/// The parent directory of a path.
#[cfg(feature = "builder")]
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_for_names() {
        let longest = "x".repeat(MAX_NAME);
        for good in ["a", "2026-11-23T08", "model.adc", "CURRENT", "\u{e4} b", "a..b", longest.as_str()] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "\u{e4}".repeat(MAX_NAME);
        for bad in ["", ".", "..", ".a", "a/b", "a\\b", "a\nb", "a\0b", "a\"b", "\u{7f}", "a\u{85}", long.as_str()] {
            assert!(check_name(bad).unwrap_err().contains("is not a plain name"), "{bad:?}");
        }
    }
}
