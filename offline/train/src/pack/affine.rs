//! BatchNorm in inference. It is folded into the layer that reads it, or into the layer before it.

use adclick::builder::artifact::model::spec::{Activation, DenseSpec, Matrix};
use half::f16;

/// A mean this many standard deviations from 0 is far. Up to there the rounding of a weight acts on values about as large as
/// their spread, and moves a logit no more than fp16 does anyway.
const FAR: f64 = 4.0;
/// Beyond this the products of a layer are so much larger than their sum's spread that sums in f32 lose it: at 16 standard
/// deviations and 400 inputs about 4e-5 of a logit.
const TOO_FAR: f64 = 16.0;

/// `x ↦ scale ⊙ x + shift`: BatchNorm in inference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
    /// The statistics of its inputs, as far as they are known.
    centre: Vec<Centre>,
}

/// Mean and standard deviation of a value; 0 and 0 where they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Centre {
    mean: f64,
    deviation: f64,
}

impl Centre {
    fn is_beyond(self, deviations: f64) -> bool {
        self.mean.abs() > deviations * self.deviation
    }
}

/// A dense layer on its way into the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AffineLayer {
    pub(super) spec: DenseSpec,
    /// The tensors that it is made of, for messages.
    pub(super) origin: String,
    /// For each input its mean, if it is known and far from 0; empty when no input has one.
    pub(super) centres: Vec<f64>,
}

impl AffineLayer {
    /// With its matrix rounded to fp16 such that the rounding acts on what an input is beyond its mean:
    /// `W x + b ≈ W' x + b + (W - W') mean`. Layers without far means stay as they are: the file's writer rounds them.
    pub(super) fn settled(&self) -> DenseSpec {
        let mut spec = self.spec.clone();
        if self.centres.iter().all(|c| *c == 0.0) {
            return spec;
        }
        for (row, bias) in spec.weight.data.chunks_mut(spec.weight.cols).zip(&mut spec.bias) {
            for (w, mean) in row.iter_mut().zip(&self.centres).filter(|(_, mean)| **mean != 0.0) {
                let stored = f16::from_f64(*w).to_f64();
                // What does not fit fp16 is refused by name later.
                if stored.is_finite() {
                    *bias += (*w - stored) * mean;
                    *w = stored;
                }
            }
        }
        spec
    }
}

impl Affine {
    /// Nothing done.
    pub(super) fn identity(len: usize) -> Self {
        Self { scale: vec![1.0; len], shift: vec![0.0; len], centre: vec![Centre::default(); len] }
    }

    /// BatchNorm with these statistics: `gain (x - mean) / deviation + shift`.
    pub(super) fn norm(gain: &[f64], shift: &[f64], mean: &[f64], deviation: &[f64]) -> Self {
        let scale: Vec<f64> = gain.iter().zip(deviation).map(|(g, d)| g / d).collect();
        let shift = shift.iter().zip(mean).zip(&scale).map(|((t, m), s)| t - m * s).collect();
        let centre = mean.iter().zip(deviation).map(|(&mean, &deviation)| Centre { mean, deviation }).collect();
        Self { scale, shift, centre }
    }

    /// The same map behind `before` columns that stay as they are.
    pub(super) fn behind(&self, before: usize) -> Self {
        let mut all = Self::identity(before);
        all.scale.extend(&self.scale);
        all.shift.extend(&self.shift);
        all.centre.extend(&self.centre);
        all
    }

