//! How a model trained elsewhere comes in: a state dict and a schema become a [`ModelSpec`].
//!
//! Tensors are found by name and shape (`docs/pack.md` lists them), BatchNorm is folded in f64, and everything that
//! would not survive as fp16 is refused by name. The result lists what was assumed, and [`compare`] proves it by
//! outputs.

mod affine;
mod check;
pub mod compare;
mod cross;
mod difference;
mod embeddings;
mod evaluate;
pub mod expect;
pub mod goldens;
mod heads;
mod hints;
pub mod inputs;
mod kinds;
mod linear;
mod names;
mod numbers;
pub mod run;
mod sequential;
pub mod taken;
pub mod tensors;

use adclick::builder::Named;
use adclick::builder::artifact::model::spec::{CrossSpec, ModelSpec, NetworkSpec, Structure};
use adclick::builder::schema::{Kind, Schema};
use adclick_data::schema_file::{ModelOptions, SchemaFile};
use adclick_data::setting::{BadSetting, Setting, refuse, require};
use anyhow::{Result, bail, ensure};

use affine::AffineLayer;
use heads::{Head, Trunk};
use sequential::{Rules, Stack};
use tensors::NamedTensors;

/// Names of the deep part, and what each says about it.
const DEEP: [(&str, Option<Structure>); 6] = [
    ("dnn", None),
    ("deep", None),
    ("mlp", None),
    ("bottom", None),
    ("parallel_dnn", Some(Structure::Parallel)),
    ("stacked_dnn", Some(Structure::Stacked)),
];

/// The caller's choices for [`model`].
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// The share of negatives kept in training, when not all: `ln w` is folded into the pCTR head's bias.
    pub downsampling: Option<f64>,
    /// Whether unknown tensors are left out instead of refused.
    pub allow_unused: bool,
    /// Whether the packed model will be compared with outputs ([`compare`]). If so, missing details are assumed instead
    /// of asked for.
    pub proven: bool,
    /// The provenance document.
    pub provenance: String,
}

/// A packed model, and which tensors it is made of.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The model, without golden requests.
    pub spec: ModelSpec,
    /// The network before any weight is rounded.
    pub exact: NetworkSpec,
    /// What each layer was taken to be.
    pub taken: Vec<taken::TakenLayer>,
    /// Tensors that were left out.
    pub left_out: Vec<String>,
    /// What was recognised, one line each.
    pub notes: Vec<String>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

/// Turns a safetensors file into a model. Without a schema the model is taken to be over ready columns, and the schema
/// is derived from the weights: one vector named `x`.
///
/// # Errors
/// What is missing, unused, of another shape than expected, not finite or outside of fp16, by tensor name; what the format
/// cannot say; what nothing says.
pub fn model(weights: &[u8], schema: Option<&SchemaFile>, options: &PackOptions) -> Result<Packed> {
    let defaults = SchemaFile::dense(1).model;
    model_as(weights, schema, schema.map_or(&defaults, |s| &s.model), options)
}

