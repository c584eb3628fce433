//! AVX2 with F16C and FMA.

use core::arch::x86_64::*;

use super::{Ordinals, ROWS, row, scales};
use crate::retrieve::similarity::codes::Codes;
use crate::retrieve::similarity::query::Line;

#[target_feature(enable = "avx2,f16c,fma")]
#[inline]
fn load_half(from: &[u16; 8]) -> __m256 {
    // SAFETY: an array of 16 bytes, wherever it stands.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
}

#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn scores(rows: &[u16], numbers: &[f32], ordinals: &Ordinals) -> [f32; ROWS] {
    ordinals.map(|ordinal| {
        let row = row(rows, ordinal, numbers.len());
        // The sums 0 to 7, and 8 to 15.
        let mut sums = [_mm256_setzero_ps(); 2];
        for (x, u) in row.as_chunks::<16>().0.iter().zip(numbers.as_chunks::<16>().0) {
            for (half, sum) in sums.iter_mut().enumerate() {
                let (x, u) = (&x.as_chunks::<8>().0[half], &u.as_chunks::<8>().0[half]);
                // SAFETY: an array of 32 bytes, wherever it stands.
                let u = unsafe { _mm256_loadu_ps(u.as_ptr()) };
                *sum = _mm256_fmadd_ps(load_half(x), u, *sum);
            }
        }
        let [a, b] = sums;
        // [a0 + a2, b0 + b2, a1 + a3, b1 + b3], in both halves; then t0, t2 | t1, t3.
        let one = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let two = _mm256_add_ps(one, _mm256_shuffle_ps::<0b01_00_11_10>(one, one));
        let t = _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps::<1>(two));
        _mm_cvtss_f32(_mm_add_ss(t, _mm_shuffle_ps::<1>(t, t)))
    })
}

#[target_feature(enable = "avx2,f16c,fma")]
pub(super) fn above(codes: &Codes<'_>, whole: &[i16], line: Line, ordinals: &Ordinals, least: f32) -> u16 {
    let scales = scales(codes, ordinals);
    let mut above = 0;
    for half in 0..2 {
        let mut sums = [_mm256_setzero_si256(); 8];
        for (sum, &ordinal) in sums.iter_mut().zip(&ordinals[8 * half..]) {
            let row = row(codes.codes, ordinal, whole.len());
            for (q, w) in row.as_chunks::<16>().0.iter().zip(whole.as_chunks::<16>().0) {
                // SAFETY: arrays of 16 and 32 bytes, wherever they stand.
                let (q, w) = unsafe { (_mm_loadu_si128(q.as_ptr().cast()), _mm256_loadu_si256(w.as_ptr().cast())) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_cvtepi8_epi16(q), w));
            }
        }
        let one = |a, b| _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let two = |a, b| _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
        let fours: [__m256i; 2] = std::array::from_fn(|at| {
            let s = &sums[4 * at..][..4];
            two(one(s[0], s[1]), one(s[2], s[3]))
        });
        let [a, b] = fours;
        let sum = _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
        let dots = _mm256_cvtepi32_ps(sum);
        let scales = load_half(&scales.as_chunks::<8>().0[half]);
        let (slope, offset) = (_mm256_set1_ps(line.slope), _mm256_set1_ps(line.offset));
        let bounds = _mm256_mul_ps(scales, _mm256_fmadd_ps(slope, dots, offset));
        let greater = _mm256_cmp_ps::<_CMP_GT_OQ>(bounds, _mm256_set1_ps(least));
        above |= (_mm256_movemask_ps(greater) as u16) << (8 * half);
    }
    above
}

#[target_feature(enable = "popcnt")]
pub(super) fn count(bits: &[u64]) -> u64 {
    super::count(bits)
}
