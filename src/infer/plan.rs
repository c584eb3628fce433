//! A network turned into steps over one arena, once, so that running it is a walk down a list.

use super::kernel::{Kernel, Rows, Then};
use super::scratch::Arena;
use super::shapes::{self, Extent};
use super::{Pass, Scratch, Weights};
use crate::artifact::model::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::artifact::model::spec::{Activation, Structure};
use crate::error::{Error, Result};

/// How one kernel runs one network: the steps, and where in the scratch each of them reads and writes.
#[derive(Debug)]
pub struct Plan {
    pub(super) kernel: &'static Kernel,
    pub(super) width: usize,
    pub(super) request_width: usize,
    pub(super) heads: usize,
    pub(super) needs: Extent,
    pub(super) scratch_len: usize,
    /// The panels as f32, at the same places, for a kernel that wants them so.
    pub(super) expanded: Option<Arena>,
    pub(super) x0: Rows,
    /// Once for each request.
    pub(super) shares: Vec<Share>,
    /// Once for each tile.
    pub(super) steps: Vec<Step>,
}

/// What a first layer owes to the request's columns alone; `at` is its place in the arena.
#[derive(Debug)]
pub(super) enum Share {
    /// `bias + W_r r`, as wide as the padded outputs.
    Sum { weight: Panels, bias: Option<Params>, at: usize },
    /// `w_r · r`.
    Dot { weight: Params, at: usize },
}

/// What a layer's sums start from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Zero,
    Params(Params),
    /// A share at this place: the layer reads x0, and only the columns that the share has not counted.
    Share(usize),
}

/// One operation on the rows of a tile.
#[derive(Debug)]
pub(super) enum Step {
    Dense {
        weight: Panels,
        start: Start,
        input: Rows,
        output: Rows,
        then: Then,
    },
    /// DCN v1; with a share, xl is x0.
    Vector {
        weight: Params,
        bias: Params,
        share: Option<usize>,
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
    /// Zeros in `width` columns. The sums of padding outputs are 0 times the inputs, which is NaN for an infinite one.
    Clear {
        rows: Rows,
        width: usize,
    },
    Head {
        weight: Params,
        bias: f32,
        input: Rows,
    },
}

impl Plan {
    /// Lays a network out for a kernel. A kernel that wants f32 panels gets a private copy of them here.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other or the sections.
    pub fn new(network: &Network, weights: Weights<'_>, kernel: &'static Kernel) -> Result<Self> {
        let needs = shapes::check(network, weights)?;
        let expanded = kernel.expands().then(|| {
            let mut arena = Arena::new(needs.panels);
            for (wide, &bits) in arena.values_mut().iter_mut().zip(weights.panels) {
                *wide = half::f16::from_bits(bits).to_f32();
            }
            arena
        });
        let mut layout = Layout::new(network, kernel.tile_rows());
        layout.network(network);
        Ok(Self {
            kernel,
            width: network.width,
            request_width: network.request_width,
            heads: network.heads.len(),
            needs,
            scratch_len: layout.len,
            expanded,
            x0: layout.x0,
            shares: layout.shares,
            steps: layout.steps,
        })
    }

    /// The kernel that it was made for.
    #[must_use]
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// f32 that a scratch must hold to run it.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    /// Columns of x0.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Of them, the request's, which come first.
    #[must_use]
    pub fn request_width(&self) -> usize {
        self.request_width
    }

    /// Logits for each row.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The most rows that a tile holds.
    #[must_use]
    pub fn tile_rows(&self) -> usize {
        self.kernel.tile_rows()
    }

    /// Rows of each tile (the last may have fewer) that split `rows` into as few and as equal tiles as possible; at
    /// least 1.
    #[must_use]
    pub fn tile_for(&self, rows: usize) -> usize {
        rows.div_ceil(rows.div_ceil(self.tile_rows()).max(1)).max(1)
    }

