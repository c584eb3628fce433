//! Codes: the rows' numbers in eight bits, and what they leave out.
//!
//! Of a row x there are whole numbers q from -127 to 127 and a scale s, so that x = s·q + e. What a code leaves out is bounded
//! for all rows at once: |e| ≤ spread · s. With a request's vector u and any approximation of it v = a·w, w whole numbers:
//!
//! ```text
//! <u, x> = s·<v, q> + s·<u - v, q> + <u, e>
//!        ≤ s·(a·<w, q> + |u - v|·127·√dims + |u|·spread)
//! ```
//!
//! The parenthesis is a line in the whole number <w, q>: `Query` has its slope and its offset, which also covers the rounding
//! of f32.

use crate::error::{Error, Result};

/// The largest code.
pub(super) const MOST: f32 = 127.0;

/// Eight bits for each number of the rows.
#[derive(Debug, Clone, Copy)]
pub struct Codes<'a> {
    /// `[ads][stride]`.
    pub(super) codes: &'a [i8],
    /// The scale of each row, fp16 bits.
    pub(super) scales: &'a [u16],
    /// What a row's codes leave out, by its length, is at most so many of its scales.
    pub(super) spread: f32,
}

impl<'a> Codes<'a> {
    /// Codes of rows, a scale (fp16 bits) for each row, and the spread, as [`encode`] makes them.
    #[must_use]
    pub fn new(codes: &'a [i8], scales: &'a [u16], spread: f32) -> Self {
        Self { codes, scales, spread }
    }

    pub(super) fn check(&self, ads: usize, stride: usize) -> Result<()> {
        if self.scales.len() != ads || self.codes.len() != ads * stride {
            return Err(Error::corrupt(format!(
                "{} scales and {} codes of {ads} vectors, expected {ads} and {}",
                self.scales.len(),
                self.codes.len(),
                ads * stride
            )));
        }
        if !(self.spread >= 0.0 && self.spread.is_finite()) {
            return Err(Error::corrupt(format!("a spread of {}, expected a number from 0", self.spread)));
        }
        Ok(())
    }
}

/// The codes of rows, their scales and the spread. `rows` are fp16 bits, `[ads][stride]`, all finite.
#[cfg(feature = "builder")]
#[must_use]
pub fn encode(rows: &[u16], stride: usize) -> (Vec<i8>, Vec<u16>, f32) {
    use half::f16;

    let mut codes = Vec::with_capacity(rows.len());
    let mut scales = Vec::with_capacity(rows.len() / stride);
    let mut spread = 0.0f64;
    for row in rows.chunks_exact(stride) {
        let number = |bits: &u16| f16::from_bits(*bits).to_f32();
        let most = row.iter().map(number).fold(0.0f32, |most, x| most.max(x.abs()));
        let mut scale = f16::from_f32(most / MOST);
        if f64::from(scale.to_f32()) * f64::from(MOST) < f64::from(most) {
            // Rounded down: the next one up.
            scale = f16::from_bits(scale.to_bits() + 1);
        }
        let s = scale.to_f32();
        let mut left = 0.0f64;
        for x in row.iter().map(number) {
            let code = if s == 0.0 { 0.0 } else { (x / s).round().clamp(-MOST, MOST) };
            left += (f64::from(x) - f64::from(s) * f64::from(code)).powi(2);
            codes.push(code as i8);
        }
        if s > 0.0 {
            spread = spread.max(left.sqrt() / f64::from(s));
        }
        scales.push(scale.to_bits());
    }
    // Rounded up.
    (codes, scales, (spread * (1.0 + 1e-6)) as f32)
}
