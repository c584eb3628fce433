//! Sixteen f32 in one register of AVX-512.

use core::arch::x86_64::*;

use super::avx2::sum8;
use crate::infer::kernel::lanes::Lanes;

#[derive(Clone, Copy)]
pub(super) struct Avx512(pub(super) __m512);

// In the methods, CPU and Elements are the clauses of `Lanes`: the CPU has AVX-512F, and a pointer is good for 16 elements.
impl Lanes for Avx512 {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: **CPU** and **Elements**.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: **CPU** and **Elements**; what the mask leaves out is not touched.
        unsafe { Self(_mm512_maskz_loadu_ps(u16::MAX >> (16 - n), from)) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: **CPU** and **Elements**.
        unsafe { Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: **CPU** and **Elements**.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn nonzeros(self) -> u16 {
        // SAFETY: **CPU**. NaN compares as not equal.
        unsafe { _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(self.0, _mm512_setzero_ps()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_div_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, term.0)) }
    }

    #[inline(always)]
    unsafe fn at_least(self, least: Self) -> Self {
        // SAFETY: **CPU**. The second operand is what `max` gives for a NaN.
        unsafe { Self(_mm512_max_ps(least.0, self.0)) }
    }

    #[inline(always)]
    unsafe fn neg_abs(self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let sign = _mm512_set1_epi32(i32::MIN);
            Self(_mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(self.0), sign)))
        }
    }

    #[inline(always)]
    unsafe fn with_sign_of(self, sign: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let bit = _mm512_set1_epi32(i32::MIN);
            let x = _mm512_andnot_si512(bit, _mm512_castps_si512(self.0));
            Self(_mm512_castsi512_ps(_mm512_or_si512(x, _mm512_and_si512(bit, _mm512_castps_si512(sign.0)))))
        }
    }

    #[inline(always)]
    unsafe fn where_negative(self, test: Self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(test.0, _mm512_setzero_ps());
            Self(_mm512_mask_blend_ps(negative, other.0, self.0))
        }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: **CPU**. 0 fraction bits, nearest even, exceptions suppressed.
        unsafe { Self(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm512_scalef_ps(self.0, n.0)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: **CPU**; AVX-512F includes AVX2.
        unsafe {
            let low = _mm512_castps512_ps256(self.0);
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(self.0)));
            sum8(_mm256_add_ps(low, high))
        }
    }
}
