//! The share of clicks whose conversion label is known, as a function of the impression's time.
//!
//! ESMM learns conversions over all impressions, and a clicked row without a label drops out of its loss. The unclicked
//! rows around it must drop out in the same proportion, or too few clicks face them: with a known share k and all
//! unclicked rows, the learnt pCVR is k / (1 − p + p·k) of the true one. So an unclicked row is weighted by the known
//! share of similar clicks. Conversions take time, so which labels are missing depends above all on age. The share is
//! therefore a function of time.

use super::sample::Sieve;

/// The most clicked rows that the shares are estimated from.
const CLICKS: usize = 1 << 18;
/// The most stretches of time.
const STRETCHES: usize = 64;
/// The fewest clicks in a stretch: they give its share to 0.05 or better.
const LEAST_CLICKS: usize = 100;

/// A clicked row.
#[derive(Debug, Clone, Copy)]
struct Click {
    number: u64,
    time_us: Option<i64>,
    known: bool,
    weight: f64,
}

/// Clicked rows, sampled when there are many.
#[derive(Debug, Default)]
pub(super) struct Clicks {
    sieve: Sieve,
    clicks: Vec<Click>,
}

impl Clicks {
    pub(super) fn add(&mut self, number: u64, time_us: Option<i64>, known: bool, weight: f64) {
        if !self.sieve.passes(number) {
            return;
        }
        self.clicks.push(Click { number, time_us, known, weight });
        while self.clicks.len() > CLICKS {
            self.sieve.halve();
            let sieve = &self.sieve;
            self.clicks.retain(|click| sieve.passes(click.number));
        }
    }

    /// The known shares.
    pub(super) fn shares(mut self) -> KnownShare {
        // Ties in time are ordered by row number, so the order of summation does not depend on that of the files.
        self.clicks.sort_by_key(|click| (click.time_us, click.number));
        let timed = self.clicks.iter().all(|click| click.time_us.is_some());
        let stretches = if timed { (self.clicks.len() / LEAST_CLICKS).clamp(1, STRETCHES) } else { 1 };
        let mut points: Vec<(f64, f64)> = Vec::with_capacity(stretches);
        for stretch in 0..stretches {
            let at = |i: usize| i * self.clicks.len() / stretches;
            let clicks = &self.clicks[at(stretch)..at(stretch + 1)];
            let weight: f64 = clicks.iter().map(|c| c.weight).sum();
            if weight <= 0.0 {
                continue;
            }
            let known: f64 = clicks.iter().filter(|c| c.known).map(|c| c.weight).sum();
            let time: f64 = clicks.iter().map(|c| c.time_us.unwrap_or(0) as f64 / clicks.len() as f64).sum();
            points.push((time, known / weight));
        }
        KnownShare { points }
    }
}

/// The share of clicks whose conversion is known, as a function of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct KnownShare {
    /// Mean time and share of each stretch. When empty, every conversion counts as known.
    points: Vec<(f64, f64)>,
}

impl KnownShare {
    /// The share at a time: linear between the middles of two stretches, constant before the first and after the last.
    pub(super) fn share(&self, time_us: Option<i64>) -> f64 {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else { return 1.0 };
        let time = time_us.map_or(first.0, |t| t as f64);
        let after = self.points.partition_point(|point| point.0 <= time);
        if after == 0 {
            return first.1;
        }
        let Some(next) = self.points.get(after) else { return last.1 };
        let before = self.points[after - 1];
        before.1 + (next.1 - before.1) * (time - before.0) / (next.0 - before.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_time() {
        let mut clicks = Clicks::default();
        for number in 0..20_000u64 {
            // All clicks of the first half are known, then fewer and fewer towards the end.
            let time = number as i64 * 1_000_000;
            let share = (2.0 - 2.0 * number as f64 / 20_000.0).min(1.0);
            let known = adclick::builder::hash::mix(number) as f64 / u64::MAX as f64 <= share;
            clicks.add(number, Some(time), known, 2.0);
        }
        let known = clicks.shares();
        for (second, share) in [(0, 1.0), (5000, 1.0), (12_000, 0.8), (15_000, 0.5), (18_000, 0.2)] {
            let got = known.share(Some(second * 1_000_000));
            assert!((got - share).abs() < 0.06, "{share} after {second} s, got {got}");
        }
        assert!(known.share(Some(i64::MAX)) < 0.05);
        assert_eq!(KnownShare::default().share(None), 1.0);
    }

    #[test]
    fn without_times_there_is_one_share() {
        let mut clicks = Clicks::default();
        (0..1000).for_each(|i| clicks.add(i, None, i % 4 == 0, if i % 4 == 0 { 3.0 } else { 1.0 }));
        assert_eq!(clicks.shares().share(Some(7)), 0.5);
    }
}
