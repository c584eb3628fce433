//! Plain loops, which compilers turn into SSE2 or NEON.

use super::{Ordinals, ROWS, row, scales};
use crate::retrieve::similarity::codes::Codes;
use crate::retrieve::similarity::query::Line;

/// A finite fp16 number in f32.
#[inline(always)]
fn widen(bits: u16) -> f32 {
    // Both exponents differ by 112, also below the least normal number.
    let size = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(size.to_bits() | u32::from(bits & 0x8000) << 16)
}

pub(super) fn scores(rows: &[u16], numbers: &[f32], ordinals: &Ordinals) -> [f32; ROWS] {
    ordinals.map(|ordinal| {
        let row = row(rows, ordinal, numbers.len());
        let mut s = [0.0f32; 16];
        for (x, u) in row.as_chunks::<16>().0.iter().zip(numbers.as_chunks::<16>().0) {
            for lane in 0..16 {
                s[lane] += widen(x[lane]) * u[lane];
            }
        }
        let t = |four: usize| (s[4 * four] + s[4 * four + 2]) + (s[4 * four + 1] + s[4 * four + 3]);
        (t(0) + t(1)) + (t(2) + t(3))
    })
}

pub(super) fn above(codes: &Codes<'_>, whole: &[i16], line: Line, ordinals: &Ordinals, least: f32) -> u16 {
    let mut above = 0;
    for (at, (&ordinal, scale)) in ordinals.iter().zip(scales(codes, ordinals)).enumerate() {
        let row = row(codes.codes, ordinal, whole.len());
        let dot: i32 = row.iter().zip(whole).map(|(&q, &w)| i32::from(q) * i32::from(w)).sum();
        let bound = widen(scale) * (line.slope * dot as f32 + line.offset);
        above |= u16::from(bound > least) << at;
    }
    above
}
