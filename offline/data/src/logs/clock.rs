//! The time of an impression, and the user's local time.
//!
//! Zones come from the tz database that is compiled in, not from the system's, so every machine reads the same times.

use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use super::columns::{TimeColumn, TimeFormat, ZoneRule};
use crate::cells::Fault;
use crate::cells::{Field, Scalar};

/// The units of numbers, for messages: name and length in microseconds, as a fraction.
const UNITS: [(TimeFormat, &str, &str, i128, i128); 4] = [
    (TimeFormat::Seconds, "seconds", "s", 1_000_000, 1),
    (TimeFormat::Milliseconds, "milliseconds", "ms", 1000, 1),
    (TimeFormat::Microseconds, "microseconds", "us", 1, 1),
    (TimeFormat::Nanoseconds, "nanoseconds", "ns", 1, 1000),
];
/// The starts of the years 1900, 1973, 2000 and 2100, in microseconds.
const Y1900: i128 = -2_208_988_800_000_000;
const Y1973: i128 = 94_694_400_000_000;
const Y2000: i128 = 946_684_800_000_000;
const Y2100: i128 = 4_102_444_800_000_000;

/// Reads the times of one file.
pub(super) struct Clock {
    column: String,
    format: TimeFormat,
    local: bool,
    whose: Whose,
    database: TimeZoneDatabase,
    /// The zones met so far, by name.
    zones: RefCell<HashMap<Vec<u8>, TimeZone>>,
}

/// A [`ZoneRule`] with its zone resolved.
enum Whose {
    Utc,
    Fixed(TimeZone),
    Offsets(String),
    Names(String),
    FromTime,
}

/// A time as written.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    us: i64,
    /// Whether it is an instant rather than a local time.
    instant: bool,
    /// The offset written beside it.
    offset: Option<i32>,
}

/// A zone by its IANA name, or a fixed offset.
///
/// # Errors
/// A name that the tz database does not have.
fn zone(database: &TimeZoneDatabase, name: &str) -> Result<TimeZone> {
    if let Some(seconds) = iso_offset(name.as_bytes()) {
        return Ok(TimeZone::fixed(Offset::from_seconds(seconds)?));
    }
    database.get(name).map_err(|_| {
        anyhow!(
            "`{name}` is not a time zone: expected an IANA name such as Asia/Kathmandu, or an offset such as +05:45"
        )
    })
}

/// Refuses a zone name that does not exist.
///
/// # Errors
/// As [`zone`].
pub(crate) fn check_zone(name: &str) -> Result<()> {
    zone(&TimeZoneDatabase::bundled(), name).map(drop)
}

impl Clock {
    /// # Errors
    /// A zone that does not exist.
    pub(super) fn new(rule: &TimeColumn) -> Result<Self> {
        let database = TimeZoneDatabase::bundled();
        let whose = match &rule.zone {
            ZoneRule::Utc => Whose::Utc,
            ZoneRule::Fixed(name) => Whose::Fixed(zone(&database, name)?),
            ZoneRule::Offsets(column) => Whose::Offsets(column.clone()),
            ZoneRule::Names(column) => Whose::Names(column.clone()),
            ZoneRule::FromTime => Whose::FromTime,
        };
        let (column, format, local) = (rule.column.clone(), rule.format, rule.local);
        Ok(Self { column, format, local, whose, database, zones: RefCell::new(HashMap::new()) })
    }

    /// The instant in microseconds since 1970 UTC, and the user's offset from UTC in seconds. `zone` is the value of
    /// the column that gives the offset or the zone, if there is one.
    pub(super) fn read(&self, time: Field<'_>, zone: Field<'_>) -> Result<(i64, i32), Fault> {
        let cell = time.one(&self.column)?.ok_or_else(|| Fault::new(&self.column, "a time", b""))?;
        let written = self.written(&cell)?;
        if self.local && written.instant {
            let expected = "a local time, which has no offset (the schema says local_time = true)";
            return Err(Fault::new(&self.column, expected, &cell.show()));
        }
        // An unknown offset is 0, as in a request of a server that does not know it.
        let unknown = Ok((written.us, 0));
        match &self.whose {
            Whose::Utc => unknown,
            Whose::Fixed(zone) => self.in_zone(&cell, written, zone),
            Whose::FromTime => Ok((written.us, self.own_offset(&cell, written)?)),
            Whose::Offsets(column) => match zone.one(column)?.filter(|cell| !cell.is_absent()) {
                None => unknown,
                Some(cell) => {
                    let offset = offset(column, &cell)?;
                    let shown = if self.local { i64::from(offset) * 1_000_000 } else { 0 };
                    Ok((written.us - shown, offset))
                }
            },
            Whose::Names(column) => match zone.one(column)? {
                None => unknown,
                Some(name) => self.in_zone(&cell, written, &self.named(column, &name)?),
            },
        }
    }

