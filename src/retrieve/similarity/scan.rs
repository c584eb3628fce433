//! The scan over the eligible rows.

use super::Vectors;
use super::codes::Codes;
use super::query::Query;
use super::rows::{Lanes, Ordinals, ROWS};
use super::top::Top;
use crate::prefetch::prefetch;

/// Rows that are asked for before they are needed.
const LEAD: usize = 64;
/// Room for those, for the rows at hand and for one more word of the bitset. A power of two.
const RING: usize = 256;
/// Bytes of a cache line.
const LINE: usize = 64;

/// How the answer is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By whichever reads fewer bytes.
    Planned,
    /// All eligible rows in fp16.
    Rows,
    /// All eligible rows' codes, and the rows in fp16 that their bounds do not rule out.
    Codes,
}

/// What a search did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// [`Way::Rows`] or [`Way::Codes`].
    pub way: Way,
    /// Eligible ads.
    pub eligible: u64,
    /// Rows that were read in fp16.
    pub rows_read: u64,
    /// Codes that were read.
    pub codes_read: u64,
}

/// A search: which vectors, with which instructions, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// The vectors.
    pub vectors: &'a Vectors<'a>,
    /// The instructions.
    pub lanes: Lanes,
    /// How.
    pub way: Way,
}

impl Scan<'_> {
    /// Finds the best `top.k()` of the eligible ads: ad i is eligible when bit i of the words is set; bits past the last ad
    /// count for nothing. Ties go to the smaller ordinal. Allocates nothing.
    ///
    /// `None` when the query does not have as many numbers as the vectors.
    pub fn run(&self, query: &Query, eligible: &[u64], top: &mut Top) -> Option<Route> {
        let vectors = self.vectors;
        if query.dims() != vectors.dims {
            return None;
        }
        let words = &eligible[..eligible.len().min(vectors.len().div_ceil(64))];
        let past = past(vectors.len(), words.len());
        let count = self.lanes.count(words) - words.last().map_or(0, |last| u64::from((last & past).count_ones()));
        let mut route = Route { way: Way::Rows, eligible: count, rows_read: 0, codes_read: 0 };
        let walk = Walk::new(words, past);
        match vectors.codes.filter(|_| self.by_codes(count, top.k())) {
            Some(codes) => self.by_bounds(&codes, query, walk, top, &mut route),
            None => self.all_rows(query, walk, top, &mut route),
        }
        Some(route)
    }

    /// Whether codes read fewer bytes. Rows in any order give way to better ones k·ln(eligible / k) times, about; bounds let
    /// half as many more through.
    fn by_codes(&self, eligible: u64, k: usize) -> bool {
        match self.way {
            Way::Rows => false,
            Way::Codes => true,
            Way::Planned => {
                let (eligible, k) = (eligible as f64, k as f64);
                let through = if eligible > k { 1.5 * k * (1.0 + (eligible / k.max(1.0)).ln()) } else { eligible };
                let (row, code) = (2.0 * self.vectors.stride as f64, self.vectors.stride as f64 + 2.0);
                eligible * code + through * row < eligible * row
            }
        }
    }

    fn all_rows(&self, query: &Query, mut walk: Walk<'_>, top: &mut Top, route: &mut Route) {
        let (vectors, lanes) = (self.vectors, self.lanes);
        let stride = vectors.stride;
        let ask = |ordinal: u32| ask(vectors.rows, ordinal as usize * stride, stride);
        while let Some((ordinals, n)) = walk.next(ask) {
            let scores = lanes.scores(vectors, query, &ordinals);
            route.rows_read += n as u64;
            take(top, &ordinals[..n], &scores[..n]);
        }
    }

    fn by_bounds(&self, codes: &Codes<'_>, query: &Query, mut walk: Walk<'_>, top: &mut Top, route: &mut Route) {
        let (vectors, lanes, line) = (self.vectors, self.lanes, query.line(codes));
        let stride = vectors.stride;
        route.way = Way::Codes;
        let ask_codes = |ordinal: u32| {
            ask(codes.codes, ordinal as usize * stride, stride);
            prefetch(codes.scales, ordinal as usize);
        };
        // Rows that may be among the best wait here until there are sixteen.
        let (mut waiting, mut n_waiting): (Ordinals, usize) = ([0; ROWS], 0);
        while let Some((ordinals, n)) = walk.next(ask_codes) {
            route.codes_read += n as u64;
            let mut above = lanes.above(codes, query, line, &ordinals, top.least());
            above &= u16::MAX >> (ROWS - n);
            while above != 0 {
                let ordinal = ordinals[above.trailing_zeros() as usize];
                above &= above - 1;
                ask(vectors.rows, ordinal as usize * stride, stride);
                waiting[n_waiting] = ordinal;
                n_waiting += 1;
                if n_waiting == ROWS {
                    take(top, &waiting, &lanes.scores(vectors, query, &waiting));
                    route.rows_read += ROWS as u64;
                    n_waiting = 0;
                }
            }
        }
        if n_waiting > 0 {
            let first = waiting[0];
            waiting[n_waiting..].fill(first);
            let scores = lanes.scores(vectors, query, &waiting);
            take(top, &waiting[..n_waiting], &scores[..n_waiting]);
            route.rows_read += n_waiting as u64;
        }
    }
}

