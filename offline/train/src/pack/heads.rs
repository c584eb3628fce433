//! Output layers and towers, and what they read.

use adclick::builder::Named;
use adclick::builder::artifact::model::spec::{Activation, DenseSpec, HeadKind, HeadSpec, Matrix, Structure};
use adclick_data::schema_file::{ModelOptions, OutputOrder};
use anyhow::{Result, anyhow, bail, ensure};

use super::affine::AffineLayer;
use super::sequential::{self, Rules, Stack};
use super::taken::{Fact, KnownBy, TakenLayer as Taken};
use super::tensors::NamedTensors;

/// Towers of a multi-task model.
const TOWERS: [(HeadKind, &str); 2] = [(HeadKind::Ctr, "ctr_tower"), (HeadKind::Cvr, "cvr_tower")];

/// What reading the heads needs besides the weights.
#[derive(Clone, Copy)]
pub(super) struct Trunk<'a> {
    pub(super) rules: Rules<'a>,
    /// Columns of the cross part, 0 = no cross layers.
    pub(super) cross: usize,
    /// What the name of the deep part says about the model.
    pub(super) structure: Option<Structure>,
    /// Whether names say that the output layer reads the cross columns first.
    pub(super) cross_first: bool,
}

/// One head: its tower's layers, the last of which is the output.
pub(super) struct Head {
    pub(super) kind: HeadKind,
    pub(super) layers: Vec<AffineLayer>,
    pub(super) taken: Vec<Taken>,
}

impl Head {
    /// The head as the model file describes it. `dense` gives each layer's final form.
    pub(super) fn spec(&self, dense: impl Fn(&AffineLayer) -> DenseSpec) -> HeadSpec {
        let mut tower: Vec<DenseSpec> = self.layers.iter().map(dense).collect();
        // A head has at least an output layer.
        let last = tower.pop().unwrap_or(DenseSpec {
            weight: Matrix::default(),
            bias: vec![0.0],
            activation: Activation::None,
        });
        HeadSpec { kind: self.kind, tower, weight: last.weight.data, bias: last.bias[0] }
    }

    /// Its output layer.
    pub(super) fn output(&mut self) -> Option<&mut AffineLayer> {
        self.layers.last_mut()
    }
}

/// Whether something other than the deep part's last layer is the output.
pub(super) fn are_there(weights: &NamedTensors<'_>) -> bool {
    weights.has("output_layer.weight") || TOWERS.iter().any(|(_, p)| weights.has_any(&format!("{p}.")))
}

/// Reads the heads over a cross part and a deep stack, and finds what the deep part reads. Without another output
/// layer, the last layer of the deep stack is the output.
pub(super) fn read(weights: &NamedTensors<'_>, trunk: Trunk<'_>, deep: &mut Stack) -> Result<(Structure, Vec<Head>)> {
    let options = trunk.rules.options;
    let towers: Vec<(HeadKind, &str)> = TOWERS.into_iter().filter(|(_, p)| weights.has_any(&format!("{p}."))).collect();
    let mut heads = Vec::new();
    if !towers.is_empty() {
        ensure!(
            !weights.has("output_layer.weight"),
            "the weights hold both `output_layer.weight` and towers (`{}.`)",
            towers[0].1
        );
        for (kind, prefix) in towers {
            let rules = Rules { ends_in_output: true, ..trunk.rules };
            let mut stack = sequential::read(weights, prefix, &format!("{} tower", kind.name()), rules)?;
            let Some((last, mut taken)) = stack.split_output() else {
                bail!("the last layer of `{prefix}` must have one output and nothing behind it");
            };
            taken.part = format!("{} output", kind.name());
            stack.layers.push(last);
            stack.taken.push(taken);
            heads.push(Head { kind, layers: stack.layers, taken: stack.taken });
        }
    } else if weights.has("output_layer.weight") {
        heads = outputs(weights, options)?;
    } else {
        let (last, mut taken) = deep.split_output().ok_or_else(|| weights.missing("output_layer.weight"))?;
        taken.part = format!("{} output", HeadKind::Ctr.name());
        heads.push(Head { kind: HeadKind::Ctr, layers: vec![last], taken: vec![taken] });
    }
    heads.sort_by_key(|head| head.kind as u8);
    let inputs = heads[0].layers[0].spec.weight.cols;
    let (structure, from) =
        structure(trunk, deep.outputs(), inputs).map_err(|e| anyhow!("`{}`: {e}", heads[0].layers[0].origin))?;
    for head in &heads {
        let first = &head.layers[0];
        ensure!(
            first.spec.weight.cols == inputs,
            "`{}` reads {} columns, but `{}` reads {inputs}",
            first.origin,
            first.spec.weight.cols,
            heads[0].layers[0].origin
        );
    }
    order(&mut heads, trunk, structure, deep.outputs(), from)?;
    if let Some(after) = deep.after.take() {
        // The deep columns are the last ones of the trunk.
        let affine = after.behind(inputs - deep.outputs());
        for head in &mut heads {
            affine.fold_into(&mut head.layers[0]);
            head.layers[0].origin += " with the BatchNorm before it";
        }
    }
    // The wide part's own bias.
    if weights.has("bias") {
        let extra = weights.vector("bias", heads.len())?;
        let outputs = heads.iter_mut().filter_map(Head::output);
        outputs.zip(extra).for_each(|(output, b)| output.spec.bias[0] += b);
    }
    Ok((structure, heads))
}

