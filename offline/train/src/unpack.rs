//! Turns a model file back into the spec that it was written from: weights as the file holds them (rounded to fp16), columns
//! in declared order. For warm starts.

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::model::network::{Cross, Dense, LANES, Panels, Params, padded};
use adclick::builder::artifact::model::spec::{
    CrossSpec, DenseSpec, EmbeddingSpec, ExpertSpec, HeadSpec, Matrix, ModelSpec, NetworkSpec,
};
use adclick::builder::schema::Index;
use half::f16;

/// The spec of a model. `write` makes the same weights of it again.
#[must_use]
pub fn unpack(model: &Model) -> ModelSpec {
    let columns = model.layout().permutation();
    let same = |n: usize| (0..n).collect::<Vec<_>>();
    let network = model.network();
    let cross = network.cross.iter().map(|c| unpack_cross(model, c, &columns)).collect();
    let deep = network.deep.iter().enumerate().map(|(i, d)| match i {
        0 => dense(model, d, &columns),
        _ => dense(model, d, &same(d.weight.inputs)),
    });
    // The trunk is [x_L padded ; deep padded]; the spec's is without padding, x_L in declared order.
    let deep_start = network.trunk_width() - padded(network.trunk_deep());
    let trunk: Vec<usize> = columns[..network.trunk_cross()]
        .iter()
        .copied()
        .chain((0..network.trunk_deep()).map(|i| deep_start + i))
        .collect();
    let heads = network.heads.iter().map(|head| {
        let tower: Vec<_> = head
            .tower
            .iter()
            .enumerate()
            .map(|(i, d)| if i == 0 { dense(model, d, &trunk) } else { dense(model, d, &same(d.weight.inputs)) })
            .collect();
        let order = if tower.is_empty() { trunk.clone() } else { same(head.weight.len) };
        HeadSpec { kind: head.kind, weight: vector(model, head.weight, &order), bias: head.bias.into(), tower }
    });
    ModelSpec {
        schema: model.schema().clone(),
        enrichment: model.enrichment().clone(),
        network: NetworkSpec { structure: network.structure, cross, deep: deep.collect(), heads: heads.collect() },
        embeddings: (0..model.schema().embeddings.len() as u32).map(|e| table(model, e)).collect(),
        provenance: model.provenance().to_owned(),
        histograms: model.histograms().to_vec(),
        ranges: model.ranges().to_vec(),
        goldens: model.goldens().iter().map(|g| g.request.clone()).collect(),
    }
}

fn unpack_cross(model: &Model, cross: &Cross, x: &[usize]) -> CrossSpec {
    let range = |n: usize, first: usize| (first..first + n).collect::<Vec<_>>();
    match cross {
        Cross::Full { weight, bias } => {
            CrossSpec::Full { weight: matrix(model, *weight, x, x), bias: vector(model, *bias, x) }
        }
        Cross::LowRank { v, u, bias } => {
            let rank = range(v.outputs, 0);
            CrossSpec::LowRank {
                v: matrix(model, *v, &rank, x),
                u: matrix(model, *u, x, &rank),
                bias: vector(model, *bias, x),
            }
        }
        Cross::Vector { weight, bias } => {
            CrossSpec::Vector { weight: vector(model, *weight, x), bias: vector(model, *bias, x) }
        }
        Cross::Mixture { experts, rank, gate, v, c, u, bias } => CrossSpec::Mixture {
            experts: (0..*experts)
                .map(|e| {
                    let (own, inner) = (range(*rank, e * rank), range(*rank, 0));
                    ExpertSpec {
                        v: matrix(model, *v, &own, x),
                        c: matrix(model, c[e], &inner, &inner),
                        u: matrix(model, *u, x, &own),
                    }
                })
                .collect(),
            gate: matrix(model, *gate, &range(*experts, 0), x),
            bias: vector(model, *bias, x),
        },
    }
}

fn dense(model: &Model, layer: &Dense, inputs: &[usize]) -> DenseSpec {
    let outputs: Vec<usize> = (0..layer.weight.outputs).collect();
    DenseSpec {
        weight: matrix(model, layer.weight, &outputs, inputs),
        bias: vector(model, layer.bias, &outputs),
        activation: layer.activation,
    }
}

/// The matrix of the given outputs and inputs, in that order.
fn matrix(model: &Model, panels: Panels, outputs: &[usize], inputs: &[usize]) -> Matrix {
    let bits = model.matrix(panels);
    let at = |o: usize, k: usize| f16::from_bits(bits[(o / LANES * panels.inputs + k) * LANES + o % LANES]).to_f64();
    let data = outputs.iter().flat_map(|&o| inputs.iter().map(move |&k| at(o, k))).collect();
    Matrix::new(outputs.len(), inputs.len(), data)
}

fn vector(model: &Model, params: Params, order: &[usize]) -> Vec<f64> {
    let values = model.vector(params);
    order.iter().map(|&i| values[i].into()).collect()
}

fn table(model: &Model, e: u32) -> EmbeddingSpec {
    let embedding = &model.schema().embeddings[e as usize];
    let rows = 0..embedding.rows() as u32;
    let widen = |bits: &[u16]| bits.iter().map(|&b| f16::from_bits(b).to_f32()).collect::<Vec<_>>();
    EmbeddingSpec {
        vocabulary: match embedding.index {
            Index::Vocabulary { .. } => model.vocabulary(e),
            Index::Identity { .. } | Index::Hashed { .. } => Vec::new(),
        },
        wide: rows.clone().flat_map(|row| widen(model.wide_row(e, row))).collect(),
        rows: rows.flat_map(|row| widen(model.embedding_row(e, row))).collect(),
    }
}
