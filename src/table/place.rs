//! Finds the perfect hash of a table: its shape from the distribution of the keys, and a pilot for each bucket.

use super::index::{Index, MAX_PART_BITS, Shape, most, salted};
use crate::hash::mix;

/// Keys in one part on average, at most.
const PART_KEYS: u64 = 1 << 17;
/// Keys for each bucket, on average. More make the pilots smaller, which keeps them in the caches, and building slower.
const BUCKET_KEYS: u64 = 6;
/// One of this many slots stays free, so that the last keys find a place.
const FREE_SHARE: u64 = 32;
/// The number of possible pilots of a bucket.
const PILOTS: u32 = 1 << 16;
/// A part with this many times the average number of keys was constructed, not met by chance.
const UNEVEN: u64 = 4;

/// The number of keys in each of the finest parts.
pub(super) struct Histogram(Vec<u32>);

impl Histogram {
    pub(super) fn new() -> Self {
        Self(vec![0; 1 << MAX_PART_BITS])
    }

    pub(super) fn add(&mut self, hash: u64) {
        let count = &mut self.0[part_of(hash, MAX_PART_BITS)];
        *count = count.saturating_add(1);
    }

    /// The shape of a table of these keys. `None`: too many of them fall into one part.
    pub(super) fn shape(&self) -> Option<Shape> {
        let keys: u64 = self.0.iter().map(|&n| u64::from(n)).sum();
        let part_bits = keys.div_ceil(PART_KEYS).max(1).next_power_of_two().trailing_zeros().min(MAX_PART_BITS);
        let parts = self.0.chunks_exact(1 << (MAX_PART_BITS - part_bits));
        let largest: u64 = parts.map(|part| part.iter().map(|&n| u64::from(n)).sum()).max()?;
        if part_bits > 0 && largest > UNEVEN * (keys >> part_bits) {
            return None;
        }
        let slots =
            u32::try_from(largest + largest / FREE_SHARE + 1).ok().filter(|&n| u64::from(n) <= most(part_bits))?;
        let buckets = largest.div_ceil(BUCKET_KEYS).max(1) as u32;
        Some(Shape { part_bits, slots, buckets })
    }
}

/// The hash of a key in the table with this seed.
pub(super) fn hash(key: u64, seed: u64) -> u64 {
    salted(key, mix(seed))
}

/// The index of a hash's part.
#[inline]
pub(super) fn part_of(hash: u64, part_bits: u32) -> usize {
    // In two steps, because a shift by 64 is not defined.
    ((hash >> 1) >> (63 - part_bits)) as usize
}

/// A part in which every key has a slot of its own.
#[derive(Debug)]
pub(super) struct Placed {
    /// One for each bucket of the part.
    pub(super) pilots: Vec<u16>,
    /// The slot of each key in the part, in the order of the given hashes.
    pub(super) slots: Vec<u32>,
}

/// Finds pilots for the hashes of a part, which must be ascending and distinct. `None`: they do not fit together under
/// this seed. With few keys that happens now and then, with many only when they were chosen to collide.
pub(super) fn place(hashes: &[u64], part: usize, index: Index) -> Option<Placed> {
    let shape = index.shape;
    // The hashes are ascending, so each bucket's are contiguous.
    let first = part as u64 * u64::from(shape.buckets);
    let mut ends = vec![0usize; shape.buckets as usize];
    for (i, &hash) in hashes.iter().enumerate() {
        ends[(index.bucket(hash) - first) as usize] = i + 1;
    }
    let mut start = 0;
    let mut buckets: Vec<(usize, usize, usize)> = Vec::with_capacity(ends.len());
    for (bucket, &end) in ends.iter().enumerate() {
        buckets.push((bucket, start, end.max(start)));
        start = end.max(start);
    }
    // Large buckets first, while there is room. The order depends only on the keys.
    buckets.sort_by_key(|&(_, start, end)| std::cmp::Reverse(end - start));
    let mut taken = vec![0u64; (shape.slots as usize).div_ceil(64)];
    let mut placed = Placed { pilots: vec![0; ends.len()], slots: vec![0; hashes.len()] };
    for (bucket, start, end) in buckets {
        if start == end {
            break;
        }
        let (own, slots) = (&hashes[start..end], &mut placed.slots[start..end]);
        placed.pilots[bucket] =
            (0..PILOTS).map(|p| p as u16).find(|&p| fits(own, p, part, index, &mut taken, slots))?;
    }
    Some(placed)
}

