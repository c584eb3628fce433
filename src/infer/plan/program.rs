//! The operations of a plan, as lists over one arena: once for each request, then once for each tile of candidates.

use std::ops::Range;

use super::own::Columns;
use crate::artifact::model::network::{LANES, Panels, Params, padded};
use crate::infer::kernel::{Pack, Rows, Then, words};

/// How much of a request is computed once instead of once for each candidate. All levels give the same logits, up to
/// the rounding of f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    Rows,
    /// The request's part of the first layers, which read x0.
    First,
    /// Also the request's outputs of the last cross layer; the logit needs only a weighted sum of them.
    Collapsed,
    /// The cross layers become layers over the candidate's columns, with matrices computed for the request.
    Algebra,
}

/// One level's lists and their costs.
#[derive(Debug, Clone)]
pub(in crate::infer) struct Program {
    pub(in crate::infer) level: Level,
    /// f32 of the arena.
    pub(in crate::infer) len: usize,
    pub(in crate::infer) x0: Rows,
    /// Columns of x0, including those after its own that must be 0.
    pub(in crate::infer) cleared: usize,
    /// The start and the number of columns in a tile's rows of which layers read more and more as others write them.
    pub(super) zone: Option<(Rows, usize)>,
    /// Costs for each request and for each candidate; see [`Program::cost`].
    pub(super) once: usize,
    pub(super) each: usize,
    pub(in crate::infer) prepare: Vec<Prepare>,
    pub(in crate::infer) steps: Vec<Step>,
    /// The sums that its rows may bring along; none: everything is computed.
    pub(in crate::infer) kept: Option<KeptLayers>,
}

/// The place of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::infer) enum WeightIn {
    /// The model's panels.
    Model,
    /// The plan's copy of some of their rows.
    Own,
    /// Computed for the request, in the arena.
    Request,
}

/// Panels of a matrix in the arena, from one of its inputs on.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) struct PanelsAt {
    /// Where the first panel starts.
    pub(super) start: usize,
    /// All inputs of the matrix, or words of them.
    pub(super) inputs: usize,
    /// The first input used.
    pub(super) first: usize,
}

impl PanelsAt {
    /// A row for each panel, from the first input used.
    pub(in crate::infer) fn panels(self) -> Rows {
        Rows { start: self.start + self.first * LANES, stride: self.inputs * LANES }
    }

    /// The same place in words of two inputs each. The first input used must be even.
    pub(super) fn packed(self) -> Self {
        Self { inputs: words(self.inputs, 2), first: self.first / 2, ..self }
    }
}

/// A matrix and its place.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) struct Weight {
    pub(in crate::infer) source: WeightIn,
    pub(in crate::infer) panels: Panels,
}

impl Weight {
    pub(in crate::infer) fn model(panels: Panels) -> Self {
        Self { source: WeightIn::Model, panels }
    }
}

/// The initial value of a layer's sums.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) enum Start {
    Zero,
    Params(Params),
    /// One vector for all rows, at this index of the arena.
    Share(usize),
    /// A vector for each row.
    Rows(Rows),
}

/// `then(start + Σ weight[k] · input[k])` over some columns of the matrix. `input` is the virtual start of column 0.
#[derive(Debug, Clone)]
pub(in crate::infer) struct Layer {
    pub(in crate::infer) weight: Weight,
    pub(in crate::infer) columns: Range<usize>,
    pub(in crate::infer) start: Start,
    pub(in crate::infer) input: Rows,
    pub(in crate::infer) output: Rows,
    pub(in crate::infer) then: Then,
}

/// A layer over packed rows.
#[derive(Debug, Clone)]
pub(in crate::infer) struct PackedLayer {
    pub(in crate::infer) weight: PackedWeight,
    /// Words of each row and of each output.
    pub(in crate::infer) words: usize,
    pub(in crate::infer) outputs: usize,
    pub(in crate::infer) start: Start,
    pub(in crate::infer) input: Rows,
    /// f32, if anything reads them.
    pub(in crate::infer) output: Option<Rows>,
    pub(in crate::infer) packed: Option<(Pack, Rows)>,
    pub(in crate::infer) then: Then,
    /// The start of the weights' copy for inputs that are often 0, and the place where sums may wait.
    pub(in crate::infer) grouped: Option<(usize, Rows)>,
}