    /// An instant in a zone, or the instant of a local time there. When clocks are set back and show a time twice, the
    /// first one counts; a time that clocks skip is read with the offset before the change.
    fn in_zone(&self, cell: &Scalar<'_>, written: Written, zone: &TimeZone) -> Result<(i64, i32), Fault> {
        let refuse = |_| Fault::new(&self.column, "a time from 1900 to 2100", &cell.show());
        let mut instant = Timestamp::from_microsecond(written.us).map_err(refuse)?;
        if self.local {
            let shown = Offset::UTC.to_datetime(instant);
            instant = zone.to_ambiguous_timestamp(shown).compatible().map_err(refuse)?;
        }
        Ok((instant.as_microsecond(), zone.to_offset(instant).seconds()))
    }

    fn named(&self, column: &str, cell: &Scalar<'_>) -> Result<TimeZone, Fault> {
        let name = cell.show();
        if let Some(known) = self.zones.borrow().get(&name) {
            return Ok(known.clone());
        }
        let found = std::str::from_utf8(&name).ok().and_then(|name| zone(&self.database, name.trim()).ok());
        let found =
            found.ok_or_else(|| Fault::new(column, "an IANA time zone such as Asia/Kathmandu, or an offset", &name))?;
        // Texts of offsets are unlimited in number, so the cache is bounded.
        if self.zones.borrow().len() < 4096 {
            self.zones.borrow_mut().insert(name, found.clone());
        }
        Ok(found)
    }

    /// The offset that the time itself carries: `+09:00` in text, or the zone of the column's type.
    fn own_offset(&self, cell: &Scalar<'_>, written: Written) -> Result<i32, Fault> {
        if let Scalar::Timestamp(us, Some(name)) = cell {
            let zone = self.named(&self.column, &Scalar::from(name.as_bytes()))?;
            let instant = Timestamp::from_microsecond(*us);
            return Ok(instant.map_or(0, |instant| zone.to_offset(instant).seconds()));
        }
        written.offset.ok_or_else(|| {
            let expected = "a time with its offset, such as 2014-10-21T13:00:00+09:00 (utc_offset names this column)";
            Fault::new(&self.column, expected, &cell.show())
        })
    }

    fn written(&self, cell: &Scalar<'_>) -> Result<Written, Fault> {
        let refuse = |expected: &str| Fault::new(&self.column, expected.to_owned(), &cell.show());
        let instant = |us| Written { us, instant: !self.local, offset: None };
        if self.format == TimeFormat::Hour {
            let us = hour(&cell.show());
            return us.map(instant).ok_or_else(|| refuse("an hour written YYMMDDHH"));
        }
        let written = match cell {
            Scalar::Date(days) => {
                days.checked_mul(86_400_000_000).map(|us| Written { us, instant: false, offset: None })
            }
            Scalar::Timestamp(us, zone) => Some(Written { us: *us, instant: zone.is_some(), offset: None }),
            Scalar::Integer(i) => return self.number(cell, *i).map(instant),
            Scalar::Float(x) => return self.fraction(cell, *x).map(instant),
            Scalar::Bytes(text) => match std::str::from_utf8(text).ok().map(str::trim) {
                Some(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') && text.parse::<i128>().is_ok() => {
                    return self.number(cell, text.parse().unwrap_or(0)).map(instant);
                }
                Some(text) => match crate::time::iso(text) {
                    Some((us, offset)) => Some(Written { us, instant: offset.is_some(), offset }),
                    None => match text.parse::<f64>() {
                        Ok(x) if x.is_finite() => return self.fraction(cell, x).map(instant),
                        _ => None,
                    },
                },
                None => None,
            },
            Scalar::Boolean(_) => None,
        };
        let written =
            written.ok_or_else(|| refuse(&format!("an ISO 8601 time or {} since 1970", UNITS[self.unit()].1)))?;
        if (Y1900..Y2100).contains(&i128::from(written.us)) {
            return Ok(written);
        }
        Err(refuse("a time from 1900 to 2100"))
    }

