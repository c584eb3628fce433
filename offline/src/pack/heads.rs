//! Output layers and towers, and what they read.

use adclick::artifact::model::spec::{Activation, DenseSpec, HeadKind, HeadSpec, Structure};
use anyhow::{Result, anyhow, bail, ensure};

use super::sequential::{self, Affine, Stack};
use super::tensors::Weights;
use crate::schema_file::ModelOptions;

/// Towers of a multi-task model.
const TOWERS: [(HeadKind, &str); 2] = [(HeadKind::Ctr, "ctr_tower"), (HeadKind::Cvr, "cvr_tower")];

/// The heads, what their trunk is, and the tensors that they are made of.
pub(super) struct Heads {
    pub(super) structure: Structure,
    pub(super) heads: Vec<HeadSpec>,
    /// For each head: its tower's layers, then its output.
    pub(super) origins: Vec<Vec<String>>,
}

/// Reads the heads over a cross part of `cross` columns (0 = no cross layers) and a deep stack. When there is no other
/// output layer, the deep stack's last layer is taken for it.
pub(super) fn read(weights: &Weights<'_>, options: &ModelOptions, cross: usize, deep: &mut Stack) -> Result<Heads> {
    let towers: Vec<(HeadKind, &str)> = TOWERS.into_iter().filter(|(_, p)| weights.has_any(&format!("{p}."))).collect();
    let output = weights.has("output_layer.weight");
    // Each head: its stack of layers, the last of which is the output.
    let mut raw: Vec<(HeadKind, Vec<DenseSpec>, Vec<String>)> = Vec::new();
    if !towers.is_empty() {
        ensure!(!output, "the weights hold both `output_layer.weight` and towers (`{}.`)", towers[0].1);
        for (kind, prefix) in towers {
            let mut stack = sequential::read(weights, prefix, options)?;
            let Some((mut last, origin)) = stack.split_output() else {
                bail!("the last layer of `{prefix}` must have one output and nothing behind it");
            };
            last.activation = Activation::None;
            stack.layers.push(last);
            stack.origins.push(origin);
            raw.push((kind, stack.layers, stack.origins));
        }
    } else if output {
        let kinds = if options.heads.is_empty() { vec![HeadKind::Ctr] } else { options.heads.clone() };
        let name = weights.name("output_layer.weight");
        let matrix = weights.matrix("output_layer.weight", None, None)?;
        ensure!(
            matrix.rows == kinds.len(),
            "tensor `{name}` has {} outputs, but the model has {}: say what they predict with [model] heads = [\"ctr\", \"cvr\"]",
            matrix.rows,
            if kinds.len() == 1 { "one head".to_owned() } else { format!("{} heads", kinds.len()) }
        );
        let bias = weights.vector_or_zeros("output_layer.bias", matrix.rows)?;
        for (i, kind) in kinds.into_iter().enumerate() {
            let row = matrix.data[i * matrix.cols..][..matrix.cols].to_vec();
            let weight = adclick::artifact::model::spec::Matrix::new(1, matrix.cols, row);
            let layer = DenseSpec { weight, bias: vec![bias[i]], activation: Activation::None };
            raw.push((kind, vec![layer], vec![name.to_owned()]));
        }
    } else {
        let (mut last, origin) = deep.split_output().ok_or_else(|| weights.missing("output_layer.weight"))?;
        last.activation = Activation::None;
        raw.push((HeadKind::Ctr, vec![last], vec![origin]));
    }
    raw.sort_by_key(|(kind, ..)| *kind as u8);

    let deep_out = deep.layers.last().map_or(0, |l| l.weight.rows);
    let inputs = raw[0].1[0].weight.cols;
    let structure = structure(options, cross, deep_out, inputs).map_err(|e| anyhow!("`{}`: {e}", raw[0].2[0]))?;
    for (_, layers, origins) in &raw {
        ensure!(
            layers[0].weight.cols == inputs,
            "`{}` reads {} columns, but `{}` reads {inputs}",
            origins[0],
            layers[0].weight.cols,
            raw[0].2[0]
        );
    }
    if let Some(after) = deep.after.take() {
        // The deep columns are the last ones of the trunk.
        let mut affine = Affine::identity(inputs);
        let first = inputs - deep_out;
        affine.scale[first..].copy_from_slice(&after.scale);
        affine.shift[first..].copy_from_slice(&after.shift);
        for (_, layers, origins) in &mut raw {
            let layer = &mut layers[0];
            affine.fold_into(&mut layer.weight, &mut layer.bias);
            origins[0] += " with the BatchNorm before it";
        }
    }
    let mut heads = Vec::new();
    let mut origins = Vec::new();
    for (kind, mut tower, origin) in raw {
        if let Some(last) = tower.pop() {
            heads.push(HeadSpec { kind, tower, weight: last.weight.data, bias: last.bias[0] });
            origins.push(origin);
        }
    }
    // A bias of its own beside the wide part's weights.
    if weights.has("bias") {
        let extra = weights.vector("bias", heads.len())?;
        heads.iter_mut().zip(extra).for_each(|(h, b)| h.bias += b);
    }
    Ok(Heads { structure, heads, origins })
}

/// The structure that the first reading layer's width tells, checked against what the schema says.
fn structure(options: &ModelOptions, cross: usize, deep: usize, inputs: usize) -> Result<Structure> {
    let told = options.structure;
    if cross == 0 || deep == 0 {
        // Without a deep part x_L (or x0, whose width the schema's check covers), without a cross part the deep one.
        let trunk = if deep > 0 { deep } else { cross };
        ensure!(trunk == 0 || inputs == trunk, "expected {trunk} input columns, found {inputs}");
        return Ok(told.unwrap_or(Structure::Parallel));
    }
    let found = match inputs {
        n if n == cross + deep => Structure::Parallel,
        n if n == deep => Structure::Stacked,
        _ => bail!(
            "expected {} input columns (cross {cross} and deep {deep}, parallel) or {deep} (stacked), found {inputs}",
            cross + deep
        ),
    };
    if let Some(told) = told {
        ensure!(told == found, "[model] structure = {told:?}, but {inputs} input columns mean {found:?}");
    }
    Ok(found)
}