/// The start of packed weights: among the plan's words and scales, or in the arena.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) enum PackedWeight {
    Pairs(usize),
    Quads { start: usize, scale: usize },
    Request(usize),
}

impl PackedLayer {
    /// Multiplications of words for each row, with padding: each costs as much as one of f32.
    fn products(&self) -> usize {
        padded(self.outputs) * self.words
    }
}

impl Layer {
    /// Multiplications for each row, with padding.
    fn products(&self) -> usize {
        padded(self.weight.panels.outputs) * self.columns.len()
    }
}

/// Sums of the first layers over columns of x0 that a row may bring along, in groups; see [`super::kept`].
#[derive(Debug, Clone)]
pub(in crate::infer) struct KeptLayers {
    /// f32 of a group's sums.
    pub(in crate::infer) width: usize,
    pub(in crate::infer) groups: Vec<KeptGroup>,
    /// Where the columns of rows that bring no sums stand together.
    pub(in crate::infer) compact: Rows,
}

/// Columns whose sums are kept together.
#[derive(Debug, Clone)]
pub(in crate::infer) struct KeptGroup {
    /// From the first of its columns to the last.
    pub(in crate::infer) columns: Range<usize>,
    /// Where the sums of rows that bring none are computed.
    pub(in crate::infer) sums: Rows,
    /// The layers that compute them, all from x0 to `sums`.
    pub(in crate::infer) layers: Vec<Layer>,
}

/// An operation run once for each request, whose columns are in the first row of x0.
#[derive(Debug, Clone)]
pub(in crate::infer) enum Prepare {
    /// A layer over this many rows.
    Layer(usize, Layer),
    /// `w_r · r`.
    Dot { weight: Params, at: usize },
    /// Parameters from `start` on, and zeros up to the next multiple of 16.
    Copy { start: usize, len: usize, at: usize },
    /// A vector times a number.
    Times { at: usize, len: usize, by: f32 },
    /// `at = from + r ⊙ b`; `start` is where b is among the parameters.
    AddScaled { start: usize, len: usize, from: usize, at: usize },
    /// Each column of a matrix of the plan, times r: one row each. Rows of zeros up to `rows` follow.
    Scale { columns: Columns, rows: usize, to: Rows },
    /// Rows of `outputs` values, one row for each input, to panels.
    Panels { from: Rows, inputs: usize, outputs: usize, to: usize },
    /// A layer over this many rows, each of which becomes an input of a matrix: its outputs go to panels, not to rows.
    Product { rows: usize, layer: Layer, to: PanelsAt },
    /// Some inputs of a matrix to panels.
    Inputs { weight: Weight, columns: Range<usize>, to: PanelsAt },
    /// Rows of `outputs` values, one row for each input, to panels of packed pairs.
    PackPanels { from: Rows, inputs: usize, outputs: usize, to: PanelsAt },
    /// Packed inputs of a matrix to panels of packed pairs.
    PackedInputs { weight: PackedWeight, words: usize, outputs: usize, to: PanelsAt },
    /// Rows to packed pairs.
    Pack { rows: usize, from: Rows, len: usize, to: Rows },
    /// A layer over this many packed rows.
    Packed(usize, PackedLayer),
    /// A head's term of the cross part.
    Collapse(Collapse),
}

/// The logit's part from the request's half of x_L, as a vector over values that the candidate has:
/// `w_p · p_L = constant + (vector over p or the basis) + (vector over the last layer's input)`, where
/// `p_L = p + r ⊙ (W_p x + b_p)`.
#[derive(Debug, Clone)]
pub(in crate::infer) struct Collapse {
    /// The start of w_p among the parameters.
    pub(in crate::infer) weight: usize,
    /// The start of b_p.
    pub(in crate::infer) bias: usize,
    /// Columns of W_p (full) or of U_p (low rank).
    pub(in crate::infer) columns: Columns,
    /// Whether the first columns belong to p (full).
    pub(in crate::infer) full: bool,
    /// The components of p; none: p itself is computed.
    pub(in crate::infer) basis: Option<Basis>,
    /// Two work vectors of the request's width.
    pub(in crate::infer) work: [usize; 2],
    /// The vector over p or the basis, and after it the one over the last layer's input.
    pub(in crate::infer) vector: usize,
    pub(in crate::infer) constant: usize,
}

/// `p = c + Σ_j rows[j] z_j`.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) struct Basis {
    pub(in crate::infer) rows: Rows,
    pub(in crate::infer) count: usize,
    /// The place of c.
    pub(in crate::infer) c: usize,
}

