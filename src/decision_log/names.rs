//! Names of segments.

/// The name of a closed segment.
pub(super) fn segment(stream: &str, opened_us: i64, run: u64, number: u64) -> String {
    let (days, seconds) = (opened_us.div_euclid(86_400_000_000), opened_us.rem_euclid(86_400_000_000) / 1_000_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{stream}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{run:016x}-{number:06}.avro")
}

/// The closed name of an open segment's.
pub(super) fn closed(open: &str) -> Option<&str> {
    let name = open.strip_prefix('_')?.strip_suffix(".open")?;
    name.ends_with(".avro").then_some(name)
}

/// Year, month and day of a number of days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_stream_time_run_and_number() {
        let name = segment("events", 1_793_000_000_000_000, 0xab, 17);
        assert_eq!(name, "events-20261026T073320Z-00000000000000ab-000017.avro");
        assert_eq!(closed(&format!("_{name}.open")), Some(name.as_str()));
        assert_eq!((closed(&name), closed("_x.open")), (None, None));
        for (days, expected) in
            [(0, (1970, 1, 1)), (19_782, (2024, 2, 29)), (-1, (1969, 12, 31)), (47_482, (2100, 1, 1))]
        {
            assert_eq!(date(days), expected);
        }
    }
}
