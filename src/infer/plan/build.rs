//! Lays a network out as a program that computes each layer for each row, the first ones perhaps in part.

use super::program::{Layer, Level, Prepare, Program, Start, Step, Term, Vector, Weight};
use crate::artifact::model::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::artifact::model::spec::{Activation, Structure};
use crate::infer::kernel::{Rows, Then};

/// An odd number of cache lines: with an even one, the rows of a tile would compete for few cache sets.
pub(super) fn stride(width: usize) -> usize {
    (width.div_ceil(LANES) | 1) * LANES
}

/// Columns for the values of a mixture. Each expert's C writes whole panels, so the last one goes past the end.
fn mixture_width(experts: usize, rank: usize) -> usize {
    padded(experts * rank).max((experts - 1) * rank + padded(rank))
}

/// Hands out places in the arena from the start. Later layers reuse the buffers of intermediate results, each with a
/// stride of its own.
pub(super) struct Builder<'a> {
    pub(super) network: &'a Network,
    /// The request's columns that are counted once.
    pub(super) shared: usize,
    pub(super) len: usize,
    tile_rows: usize,
    pub(super) x0: Rows,
    /// Layers write to the one that they do not read.
    layers: [usize; 2],
    /// Within a cross layer: V x, C V x, gates.
    inner: [usize; 3],
    pub(super) prepare: Vec<Prepare>,
    pub(super) steps: Vec<Step>,
}

/// The program that shares the request's part of the first layers, or nothing.
pub(super) fn layer_by_layer(network: &Network, tile_rows: usize, level: Level) -> Program {
    let shared = if level == Level::Rows { 0 } else { network.request_width };
    let mut builder = Builder::new(network, tile_rows, shared, 0);
    let trunk = builder.trunk();
    let xl = builder.cross_layers(network.cross.len(), (network.trunk_cross() > 0).then_some(trunk));
    builder.deep_and_heads(xl, trunk);
    builder.finish(level)
}

impl<'a> Builder<'a> {
    /// Room for rows of x0, `more` columns after them, and what any layer needs.
    pub(super) fn new(network: &'a Network, tile_rows: usize, shared: usize, more: usize) -> Self {
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
        let x0 = Rows { start: 0, stride: stride(network.width + more) };
        let mut builder = Self {
            network,
            shared,
            len: tile_rows * x0.stride,
            tile_rows,
            x0,
            layers: [0; 2],
            inner: [0; 3],
            prepare: Vec::new(),
            steps: Vec::new(),
        };
        builder.layers = [layer; 2].map(|width| builder.rows(width).start);
        builder.inner = inner.map(|width| builder.rows(width).start);
        builder
    }

    pub(super) fn finish(self, level: Level) -> Program {
        let (prepare, steps) = (self.prepare, self.steps);
        let mut program = Program {
            level,
            len: self.len,
            x0: self.x0,
            cleared: padded(self.network.width),
            zone: None,
            once: 0,
            each: 0,
            prepare,
            steps,
            kept: None,
        };
        program.price();
        program
    }

    /// Rows of a buffer of its own, one for each of a tile.
    pub(super) fn rows(&mut self, width: usize) -> Rows {
        self.many_rows(self.tile_rows, width)
    }

    pub(super) fn many_rows(&mut self, count: usize, width: usize) -> Rows {
        let rows = Rows { start: self.len, stride: stride(width) };
        if width > 0 {
            self.len += count * rows.stride;
        }
        rows
    }

    /// A vector of its own, with its padding.
    pub(super) fn vector(&mut self, len: usize) -> usize {
        let at = self.len;
        self.len += padded(len);
        at
    }

    /// The buffer between layers that does not hold `input`.
    fn next_layer(&self, input: Rows, width: usize) -> Rows {
        let start = if input.start == self.layers[0] { self.layers[1] } else { self.layers[0] };
        Rows { start, stride: stride(width) }
    }

    /// The place of the trunk: x0 itself when there are no layers.
    pub(super) fn trunk(&mut self) -> Rows {
        let network = self.network;
        if network.cross.is_empty() && network.deep.is_empty() { self.x0 } else { self.rows(network.trunk_width()) }
    }

