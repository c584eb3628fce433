//! The dense part forward and backward, for a few rows at a time.

use adclick::builder::artifact::model::spec::Structure;
use adclick::builder::hash::mix;

use rayon::prelude::*;

use super::network::{CrossShape, Param, Shape};
use crate::kernel::{Cpu, Dropout, Left, Panels, Right, Start, padded};

/// The most rows that go through the network together: their activations stay in the second-level cache.
pub(super) const TOGETHER: usize = 128;

/// The layers with their weights as products read them.
pub(super) struct Staged {
    shape: Shape,
    places: Places,
    ready: Vec<Ready>,
    cpu: Cpu,
}

/// Where the parameters of each layer begin.
struct Places {
    cross: Vec<usize>,
    deep: Vec<usize>,
    /// The layers of each head's tower, then its output.
    heads: Vec<Vec<usize>>,
}

/// One array of parameters.
struct Ready {
    rows: usize,
    cols: usize,
    /// `[inputs, outputs]`; empty for vectors.
    forward: Panels,
    /// `[outputs, inputs]`; empty for vectors.
    backward: Panels,
    /// The values, padded to whole blocks: of vectors and of matrices of one row.
    vector: Vec<f32>,
}

impl Ready {
    fn new(param: &Param) -> Self {
        let Param { rows, cols, is_matrix, .. } = *param;
        let matrix = is_matrix && rows > 1;
        let panels = |steps, columns| if matrix { Panels::new(steps, columns) } else { Panels::default() };
        let vector = if rows == 1 { vec![0.0; padded(cols)] } else { Vec::new() };
        let mut ready = Self { rows, cols, forward: panels(cols, rows), backward: panels(rows, cols), vector };
        ready.set(&param.data);
        ready
    }

    fn set(&mut self, data: &[f32]) {
        if self.vector.is_empty() {
            self.forward.set_transposed(data);
            self.backward.set(data);
        } else {
            self.vector[..self.cols].copy_from_slice(data);
        }
    }
}

impl Staged {
    pub(super) fn new(shape: &Shape, params: &[Param], cpu: Cpu) -> Self {
        let mut next = 0;
        let mut take = |count: usize| {
            next += count;
            next - count
        };
        let cross = |cross: &CrossShape| match *cross {
            CrossShape::Full | CrossShape::Vector => 2,
            CrossShape::LowRank(_) => 3,
            CrossShape::Mixture { experts, .. } => 2 + 3 * experts,
        };
        let places = Places {
            cross: shape.cross.iter().map(|layer| take(cross(layer))).collect(),
            deep: shape.hidden.iter().map(|_| take(2)).collect(),
            heads: shape.heads.iter().map(|(_, tower)| (0..=tower.len()).map(|_| take(2)).collect()).collect(),
        };
        Self { shape: shape.clone(), places, ready: params.iter().map(Ready::new).collect(), cpu }
    }

    /// Takes over the parameters.
    pub(super) fn set(&mut self, params: &[Param]) {
        self.ready.par_iter_mut().zip(params).for_each(|(ready, param)| ready.set(&param.data));
    }

    /// The width of a row of inputs in arrays.
    pub(super) fn pitch(&self) -> usize {
        padded(self.shape.width)
    }

    /// Room for the gradients at all parameters; rows are padded.
    pub(super) fn gradients(&self) -> Vec<Vec<f32>> {
        self.ready.iter().map(|ready| vec![0.0; ready.rows * padded(ready.cols)]).collect()
    }

    fn vector(&self, at: usize) -> &[f32] {
        &self.ready[at].vector
    }
}