/// Prefetches `len` entries from `at` on.
#[inline(always)]
fn ask<T>(entries: &[T], at: usize, len: usize) {
    for line in (at..at + len).step_by(LINE / size_of::<T>()) {
        prefetch(entries, line);
    }
}

/// Takes in the scores that may be among the best.
#[inline(always)]
fn take(top: &mut Top, ordinals: &[u32], scores: &[f32]) {
    let mut least = top.least();
    for (&ordinal, &score) in ordinals.iter().zip(scores) {
        // A tie with the last of the best loses unless its ordinal is smaller, which the heap knows.
        if score >= least {
            top.push(score, ordinal);
            least = top.least();
        }
    }
}

/// The bits of the last of `words` words that stand for no ad.
fn past(ads: usize, words: usize) -> u64 {
    let ads_of_last = ads - words.saturating_sub(1) * 64;
    if ads_of_last >= 64 { 0 } else { !0 << ads_of_last }
}

/// Walks over the set bits, sixteen at a time, and asks for what belongs to them some time before.
struct Walk<'a> {
    words: &'a [u64],
    /// Bits of the last word that do not count.
    past: u64,
    /// The next word.
    at: usize,
    ring: [u32; RING],
    head: usize,
    tail: usize,
}

impl<'a> Walk<'a> {
    fn new(words: &'a [u64], past: u64) -> Self {
        Self { words, past, at: 0, ring: [0; RING], head: 0, tail: 0 }
    }

    /// The next ordinals, and how many they are; the others repeat the last one. None: there are no more.
    #[inline(always)]
    fn next(&mut self, ask: impl Fn(u32)) -> Option<(Ordinals, usize)> {
        while self.tail - self.head < LEAD + ROWS
            && let Some(&word) = self.words.get(self.at)
        {
            if word == 0 {
                // Where little is eligible, most of the time goes by here.
                self.at += 1;
                while let Some(words) = self.words.get(self.at..self.at + 8)
                    && words.iter().fold(0, |all, word| all | word) == 0
                {
                    self.at += 8;
                }
                continue;
            }
            let word = if self.at + 1 == self.words.len() { word & !self.past } else { word };
            let first = 64 * self.at as u32;
            self.at += 1;
            if word == !0 {
                for ordinal in first..first + 64 {
                    self.ring[self.tail % RING] = ordinal;
                    self.tail += 1;
                    ask(ordinal);
                }
                continue;
            }
            let mut bits = word;
            while bits != 0 {
                let ordinal = first + bits.trailing_zeros();
                bits &= bits - 1;
                self.ring[self.tail % RING] = ordinal;
                self.tail += 1;
                ask(ordinal);
            }
        }
        let n = (self.tail - self.head).min(ROWS);
        if n == 0 {
            return None;
        }
        let at = self.head % RING;
        let mut ordinals: Ordinals = self.ring[at..at + ROWS].try_into().ok()?;
        self.head += n;
        if n < ROWS {
            let last = ordinals[n - 1];
            ordinals[n..].fill(last);
        }
        Some((ordinals, n))
    }
}
