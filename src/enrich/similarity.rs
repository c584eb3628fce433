//! The similarity of two vectors of a table. The order of every sum is fixed and written in plain Rust, so every
//! machine, kernel, trainer and packer gets the same bits.

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::schema::Measure;

/// The number of sums that run side by side.
const LANES: usize = 8;
/// The number of positions converted to f32 at once: a multiple of [`LANES`].
pub(super) const CHUNK: usize = 32;

/// Products of positions, summed in the documented order.
#[derive(Default)]
struct Sums([f32; LANES]);

impl Sums {
    /// Adds positions that come after a multiple of [`LANES`] others.
    fn add(&mut self, a: &[f32], b: &[f32]) {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for lane in 0..LANES {
                self.0[lane] += a[lane] * b[lane];
            }
        }
        for ((sum, a), b) in self.0.iter_mut().zip(rest_a).zip(rest_b) {
            *sum += a * b;
        }
    }

    fn total(self) -> f32 {
        let [s0, s1, s2, s3, s4, s5, s6, s7] = self.0;
        ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    }
}

/// The dot product of two fp16 vectors, two bytes for each position. If their lengths differ, the positions of the
/// shorter one count.
///
/// In f32, each product and each sum rounded once: position k adds to sum k mod 8, in ascending order; the result is
/// `((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))`.
#[must_use]
pub fn dot(a: &[u8], b: &[u8]) -> f32 {
    let mut sums = Sums::default();
    in_chunks(a, b, |a, b| sums.add(a, b));
    sums.total()
}

/// The similarity of two fp16 vectors of one length; `None` when it is not a finite number, such as the cosine of a
/// zero vector.
#[must_use]
pub fn similarity(measure: Measure, a: &[u8], b: &[u8]) -> Option<f32> {
    let value = match measure {
        Measure::Dot => dot(a, b),
        Measure::Cosine => {
            let (mut ab, mut aa, mut bb) = (Sums::default(), Sums::default(), Sums::default());
            in_chunks(a, b, |a, b| {
                ab.add(a, b);
                aa.add(a, a);
                bb.add(b, b);
            });
            ab.total() / (aa.total().sqrt() * bb.total().sqrt())
        }
    };
    value.is_finite().then_some(value)
}

/// Calls `each` with the same positions of both as f32, [`CHUNK`] at a time.
#[inline]
fn in_chunks(a: &[u8], b: &[u8], mut each: impl FnMut(&[f32], &[f32])) {
    let (mut wide_a, mut wide_b) = ([0.0; CHUNK], [0.0; CHUNK]);
    for (a, b) in a.chunks(2 * CHUNK).zip(b.chunks(2 * CHUNK)) {
        let n = widen(a, &mut wide_a).min(widen(b, &mut wide_b));
        each(&wide_a[..n], &wide_b[..n]);
    }
}

/// Whether no fp16 value of these bytes is NaN or infinite.
#[inline]
pub(super) fn is_finite(bytes: &[u8]) -> bool {
    const EXPONENT: u16 = 0x7c00;
    // Checks all of them, several at a time, since a value that fails is rare.
    bytes.as_chunks().0.iter().fold(true, |all, &b| all & (u16::from_le_bytes(b) & EXPONENT != EXPONENT))
}

/// Converts the fp16 values of some bytes to f32 exactly, as far as there is room. Returns their number.
#[inline]
pub(super) fn widen(bytes: &[u8], to: &mut [f32]) -> usize {
    let n = (bytes.len() / 2).min(to.len());
    let to = &mut to[..n];
    match bytemuck::try_cast_slice::<u8, f16>(&bytes[..2 * n]) {
        Ok(halves) => halves.convert_to_f32_slice(to),
        // Rows begin at even addresses; bytes from elsewhere may not.
        Err(_) => {
            for (to, bytes) in to.iter_mut().zip(bytes.chunks_exact(2)) {
                *to = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
            }
        }
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
    }

    /// The documented order, position by position.
    fn by_the_page(a: &[f32], b: &[f32]) -> f32 {
        let mut s = [0.0f32; 8];
        for (k, (a, b)) in a.iter().zip(b).enumerate() {
            s[k % 8] += f16::from_f32(*a).to_f32() * f16::from_f32(*b).to_f32();
        }
        ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    }

    #[test]
    fn the_order_of_sums_is_that_of_the_page() {
        let mut state = 1u64;
        let mut number = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            (crate::hash::mix(state) >> 40) as f32 / 65_536.0 - 128.0
        };
        let mut apart = 0;
        for n in (0..140).chain([1000]) {
            let a: Vec<f32> = (0..n).map(|_| number()).collect();
            let b: Vec<f32> = (0..n).map(|_| number()).collect();
            let found = dot(&bytes(&a), &bytes(&b));
            assert_eq!(found.to_bits(), by_the_page(&a, &b).to_bits(), "{n} positions");
            let cosine = found / (by_the_page(&a, &a).sqrt() * by_the_page(&b, &b).sqrt());
            let expected = cosine.is_finite().then_some(cosine.to_bits());
            assert_eq!(similarity(Measure::Cosine, &bytes(&a), &bytes(&b)).map(f32::to_bits), expected);
            let odd = [&[0][..], &bytes(&a)].concat();
            assert_eq!(dot(&odd[1..], &bytes(&b)).to_bits(), found.to_bits(), "at an odd address");
            let plain: f32 =
                a.iter().zip(&b).map(|(a, b)| f16::from_f32(*a).to_f32() * f16::from_f32(*b).to_f32()).sum();
            apart += usize::from(plain.to_bits() != found.to_bits());
        }
        assert!(apart > 50, "another order gives other bits, or this test says nothing: {apart}");
    }

    #[test]
    fn what_is_not_finite_is_missing() {
        let (zero, one, large) = (bytes(&[0.0; 3]), bytes(&[3.0, 0.0, 4.0]), bytes(&[65_504.0; 3]));
        assert_eq!(similarity(Measure::Dot, &zero, &one), Some(0.0));
        assert_eq!(similarity(Measure::Cosine, &zero, &one), None);
        assert_eq!(similarity(Measure::Cosine, &one, &one), Some(1.0));
        assert!(similarity(Measure::Cosine, &large, &one).is_some());
        let bad = [0x00, 0x7e];
        assert_eq!(similarity(Measure::Dot, &bad, &bytes(&[1.0])), None);
    }
}
