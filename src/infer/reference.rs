//! The network in f64 and plain loops. Every kernel is checked against it, and it computes the outputs of a model's
//! golden requests. Read it beside the formulas of [`CrossSpec`](crate::artifact::model::spec::CrossSpec).

use super::{Weights, shapes};
use crate::artifact::model::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::artifact::model::spec::{Activation, CrossSpec, DenseSpec, ExpertSpec, Matrix, Structure};
use crate::error::{Error, Result};

/// `W x`.
///
/// # Panics
/// Here and below: when the shapes do not fit.
#[must_use]
pub fn linear(w: &Matrix, x: &[f64]) -> Vec<f64> {
    assert_eq!(w.cols, x.len());
    (0..w.rows).map(|row| dot(&w.data[row * w.cols..][..w.cols], x)).collect()
}

/// `activation(x)`.
#[must_use]
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        // Unlike `max`, it keeps a NaN.
        Activation::Relu if x < 0.0 => 0.0,
        Activation::Relu => x,
        Activation::Tanh => libm::tanh(x),
    }
}

/// `1 / (1 + e^-x)`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// `x0 ⊙ (W x_l + b) + x_l`.
#[must_use]
pub fn cross_full(w: &Matrix, b: &[f64], x0: &[f64], xl: &[f64]) -> Vec<f64> {
    update(&linear(w, xl), b, x0, xl)
}

/// `x0 ⊙ (U (V x_l) + b) + x_l`.
#[must_use]
pub fn cross_low_rank(v: &Matrix, u: &Matrix, b: &[f64], x0: &[f64], xl: &[f64]) -> Vec<f64> {
    update(&linear(u, &linear(v, xl)), b, x0, xl)
}

/// `x0 · (w · x_l) + b + x_l`.
#[must_use]
pub fn cross_vector(w: &[f64], b: &[f64], x0: &[f64], xl: &[f64]) -> Vec<f64> {
    let s = dot(w, xl);
    (0..x0.len()).map(|i| x0[i] * s + b[i] + xl[i]).collect()
}

/// `x0 ⊙ (Σ_e softmax(G x_l)_e U_e tanh(C_e tanh(V_e x_l)) + b) + x_l`.
#[must_use]
pub fn cross_mixture(experts: &[ExpertSpec], gate: &Matrix, b: &[f64], x0: &[f64], xl: &[f64]) -> Vec<f64> {
    let logits = linear(gate, xl);
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|g| libm::exp(g - most)).collect();
    let total: f64 = powers.iter().sum();
    let tanh = |x: Vec<f64>| x.into_iter().map(libm::tanh).collect::<Vec<_>>();
    let mut mixed = vec![0.0; x0.len()];
    for (expert, power) in experts.iter().zip(&powers) {
        let values = linear(&expert.u, &tanh(linear(&expert.c, &tanh(linear(&expert.v, xl)))));
        for (sum, value) in mixed.iter_mut().zip(values) {
            *sum += power / total * value;
        }
    }
    update(&mixed, b, x0, xl)
}

/// The logits of one row: `x` holds `width` columns, `out` gets one value for each head. The wide part is not in it.
///
/// # Errors
/// `Corrupt` when layers do not fit each other or the sections; `InvalidArgument` for another number of columns or
/// heads.
pub fn reference_logits(network: &Network, weights: Weights<'_>, x: &[f32], out: &mut [f64]) -> Result<()> {
    shapes::check(network, weights)?;
    if x.len() != network.width || out.len() != network.heads.len() {
        return Err(Error::argument(format!(
            "{} columns and {} outputs for a network of {} columns and {} heads",
            x.len(),
            out.len(),
            network.width,
            network.heads.len()
        )));
    }
    let x0: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    let mut xl = x0.clone();
    for layer in &network.cross {
        xl = cross(&cross_of(layer, weights), &x0, &xl);
    }
    let mut deep = match network.structure {
        Structure::Parallel => x0,
        Structure::Stacked => xl.clone(),
    };
    deep = chain(&network.deep, weights, deep);
    let mut trunk = Vec::with_capacity(network.trunk_width());
    if network.trunk_cross() > 0 {
        trunk.extend(&xl);
        trunk.resize(padded(xl.len()), 0.0);
    }
    if network.trunk_deep() > 0 {
        trunk.extend(&deep);
        trunk.resize(network.trunk_width(), 0.0);
    }
    for (head, out) in network.heads.iter().zip(out) {
        let last = chain(&head.tower, weights, trunk.clone());
        *out = dot(&vector(&head.weight, weights), &last) + f64::from(head.bias);
    }
    Ok(())
}

/// The matrix of some panels, in row-major order. Call it on panels that are within the weights.
#[must_use]
pub fn matrix(panels: &Panels, weights: Weights<'_>) -> Matrix {
    let Panels { start, inputs, outputs } = *panels;
    let at = |row: usize, col: usize| start + (row / LANES * inputs + col) * LANES + row % LANES;
    let value = |row, col| half::f16::from_bits(weights.panels[at(row, col)]).to_f64();
    let data = (0..outputs).flat_map(|row| (0..inputs).map(move |col| value(row, col))).collect();
    Matrix::new(outputs, inputs, data)
}