/// One operation on the rows of a tile.
#[derive(Debug, Clone)]
pub(in crate::infer) enum Step {
    Layer(Layer),
    Packed(PackedLayer),
    /// `then(start + kept sums of each group in turn)`: a layer's outputs, or the start of the rest of it. `at` is their
    /// place in [`KeptLayers`].
    AddKept {
        at: usize,
        groups: usize,
        outputs: usize,
        start: Start,
        output: Rows,
        then: Then,
    },
    /// Rows to packed pairs.
    Pack {
        from: Rows,
        len: usize,
        to: Rows,
    },
    /// DCN v1; with a share, xl is x0 from column `first` on.
    Vector {
        weight: Params,
        bias: Params,
        share: Option<usize>,
        first: usize,
        xl: Rows,
        output: Rows,
    },
    /// Softmax of the gates, and every expert's values times its share.
    Mix {
        gate: Rows,
        experts: usize,
        values: Rows,
        rank: usize,
    },
    /// Zeroes `width` columns. The sums of padding outputs are 0 times the inputs, which is NaN for an infinite one.
    Clear {
        rows: Rows,
        width: usize,
    },
    /// A logit: the sum of the terms, the bias and the request's constant.
    Head {
        terms: Vec<Term>,
        bias: f32,
        constant: Option<usize>,
    },
}

/// A vector, and the columns that it is multiplied with.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) struct Term {
    pub(in crate::infer) vector: Vector,
    pub(in crate::infer) rows: Rows,
    pub(in crate::infer) len: usize,
}

/// Where a vector begins.
#[derive(Debug, Clone, Copy)]
pub(in crate::infer) enum Vector {
    Params(usize),
    Arena(usize),
}

/// The cost factor of products when one row goes through a matrix alone: reading and widening the weights is not spread
/// over a tile of rows.
const ALONE: usize = 4;
/// The cost of touching an f32 in the steps around the sums, in products.
const TOUCH: usize = 2;

impl Program {
    /// The cost of a request of `rows` candidates, in products of a full tile. The two constants above decide where the
    /// levels cross over; docs/performance.md compares that with measurements.
    pub(in crate::infer) fn cost(&self, rows: usize) -> usize {
        self.once.saturating_add(self.each.saturating_mul(rows.max(ALONE)))
    }
}

impl Program {
    /// Computes the cost.
    pub(super) fn price(&mut self) {
        self.once = self.prepare.iter().map(Prepare::products).sum();
        self.each = self.steps.iter().map(Step::products).sum();
    }
}

impl Prepare {
    fn products(&self) -> usize {
        match self {
            Self::Layer(rows, layer) => layer.products() * (*rows).max(ALONE),
            Self::Packed(rows, layer) => layer.products() * (*rows).max(ALONE),
            Self::Pack { rows, len, .. } => rows * len,
            Self::Product { rows, layer, .. } => layer.products() * (*rows).max(ALONE),
            Self::Inputs { weight, columns, .. } => columns.len() * weight.panels.outputs * TOUCH,
            Self::PackPanels { inputs, outputs, .. } => inputs * outputs,
            Self::PackedInputs { words, outputs, .. } => words * outputs * TOUCH,
            Self::Dot { weight, .. } => weight.len,
            Self::Copy { len, .. } | Self::Times { len, .. } | Self::AddScaled { len, .. } => len * TOUCH,
            Self::Scale { columns, rows, .. } => rows * columns.len * TOUCH,
            Self::Panels { inputs, outputs, .. } => inputs * outputs * TOUCH,
            Self::Collapse(c) => (c.columns.count + c.basis.map_or(0, |b| b.count)) * c.columns.len * ALONE,
        }
    }
}

impl Step {
    fn products(&self) -> usize {
        match self {
            Self::Layer(layer) => layer.products(),
            Self::Packed(layer) => layer.products(),
            Self::AddKept { groups, outputs, .. } => padded(*outputs) * groups * TOUCH,
            Self::Pack { len, .. } => *len,
            Self::Vector { bias, .. } => 3 * bias.len,
            Self::Mix { experts, rank, .. } => experts * rank * TOUCH,
            Self::Clear { width, .. } => *width,
            Self::Head { terms, .. } => terms.iter().map(|term| term.len * TOUCH).sum(),
        }
    }
}
