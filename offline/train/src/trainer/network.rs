//! The shape of the dense part, and its parameters as plain arrays.

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, ExpertSpec, HeadKind, HeadSpec, Matrix, NetworkSpec, Structure,
};
use anyhow::{Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// The kind of a cross layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossShape {
    /// W is `[d, d]`.
    Full,
    /// W = U V of this rank.
    LowRank(usize),
    /// DCN v1: a vector.
    Vector,
    /// DCN-mix.
    Mixture {
        /// How many experts.
        experts: usize,
        /// The rank of each.
        rank: usize,
    },
}

/// The architecture of a network, without weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    pub(super) width: usize,
    pub(super) structure: Structure,
    pub(super) cross: Vec<CrossShape>,
    pub(super) hidden: Vec<usize>,
    /// The kind and the tower widths of each head.
    pub(super) heads: Vec<(HeadKind, Vec<usize>)>,
}

/// One array of parameters: a matrix `[rows, cols]`, or a vector with `rows` = 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Param {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) is_matrix: bool,
    pub(super) data: Vec<f32>,
}

impl Shape {
    /// The width of what the heads read.
    pub(super) fn trunk(&self) -> usize {
        let deep = self.hidden.last().copied();
        match (self.structure, deep) {
            (_, None) => self.width,
            (Structure::Stacked, Some(deep)) => deep,
            (Structure::Parallel, Some(deep)) => deep + if self.cross.is_empty() { 0 } else { self.width },
        }
    }

    /// The shapes of all parameters, `(rows, cols, is_matrix)`, in the order in which the forward pass takes them.
    fn params(&self) -> Vec<(usize, usize, bool)> {
        let d = self.width;
        let mut shapes = Vec::new();
        let dense = |shapes: &mut Vec<_>, out, inputs| shapes.extend([(out, inputs, true), (1, out, false)]);
        for cross in &self.cross {
            match *cross {
                CrossShape::Full => shapes.push((d, d, true)),
                CrossShape::LowRank(r) => shapes.extend([(r, d, true), (d, r, true)]),
                CrossShape::Vector => shapes.push((1, d, true)),
                CrossShape::Mixture { experts, rank } => {
                    shapes.push((experts, d, true));
                    for _ in 0..experts {
                        shapes.extend([(rank, d, true), (rank, rank, true), (d, rank, true)]);
                    }
                }
            }
            shapes.push((1, d, false));
        }
        let mut inputs = d;
        for &out in &self.hidden {
            dense(&mut shapes, out, inputs);
            inputs = out;
        }
        for (_, tower) in &self.heads {
            let mut inputs = self.trunk();
            for &out in tower {
                dense(&mut shapes, out, inputs);
                inputs = out;
            }
            dense(&mut shapes, 1, inputs);
        }
        shapes
    }

    /// Initialises matrices uniformly within ±1/√inputs and biases to 0; `head_bias` are the heads' initial logits.
    pub(super) fn init(&self, rng: &mut ChaCha8Rng, head_bias: &[f32]) -> Vec<Param> {
        let mut params: Vec<Param> = self
            .params()
            .into_iter()
            .map(|(rows, cols, is_matrix)| {
                let bound = 1.0 / (cols as f32).sqrt();
                let data = (0..rows * cols).map(|_| if is_matrix { bound * symmetric(rng) } else { 0.0 }).collect();
                Param { rows, cols, is_matrix, data }
            })
            .collect();
        for (at, bias) in self.head_biases().into_iter().zip(head_bias) {
            params[at].data[0] = *bias;
        }
        params
    }

    /// The position of each head's output bias among the parameters.
    pub(super) fn head_biases(&self) -> Vec<usize> {
        let mut at = self.params().len();
        let mut places: Vec<usize> = self
            .heads
            .iter()
            .rev()
            .map(|(_, tower)| {
                let last = at - 1;
                at -= 2 * (tower.len() + 1);
                last
            })
            .collect();
        places.reverse();
        places
    }

