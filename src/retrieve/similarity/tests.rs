use half::f16;

use super::*;
use crate::hash::mix;

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// From -1 to 1, more often near 0.
    fn number(&mut self) -> f32 {
        let part = |bits: u64| (bits & 0xffff) as f32 / 65_536.0;
        let bits = self.bits();
        (part(bits) + part(bits >> 16) + part(bits >> 32)) / 1.5 - 1.0
    }
}

/// Rows of fp16 bits from numbers.
fn rows(dims: usize, ads: usize, mut number: impl FnMut(usize, usize) -> f32) -> Vec<u16> {
    let stride = stride(dims);
    let mut rows = vec![0; ads * stride];
    for ad in 0..ads {
        for at in 0..dims {
            rows[ad * stride + at] = f16::from_f32(number(ad, at)).to_bits();
        }
    }
    rows
}

/// Every score in f64.
fn reference(dims: usize, rows: &[u16], vector: &[f32]) -> Vec<f64> {
    let number = |bits: u16| f16::from_bits(bits).to_f64();
    rows.chunks_exact(stride(dims))
        .map(|row| row.iter().zip(vector).map(|(x, u)| number(*x) * f16::from_f32(*u).to_f64()).sum())
        .collect()
}

fn bitset(ads: usize, mut eligible: impl FnMut(usize) -> bool) -> Vec<u64> {
    let mut words = vec![0; ads.div_ceil(64)];
    (0..ads).filter(|ad| eligible(*ad)).for_each(|ad| words[ad / 64] |= 1 << (ad % 64));
    words
}

fn is_set(words: &[u64], ad: usize) -> bool {
    words[ad / 64] >> (ad % 64) & 1 == 1
}

/// Searches in all ways, which must give the same bits, and gives what they found.
fn search(dims: usize, rows: &[u16], vector: &[f32], eligible: &[u64], k: usize) -> Vec<Hit> {
    let (codes, scales, spread) = encode(rows, stride(dims));
    let vectors = Vectors::new(dims, rows).unwrap().with_codes(Codes::new(&codes, &scales, spread)).unwrap();
    let (mut query, mut top) = (Query::new(dims).unwrap(), Top::new(k).unwrap());
    assert!(query.set(vector));
    let mut found: Option<Vec<Hit>> = None;
    for lanes in Lanes::available() {
        for way in [Way::Rows, Way::Codes, Way::Planned] {
            top.begin(k);
            let route = Scan { vectors: &vectors, lanes, way }.run(&query, eligible, &mut top).unwrap();
            let hits: Vec<Hit> = top.finish().collect();
            assert_eq!(route.eligible, (0..vectors.len()).filter(|ad| is_set(eligible, *ad)).count() as u64);
            let read = if route.way == Way::Codes { route.codes_read } else { route.rows_read };
            assert_eq!(read, route.eligible, "every eligible row is read once, and no other");
            let first = found.get_or_insert_with(|| hits.clone());
            let bits = |hits: &[Hit]| hits.iter().map(|h| (h.ordinal, h.score.to_bits())).collect::<Vec<_>>();
            assert_eq!(bits(&hits), bits(first), "{} {way:?}", lanes.name());
        }
    }
    found.unwrap()
}

/// What was found is the best of the eligible by the reference, as far as f32 can tell.
fn check(dims: usize, rows: &[u16], vector: &[f32], eligible: &[u64], k: usize) {
    let hits = search(dims, rows, vector, eligible, k);
    let scores = reference(dims, rows, vector);
    let mut best: Vec<usize> = (0..scores.len()).filter(|ad| is_set(eligible, *ad)).collect();
    best.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    best.truncate(k);
    assert_eq!(hits.len(), best.len());
    let length = |row: &[u16]| row.iter().map(|x| f16::from_bits(*x).to_f64().powi(2)).sum::<f64>().sqrt();
    let norm = vector.iter().map(|u| f64::from(*u).powi(2)).sum::<f64>().sqrt() * 1.001;
    let slack = |ad: usize| {
        let row = &rows[ad * stride(dims)..][..stride(dims)];
        norm * length(row) * dims as f64 * f64::from(f32::EPSILON)
    };
    for (hit, &expected) in hits.iter().zip(&best) {
        let ad = hit.ordinal as usize;
        assert!(is_set(eligible, ad));
        assert!((f64::from(hit.score) - scores[ad]).abs() <= slack(ad));
        let off = (scores[ad] - scores[expected]).abs();
        assert!(off <= 2.0 * (slack(ad) + slack(expected)), "dims {dims}: ad {ad} in place of {expected}, {off}");
    }
    for pair in hits.windows(2) {
        assert!(pair[0].score > pair[1].score || pair[0].score == pair[1].score && pair[0].ordinal < pair[1].ordinal);
    }
}

#[test]
fn the_best_of_the_eligible_are_found_at_every_share() {
    let mut random = Random(1);
    for dims in [1, 3, 16, 31, 32, 33, 64, 100, 128, 257, 1024] {
        let ads = if dims > 200 { 300 } else { 1500 } + random.below(130);
        let rows = rows(dims, ads, |_, _| random.number());
        for share in [1.0, 0.5, 0.1, 0.01, 0.0] {
            let vector: Vec<f32> = (0..dims).map(|_| random.number()).collect();
            let eligible = bitset(ads, |_| random.bits() as f64 / u64::MAX as f64 <= share && share > 0.0);
            for k in [1, 200] {
                check(dims, &rows, &vector, &eligible, k);
            }
        }
    }
}

