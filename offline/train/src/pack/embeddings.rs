//! The contents of embedding tables and of the wide part.

use adclick::builder::artifact::model::spec::EmbeddingSpec;
use adclick::builder::schema::Embedding;
use adclick_data::schema_file::{EmbeddingFill, SchemaFile};
use anyhow::{Result, bail, ensure};

use super::tensors::NamedTensors;

/// The tensor names under which a table is looked for.
fn roles(name: &str) -> [String; 4] {
    [
        format!("single.{name}.weight"),
        format!("multi.{name}.weight"),
        format!("embeddings.{name}.weight"),
        format!("embedding.{name}.weight"),
    ]
}

/// Fills the tables of the schema.
pub(super) fn read(weights: &NamedTensors<'_>, file: &SchemaFile, heads: usize) -> Result<Vec<EmbeddingSpec>> {
    let wide_tables = file.schema.embeddings.iter().filter(|e| e.wide).count();
    let mut all = Vec::with_capacity(file.tables.len());
    for (embedding, table) in file.schema.embeddings.iter().zip(&file.tables) {
        let mut spec = EmbeddingSpec::default();
        match table {
            EmbeddingFill::Indexed => {}
            EmbeddingFill::Given(ids) => spec.vocabulary.clone_from(ids),
            EmbeddingFill::Fixed { ids, rows } => {
                spec.vocabulary.clone_from(ids);
                spec.rows.clone_from(rows);
            }
            EmbeddingFill::Built { .. } => bail!(
                "embedding `{}` has no index: packing needs one of the keys `count`, `buckets`, `vocabulary`, \
                 `vocabulary_file` (a vocabulary is built only by training)",
                embedding.name
            ),
        }
        if embedding.dim > 0 && !matches!(table, EmbeddingFill::Fixed { .. }) {
            let names = roles(&embedding.name);
            let Some(role) = names.iter().find(|r| weights.has(r)) else {
                bail!(
                    "embedding `{}`: none of {} is there: {}",
                    embedding.name,
                    names.join(", "),
                    weights.missing(&names[0])
                );
            };
            spec.rows = values(weights, role, embedding, embedding.dim as usize)?;
        }
        if embedding.wide {
            let own = format!("wide.{}.weight", embedding.name);
            let role = if weights.has(&own) || wide_tables > 1 { own } else { "wide.weight".to_owned() };
            spec.wide = values(weights, &role, embedding, heads)?;
        }
        all.push(spec);
    }
    Ok(all)
}

/// `[rows, columns]` of a table; one column may come as `[rows]` or `[1, rows]` as well.
fn values(weights: &NamedTensors<'_>, role: &str, embedding: &Embedding, columns: usize) -> Result<Vec<f32>> {
    let (shape, values) = weights.values(role)?;
    let rows = usize::try_from(embedding.rows())?;
    let flat = columns == 1 && (shape == [rows] || shape == [1, rows]);
    ensure!(
        flat || shape == [rows, columns],
        "tensor `{}`: embedding `{}` expects shape [{rows}, {columns}] ({}{}then {} rows), found {shape:?}",
        weights.name(role),
        embedding.name,
        if embedding.unknown_row { "the unknown row, " } else { "" },
        if embedding.missing_row { "the missing row, " } else { "" },
        embedding.index.count()
    );
    super::check::storable(weights.name(role), &shape, &values)?;
    Ok(values.into_iter().map(|v| v as f32).collect())
}