    /// The parameters in the form that the packer takes.
    pub(super) fn to_spec(&self, params: &[Param]) -> NetworkSpec {
        let mut next = params.iter();
        let mut take = move || next.next().expect("as many parameters as the shape names");
        let matrix = |p: &Param| Matrix::new(p.rows, p.cols, widen(&p.data));
        let cross = self
            .cross
            .iter()
            .map(|cross| match *cross {
                CrossShape::Full => CrossSpec::Full { weight: matrix(take()), bias: widen(&take().data) },
                CrossShape::LowRank(_) => {
                    CrossSpec::LowRank { v: matrix(take()), u: matrix(take()), bias: widen(&take().data) }
                }
                CrossShape::Vector => CrossSpec::Vector { weight: widen(&take().data), bias: widen(&take().data) },
                CrossShape::Mixture { experts, .. } => {
                    let gate = matrix(take());
                    let experts = (0..experts)
                        .map(|_| ExpertSpec { v: matrix(take()), c: matrix(take()), u: matrix(take()) })
                        .collect();
                    CrossSpec::Mixture { experts, gate, bias: widen(&take().data) }
                }
            })
            .collect();
        let deep = (0..self.hidden.len())
            .map(|_| DenseSpec { weight: matrix(take()), bias: widen(&take().data), activation: Activation::Relu })
            .collect();
        let heads = self
            .heads
            .iter()
            .map(|(kind, tower)| HeadSpec {
                kind: *kind,
                tower: (0..tower.len())
                    .map(|_| DenseSpec {
                        weight: matrix(take()),
                        bias: widen(&take().data),
                        activation: Activation::Relu,
                    })
                    .collect(),
                weight: widen(&take().data),
                bias: f64::from(take().data[0]),
            })
            .collect();
        NetworkSpec { structure: self.structure, cross, deep, heads }
    }

    /// The architecture and parameters of a packed network, for a warm start.
    pub(super) fn from_spec(spec: &NetworkSpec, width: usize) -> Result<(Self, Vec<Param>)> {
        let mut params = Vec::new();
        let matrix = |m: &Matrix| Param { rows: m.rows, cols: m.cols, is_matrix: true, data: narrow(&m.data) };
        let vector = |v: &[f64], is_matrix| Param { rows: 1, cols: v.len(), is_matrix, data: narrow(v) };
        let mut cross = Vec::new();
        for layer in &spec.cross {
            let bias = match layer {
                CrossSpec::Full { weight, bias } => {
                    cross.push(CrossShape::Full);
                    params.push(matrix(weight));
                    bias
                }
                CrossSpec::LowRank { v, u, bias } => {
                    cross.push(CrossShape::LowRank(v.rows));
                    params.extend([matrix(v), matrix(u)]);
                    bias
                }
                CrossSpec::Vector { weight, bias } => {
                    cross.push(CrossShape::Vector);
                    params.push(vector(weight, true));
                    bias
                }
                CrossSpec::Mixture { experts, gate, bias } => {
                    let rank = experts.first().map_or(0, |e| e.v.rows);
                    cross.push(CrossShape::Mixture { experts: experts.len(), rank });
                    params.push(matrix(gate));
                    params.extend(experts.iter().flat_map(|e| [matrix(&e.v), matrix(&e.c), matrix(&e.u)]));
                    bias
                }
            };
            params.push(vector(bias, false));
        }
        let dense = |layers: &[DenseSpec], params: &mut Vec<Param>| -> Result<Vec<usize>> {
            layers
                .iter()
                .map(|layer| {
                    ensure!(
                        layer.activation == Activation::Relu,
                        "the earlier model has a {:?} layer; a warm start continues ReLU layers only",
                        layer.activation
                    );
                    params.extend([matrix(&layer.weight), vector(&layer.bias, false)]);
                    Ok(layer.weight.rows)
                })
                .collect()
        };
        let hidden = dense(&spec.deep, &mut params)?;
        let mut heads = Vec::new();
        for head in &spec.heads {
            let tower = dense(&head.tower, &mut params)?;
            params.extend([vector(&head.weight, true), vector(&[head.bias], false)]);
            heads.push((head.kind, tower));
        }
        let shape = Self { width, structure: spec.structure, cross, hidden, heads };
        let found: Vec<_> = params.iter().map(|p| (p.rows, p.cols, p.is_matrix)).collect();
        ensure!(found == shape.params(), "the earlier model's layers do not fit its schema of {width} columns");
        Ok((shape, params))
    }
}

fn widen(data: &[f32]) -> Vec<f64> {
    data.iter().map(|&x| f64::from(x)).collect()
}

fn narrow(data: &[f64]) -> Vec<f32> {
    data.iter().map(|&x| x as f32).collect()
}

/// A uniform number in [-1, 1).
pub(super) fn symmetric(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 * (2.0 / (1 << 24) as f32) - 1.0
}
