//! `[model]` and `[tensors]`: details that a state dict does not give.

use adclick::builder::artifact::model::spec::{Activation, HeadKind, Structure};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::values::typed;
use super::{CrossForm, Mapping, ModelOptions, NormOrder, OutputOrder};

/// Interactions that a schema may declare and that the format cannot express.
const INTERACTIONS: [(&str, &str); 6] = [
    ("fm", "a factorisation machine's term"),
    ("dot", "dot products between embeddings"),
    ("inner_product", "inner products between fields"),
    ("bilinear", "bilinear interactions"),
    ("cin", "a compressed interaction network"),
    ("attention", "attention"),
];

/// Matches a part of a tensor's name in a pattern: digits, or anything without a dot.
pub const PLACEHOLDERS: [&str; 2] = ["{i}", "{name}"];

/// Reads `[model]`.
pub(super) fn model(table: toml::Value) -> Result<ModelOptions> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum StructureName {
        Parallel,
        Stacked,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum HeadName {
        Ctr,
        Cvr,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Model {
        structure: Option<StructureName>,
        cross: Option<CrossForm>,
        activation: Option<toml::Value>,
        batchnorm: Option<NormOrder>,
        batchnorm_eps: Option<f64>,
        diag_scale: Option<f64>,
        output_order: Option<OutputOrder>,
        interactions: Option<String>,
        #[serde(default)]
        heads: Vec<HeadName>,
    }
    let model: Model = typed(table)?;
    let names: Vec<String> = match model.activation {
        None => Vec::new(),
        Some(toml::Value::Array(each)) => typed(toml::Value::Array(each)).context("key `activation`")?,
        Some(one) => vec![typed(one).context("key `activation`")?],
    };
    let activation = names.iter().map(|name| activation(name)).collect::<Result<_>>().context("key `activation`")?;
    let no_interactions =
        model.interactions.map(|name| interactions(&name)).transpose().context("key `interactions`")?;
    if let Some(eps) = model.batchnorm_eps {
        ensure!(eps.is_finite() && eps > 0.0, "key `batchnorm_eps` = {eps}; allowed: above 0");
    }
    if let Some(scale) = model.diag_scale {
        ensure!(scale.is_finite(), "key `diag_scale` = {scale} is not finite");
    }
    ensure!(model.heads.len() <= 2, "key `heads` names {} heads; allowed: one or two", model.heads.len());
    let heads: Vec<HeadKind> =
        model.heads.iter().map(|h| if let HeadName::Ctr = h { HeadKind::Ctr } else { HeadKind::Cvr }).collect();
    ensure!(heads.len() < 2 || heads[0] != heads[1], "key `heads` names one head twice");
    Ok(ModelOptions {
        structure: model.structure.map(|s| match s {
            StructureName::Parallel => Structure::Parallel,
            StructureName::Stacked => Structure::Stacked,
        }),
        cross: model.cross,
        activation,
        batchnorm: model.batchnorm,
        batchnorm_eps: model.batchnorm_eps,
        diag_scale: model.diag_scale,
        output_order: model.output_order,
        no_interactions: no_interactions.is_some(),
        heads,
    })
}

/// Activations that the format has; others are refused by name.
fn activation(name: &str) -> Result<Activation> {
    match name {
        "none" => Ok(Activation::None),
        "relu" => Ok(Activation::Relu),
        "tanh" => Ok(Activation::Tanh),
        other => bail!("the format has relu, tanh and none; {other} cannot be expressed"),
    }
}

/// `none` is the only value allowed.
fn interactions(name: &str) -> Result<()> {
    if name == "none" {
        return Ok(());
    }
    let what = INTERACTIONS.iter().find(|(known, _)| *known == name).map_or(name, |(_, what)| what);
    bail!("the format has cross layers and no other interactions; {what} cannot be expressed (allowed: \"none\")")
}

/// Reads `[tensors]`.
pub(super) fn mappings(table: toml::Value) -> Result<Vec<Mapping>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Long {
        name: String,
        #[serde(default)]
        transpose: bool,
    }
    let toml::Value::Table(table) = table else { bail!("is a {}, expected a table", table.type_str()) };
    let mut all = Vec::with_capacity(table.len());
    for (role, value) in table {
        let long = match value {
            toml::Value::String(name) => Long { name, transpose: false },
            other => typed(other).with_context(|| format!("key `{role}`"))?,
        };
        for placeholder in PLACEHOLDERS {
            let counts = [&role, &long.name].map(|name| name.matches(placeholder).count());
            ensure!(
                counts == [0, 0] || counts == [1, 1],
                "key `{role}` = `{}`: {placeholder} must stand once in both names, or in neither",
                long.name
            );
        }
        all.push(Mapping { role, name: long.name, transpose: long.transpose });
    }
    Ok(all)
}
