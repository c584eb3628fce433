//! What the parts of a batch read, once values are taken away and left out as the step draws. Where a batch is cut depends
//! on its length alone, and so do all sums: the number of threads changes nothing.

use adclick::builder::hash::mix;
use adclick::builder::prefetch::prefetch;

use super::encode::{Drop, Examples, NONE, X0Layout};
use crate::kernel::{Dropout, draw};

/// The rows of a part, where a batch has enough for four parts of them.
const MANY: usize = 128;
/// The fewest rows of a part, where a batch has enough for four parts.
const LEAST: usize = 64;
/// The most parts: each has gradients of its own, which have to be added up.
const MOST: usize = 16;
/// Examples are asked for that many before they are read.
const AHEAD: usize = 8;
/// Salts of draws that should know nothing of each other.
const TAKEN: u64 = 1 << 40;
const DROPPED: u64 = 1 << 41;

/// The rows of each part of a batch; the last may have fewer.
pub(super) fn part_rows(batch: usize) -> usize {
    let parts = (batch / MANY).clamp((batch / LEAST).clamp(1, 4), MOST);
    batch.div_ceil(parts).max(1)
}

/// What a step draws by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draws {
    pub(super) key: u64,
    /// The rates at which embeddings and deep activations are left out.
    pub(super) embeddings: f64,
    pub(super) activations: f64,
}

/// The rows that a part reads of one multi-valued category.
#[derive(Default)]
pub(super) struct BagPart {
    /// Where each example's end.
    pub(super) ends: Vec<u32>,
    pub(super) rows: Vec<u32>,
    pub(super) weights: Vec<f32>,
    /// For each example, the factor of the weighted sum.
    pub(super) scales: Vec<f32>,
}

/// What a part of a batch reads, and the gradients there.
#[derive(Default)]
pub(super) struct Gathered {
    /// Examples.
    pub(super) n: usize,
    /// Rows of single-valued categories, one category after the other; [`NONE`] where none is read.
    singles: Vec<u32>,
    /// The factor of these rows.
    pub(super) factor: f32,
    pub(super) bags: Vec<BagPart>,
    /// The gradients at the inputs `[n, pitch]` and at the logits `[n, heads]`.
    pub(super) dx: Vec<f32>,
    pub(super) dlogits: Vec<f32>,
}

impl Gathered {
    /// The rows of a single-valued category.
    pub(super) fn single(&self, slot: usize) -> &[u32] {
        &self.singles[slot * self.n..][..self.n]
    }

    /// Notes what the examples of `batch` read, the first of which has this number in the whole batch. Some values are taken
    /// away and others left out; those that are left are scaled up: the model learns not to rest on any one of them.
    pub(super) fn set(&mut self, plan: &X0Layout, examples: &Examples, batch: &[usize], first: usize, draws: &Draws) {
        let (n, singles, bags) = (batch.len(), plan.singles.len(), plan.bags.len());
        self.n = n;
        self.singles.resize(n * singles, NONE);
        let drop = |slot: usize| Dropout::new(draws.embeddings, mix(draws.key ^ DROPPED ^ slot as u64));
        self.factor = drop(0).scale;
        for (i, &example) in batch.iter().enumerate() {
            if let Some(&next) = batch.get(i + AHEAD) {
                for line in (0..singles).step_by(16) {
                    prefetch(&examples.singles, next * singles + line);
                }
            }
            for (slot, &row) in examples.singles[example * singles..][..singles].iter().enumerate() {
                self.singles[slot * n + i] = row;
            }
        }
        for slot in 0..singles {
            let taken = taken(plan, slot);
            let (key, drop) = (mix(draws.key ^ TAKEN ^ slot as u64) as u32, drop(slot));
            for (row, number) in self.singles[slot * n..][..n].iter_mut().zip(first as u32..) {
                if let Some(taken) = taken.filter(|_| *row != NONE) {
                    *row = replaced(taken, draw(key, number), *row);
                }
                if draws.embeddings > 0.0 && drop.factor(number) == 0.0 {
                    *row = NONE;
                }
            }
        }
        self.bags.resize_with(bags, BagPart::default);
        for (b, bag) in self.bags.iter_mut().enumerate() {
            let slot = singles + b;
            let taken = taken(plan, slot);
            let (key, drop) = (mix(draws.key ^ TAKEN ^ slot as u64) as u32, drop(slot));
            bag.clear();
            for (i, &example) in batch.iter().enumerate() {
                let at = example * bags + b;
                for (number, &(row, weight)) in (0u32..).zip(examples.bag(at)) {
                    let number = mix(((first + i) as u64) << 32 | u64::from(number)) as u32;
                    let row = taken.map_or(row, |taken| replaced(taken, draw(key, number), row));
                    let factor = if draws.embeddings > 0.0 { drop.factor(number) } else { 1.0 };
                    if row != NONE && factor > 0.0 {
                        bag.rows.push(row);
                        bag.weights.push(weight * factor);
                    }
                }
                bag.ends.push(bag.rows.len() as u32);
                bag.scales.push(examples.bag_scales[at]);
            }
        }
    }
}

impl BagPart {
    fn clear(&mut self) {
        self.ends.clear();
        self.rows.clear();
        self.weights.clear();
        self.scales.clear();
    }

    /// The entries of an example.
    pub(super) fn entries(&self, example: usize) -> std::ops::Range<usize> {
        let start = if example == 0 { 0 } else { self.ends[example - 1] };
        start as usize..self.ends[example] as usize
    }
}

/// How often a category's values are taken away, if at all.
fn taken(plan: &X0Layout, slot: usize) -> Option<Drop> {
    plan.drops.get(slot).filter(|drop| drop.unknown + drop.missing > 0.0).copied()
}

/// The row that is read in the place of `row`.
#[inline]
fn replaced(taken: Drop, draw: u32, row: u32) -> u32 {
    let share = f64::from(draw) / 2f64.powi(32);
    if share < taken.unknown {
        taken.unknown_row
    } else if share < taken.unknown + taken.missing {
        taken.missing_row
    } else {
        row
    }
}
