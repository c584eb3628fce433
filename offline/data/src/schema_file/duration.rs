//! Durations as people write them.

use anyhow::{Context, Result, bail, ensure};

/// Parses a number with a unit as seconds: `90s`, `15m`, `24h` or `7d`.
///
/// # Errors
/// Anything else; the message says what is allowed.
pub fn seconds(text: &str) -> Result<u64> {
    let (digits, unit) = text.split_at(text.trim_end_matches(|c: char| !c.is_ascii_digit()).len());
    let unit = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => bail!("`{text}` is not a duration; allowed: a whole number with s, m, h or d, such as 24h"),
    };
    let number: u64 = digits.trim().parse().ok().with_context(|| format!("`{text}` does not begin with a number"))?;
    ensure!(number > 0, "`{text}` is zero; leave the key out if the age does not matter");
    number.checked_mul(unit).with_context(|| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn units_are_seconds_minutes_hours_and_days() {
        for (text, expected) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("7 d", 604_800)] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for text in ["", "24", "h", "1.5h", "-1h", "1h30m", "0s", "99999999999999999999d", "300000000000000000d"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