#[test]
fn vectors_of_very_different_lengths_are_ordered_right() {
    let mut random = Random(2);
    for dims in [8, 64] {
        let lengths: Vec<f32> = (0..2000).map(|_| 10f32.powi(random.below(10) as i32 - 6)).collect();
        let rows = rows(dims, 2000, |ad, _| match ad % 7 {
            0 => 0.0,
            1 => 60_000.0 * random.number(),
            _ => lengths[ad] * random.number(),
        });
        let eligible = bitset(2000, |_| random.below(3) > 0);
        for size in [1e-7, 1e-3, 1.0, 60_000.0] {
            let vector: Vec<f32> = (0..dims).map(|_| size * random.number()).collect();
            check(dims, &rows, &vector, &eligible, 50);
            // Negative scores alone.
            let against: Vec<f32> = vec![-size; dims];
            let positive: Vec<u16> = rows.iter().map(|x| x & 0x7fff).collect();
            check(dims, &positive, &against, &eligible, 50);
        }
    }
}

/// Whole numbers, whose sums are exact: the order is that of the reference to the last tie.
#[test]
fn ties_go_to_the_smaller_ordinal() {
    let mut random = Random(3);
    let (dims, ads) = (40, 5000);
    let rows = rows(dims, ads, |_, _| random.below(3) as f32 - 1.0);
    let vector: Vec<f32> = (0..dims).map(|_| random.below(3) as f32 - 1.0).collect();
    let eligible = bitset(ads, |_| random.below(2) == 0);
    let scores = reference(dims, &rows, &vector);
    let mut best: Vec<u32> = (0..ads as u32).filter(|ad| is_set(&eligible, *ad as usize)).collect();
    best.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b)));
    for k in [1, 7, 100, 4000] {
        let hits = search(dims, &rows, &vector, &eligible, k);
        assert_eq!(hits.iter().map(|hit| hit.ordinal).collect::<Vec<_>>(), best[..k.min(best.len())]);
    }
    // All tie at zero, -0 among them.
    let zero = search(dims, &rows, &vec![-0.0; dims], &eligible, 10);
    let first = (0..ads as u32).filter(|ad| is_set(&eligible, *ad as usize)).take(10);
    assert_eq!(zero.iter().map(|hit| hit.ordinal).collect::<Vec<_>>(), first.collect::<Vec<_>>());
}

#[test]
fn bits_past_the_last_ad_and_missing_words_count_for_nothing() {
    let mut random = Random(4);
    let rows = rows(5, 70, |_, _| random.number());
    let vector = [1.0, -0.5, 0.25, 0.0, 1.0];
    let all = search(5, &rows, &vector, &bitset(70, |_| true), 100);
    assert_eq!(all.len(), 70);
    let vectors = Vectors::new(5, &rows).unwrap();
    let (mut query, mut top) = (Query::new(5).unwrap(), Top::new(100).unwrap());
    assert!(query.set(&vector));
    for (words, n) in [(&[!0, !0, !0][..], 70), (&[!0][..], 64), (&[][..], 0)] {
        top.begin(100);
        let scan = Scan { vectors: &vectors, lanes: Lanes::of_kernel("portable"), way: Way::Planned };
        assert_eq!(scan.run(&query, words, &mut top).unwrap().eligible, n);
        assert_eq!(top.finish().len(), n as usize);
    }
    top.begin(0);
    Scan { vectors: &vectors, lanes: Lanes::of_kernel("avx512"), way: Way::Rows }.run(&query, &[!0], &mut top);
    assert_eq!(top.finish().len(), 0);
}

#[test]
fn a_vector_that_does_not_fit_finds_nothing() {
    let rows = rows(5, 10, |_, _| 1.0);
    let vectors = Vectors::new(5, &rows).unwrap();
    let (mut query, mut top) = (Query::new(32).unwrap(), Top::new(3).unwrap());
    let scan = Scan { vectors: &vectors, lanes: Lanes::of_kernel("avx512"), way: Way::Planned };
    for bad in [&[][..], &[1.0; 33], &[1.0, f32::NAN, 0.0, 0.0, 0.0], &[65_520.0; 5], &[f32::INFINITY; 5]] {
        assert!(!query.set(bad));
        assert!(scan.run(&query, &[!0], &mut top).is_none());
    }
    assert!(query.set(&[1.0; 4]) && scan.run(&query, &[!0], &mut top).is_none());
    assert!(query.set(&[1.0; 5]) && scan.run(&query, &[!0], &mut top).is_some());
}

#[test]
fn rows_and_codes_of_other_lengths_are_refused() {
    let good = vec![0; 64];
    assert_eq!(Vectors::new(5, &good).unwrap().len(), 2);
    for dims in [0, MAX_DIMS + 1] {
        assert!(Vectors::new(dims, &good).is_err());
    }
    assert!(Vectors::new(5, &good[1..]).is_err());
    let mut bad = good.clone();
    bad[32] = f16::INFINITY.to_bits();
    assert!(Vectors::new(5, &bad).unwrap_err().message.contains("ad 1, number 0: not finite"));
    (bad[32], bad[5]) = (0, 1);
    assert!(Vectors::new(5, &bad).unwrap_err().message.contains("ad 0, number 5: padding"));
    let vectors = Vectors::new(5, &good).unwrap();
    assert!(vectors.with_codes(Codes::new(&[0; 64], &[0; 2], 1.0)).is_ok());
    assert!(vectors.with_codes(Codes::new(&[0; 63], &[0; 2], 1.0)).is_err());
    assert!(vectors.with_codes(Codes::new(&[0; 64], &[0; 3], 1.0)).is_err());
    assert!(vectors.with_codes(Codes::new(&[0; 64], &[0; 2], f32::NAN)).is_err());
}