/// What one thread computes with: activations and gradients of up to [`TOGETHER`] rows, `[rows, padded width]` each.
#[derive(Default)]
pub(super) struct Workspace {
    /// The inputs of each cross layer, and what the last one gives. The first are the network's inputs.
    pub(super) x: Vec<Vec<f32>>,
    cross: Vec<CrossValues>,
    /// What each deep layer gives.
    deep: Vec<Vec<f32>>,
    trunk: Vec<f32>,
    /// What each layer of each head's tower gives.
    towers: Vec<Vec<Vec<f32>>>,
    /// `[rows, heads]`.
    pub(super) logits: Vec<f32>,
    /// The gradient at the inputs, once the backward pass is done.
    pub(super) dx: Vec<f32>,
    dx0: Vec<f32>,
    dp: Vec<f32>,
    dtrunk: Vec<f32>,
    dlayer: [Vec<f32>; 2],
    drop: Option<(f64, u64)>,
}

/// What a cross layer remembers.
#[derive(Default)]
struct CrossValues {
    /// What the input is multiplied by: the product with the weights, and the bias.
    p: Vec<f32>,
    /// The product with V, or the sum over a vector's weights in one value a row.
    v: Vec<f32>,
    /// The gate's softmax, `[rows, padded experts]`.
    gate: Vec<f32>,
    /// Of each expert: after V, after C, after U.
    experts: Vec<[Vec<f32>; 3]>,
}

/// Rows of an array and their pitch.
fn rows(data: &[f32], pitch: usize) -> Left<'_> {
    Left { data, pitch, transposed: false }
}

fn turned(data: &[f32], pitch: usize) -> Left<'_> {
    Left { data, pitch, transposed: true }
}

fn right(data: &[f32], pitch: usize) -> Right<'_> {
    Right::Rows { data, pitch }
}

impl Workspace {
    pub(super) fn new(staged: &Staged) -> Self {
        let shape = &staged.shape;
        let array = |width: usize| vec![0.0; TOGETHER * padded(width)];
        let layers = |widths: &[usize]| -> Vec<Vec<f32>> { widths.iter().map(|&width| array(width)).collect() };
        let d = shape.width;
        let cross = |layer: &CrossShape| CrossValues {
            p: array(d),
            v: match *layer {
                CrossShape::LowRank(rank) => array(rank),
                CrossShape::Vector => vec![0.0; TOGETHER],
                CrossShape::Full | CrossShape::Mixture { .. } => Vec::new(),
            },
            gate: if let CrossShape::Mixture { experts, .. } = *layer { array(experts) } else { Vec::new() },
            experts: match *layer {
                CrossShape::Mixture { experts, rank } => {
                    (0..experts).map(|_| [array(rank), array(rank), array(d)]).collect()
                }
                _ => Vec::new(),
            },
        };
        let widest = shape.hidden.iter().chain(shape.heads.iter().flat_map(|head| &head.1)).copied().max();
        let rank = shape.cross.iter().map(|layer| match *layer {
            CrossShape::LowRank(rank) | CrossShape::Mixture { rank, .. } => rank,
            CrossShape::Full | CrossShape::Vector => 0,
        });
        let widest = rank.chain(widest).max().unwrap_or(0).max(shape.trunk());
        Self {
            x: (0..=shape.cross.len()).map(|_| array(d)).collect(),
            cross: shape.cross.iter().map(cross).collect(),
            deep: layers(&shape.hidden),
            trunk: array(shape.trunk()),
            towers: shape.heads.iter().map(|(_, tower)| layers(tower)).collect(),
            logits: vec![0.0; TOGETHER * shape.heads.len()],
            dx: array(d),
            dx0: array(d),
            dp: array(d),
            dtrunk: array(shape.trunk()),
            dlayer: [array(widest), array(widest)],
            drop: None,
        }
    }

