//! A network in f64 with all digits of its weights, and the inputs of given rows with all digits of their embeddings.

use adclick::Value;
use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, GoldenValue, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::enrich::{Assembler, Passed, State, TablePlan, TableRows};
use adclick::builder::infer::reference::{activate, cross_full, cross_low_rank, cross_mixture, cross_vector, linear};
use adclick::builder::infer::{Kernel, Plan, Scratch, Weights};
use adclick::builder::schema::{Kind, Schema};
use anyhow::Result;
use half::f16;

use super::inputs::{InputRows, share};

/// The unit of the remainder when an f32 is stored as fp16: 2^-11, which fp16 can hold.
const REST: f64 = 2048.0;

/// The inputs of some rows, in declared order, and what the wide part adds for each head.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ModelInputs {
    pub(super) x: Vec<f64>,
    pub(super) width: usize,
    pub(super) wide: Vec<f64>,
    pub(super) heads: usize,
}

impl ModelInputs {
    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.x[row * self.width..][..self.width]
    }

    pub(super) fn wide(&self, row: usize) -> &[f64] {
        &self.wide[row * self.heads..][..self.heads]
    }
}

/// The inputs of the given rows. Embeddings and wide weights have the digits of the weights file and not those of fp16: the
/// code that serves looks the rows up twice, once for what fp16 holds of each value and once for the rest.
pub(super) fn rows(spec: &ModelSpec, inputs: &InputRows, which: &[usize]) -> Result<ModelInputs> {
    let (layout, heads) = (spec.schema.layout(), spec.network.heads.len());
    let mut all = ModelInputs { x: Vec::new(), width: layout.width, wide: Vec::new(), heads };
    if let InputRows::Ready { x, width } = inputs {
        all.x = which.iter().flat_map(|row| &x[row * width..][..*width]).map(|&x| f64::from(x)).collect();
        all.wide = vec![0.0; which.len() * heads];
        return Ok(all);
    }
    let serving = layout.permutation();
    let mut looked_up = vec![false; layout.width];
    for (feature, column) in spec.schema.features.iter().zip(&layout.columns) {
        if matches!(feature.kind, Kind::Category { .. } | Kind::MultiCategory { .. }) {
            looked_up[column.declared..column.declared + column.width].fill(true);
        }
    }
    let part = |rest: bool| -> Vec<EmbeddingSpec> {
        let of = |values: &[f32]| values.iter().map(|v| if rest { rest_of(*v) } else { stored(*v) }).collect();
        let one = |e: &EmbeddingSpec| EmbeddingSpec {
            rows: of(&e.rows),
            vocabulary: e.vocabulary.clone(),
            wide: of(&e.wide),
        };
        spec.embeddings.iter().map(one).collect()
    };
    assemble(&tables_alone(spec, part(false))?, inputs, which, |x, wide| {
        all.x.extend(serving.iter().map(|&at| f64::from(x[at])));
        all.wide.extend(wide.iter().map(|&w| f64::from(w)));
    })?;
    let mut row = 0;
    assemble(&tables_alone(spec, part(true))?, inputs, which, |x, wide| {
        let to = &mut all.x[row * layout.width..][..layout.width];
        for ((to, &at), _) in to.iter_mut().zip(&serving).zip(&looked_up).filter(|(_, looked_up)| **looked_up) {
            *to += f64::from(x[at]) / REST;
        }
        for (to, &rest) in all.wide[row * heads..][..heads].iter_mut().zip(wide) {
            *to += f64::from(rest) / REST;
        }
        row += 1;
    })?;
    Ok(all)
}

