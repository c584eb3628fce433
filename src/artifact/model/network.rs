//! The layers of a mapped model: shapes and positions, no numbers. `infer` runs them.

use super::spec::{Activation, HeadKind, Structure};

/// The width of a panel: outputs are padded to a multiple of it.
pub const LANES: usize = 16;

/// `n` rounded up to a multiple of [`LANES`].
#[must_use]
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// A weight matrix in the `weights` section: fp16 panels `[outputs / 16][inputs][16]`, zero-padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panels {
    /// First element in the `weights` section, counted in fp16 values; a multiple of 32.
    pub start: usize,
    /// Inputs: the k dimension, request columns first where the input is x0.
    pub inputs: usize,
    /// Outputs before padding.
    pub outputs: usize,
}

impl Panels {
    /// fp16 values, padding included.
    #[must_use]
    pub fn len(&self) -> usize {
        padded(self.outputs) * self.inputs
    }

    /// Whether the matrix has no values.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A vector of f32 in the `params` section, zero-padded to a multiple of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// First element in the `params` section, counted in f32 values; a multiple of 16.
    pub start: usize,
    /// Values before padding.
    pub len: usize,
}

/// `activation(W x + b)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// W.
    pub weight: Panels,
    /// b.
    pub bias: Params,
    /// Applied to each output.
    pub activation: Activation,
}

/// A cross layer; see [`super::spec::CrossSpec`] for the formulas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cross {
    /// `[d, d]`.
    Full {
        /// W.
        weight: Panels,
        /// b.
        bias: Params,
    },
    /// V then U.
    LowRank {
        /// `[r, d]`.
        v: Panels,
        /// `[d, r]`.
        u: Panels,
        /// b.
        bias: Params,
    },
    /// DCN v1; w stays f32.
    Vector {
        /// w, `[d]`.
        weight: Params,
        /// b, `[d]`.
        bias: Params,
    },
    /// DCN-mix. The experts' V are stacked into one matrix; their U are side by side.
    Mixture {
        /// The number of experts.
        experts: usize,
        /// `r` of each expert.
        rank: usize,
        /// `[experts, d]`.
        gate: Panels,
        /// `[experts · r, d]`.
        v: Panels,
        /// One `[r, r]` for each expert.
        c: Vec<Panels>,
        /// `[d, experts · r]`.
        u: Panels,
        /// b.
        bias: Params,
    },
}

/// A head. The trunk that it reads is laid out as `[x_L padded to 16 ; deep padded to 16]`, where an absent part takes
/// no room. Weights for the padding are 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What it predicts.
    pub kind: HeadKind,
    /// Layers of its own.
    pub tower: Vec<Dense>,
    /// Output weights over the padded trunk, or over the last tower layer. Rounded to fp16 like every matrix, stored
    /// as f32.
    pub weight: Params,
    /// Added to the logit.
    pub bias: f32,
}

/// All layers, every shape checked against its neighbours when the file was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Columns of x0.
    pub width: usize,
    /// How many of them are the request's.
    pub request_width: usize,
    /// The input of the deep part.
    pub structure: Structure,
    /// First to last.
    pub cross: Vec<Cross>,
    /// First to last.
    pub deep: Vec<Dense>,
    /// One or two.
    pub heads: Vec<Head>,
}

impl Network {
    /// Columns of the trunk that come from the cross part, before padding: d when heads read x_L, else 0.
    #[must_use]
    pub fn trunk_cross(&self) -> usize {
        let reads_cross = match self.structure {
            Structure::Parallel => !self.cross.is_empty() || self.deep.is_empty(),
            Structure::Stacked => self.deep.is_empty(),
        };
        if reads_cross { self.width } else { 0 }
    }

    /// Columns of the trunk that come from the deep part, before padding.
    #[must_use]
    pub fn trunk_deep(&self) -> usize {
        self.deep.last().map_or(0, |d| d.weight.outputs)
    }

    /// Columns of the trunk, padding included.
    #[must_use]
    pub fn trunk_width(&self) -> usize {
        padded(self.trunk_cross()) + padded(self.trunk_deep())
    }
}
