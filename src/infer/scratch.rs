//! The memory that a network works in.

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};
use crate::memory::reserved;

/// A cache line.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// f32 in memory of its own, aligned to 64 bytes.
#[derive(Debug, Default)]
pub(crate) struct Arena(Vec<Line>);

impl Arena {
    /// At least `len` zeros.
    pub(crate) fn new(len: usize) -> Self {
        Self(vec![Line::zeroed(); len.div_ceil(16)])
    }

    /// The same, or the error of [`reserved`].
    fn try_new(len: usize) -> Result<Self> {
        let mut lines = reserved(len.div_ceil(16))?;
        lines.resize(len.div_ceil(16), Line::zeroed());
        Ok(Self(lines))
    }

    pub(crate) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// One caller's working memory, allocated once and usable with every plan that needs no more.
#[derive(Debug)]
pub struct Scratch(Arena);

impl Scratch {
    /// Allocates `len` f32, rounded up to 16; see [`super::Plan::scratch_len`].
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self(Arena::new(len))
    }

    /// The same.
    ///
    /// # Errors
    /// `CapacityExceeded` when the system refuses so much memory.
    pub fn try_new(len: usize) -> Result<Self> {
        Arena::try_new(len).map(Self)
    }

    /// f32 that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().len()
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(self.0.values())
    }

    /// Whether it holds nothing.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `len` values.
    pub(crate) fn take(&mut self, len: usize) -> Result<&mut [f32]> {
        let has = self.len();
        self.0.values_mut().get_mut(..len).ok_or_else(|| {
            Error::argument(format!("the scratch holds {has} values and the plan needs {len}: make a larger one"))
        })
    }
}
