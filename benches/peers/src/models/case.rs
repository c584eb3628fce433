//! The networks, their numbers for the peers, and the rows.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use adclick::builder::artifact::model::network::{Cross, Dense, Panels, Params, padded};
use adclick::builder::infer::reference::{activate, linear, matrix, reference_logits};
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};

use crate::Error;
use testkit::networks::{self, Built, Random, Shape};

/// Rows whose outputs are compared with the reference, which is slow.
const COMPARED: usize = 100;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) built: Built,
    /// The largest input of each deep layer, on rows of their own.
    pub(crate) ranges: Vec<f32>,
    /// Rows of their own and their logits, as a model file holds them.
    pub(crate) goldens: Vec<(Vec<f32>, f64)>,
}

/// Rows that ranges are found on.
const RANGED: usize = 100;

/// Golden requests of a model, as many as training gives it.
const GOLDENS: usize = 16;

/// The deep part reads x0.
fn ranges(built: &Built, random: &mut Random) -> Vec<f32> {
    let (network, weights) = (&built.network, built.weights());
    let layers: Vec<_> = network
        .deep
        .iter()
        .map(|layer| {
            let bias = &weights.params[layer.bias.start..][..layer.bias.len];
            (matrix(&layer.weight, weights), bias, layer.activation)
        })
        .collect();
    let mut ranges = vec![0.0f64; layers.len()];
    for _ in 0..RANGED {
        let mut x: Vec<f64> = random.row(network.width).into_iter().map(f64::from).collect();
        for ((weight, bias, activation), range) in layers.iter().zip(&mut ranges) {
            *range = x.iter().fold(*range, |most, &v| most.max(v));
            let sums = linear(weight, &x);
            x = sums.iter().zip(*bias).map(|(sum, &b)| activate(*activation, sum + f64::from(b))).collect();
        }
    }
    ranges.into_iter().map(|range| range as f32).collect()
}

fn logit(built: &Built, row: &[f32]) -> Result<f64, Error> {
    let mut logit = [0.0];
    reference_logits(&built.network, built.weights(), row, &mut logit)?;
    Ok(logit[0])
}

