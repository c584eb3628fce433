//! Similarity: the ads whose vectors have the largest inner product with the request's, among those that are eligible.
//!
//! Vectors are rows of fp16, one for each ad ordinal. The request's vector is rounded to fp16 too, so that every product is
//! exact in f32, and sums run in one order: a score has the same bits on every CPU. The answer is exact, whatever share of the
//! ads is eligible: the scan visits the eligible rows and no others.
//!
//! Rows may carry codes beside them: the same numbers in eight bits. A first pass over the codes reads half the bytes and
//! bounds every score from above; only rows whose bound beats the k-th best score so far are read in fp16 ([`codes`]). So the
//! answer is the same.

mod codes;
mod query;
#[allow(unsafe_code, reason = "code compiled for instruction sets, behind a check of the CPU")]
mod rows;
mod scan;
mod top;

pub use codes::Codes;
#[cfg(feature = "builder")]
pub use codes::encode;
pub use query::Query;
pub use rows::Lanes;
pub use scan::{Route, Scan, Way};
pub use top::{Hit, Top};

use crate::error::{Error, Result};

/// The most numbers of a vector.
const MAX_DIMS: usize = 1024;
/// Rows are padded with zeros to whole groups of so many numbers.
const GROUP: usize = 32;

/// How far apart rows of `dims` numbers stand.
#[must_use]
pub fn stride(dims: usize) -> usize {
    dims.next_multiple_of(GROUP)
}

/// The vectors of an inventory.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    dims: usize,
    stride: usize,
    /// fp16 bits, `[ads][stride]`.
    rows: &'a [u16],
    codes: Option<Codes<'a>>,
}

impl<'a> Vectors<'a> {
    /// Vectors of `dims` numbers, whose `rows` are fp16 bits, `[ads][stride(dims)]`, all finite, with zeros behind the numbers.
    ///
    /// # Errors
    /// `Corrupt` when the lengths do not fit together, or a number is not finite, or padding is not 0.
    pub fn new(dims: usize, rows: &'a [u16]) -> Result<Self> {
        let vectors = Self::unchecked(dims, rows)?;
        let bad = rows.chunks_exact(vectors.stride).enumerate().find_map(|(ad, row)| {
            let (numbers, padding) = row.split_at(dims);
            let number = numbers.iter().position(|bits| bits & 0x7c00 == 0x7c00);
            number.or_else(|| padding.iter().position(|bits| *bits != 0).map(|at| dims + at)).map(|at| (ad, at))
        });
        match bad {
            Some((ad, at)) => Err(Error::corrupt(format!(
                "the vector of ad {ad}, number {at}: {}",
                if at < dims { "not finite" } else { "padding that is not 0" }
            ))),
            None => Ok(vectors),
        }
    }

    /// The same without a look at the numbers, which gives a wrong order and nothing worse when they are not finite.
    ///
    /// # Errors
    /// `Corrupt` when the lengths do not fit together.
    pub fn unchecked(dims: usize, rows: &'a [u16]) -> Result<Self> {
        if !(1..=MAX_DIMS).contains(&dims) {
            return Err(Error::corrupt(format!("vectors of {dims} numbers, expected 1 to {MAX_DIMS}")));
        }
        let stride = stride(dims);
        if !rows.len().is_multiple_of(stride) || rows.len() / stride > u32::MAX as usize {
            return Err(Error::corrupt(format!(
                "{} numbers of vectors, expected a multiple of {stride} and less than 2^32 rows",
                rows.len()
            )));
        }
        Ok(Self { dims, stride, rows, codes: None })
    }

    /// The same with codes beside the rows.
    ///
    /// # Errors
    /// `Corrupt` when there are not as many as there are rows.
    pub fn with_codes(self, codes: Codes<'a>) -> Result<Self> {
        codes.check(self.len(), self.stride)?;
        Ok(Self { codes: Some(codes), ..self })
    }

    /// Numbers of a vector.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// The number of ads.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len() / self.stride
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests;