    fn unit(&self) -> usize {
        UNITS.iter().position(|unit| unit.0 == self.format).unwrap_or(0)
    }

    /// A number of whole units.
    fn number(&self, cell: &Scalar<'_>, i: i128) -> Result<i64, Fault> {
        let at = |&(_, _, _, micros, of): &(_, _, _, i128, i128)| i.checked_mul(micros).map(|us| us.div_euclid(of));
        let own = self.unit();
        let us = at(&UNITS[own]).filter(|us| (Y1900..Y2100).contains(us));
        if let Some(date) = day(i).filter(|_| own == 0) {
            let expected = format!("seconds since 1970 (as YYYYMMDD it is {date}: write days as {date})");
            return Err(Fault::new(&self.column, expected, &cell.show()));
        }
        // Seconds read as a finer unit all fall into the first days of 1970.
        if let Some(us) = us.filter(|us| own == 0 || !(1..Y1973).contains(us) || self.guess(i).is_none()) {
            return Ok(us as i64);
        }
        let mut expected = format!("{} since 1970, of the years 1900 to 2100", UNITS[own].1);
        if let Some((unit, us)) = self.guess(i) {
            let (_, name, short, ..) = UNITS[unit];
            let when = crate::time::show(us);
            expected = format!("{expected} (as {name} it is {when}: say time_unit = \"{short}\")");
        }
        Err(Fault::new(&self.column, expected, &cell.show()))
    }

    /// The other unit that puts a number into this century.
    fn guess(&self, i: i128) -> Option<(usize, i64)> {
        guess_unit(i).filter(|(unit, _)| *unit != self.unit())
    }

    /// A number of units with a fraction.
    fn fraction(&self, cell: &Scalar<'_>, x: f64) -> Result<i64, Fault> {
        let (.., micros, of) = UNITS[self.unit()];
        if x.fract() == 0.0 || x.abs() > 1e30 {
            return self.number(cell, x as i128);
        }
        // The whole part shows whether the unit fits.
        self.number(cell, x as i128)?;
        Ok((x * micros as f64 / of as f64).round() as i64)
    }
}

/// The unit that puts a number between 2000 and 2100: its index in [`UNITS`], and the time.
pub(crate) fn guess_unit(i: i128) -> Option<(usize, i64)> {
    UNITS.iter().enumerate().find_map(|(unit, (_, _, _, micros, of))| {
        let us = i.checked_mul(*micros)?.div_euclid(*of);
        (Y2000..Y2100).contains(&us).then_some((unit, us as i64))
    })
}

/// The schema's name of a unit that [`guess_unit`] found.
pub(crate) fn unit_name(unit: usize) -> &'static str {
    UNITS[unit].2
}

/// An offset in seconds or in ISO 8601.
fn offset(column: &str, cell: &Scalar<'_>) -> Result<i32, Fault> {
    if let Scalar::Bytes(text) = cell
        && let Some(seconds) = iso_offset(text.trim_ascii())
    {
        return Ok(seconds);
    }
    // All offsets in use are whole quarters of an hour. Those given in hours or minutes are not, when read as seconds.
    let seconds = cell.integer().filter(|s| s.abs() <= 86_400 && s % 900 == 0);
    seconds.map(|s| s as i32).ok_or_else(|| {
        let expected = "an offset from UTC in seconds (a multiple of 900: no hours or minutes), or such as +05:45";
        Fault::new(column, expected, &cell.show())
    })
}

/// `Z`, `+09`, `+0900`, `+09:00`. No zone is further than 14 hours from UTC, so `-1800`, half an hour in seconds, is
/// not an offset of this kind. One that is (`-0900`, `-1000`) begins with a zero or is not a whole quarter of an hour
/// in seconds.
fn iso_offset(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let two = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit()).then(|| i32::from(a - b'0') * 10 + i32::from(b - b'0'))
    };
    let (hours, minutes) = match *digits {
        [a, b] => (two(a, b)?, 0),
        [a, b, c, d] | [a, b, b':', c, d] => (two(a, b)?, two(c, d)?),
        _ => return None,
    };
    (hours <= 14 && minutes < 60).then(|| sign * (hours * 3600 + minutes * 60))
}

