//! `[model]` and `[tensors]`: what a state dict does not say by itself.

use adclick::artifact::model::spec::{Activation, HeadKind, Structure};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::build::typed;
use super::{CrossForm, Mapping, ModelOptions, NormOrder};

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
    enum ActivationName {
        None,
        Relu,
        Tanh,
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
        #[serde(default)]
        diag_scale: f64,
        #[serde(default)]
        heads: Vec<HeadName>,
    }
    let model: Model = typed(table)?;
    let activation: Vec<ActivationName> = match model.activation {
        None => Vec::new(),
        Some(toml::Value::Array(each)) => typed(toml::Value::Array(each)).context("key `activation`")?,
        Some(one) => vec![typed(one).context("key `activation`")?],
    };
    if let Some(eps) = model.batchnorm_eps {
        ensure!(eps.is_finite() && eps > 0.0, "key `batchnorm_eps` = {eps}; allowed: above 0");
    }
    ensure!(model.diag_scale.is_finite(), "key `diag_scale` = {} is not finite", model.diag_scale);
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
        activation: activation
            .into_iter()
            .map(|a| match a {
                ActivationName::None => Activation::None,
                ActivationName::Relu => Activation::Relu,
                ActivationName::Tanh => Activation::Tanh,
            })
            .collect(),
        batchnorm: model.batchnorm,
        batchnorm_eps: model.batchnorm_eps,
        diag_scale: model.diag_scale,
        heads,
    })
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
        ensure!(
            role.matches("{i}").count() == long.name.matches("{i}").count() && role.matches("{i}").count() <= 1,
            "key `{role}` = `{}`: {{i}} must stand once in both names, or in neither",
            long.name
        );
        all.push(Mapping { role, name: long.name, transpose: long.transpose });
    }
    Ok(all)
}