    /// The logits of the first `n` rows of inputs. With `drop`, deep activations are left out at this rate, by this key.
    pub(super) fn forward(&mut self, net: &Staged, n: usize, drop: Option<(f64, u64)>) {
        let (shape, cpu, d, pitch) = (&net.shape, net.cpu, net.shape.width, net.pitch());
        self.drop = drop.filter(|drop| drop.0 > 0.0);
        for (l, layer) in shape.cross.iter().enumerate() {
            let (before, after) = self.x.split_at_mut(l + 1);
            let (x0, x, next) = (&before[0][..n * pitch], &before[l][..n * pitch], &mut after[0][..n * pitch]);
            let (values, at) = (&mut self.cross[l], net.places.cross[l]);
            match *layer {
                CrossShape::Full => product(net, at, [n, d, d], x, Some(at + 1), &mut values.p),
                CrossShape::LowRank(rank) => {
                    product(net, at, [n, d, rank], x, None, &mut values.v);
                    product(net, at + 1, [n, rank, d], &values.v, Some(at + 2), &mut values.p);
                }
                CrossShape::Vector => {
                    for (r, x) in x.chunks_exact(pitch).enumerate() {
                        let sum = cpu.dot(&x[..d], &net.vector(at)[..d]);
                        values.v[r] = sum;
                        values.p[r * pitch..][..pitch].fill(sum);
                    }
                }
                CrossShape::Mixture { experts, rank } => values.mix(net, at, [n, experts, rank], x),
            }
            cpu.cross(next, x0, &values.p[..n * pitch], x);
            if *layer == CrossShape::Vector {
                next.chunks_exact_mut(pitch).for_each(|row| cpu.add(&mut row[..d], 1.0, &net.vector(at + 1)[..d]));
            }
        }
        let last = shape.cross.len();
        let mut input = (if shape.structure == Structure::Stacked { &self.x[last] } else { &self.x[0] }, d);
        for (j, (&width, deep)) in shape.hidden.iter().zip(&mut self.deep).enumerate() {
            dense(net, net.places.deep[j], [n, input.1, width], input.0, deep, layer_drop(self.drop, j));
            input = (deep, width);
        }
        let (trunk, crossed) = (padded(shape.trunk()), reads_cross(shape));
        for r in 0..n {
            let row = &mut self.trunk[r * trunk..][..shape.trunk()];
            if crossed {
                row[..d].copy_from_slice(&self.x[last][r * pitch..][..d]);
            }
            if let Some((deep, &width)) = self.deep.last().zip(shape.hidden.last()) {
                row[if crossed { d } else { 0 }..].copy_from_slice(&deep[r * padded(width)..][..width]);
            }
        }
        let heads = shape.heads.len();
        for (h, (_, tower)) in shape.heads.iter().enumerate() {
            let mut input = (&self.trunk, shape.trunk());
            for (j, (&width, to)) in tower.iter().zip(&mut self.towers[h]).enumerate() {
                let drop = layer_drop(self.drop, 100 * (h + 1) + j);
                dense(net, net.places.heads[h][j], [n, input.1, width], input.0, to, drop);
                input = (to, width);
            }
            let at = net.places.heads[h][tower.len()];
            for r in 0..n {
                let values = &input.0[r * padded(input.1)..][..input.1];
                self.logits[r * heads + h] = cpu.dot(values, &net.vector(at)[..input.1]) + net.vector(at + 1)[0];
            }
        }
    }