    /// Folds this map, which stands before `layer`, into it: `W (s ⊙ x + t) + b = (W diag s) x + (W t + b)`.
    pub(super) fn fold_into(&self, layer: &mut AffineLayer) {
        let spec = &mut layer.spec;
        for (row, b) in spec.weight.data.chunks_mut(spec.weight.cols).zip(&mut spec.bias) {
            for ((w, s), t) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                *b += *w * t;
                *w *= s;
            }
        }
        layer.centres = self.centre.iter().map(|c| if c.is_beyond(FAR) { c.mean } else { 0.0 }).collect();
    }

    /// Folds this map, which stands behind `layer` and before its activation, into it.
    pub(super) fn fold_behind(&self, layer: &mut DenseSpec) {
        for (row, (s, t)) in self.scale.iter().zip(&self.shift).enumerate() {
            let cols = layer.weight.cols;
            layer.weight.data[row * cols..][..cols].iter_mut().for_each(|w| *w *= s);
            layer.bias[row] = layer.bias[row] * s + t;
        }
    }

    /// This map, then `next`.
    pub(super) fn then(mut self, next: &Affine) -> Affine {
        for (i, (s, t)) in next.scale.iter().zip(&next.shift).enumerate() {
            self.scale[i] *= s;
            self.shift[i] = self.shift[i] * s + t;
        }
        self
    }

    /// When some of the values that it reads lie too far from 0: a layer that subtracts their means, and what is left of
    /// this map behind it. The layer multiplies by what fp16 can hold, the rest undoes the rounding.
    pub(super) fn centred(&self) -> Option<(DenseSpec, Affine)> {
        if !self.centre.iter().any(|c| c.is_beyond(TOO_FAR)) {
            return None;
        }
        let n = self.scale.len();
        let mut layer =
            DenseSpec { weight: Matrix::new(n, n, vec![0.0; n * n]), bias: vec![0.0; n], activation: Activation::None };
        let mut rest = Self::identity(n);
        for (i, centre) in self.centre.iter().enumerate() {
            // In standard deviations, so that the layer's outputs are about 1.
            let by = f16::from_f64(1.0 / centre.deviation.max(1.0 / 32_768.0)).to_f64();
            let by = if by > 0.0 { by } else { 1.0 };
            layer.weight.data[i * n + i] = by;
            // The bias as the file holds it; what its rounding moves goes into the shift.
            layer.bias[i] = f64::from((-centre.mean * by) as f32);
            rest.scale[i] = self.scale[i] / by;
            rest.shift[i] = self.shift[i] - layer.bias[i] * rest.scale[i];
        }
        Some((layer, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(cols: usize, data: Vec<f64>) -> AffineLayer {
        let rows = data.len() / cols;
        let weight = Matrix::new(rows, cols, data);
        let spec = DenseSpec { weight, bias: vec![0.5; rows], activation: Activation::None };
        AffineLayer { spec, origin: String::new(), centres: Vec::new() }
    }

    fn run(spec: &DenseSpec, x: &[f64]) -> Vec<f64> {
        let sum = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        spec.weight.data.chunks(spec.weight.cols).zip(&spec.bias).map(|(row, b)| sum(row) + b).collect()
    }

    #[test]
    fn rounding_acts_on_what_is_beyond_the_mean() {
        let norm = Affine::norm(&[1.5, 0.7], &[0.1, -0.2], &[9.0, 0.3], &[1.0, 1.0]);
        let mut folded = layer(2, vec![0.333_123, -0.777_321, 0.123_456, 0.654_321]);
        let plain = folded.spec.clone();
        norm.fold_into(&mut folded);
        assert_eq!(folded.centres, [9.0, 0.0], "only far means count");
        let exact = run(&folded.spec, &[9.0, 0.3]);
        let direct = run(&plain, &[0.1, -0.2]);
        assert!(exact.iter().zip(&direct).all(|(a, b)| (a - b).abs() < 1e-12));
        let settled = folded.settled();
        // At the mean of a far input, rounding its weights moves nothing.
        let at_mean = run(&settled, &[9.0, 0.3]);
        assert!(at_mean.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-12), "{at_mean:?} for {exact:?}");
        for (w, stored) in settled.weight.data.iter().zip(&folded.spec.weight.data).step_by(2) {
            assert_eq!(*w, f16::from_f64(*stored).to_f64());
        }
    }

    #[test]
    fn means_too_far_are_subtracted_by_a_layer_of_their_own() {
        let norm = Affine::norm(&[1.5, 0.7], &[0.1, -0.2], &[10.0, 0.3], &[0.03, 1.0]);
        let (first, rest) = norm.centred().unwrap();
        for x in [[10.0, 0.3], [10.05, -1.0], [0.0, 0.0]] {
            let y: Vec<f64> =
                run(&first, &x).iter().zip(rest.scale.iter().zip(&rest.shift)).map(|(y, (s, t))| y * s + t).collect();
            for i in 0..2 {
                let expected = norm.scale[i] * x[i] + norm.shift[i];
                assert!((y[i] - expected).abs() < 1e-9 * expected.abs().max(1.0), "{y:?} for {expected}");
            }
        }
        assert!(first.weight.data.iter().all(|w| f16::from_f64(*w).to_f64() == *w));
        assert_eq!(Affine::norm(&[1.0], &[0.0], &[10.0], &[1.0]).centred(), None);
    }
}
