//! The slot of a key's row: a perfect hash, so that a lookup reads one slot and never searches.
//!
//! The hash `h` of a key chooses a part by its high bits, and one of the part's buckets by all of its bits. The
//! bucket's pilot, a number found when the table was built, sends each of the bucket's keys to a slot of its own in the
//! part (Fox, Heath, Chen, Daoud 1992; Pibiri, Trani 2021). The slot holds the key, which distinguishes it from other
//! keys. All parts have one size, so only the pilot has to be looked up.

use crate::hash::mix;

/// The most bits of a hash that choose the part.
pub(super) const MAX_PART_BITS: u32 = 14;
/// The lower half of a word.
const LOW: u64 = 0xffff_ffff;

/// The shape of a table: the number of parts and their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) part_bits: u32,
    /// Slots of each part.
    pub(super) slots: u32,
    /// Buckets of each part.
    pub(super) buckets: u32,
}

/// The most slots or buckets of each of `2^part_bits` parts.
pub(super) fn most(part_bits: u32) -> u64 {
    1 << (32 - part_bits)
}

/// A bijection of the keys for each salt. One multiplication is enough here: finding the slot multiplies once more.
#[inline]
pub(super) fn salted(key: u64, salt: u64) -> u64 {
    let x = key ^ salt;
    let product = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    product ^ (product >> 29)
}

impl Shape {
    /// All slots.
    pub(super) fn all_slots(self) -> u64 {
        u64::from(self.slots) << self.part_bits
    }

    /// All buckets. The bucket of a hash counts through all parts.
    pub(super) fn all_buckets(self) -> u64 {
        u64::from(self.buckets) << self.part_bits
    }
}

/// Data that finding a slot needs besides the pilots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index {
    /// `mix(seed)`.
    salt: u64,
    pub(super) shape: Shape,
}

impl Index {
    pub(super) fn new(seed: u64, shape: Shape) -> Self {
        Self { salt: mix(seed), shape }
    }

    #[inline]
    pub(super) fn hash(self, key: u64) -> u64 {
        salted(key, self.salt)
    }

    /// The index of the hash's bucket, whose pilot is needed next.
    ///
    /// With x the hash's position in its part, from 0 to 1, the bucket's is x²: the first buckets are large and the
    /// last ones small. Large ones find their pilots while there is room, and half of all keys need only a quarter of
    /// the pilots, which stay in the caches.
    #[inline]
    pub(super) fn bucket(self, hash: u64) -> u64 {
        let place = self.place(hash);
        let x = place & LOW;
        ((place & !LOW | (x * x) >> 32) * u64::from(self.shape.buckets)) >> 32
    }

    /// The only slot where the key of this hash can be, given its bucket's pilot.
    #[inline]
    pub(super) fn slot(self, hash: u64, pilot: u16) -> u64 {
        let spread = (hash ^ u64::from(pilot).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((self.place(hash) & !LOW | spread >> 32) * u64::from(self.shape.slots)) >> 32
    }

    /// The index of the hash's part in the upper half, its position in the part in the lower one. Multiplied by the
    /// slots or buckets of a part, the position stays below 2^64: see [`most`].
    #[inline]
    fn place(self, hash: u64) -> u64 {
        (hash >> 32) << self.shape.part_bits
    }
}
