//! A plan's own copies of parts of the model: rows of a matrix that do not start with a panel, and columns in f32.

use crate::artifact::model::network::{LANES, Panels};
use crate::infer::Weights;

/// Columns of a matrix in f32: `count` rows of `len`, `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) struct Columns {
    pub(in crate::infer) start: usize,
    pub(in crate::infer) stride: usize,
    pub(in crate::infer) count: usize,
    pub(in crate::infer) len: usize,
}

/// Collects the copies.
#[derive(Debug, Default)]
pub(in crate::infer) struct Own {
    pub(in crate::infer) panels: Vec<u16>,
    pub(in crate::infer) columns: Vec<f32>,
}

/// The fp16 bits of one weight.
fn bits(weights: Weights<'_>, panels: &Panels, row: usize, column: usize) -> u16 {
    weights.panels[panels.start + (row / LANES * panels.inputs + column) * LANES + row % LANES]
}

impl Own {
    /// Rows `first..first + count` of a matrix, as panels of their own.
    pub(super) fn rows(&mut self, weights: Weights<'_>, panels: &Panels, first: usize, count: usize) -> Panels {
        let own = Panels { start: self.panels.len(), inputs: panels.inputs, outputs: count };
        self.panels.resize(own.start + own.len(), 0);
        for row in 0..count {
            for column in 0..panels.inputs {
                let at = own.start + (row / LANES * panels.inputs + column) * LANES + row % LANES;
                self.panels[at] = bits(weights, panels, first + row, column);
            }
        }
        own
    }

    /// The first `len` rows of `count` columns from `first` on, each column in one piece.
    pub(super) fn columns(
        &mut self,
        weights: Weights<'_>,
        panels: &Panels,
        first: usize,
        count: usize,
        len: usize,
    ) -> Columns {
        let own = Columns { start: self.columns.len(), stride: len.next_multiple_of(LANES), count, len };
        self.columns.resize(own.start + count * own.stride, 0.0);
        for column in 0..count {
            for row in 0..len {
                let value = half::f16::from_bits(bits(weights, panels, row, first + column)).to_f32();
                self.columns[own.start + column * own.stride + row] = value;
            }
        }
        own
    }
}