pub(crate) fn models() -> Result<Vec<Rc<Model>>, Error> {
    let build = |(name, shape): (_, Shape)| {
        let built = networks::build(&shape, &mut Random(1));
        let ranges = ranges(&built, &mut Random(3));
        let mut random = Random(4);
        let golden = |_| {
            let row = random.row(shape.width);
            let logit = logit(&built, &row)?;
            Ok((row, logit))
        };
        let goldens = (0..GOLDENS).map(golden).collect::<Result<_, Error>>()?;
        Ok(Rc::new(Model { name, shape, built, ranges, goldens }))
    };
    networks::models().into_iter().map(build).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

impl Model {
    /// Multiplications and additions of one candidate with nothing shared and nothing padded.
    pub(crate) fn flops(&self) -> f64 {
        let network = &self.built.network;
        let of = |panels: &Panels| panels.inputs * panels.outputs;
        let cross: usize = network
            .cross
            .iter()
            .map(|layer| match layer {
                Cross::Full { weight, .. } => of(weight),
                Cross::LowRank { v, u, .. } => of(v) + of(u),
                Cross::Vector { weight, .. } => weight.len,
                Cross::Mixture { gate, v, c, u, .. } => of(gate) + of(v) + c.iter().map(of).sum::<usize>() + of(u),
            })
            .sum();
        let deep: usize = network.deep.iter().map(|layer| of(&layer.weight)).sum();
        2.0 * (cross + deep + network.trunk_cross() + network.trunk_deep()) as f64
    }

    /// Those of the deep layers behind a ReLU.
    pub(crate) fn flops_of_integers(&self) -> f64 {
        let behind = self.built.network.deep.iter().skip(1).map(|layer| layer.weight.inputs * layer.weight.outputs);
        2.0 * behind.sum::<usize>() as f64
    }

    /// The weights as f32, which holds each fp16 as it is, `[outputs, inputs]`: DIRECTORY/NAME.safetensors.
    pub(crate) fn write_tensors(&self, directory: &Path) -> Result<(), Error> {
        let (network, weights) = (&self.built.network, self.built.weights());
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let panels = |name: String, panels: &Panels| {
            let m = matrix(panels, weights);
            let values: Vec<f32> = m.data.iter().map(|&v| v as f32).collect();
            (name, vec![m.rows, m.cols], bytes(&values))
        };
        let params = |params: &Params| &weights.params[params.start..][..params.len];
        let vector = |name: String, p: &Params| (name, vec![p.len], bytes(params(p)));
        for (i, layer) in network.cross.iter().enumerate() {
            let bias = match layer {
                Cross::Full { weight, bias } => {
                    tensors.push(panels(format!("cross.{i}.weight"), weight));
                    bias
                }
                Cross::LowRank { v, u, bias } => {
                    tensors.push(panels(format!("cross.{i}.v"), v));
                    tensors.push(panels(format!("cross.{i}.u"), u));
                    bias
                }
                Cross::Vector { .. } | Cross::Mixture { .. } => {
                    return Err("no graph of this kind of cross layer".into());
                }
            };
            tensors.push(vector(format!("cross.{i}.bias"), bias));
        }
        for (i, Dense { weight, bias, .. }) in network.deep.iter().enumerate() {
            tensors.push(panels(format!("deep.{i}.weight"), weight));
            tensors.push(vector(format!("deep.{i}.bias"), bias));
        }
        let [head] = &network.heads[..] else { return Err("expected one head".into()) };
        // Without the padding between the trunk's parts.
        let all = params(&head.weight);
        let (cross, deep) = (network.trunk_cross(), network.trunk_deep());
        let weight = [&all[..cross], &all[padded(cross)..][..deep]].concat();
        tensors.push(("head.weight".into(), vec![1, weight.len()], bytes(&weight)));
        tensors.push(("head.bias".into(), vec![1], bytes(&[head.bias])));
        let views: Result<Vec<_>, _> = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>();
        let about = HashMap::from([("request".to_owned(), network.request_width.to_string())]);
        serialize_to_file(views?, Some(about), &directory.join(format!("{}.safetensors", self.name)))?;
        Ok(())
    }
}

/// One request.
pub(crate) struct Case {
    pub(crate) model: Rc<Model>,
    pub(crate) count: usize,
    /// `[count, width]`, the request's columns repeated in each row.
    pub(crate) rows: Vec<f32>,
    /// Of some rows the number and the logit.
    expected: Vec<(usize, f64)>,
}

impl Case {
    pub(crate) fn new(model: Rc<Model>, count: usize) -> Result<Rc<Self>, Error> {
        let mut random = Random(2);
        let Shape { width, request_width, .. } = model.shape;
        let request = random.row(request_width);
        let rows: Vec<f32> =
            (0..count).flat_map(|_| [request.clone(), random.row(width - request_width)].concat()).collect();
        let mut expected = Vec::new();
        for row in (0..count).step_by(count.div_ceil(COMPARED)) {
            expected.push((row, logit(&model.built, &rows[row * width..][..width])?));
        }
        Ok(Rc::new(Self { model, count, rows, expected }))
    }

    pub(crate) fn name(&self) -> String {
        format!("{} N={}", self.model.name, self.count)
    }

    /// DIRECTORY/MODEL.COUNT.rows.
    pub(crate) fn write_rows(&self, directory: &Path) -> Result<(), Error> {
        Ok(std::fs::write(directory.join(format!("{}.{}.rows", self.model.name, self.count)), bytes(&self.rows))?)
    }

    /// The largest difference from the reference; infinite when a logit is none or some are missing.
    pub(crate) fn difference(&self, logits: &[f32]) -> f64 {
        if logits.len() != self.count {
            return f64::INFINITY;
        }
        let differences = self.expected.iter().map(|&(row, logit)| (f64::from(logits[row]) - logit).abs());
        differences.fold(0.0, |most, d| if d.is_nan() { f64::INFINITY } else { most.max(d) })
    }
}