    /// The gradients at the parameters, written or (with `add`) added, and at the inputs, of the same `n` rows; `dlogits`
    /// are those at the logits.
    pub(super) fn backward(&mut self, net: &Staged, n: usize, dlogits: &[f32], gradients: &mut [Vec<f32>], add: bool) {
        let (shape, cpu, d, pitch) = (&net.shape, net.cpu, net.shape.width, net.pitch());
        let scale = self.drop.map_or(1.0, |(rate, _)| Dropout::new(rate, 0).scale);
        if !add {
            gradients.iter_mut().for_each(|gradient| gradient.fill(0.0));
        }
        let trunk = padded(shape.trunk());
        self.dtrunk[..n * trunk].fill(0.0);
        let heads = shape.heads.len();
        for (h, (_, tower)) in shape.heads.iter().enumerate() {
            let at = net.places.heads[h][tower.len()];
            let width = tower.last().copied().unwrap_or(shape.trunk());
            let from = self.towers[h].last().unwrap_or(&self.trunk);
            let to = if tower.is_empty() { &mut self.dtrunk } else { &mut self.dlayer[0] };
            if !tower.is_empty() {
                to[..n * padded(width)].fill(0.0);
            }
            for r in 0..n {
                let dz = dlogits[r * heads + h];
                let row = r * padded(width)..r * padded(width) + width;
                cpu.add(&mut to[row.clone()], dz, &net.vector(at)[..width]);
                cpu.add(&mut gradients[at][..width], dz, &from[row]);
                gradients[at + 1][0] += dz;
            }
            for j in (0..tower.len()).rev() {
                let (values, at) = (&self.towers[h][j], net.places.heads[h][j]);
                let [d_out, d_in] = &mut self.dlayer;
                let (input, width) =
                    if j == 0 { (&self.trunk, shape.trunk()) } else { (&self.towers[h][j - 1], tower[j - 1]) };
                let (to, start) = if j == 0 { (&mut self.dtrunk, Start::Sum) } else { (d_in, Start::Zero) };
                dense_back(net, at, [n, width, tower[j]], (input, values), (d_out, scale), gradients, (to, start));
                self.dlayer.swap(0, 1);
            }
        }
        self.dx[..n * pitch].fill(0.0);
        self.dx0[..n * pitch].fill(0.0);
        let crossed = reads_cross(shape);
        for r in 0..n {
            let row = &self.dtrunk[r * trunk..][..shape.trunk()];
            if crossed {
                self.dx[r * pitch..][..d].copy_from_slice(&row[..d]);
            }
            if let Some(&width) = shape.hidden.last() {
                let from = if crossed { d } else { 0 };
                self.dlayer[0][r * padded(width)..][..width].copy_from_slice(&row[from..]);
            }
        }
        let last = shape.cross.len();
        for j in (0..shape.hidden.len()).rev() {
            let (values, width, at) = (&self.deep[j], shape.hidden[j], net.places.deep[j]);
            let [d_out, d_in] = &mut self.dlayer;
            let stacked = shape.structure == Structure::Stacked;
            let (input, inputs, to, start) = match j {
                0 if stacked => (&self.x[last], d, &mut self.dx, Start::Sum),
                0 => (&self.x[0], d, &mut self.dx0, Start::Sum),
                _ => (&self.deep[j - 1], shape.hidden[j - 1], d_in, Start::Zero),
            };
            dense_back(net, at, [n, inputs, width], (input, values), (d_out, scale), gradients, (to, start));
            self.dlayer.swap(0, 1);
        }
        for l in (0..last).rev() {
            self.cross_back(net, n, l, gradients);
        }
        cpu.add(&mut self.dx[..n * pitch], 1.0, &self.dx0[..n * pitch]);
    }

    /// From the gradient at what a cross layer gives, in `dx`, to that at its inputs.
    fn cross_back(&mut self, net: &Staged, n: usize, l: usize, gradients: &mut [Vec<f32>]) {
        let (cpu, d, pitch, at) = (net.cpu, net.shape.width, net.pitch(), net.places.cross[l]);
        let (x0, x, values) = (&self.x[0][..n * pitch], &self.x[l][..n * pitch], &mut self.cross[l]);
        let (dx, dp) = (&mut self.dx[..n * pitch], &mut self.dp[..n * pitch]);
        if net.shape.cross[l] == CrossShape::Vector {
            cpu.add_rows(&mut gradients[at + 1][..d], dx, pitch);
            for r in 0..n {
                let row = r * pitch..r * pitch + d;
                let dsum = cpu.dot(&dx[row.clone()], &x0[row.clone()]);
                cpu.add(&mut self.dx0[row.clone()], values.v[r], &dx[row.clone()]);
                cpu.add(&mut gradients[at][..d], dsum, &x[row.clone()]);
                cpu.add(&mut dx[row], dsum, &net.vector(at)[..d]);
            }
            return;
        }
        cpu.cross_back(&mut self.dx0[..n * pitch], dp, dx, x0, &values.p[..n * pitch]);
        match net.shape.cross[l] {
            CrossShape::Full => {
                cpu.add_rows(&mut gradients[at + 1][..d], dp, pitch);
                product_back(net, at, [n, d, d], x, dp, gradients, (dx, Start::Sum));
            }
            CrossShape::LowRank(rank) => {
                let dv = &mut self.dlayer[0];
                cpu.add_rows(&mut gradients[at + 2][..d], dp, pitch);
                product_back(net, at + 1, [n, rank, d], &values.v, dp, gradients, (dv, Start::Zero));
                product_back(net, at, [n, d, rank], x, dv, gradients, (dx, Start::Sum));
            }
            CrossShape::Mixture { experts, rank } => {
                cpu.add_rows(&mut gradients[at + 1 + 3 * experts][..d], dp, pitch);
                values.mix_back(net, at, [n, experts, rank], x, dp, dx, &mut self.dlayer, gradients);
            }
            CrossShape::Vector => {}
        }
    }
}

