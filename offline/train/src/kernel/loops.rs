//! Loops over the values of a batch, compiled for each instruction set. No product is fused with a sum, and sums over many
//! values run in sixteen lanes.

use super::{Cpu, Set};

/// Values that a draw leaves out, as a function of a key and the value's number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    key: u32,
    /// A draw below it leaves the value out.
    threshold: u32,
    /// What the others are multiplied by.
    pub(crate) scale: f32,
}

impl Dropout {
    /// Leaves out this share of values, below 1.
    pub(crate) fn new(rate: f64, key: u64) -> Self {
        let threshold = (rate * 2f64.powi(32)).min(f64::from(u32::MAX)) as u32;
        Self { key: (key ^ key >> 32) as u32, threshold, scale: (1.0 / (1.0 - rate)) as f32 }
    }

    /// The factor of a value: 0 or `scale`.
    #[inline(always)]
    pub(crate) fn factor(self, number: u32) -> f32 {
        if draw(self.key, number) < self.threshold { 0.0 } else { self.scale }
    }
}

/// A number of 32 bits that looks random, given a key and a counter.
#[inline(always)]
pub(crate) fn draw(key: u32, number: u32) -> u32 {
    let mut x = number.wrapping_mul(0x9e37_79b9) ^ key;
    x = (x ^ x >> 16).wrapping_mul(0x7feb_352d);
    x = (x ^ x >> 15).wrapping_mul(0x846c_a68b);
    x ^ x >> 16
}

/// A step of AdamW.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Adam {
    pub(crate) lr: f32,
    /// What a weight is multiplied by first.
    pub(crate) shrink: f32,
    /// What the summed gradient is multiplied by.
    pub(crate) scale: f32,
    /// 1 − β^t of the first and the second moment.
    pub(crate) bias: (f32, f32),
    /// What the average takes of the new weights.
    pub(crate) take: f32,
}

/// Defines methods of [`Cpu`], each compiled for every instruction set.
macro_rules! loops {
    ($($(#[$says:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        impl Cpu { $(
            $(#[$says])*
            #[allow(clippy::too_many_arguments, reason = "slices of one step")]
            pub(crate) fn $name(self, $($arg: $type),*) $(-> $result)? {
                #[inline(always)]
                #[allow(clippy::too_many_arguments, reason = "slices of one step")]
                fn plain($($arg: $type),*) $(-> $result)? $body
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2")]
                #[allow(clippy::too_many_arguments, reason = "slices of one step")]
                fn avx512($($arg: $type),*) $(-> $result)? { plain($($arg),*) }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments, reason = "slices of one step")]
                fn avx2($($arg: $type),*) $(-> $result)? { plain($($arg),*) }
                match self.0 {
                    // SAFETY: `Cpu` was found on this machine.
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx512 => unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Set::Avx2 => unsafe { avx2($($arg),*) },
                    Set::Portable => plain($($arg),*),
                }
            }
        )* }
    };
}

/// Lanes of a sum.
const LANES: usize = 16;