fn stored(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

fn rest_of(value: f32) -> f32 {
    ((f64::from(value) - f64::from(stored(value))) * REST) as f32
}

/// A model with these tables and a network that is never run.
fn tables_alone(spec: &ModelSpec, embeddings: Vec<EmbeddingSpec>) -> Result<Model> {
    let width = spec.schema.layout().width;
    let heads = spec.network.heads.iter();
    let heads = heads.map(|h| HeadSpec { kind: h.kind, tower: Vec::new(), weight: vec![0.0; width], bias: 0.0 });
    let network =
        NetworkSpec { structure: Structure::Parallel, cross: Vec::new(), deep: Vec::new(), heads: heads.collect() };
    let bare = ModelSpec {
        schema: spec.schema.clone(),
        enrichment: spec.enrichment.clone(),
        network,
        embeddings,
        provenance: String::new(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens: Vec::new(),
    };
    Ok(Model::open(Bytes::copy_of(&write(&bare, &[])?)?)?)
}

/// Runs rows of raw values through the code that assembles a request's columns when it is served.
fn assemble(model: &Model, inputs: &InputRows, which: &[usize], mut each: impl FnMut(&[f32], &[f32])) -> Result<()> {
    let (layout, features) = (model.layout(), model.schema().features.len());
    let assembler = Assembler::new(model, TablePlan::default(), |i, _| i as u32);
    let mut state = State::new(features, layout.width, TableRows::new(0, 0, 0)?);
    let mut x = vec![0.0; layout.width];
    let mut wide = vec![0.0; model.network().heads.len()];
    let mut raw: Vec<GoldenValue> = Vec::new();
    for &row in which {
        raw.clear();
        inputs.values(row, &mut raw);
        share(model.schema(), &mut raw);
        let values: Vec<Value> = raw.iter().map(|v| Value { feature: v.feature, number: v.number, id: v.id }).collect();
        wide.fill(0.0);
        let (request, candidate) = x.split_at_mut(layout.request_width);
        let time = (inputs.time_us(row), inputs.utc_offset_s(row));
        assembler.request(model, &mut state, time, &values, request, &mut wide)?;
        let passed = Passed::new(0, &values, 0);
        assembler.candidate(model, &mut state, passed, candidate, &mut wide)?;
        each(&x, &wide);
    }
    Ok(())
}

/// The logits of the given rows, `[rows, heads]`, as the model's file and the code that serves give them.
pub(super) fn served(spec: &ModelSpec, inputs: &InputRows, which: &[usize]) -> Result<Vec<f32>> {
    let bare = ModelSpec { goldens: Vec::new(), ranges: Vec::new(), ..spec.clone() };
    let model = Model::open(Bytes::copy_of(&write(&bare, &[])?)?)?;
    let weights = Weights { panels: model.weights(), params: model.params() };
    let plan = Plan::new(model.network(), weights, Kernel::detect())?;
    let mut scratch = Scratch::new(plan.scratch_len());
    let heads = model.network().heads.len();
    let mut all = Vec::with_capacity(which.len() * heads);
    let mut one = |x: &[f32], wide: &[f32]| -> Result<()> {
        let (request, candidate) = x.split_at(model.layout().request_width);
        let mut pass = plan.begin(weights, &mut scratch, request, 1)?;
        pass.tile(1)?.row(0)[request.len()..].copy_from_slice(candidate);
        let mut logits = vec![0.0; heads];
        pass.run(1, Some(wide), &mut logits)?;
        all.extend(logits);
        Ok(())
    };
    if let InputRows::Ready { x, width } = inputs {
        let serving = model.layout().permutation();
        let mut row_x = vec![0.0; *width];
        for &row in which {
            serving.iter().zip(&x[row * width..][..*width]).for_each(|(&at, &x)| row_x[at] = x);
            one(&row_x, &vec![0.0; heads])?;
        }
        return Ok(all);
    }
    let mut failed = None;
    assemble(&model, inputs, which, |x, wide| {
        if failed.is_none() {
            failed = one(x, wide).err();
        }
    })?;
    failed.map_or(Ok(all), Err)
}

/// Alternatives that the weights do not show, used to find out which model the outputs came from.
#[derive(Clone, Copy, Default)]
pub(super) struct Instead {
    /// Replaces the activations of deep layers and towers.
    pub(super) activation: Option<fn(f64) -> f64>,
    /// Full cross matrices and square deep ones are transposed.
    pub(super) transposed: bool,
}

/// The logits of a row, one for each head, without the wide part.
pub(super) fn logits(network: &NetworkSpec, instead: Instead, x0: &[f64]) -> Vec<f64> {
    let full = |w: &Matrix| if instead.transposed { transposed(w) } else { w.clone() };
    let xl = network.cross.iter().fold(x0.to_vec(), |xl, layer| match layer {
        CrossSpec::Full { weight, bias } if instead.transposed => cross_full(&full(weight), bias, x0, &xl),
        CrossSpec::Full { weight, bias } => cross_full(weight, bias, x0, &xl),
        CrossSpec::LowRank { v, u, bias } => cross_low_rank(v, u, bias, x0, &xl),
        CrossSpec::Vector { weight, bias } => cross_vector(weight, bias, x0, &xl),
        CrossSpec::Mixture { experts, gate, bias } => cross_mixture(experts, gate, bias, x0, &xl),
    });
    let chain = |layers: &[DenseSpec], x: Vec<f64>| layers.iter().fold(x, |x, layer| dense(layer, instead, &x));
    let deep = chain(&network.deep, if network.structure == Structure::Stacked { xl.clone() } else { x0.to_vec() });
    let trunk = match (network.structure, network.cross.is_empty(), network.deep.is_empty()) {
        (_, _, true) => xl,
        (Structure::Parallel, false, false) => [xl, deep].concat(),
        _ => deep,
    };
    let head = |head: &HeadSpec| {
        let last = chain(&head.tower, trunk.clone());
        head.weight.iter().zip(&last).map(|(w, x)| w * x).sum::<f64>() + head.bias
    };
    network.heads.iter().map(head).collect()
}

fn dense(layer: &DenseSpec, instead: Instead, x: &[f64]) -> Vec<f64> {
    let square = instead.transposed && layer.weight.rows == layer.weight.cols;
    let sums = if square { linear(&transposed(&layer.weight), x) } else { linear(&layer.weight, x) };
    let act = |z: f64| match (layer.activation, instead.activation) {
        (Activation::Relu, Some(other)) => other(z),
        (own, _) => activate(own, z),
    };
    sums.iter().zip(&layer.bias).map(|(sum, b)| act(sum + b)).collect()
}

fn transposed(w: &Matrix) -> Matrix {
    Matrix::new(w.cols, w.rows, super::tensors::transposed(&w.data, w.rows, w.cols))
}

/// A factorisation machine's term over the embeddings of a row: the dot products of all pairs of features whose
/// embeddings have the most common number of columns. `None` when there is no pair.
pub(super) fn fm(schema: &Schema, x: &[f64]) -> Option<f64> {
    let layout = schema.layout();
    let fields = schema
        .features
        .iter()
        .zip(&layout.columns)
        .filter(|(f, c)| c.width > 1 && matches!(f.kind, Kind::Category { .. } | Kind::MultiCategory { .. }));
    let fields: Vec<&[f64]> = fields.map(|(_, c)| &x[c.declared..c.declared + c.width]).collect();
    let count = |width: usize| fields.iter().filter(|f| f.len() == width).count();
    let width = fields.iter().map(|f| f.len()).max_by_key(|&width| count(width))?;
    let same: Vec<&[f64]> = fields.iter().filter(|f| f.len() == width).copied().collect();
    if same.len() < 2 {
        return None;
    }
    let mut total = 0.0;
    for column in 0..width {
        let sum: f64 = same.iter().map(|f| f[column]).sum();
        let squares: f64 = same.iter().map(|f| f[column] * f[column]).sum();
        total += 0.5 * (sum * sum - squares);
    }
    Some(total)
}
