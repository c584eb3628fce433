//! What is counted in the training rows before the schema can be built: ids, and the numbers' distributions.
//!
//! Memory is bounded whatever the size of the data: at most [`MAX_IDS`] ids per table are counted at a time (when
//! there are more, the rarest are dropped and every count may from then on be too low by the number of rounds, as in
//! lossy counting), and [`SAMPLE`] values per number are kept for the quantiles.

use std::collections::HashMap;

use adclick::schema::Transform;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The most ids that are counted per table.
pub(super) const MAX_IDS: usize = 4 << 20;
/// Values per number that the quantiles are taken from.
const SAMPLE: usize = 1 << 16;

/// The counts of a table's ids.
#[derive(Debug, Default)]
pub(super) struct IdCounts {
    counts: HashMap<u64, u32>,
    floor: u32,
}

impl IdCounts {
    pub(super) fn add(&mut self, id: u64) {
        let count = self.counts.entry(id).or_insert(0);
        *count = count.saturating_add(1);
        while self.counts.len() > MAX_IDS {
            self.floor += 1;
            let floor = self.floor;
            self.counts.retain(|_, count| *count > floor);
        }
    }

    /// The ids counted at least so often, most frequent first, equal ones by id.
    pub(super) fn frequent(&self, min_count: u32) -> Vec<u64> {
        let mut kept: Vec<(u32, u64)> =
            self.counts.iter().filter(|(_, c)| **c >= min_count).map(|(&id, &count)| (count, id)).collect();
        kept.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        kept.into_iter().map(|(_, id)| id).collect()
    }
}

/// Mean and deviation of a transformed number (Welford), and a sample of its raw values.
#[derive(Debug)]
pub(super) struct NumberStats {
    shape: Transform,
    n: u64,
    mean: f64,
    m2: f64,
    sample: Vec<f32>,
    rng: ChaCha8Rng,
}

impl NumberStats {
    /// `shape` is the transform without standardisation.
    pub(super) fn new(shape: Transform, seed: u64) -> Self {
        Self { shape, n: 0, mean: 0.0, m2: 0.0, sample: Vec::new(), rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    pub(super) fn add(&mut self, raw: f32) {
        self.n += 1;
        let x = f64::from(self.shape.apply(raw));
        let delta = x - self.mean;
        self.mean += delta / self.n as f64;
        self.m2 += delta * (x - self.mean);
        if self.sample.len() < SAMPLE {
            self.sample.push(raw);
        } else {
            // Every value stays with the same probability.
            let at = ((u128::from(self.rng.next_u64()) * u128::from(self.n)) >> 64) as usize;
            if let Some(place) = self.sample.get_mut(at) {
                *place = raw;
            }
        }
    }

    /// The transform with mean and deviation taken out.
    pub(super) fn standardised(&self) -> Transform {
        let deviation = (self.m2 / self.n.max(1) as f64).sqrt() as f32;
        let scale = if deviation.is_finite() && deviation > 1e-6 { deviation } else { 1.0 };
        Transform { mean: self.mean as f32, scale, ..self.shape }
    }

    /// A raw value in the middle: the median, which stands in for a missing number.
    pub(super) fn median(&self) -> f32 {
        let sorted = self.sorted();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// Ascending boundaries of at most `buckets` buckets of equal mass; a value that is frequent gets its own.
    pub(super) fn boundaries(&self, buckets: u32) -> Vec<f32> {
        let sorted = self.sorted();
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

    fn sorted(&self) -> Vec<f32> {
        let mut sorted = self.sample.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        sorted
    }
}
