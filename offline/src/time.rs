//! Moments as people write them: RFC 3339 or seconds since 1970.

use anyhow::{Context, Result, bail};

/// Microseconds since 1970-01-01 UTC of `2026-11-23T04:00:00Z`, `2026-11-23T04:00:00.5+01:00` or `1795406400`.
///
/// # Errors
/// A text that is neither, naming it and what is allowed.
pub fn parse(text: &str) -> Result<i64> {
    let what =
        || format!("`{text}` is no moment; allowed: RFC 3339 such as 2026-11-23T04:00:00Z, or seconds since 1970");
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000).with_context(what);
    }
    rfc3339(text.as_bytes()).with_context(what)
}

fn rfc3339(text: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let mark = |at: usize, of: &[u8]| text.get(at).is_some_and(|b| of.contains(b)).then_some(());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    for (at, of) in [(4, b"-" as &[u8]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] {
        mark(at, of)?;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *lengths.get(usize::try_from(month - 1).ok()?)?;
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut at = 19;
    let mut micros = 0;
    if mark(at, b".").is_some() {
        let digits = text[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        // What is finer than a microsecond is dropped.
        for i in 0..6 {
            micros = micros * 10 + if i < digits { i64::from(text[at + 1 + i] - b'0') } else { 0 };
        }
        at += 1 + digits;
    }
    let offset = match text.get(at..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (h, m) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            if h > 23 || m > 59 {
                return None;
            }
            (h * 3600 + m * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(seconds * 1_000_000 + micros)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The moment in UTC, to the second: `2026-11-23T04:00:00Z`.
#[must_use]
pub fn show(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let (day, rest) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (d, m) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let y = year + era * 400 + i64::from(m <= 2);
    format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A length of time to two units: `3 d 4 h`.
#[must_use]
pub fn show_length(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|p| p.0 > 0).unwrap_or(3);
    let shown: Vec<String> =
        parts[first..].iter().take(2).filter(|p| p.0 > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if shown.is_empty() { "0 s".into() } else { shown.join(" ") }
}

/// Microseconds since 1970-01-01 UTC of a file's last change.
///
/// # Errors
/// When the file or its time cannot be read.
pub fn modified(path: &std::path::Path) -> Result<i64> {
    let what = || format!("cannot read when {} was changed: say --as-of", path.display());
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).with_context(what)?;
    match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).with_context(what),
        Err(_) => bail!("{} was last changed before 1970: say --as-of", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_shown() {
        // `date -u -d '2014-10-21 00:00' +%s` and so on.
        for (text, seconds) in [
            ("2014-10-21T00:00:00Z", 1_413_849_600),
            ("2000-02-29t23:00:00z", 951_865_200),
            ("1969-12-31 23:59:59Z", -1),
            ("2014-10-21T01:30:00+01:30", 1_413_849_600),
            ("2014-10-20T19:00:00-05:00", 1_413_849_600),
            ("1413849600", 1_413_849_600),
        ] {
            assert_eq!(parse(text).unwrap(), seconds * 1_000_000, "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.25Z").unwrap(), 250_000);
        assert_eq!(parse("1970-01-01T00:00:00.1234567Z").unwrap(), 123_456);
        for text in [
            "",
            "today",
            "2014-10-21",
            "2014-13-01T00:00:00Z",
            "2015-02-29T00:00:00Z",
            "2014-10-21T24:00:00Z",
            "2014-10-21T00:00:00",
            "2014-10-21T00:00:00.Z",
            "2014-10-21T00:00:00+1:00",
            "99999999999999999",
        ] {
            assert!(parse(text).unwrap_err().to_string().contains("RFC 3339"), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        for day in (-800_000..800_000).step_by(97) {
            let micros = (day * 86_400 + 12_345) * 1_000_000;
            let shown = show(micros);
            if !shown.starts_with('-') {
                assert_eq!(parse(&shown).unwrap(), micros, "{shown}");
            }
        }
        assert_eq!(show(951_868_799_999_999), "2000-02-29T23:59:59Z");
    }

    #[test]
    fn lengths_have_two_units() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (273_600, "3 d 4 h")] {
            assert_eq!(show_length(seconds), text);
        }
    }
}
