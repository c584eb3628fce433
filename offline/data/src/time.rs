//! Times as people write them: RFC 3339 or seconds since 1970.

use anyhow::{Context, Result, anyhow};

use crate::setting::{BadSetting, Setting, refuse};
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

/// Parses `2026-11-23T04:00:00Z`, `2026-11-23T04:00:00.5+01:00` or `1795406400` as microseconds since 1970-01-01 UTC.
///
/// # Errors
/// A text in neither form; the message names it and the forms allowed.
pub fn parse(text: &str) -> Result<i64> {
    let what =
        || format!("`{text}` is not a moment; allowed: RFC 3339 such as 2026-11-23T04:00:00Z, or seconds since 1970");
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000).with_context(what);
    }
    match iso(text) {
        Some((micros, Some(_))) => Ok(micros),
        _ => Err(anyhow!("{}", what())),
    }
}

/// Parses an ISO 8601 date with or without a time. Returns microseconds since 1970-01-01 UTC, and the offset in seconds
/// if there is one; without one the time is read as UTC. A space may replace the `T` and ` UTC` the `Z`; digits finer
/// than a microsecond are dropped.
pub(crate) fn iso(text: &str) -> Option<(i64, Option<i32>)> {
    let (text, utc) = text.strip_suffix(" UTC").map_or((text, false), |text| (text, true));
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset().map(Offset::seconds);
    // A zone in brackets gives an offset only through its rules, and `UTC` after an offset would be a second one.
    if (pieces.time_zone_annotation().is_some() && offset.is_none()) || (utc && offset.is_some()) {
        return None;
    }
    let shown = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let nanos = Offset::UTC.to_timestamp(shown).ok()?.as_nanosecond();
    let micros = i64::try_from(nanos.div_euclid(1000)).ok()?;
    let offset = if utc { Some(0) } else { offset };
    Some((micros.checked_sub(i64::from(offset.unwrap_or(0)) * 1_000_000)?, offset))
}

/// The date that is this many days after 1970-01-01, such as `2026-11-23`.
pub(crate) fn date(days: i64) -> String {
    let shown = show(days.saturating_mul(86_400_000_000));
    shown.split('T').next().unwrap_or_default().to_owned()
}

/// The time in UTC, to the second: `2026-11-23T04:00:00Z`.
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

/// A duration in two units: `3 d 4 h`.
#[must_use]
pub fn show_length(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|p| p.0 > 0).unwrap_or(3);
    let shown: Vec<String> =
        parts[first..].iter().take(2).filter(|p| p.0 > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if shown.is_empty() { "0 s".into() } else { shown.join(" ") }
}

/// The time of a file's last change, in microseconds since 1970-01-01 UTC.
///
/// # Errors
/// The file or its time cannot be read.
pub fn modified(path: &std::path::Path) -> Result<i64> {
    let unknown = || {
        let text = format!("cannot read when {} was changed: say how new its data is", path.display());
        BadSetting::new(&[Setting::AsOf], text)
    };
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).map_err(|_| unknown())?;
    match modified.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).map_err(|_| unknown().into()),
        Err(_) => refuse!([AsOf], "{} was last changed before 1970: say how new its data is", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_shown() {
        // From `date -u -d '2014-10-21 00:00' +%s` and the like.
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
