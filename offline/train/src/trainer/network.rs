//! The dense part: its parameters as plain arrays, and its forward pass on candle, which differentiates it.

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, ExpertSpec, HeadKind, HeadSpec, Matrix, NetworkSpec, Structure,
};
use anyhow::{Result, bail, ensure};
use candle_core::{D, Device, Tensor, Var};
use rand::{Rng, SeedableRng};
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
    fn trunk(&self) -> usize {
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

    /// The logits `[batch, heads]` of inputs `[batch, width]`.
    pub(super) fn forward(&self, params: &[Tensor], x0: &Tensor, dropout: &mut Dropout) -> Result<Tensor> {
        let mut next = params.iter();
        let mut take = move || next.next().expect("as many parameters as the shape names");
        let mut x = x0.clone();
        for cross in &self.cross {
            let product = match *cross {
                CrossShape::Full => x.matmul(&take().t()?)?,
                CrossShape::LowRank(_) => {
                    let v = x.matmul(&take().t()?)?;
                    v.matmul(&take().t()?)?
                }
                CrossShape::Vector => x.matmul(&take().t()?)?.broadcast_as(x.shape())?,
                CrossShape::Mixture { experts, .. } => {
                    let gate = softmax(&x.matmul(&take().t()?)?)?;
                    let mut sum: Option<Tensor> = None;
                    for e in 0..experts {
                        let h = x.matmul(&take().t()?)?.tanh()?;
                        let h = h.matmul(&take().t()?)?.tanh()?;
                        let out = h.matmul(&take().t()?)?.broadcast_mul(&gate.narrow(1, e, 1)?)?;
                        sum = Some(match sum {
                            Some(sum) => (sum + out)?,
                            None => out,
                        });
                    }
                    let Some(sum) = sum else { bail!("a mixture needs at least one expert") };
                    sum
                }
            };
            let bias = take();
            x = if *cross == CrossShape::Vector {
                ((x0 * product)?.broadcast_add(bias)? + x)?
            } else {
                ((x0 * product.broadcast_add(bias)?)? + x)?
            };
        }
        let mut deep = if self.structure == Structure::Stacked { x.clone() } else { x0.clone() };
        for _ in &self.hidden {
            deep = deep.matmul(&take().t()?)?.broadcast_add(take())?.relu()?;
            deep = dropout.apply(deep)?;
        }
        let trunk = match self.structure {
            _ if self.hidden.is_empty() => x,
            Structure::Parallel if !self.cross.is_empty() => Tensor::cat(&[x, deep], 1)?,
            _ => deep,
        };
        let mut logits = Vec::with_capacity(self.heads.len());
        for (_, tower) in &self.heads {
            let mut h = trunk.clone();
            for _ in tower {
                h = h.matmul(&take().t()?)?.broadcast_add(take())?.relu()?;
                h = dropout.apply(h)?;
            }
            logits.push(h.matmul(&take().t()?)?.broadcast_add(take())?);
        }
        Ok(Tensor::cat(&logits, 1)?)
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

fn softmax(logits: &Tensor) -> Result<Tensor> {
    let exp = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)?)
}

/// Dropout while training, with the kept activations scaled up; otherwise the identity.
pub(super) struct Dropout {
    rng: Option<ChaCha8Rng>,
    rate: f64,
}

impl Dropout {
    pub(super) fn off() -> Self {
        Self { rng: None, rate: 0.0 }
    }

    pub(super) fn new(rate: f64, seed: u64) -> Self {
        Self { rng: (rate > 0.0).then(|| ChaCha8Rng::seed_from_u64(seed)), rate }
    }

    fn apply(&mut self, x: Tensor) -> Result<Tensor> {
        let Some(rng) = &mut self.rng else { return Ok(x) };
        let mask = keep_mask(rng, self.rate, x.elem_count());
        Ok((&x * Tensor::from_vec(mask, x.shape(), &Device::Cpu)?)?)
    }
}

/// Returns `n` factors: 0 with the given probability, else 1 / (1 - rate).
pub(super) fn keep_mask(rng: &mut ChaCha8Rng, rate: f64, n: usize) -> Vec<f32> {
    let threshold = (rate * 4_294_967_296.0) as u64;
    let scale = (1.0 / (1.0 - rate)) as f32;
    (0..n).map(|_| if u64::from(rng.next_u32()) < threshold { 0.0 } else { scale }).collect()
}

/// The gradients of one step.
pub(super) struct Gradients {
    /// The gradient at the inputs, `[batch, width]`.
    pub(super) inputs: Vec<f32>,
    /// The gradient at each parameter, in their order.
    pub(super) params: Vec<Vec<f32>>,
}

/// Runs the network forward and backward. `loss` turns the logits `[batch, heads]` into their gradients in place.
pub(super) fn step(
    shape: &Shape,
    params: &[Param],
    x: Vec<f32>,
    dropout: &mut Dropout,
    loss: impl FnOnce(&mut [f32]),
) -> Result<Gradients> {
    let batch = x.len() / shape.width;
    let x = Var::from_vec(x, (batch, shape.width), &Device::Cpu)?;
    let vars: Vec<Var> = params
        .iter()
        .map(|p| Var::from_slice(&p.data, (p.rows, p.cols), &Device::Cpu))
        .collect::<candle_core::Result<_>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let logits = shape.forward(&tensors, x.as_tensor(), dropout)?;
    let mut gradient = logits.flatten_all()?.to_vec1::<f32>()?;
    loss(&mut gradient);
    let gradient = Tensor::from_vec(gradient, logits.shape(), &Device::Cpu)?;
    // This scalar has the loss's gradient at the logits, so the chain rule gives all the others.
    let grads = (logits * gradient)?.sum_all()?.backward()?;
    let of = |v: &Var| -> Result<Vec<f32>> {
        match grads.get(v) {
            Some(g) => Ok(g.flatten_all()?.to_vec1::<f32>()?),
            None => Ok(vec![0.0; v.elem_count()]),
        }
    };
    Ok(Gradients { inputs: of(&x)?, params: vars.iter().map(of).collect::<Result<_>>()? })
}

/// The logits `[batch, heads]`, without dropout.
pub(super) fn predict(shape: &Shape, params: &[Param], x: Vec<f32>) -> Result<Vec<f32>> {
    let batch = x.len() / shape.width;
    let x = Tensor::from_vec(x, (batch, shape.width), &Device::Cpu)?;
    let tensors: Vec<Tensor> = params
        .iter()
        .map(|p| Tensor::from_slice(&p.data, (p.rows, p.cols), &Device::Cpu))
        .collect::<candle_core::Result<_>>()?;
    Ok(shape.forward(&tensors, &x, &mut Dropout::off())?.flatten_all()?.to_vec1::<f32>()?)
}
