//! A torch `Sequential` of Linear, activation, BatchNorm and Dropout, as dense layers with BatchNorm folded away.

use adclick::artifact::model::spec::{Activation, DenseSpec, Matrix};
use anyhow::{Result, bail, ensure};

use super::tensors::Weights;
use crate::schema_file::{ModelOptions, NormOrder};

/// torch's default.
const EPS: f64 = 1e-5;

/// `x ↦ scale ⊙ x + shift`: BatchNorm in inference.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// Nothing done.
    pub(super) fn identity(len: usize) -> Self {
        Self { scale: vec![1.0; len], shift: vec![0.0; len] }
    }

    /// Takes this map, which stands before `weight`, into `weight` and `bias`:
    /// `W (s ⊙ x + t) + b = (W diag s) x + (W t + b)`.
    pub(super) fn fold_into(&self, weight: &mut Matrix, bias: &mut [f64]) {
        for (row, b) in weight.data.chunks_mut(weight.cols).zip(bias) {
            for ((w, s), t) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                *b += *w * t;
                *w *= s;
            }
        }
    }

    /// This map, then `next`.
    fn then(mut self, next: &Affine) -> Affine {
        for (i, (s, t)) in next.scale.iter().zip(&next.shift).enumerate() {
            self.scale[i] *= s;
            self.shift[i] = self.shift[i] * s + t;
        }
        self
    }
}

/// One `Sequential`, folded.
pub(super) struct Stack {
    /// First to last.
    pub(super) layers: Vec<DenseSpec>,
    /// The tensors that each layer is made of, for messages.
    pub(super) origins: Vec<String>,
    /// A BatchNorm after the last activation: to be folded into whatever reads the stack.
    pub(super) after: Option<Affine>,
}

impl Stack {
    /// Nothing at all.
    pub(super) fn empty() -> Self {
        Self { layers: Vec::new(), origins: Vec::new(), after: None }
    }

    /// Takes the last layer off when it has one output: it is the output layer of its stack.
    pub(super) fn split_output(&mut self) -> Option<(DenseSpec, String)> {
        if self.layers.last()?.weight.rows != 1 || self.after.is_some() {
            return None;
        }
        Some((self.layers.pop()?, self.origins.pop()?))
    }
}

/// Reads the modules `prefix.0`, `prefix.1`, …
///
/// A BatchNorm right behind its Linear (`i + 1`) stands before the activation and is folded into that Linear; one
/// further behind stands after the activation and is folded into the next Linear.
pub(super) fn read(weights: &Weights<'_>, prefix: &str, options: &ModelOptions) -> Result<Stack> {
    let eps = options.batchnorm_eps.unwrap_or(EPS);
    let mut stack = Stack::empty();
    let mut last = None;
    // Modules between the last Linear and here that have parameters.
    let mut norms = 0;
    for i in weights.numbers(&format!("{prefix}.")) {
        let module = format!("{prefix}.{i}");
        let role = format!("{module}.weight");
        let matrix = weights.shape(&role).is_some_and(|s| s.len() == 2);
        if matrix {
            if let (Some(at), Some(layer)) = (last, stack.layers.last_mut()) {
                // No module between them that could be an activation.
                if i - at - 1 == norms {
                    layer.activation = Activation::None;
                }
            }
            let inputs = stack.layers.last().map(|l| l.weight.rows).or(stack.after.as_ref().map(|a| a.scale.len()));
            let mut weight = weights.matrix(&role, None, inputs)?;
            let mut bias = weights.vector_or_zeros(&format!("{module}.bias"), weight.rows)?;
            ensure!(weight.rows > 0 && weight.cols > 0, "tensor `{}` is empty", weights.name(&role));
            let mut origin = weights.name(&role).to_owned();
            if let Some(affine) = stack.after.take() {
                affine.fold_into(&mut weight, &mut bias);
                origin += " with the BatchNorm before it";
            }
            let activation = activation(options, stack.layers.len());
            stack.layers.push(DenseSpec { weight, bias, activation });
            stack.origins.push(origin);
            last = Some(i);
            norms = 0;
        } else if weights.has(&format!("{module}.running_var")) {
            let affine = batch_norm(weights, &module, stack.layers.last().map(|l| l.weight.rows), eps)?;
            let order = options.batchnorm.unwrap_or(match last {
                Some(at) if i == at + 1 => NormOrder::BeforeActivation,
                _ => NormOrder::AfterActivation,
            });
            norms += 1;
            match (order, stack.layers.last_mut()) {
                (NormOrder::BeforeActivation, Some(layer)) => {
                    ensure!(
                        stack.after.is_none(),
                        "`{}`: a BatchNorm before the activation behind one after it",
                        weights.name(&role)
                    );
                    for (row, (s, t)) in affine.scale.iter().zip(&affine.shift).enumerate() {
                        let cols = layer.weight.cols;
                        layer.weight.data[row * cols..][..cols].iter_mut().for_each(|w| *w *= s);
                        layer.bias[row] = layer.bias[row] * s + t;
                    }
                    if let Some(origin) = stack.origins.last_mut() {
                        *origin += " with the BatchNorm behind it";
                    }
                }
                _ => {
                    stack.after = Some(match stack.after.take() {
                        Some(earlier) => earlier.then(&affine),
                        None => affine,
                    });
                }
            }
        } else if let Some(shape) = weights.shape(&role) {
            bail!(
                "tensor `{}` {shape:?} belongs neither to a Linear layer [out, in] nor to a BatchNorm (which has a \
                 running_mean and running_var): LayerNorm, PReLU and the like cannot be packed",
                weights.name(&role)
            );
        } else {
            bail!("the module `{module}` has no tensor `{role}`");
        }
    }
    if options.activation.len() > 1 && !stack.layers.is_empty() {
        // A list is for the deep layers; towers take its last entry.
        ensure!(
            options.activation.len() == stack.layers.len() || prefix.ends_with("_tower"),
            "[model] activation lists {} activations, but `{prefix}` has {} layers",
            options.activation.len(),
            stack.layers.len()
        );
    }
    Ok(stack)
}

fn activation(options: &ModelOptions, layer: usize) -> Activation {
    options.activation.get(layer).or(options.activation.last()).copied().unwrap_or(Activation::Relu)
}

fn batch_norm(weights: &Weights<'_>, module: &str, len: Option<usize>, eps: f64) -> Result<Affine> {
    let variance_role = format!("{module}.running_var");
    let stored = weights.shape(&variance_role).map_or(0, |s| s.iter().product());
    let len = len.unwrap_or(stored);
    let variance = weights.vector(&variance_role, len)?;
    let mean = weights.vector(&format!("{module}.running_mean"), len)?;
    let gain_role = format!("{module}.weight");
    let mut affine = Affine::identity(len);
    if weights.has(&gain_role) {
        affine.scale = weights.vector(&gain_role, len)?;
    }
    affine.shift = weights.vector_or_zeros(&format!("{module}.bias"), len)?;
    for i in 0..len {
        ensure!(
            variance[i] >= 0.0,
            "tensor `{}` holds the negative variance {} at [{i}]",
            weights.name(&variance_role),
            variance[i]
        );
        affine.scale[i] /= (variance[i] + eps).sqrt();
        affine.shift[i] -= mean[i] * affine.scale[i];
    }
    Ok(affine)
}