/// The same under other options than the schema's.
fn model_as(
    weights: &[u8],
    schema: Option<&SchemaFile>,
    model: &ModelOptions,
    options: &PackOptions,
) -> Result<Packed> {
    let weights = NamedTensors::parse(weights, schema.map_or(&[], |s| &s.tensors))?;
    if let Some((name, what)) = weights.foreign().next().filter(|_| !options.allow_unused) {
        return Err(foreign(name, what));
    }
    let expanded = schema.map(|file| numbers::expand(&weights, file)).transpose()?.flatten();
    let schema = expanded.as_ref().or(schema);
    let (cross, mut taken) = cross::read(&weights, model)?;
    let NetworkParts { mut deep, structure, heads: mut found } = parts(&weights, model, &cross, options)?;
    let width = columns(&cross, &deep, &found)?;
    let mut notes = Vec::new();
    let derived;
    let file = match schema {
        Some(file) => file,
        None => {
            derived = SchemaFile::dense(u32::try_from(width)?);
            notes.push(format!("no schema given: derived one vector feature `x` of {width} columns from the weights"));
            &derived
        }
    };
    check_width(file, width)?;
    if !options.proven && !model.no_interactions && cross.0.is_empty() {
        hidden_interactions(&file.schema)?;
    }
    let linear = linear::read(&weights, &file.schema)?;
    let linear = linear.map(|term| term.add(structure, &cross.0, &mut deep, &mut found)).transpose()?;
    taken.append(&mut deep.taken);
    taken.extend(found.iter_mut().flat_map(|head| std::mem::take(&mut head.taken)));
    taken.extend(linear);
    if let Some(w) = options.downsampling {
        ensure!(w > 0.0 && w <= 1.0, "the downsampling rate is {w}; allowed: above 0 and at most 1");
        if let Some(output) = found[0].output() {
            output.spec.bias[0] += w.ln();
        }
    }
    let embeddings = embeddings::read(&weights, file, found.len())?;
    let left_out = left_out(&weights, options)?;
    if !left_out.is_empty() {
        notes.push(format!("left out {} unused tensors: {}", left_out.len(), left_out.join(", ")));
    }
    let mut warnings = check::network(&cross, &deep.layers, &found)?;
    for (embedding, spec) in file.schema.embeddings.iter().zip(&embeddings) {
        let rows: Vec<f64> = spec.rows.iter().map(|&v| f64::from(v)).collect();
        warnings.extend(check::vanishing(&format!("embedding {}", embedding.name), &rows));
    }
    let network = |dense: fn(&AffineLayer) -> adclick::builder::artifact::model::spec::DenseSpec| NetworkSpec {
        structure,
        cross: cross.0.clone(),
        deep: deep.layers.iter().map(dense).collect(),
        heads: found.iter().map(|head| head.spec(dense)).collect(),
    };
    let (exact, network) = (network(|layer| layer.spec.clone()), network(AffineLayer::settled));
    notes.insert(0, describe(&network, width));
    let spec = ModelSpec {
        schema: file.schema.clone(),
        enrichment: file.enrichment.clone(),
        network,
        embeddings,
        provenance: options.provenance.clone(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens: Vec::new(),
    };
    Ok(Packed { spec, exact, taken, left_out, notes, warnings })
}

/// The deep part and the heads.
struct NetworkParts {
    deep: Stack,
    structure: Structure,
    heads: Vec<Head>,
}

fn parts(
    weights: &NamedTensors<'_>,
    model: &ModelOptions,
    cross: &cross::Crosses,
    options: &PackOptions,
) -> Result<NetworkParts> {
    let present: Vec<_> = DEEP.into_iter().filter(|(p, _)| sequential::is_there(weights, p)).collect();
    let rules = Rules { options: model, proven: options.proven, ends_in_output: !heads::are_there(weights) };
    let (mut deep, named) = match present[..] {
        [] => (Stack::default(), None),
        [(prefix, structure)] => (sequential::read(weights, prefix, "deep", rules)?, structure),
        [.., (_, Some(_)), (_, Some(_))] => bail!(
            "the weights hold a deep part over the cross part (`stacked_dnn.`) and one beside it (`parallel_dnn.`), as \
             FuxiCTR's structure stacked_parallel has: the format has one deep part and cannot express two"
        ),
        _ => {
            let names: Vec<&str> = present.iter().map(|(prefix, _)| *prefix).collect();
            bail!("the weights hold several deep parts: `{}.`", names.join(".`, `"))
        }
    };
    let trunk = Trunk {
        rules,
        cross: cross.0.first().map_or(0, cross_width),
        structure: named,
        cross_first: weights.is_named("crossnet."),
    };
    let (structure, heads) = heads::read(weights, trunk, &mut deep)?;
    let (given, read) = (model.activation.len(), deep.taken.iter().filter(|t| t.part != "deep BatchNorm").count());
    // A list is for the deep layers; towers take its last entry.
    ensure!(
        given <= 1 || read == 0 || given == read || given == read + 1 && rules.ends_in_output,
        "[model] activation lists {given} activations, but the deep part has {read} layers"
    );
    Ok(NetworkParts { deep, structure, heads })
}

/// Interactions without weights leave no trace in a state dict: where a model could have them, the schema or a
/// comparison must rule them out.
fn hidden_interactions(schema: &Schema) -> Result<()> {
    let dims = schema.features.iter().filter_map(|feature| match feature.kind {
        Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. } => {
            Some((schema.embeddings[embedding as usize].dim, feature.name.as_str()))
        }
        Kind::Number { .. } | Kind::Vector { .. } => None,
    });
    let mut dims: Vec<(u32, &str)> = dims.filter(|(dim, _)| *dim > 1).collect();
    dims.sort_by_key(|(dim, _)| *dim);
    if let Some([(dim, a), (_, b)]) = dims.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        refuse!(
            [Goldens, Expect],
            "the tensors are those of a model without interactions between embeddings, and those of a DeepFM too: the \
             factorisation machine's term (and dot products like it) has no tensors, and the format cannot express it. \
             Features `{a}` and `{b}` both have embeddings of {dim} columns. If there is no such term, say \
             interactions = \"none\" in the schema, under [model]; or give golden inputs with expected outputs that prove it"
        );
    }
    Ok(())
}

