//! Numbers that a model turns into embeddings: a column for each weight, as FuxiCTR has it.

use adclick::builder::schema::Kind;
use adclick_data::schema_file::SchemaFile;
use anyhow::{Result, ensure};

use super::tensors::NamedTensors;

/// The schema in which each number with an embedding `[dim, 1]` becomes `dim` numbers: the same input, times one of the
/// weights. `None` when the weights hold no such embedding.
pub(super) fn expand(weights: &NamedTensors<'_>, file: &SchemaFile) -> Result<Option<SchemaFile>> {
    let role = |i: usize| {
        let feature = &file.schema.features[i];
        let role = format!("embeddings.{}.weight", feature.name);
        let is = matches!(feature.kind, Kind::Number { .. }) && matches!(weights.shape(&role), Some([_, 1]));
        is.then_some(role)
    };
    let count = file.schema.features.len();
    if (0..count).all(|i| role(i).is_none()) {
        return Ok(None);
    }
    let mut all = file.clone();
    (all.schema.features, all.columns, all.enrichment.bindings) = Default::default();
    for i in 0..count {
        let feature = &file.schema.features[i];
        let bindings = || file.enrichment.bindings.iter().filter(|b| b.feature as usize == i);
        let mut push = |feature| {
            let at = all.schema.features.len() as u32;
            all.schema.features.push(feature);
            all.columns.push(file.columns[i].clone());
            all.enrichment.bindings.extend(bindings().cloned().map(|mut b| {
                b.feature = at;
                b
            }));
        };
        let Some(role) = role(i) else {
            push(feature.clone());
            continue;
        };
        let name = weights.name(&role).to_owned();
        ensure!(
            !weights.has(&format!("wide.{}.weight", feature.name)),
            "feature `{}`: a number with an embedding (`{name}`) and a wide weight beside it cannot be packed",
            feature.name
        );
        for (j, weight) in weights.values(&role)?.1.into_iter().enumerate() {
            let mut one = feature.clone();
            if j > 0 {
                one.name = format!("{}[{j}]", feature.name);
            }
            if let Kind::Number { transform, .. } = &mut one.kind {
                let scale = (f64::from(transform.scale) / weight) as f32;
                // A weight of 0, or close to it, makes a column of zeros.
                transform.scale = if scale.is_finite() { scale } else { f32::MAX };
            }
            push(one);
        }
    }
    all.schema.validate()?;
    all.enrichment.validate(&all.schema)?;
    Ok(Some(all))
}
