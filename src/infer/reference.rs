//! The network in f64 and plain loops: what every kernel is checked against, and what the outputs of a model's golden
//! requests are computed with. Read it beside the formulas of [`CrossSpec`](crate::artifact::model::spec::CrossSpec).

use super::{Weights, shapes};
use crate::artifact::model::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::artifact::model::spec::{Activation, ExpertSpec, Matrix, Structure};
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
        xl = cross(layer, weights, &x0, &xl);
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

fn cross(layer: &Cross, weights: Weights<'_>, x0: &[f64], xl: &[f64]) -> Vec<f64> {
    match layer {
        Cross::Full { weight, bias } => cross_full(&matrix(weight, weights), &vector(bias, weights), x0, xl),
        Cross::LowRank { v, u, bias } => {
            cross_low_rank(&matrix(v, weights), &matrix(u, weights), &vector(bias, weights), x0, xl)
        }
        Cross::Vector { weight, bias } => cross_vector(&vector(weight, weights), &vector(bias, weights), x0, xl),
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
            let experts: Vec<_> = (0..*experts).map(expert).collect();
            cross_mixture(&experts, &matrix(gate, weights), &vector(bias, weights), x0, xl)
        }
    }
}

fn chain(layers: &[Dense], weights: Weights<'_>, mut x: Vec<f64>) -> Vec<f64> {
    for layer in layers {
        let sums = linear(&matrix(&layer.weight, weights), &x);
        let bias = vector(&layer.bias, weights);
        x = sums.iter().zip(&bias).map(|(sum, b)| activate(layer.activation, sum + b)).collect();
    }
    x
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
