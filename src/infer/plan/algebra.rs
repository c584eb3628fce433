//! The request algebra: the form of the cross layers when half of x0 is the same for all candidates.
//!
//! Write x0 = [r ; a] and x_l = [p_l ; q_l], the request's half and the candidate's. For a fixed r, each p_l is an affine
//! function of vectors that each candidate computes anyway: `p_l = c_l + B_l z`, where z collects q_0, q_1, ... of full
//! layers
//! and the inner vectors t_0, t_1, ... of low-rank layers. So p_l is never computed for a candidate:
//!
//! - full: `q_{l+1} = a ⊙ (W_aa q_l + (W_ap B_l) z + (W_ap c_l + b_a)) + q_l`,
//!   then `B_{l+1} z' = (B_l + r ⊙ W_pp B_l) z + (r ⊙ W_pa) q_l` and `c_{l+1} = c_l + r ⊙ (W_pp c_l + b_p)`;
//! - low rank: `t_l = V_a q_l + (V_p B_l) z + V_p c_l`, `q_{l+1} = a ⊙ (U_a t_l + b_a) + q_l`,
//!   then `B_{l+1} z' = B_l z + (r ⊙ U_p) t_l` and `c_{l+1} = c_l + r ⊙ b_p`.
//!
//! The factor in brackets before z is a matrix that is computed once for the request. A full layer's q_l is placed
//! right after z, where the next layer's z has it, so that `W_aa` and that matrix make one layer over both. The weights
//! of the heads turn p_L into a few vectors over z ([`Collapse`]); where towers or a stacked deep part read all of x_L,
//! p_L is computed at the end. This is exact: nothing is left out, and everything is summed in f32.
//!
//! Each part of z takes whole panels, so that vectors of one part do not reach into the next one: values past its end
//! are 0.

use super::build::Builder;
use super::own::Own;
use super::program::{
    Basis, Collapse, Layer, Level, PanelsAt, Prepare, Program, Start, Step, Term, Vector, Weight, WeightIn,
};
use crate::artifact::model::network::{Cross, LANES, Network, Panels, Params, padded};
use crate::artifact::model::spec::Structure;
use crate::infer::Weights;
use crate::infer::kernel::{Rows, Then};

/// A program that needs more f32 of scratch than this is not worth its memory: 8 MiB.
const MOST_SCRATCH: usize = 2 << 20;

/// Whether only the heads read x_L: then p_L need not be computed.
fn only_heads_read(network: &Network) -> bool {
    network.structure == Structure::Parallel && network.heads.iter().all(|head| head.tower.is_empty())
}

/// The width that a layer adds to z, without padding; none when its p is not affine.
fn added_to_z(cross: &Cross, candidate: usize) -> Option<usize> {
    match cross {
        Cross::Full { .. } => Some(candidate),
        Cross::LowRank { v, .. } => Some(v.outputs),
        Cross::Vector { .. } | Cross::Mixture { .. } => None,
    }
}

/// The program of [`Level::Collapsed`], if the network has one: layer by layer up to the last cross layer.
pub(super) fn collapsed(network: &Network, weights: Weights<'_>, own: &mut Own, tile_rows: usize) -> Option<Program> {
    let before = network.cross.len().checked_sub(1).filter(|&before| before > 0)?;
    let last = &network.cross[before];
    added_to_z(last, 0)?;
    if !has_halves(network) || !only_heads_read(network) {
        return None;
    }
    let builder = Builder::new(network, tile_rows, network.request_width, 0);
    let mut algebra = Algebra::new(builder, weights, own);
    // In rows of its own, because the deep layers use the common ones before the heads read it.
    let xl = algebra.builder.rows(network.width);
    algebra.builder.cross_layers(before, Some(xl));
    let (output, b_a) = (algebra.builder.rows(algebra.candidate), algebra.bias_of_candidate(last));
    let then = algebra.update(xl.at_column(algebra.request));
    let (weight, input) = match *last {
        Cross::LowRank { v, u, .. } => {
            let t = algebra.builder.rows(v.outputs);
            let columns = 0..v.inputs;
            let (weight, start) = (Weight::model(v), Start::Zero);
            algebra.step(Layer { weight, columns, start, input: xl, output: t, then: Then::None });
            (algebra.outputs_of_candidate(&u), t)
        }
        _ => (algebra.outputs_of_candidate(&matrix(last)), xl),
    };
    let columns = 0..weight.panels.inputs;
    algebra.step(Layer { weight, columns, start: Start::Share(b_a), input, output, then });
    let request = algebra.request;
    let heads = algebra.collapse(last, None);
    let terms = move |vector| match *last {
        Cross::LowRank { v, .. } => vec![
            Term { vector: Vector::Arena(vector), rows: xl, len: request },
            Term { vector: Vector::Arena(vector + request), rows: input, len: v.outputs },
        ],
        _ => vec![Term { vector: Vector::Arena(vector), rows: xl, len: network.width }],
    };
    algebra.heads(&heads, terms, output);
    Some(algebra.builder.finish(Level::Collapsed))
}

