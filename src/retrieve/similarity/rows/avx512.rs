//! AVX-512 F and BW.

use core::arch::x86_64::*;

use super::{Ordinals, ROWS, row, scales};
use crate::retrieve::similarity::codes::Codes;
use crate::retrieve::similarity::query::Line;

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn load_half(from: &[u16; 16]) -> __m512 {
    // SAFETY: an array of 32 bytes, wherever it stands.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn scores(rows: &[u16], numbers: &[f32], ordinals: &Ordinals) -> [f32; ROWS] {
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for (sum, &ordinal) in sums.iter_mut().zip(ordinals) {
        let row = row(rows, ordinal, numbers.len());
        for (x, u) in row.as_chunks::<16>().0.iter().zip(numbers.as_chunks::<16>().0) {
            // SAFETY: an array of 64 bytes, wherever it stands.
            let u = unsafe { _mm512_loadu_ps(u.as_ptr()) };
            *sum = _mm512_fmadd_ps(load_half(x), u, *sum);
        }
    }
    // Each step halves the vectors: of two, one gets what both have left.
    let one = |a, b| _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let two = |a, b| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)))
    };
    let four = |a, b| _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    let fours: [__m512; 4] = std::array::from_fn(|at| {
        let s = &sums[4 * at..][..4];
        two(one(s[0], s[1]), one(s[2], s[3]))
    });
    let sum = four(four(fours[0], fours[1]), four(fours[2], fours[3]));
    let mut out = [0.0; ROWS];
    // SAFETY: an array of 64 bytes, wherever it stands.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    out
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn above(codes: &Codes<'_>, whole: &[i16], line: Line, ordinals: &Ordinals, least: f32) -> u16 {
    let mut sums = [_mm512_setzero_si512(); ROWS];
    for (sum, &ordinal) in sums.iter_mut().zip(ordinals) {
        let row = row(codes.codes, ordinal, whole.len());
        for (q, w) in row.as_chunks::<32>().0.iter().zip(whole.as_chunks::<32>().0) {
            // SAFETY: arrays of 32 and 64 bytes, wherever they stand.
            let (q, w) = unsafe { (_mm256_loadu_si256(q.as_ptr().cast()), _mm512_loadu_si512(w.as_ptr().cast())) };
            *sum = _mm512_add_epi32(*sum, _mm512_madd_epi16(_mm512_cvtepi8_epi16(q), w));
        }
    }
    let one = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let two = |a, b| _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    let four = |a, b| _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
    let fours: [__m512i; 4] = std::array::from_fn(|at| {
        let s = &sums[4 * at..][..4];
        two(one(s[0], s[1]), one(s[2], s[3]))
    });
    let dots = _mm512_cvtepi32_ps(four(four(fours[0], fours[1]), four(fours[2], fours[3])));
    let scales = load_half(&scales(codes, ordinals));
    let (slope, offset) = (_mm512_set1_ps(line.slope), _mm512_set1_ps(line.offset));
    let bounds = _mm512_mul_ps(scales, _mm512_fmadd_ps(slope, dots, offset));
    _mm512_cmp_ps_mask::<_CMP_GT_OQ>(bounds, _mm512_set1_ps(least))
}