/// YYYYMMDD of the years 1990 to 2099. Read as seconds, all of them fall in the summer of 1970.
fn day(i: i128) -> Option<jiff::civil::Date> {
    let i = i32::try_from(i).ok().filter(|i| (19_900_101..=20_991_231).contains(i))?;
    jiff::civil::Date::new((i / 10_000) as i16, (i / 100 % 100) as i8, (i % 100) as i8).ok()
}

/// YYMMDDHH of the years 2000 to 2099.
pub(crate) fn hour(digits: &[u8]) -> Option<i64> {
    if digits.len() != 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let two = |i: usize| (digits[i] - b'0') as i8 * 10 + (digits[i + 1] - b'0') as i8;
    let time = jiff::civil::DateTime::new(2000 + i16::from(two(0)), two(2), two(4), two(6), 0, 0, 0).ok()?;
    Some(Offset::UTC.to_timestamp(time).ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_count_from_1970_in_utc() {
        // From `date -u -d '2014-10-21 00:00' +%s` and the like.
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

    fn clock(format: TimeFormat, zone: ZoneRule, local: bool) -> Clock {
        Clock::new(&TimeColumn { column: "at".to_owned(), format, zone, local }).unwrap()
    }

    /// The time that a text gives, in seconds.
    fn read(clock: &Clock, time: &str, zone: &str) -> Result<(f64, i32), String> {
        let read = clock.read(Field::text(time.as_bytes()), Field::text(zone.as_bytes()));
        read.map(|(us, offset)| (us as f64 / 1e6, offset)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn texts_of_times_are_read() {
        let utc = clock(TimeFormat::Seconds, ZoneRule::Utc, false);
        for (text, seconds) in [
            ("2014-10-21 13:00:00", 1_413_896_400.0),
            ("2014-10-21T13:00:00", 1_413_896_400.0),
            ("2014-10-21T13:00", 1_413_896_400.0),
            ("2014-10-21T13:00:00Z", 1_413_896_400.0),
            ("2014-10-21 13:00:00 UTC", 1_413_896_400.0),
            ("2014-10-21 13:00:00+00", 1_413_896_400.0),
            ("2014-10-21T13:00:00.25", 1_413_896_400.25),
            ("2014-10-21T13:00:00.123456789+09:00", 1_413_864_000.123_456),
            ("2014-10-21T18:45:00+0545", 1_413_896_400.0),
            ("2014-10-21", 1_413_849_600.0),
            ("1413849600", 1_413_849_600.0),
            ("1413849600.5", 1_413_849_600.5),
            ("1.4138496e9", 1_413_849_600.0),
            ("-1", -1.0),
        ] {
            assert_eq!(read(&utc, text, ""), Ok((seconds, 0)), "{text}");
        }
        for text in
            ["yesterday", "2014-13-01", "2014-10-21T25:00:00", "21.10.2014", "nan", "true", "1899-12-31", "2100-01-01"]
        {
            assert!(read(&utc, text, "").unwrap_err().starts_with("at: expected"), "{text}");
        }
    }

    #[test]
    fn a_number_in_another_unit_is_refused_and_its_unit_named() {
        let cases = [
            (
                TimeFormat::Seconds,
                "1413849600123",
                "as milliseconds it is 2014-10-21T00:00:00Z: say time_unit = \"ms\"",
            ),
            (TimeFormat::Seconds, "1413849600123456", "as microseconds it is 2014-10-21"),
            (TimeFormat::Seconds, "1413849600123456789", "as nanoseconds it is 2014-10-21"),
            (TimeFormat::Milliseconds, "1413849600", "as seconds it is 2014-10-21T00:00:00Z: say time_unit = \"s\""),
            (TimeFormat::Microseconds, "1413849600123", "as milliseconds"),
            (TimeFormat::Seconds, "20141021", "as YYYYMMDD it is 2014-10-21"),
            (TimeFormat::Seconds, "18446744073709551615", "of the years 1900 to 2100"),
            (TimeFormat::Nanoseconds, "18446744073709551615", "of the years 1900 to 2100"),
        ];
        for (format, text, needle) in cases {
            let message = read(&clock(format, ZoneRule::Utc, false), text, "").unwrap_err();
            assert!(message.contains(needle) && message.contains(text), "{message}");
        }
        let ns = clock(TimeFormat::Nanoseconds, ZoneRule::Utc, false);
        assert_eq!(read(&ns, "1413849600500000000", ""), Ok((1_413_849_600.5, 0)));
        let cell = Scalar::Integer(u64::MAX.into());
        assert!(clock(TimeFormat::Seconds, ZoneRule::Utc, false).read(Field::One(cell), Field::Missing).is_err());
    }

    /// Compares offsets and clock changes with `TZ=ZONE date -d @SECONDS +%z`.
    #[test]
    fn zones_say_the_users_offset() {
        let names = clock(TimeFormat::Seconds, ZoneRule::Names("tz".to_owned()), false);
        for (zone, seconds, offset) in [
            ("Asia/Tokyo", 1_413_849_600, 9 * 3600),
            ("Asia/Kathmandu", 1_413_849_600, 5 * 3600 + 45 * 60),
            ("America/New_York", 1_413_849_600, -4 * 3600),
            ("America/New_York", 1_421_000_000, -5 * 3600),
            ("Europe/Berlin", 1_413_849_600, 2 * 3600),
            ("+05:45", 1_413_849_600, 5 * 3600 + 45 * 60),
            ("", 1_413_849_600, 0),
        ] {
            assert_eq!(read(&names, &seconds.to_string(), zone), Ok((f64::from(seconds), offset)), "{zone}");
        }
        assert!(read(&names, "1413849600", "Mars/Olympus").unwrap_err().contains("tz: expected an IANA time zone"));

        // Local times in Berlin: 02:30 occurs twice on 26 October 2014 and never on 30 March.
        let local = clock(TimeFormat::Seconds, ZoneRule::Fixed("Europe/Berlin".to_owned()), true);
        for (text, seconds, offset) in [
            ("2014-10-26 01:30:00", 1_414_279_800.0, 7200),
            ("2014-10-26 02:30:00", 1_414_283_400.0, 7200),
            ("2014-10-26 03:30:00", 1_414_290_600.0, 3600),
            ("2014-03-30 02:30:00", 1_396_143_000.0, 7200),
        ] {
            assert_eq!(read(&local, text, ""), Ok((seconds, offset)), "{text}");
        }
        assert!(read(&local, "2014-10-26 01:30:00Z", "").unwrap_err().contains("local_time = true"));
        // Without a zone the local time itself is kept.
        assert_eq!(read(&clock(TimeFormat::Seconds, ZoneRule::Utc, true), "1970-01-01 01:00:00", ""), Ok((3600.0, 0)));
    }

    #[test]
    fn offsets_come_from_a_column_or_from_the_time() {
        let column = |local| clock(TimeFormat::Seconds, ZoneRule::Offsets("off".to_owned()), local);
        for (text, offset) in [
            ("32400", 32_400),
            ("+05:45", 20_700),
            ("-0330", -12_600),
            ("-1800", -1800),
            ("-0900", -32_400),
            ("-1000", -36_000),
            ("-3600", -3600),
            ("Z", 0),
            ("", 0),
            ("nan", 0),
        ] {
            assert_eq!(read(&column(false), "1413849600", text), Ok((1_413_849_600.0, offset)), "{text}");
            assert_eq!(read(&column(true), "1413849600", text), Ok((1_413_849_600.0 - f64::from(offset), offset)));
        }
        // Hours and minutes are not seconds.
        for text in ["9", "540", "-300", "90000", "east"] {
            assert!(
                read(&column(false), "1413849600", text).unwrap_err().contains("off: expected an offset"),
                "{text}"
            );
        }
        let own = clock(TimeFormat::Seconds, ZoneRule::FromTime, false);
        assert_eq!(read(&own, "2014-10-21T09:00:00+09:00", ""), Ok((1_413_849_600.0, 32_400)));
        assert!(read(&own, "2014-10-21T09:00:00", "").unwrap_err().contains("a time with its offset"));
        let typed = |zone| own.read(Field::One(Scalar::Timestamp(1_413_849_600_000_000, zone)), Field::Missing);
        assert_eq!(typed(Some("Asia/Tokyo")).unwrap(), (1_413_849_600_000_000, 32_400));
        assert!(typed(None).is_err());
    }
}