/// The program of [`Level::Algebra`], if the network has one.
pub(super) fn algebra(network: &Network, weights: Weights<'_>, own: &mut Own, tile_rows: usize) -> Option<Program> {
    let (request, candidate) = (network.request_width, network.width - network.request_width);
    let added: Option<Vec<usize>> = network.cross.iter().map(|cross| added_to_z(cross, candidate)).collect();
    let added = added.filter(|added| !added.is_empty() && has_halves(network))?;
    let all: usize = added.iter().map(|&added| padded(added)).sum();
    let collapses = only_heads_read(network);
    // A wide network of many layers has a B of many rows.
    let scratch = all.checked_mul(2 * request + 2 * candidate)?;
    if scratch > MOST_SCRATCH {
        return None;
    }
    // z is in the rows of x0: a full first layer adds q_0 = a, which is already there.
    let end_of_a = padded(network.width).max(request + padded(candidate));
    let first = if matches!(network.cross[0], Cross::Full { .. }) { request } else { end_of_a };
    let builder = Builder::new(network, tile_rows, request, (first + all).max(end_of_a) - network.width);
    let mut algebra = Algebra::new(builder, weights, own);
    let x0 = algebra.builder.x0;
    let zone = x0.at_column(first);
    let x_last = if collapses {
        algebra.builder.rows(candidate)
    } else {
        // Leaves room past the end: the candidate's half does not start with a panel.
        algebra.builder.rows(network.trunk_width().max(network.width) + LANES)
    };
    let q_last = if collapses { x_last } else { x_last.at_column(request) };
    let mut basis = Growing::new(&mut algebra.builder, all, request);
    let mut q = x0.at_column(request);
    let aside = algebra.builder.rows(candidate);
    for (i, cross) in network.cross.iter().enumerate() {
        let next = match network.cross.get(i + 1) {
            None => q_last,
            Some(Cross::Full { .. }) => zone.at_column(basis.z + padded(added[i])),
            Some(_) => aside,
        };
        let last = i + 1 == network.cross.len();
        let update = algebra.layer(cross, &basis, zone, q, next);
        if last && collapses {
            algebra.step(update);
            break;
        }
        algebra.grow(cross, &mut basis, added[i]);
        if last {
            algebra.rebuild(&basis, zone, x_last);
        }
        algebra.step(update);
        q = next;
    }
    if collapses {
        let last = network.cross.len() - 1;
        let len = basis.z + added[last];
        let heads = algebra.collapse(&network.cross[last], Some(basis.basis()));
        let terms = |vector| vec![Term { vector: Vector::Arena(vector), rows: zone, len }];
        algebra.heads(&heads, terms, q_last);
    } else {
        let trunk = if network.trunk_cross() > 0 { x_last } else { algebra.builder.trunk() };
        algebra.builder.deep_and_heads(x_last, trunk);
    }
    let program = algebra.builder.finish(Level::Algebra);
    Some(Program { zone: Some((zone, all)), cleared: end_of_a, ..program })
}

fn has_halves(network: &Network) -> bool {
    (1..network.width).contains(&network.request_width)
}

fn matrix(cross: &Cross) -> Panels {
    match *cross {
        Cross::Full { weight, .. } => weight,
        Cross::LowRank { u, .. } | Cross::Mixture { u, .. } => u,
        Cross::Vector { weight, .. } => Panels { start: 0, inputs: weight.len, outputs: 0 },
    }
}

fn bias(cross: &Cross) -> Params {
    match *cross {
        Cross::Full { bias, .. }
        | Cross::LowRank { bias, .. }
        | Cross::Vector { bias, .. }
        | Cross::Mixture { bias, .. } => bias,
    }
}

/// B and c, updated layer by layer.
struct Growing {
    /// The width of z.
    z: usize,
    now: Rows,
    next: Rows,
    c: usize,
}

impl Growing {
    fn new(builder: &mut Builder<'_>, all: usize, request: usize) -> Self {
        let [now, next] = [request; 2].map(|width| builder.many_rows(all, width));
        Self { z: 0, now, next, c: builder.x0.start }
    }

    fn basis(&self) -> Basis {
        Basis { rows: self.now, count: self.z, c: self.c }
    }
}

struct Algebra<'a> {
    builder: Builder<'a>,
    weights: Weights<'a>,
    own: &'a mut Own,
    request: usize,
    candidate: usize,
}

impl<'a> Algebra<'a> {
    fn new(builder: Builder<'a>, weights: Weights<'a>, own: &'a mut Own) -> Self {
        let request = builder.network.request_width;
        let candidate = builder.network.width - request;
        Self { builder, weights, own, request, candidate }
    }