fn foreign(name: &str, what: &str) -> anyhow::Error {
    let text = format!(
        "tensor `{name}` belongs to {what}, which the format cannot express; it can be left out only where golden inputs with \
         their expected outputs prove that the model is the same without it"
    );
    BadSetting::new(&[Setting::AllowUnused, Setting::Goldens, Setting::Expect], text).into()
}

/// The unknown tensors, if they may be left out.
fn left_out(weights: &NamedTensors<'_>, options: &PackOptions) -> Result<Vec<String>> {
    let unused = weights.unused();
    require!(
        unused.is_empty() || options.allow_unused,
        [AllowUnused],
        "{} tensors belong to no part of the model: {}; map them in the schema's [tensors], or leave them out",
        unused.len(),
        unused.join(", ")
    );
    if let Some((name, what)) = weights.foreign().find(|(name, _)| unused.contains(name)).filter(|_| !options.proven) {
        return Err(foreign(name, what));
    }
    Ok(unused.into_iter().map(str::to_owned).collect())
}

/// The columns that a cross layer reads.
fn cross_width(layer: &CrossSpec) -> usize {
    match layer {
        CrossSpec::Full { bias, .. }
        | CrossSpec::LowRank { bias, .. }
        | CrossSpec::Vector { bias, .. }
        | CrossSpec::Mixture { bias, .. } => bias.len(),
    }
}

/// The number of columns of x0. All parts that read it must agree.
fn columns(cross: &cross::Crosses, deep: &Stack, heads: &[Head]) -> Result<usize> {
    let from_cross = cross.0.first().map_or(0, cross_width);
    let first = deep.layers.first().or_else(|| heads.first().and_then(|head| head.layers.first()));
    let Some(first) = first else { return Ok(from_cross) };
    let reads = first.spec.weight.cols;
    if let (Some(origin), false) = (cross.1.first(), deep.layers.is_empty()) {
        ensure!(from_cross == reads, "`{origin}` reads {from_cross} columns, but `{}` reads {reads}", first.origin);
    }
    Ok(if cross.1.is_empty() { reads } else { from_cross })
}

fn check_width(file: &SchemaFile, width: usize) -> Result<()> {
    let described = file.schema.layout().width;
    if described == width {
        return Ok(());
    }
    let parts: Vec<String> =
        file.schema.features.iter().map(|f| format!("{} {}", f.name, f.width(&file.schema.embeddings))).collect();
    bail!("the schema describes {described} input columns ({}), but the weights read {width}", parts.join(", "))
}

fn describe(network: &NetworkSpec, width: usize) -> String {
    let form = network.cross.first().map_or("", cross::form);
    let cross = match network.cross.len() {
        0 => "no cross layers".to_owned(),
        count => format!("{count} {form} cross layers"),
    };
    let deep: Vec<String> = network.deep.iter().map(|l| l.weight.rows.to_string()).collect();
    let heads: Vec<&str> = network.heads.iter().map(|h| h.kind.name()).collect();
    format!(
        "{width} columns, {cross}, deep [{}], {}, heads {}",
        deep.join(", "),
        network.structure.name(),
        heads.join(" and ")
    )
}