impl CrossValues {
    /// p = bias + Σ gate · U tanh(C tanh(V x)).
    fn mix(&mut self, net: &Staged, at: usize, [n, experts, rank]: [usize; 3], x: &[f32]) {
        let (cpu, d, pitch) = (net.cpu, net.shape.width, net.pitch());
        let (gates, inner) = (padded(experts), padded(rank));
        product(net, at, [n, d, experts], x, None, &mut self.gate);
        self.gate[..n * gates].chunks_exact_mut(gates).for_each(|row| softmax(&mut row[..experts]));
        let bias = net.vector(at + 1 + 3 * experts);
        self.p[..n * pitch].chunks_exact_mut(pitch).for_each(|row| row.copy_from_slice(&bias[..pitch]));
        for (e, [h1, h2, out]) in self.experts.iter_mut().enumerate() {
            let at = at + 1 + 3 * e;
            product(net, at, [n, d, rank], x, None, h1);
            h1[..n * inner].iter_mut().for_each(|h| *h = h.tanh());
            product(net, at + 1, [n, rank, rank], h1, None, h2);
            h2[..n * inner].iter_mut().for_each(|h| *h = h.tanh());
            product(net, at + 2, [n, rank, d], h2, None, out);
            for r in 0..n {
                cpu.add(&mut self.p[r * pitch..][..d], self.gate[r * gates + e], &out[r * pitch..][..d]);
            }
        }
    }

    /// Adds to the gradients at the experts, at the gate and at `dx`.
    #[allow(clippy::too_many_arguments, reason = "arrays of one step")]
    fn mix_back(
        &mut self,
        net: &Staged,
        at: usize,
        [n, experts, rank]: [usize; 3],
        x: &[f32],
        dp: &[f32],
        dx: &mut [f32],
        room: &mut [Vec<f32>; 2],
        gradients: &mut [Vec<f32>],
    ) {
        let (cpu, d, pitch) = (net.cpu, net.shape.width, net.pitch());
        let (gates, inner) = (padded(experts), padded(rank));
        let mut dgate = vec![0.0; n * gates];
        let mut dout = vec![0.0; n * pitch];
        for (e, [h1, h2, out]) in self.experts.iter_mut().enumerate() {
            let at = at + 1 + 3 * e;
            for r in 0..n {
                let row = r * pitch..r * pitch + d;
                let gate = self.gate[r * gates + e];
                dgate[r * gates + e] = cpu.dot(&dp[row.clone()], &out[row.clone()]);
                dout[row.clone()].iter_mut().zip(&dp[row]).for_each(|(to, from)| *to = gate * from);
            }
            let [first, second] = room;
            product_back(net, at + 2, [n, rank, d], h2, &dout, gradients, (first, Start::Zero));
            through_tanh(&mut first[..n * inner], h2);
            product_back(net, at + 1, [n, rank, rank], h1, first, gradients, (second, Start::Zero));
            through_tanh(&mut second[..n * inner], h1);
            product_back(net, at, [n, d, rank], x, second, gradients, (dx, Start::Sum));
        }
        for (d, gate) in dgate.chunks_exact_mut(gates).zip(self.gate.chunks_exact(gates)) {
            let mean: f32 = d.iter().zip(gate).take(experts).map(|(d, gate)| d * gate).sum();
            d.iter_mut().zip(gate).take(experts).for_each(|(d, gate)| *d = gate * (*d - mean));
        }
        product_back(net, at, [n, d, experts], x, &dgate, gradients, (dx, Start::Sum));
    }
}

