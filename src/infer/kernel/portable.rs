//! The kernel for every machine, on the `wide` crate (SSE2 or NEON where the target has them). Panels are expanded to
//! f32 when a plan is made: widening fp16 without an instruction for it costs more than reading twice the bytes.

use wide::{f32x16, i32x16};

use super::Kernel;
use super::lanes::{self, Compiled, Lanes};
use super::make::table;

/// Two rows × one panel take 8 of the 16 registers of SSE2, which needs others for products: with three rows the sums
/// spill.
pub(super) static KERNEL: Kernel = Kernel {
    name: "portable",
    expanded_from: 0,
    tile_rows: 48,
    lacks: Vec::new,
    table: table!(Portable, ,
        half Portable, 1 { 1 => [Compiled 1] }
        single 2 { 1 => [Compiled 1], 2 => [Compiled 1] }
        skipping 3 [1 2 3]
    ),
    fast: None,
};

#[derive(Clone, Copy)]
struct Portable(f32x16);

fn sign_bit() -> f32x16 {
    f32x16::splat(-0.0)
}

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(f32x16::splat(x))
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: **Elements** of `Lanes`.
        Self(f32x16::from(unsafe { from.cast::<[f32; 16]>().read() }))
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: **Elements** of `Lanes`: good for n, which is at most 16.
        unsafe { lanes::load_first(from, n) }
    }

    #[inline(always)]
    unsafe fn load_half(from: *const u16) -> Self {
        // SAFETY: **Elements** of `Lanes`.
        let half = unsafe { from.cast::<[u16; 16]>().read() };
        Self(f32x16::from(half.map(|bits| half::f16::from_bits(bits).to_f32())))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: **Elements** of `Lanes`.
        unsafe { to.cast::<[f32; 16]>().write(self.0.to_array()) }
    }

    #[inline(always)]
    unsafe fn nonzeros(self) -> u16 {
        self.0.simd_ne(f32x16::splat(0.0)).to_bitmask() as u16
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, term: Self) -> Self {
        Self(self.0.mul_add(factor.0, term.0))
    }

    #[inline(always)]
    unsafe fn at_least(self, least: Self) -> Self {
        Self(self.0.simd_lt(least.0).bitselect(least.0, self.0))
    }

    #[inline(always)]
    unsafe fn neg_abs(self) -> Self {
        Self(self.0 | sign_bit())
    }

    #[inline(always)]
    unsafe fn with_sign_of(self, sign: Self) -> Self {
        Self(self.0.abs() | (sign.0 & sign_bit()))
    }

    #[inline(always)]
    unsafe fn where_negative(self, test: Self, other: Self) -> Self {
        Self(test.0.simd_lt(f32x16::splat(0.0)).bitselect(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding this number leaves no bit for a fraction.
        let magic = f32x16::splat(12_582_912.0);
        Self((self.0 + magic) - magic)
    }

    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        // In two steps: 2^n alone may be too small for a normal number.
        let n = n.0.fast_trunc_int();
        let half = n >> 1;
        let power = |n: i32x16| bytemuck::cast::<i32x16, f32x16>((n + i32x16::splat(127)) << 23);
        Self(self.0 * power(half) * power(n - half))
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut v = self.0.to_array();
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                v[i] += v[i + half];
            }
        }
        v[0]
    }
}