    fn step(&mut self, layer: Layer) {
        self.builder.steps.push(Step::Layer(layer));
    }

    fn once(&mut self, rows: usize, layer: Layer) {
        self.builder.prepare.push(Prepare::Layer(rows, layer));
    }

    /// `count` outputs of a matrix from `first` on: the model's panels where one begins there, otherwise copies.
    fn outputs(&mut self, panels: &Panels, first: usize, count: usize) -> Weight {
        if self.request.is_multiple_of(LANES) {
            let start = panels.start + first * panels.inputs;
            return Weight::model(Panels { start, outputs: count, ..*panels });
        }
        Weight { source: WeightIn::Own, panels: self.own.rows(self.weights, panels, first, count) }
    }

    fn outputs_of_candidate(&mut self, panels: &Panels) -> Weight {
        self.outputs(panels, self.request, self.candidate)
    }

    /// A layer's parameters from `first` on, in a vector of the arena.
    fn copy(&mut self, params: Params, first: usize, len: usize) -> usize {
        let at = self.builder.vector(len);
        self.builder.prepare.push(Prepare::Copy { start: params.start + first, len, at });
        at
    }

    fn bias_of_candidate(&mut self, cross: &Cross) -> usize {
        self.copy(bias(cross), self.request, self.candidate)
    }

    /// `a ⊙ sum + q`.
    fn update(&self, q: Rows) -> Then {
        Then::Cross { x0: self.builder.x0.at_column(self.request), xl: q }
    }

    /// The steps of a layer for each candidate. Returns the last one, which writes q_{l+1} to `next`.
    fn layer(&mut self, cross: &Cross, basis: &Growing, zone: Rows, q: Rows, next: Rows) -> Layer {
        let then = self.update(q);
        match *cross {
            Cross::LowRank { v, u, .. } => {
                let t = zone.at_column(basis.z);
                let share = self.builder.vector(v.outputs);
                let sums = self.sums(Weight::model(v), Start::Zero, share, basis, q, t);
                self.step(Layer { output: t, then: Then::None, ..sums });
                if let Some(rest) = self.over_z(Weight::model(v), basis, zone, t) {
                    self.step(Layer { output: t, then: Then::None, ..rest });
                }
                let (weight, start) = (self.outputs_of_candidate(&u), Start::Share(self.bias_of_candidate(cross)));
                Layer { weight, columns: 0..u.inputs, start, input: t, output: next, then }
            }
            _ => {
                let weight = self.outputs_of_candidate(&matrix(cross));
                let share = self.bias_of_candidate(cross);
                let sums = self.sums(weight, Start::Share(share), share, basis, q, next);
                if basis.z == 0 {
                    return Layer { then, ..sums };
                }
                // q comes after z.
                let inputs = basis.z + self.candidate;
                let (made, panels) = self.request_panels(inputs, self.candidate);
                self.product(weight, basis, panels);
                let columns = self.request..weight.panels.inputs;
                let to = PanelsAt { first: basis.z, ..panels };
                self.builder.prepare.push(Prepare::Inputs { weight, columns, to });
                Layer { weight: made, columns: 0..inputs, input: zone, then, ..sums }
            }
        }
    }

    /// `W_a q + (W_p c + start)`. The part in brackets is computed once, at `share`.
    fn sums(&mut self, weight: Weight, start: Start, share: usize, basis: &Growing, q: Rows, output: Rows) -> Layer {
        let (c, at) = (Rows { start: basis.c, stride: 0 }, Rows { start: share, stride: 0 });
        let columns = 0..self.request;
        self.once(1, Layer { weight, columns, start, input: c, output: at, then: Then::None });
        // The virtual start of column 0. Rows of x0 come first in the arena, so there is room before q.
        let input = Rows { start: q.start - self.request, ..q };
        let columns = self.request..weight.panels.inputs;
        Layer { weight, columns, start: Start::Share(share), input, output, then: Then::None }
    }

    /// `(W_p B) z + sums`; none when z is empty.
    fn over_z(&mut self, weight: Weight, basis: &Growing, zone: Rows, sums: Rows) -> Option<Layer> {
        let z = basis.z;
        if z == 0 {
            return None;
        }
        let (made, panels) = self.request_panels(z, weight.panels.outputs);
        self.product(weight, basis, panels);
        let (start, columns) = (Start::Rows(sums), 0..z);
        Some(Layer { weight: made, columns, start, input: zone, output: sums, then: Then::None })
    }

    /// `W_p B` to panels.
    fn product(&mut self, weight: Weight, basis: &Growing, to: PanelsAt) {
        let (start, columns) = (Start::Zero, 0..self.request);
        let layer = Layer { weight, columns, start, input: basis.now, output: to.panels(), then: Then::None };
        self.builder.prepare.push(Prepare::Product { rows: basis.z, layer, to });
    }