/// Takes the slots that a pilot gives a bucket's keys, if all of them are free and differ.
fn fits(hashes: &[u64], pilot: u16, part: usize, index: Index, taken: &mut [u64], slots: &mut [u32]) -> bool {
    let first = part as u64 * u64::from(index.shape.slots);
    let bit = |slot: u32| (slot as usize / 64, 1u64 << (slot % 64));
    for (i, &hash) in hashes.iter().enumerate() {
        let slot = (index.slot(hash, pilot) - first) as u32;
        let (word, mask) = bit(slot);
        if taken[word] & mask != 0 {
            // The slots that this pilot has taken so far are free again.
            for &slot in &slots[..i] {
                let (word, mask) = bit(slot);
                taken[word] &= !mask;
            }
            return false;
        }
        taken[word] |= mask;
        slots[i] = slot;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(hashes: &[u64]) -> Option<Shape> {
        let mut histogram = Histogram::new();
        hashes.iter().for_each(|&h| histogram.add(h));
        histogram.shape()
    }

    #[test]
    fn every_key_has_a_slot_of_its_own() {
        for n in (0..150).chain([1000, 20_000, 300_000]) {
            let seed = (0..16).find(|&seed| {
                let mut hashes: Vec<u64> = (1..=n).map(|key| hash(key, seed)).collect();
                hashes.sort_unstable();
                let index = Index::new(seed, shape(&hashes).unwrap());
                let mut taken = vec![false; index.shape.all_slots() as usize];
                for part in 0..1usize << index.shape.part_bits {
                    let own: Vec<u64> =
                        hashes.iter().copied().filter(|&h| part_of(h, index.shape.part_bits) == part).collect();
                    let Some(placed) = place(&own, part, index) else { return false };
                    assert_eq!(placed.pilots.len(), index.shape.buckets as usize);
                    for (&hash, &slot) in own.iter().zip(&placed.slots) {
                        let bucket = index.bucket(hash) as usize - part * index.shape.buckets as usize;
                        let found = index.slot(hash, placed.pilots[bucket]) as usize;
                        assert_eq!(found, part * index.shape.slots as usize + slot as usize);
                        assert!(!std::mem::replace(&mut taken[found], true));
                    }
                }
                true
            });
            assert!(seed.is_some_and(|seed| seed < 4), "{n} keys took seed {seed:?}");
        }
    }

    /// The numbers of docs/tables.md, "How large", for tables that no test builds.
    #[test]
    fn large_tables_have_shapes_that_fit() {
        for (rows, part_bits, slots_gb, pilots_mb) in
            [(10_000_000u64, 7, 0.66, 3.36), (100_000_000, 10, 6.67, 33.7), (2_000_000_000, 14, 133.3, 673.0)]
        {
            // By chance some of the finest parts have a hundredth more keys and some as many fewer.
            let mut histogram = Histogram::new();
            let each = rows >> MAX_PART_BITS;
            for (i, count) in histogram.0.iter_mut().enumerate() {
                *count = match i % 8 {
                    0 => each + each / 100,
                    1 => each - each / 100,
                    _ => each,
                } as u32;
            }
            let keys: u64 = histogram.0.iter().map(|&n| u64::from(n)).sum();
            let shape = histogram.shape().unwrap();
            assert_eq!(shape.part_bits, part_bits, "{rows} rows");
            assert!(keys >> part_bits <= PART_KEYS);
            let (slots, buckets) = (shape.all_slots(), shape.all_buckets());
            assert!(slots > keys + keys / FREE_SHARE && slots < keys + keys / 20, "{slots} slots for {keys} rows");
            assert!(buckets >= keys / BUCKET_KEYS && buckets < keys / BUCKET_KEYS * 21 / 20, "{buckets} buckets");
            let about = |bytes: u64, expected: f64| (bytes as f64 / expected - 1.0).abs() < 0.05;
            assert!(about(slots * 64, slots_gb * 1e9), "{} bytes of slots", slots * 64);
            assert!(about(buckets * 2, pilots_mb * 1e6), "{} bytes of pilots", buckets * 2);
            // The first and the last hash have slots and buckets inside; a place has 48 bits.
            let index = Index::new(0, shape);
            for pilot in [0, 1, u16::MAX] {
                assert!(index.slot(0, pilot) < u64::from(shape.slots));
                assert!((slots - u64::from(shape.slots)..slots).contains(&index.slot(u64::MAX, pilot)));
            }
            assert_eq!((index.bucket(0), index.bucket(u64::MAX)), (0, buckets - 1));
            assert!(slots * 64 < 1 << 48 && usize::try_from(slots * 64).is_ok());
        }
        // More than there can be.
        let mut histogram = Histogram::new();
        histogram.0.fill(1 << 18);
        assert_eq!(histogram.shape(), None);
    }

    #[test]
    fn keys_made_to_collide_are_given_up_and_not_searched_for_ever() {
        // All in one bucket: more than one pilot can place.
        let hashes: Vec<u64> = (0..2000).collect();
        let index = Index::new(0, shape(&hashes).unwrap());
        assert!(place(&hashes, 0, index).is_none());
        // All in one of several parts.
        let hashes: Vec<u64> = (0..7 * PART_KEYS + 1).collect();
        assert_eq!(shape(&hashes).map(|s| s.part_bits), None);
    }
}