/// The rows of an output layer.
fn outputs(weights: &NamedTensors<'_>, options: &ModelOptions) -> Result<Vec<Head>> {
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
    let head = |(i, kind): (usize, HeadKind)| {
        let weight = Matrix::new(1, matrix.cols, matrix.data[i * matrix.cols..][..matrix.cols].to_vec());
        let spec = DenseSpec { weight, bias: vec![bias[i]], activation: Activation::None };
        let taken = Taken {
            part: format!("{} output", kind.name()),
            tensors: name.to_owned(),
            shape: vec![1, matrix.cols],
            facts: Vec::new(),
        };
        Head {
            kind,
            layers: vec![AffineLayer { spec, origin: name.to_owned(), centres: Vec::new() }],
            taken: vec![taken],
        }
    };
    Ok(kinds.into_iter().enumerate().map(head).collect())
}

/// Brings the columns that the heads read into the order [cross; deep], and records how their own order is known.
fn order(heads: &mut [Head], trunk: Trunk<'_>, structure: Structure, deep: usize, from: KnownBy) -> Result<()> {
    let both = structure == Structure::Parallel && trunk.cross > 0 && deep > 0;
    let told = trunk.rules.options.output_order;
    ensure!(
        told.is_none() || both,
        "[model] output_order is for an output layer that reads cross and deep columns side by side; this one does not"
    );
    let order = told.unwrap_or(OutputOrder::CrossDeep);
    for head in heads {
        let Some(taken) = head.taken.first_mut() else { continue };
        if trunk.cross > 0 && deep > 0 {
            taken.facts.push(Fact::new("structure", structure.name(), from, ""));
        }
        if !both {
            continue;
        }
        let (known, why) = match (told, trunk.cross_first) {
            (Some(_), _) => (KnownBy::Schema, ""),
            (None, true) => (KnownBy::Names, "as the library has it"),
            (None, false) => (KnownBy::Assumed, ""),
        };
        let is = if order == OutputOrder::CrossDeep { "[cross; deep]" } else { "[deep; cross]" };
        taken.facts.push(Fact::new("order", is, known, why));
        if order == OutputOrder::DeepCross {
            let weight = &mut head.layers[0].spec.weight;
            weight.data.chunks_mut(weight.cols).for_each(|row| row.rotate_left(deep));
        }
    }
    Ok(())
}

/// The structure, found from the width of the first layer that reads it and checked against the schema and the names.
fn structure(trunk: Trunk<'_>, deep: usize, inputs: usize) -> Result<(Structure, KnownBy)> {
    let (told, cross) = (trunk.rules.options.structure, trunk.cross);
    let from = if told.is_some() { KnownBy::Schema } else { KnownBy::Shapes };
    if cross == 0 || deep == 0 {
        // Without a deep part it is x_L (or x0, whose width the schema check covers); without a cross part it is the
        // deep part.
        let trunk = if deep > 0 { deep } else { cross };
        ensure!(trunk == 0 || inputs == trunk, "expected {trunk} input columns, found {inputs}");
        return Ok((told.unwrap_or(Structure::Parallel), from));
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
    if let Some(named) = trunk.structure {
        ensure!(named == found, "its name says {named:?}, but {inputs} input columns mean {found:?}");
    }
    Ok((found, from))
}
