//! AVX2 with FMA and F16C: Intel since Haswell (2013), AMD since Excavator (2015).

use core::arch::x86_64::*;

use crate::infer::kernel::Kernel;
use crate::infer::kernel::lanes::{Compiled, Lanes};
use crate::infer::kernel::make::table;

/// Six rows × one panel take 12 of the 16 registers; two hold the weights, one the input.
pub(in crate::infer::kernel) static KERNEL: Kernel = Kernel {
    name: "avx2",
    expanded_from: 4,
    tile_rows: 48,
    lacks,
    table: table!(Avx2, #[target_feature(enable = "avx2,fma,f16c")],
        half Avx2, 3 { 1 => [Compiled 4, Compiled 2, Compiled 1], 2 => [Compiled 2, Compiled 1], 3 => [Compiled 2, Compiled 1] }
        single 6 {
            1 => [Compiled 4, Compiled 2, Compiled 1], 2 => [Compiled 2, Compiled 1], 3 => [Compiled 2, Compiled 1],
            4 => [Compiled 1], 5 => [Compiled 1], 6 => [Compiled 1],
        }
        skipping 7 [1 2 3 4 5 6 7]
    ),
    fast: None,
};

fn lacks() -> Vec<&'static str> {
    let has = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("f16c", std::is_x86_feature_detected!("f16c")),
    ];
    has.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect()
}

#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

/// 2^n for integers n from -126 to 127.
#[inline(always)]
unsafe fn power(n: __m256i) -> __m256 {
    // SAFETY: **CPU** of the method that calls it.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)))) }
}

#[inline(always)]
unsafe fn scale(x: __m256, n: __m256) -> __m256 {
    // SAFETY: **CPU** of the method that calls it. In two steps: 2^n alone may be too small for a normal number.
    unsafe {
        let n = _mm256_cvtps_epi32(n);
        let half = _mm256_srai_epi32::<1>(n);
        _mm256_mul_ps(_mm256_mul_ps(x, power(half)), power(_mm256_sub_epi32(n, half)))
    }
}

/// Adds up eight lanes, halves first.
#[inline(always)]
pub(super) unsafe fn sum8(v: __m256) -> f32 {
    // SAFETY: **CPU** of the method that calls it, which has AVX at least.
    unsafe {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }
}

// In the methods, CPU and Elements are the clauses of `Lanes`: the CPU has AVX2, FMA and F16C, and a pointer is good for 16 elements.
impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: **CPU** and **Elements**.
        unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: **CPU** and **Elements**; what the masks leave out is not touched.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let below = |n: i32| _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
            let high = if n > 8 { _mm256_maskload_ps(from.add(8), below(n as i32 - 8)) } else { _mm256_setzero_ps() };
            Self(_mm256_maskload_ps(from, below(n as i32)), high)
        }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: **CPU** and **Elements**.
        unsafe {
            let low = _mm_loadu_si128(from.cast());
            let high = _mm_loadu_si128(from.add(8).cast());
            Self(_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: **CPU** and **Elements**.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    unsafe fn nonzeros(self) -> u16 {
        // SAFETY: **CPU**. NaN compares as not equal.
        unsafe {
            let zero = _mm256_setzero_ps();
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(self.0, zero));
            let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(self.1, zero));
            (low | high << 8) as u16
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, term.0), _mm256_fmadd_ps(self.1, factor.1, term.1)) }
    }

    #[inline(always)]
    unsafe fn at_least(self, least: Self) -> Self {
        // SAFETY: **CPU**. The second operand is what `max` gives for a NaN.
        unsafe { Self(_mm256_max_ps(least.0, self.0), _mm256_max_ps(least.1, self.1)) }
    }

    #[inline(always)]
    unsafe fn neg_abs(self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let sign = _mm256_set1_ps(-0.0);
            Self(_mm256_or_ps(self.0, sign), _mm256_or_ps(self.1, sign))
        }
    }

    #[inline(always)]
    unsafe fn with_sign_of(self, sign: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let bit = _mm256_set1_ps(-0.0);
            let join = |x, sign| _mm256_or_ps(_mm256_andnot_ps(bit, x), _mm256_and_ps(bit, sign));
            Self(join(self.0, sign.0), join(self.1, sign.1))
        }
    }

    #[inline(always)]
    unsafe fn where_negative(self, test: Self, other: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe {
            let zero = _mm256_setzero_ps();
            let pick = |x, test, other| _mm256_blendv_ps(other, x, _mm256_cmp_ps::<_CMP_LT_OQ>(test, zero));
            Self(pick(self.0, test.0, other.0), pick(self.1, test.1, other.1))
        }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: **CPU**.
        unsafe { Self(_mm256_round_ps::<NEAREST>(self.0), _mm256_round_ps::<NEAREST>(self.1)) }
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // SAFETY: **CPU**.
        unsafe { Self(scale(self.0, n.0), scale(self.1, n.1)) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: **CPU**.
        unsafe { sum8(_mm256_add_ps(self.0, self.1)) }
    }
}
