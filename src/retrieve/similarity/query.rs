//! A request's vector, made ready for rows and codes.

use half::f16;

use super::codes::{Codes, MOST};
use super::{GROUP, MAX_DIMS, stride};
use crate::error::Result;
use crate::memory::filled;

/// The largest whole number of the request's approximation.
const MOST_WHOLE: f64 = i16::MAX as f64;

/// A request's vector. Sized once for vectors of up to so many numbers.
#[derive(Debug)]
pub struct Query {
    /// Rounded to fp16, padded.
    pub(super) numbers: Box<[f32]>,
    /// The approximation's whole numbers.
    pub(super) whole: Box<[i16]>,
    /// How far apart rows stand that it fits.
    pub(super) stride: usize,
    /// The unit of the whole numbers.
    unit: f64,
    /// The vector's length.
    norm: f64,
    /// How far the approximation is off.
    off: f64,
    dims: usize,
}

/// From <w, q> to a bound of the score: `scale · (slope · <w, q> + offset)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) slope: f32,
    pub(super) offset: f32,
}

impl Query {
    /// Room for vectors of up to `most` numbers, at most 1024.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub fn new(most: usize) -> Result<Self> {
        let room = stride(most.clamp(1, MAX_DIMS));
        let (numbers, whole) = (filled(room)?, filled(room)?);
        Ok(Self { numbers, whole, stride: 0, unit: 0.0, norm: 0.0, off: 0.0, dims: 0 })
    }

    /// Takes a request's vector. False, and then it fits no rows, when it has no numbers or more than there is room for, or
    /// when one is beyond fp16: not finite, or past 65504.
    pub fn set(&mut self, vector: &[f32]) -> bool {
        self.stride = 0;
        let stride = stride(vector.len());
        if vector.is_empty() || stride > self.numbers.len() {
            return false;
        }
        self.numbers[..stride].fill(0.0);
        for (to, &x) in self.numbers.iter_mut().zip(vector) {
            *to = f16::from_f32(x).to_f32();
        }
        let numbers = &self.numbers[..stride];
        let most = numbers.iter().fold(0.0f32, |most, x| if x.is_finite() { most.max(x.abs()) } else { f32::INFINITY });
        if !most.is_finite() {
            return false;
        }
        // The sum over all numbers stays within 32 bits.
        let largest = MOST_WHOLE.min((i32::MAX as f64 / (f64::from(MOST) * stride as f64)).floor());
        self.unit = f64::from(most) / largest;
        let (mut norm, mut off) = (0.0, 0.0);
        for (to, &x) in self.whole.iter_mut().zip(numbers) {
            let x = f64::from(x);
            let whole = if self.unit == 0.0 { 0.0 } else { (x / self.unit).round() };
            norm += x * x;
            off += (x - whole * self.unit).powi(2);
            *to = whole as i16;
        }
        (self.norm, self.off, self.dims, self.stride) = (norm.sqrt(), off.sqrt(), vector.len(), stride);
        true
    }

    /// Numbers of the vector; 0 when there is none.
    #[must_use]
    pub fn dims(&self) -> usize {
        if self.stride == 0 { 0 } else { self.dims }
    }

    /// The bound of scores by these codes.
    pub(super) fn line(&self, codes: &Codes<'_>) -> Line {
        let longest = f64::from(MOST) * (self.stride as f64).sqrt();
        // A sum of `stride` numbers in f32, and the few steps of the bound itself.
        let rounding = (self.stride + GROUP) as f64 * f64::from(f32::EPSILON);
        let spread = f64::from(codes.spread);
        let offset = self.norm * spread + self.off * longest + rounding * self.norm * (longest + spread);
        Line { slope: self.unit as f32, offset: (offset * (1.0 + 1e-6)) as f32 }
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.numbers) + size_of_val(&*self.whole)
    }
}
