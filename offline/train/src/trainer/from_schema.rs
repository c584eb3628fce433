//! Turns a schema file into features to train.

use adclick::builder::schema::{Embedding, Feature, Index, Kind};
use adclick_data::schema_file::{EmbeddingFill, SchemaFile};

use super::blueprint::{Blueprint, FeaturePlan, FeatureRule, IndexRule, TableRule};

impl Blueprint {
    /// The features of a schema file. A number whose transform gives neither mean nor scale is standardised by the
    /// training rows. A vocabulary that the file leaves open is collected from them.
    #[must_use]
    pub fn given(file: &SchemaFile) -> Self {
        let features = file.schema.features.iter().map(|feature| FeaturePlan {
            name: feature.name.clone(),
            input: feature.input.clone(),
            source: feature.source,
            plan: feature_plan(feature),
            position: feature.position,
        });
        let mut blueprint = Self { features: features.collect(), tables: tables(file), weighs: true, cut: 0 };
        blueprint.cut_numbers();
        blueprint
    }
}

fn feature_plan(feature: &Feature) -> FeatureRule {
    match &feature.kind {
        Kind::Number { transform, default } => FeatureRule::Number { transform: *transform, default: Some(*default) },
        Kind::Category { embedding, boundaries, .. } if !boundaries.is_empty() => {
            FeatureRule::Buckets { table: *embedding as usize, boundaries: boundaries.clone() }
        }
        Kind::Category { embedding, default, .. } => {
            FeatureRule::Category { table: *embedding as usize, default: *default }
        }
        Kind::MultiCategory { embedding, pooling } => {
            FeatureRule::Multi { table: *embedding as usize, pooling: *pooling }
        }
        Kind::Vector { dim } => FeatureRule::Vector { dim: *dim },
    }
}

fn tables(file: &SchemaFile) -> Vec<TableRule> {
    let plan = |((embedding, table), wide): ((&Embedding, &EmbeddingFill), &Option<bool>)| {
        let (index, fixed) = match (table, embedding.index) {
            (EmbeddingFill::Given(ids), _) => (IndexRule::Given(ids.clone()), Vec::new()),
            (EmbeddingFill::Fixed { ids, rows }, _) => (IndexRule::Given(ids.clone()), rows.clone()),
            (EmbeddingFill::Built { min_count, max_size }, _) => {
                let min_count = min_count.map(|least| u32::try_from(least).unwrap_or(u32::MAX));
                (IndexRule::Vocabulary { min_count, max_size: *max_size }, Vec::new())
            }
            (EmbeddingFill::Indexed, Index::Hashed { buckets }) => (IndexRule::Hashed { buckets }, Vec::new()),
            (EmbeddingFill::Indexed, Index::Identity { count } | Index::Vocabulary { count }) => {
                (IndexRule::Identity { count }, Vec::new())
            }
        };
        TableRule {
            name: embedding.name.clone(),
            index,
            dim: Some(embedding.dim),
            unknown_row: embedding.unknown_row,
            missing_row: embedding.missing_row,
            wide: *wide,
            fixed,
        }
    };
    file.schema.embeddings.iter().zip(&file.tables).zip(&file.wide).map(plan).collect()
}
