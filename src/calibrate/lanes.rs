//! The logistic function on many numbers.

use super::maths::sigmoid;

/// The number of values processed together.
const LANES: usize = 8;

/// Replaces every number by its [`sigmoid`], the same to the bit on every CPU.
pub(super) fn sigmoids(z: &mut [f64]) {
    let (lanes, rest) = z.as_chunks_mut();
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: this CPU has AVX2.
        unsafe { avx2(lanes) };
    } else {
        any_cpu(lanes);
    }
    #[cfg(not(target_arch = "x86_64"))]
    any_cpu(lanes);
    rest.iter_mut().for_each(|z| *z = sigmoid(*z));
}

/// [`any_cpu`] compiled for wider registers. Without FMA: a product is rounded before the addition, as everywhere.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(all: &mut [[f64; LANES]]) {
    any_cpu(all);
}

#[inline(always)]
fn any_cpu(all: &mut [[f64; LANES]]) {
    for lanes in all {
        for z in lanes {
            let e = exp_of_negative(-z.abs());
            let share = if *z >= 0.0 { 1.0 } else { e } / (1.0 + e);
            *z = if z.is_nan() { *z } else { share };
        }
    }
}

/// eˣ for x ≤ 0: the steps of `libm::exp`, with selects in place of its branches, so that compilers vectorise it.
#[inline(always)]
fn exp_of_negative(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const P: [f64; 5] = [
        1.666_666_666_666_660_2e-1,
        -2.777_777_777_701_559_3e-3,
        6.613_756_321_437_934e-5,
        -1.653_390_220_546_525_2e-6,
        4.138_136_797_057_238_5e-8,
    ];
    // 1.5 · 2⁵²: adding it rounds to a whole number, which ends up in the lowest bits.
    const WHOLE: f64 = 6_755_399_441_055_744.0;
    // x = k·ln 2 + r, k rounded as libm does, which compares the upper halves of the bits: to 0 up to about ½ ln 2, to -1
    // up to about 1½ ln 2, then by truncation.
    let size = -x;
    let wanted = std::f64::consts::LOG2_E * x - 0.5;
    let nearest = (wanted + WHOLE) - WHOLE;
    let truncated = nearest + if nearest < wanted { 1.0 } else { 0.0 };
    let k = if size < f64::from_bits(0x3ff0_a2b2_0000_0000) { -1.0 } else { truncated };
    let k = if size < f64::from_bits(0x3fd6_2e43_0000_0000) { 0.0 } else { k };
    let (high, low) = (x - k * LN2_HIGH, k * LN2_LOW);
    let r = high - low;
    let rr = r * r;
    let c = r - rr * (P[0] + rr * (P[1] + rr * (P[2] + rr * (P[3] + rr * P[4]))));
    let y = 1.0 + (r * c / (2.0 - c) - low + high);
    // Multiplies by 2ᵏ. Below the least normal number this takes two steps, of which only the last one rounds.
    let small = k < -1022.0;
    let y = y * if small { f64::from_bits((1023 - 969) << 52) } else { 1.0 };
    let k = if small { k + 969.0 } else { k };
    let e = y * f64::from_bits((k + (1023.0 + WHOLE)).to_bits() << 52);
    let e = if size < f64::from_bits(0x3e30_0001_0000_0000) { 1.0 + x } else { e };
    if x < -745.133_219_101_941_1 { 0.0 } else { e }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn same(z: [f64; LANES]) {
        let expected = z.map(|z| sigmoid(z).to_bits());
        let (mut here, mut anywhere) = (z, [z]);
        sigmoids(&mut here);
        any_cpu(&mut anywhere);
        assert_eq!(here.map(f64::to_bits), expected, "{z:?}");
        assert_eq!(anywhere[0].map(f64::to_bits), expected, "{z:?}, without wide registers");
    }

    #[test]
    fn many_are_the_same_as_one_to_the_bit() {
        let mut state = 0;
        let mut bits = || {
            state += 1;
            mix(state)
        };
        for round in 0..200_000 {
            same(std::array::from_fn(|lane| {
                let (a, b) = (bits(), bits());
                let share = (b >> 11) as f64 / (1u64 << 53) as f64 - 0.5;
                match (lane + round) % 5 {
                    // Any number; NaN with the bit that arithmetic sets.
                    0 if f64::from_bits(a).is_nan() => f64::from_bits(a | 1 << 51),
                    0 => f64::from_bits(a),
                    1 => share * 40.0,
                    2 => share * 1600.0,
                    // Close to where rounding goes over to the next multiple of ln 2.
                    3 => {
                        let step = ((a % 2200) as f64 - 1100.0) * 0.5 * std::f64::consts::LN_2;
                        f64::from_bits(step.to_bits().wrapping_add(b % 64).wrapping_sub(32))
                    }
                    // Close to what libm compares with, and where the result ends.
                    _ => {
                        let upper =
                            [0x3ff0_a2b2u64, 0x3fd6_2e43, 0x3e30_0001, 0x4086_232b, 0x4087_4910][a as usize % 5];
                        let size = (upper << 32).wrapping_add(b % 4096).wrapping_sub(2048);
                        f64::from_bits(size | (a >> 63) << 63)
                    }
                }
            }));
        }
        let ends = [0.0, f64::INFINITY, f64::MAX, f64::from_bits(1), f64::NAN, 745.133_219_101_941_1, 745.2, 36.7];
        same(ends);
        same(ends.map(|z| -z));
    }

    #[test]
    fn any_number_of_them_is_done() {
        for n in 0..40 {
            let z: Vec<f64> = (0..n).map(|i| f64::from(i) * 0.7 - 9.0).collect();
            let mut p = z.clone();
            sigmoids(&mut p);
            let expected: Vec<f64> = z.iter().map(|&z| sigmoid(z)).collect();
            assert_eq!(p, expected);
        }
    }
}