    /// Starts a request: keeps its columns and computes their share of the first layers.
    ///
    /// `weights` are those that the plan was made of.
    ///
    /// # Errors
    /// `InvalidArgument` when `x_request` is not `request_width` long, or the scratch or the weights are too small.
    pub fn begin<'a>(&'a self, weights: Weights<'a>, scratch: &'a mut Scratch, x_request: &[f32]) -> Result<Pass<'a>> {
        if x_request.len() != self.request_width {
            return Err(Error::argument(format!(
                "the request has {} columns, expected {}",
                x_request.len(),
                self.request_width
            )));
        }
        Pass::new(self, weights, scratch, x_request)
    }

    /// Starts rows that have nothing in common: all columns are written for each of them.
    ///
    /// # Errors
    /// `InvalidArgument` when the scratch or the weights are too small.
    pub fn begin_dense<'a>(&'a self, weights: Weights<'a>, scratch: &'a mut Scratch) -> Result<Pass<'a>> {
        Pass::new(self, weights, scratch, &[])
    }
}

/// An odd number of cache lines: with an even one, the rows of a tile would compete for few sets of a cache.
fn stride(width: usize) -> usize {
    (width.div_ceil(LANES) | 1) * LANES
}

/// Columns that the values of a mixture take. Each expert's C writes whole panels, the last one past the end.
fn mixture_width(experts: usize, rank: usize) -> usize {
    padded(experts * rank).max((experts - 1) * rank + padded(rank))
}

/// Places in the arena, given out from the start. Buffers of intermediate results are used again by later layers, each
/// with a stride of its own.
struct Layout {
    len: usize,
    tile_rows: usize,
    x0: Rows,
    /// Layers write to the one that they do not read.
    layers: [usize; 2],
    /// Within a cross layer: V x, C V x, gates.
    inner: [usize; 3],
    shares: Vec<Share>,
    steps: Vec<Step>,
}

impl Layout {
    fn new(network: &Network, tile_rows: usize) -> Self {
        let hidden = network.deep.iter().chain(network.heads.iter().flat_map(|head| &head.tower));
        let layer =
            hidden.map(|dense| dense.weight.outputs).chain((!network.cross.is_empty()).then_some(network.width));
        let layer = layer.max().unwrap_or(0);
        let mut inner = [0; 3];
        for cross in &network.cross {
            let widths = match *cross {
                Cross::Full { .. } | Cross::Vector { .. } => [0; 3],
                Cross::LowRank { v, .. } => [v.outputs, 0, 0],
                Cross::Mixture { experts, rank, .. } => {
                    let values = mixture_width(experts, rank);
                    [values, values, experts]
                }
            };
            for (most, width) in inner.iter_mut().zip(widths) {
                *most = width.max(*most);
            }
        }
        let x0 = Rows { start: 0, stride: stride(network.width) };
        let mut layout = Self {
            len: tile_rows * x0.stride,
            tile_rows,
            x0,
            layers: [0; 2],
            inner: [0; 3],
            shares: Vec::new(),
            steps: Vec::new(),
        };
        layout.layers = [layer; 2].map(|width| layout.rows(width).start);
        layout.inner = inner.map(|width| layout.rows(width).start);
        layout
    }

    fn rows(&mut self, width: usize) -> Rows {
        let rows = Rows { start: self.len, stride: stride(width) };
        if width > 0 {
            self.len += self.tile_rows * rows.stride;
        }
        rows
    }

    /// The buffer between layers that `input` is not in.
    fn next_layer(&self, input: Rows, width: usize) -> Rows {
        let start = if input.start == self.layers[0] { self.layers[1] } else { self.layers[0] };
        Rows { start, stride: stride(width) }
    }

