//! A network's numbers for the peers, and how much there is to compute.

use std::collections::HashMap;
use std::path::Path;

use adclick::builder::artifact::model::network::{Cross, Dense, Network, Panels, Params, padded};
use adclick::builder::infer::Weights;
use adclick::builder::infer::reference::matrix;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize_to_file};

use crate::Error;

pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Multiplications and additions of one candidate with nothing shared and nothing padded.
pub(crate) fn flops(network: &Network) -> f64 {
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
pub(crate) fn flops_of_integers(network: &Network) -> f64 {
    let behind = network.deep.iter().skip(1).map(|layer| layer.weight.inputs * layer.weight.outputs);
    2.0 * behind.sum::<usize>() as f64
}

/// The weights as f32, which holds each fp16 as it is, `[outputs, inputs]`.
pub(crate) fn write(path: &Path, network: &Network, weights: Weights<'_>) -> Result<(), Error> {
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
    serialize_to_file(views?, Some(about), path)?;
    Ok(())
}
