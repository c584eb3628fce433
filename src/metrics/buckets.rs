//! The buckets of every histogram of times: six per decade from 500 ns to 100 ms.

/// The upper ends in nanoseconds, and in seconds as Prometheus writes them. Longer times go to one more bucket.
pub(super) const BOUNDS: [(u64, &str); 33] = [
    (500, "5e-07"),
    (700, "7e-07"),
    (1_000, "1e-06"),
    (1_500, "1.5e-06"),
    (2_000, "2e-06"),
    (3_000, "3e-06"),
    (5_000, "5e-06"),
    (7_000, "7e-06"),
    (10_000, "1e-05"),
    (15_000, "1.5e-05"),
    (20_000, "2e-05"),
    (30_000, "3e-05"),
    (50_000, "5e-05"),
    (70_000, "7e-05"),
    (100_000, "0.0001"),
    (150_000, "0.00015"),
    (200_000, "0.0002"),
    (300_000, "0.0003"),
    (500_000, "0.0005"),
    (700_000, "0.0007"),
    (1_000_000, "0.001"),
    (1_500_000, "0.0015"),
    (2_000_000, "0.002"),
    (3_000_000, "0.003"),
    (5_000_000, "0.005"),
    (7_000_000, "0.007"),
    (10_000_000, "0.01"),
    (15_000_000, "0.015"),
    (20_000_000, "0.02"),
    (30_000_000, "0.03"),
    (50_000_000, "0.05"),
    (70_000_000, "0.07"),
    (100_000_000, "0.1"),
];

/// Including the one without an upper end.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// For each number of significant bits, the first bucket that can hold a number with that many.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits < 65 {
        let least = 1_u64 << (bits - 1);
        let mut bucket = 0;
        while bucket < BOUNDS.len() && BOUNDS[bucket].0 < least {
            bucket += 1;
        }
        first[bits] = bucket as u8;
        bits += 1;
    }
    first
};

/// The bucket of a time.
#[inline]
pub(super) fn bucket(ns: u64) -> usize {
    let mut bucket = usize::from(FIRST[64 - ns.leading_zeros() as usize]);
    while bucket < BOUNDS.len() && BOUNDS[bucket].0 < ns {
        bucket += 1;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_reaches_it() {
        let plain = |ns: u64| BOUNDS.iter().position(|b| ns <= b.0).unwrap_or(BOUNDS.len());
        let near = BOUNDS.iter().flat_map(|b| [b.0 - 1, b.0, b.0 + 1]);
        let powers = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]);
        for ns in near.chain(powers).chain([0, u64::MAX]).chain((0..1 << 20).map(|n| n * 131)) {
            assert_eq!(bucket(ns), plain(ns), "{ns} ns");
        }
    }

    #[test]
    fn the_ends_in_seconds_are_those_in_nanoseconds() {
        for (ns, seconds) in BOUNDS {
            assert_eq!((seconds.parse::<f64>().unwrap() * 1e9).round() as u64, ns);
        }
        assert!(BOUNDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
