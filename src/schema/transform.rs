//! Raw number to model input. The arithmetic is plain f32 with a software logarithm, so that every machine and
//! every stage (training, packing, serving) computes the same bits.

/// The transform of a raw number, in this order: clip, log1p, standardise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transform {
    /// The raw value is limited to this range first.
    pub clip: (f32, f32),
    /// Then `sign(x) · ln(1 + |x|)`.
    pub log1p: bool,
    /// Then `(x - mean) / scale`.
    pub mean: f32,
    /// Not 0, finite.
    pub scale: f32,
}

impl Default for Transform {
    fn default() -> Self {
        Self { clip: (f32::NEG_INFINITY, f32::INFINITY), log1p: false, mean: 0.0, scale: 1.0 }
    }
}

impl Transform {
    /// The model input of a raw value, which must not be NaN.
    #[must_use]
    pub fn apply(&self, raw: f32) -> f32 {
        let mut x = raw.max(self.clip.0).min(self.clip.1);
        if self.log1p {
            x = libm::log1pf(x.abs()).copysign(x);
        }
        (x - self.mean) / self.scale
    }
}

/// The bucket of a number: how many of the ascending boundaries are ≤ the value.
#[must_use]
pub fn bucketise(boundaries: &[f32], raw: f32) -> u64 {
    boundaries.partition_point(|&b| b <= raw) as u64
}
