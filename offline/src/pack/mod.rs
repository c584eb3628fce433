//! How a model trained elsewhere comes in: a state dict and a schema become a [`ModelSpec`].
//!
//! Tensors are found by name and shape (`docs/pack.md` lists them), BatchNorm is folded in f64, and everything that
//! would not survive as fp16 is refused by name.

mod check;
mod cross;
mod embeddings;
pub mod goldens;
mod heads;
pub mod inputs;
pub mod run;
mod sequential;
pub mod tensors;

use adclick::artifact::model::spec::{CrossSpec, ModelSpec, NetworkSpec};
use anyhow::{Result, bail, ensure};

use crate::schema_file::SchemaFile;
use sequential::Stack;
use tensors::Weights;

/// The names that the deep part goes by.
const DEEP: [&str; 4] = ["dnn", "deep", "mlp", "bottom"];

/// What the caller of [`model`] decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The share of negatives kept in training, when not all: `ln w` is folded into the pCTR head's bias.
    pub downsampling: Option<f64>,
    /// Tensors that belong to nothing are left out instead of refused.
    pub allow_unused: bool,
    /// The provenance document.
    pub provenance: String,
}

/// A packed model and what there is to say about it.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The model, without golden requests.
    pub spec: ModelSpec,
    /// What was recognised, one line each.
    pub notes: Vec<String>,
    /// What the user should look at.
    pub warnings: Vec<String>,
}

/// Turns a safetensors file into a model. Without a schema the model is taken to be over ready columns, and the schema
/// is derived from the weights: one vector named `x`.
///
/// # Errors
/// What is missing, unused, of another shape than expected, not finite or outside of fp16, by tensor name.
pub fn model(weights: &[u8], schema: Option<&SchemaFile>, options: &Options) -> Result<Packed> {
    let weights = Weights::parse(weights, schema.map_or(&[], |s| &s.tensors))?;
    let defaults = SchemaFile::dense(1).model;
    let model = schema.map_or(&defaults, |s| &s.model);
    let (cross, cross_origins) = cross::read(&weights, model)?;
    let present: Vec<&str> = DEEP.into_iter().filter(|p| weights.has_any(&format!("{p}."))).collect();
    let mut deep = match present[..] {
        [] => Stack::empty(),
        [prefix] => sequential::read(&weights, prefix, model)?,
        _ => bail!("the weights hold several deep parts: `{}.`", present.join(".`, `")),
    };
    let cross_columns = cross.first().map_or(0, cross_width);
    let mut heads = heads::read(&weights, model, cross_columns, &mut deep)?;
    if let Some(w) = options.downsampling {
        ensure!(w > 0.0 && w <= 1.0, "the downsampling rate is {w}; allowed: above 0 and at most 1");
        heads.heads[0].bias += w.ln();
    }
    let width = columns(&cross, &cross_origins, &deep, &heads)?;
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
    let embeddings = embeddings::read(&weights, file, heads.heads.len())?;
    let unused = weights.unused();
    if !unused.is_empty() {
        let list = unused.join(", ");
        ensure!(
            options.allow_unused,
            "{} tensors belong to no part of the model: {list}; map them in the schema's [tensors], or leave them out \
             with --allow-unused",
            unused.len()
        );
        notes.push(format!("left out {} unused tensors: {list}", unused.len()));
    }
    let network = NetworkSpec { structure: heads.structure, cross, deep: deep.layers, heads: heads.heads.clone() };
    let origins = check::Origins { cross: &cross_origins, deep: &deep.origins, heads: &heads };
    let mut warnings = check::network(&network, &origins)?;
    for (embedding, spec) in file.schema.embeddings.iter().zip(&embeddings) {
        let rows: Vec<f64> = spec.rows.iter().map(|&v| f64::from(v)).collect();
        warnings.extend(check::vanishing(&format!("embedding {}", embedding.name), &rows));
    }
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
    Ok(Packed { spec, notes, warnings })
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

/// The columns of x0, which every part that reads it must agree on.
fn columns(cross: &[CrossSpec], cross_origins: &[String], deep: &Stack, heads: &heads::Heads) -> Result<usize> {
    let from_cross = cross.first().map(|c| (cross_width(c), cross_origins[0].as_str()));
    let from_deep = deep.layers.first().map(|l| (l.weight.cols, deep.origins[0].as_str()));
    let head = &heads.heads[0];
    let from_head = || {
        let width = head.tower.first().map_or(head.weight.len(), |l| l.weight.cols);
        (width, heads.origins[0][0].as_str())
    };
    if let (Some((a, first)), Some((b, second))) = (from_cross, from_deep) {
        ensure!(a == b, "`{first}` reads {a} columns, but `{second}` reads {b}");
    }
    Ok(from_cross.or(from_deep).unwrap_or_else(from_head).0)
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
    let form = match network.cross.first() {
        None => "",
        Some(CrossSpec::Full { .. }) => "full",
        Some(CrossSpec::LowRank { .. }) => "low-rank",
        Some(CrossSpec::Vector { .. }) => "vector (v1)",
        Some(CrossSpec::Mixture { .. }) => "mixture",
    };
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
