//! The best so far: a bounded heap.

use crate::error::Result;
use crate::memory::filled;

/// An ad that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Its ordinal.
    pub ordinal: u32,
    /// The inner product.
    pub score: f32,
}

/// The `k` best scores, ties by the smaller ordinal. Sized once.
#[derive(Debug)]
pub struct Top {
    /// A heap of keys with the least at the front while the search runs; afterwards the best first.
    keys: Box<[u64]>,
    len: usize,
    k: usize,
}

/// A key that sorts as its hit does: by score, then by the smaller ordinal.
fn key(score: f32, ordinal: u32) -> u64 {
    // -0 and 0 are the same score.
    let bits = (score + 0.0).to_bits();
    let rising = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(rising) << 32 | u64::from(!ordinal)
}

fn hit(key: u64) -> Hit {
    let rising = (key >> 32) as u32;
    let bits = if rising >> 31 == 1 { rising & !(1 << 31) } else { !rising };
    Hit { ordinal: !(key as u32), score: f32::from_bits(bits) }
}

impl Top {
    /// Room for `most` hits (8 bytes each).
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub fn new(most: usize) -> Result<Self> {
        Ok(Self { keys: filled(most)?, len: 0, k: 0 })
    }

    /// Begins a search for the `k` best, or as many as there is room for.
    pub fn begin(&mut self, k: usize) {
        self.k = k.min(self.keys.len());
        self.len = 0;
    }

    /// How many are looked for.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The score that one more hit must beat.
    #[inline]
    pub(super) fn least(&self) -> f32 {
        match (self.k, self.len < self.k) {
            (0, _) => f32::INFINITY,
            (_, true) => f32::NEG_INFINITY,
            _ => hit(self.keys[0]).score,
        }
    }

    /// Takes a hit in, if it is among the best.
    #[inline]
    pub fn push(&mut self, score: f32, ordinal: u32) {
        let key = key(score, ordinal);
        if self.len < self.k {
            let mut at = self.len;
            self.len += 1;
            while at > 0 && self.keys[(at - 1) / 2] > key {
                self.keys[at] = self.keys[(at - 1) / 2];
                at = (at - 1) / 2;
            }
            self.keys[at] = key;
        } else if self.k > 0 && key > self.keys[0] {
            let heap = &mut self.keys[..self.k];
            let mut at = 0;
            loop {
                let mut child = 2 * at + 1;
                if child + 1 < heap.len() && heap[child + 1] < heap[child] {
                    child += 1;
                }
                if child >= heap.len() || heap[child] >= key {
                    break;
                }
                heap[at] = heap[child];
                at = child;
            }
            heap[at] = key;
        }
    }

    /// Ends the search: the hits, best first.
    pub fn finish(&mut self) -> impl ExactSizeIterator<Item = Hit> + '_ {
        let found = &mut self.keys[..self.len];
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.iter().map(|&key| hit(key))
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.keys)
    }
}
