//! A model as a trainer or packer describes it, before it becomes a file: matrices in f64 and columns in declared
//! order. Only BatchNorm is already folded (the packer does this in f64).

use crate::named::{Named, displayed_by_name};
#[cfg(feature = "builder")]
use crate::schema::{Enrichment, Schema};

/// A dense matrix in row-major order.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// Rows: outputs.
    pub rows: usize,
    /// Columns: inputs.
    pub cols: usize,
    /// `rows * cols` values.
    pub data: Vec<f64>,
}

#[cfg(feature = "builder")]
impl Matrix {
    /// A matrix of the given shape. The length of `data` is checked when the model is written.
    #[must_use]
    pub fn new(rows: usize, cols: usize, data: Vec<f64>) -> Self {
        Self { rows, cols, data }
    }
}

/// What follows a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activation {
    /// Nothing.
    None = 0,
    /// max(0, x).
    Relu = 1,
    /// tanh(x).
    Tanh = 2,
}

/// `activation(W x + b)`, W `[out, in]`.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub struct DenseSpec {
    /// `[out, in]`.
    pub weight: Matrix,
    /// `[out]`.
    pub bias: Vec<f64>,
    /// Applied to each output.
    pub activation: Activation,
}

/// One cross layer over x0 and x_l, both `[d]`. Every form adds x_l.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub enum CrossSpec {
    /// `x0 ⊙ (W x_l + b) + x_l`, W `[d, d]` (a diagonal scale is added to W before it comes here).
    Full {
        /// `[d, d]`.
        weight: Matrix,
        /// `[d]`.
        bias: Vec<f64>,
    },
    /// `x0 ⊙ (U (V x_l) + b) + x_l`.
    LowRank {
        /// `[r, d]`: applied first.
        v: Matrix,
        /// `[d, r]`: applied second.
        u: Matrix,
        /// `[d]`.
        bias: Vec<f64>,
    },
    /// DCN v1: `x0 · (w · x_l) + b + x_l`.
    Vector {
        /// `[d]`.
        weight: Vec<f64>,
        /// `[d]`.
        bias: Vec<f64>,
    },
    /// DCN-mix: `x0 ⊙ (Σ_e softmax(G x_l)_e U_e tanh(C_e tanh(V_e x_l)) + b) + x_l`.
    Mixture {
        /// One for each expert.
        experts: Vec<ExpertSpec>,
        /// `[experts, d]`.
        gate: Matrix,
        /// `[d]`.
        bias: Vec<f64>,
    },
}

/// One expert of a mixture layer.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub struct ExpertSpec {
    /// `[r, d]`: applied first, then tanh.
    pub v: Matrix,
    /// `[r, r]`: applied second, then tanh.
    pub c: Matrix,
    /// `[d, r]`: applied third.
    pub u: Matrix,
}

/// The input of the deep part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Structure {
    /// The deep part reads x0; the trunk is `[x_L ; deep(x0)]`. Without cross layers: `[deep(x0)]`; without deep
    /// layers: `[x_L]` (x0 itself when there is neither).
    Parallel = 0,
    /// The deep part reads x_L; the trunk is `[deep(x_L)]`.
    Stacked = 1,
}

impl Structure {
    /// `parallel` or `stacked`.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Stacked => "stacked",
        }
    }
}

/// The prediction of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HeadKind {
    /// P(click | impression).
    Ctr = 0,
    /// P(conversion | click).
    Cvr = 1,
}

impl Named for HeadKind {
    fn name(self) -> &'static str {
        match self {
            Self::Ctr => "pCTR",
            Self::Cvr => "pCVR",
        }
    }
}

displayed_by_name!(HeadKind);

/// `logit = w · tower(trunk) + b (+ wide)`.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub struct HeadSpec {
    /// What it predicts; at most one head of each kind, pCTR first.
    pub kind: HeadKind,
    /// Layers of its own between trunk and output; may be empty.
    pub tower: Vec<DenseSpec>,
    /// `[last tower layer or trunk]`.
    pub weight: Vec<f64>,
    /// Added to the logit; the correction for negative downsampling, ln w, is folded in here.
    pub bias: f64,
}

/// The layers of a model.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkSpec {
    /// What the deep part reads.
    pub structure: Structure,
    /// Cross layers, first to last.
    pub cross: Vec<CrossSpec>,
    /// Deep layers, first to last.
    pub deep: Vec<DenseSpec>,
    /// One or two.
    pub heads: Vec<HeadSpec>,
}

/// The contents of one embedding table; its description is in the schema.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EmbeddingSpec {
    /// `[rows, dim]`, unknown and missing rows first (see [`crate::schema::Embedding`]).
    pub rows: Vec<f32>,
    /// The ids of a vocabulary in row order; empty for the other kinds of index.
    pub vocabulary: Vec<u64>,
    /// `[rows, heads]`: the wide part's weights; empty when the table has none.
    pub wide: Vec<f32>,
}

/// The share of reference rows in each bin of one quantity, for drift monitoring.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// The quantity: `pctr`, `pcvr`, or the name of a feature.
    pub name: String,
    /// Inner bin edges, ascending: `counts.len() - 1` of them; a value's bin is the number of edges ≤ value.
    pub edges: Vec<f64>,
    /// Rows in each bin.
    pub counts: Vec<u64>,
}

/// One raw value of a golden request, by feature number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GoldenValue {
    /// Feature number in the schema.
    pub feature: u32,
    /// The number, or the weight of a category.
    pub number: f32,
    /// The category id, or the position in a vector.
    pub id: u64,
}

/// A request with one candidate whose outputs are stored with the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GoldenRequest {
    /// The request's time: microseconds since 1970-01-01 UTC.
    pub time_us: i64,
    /// The user's offset from UTC.
    pub utc_offset_s: i32,
    /// Raw values of both sides.
    pub values: Vec<GoldenValue>,
}

/// The contents of a model file.
#[cfg(feature = "builder")]
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The features.
    pub schema: Schema,
    /// The reads from feature tables; may be empty.
    pub enrichment: Enrichment,
    /// The layers.
    pub network: NetworkSpec,
    /// One for each embedding of the schema, in its order.
    pub embeddings: Vec<EmbeddingSpec>,
    /// Where the model comes from: a TOML document (training window, rows, metrics, seed, parent).
    pub provenance: String,
    /// Reference distributions; may be empty.
    pub histograms: Vec<Histogram>,
    /// Requests whose outputs are computed by the f64 reference when the model is written; may be empty.
    pub goldens: Vec<GoldenRequest>,
    /// The largest input of each deep layer on real rows, for integer arithmetic; 0 where unknown. Empty when unknown
    /// for all layers.
    pub ranges: Vec<f32>,
}