fn softmax(logits: &mut [f32]) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter_mut().for_each(|z| *z = (*z - most).exp());
    let sum: f32 = logits.iter().sum();
    logits.iter_mut().for_each(|z| *z /= sum);
}

fn through_tanh(d: &mut [f32], values: &[f32]) {
    d.iter_mut().zip(values).for_each(|(d, value)| *d *= 1.0 - value * value);
}

/// Whether the heads read what the cross layers give.
fn reads_cross(shape: &Shape) -> bool {
    shape.hidden.is_empty() || (shape.structure == Structure::Parallel && !shape.cross.is_empty())
}

/// The dropout of a layer, by a key of its own.
fn layer_drop(drop: Option<(f64, u64)>, layer: usize) -> Option<Dropout> {
    drop.map(|(rate, key)| Dropout::new(rate, mix(key ^ layer as u64)))
}

/// out = W x + bias; a matrix of one row is a sum.
fn product(net: &Staged, at: usize, [n, inputs, outputs]: [usize; 3], x: &[f32], bias: Option<usize>, out: &mut [f32]) {
    let (from, to) = (padded(inputs), padded(outputs));
    let bias = bias.map(|bias| net.vector(bias));
    if outputs == 1 {
        for r in 0..n {
            let sum = net.cpu.dot(&x[r * from..][..inputs], &net.vector(at)[..inputs]);
            out[r * to] = sum + bias.map_or(0.0, |bias| bias[0]);
        }
        return;
    }
    let start = bias.map_or(Start::Zero, Start::Bias);
    let weights = Right::Panels(&net.ready[at].forward);
    net.cpu.multiply([n, inputs, outputs], rows(x, from), weights, start, out, to);
}

/// Adds to the gradient at W, and gives that at x, given that at W x.
fn product_back(
    net: &Staged,
    at: usize,
    [n, inputs, outputs]: [usize; 3],
    x: &[f32],
    dout: &[f32],
    gradients: &mut [Vec<f32>],
    (dx, start): (&mut [f32], Start),
) {
    let (cpu, from, to) = (net.cpu, padded(inputs), padded(outputs));
    if outputs == 1 {
        for r in 0..n {
            let row = r * from..r * from + inputs;
            cpu.add(&mut gradients[at][..inputs], dout[r * to], &x[row.clone()]);
            if matches!(start, Start::Zero) {
                dx[row.clone()].fill(0.0);
            }
            cpu.add(&mut dx[row], dout[r * to], &net.vector(at)[..inputs]);
        }
        return;
    }
    cpu.multiply([outputs, n, inputs], turned(dout, to), right(x, from), Start::Sum, &mut gradients[at], from);
    let weights = Right::Panels(&net.ready[at].backward);
    cpu.multiply([n, outputs, inputs], rows(dout, to), weights, start, dx, from);
}

/// One layer with a ReLU.
fn dense(net: &Staged, at: usize, shape: [usize; 3], x: &[f32], out: &mut [f32], drop: Option<Dropout>) {
    product(net, at, shape, x, Some(at + 1), out);
    let out = &mut out[..shape[0] * padded(shape[2])];
    match drop {
        Some(drop) => net.cpu.relu_dropped(out, drop, 0),
        None => net.cpu.relu(out),
    }
}

/// From the gradient at what such a layer gives to those at its parameters and its input.
fn dense_back(
    net: &Staged,
    at: usize,
    [n, inputs, outputs]: [usize; 3],
    (x, values): (&[f32], &[f32]),
    (dout, scale): (&mut [f32], f32),
    gradients: &mut [Vec<f32>],
    to: (&mut [f32], Start),
) {
    let pitch = padded(outputs);
    net.cpu.relu_back(&mut dout[..n * pitch], &values[..n * pitch], scale);
    net.cpu.add_rows(&mut gradients[at + 1][..outputs], &dout[..n * pitch], pitch);
    product_back(net, at, [n, inputs, outputs], x, dout, gradients, to);
}

