//! Conversions that are not known yet, and how they bias the measurement of pCVR.

use serde::Serialize;

/// Clicked rows by whether their conversion is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unknown {
    /// Clicked rows.
    pub clicked: usize,
    /// Those whose conversion is not known; the measurement leaves them out.
    pub unknown: usize,
    /// The share of unknown ones among the earlier half of the clicks; null without times.
    pub early: f64,
    /// The same for the later half.
    pub late: f64,
    /// Whether the halves differ by more than chance explains.
    pub depends_on_time: bool,
}

/// The number of standard errors by which the halves must differ. It gives one false alarm in 16,000.
const STANDARD_ERRORS: f64 = 4.0;

impl Unknown {
    /// Counts clicked rows, given each row's time and whether its conversion is known; `None` when all are known.
    #[must_use]
    pub fn count(clicked: impl Iterator<Item = (Option<i64>, bool)>) -> Option<Self> {
        let (mut rows, mut unknown, mut timed) = (0, 0, Vec::new());
        for (time, known) in clicked {
            rows += 1;
            unknown += usize::from(!known);
            timed.extend(time.map(|time| (time, known)));
        }
        if unknown == 0 {
            return None;
        }
        timed.sort_unstable();
        // Rows with the same time go to the same half.
        let middle = timed.get(timed.len() / 2).map_or(0, |&(time, _)| timed.partition_point(|&(t, _)| t < time));
        let share = |rows: &[(i64, bool)]| rows.iter().filter(|(_, known)| !known).count() as f64 / rows.len() as f64;
        let (first, second) = timed.split_at(middle);
        let (early, late, all) = (share(first), share(second), share(&timed));
        let error = (all * (1.0 - all) * (1.0 / first.len() as f64 + 1.0 / second.len() as f64)).sqrt();
        let depends_on_time = (late - early).abs() > STANDARD_ERRORS * error;
        Some(Self { clicked: rows, unknown, early, late, depends_on_time })
    }

    /// The warning for the user.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let Self { clicked, unknown, early, late, .. } = self;
        self.depends_on_time.then(|| {
            format!(
                "{unknown} of {clicked} clicked rows have no conversion label yet: {:.1} % of the earlier half of the clicks, \
                 {:.1} % of the later half. pCVR is measured and calibrated on the others. Where labels come with \
                 conversions, recent rows that have one are the converted ones, and the rate is too high: leave out clicks \
                 that are younger than the attribution window",
                100.0 * early,
                100.0 * late
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_come_late_are_told_from_labels_that_are_lost() {
        // In the latest fifth only the conversions are known (every seventh).
        let recent = Unknown::count((0..1000).map(|i| (Some(i), i < 800 || i % 7 == 0))).unwrap();
        assert!(recent.depends_on_time && recent.early == 0.0 && recent.late > 0.3, "{recent:?}");
        assert!(recent.warning().unwrap().contains("younger than the attribution window"));
        let lost = Unknown::count((0..1000).map(|i| (Some(i), i % 5 != 0))).unwrap();
        assert_eq!((lost.clicked, lost.unknown, lost.depends_on_time), (1000, 200, false));
        assert_eq!(lost.warning(), None);
        assert_eq!(Unknown::count([(Some(3), true), (None, true)].into_iter()), None);
        // Without times, and with one time: nothing to compare.
        for time in [None, Some(7)] {
            assert!(!Unknown::count((0..100).map(|i| (time, i > 50))).unwrap().depends_on_time);
        }
    }
}
