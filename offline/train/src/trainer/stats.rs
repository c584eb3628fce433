//! Counts over the training rows that the schema is built from: ids, and the distributions of numbers.
//!
//! Memory is bounded for data of any size. At most [`MAX_IDS`] ids per table are counted at a time: when there are
//! more, the rarest are dropped, and from then on every count may be too low by the number of rounds, as in lossy
//! counting. [`SAMPLE`] values per number are kept for means, deviations and quantiles. Up to these bounds the order of
//! the rows has no effect.

use adclick::builder::schema::Transform;
use foldhash::HashMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The most ids that are counted per table.
pub(super) const MAX_IDS: usize = 4 << 20;
/// Values sampled per number; all its statistics come from them.
const SAMPLE: usize = 1 << 16;
/// The share of values on either side that may be extreme. The values between form the range of a number.
const EXTREME: f64 = 0.001;

/// The counts of a table's ids.
#[derive(Debug, Default)]
pub(super) struct IdCounts {
    counts: HashMap<u64, u32>,
    floor: u32,
    /// Values seen.
    all: u64,
}

impl IdCounts {
    pub(super) fn add(&mut self, id: u64) {
        self.all += 1;
        let count = self.counts.entry(id).or_insert(0);
        *count = count.saturating_add(1);
        while self.counts.len() > MAX_IDS {
            self.floor += 1;
            let floor = self.floor;
            self.counts.retain(|_, count| *count > floor);
        }
    }

    /// The ids counted at least that often, most frequent first, ties by id.
    pub(super) fn frequent(&self, min_count: u32) -> Vec<u64> {
        let mut kept: Vec<(u32, u64)> =
            self.counts.iter().filter(|(_, c)| **c >= min_count).map(|(&id, &count)| (count, id)).collect();
        kept.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        kept.into_iter().map(|(_, id)| id).collect()
    }

    /// The share of values whose ids are not known.
    pub(super) fn unknown(&self, known: impl Fn(u64) -> bool) -> f64 {
        let seen: u64 = self.counts.iter().filter(|(id, _)| known(**id)).map(|(_, &c)| u64::from(c)).sum();
        if self.all == 0 { 0.0 } else { 1.0 - seen as f64 / self.all as f64 }
    }
}

/// A sample of a number's raw values.
#[derive(Debug)]
pub(super) struct NumberStats {
    shape: Transform,
    n: u64,
    sample: Vec<f32>,
    rng: ChaCha8Rng,
}