    /// The first `count` cross layers, the last one's outputs in `output` if it is given. Returns where they are.
    pub(super) fn cross_layers(&mut self, count: usize, output: Option<Rows>) -> Rows {
        let network = self.network;
        let mut xl = self.x0;
        for (i, cross) in network.cross[..count].iter().enumerate() {
            let to = output.filter(|_| i + 1 == count).unwrap_or_else(|| self.next_layer(xl, network.width));
            self.cross(cross, i == 0, xl, to);
            xl = to;
        }
        xl
    }

    /// The deep layers over x0 or over `xl` (in the trunk or elsewhere), the towers and the heads.
    pub(super) fn deep_and_heads(&mut self, xl: Rows, trunk: Rows) {
        let network = self.network;
        let from_cross = network.trunk_cross();
        let (input, first) = match network.structure {
            Structure::Parallel => (self.x0, true),
            Structure::Stacked => (xl, network.cross.is_empty()),
        };
        let deep_output = trunk.at_column(padded(from_cross));
        self.chain(&network.deep, input, first, Some(deep_output));
        // A tower multiplies the padding too.
        if trunk != self.x0 && network.heads.iter().any(|head| !head.tower.is_empty()) {
            self.clear_padding(trunk, from_cross);
            self.clear_padding(deep_output, network.trunk_deep());
        }
        for head in &network.heads {
            let rows = self.chain(&head.tower, trunk, false, None);
            let term = |first, len| Term {
                vector: Vector::Params(head.weight.start + first),
                rows: rows.at_column(first),
                len,
            };
            let terms = match head.tower.is_empty() {
                true => vec![term(0, from_cross), term(padded(from_cross), network.trunk_deep())],
                false => vec![term(0, head.weight.len)],
            };
            self.steps.push(Step::Head { terms, bias: head.bias, constant: None });
        }
    }

    fn clear_padding(&mut self, rows: Rows, width: usize) {
        let padding = padded(width) - width;
        if padding > 0 {
            self.steps.push(Step::Clear { rows: rows.at_column(width), width: padding });
        }
    }

    /// Dense layers in sequence. Returns the place of the last one's outputs.
    pub(super) fn chain(&mut self, layers: &[Dense], mut input: Rows, mut first: bool, output: Option<Rows>) -> Rows {
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

    /// `first`: the input is x0, and the request's part of the sums is computed beforehand.
    pub(super) fn dense(
        &mut self,
        weight: Panels,
        bias: Option<Params>,
        first: bool,
        input: Rows,
        output: Rows,
        then: Then,
    ) {
        let weight = Weight::model(weight);
        let start = bias.map_or(Start::Zero, Start::Params);
        let (columns, start) = if first && self.shared > 0 {
            let at = self.share(weight, start);
            (self.shared..weight.panels.inputs, Start::Share(at))
        } else {
            (0..weight.panels.inputs, start)
        };
        self.steps.push(Step::Layer(Layer { weight, columns, start, input, output, then }));
    }

    /// The place of the request's part of a layer over x0.
    pub(super) fn share(&mut self, weight: Weight, start: Start) -> usize {
        let at = self.vector(weight.panels.outputs);
        let output = Rows { start: at, stride: 0 };
        let layer = Layer { weight, columns: 0..self.shared, start, input: self.x0, output, then: Then::None };
        self.prepare.push(Prepare::Layer(1, layer));
        at
    }

    fn cross(&mut self, cross: &Cross, first: bool, xl: Rows, output: Rows) {
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
                let shared = if first { self.shared } else { 0 };
                let share = (shared > 0).then(|| {
                    let at = self.vector(LANES);
                    self.prepare.push(Prepare::Dot { weight, at });
                    at
                });
                self.steps.push(Step::Vector { weight, bias, share, first: shared, xl, output });
            }
            Cross::Mixture { experts, rank, gate, v, ref c, u, bias } => {
                let stride_of_values = stride(mixture_width(experts, rank));
                let values = Rows { start: values, stride: stride_of_values };
                let inner = Rows { start: inner, stride: stride_of_values };
                let gates = Rows { start: gates, stride: stride(experts) };
                self.dense(gate, None, first, xl, gates, Then::None);
                self.dense(v, None, first, xl, values, Then::Tanh);
                // From first to last: each writes whole panels, and the next one overwrites the part past the rank.
                for (e, &c) in c.iter().enumerate() {
                    let column = e * rank;
                    self.dense(c, None, false, values.at_column(column), inner.at_column(column), Then::Tanh);
                }
                self.steps.push(Step::Mix { gate: gates, experts, values: inner, rank });
                self.dense(u, Some(bias), false, inner, output, update);
            }
        }
    }
}
