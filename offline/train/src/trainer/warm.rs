//! Continues from an earlier model: its rows and transforms stay, its vocabularies grow.

use std::collections::{HashMap, HashSet};

use adclick::builder::artifact::model::spec::{EmbeddingSpec, ModelSpec};
use adclick::builder::schema::{Embedding, Feature, Index, Kind};
use anyhow::{Result, ensure};

use super::build::BuiltSchema;
use super::tables::EmbeddingTable;

/// Gives a freshly built schema the earlier model's contents, with new ids at the end of the vocabularies.
pub(super) fn inherit(built: &mut BuiltSchema, parent: &ModelSpec) -> Result<()> {
    let name = |f: &Feature| (f.name.clone(), f.input.clone(), f.source, std::mem::discriminant(&f.kind));
    let describe = |features: &[Feature]| features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        built.schema.features.iter().map(name).eq(parent.schema.features.iter().map(name)),
        "the earlier model has other features ({}) than the rows ({}): a warm start needs the same ones",
        describe(&parent.schema.features),
        describe(&built.schema.features)
    );
    let fresh = std::mem::replace(&mut built.schema, parent.schema.clone());
    let fresh_ids = std::mem::take(&mut built.vocabularies);
    for (before, spec) in built.schema.embeddings.iter_mut().zip(&parent.embeddings) {
        let mut ids = spec.vocabulary.clone();
        if let Index::Vocabulary { count } = &mut before.index {
            let known: HashSet<u64> = ids.iter().copied().collect();
            let at = fresh.embeddings.iter().position(|e| e.name == before.name);
            ids.extend(at.into_iter().flat_map(|at| &fresh_ids[at]).filter(|id| !known.contains(id)));
            *count = ids.len() as u32;
        }
        built.vocabularies.push(ids);
    }
    // Packing the earlier model checked its shared tables; the features must agree about them too.
    for feature in &built.schema.features {
        if let Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. } = &feature.kind {
            ensure!((*embedding as usize) < built.schema.embeddings.len(), "feature `{}` has no table", feature.name);
        }
    }
    built.schema.validate()?;
    Ok(())
}

/// The rows and wide weights of a table that may have grown. New ids start from the row for unknown ids, which served
/// them so far, or from the fresh table's own start where there is none.
pub(super) fn grow(
    fresh: &EmbeddingTable,
    embedding: &Embedding,
    ids: &[u64],
    before: &Embedding,
    spec: &EmbeddingSpec,
    heads: usize,
) -> (Vec<f32>, Vec<f32>) {
    let dim = embedding.dim as usize;
    let wide_dim = if embedding.wide { heads } else { 0 };
    let old: HashMap<u64, usize> =
        spec.vocabulary.iter().enumerate().map(|(i, &id)| (id, i + before.first_row() as usize)).collect();
    let (mut rows, mut wide) = (fresh.rows(false), fresh.wide(false));
    let total = embedding.rows() as usize;
    for row in 0..total {
        let from = match ids.get(row.wrapping_sub(embedding.first_row() as usize)) {
            Some(id) => old.get(id).copied().or(before.unknown().map(|r| r as usize)),
            None => Some(row),
        };
        if let Some(from) = from {
            rows[row * dim..][..dim].copy_from_slice(&spec.rows[from * dim..][..dim]);
            wide[row * wide_dim..][..wide_dim].copy_from_slice(&spec.wide[from * wide_dim..][..wide_dim]);
        }
    }
    (rows, wide)
}
