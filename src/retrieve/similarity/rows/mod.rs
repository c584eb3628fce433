//! Products of sixteen rows with the request's vector, once for each instruction set.
//!
//! A score is a sum in f32. Sixteen running sums take the products of the numbers i, i + 16, i + 32 …; then, in each group of
//! four, t = (s0 + s2) + (s1 + s3), and the score is (t0 + t1) + (t2 + t3). A product of two fp16 numbers is exact in f32, so
//! that it makes no difference whether it is fused with its sum, and every instruction set gives the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Vectors;
use super::codes::Codes;
use super::query::{Line, Query};

/// Rows that go through together.
pub(super) const ROWS: usize = 16;

/// Ordinals of rows.
pub(super) type Ordinals = [u32; ROWS];

/// An instruction set that this CPU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Set {
    const ALL: &[Self] = &[
        #[cfg(target_arch = "x86_64")]
        Self::Avx512,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        Self::Portable,
    ];

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => std::is_x86_feature_detected!("avx512bw") && std::is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::is_x86_feature_detected!("avx2")
                    && std::is_x86_feature_detected!("f16c")
                    && std::is_x86_feature_detected!("fma")
                    && std::is_x86_feature_detected!("popcnt")
            }
            Self::Portable => true,
        }
    }
}

impl Lanes {
    /// All that this CPU has, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Set::ALL.iter().copied().filter(|set| set.is_available()).map(Self)
    }

    /// The best that goes no further than a kernel of that name.
    #[must_use]
    pub fn of_kernel(name: &str) -> Self {
        let from = Set::ALL.iter().position(|set| set.name() == name).unwrap_or(0);
        let found = Set::ALL[from..].iter().copied().find(|set| set.is_available());
        Self(found.unwrap_or(Set::Portable))
    }

    /// `avx512`, `avx2` or `portable`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The scores of sixteen rows.
    ///
    /// # Panics
    /// When an ordinal has no row.
    #[inline]
    pub(super) fn scores(self, vectors: &Vectors<'_>, query: &Query, ordinals: &Ordinals) -> [f32; ROWS] {
        let (rows, numbers) = (vectors.rows, &query.numbers[..query.stride]);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Lanes` are made for instruction sets that this CPU has.
            Set::Avx512 => unsafe { avx512::scores(rows, numbers, ordinals) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::scores(rows, numbers, ordinals) },
            Set::Portable => portable::scores(rows, numbers, ordinals),
        }
    }

    /// Which of sixteen rows may score more than `least`, row i as bit i: those whose bound does.
    ///
    /// # Panics
    /// When an ordinal has no row.
    #[inline]
    pub(super) fn above(self, codes: &Codes<'_>, query: &Query, line: Line, ordinals: &Ordinals, least: f32) -> u16 {
        let whole = &query.whole[..query.stride];
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Lanes` are made for instruction sets that this CPU has.
            Set::Avx512 => unsafe { avx512::above(codes, whole, line, ordinals, least) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Set::Avx2 => unsafe { avx2::above(codes, whole, line, ordinals, least) },
            Set::Portable => portable::above(codes, whole, line, ordinals, least),
        }
    }

    /// The number of set bits.
    pub(super) fn count(self, bits: &[u64]) -> u64 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Lanes` are made for instruction sets that this CPU has, and one with AVX-512 has popcnt.
            Set::Avx512 | Set::Avx2 => unsafe { avx2::count(bits) },
            Set::Portable => count(bits),
        }
    }
}

#[inline(always)]
fn count(bits: &[u64]) -> u64 {
    bits.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// The row of an ordinal.
#[inline(always)]
fn row<T>(rows: &[T], ordinal: u32, stride: usize) -> &[T] {
    &rows[ordinal as usize * stride..][..stride]
}

/// The scales of sixteen rows, fp16 bits.
#[inline(always)]
fn scales(codes: &Codes<'_>, ordinals: &Ordinals) -> [u16; ROWS] {
    ordinals.map(|ordinal| codes.scales[ordinal as usize])
}
