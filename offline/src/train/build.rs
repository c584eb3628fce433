//! From a blueprint and what was counted to the schema and its vocabularies.

use adclick::schema::{Embedding, Feature, Index, Kind, Schema, Source, Transform};
use adclick::types::Value;
use anyhow::{Context, Result, ensure};

use super::blueprint::{Blueprint, IndexRule, Plan, TablePlan};
use super::config::Hyper;
use super::stats::{IdCounts, NumberStats};
use crate::data::{Batch, Row, Source as Logs};

/// What is counted in the training rows.
pub(super) struct Counts {
    /// Per table: how often each id occurs.
    tables: Vec<IdCounts>,
    /// Per feature: its number's distribution.
    numbers: Vec<Option<NumberStats>>,
    /// Per input, and per value from a table: the embedding tables that count its ids.
    counted: Vec<Vec<usize>>,
    /// Likewise: the features that read it as a number.
    readers: Vec<Vec<usize>>,
    /// Rows seen.
    pub(super) rows: u64,
}

impl Counts {
    pub(super) fn new(blueprint: &Blueprint, logs: &Logs, seed: u64) -> Result<Self> {
        let columns = logs.format.columns();
        let places = columns.inputs.len() + blueprint.features.len();
        let mut counts = Self {
            tables: blueprint.tables.iter().map(|_| IdCounts::default()).collect(),
            numbers: blueprint.features.iter().map(|_| None).collect(),
            counted: vec![Vec::new(); places],
            readers: vec![Vec::new(); places],
            rows: 0,
        };
        for (i, feature) in blueprint.features.iter().enumerate() {
            if feature.source == Source::Time {
                continue;
            }
            let reads = logs.reads(&columns, i, &feature.input).with_context(|| {
                format!("feature `{}` reads input `{}`, which the rows do not have", feature.name, feature.input)
            })?;
            // A row has values in one of the two places, so that nothing counts twice.
            let places = std::iter::once(reads.passed).chain(reads.found);
            let mut number = |shape: Transform| {
                counts.numbers[i] = Some(NumberStats::new(shape, seed ^ i as u64));
                places.clone().for_each(|at| counts.readers[at].push(i));
            };
            match &feature.plan {
                Plan::Number { transform, .. } => number(Transform { mean: 0.0, scale: 1.0, ..*transform }),
                Plan::Buckets { boundaries, .. } if boundaries.is_empty() => number(Transform::default()),
                Plan::Category { table, .. } | Plan::Multi { table, .. } => {
                    let vocabulary =
                        matches!(blueprint.tables[*table].index, IndexRule::Auto | IndexRule::Vocabulary { .. });
                    for at in places.filter(|_| vocabulary) {
                        if !counts.counted[at].contains(table) {
                            counts.counted[at].push(*table);
                        }
                    }
                }
                Plan::Buckets { .. } | Plan::Vector { .. } => {}
            }
        }
        Ok(counts)
    }

    pub(super) fn add(&mut self, batch: &Batch, row: &Row) {
        self.rows += 1;
        for &Value { feature, number, id } in batch.values(row) {
            for &table in &self.counted[feature as usize] {
                self.tables[table].add(id);
            }
            for &reader in &self.readers[feature as usize] {
                if let Some(stats) = &mut self.numbers[reader] {
                    stats.add(number);
                }
            }
        }
    }
}

/// A schema and the ids of each of its embeddings in row order (empty where there is no vocabulary).
pub(super) struct Built {
    pub(super) schema: Schema,
    pub(super) vocabularies: Vec<Vec<u64>>,
}

/// Builds the schema of a fresh model.
pub(super) fn build(blueprint: &Blueprint, counts: &Counts, hyper: &Hyper) -> Result<Built> {
    let mut built = Built { schema: Schema::default(), vocabularies: Vec::new() };
    for (table, ids) in blueprint.tables.iter().zip(&counts.tables) {
        built.add_table(table, ids, hyper);
    }
    for (feature, stats) in blueprint.features.iter().zip(&counts.numbers) {
        let kind = match &feature.plan {
            Plan::Number { transform, default } => {
                let given = transform.mean != 0.0 || transform.scale != 1.0;
                let fitted = stats.as_ref().filter(|_| !given).map(NumberStats::standardised);
                let default = default.or_else(|| stats.as_ref().map(NumberStats::median)).unwrap_or(0.0);
                Kind::Number { transform: fitted.unwrap_or(*transform), default }
            }
            Plan::Buckets { table, boundaries } => {
                let boundaries = match stats {
                    Some(stats) => stats.boundaries(hyper.buckets.max(2)),
                    None => boundaries.clone(),
                };
                ensure!(!boundaries.is_empty(), "feature `{}` needs boundaries", feature.name);
                built.schema.embeddings[*table].index = Index::Identity { count: boundaries.len() as u32 + 1 };
                Kind::Category { embedding: *table as u32, boundaries, default: None }
            }
            Plan::Category { table, default } => {
                Kind::Category { embedding: *table as u32, boundaries: Vec::new(), default: *default }
            }
            Plan::Multi { table, pooling } => Kind::MultiCategory { embedding: *table as u32, pooling: *pooling },
            Plan::Vector { dim } => Kind::Vector { dim: *dim },
        };
        built.schema.features.push(Feature {
            name: feature.name.clone(),
            input: feature.input.clone(),
            source: feature.source,
            kind,
            position: feature.position,
        });
    }
    built.schema.validate().context("the schema that training built")?;
    Ok(built)
}

impl Built {
    fn add_table(&mut self, table: &TablePlan, counts: &IdCounts, hyper: &Hyper) {
        let frequent = |min_count: u32, max_size: Option<u32>| {
            let mut ids = counts.frequent(min_count);
            ids.truncate(max_size.map_or(usize::MAX, |n| n as usize));
            (Index::Vocabulary { count: ids.len() as u32 }, ids)
        };
        let (index, ids) = match (&table.index, hyper.hash_buckets) {
            (IndexRule::Auto, Some(buckets)) => (Index::Hashed { buckets }, Vec::new()),
            (IndexRule::Auto, None) => frequent(hyper.min_count, None),
            (IndexRule::Vocabulary { min_count, max_size }, _) => frequent(*min_count, *max_size),
            (IndexRule::Given(ids), _) => (Index::Vocabulary { count: ids.len() as u32 }, ids.clone()),
            (IndexRule::Hashed { buckets }, _) => (Index::Hashed { buckets: *buckets }, Vec::new()),
            (IndexRule::Identity { count }, _) => (Index::Identity { count: *count }, Vec::new()),
        };
        self.schema.embeddings.push(Embedding {
            name: table.name.clone(),
            index,
            dim: table.dim.unwrap_or(hyper.dim),
            // Nothing is unknown to a hash.
            unknown_row: table.unknown_row && !matches!(index, Index::Hashed { .. }),
            missing_row: table.missing_row,
            wide: table.wide.unwrap_or(hyper.wide) && table.fixed.is_empty(),
        });
        self.vocabularies.push(ids);
    }
}
