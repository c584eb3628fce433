//! The linear term over numbers beside the network: wide weights of number and vector columns.

use adclick::builder::artifact::model::spec::{Activation, CrossSpec, DenseSpec, Matrix, Structure};
use adclick::builder::schema::{Kind, Schema};
use anyhow::{Result, bail, ensure};

use super::affine::AffineLayer;
use super::heads::Head;
use super::sequential::Stack;
use super::taken::{Fact, KnownBy, TakenLayer as Taken};
use super::tensors::NamedTensors;

/// The term's weight of each column of x0, in declared order, and the tensors that it is from.
pub(super) struct Term {
    weights: Vec<f64>,
    tensors: Vec<String>,
}

/// Reads `linear.weight` (all number and vector columns in declared order) or `wide.NAME.weight` of such features.
pub(super) fn read(weights: &NamedTensors<'_>, schema: &Schema) -> Result<Option<Term>> {
    let layout = schema.layout();
    let numeric = |kind: &Kind| matches!(kind, Kind::Number { .. } | Kind::Vector { .. });
    let mut term = Term { weights: vec![0.0; layout.width], tensors: Vec::new() };
    let columns = || schema.features.iter().zip(&layout.columns).filter(|(f, _)| numeric(&f.kind));
    if weights.has("linear.weight") {
        let all: Vec<usize> = columns().flat_map(|(_, c)| c.declared..c.declared + c.width).collect();
        let values = weights.vector("linear.weight", all.len())?;
        all.iter().zip(values).for_each(|(&column, value)| term.weights[column] = value);
        term.tensors.push(weights.name("linear.weight").to_owned());
    }
    for (feature, column) in columns() {
        let role = format!("wide.{}.weight", feature.name);
        if weights.has(&role) {
            let values = weights.vector(&role, column.width)?;
            for (slot, value) in term.weights[column.declared..].iter_mut().zip(values) {
                *slot += value;
            }
            term.tensors.push(weights.name(&role).to_owned());
        }
    }
    Ok((!term.tensors.is_empty()).then_some(term))
}

impl Term {
    /// Adds the term to a network, exactly: a sum of x0's columns goes through the deep part beside its other units,
    /// `s` as `relu(s) - relu(-s)` where the layers have ReLU.
    pub(super) fn add(
        self,
        structure: Structure,
        cross: &[CrossSpec],
        deep: &mut Stack,
        heads: &mut [Head],
    ) -> Result<Taken> {
        let name = self.tensors.join(", ");
        let [head] = heads else { bail!("`{name}`: a linear term over numbers beside two heads cannot be expressed") };
        let (false, [output]) = (head.layers.len() > 1, &mut head.layers[..]) else {
            bail!("`{name}`: a linear term over numbers beside a tower cannot be expressed");
        };
        let taken = |is: &str| Taken {
            part: "linear term".into(),
            tensors: name.clone(),
            shape: vec![self.weights.iter().filter(|w| **w != 0.0).count()],
            facts: vec![Fact::new("carried by", is, KnownBy::Names, "")],
        };
        if deep.layers.is_empty() && cross.is_empty() {
            output.spec.weight.data.iter_mut().zip(&self.weights).for_each(|(w, term)| *w += term);
            return Ok(taken("the output layer"));
        }
        ensure!(
            cross.is_empty() || structure == Structure::Parallel,
            "`{name}`: a linear term over x0 beside a stacked deep part cannot be expressed"
        );
        if let Some(layer) = deep.layers.iter().find(|l| l.spec.activation == Activation::Tanh) {
            bail!("`{name}`: a linear term over x0 cannot be carried past tanh behind `{}`", layer.origin);
        }
        // Weights near 1 keep their digits in fp16; powers of two lose nothing.
        let largest = self.weights.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
        let exponent = if largest > 0.0 { (-largest.log2().ceil()).clamp(-14.0, 14.0) } else { 0.0 };
        let scale = exponent.exp2();
        let relu = deep.layers.iter().any(|l| l.spec.activation == Activation::Relu);
        let signs: &[f64] = if relu { &[1.0, -1.0] } else { &[1.0] };
        if deep.layers.is_empty() {
            let weight = Matrix::new(0, self.weights.len(), Vec::new());
            let spec = DenseSpec { weight, bias: Vec::new(), activation: Activation::None };
            deep.layers.push(AffineLayer { spec, origin: name.clone(), centres: Vec::new() });
        }
        for (at, layer) in deep.layers.iter_mut().enumerate() {
            let spec = &mut layer.spec;
            if at > 0 {
                widen(&mut spec.weight, &vec![0.0; signs.len()]);
                layer.centres.resize(if layer.centres.is_empty() { 0 } else { spec.weight.cols }, 0.0);
            }
            for (unit, sign) in signs.iter().enumerate() {
                let row: Vec<f64> = if at == 0 {
                    self.weights.iter().map(|w| sign * scale * w).collect()
                } else {
                    let first = spec.weight.cols - signs.len();
                    (0..spec.weight.cols).map(|col| f64::from(u8::from(col == first + unit))).collect()
                };
                spec.weight.data.extend(row);
                spec.weight.rows += 1;
                spec.bias.push(0.0);
            }
        }
        let back: Vec<f64> = signs.iter().map(|sign| sign / scale).collect();
        widen(&mut output.spec.weight, &back);
        output.centres.resize(if output.centres.is_empty() { 0 } else { output.spec.weight.cols }, 0.0);
        Ok(taken(if relu { "two more units of each deep layer" } else { "one more unit of each deep layer" }))
    }
}

/// Adds columns to a matrix: the same in each row.
fn widen(matrix: &mut Matrix, columns: &[f64]) {
    let rows = matrix.data.chunks(matrix.cols);
    matrix.data = rows.flat_map(|row| row.iter().chain(columns)).copied().collect();
    matrix.cols += columns.len();
}