    /// Room for a matrix that is made for the request.
    fn request_panels(&mut self, inputs: usize, outputs: usize) -> (Weight, PanelsAt) {
        let start = self.builder.len;
        self.builder.len += padded(outputs) * inputs;
        let weight = Weight { source: WeightIn::Request, panels: Panels { start, inputs, outputs } };
        (weight, PanelsAt { start, inputs, first: 0 })
    }

    /// B_{l+1} and c_{l+1}.
    fn grow(&mut self, cross: &Cross, basis: &mut Growing, added: usize) {
        let (request, r) = (self.request, Rows { stride: 0, ..self.builder.x0 });
        let c = self.builder.vector(request);
        let new = Rows { start: basis.now.start + basis.z * basis.now.stride, ..basis.now };
        if let Cross::LowRank { u, .. } = cross {
            let columns = self.own.columns(self.weights, u, 0, added, request);
            self.builder.prepare.push(Prepare::Scale { columns, rows: padded(added), to: new });
            let start = bias(cross).start;
            self.builder.prepare.push(Prepare::AddScaled { start, len: request, from: basis.c, at: c });
        } else {
            let panels = matrix(cross);
            let weight = self.outputs(&panels, 0, request);
            let layer = |start, input, output| {
                let then = Then::Cross { x0: r, xl: input };
                Layer { weight, columns: 0..request, start, input, output, then }
            };
            if basis.z > 0 {
                self.once(basis.z, layer(Start::Zero, basis.now, basis.next));
            }
            let new = Rows { start: basis.next.start + basis.z * basis.next.stride, ..basis.next };
            let columns = self.own.columns(self.weights, &panels, request, added, request);
            self.builder.prepare.push(Prepare::Scale { columns, rows: padded(added), to: new });
            let start = Start::Share(self.copy(bias(cross), 0, request));
            let vector = |start| Rows { start, stride: 0 };
            self.once(1, layer(start, vector(basis.c), vector(c)));
            std::mem::swap(&mut basis.now, &mut basis.next);
        }
        basis.c = c;
        basis.z += padded(added);
    }

    /// p_L itself, written before the candidate's half.
    fn rebuild(&mut self, basis: &Growing, zone: Rows, output: Rows) {
        let (from, inputs, outputs) = (basis.now, basis.z, self.request);
        let (weight, to) = self.request_panels(inputs, outputs);
        self.builder.prepare.push(Prepare::Panels { from, inputs, outputs, to: to.start });
        let (start, columns) = (Start::Share(basis.c), 0..basis.z);
        self.step(Layer { weight, columns, start, input: zone, output, then: Then::None });
    }

    /// Every head's vectors over the components of p_L. `basis` is that of the last layer's input.
    fn collapse(&mut self, last: &Cross, basis: Option<Basis>) -> Vec<(usize, usize)> {
        let (request, panels) = (self.request, matrix(last));
        let full = matches!(last, Cross::Full { .. });
        let columns = self.own.columns(self.weights, &panels, 0, panels.inputs, request);
        let over_p = basis.map_or(request, |basis| basis.count);
        let over_input = if full { self.candidate } else { panels.inputs };
        let mut heads = Vec::new();
        for head in &self.builder.network.heads {
            let work = [request; 2].map(|len| self.builder.vector(len));
            let vector = self.builder.vector(over_p + over_input);
            let constant = self.builder.vector(1);
            let (weight, bias) = (head.weight.start, bias(last).start);
            let collapse = Collapse { weight, bias, columns, full, basis, work, vector, constant };
            self.builder.prepare.push(Prepare::Collapse(collapse));
            heads.push((vector, constant));
        }
        heads
    }

    /// The deep part and the logits: `terms` of the cross part's vector, the candidate's half of x_L, and the deep part.
    fn heads(&mut self, collapsed: &[(usize, usize)], terms: impl Fn(usize) -> Vec<Term>, q_last: Rows) {
        let network = self.builder.network;
        let deep = self.builder.rows(network.trunk_deep());
        self.builder.chain(&network.deep, self.builder.x0, true, Some(deep));
        for (head, &(vector, constant)) in network.heads.iter().zip(collapsed) {
            let mut terms = terms(vector);
            let weights = |first| Vector::Params(head.weight.start + first);
            terms.push(Term { vector: weights(self.request), rows: q_last, len: self.candidate });
            if network.trunk_deep() > 0 {
                terms.push(Term { vector: weights(padded(network.width)), rows: deep, len: network.trunk_deep() });
            }
            self.builder.steps.push(Step::Head { terms, bias: head.bias, constant: Some(constant) });
        }
    }
}