#[cfg(test)]
mod tests {
    use adclick::builder::artifact::model::spec::HeadKind;

    use super::*;

    fn numbers(value: &serde_json::Value) -> Vec<f32> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
    }

    fn widths(value: &serde_json::Value) -> Vec<usize> {
        value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
    }

    fn cross(text: &str) -> CrossShape {
        let number = |text: &str| text.parse().unwrap();
        match text.split(':').collect::<Vec<_>>()[..] {
            ["full"] => CrossShape::Full,
            ["vector"] => CrossShape::Vector,
            ["lowrank", rank] => CrossShape::LowRank(number(rank)),
            ["mix", experts, rank] => CrossShape::Mixture { experts: number(experts), rank: number(rank) },
            _ => panic!("{text}"),
        }
    }

    /// Puts rows of inputs, `[n, width]`, where the network reads them.
    fn put(workspace: &mut Workspace, net: &Staged, x: &[f32]) -> usize {
        let rows = x.chunks_exact(net.shape.width);
        let n = rows.len();
        for (to, from) in workspace.x[0].chunks_exact_mut(net.pitch()).zip(rows) {
            to[..from.len()].copy_from_slice(from);
        }
        n
    }

    fn unpadded(data: &[f32], rows: usize, cols: usize) -> Vec<f32> {
        data.chunks_exact(padded(cols)).take(rows).flat_map(|row| &row[..cols]).copied().collect()
    }

    fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
        assert_eq!(got.len(), expected.len(), "{what}");
        let size = expected.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert!((got - expected).abs() < 2e-6 * size, "{what} [{i}]: {got}, not {expected}");
        }
    }

    #[test]
    fn gradients_are_those_of_pytorch_on_every_cpu() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/training/gradients.json");
        let cases: serde_json::Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
        for (number, case) in cases.as_array().unwrap().iter().enumerate() {
            let layers = case["cross"].as_array().unwrap().iter().map(|layer| cross(layer.as_str().unwrap()));
            let kinds = [HeadKind::Ctr, HeadKind::Cvr];
            let shape = Shape {
                width: case["width"].as_u64().unwrap() as usize,
                structure: if case["structure"] == "stacked" { Structure::Stacked } else { Structure::Parallel },
                cross: layers.collect(),
                hidden: widths(&case["hidden"]),
                heads: kinds.into_iter().zip(case["towers"].as_array().unwrap().iter().map(widths)).collect(),
            };
            let given = case["params"].as_array().unwrap();
            let param = |given: &serde_json::Value| Param {
                rows: given["rows"].as_u64().unwrap() as usize,
                cols: given["cols"].as_u64().unwrap() as usize,
                is_matrix: given["is_matrix"].as_bool().unwrap(),
                data: numbers(&given["data"]),
            };
            let params: Vec<Param> = given.iter().map(param).collect();
            for cpu in Cpu::all() {
                let net = Staged::new(&shape, &params, cpu);
                let mut workspace = Workspace::new(&net);
                let n = put(&mut workspace, &net, &numbers(&case["x"]));
                workspace.forward(&net, n, None);
                let what = |name: &str| format!("case {number}, {cpu:?}, {name}");
                assert_close(&what("logits"), &workspace.logits[..n * shape.heads.len()], &numbers(&case["logits"]));
                let mut gradients = net.gradients();
                // The second time adds to the first.
                for times in 1..=2u8 {
                    workspace.backward(&net, n, &numbers(&case["dlogits"]), &mut gradients, times == 2);
                    let dx = unpadded(&workspace.dx, n, shape.width);
                    assert_close(&what("inputs"), &dx, &numbers(&case["dx"]));
                    for (i, (got, (given, param))) in gradients.iter().zip(given.iter().zip(&params)).enumerate() {
                        let expected: Vec<f32> =
                            numbers(&given["gradient"]).iter().map(|x| x * f32::from(times)).collect();
                        assert_close(&what(&format!("array {i}")), &unpadded(got, param.rows, param.cols), &expected);
                    }
                }
            }
        }
    }

    /// The logits of deep layers with a mask, in f64: the definition.
    fn masked_logits(shape: &Shape, params: &[Vec<f64>], x: &[f64], rate: f64, key: u64) -> Vec<f64> {
        let of_row = |(r, x): (usize, &[f64])| {
            let mut h = x.to_vec();
            for (j, &width) in shape.hidden.iter().enumerate() {
                let drop = layer_drop(Some((rate, key)), j).unwrap();
                let (w, b) = (&params[2 * j], &params[2 * j + 1]);
                h = (0..width)
                    .map(|o| {
                        let z = b[o] + h.iter().zip(&w[o * h.len()..]).map(|(h, w)| h * w).sum::<f64>();
                        z.max(0.0) * f64::from(drop.factor((r * padded(width) + o) as u32))
                    })
                    .collect();
            }
            let last = &params[2 * shape.hidden.len()..];
            last[1][0] + h.iter().zip(&last[0]).map(|(h, w)| h * w).sum::<f64>()
        };
        x.chunks_exact(shape.width).enumerate().map(of_row).collect()
    }

    #[test]
    fn gradients_with_dropout_are_differences_of_the_loss_in_f64() {
        let shape = Shape {
            width: 9,
            structure: Structure::Parallel,
            cross: Vec::new(),
            hidden: vec![20, 18],
            heads: vec![(HeadKind::Ctr, Vec::new())],
        };
        let (rate, key) = (0.3, 5);
        let params = shape.init(&mut crate::trainer::tables::stream(3, 0), &[0.2]);
        let x: Vec<f32> = (0..7 * 9).map(|i| (i as f32 * 0.7).sin()).collect();
        let dlogits: Vec<f32> = (0..7).map(|i| 1.0 - 0.3 * i as f32).collect();
        let net = Staged::new(&shape, &params, Cpu::best());
        let mut workspace = Workspace::new(&net);
        let n = put(&mut workspace, &net, &x);
        workspace.forward(&net, n, Some((rate, key)));
        let widen = |data: &[f32]| data.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (mut exact, mut inputs) = (params.iter().map(|p| widen(&p.data)).collect::<Vec<_>>(), widen(&x));
        let logits = masked_logits(&shape, &exact, &inputs, rate, key);
        let narrow: Vec<f32> = logits.iter().map(|&z| z as f32).collect();
        assert_close("logits", &workspace.logits[..n], &narrow);
        let mut gradients = net.gradients();
        workspace.backward(&net, n, &dlogits, &mut gradients, false);
        let loss = |params: &[Vec<f64>], x: &[f64]| -> f64 {
            let logits = masked_logits(&shape, params, x, rate, key);
            logits.iter().zip(&dlogits).map(|(z, d)| z * f64::from(*d)).sum()
        };
        let slope = |at: &mut dyn FnMut(f64) -> f64| ((at(1e-6) - at(-1e-6)) / 2e-6) as f32;
        for (number, param) in params.iter().enumerate() {
            let differences: Vec<f32> = (0..param.data.len())
                .map(|i| {
                    slope(&mut |by| {
                        let before = std::mem::replace(&mut exact[number][i], f64::from(param.data[i]) + by);
                        let loss = loss(&exact, &inputs);
                        exact[number][i] = before;
                        loss
                    })
                })
                .collect();
            assert!(differences.iter().any(|g| *g != 0.0), "array {number}");
            assert_close(
                &format!("array {number}"),
                &unpadded(&gradients[number], param.rows, param.cols),
                &differences,
            );
        }
        let differences: Vec<f32> = (0..x.len())
            .map(|i| {
                slope(&mut |by| {
                    let before = std::mem::replace(&mut inputs[i], f64::from(x[i]) + by);
                    let loss = loss(&exact, &inputs);
                    inputs[i] = before;
                    loss
                })
            })
            .collect();
        assert_close("inputs", &unpadded(&workspace.dx, n, 9), &differences);
    }
}
