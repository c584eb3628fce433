//! The one hash function: XXH3-64 with seed 0.
//!
//! Training, packing and serving turn a category string into its id by [`category_id`] over the UTF-8 bytes; an
//! integer category is its own id. The same function makes the checksums of every file section.

use xxhash_rust::xxh3::xxh3_64;

/// The id of a category string: XXH3-64 (seed 0) of its bytes. The empty string has an id too.
///
/// ```
/// assert_eq!(adclick::category_id(b""), 0x2d06_8005_38d3_94c2);
/// ```
#[must_use]
pub fn category_id(text: &[u8]) -> u64 {
    xxh3_64(text)
}

/// The checksum of a section: XXH3-64 (seed 0) of its bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The bucket of a category id among `buckets`: the finaliser of SplitMix64 spreads the id (integers are not
/// spread by themselves), then the high bits of the product choose the bucket.
#[inline]
#[must_use]
pub fn bucket(id: u64, buckets: u32) -> u32 {
    ((u128::from(mix(id)) * u128::from(buckets)) >> 64) as u32
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): a bijection of `u64`.
#[inline]
#[must_use]
pub fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a table row that belongs to several ids, such as user and advertiser: `k = first id; for each further id
/// p: k = mix(mix(k) ^ p)`. Order matters. When any id is 0 (unknown) the key is 0 too, which no table has; a key that
/// comes out as 0 otherwise is 1. One id is its own key.
///
/// ```
/// use adclick::{category_id, composite_key};
///
/// let (user, advertiser) = (category_id(b"u1001"), category_id(b"acme"));
/// assert_ne!(composite_key(&[user, advertiser]), composite_key(&[advertiser, user]));
/// assert_eq!((composite_key(&[user]), composite_key(&[user, 0])), (user, 0));
/// ```
#[must_use]
pub fn composite_key(ids: &[u64]) -> u64 {
    let Some((&first, rest)) = ids.split_first() else { return 0 };
    if ids.contains(&0) {
        return 0;
    }
    rest.iter().fold(first, |key, &id| mix(mix(key) ^ id)).max(1)
}

/// The shard of a table that a key belongs to, of `shards`.
///
/// ```
/// assert!(adclick::shard(adclick::category_id(b"u1001"), 16) < 16);
/// ```
#[inline]
#[must_use]
pub fn shard(key: u64, shards: u32) -> u32 {
    bucket(key, shards)
}