loops! {
    /// Σ a b.
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [0.0f32; LANES];
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                sums[i] += a[i] * b[i];
            }
        }
        let mut rest = 0.0;
        for (a, b) in a_rest.iter().zip(b_rest) {
            rest += a * b;
        }
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                sums[i] += sums[i + width];
            }
        }
        sums[0] + rest
    }

    /// to += factor · from.
    fn add(to: &mut [f32], factor: f32, from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += factor * from;
        }
    }

    /// Adds up the rows `[rows, pitch]`, or what is given of them.
    fn add_rows(sums: &mut [f32], rows: &[f32], pitch: usize) {
        for row in rows.chunks_exact(pitch) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }

    /// out = x0 · p + x.
    fn cross(out: &mut [f32], x0: &[f32], p: &[f32], x: &[f32]) {
        for (((out, x0), p), x) in out.iter_mut().zip(x0).zip(p).zip(x) {
            *out = x0 * p + x;
        }
    }

    /// The gradients at x0 (added) and p of x0 · p + x, given that at the sum.
    fn cross_back(dx0: &mut [f32], dp: &mut [f32], g: &[f32], x0: &[f32], p: &[f32]) {
        for ((((dx0, dp), g), x0), p) in dx0.iter_mut().zip(dp).zip(g).zip(x0).zip(p) {
            *dx0 += g * p;
            *dp = g * x0;
        }
    }

    /// max(0, z).
    fn relu(z: &mut [f32]) {
        for z in z {
            *z = if *z > 0.0 { *z } else { 0.0 };
        }
    }

    /// max(0, z), some left out. The values have numbers from `first` on.
    fn relu_dropped(z: &mut [f32], drop: Dropout, first: u32) {
        for (i, z) in z.iter_mut().enumerate() {
            let factor = drop.factor(first.wrapping_add(i as u32));
            *z = if *z > 0.0 { *z * factor } else { 0.0 };
        }
    }

    /// The gradient behind a ReLU, given that at its values: what was left out or cut off passes nothing on.
    fn relu_back(d: &mut [f32], values: &[f32], scale: f32) {
        for (d, value) in d.iter_mut().zip(values) {
            *d = if *value > 0.0 { *d * scale } else { 0.0 };
        }
    }

    /// One step of AdamW down the summed gradient, and the average of the weights.
    fn adam(step: Adam, gradient: &[f32], weights: &mut [f32], m: &mut [f32], v: &mut [f32], average: &mut [f32]) {
        let (b1, b2) = (0.9f32, 0.999f32);
        let n = gradient.len();
        let (weights, m, v, average) = (&mut weights[..n], &mut m[..n], &mut v[..n], &mut average[..n]);
        for i in 0..n {
            let g = gradient[i] * step.scale;
            m[i] = b1 * m[i] + (1.0 - b1) * g;
            v[i] = b2 * v[i] + (1.0 - b2) * g * g;
            weights[i] = weights[i] * step.shrink - step.lr * (m[i] / step.bias.0) / ((v[i] / step.bias.1).sqrt() + 1e-8);
            average[i] += step.take * (weights[i] - average[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_leave_out_the_share_that_is_asked_for() {
        let mut left_out = [0u32; 2];
        for (key, left_out) in (0u64..).zip(&mut left_out) {
            let drop = Dropout::new(0.17, adclick::builder::hash::mix(key));
            *left_out = (0..100_000).filter(|&i| drop.factor(i) == 0.0).count() as u32;
        }
        // Four standard deviations are 475.
        assert!(left_out.iter().all(|n| n.abs_diff(17_000) < 475), "{left_out:?}");
        assert_eq!(Dropout::new(0.0, 1).factor(7), 1.0);
        // Neighbours, in one key and between two, are as independent as far ones.
        let drop = [Dropout::new(0.5, 1), Dropout::new(0.5, 2)];
        let both = |a: usize, shift: u32| {
            (0..100_000).filter(move |&i| drop[0].factor(i) > 0.0 && drop[a].factor(i + shift) > 0.0)
        };
        for (a, shift) in [(0, 1), (0, 16), (0, 144), (1, 0), (1, 1)] {
            assert!(both(a, shift).count().abs_diff(25_000) < 700, "{a} {shift}");
        }
    }

    #[test]
    fn all_cpus_give_the_same_bits() {
        let value = |i: u64| (adclick::builder::hash::mix(i) as f64 / 2f64.powi(63) - 1.0) as f32;
        let values = |first: u64| -> Vec<f32> { (first..first + 77).map(value).collect() };
        let [a, b, c, d] = [0, 100, 200, 300].map(values);
        let bits = |cpu: Cpu| {
            let (mut all, mut p, mut q) = (vec![cpu.dot(&a, &b)], c.clone(), d.clone());
            cpu.add(&mut p, 0.3, &a);
            cpu.cross_back(&mut p, &mut q, &a, &b, &c);
            cpu.relu_dropped(&mut q, Dropout::new(0.4, 9), 5);
            cpu.relu_back(&mut p, &q, 1.5);
            let (mut m, mut v, mut average) = (d.clone(), c.iter().map(|x| x * x).collect::<Vec<f32>>(), a.clone());
            let step = Adam { lr: 0.01, shrink: 0.999, scale: 0.125, bias: (0.2, 0.3), take: 0.01 };
            cpu.adam(step, &b, &mut p, &mut m, &mut v, &mut average);
            all.extend(p.into_iter().chain(q).chain(m).chain(v).chain(average));
            all.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(Cpu::best().dot(&a, &b)) - exact).abs() < 1e-5);
        for cpu in Cpu::all() {
            assert_eq!(bits(cpu), bits(Cpu::best()), "{cpu:?}");
        }
    }
}