/// The inputs of a network's deep layers, for one row after another: the matrices are unpacked from the panels once.
#[derive(Debug)]
pub struct DeepInputs {
    width: usize,
    /// The layers before the deep part.
    cross: Vec<CrossSpec>,
    deep: Vec<DenseSpec>,
}

impl DeepInputs {
    /// Unpacks the weights.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other or the sections.
    pub fn new(network: &Network, weights: Weights<'_>) -> Result<Self> {
        shapes::check(network, weights)?;
        let before = if network.structure == Structure::Stacked { &network.cross[..] } else { &[] };
        Ok(Self {
            width: network.width,
            cross: before.iter().map(|layer| cross_of(layer, weights)).collect(),
            deep: network.deep.iter().map(|layer| dense_of(layer, weights)).collect(),
        })
    }

    /// Multiplications for a row.
    #[must_use]
    pub fn cost(&self) -> usize {
        let cross = self.cross.iter().map(|layer| match layer {
            CrossSpec::Full { weight, .. } => weight.data.len(),
            CrossSpec::LowRank { v, u, .. } => v.data.len() + u.data.len(),
            CrossSpec::Vector { weight, .. } => weight.len(),
            CrossSpec::Mixture { experts, gate, .. } => {
                let each = |e: &ExpertSpec| e.v.data.len() + e.c.data.len() + e.u.data.len();
                gate.data.len() + experts.iter().map(each).sum::<usize>()
            }
        });
        cross.sum::<usize>() + self.deep.iter().map(|layer| layer.weight.data.len()).sum::<usize>()
    }

    /// Runs a row. Calls back with the number of each deep layer and its inputs.
    ///
    /// # Errors
    /// `InvalidArgument` for another number of columns.
    pub fn run(&self, x: &[f32], mut each: impl FnMut(usize, &[f64])) -> Result<()> {
        if x.len() != self.width {
            return Err(Error::argument(format!("{} columns for a network of {}", x.len(), self.width)));
        }
        let x0: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let mut x = self.cross.iter().fold(x0.clone(), |xl, layer| cross(layer, &x0, &xl));
        for (at, layer) in self.deep.iter().enumerate() {
            each(at, &x);
            if at + 1 < self.deep.len() {
                x = dense(layer, &x);
            }
        }
        Ok(())
    }
}

fn cross(layer: &CrossSpec, x0: &[f64], xl: &[f64]) -> Vec<f64> {
    match layer {
        CrossSpec::Full { weight, bias } => cross_full(weight, bias, x0, xl),
        CrossSpec::LowRank { v, u, bias } => cross_low_rank(v, u, bias, x0, xl),
        CrossSpec::Vector { weight, bias } => cross_vector(weight, bias, x0, xl),
        CrossSpec::Mixture { experts, gate, bias } => cross_mixture(experts, gate, bias, x0, xl),
    }
}

fn dense(layer: &DenseSpec, x: &[f64]) -> Vec<f64> {
    let sums = linear(&layer.weight, x);
    sums.iter().zip(&layer.bias).map(|(sum, b)| activate(layer.activation, sum + b)).collect()
}

fn chain(layers: &[Dense], weights: Weights<'_>, x: Vec<f64>) -> Vec<f64> {
    layers.iter().fold(x, |x, layer| dense(&dense_of(layer, weights), &x))
}

fn cross_of(layer: &Cross, weights: Weights<'_>) -> CrossSpec {
    match layer {
        Cross::Full { weight, bias } => {
            CrossSpec::Full { weight: matrix(weight, weights), bias: vector(bias, weights) }
        }
        Cross::LowRank { v, u, bias } => {
            CrossSpec::LowRank { v: matrix(v, weights), u: matrix(u, weights), bias: vector(bias, weights) }
        }
        Cross::Vector { weight, bias } => {
            CrossSpec::Vector { weight: vector(weight, weights), bias: vector(bias, weights) }
        }
        Cross::Mixture { experts, rank, gate, v, c, u, bias } => {
            let (v, u) = (matrix(v, weights), matrix(u, weights));
            let expert = |e: usize| {
                let columns = e * rank..(e + 1) * rank;
                let own_u = u.data.chunks(u.cols).flat_map(|row| &row[columns.clone()]).copied().collect();
                ExpertSpec {
                    v: Matrix::new(*rank, v.cols, v.data[e * rank * v.cols..][..rank * v.cols].to_vec()),
                    c: matrix(&c[e], weights),
                    u: Matrix::new(u.rows, *rank, own_u),
                }
            };
            CrossSpec::Mixture {
                experts: (0..*experts).map(expert).collect(),
                gate: matrix(gate, weights),
                bias: vector(bias, weights),
            }
        }
    }
}

fn dense_of(layer: &Dense, weights: Weights<'_>) -> DenseSpec {
    DenseSpec {
        weight: matrix(&layer.weight, weights),
        bias: vector(&layer.bias, weights),
        activation: layer.activation,
    }
}

fn vector(params: &Params, weights: Weights<'_>) -> Vec<f64> {
    weights.params[params.start..][..params.len].iter().map(|&x| f64::from(x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x0 ⊙ (sums + b) + x_l`.
fn update(sums: &[f64], b: &[f64], x0: &[f64], xl: &[f64]) -> Vec<f64> {
    (0..x0.len()).map(|i| x0[i] * (sums[i] + b[i]) + xl[i]).collect()
}
