//! Inputs derived from the request's time, in the user's own time zone.

use std::f64::consts::TAU;

use crate::schema::TIME_INPUTS;

/// The derivations of [`TIME_INPUTS`], in that order. Sines and cosines come from tables, so every machine has the same
/// bits.
/// same bits.
#[derive(Debug, Clone)]
pub struct TimeInputs {
    hours: [(f32, f32); 24],
    weekdays: [(f32, f32); 7],
}

impl Default for TimeInputs {
    fn default() -> Self {
        let cycle = |i: usize, n: f64| {
            let angle = TAU * i as f64 / n;
            (libm::sin(angle) as f32, libm::cos(angle) as f32)
        };
        Self { hours: std::array::from_fn(|i| cycle(i, 24.0)), weekdays: std::array::from_fn(|i| cycle(i, 7.0)) }
    }
}

impl TimeInputs {
    /// The inputs at an instant (microseconds since 1970-01-01 UTC) for a user at an offset from UTC (seconds).
    #[must_use]
    pub fn at(&self, time_us: i64, utc_offset_s: i32) -> [f32; TIME_INPUTS.len()] {
        let seconds = time_us.div_euclid(1_000_000) + i64::from(utc_offset_s);
        let hour = seconds.div_euclid(3600).rem_euclid(24) as usize;
        // 1970-01-01 was a Thursday; Monday is 0.
        let weekday = (seconds.div_euclid(86_400) + 3).rem_euclid(7) as usize;
        let (hour_sin, hour_cos) = self.hours[hour];
        let (weekday_sin, weekday_cos) = self.weekdays[weekday];
        let weekend = if weekday >= 5 { 1.0 } else { 0.0 };
        [hour as f32, weekday as f32, weekend, hour_sin, hour_cos, weekday_sin, weekday_cos]
    }
}