impl NumberStats {
    /// `shape` is the transform without standardisation.
    pub(super) fn new(shape: Transform, seed: u64) -> Self {
        Self { shape, n: 0, sample: Vec::new(), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(super) fn add(&mut self, raw: f32) {
        self.n += 1;
        if self.sample.len() < SAMPLE {
            self.sample.push(raw);
        } else {
            // Every value is kept with the same probability.
            let at = ((u128::from(self.rng.next_u64()) * u128::from(self.n)) >> 64) as usize;
            if let Some(place) = self.sample.get_mut(at) {
                *place = raw;
            }
        }
    }

    /// The sampled values.
    pub(super) fn distribution(&self) -> Distribution {
        let mut sorted = self.sample.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        Distribution { shape: self.shape, sorted }
    }
}

/// Raw values in ascending order.
#[derive(Debug)]
pub(super) struct Distribution {
    shape: Transform,
    sorted: Vec<f32>,
}

impl Distribution {
    /// The transform, standardised by mean and deviation. Where the shape has no limits of its own, values far outside
    /// the range seen are clipped, so that no single value outweighs all others.
    pub(super) fn standardised(&self) -> Transform {
        let mut shape = self.shape;
        if shape.clip == Transform::default().clip {
            shape.clip = self.limits();
        }
        let n = self.sorted.len().max(1) as f64;
        let values = || self.sorted.iter().map(|&raw| f64::from(shape.apply(raw)));
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt() as f32;
        let scale = if deviation.is_finite() && deviation > 1e-6 { deviation } else { 1.0 };
        Transform { mean: mean as f32, scale, ..shape }
    }

    /// The range of all values except the most extreme thousandth on either side, extended by its own width on both.
    /// Nearly constant values say nothing about how far others may lie, so then only the others are used.
    fn limits(&self) -> (f32, f32) {
        let range = |sorted: &[f32]| {
            let last = sorted.len().saturating_sub(1);
            let at = |share: f64| sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0);
            (at(EXTREME), at(1.0 - EXTREME))
        };
        let (mut low, mut high) = range(&self.sorted);
        if low == high {
            let others: Vec<f32> = self.sorted.iter().copied().filter(|&x| x != low).collect();
            if others.is_empty() {
                return Transform::default().clip;
            }
            let (least, most) = range(&others);
            (low, high) = (low.min(least), high.max(most));
        }
        let width = f64::from(high) - f64::from(low);
        let bound = |x: f64| x.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
        (bound(f64::from(low) - width), bound(f64::from(high) + width))
    }

    /// The median of the raw values, which replaces a missing number.
    pub(super) fn median(&self) -> f32 {
        self.sorted.get(self.sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// Ascending boundaries of at most `buckets` buckets of equal mass; a frequent value gets its own bucket.
    pub(super) fn boundaries(&self, buckets: u32) -> Vec<f32> {
        let sorted = &self.sorted;
        let mut boundaries: Vec<f32> = (1..buckets as usize)
            .filter_map(|i| sorted.get(i * sorted.len() / buckets as usize).copied())
            .filter(|b| sorted.first().is_some_and(|first| b > first))
            .collect();
        boundaries.dedup();
        if boundaries.is_empty() {
            boundaries.push(sorted.first().copied().unwrap_or(0.0));
        }
        boundaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Distribution {
        let mut stats = NumberStats::new(Transform::default(), 0);
        values.iter().for_each(|&x| stats.add(x));
        stats.distribution()
    }

    #[test]
    fn one_wild_value_changes_nothing_for_the_others() {
        let tame: Vec<f32> = (0..4000).map(|i| (i % 100) as f32).collect();
        let mut wild = tame.clone();
        wild[17] = 1e30;
        let (tame, wild) = (of(&tame).standardised(), of(&wild).standardised());
        assert_eq!(tame.clip, wild.clip);
        assert_eq!(tame.clip, (-99.0, 198.0));
        assert!((tame.mean - 49.5).abs() < 1e-3 && (tame.scale - 28.87).abs() < 0.01, "{tame:?}");
        assert!((tame.mean - wild.mean).abs() < 0.1 && (tame.scale - wild.scale).abs() < 0.1, "{wild:?}");
        assert!(wild.apply(1e30) < 6.0);
    }

    #[test]
    fn rare_values_are_not_cut_off() {
        // 1 in 2,000 is not 0: it is the column's only information.
        let values: Vec<f32> = (0..4000).map(|i| if i % 2000 == 0 { 5.0 } else { 0.0 }).collect();
        let transform = of(&values).standardised();
        assert!(transform.clip.0 <= 0.0 && transform.clip.1 >= 5.0, "{transform:?}");
        assert_eq!(of(&[3.0; 50]).standardised().clip, Transform::default().clip);
        assert_eq!(of(&[]).standardised(), Transform::default());
    }

    #[test]
    fn the_order_of_rows_changes_nothing() {
        let values: Vec<f32> = (0..5000u64).map(|i| adclick::builder::hash::mix(i) as f32 / 1e18).collect();
        let mut turned = values.clone();
        turned.reverse();
        let (a, b) = (of(&values), of(&turned));
        assert_eq!((a.standardised(), a.boundaries(16), a.median()), (b.standardised(), b.boundaries(16), b.median()));
        let (mut up, mut down) = (IdCounts::default(), IdCounts::default());
        (0..1000).for_each(|i| up.add(i % 37));
        (0..1000).rev().for_each(|i| down.add(i % 37));
        assert_eq!(up.frequent(1), down.frequent(1));
        assert_eq!((up.frequent(28), up.unknown(|id| id == 0)), (vec![0], 1.0 - 28.0 / 1000.0));
    }
}