    fn network(&mut self, network: &Network) {
        let d = network.width;
        let from_cross = network.trunk_cross();
        let trunk = if network.cross.is_empty() && network.deep.is_empty() {
            self.x0
        } else {
            self.rows(network.trunk_width())
        };
        let mut xl = self.x0;
        for (i, cross) in network.cross.iter().enumerate() {
            let last = i + 1 == network.cross.len();
            let output = if last && from_cross > 0 { trunk } else { self.next_layer(xl, d) };
            self.cross(cross, i == 0, xl, output, d);
            xl = output;
        }
        let (deep_input, first) = match network.structure {
            Structure::Parallel => (self.x0, true),
            Structure::Stacked => (xl, network.cross.is_empty()),
        };
        let deep_output = trunk.from_column(padded(from_cross));
        self.chain(&network.deep, deep_input, first, Some(deep_output));
        if trunk != self.x0 {
            self.clear_padding(trunk, from_cross);
            self.clear_padding(deep_output, network.trunk_deep());
        }
        for head in &network.heads {
            let input = self.chain(&head.tower, trunk, false, None);
            self.steps.push(Step::Head { weight: head.weight, bias: head.bias, input });
        }
    }

    fn clear_padding(&mut self, rows: Rows, width: usize) {
        let padding = padded(width) - width;
        if padding > 0 {
            self.steps.push(Step::Clear { rows: rows.from_column(width), width: padding });
        }
    }

    /// Dense layers in sequence; gives where the last one's outputs are.
    fn chain(&mut self, layers: &[Dense], mut input: Rows, mut first: bool, output: Option<Rows>) -> Rows {
        for (i, layer) in layers.iter().enumerate() {
            let last = output.filter(|_| i + 1 == layers.len());
            let to = last.unwrap_or_else(|| self.next_layer(input, layer.weight.outputs));
            let then = match layer.activation {
                Activation::None => Then::None,
                Activation::Relu => Then::Relu,
                Activation::Tanh => Then::Tanh,
            };
            self.dense(layer.weight, Some(layer.bias), first, input, to, then);
            (input, first) = (to, false);
        }
        input
    }

    /// `first`: the input is x0, and the request's share of the sums is computed beforehand.
    fn dense(&mut self, weight: Panels, bias: Option<Params>, first: bool, input: Rows, output: Rows, then: Then) {
        let start = if first {
            let at = self.len;
            self.len += padded(weight.outputs);
            self.shares.push(Share::Sum { weight, bias, at });
            Start::Share(at)
        } else {
            bias.map_or(Start::Zero, Start::Params)
        };
        self.steps.push(Step::Dense { weight, start, input, output, then });
    }

    fn cross(&mut self, cross: &Cross, first: bool, xl: Rows, output: Rows, d: usize) {
        let update = Then::Cross { x0: self.x0, xl };
        let [values, inner, gates] = self.inner;
        match *cross {
            Cross::Full { weight, bias } => self.dense(weight, Some(bias), first, xl, output, update),
            Cross::LowRank { v, u, bias } => {
                let values = Rows { start: values, stride: stride(v.outputs) };
                self.dense(v, None, first, xl, values, Then::None);
                self.dense(u, Some(bias), false, values, output, update);
            }
            Cross::Vector { weight, bias } => {
                let share = first.then(|| {
                    let at = self.len;
                    self.len += LANES;
                    self.shares.push(Share::Dot { weight, at });
                    at
                });
                self.steps.push(Step::Vector { weight, bias, share, xl, output });
            }
            Cross::Mixture { experts, rank, gate, v, ref c, u, bias } => {
                let stride_of_values = stride(mixture_width(experts, rank));
                let values = Rows { start: values, stride: stride_of_values };
                let inner = Rows { start: inner, stride: stride_of_values };
                let gates = Rows { start: gates, stride: stride(experts) };
                self.dense(gate, None, first, xl, gates, Then::None);
                self.dense(v, None, first, xl, values, Then::Tanh);
                // First to last: each writes whole panels, and the next one overwrites what is past the rank.
                for (e, &c) in c.iter().enumerate() {
                    let column = e * rank;
                    self.dense(c, None, false, values.from_column(column), inner.from_column(column), Then::Tanh);
                }
                self.steps.push(Step::Mix { gate: gates, experts, values: inner, rank });
                self.dense(u, Some(bias), false, inner, output, update);
            }
        }
    }
}
