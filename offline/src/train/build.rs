//! From a blueprint and what was counted to the schema and its vocabularies.

use adclick::schema::{Embedding, Feature, Index, Kind, Schema, Source, Transform};
use adclick::types::Value;
use anyhow::{Context, Result, bail};

use super::blueprint::{Blueprint, IndexRule, Plan};
use super::config::Hyper;
use super::encode::plain;
use super::stats::{IdCounts, NumberStats};
use crate::data::{Batch, Columns, Row};
use crate::schema_file::{SchemaFile, Table};

/// What is counted, per input.
pub(super) struct Counts {
    /// Per input: which table counts its ids.
    table_of: Vec<Option<usize>>,
    tables: Vec<IdCounts>,
    names: Vec<String>,
    /// Per feature: its number's distribution.
    numbers: Vec<Option<NumberStats>>,
    /// Per input: the features that read it as a number.
    readers: Vec<Vec<usize>>,
    /// Rows seen.
    pub(super) rows: u64,
}

impl Counts {
    pub(super) fn new(blueprint: &Blueprint, columns: &Columns, seed: u64) -> Result<Self> {
        let mut counts = Self {
            table_of: vec![None; columns.inputs.len()],
            tables: Vec::new(),
            names: Vec::new(),
            numbers: blueprint.features.iter().map(|_| None).collect(),
            readers: vec![Vec::new(); columns.inputs.len()],
            rows: 0,
        };
        if let Some(file) = &blueprint.given {
            counts.count_given(file, columns)?;
        }
        for (i, feature) in blueprint.features.iter().enumerate() {
            if feature.source == Source::Time {
                continue;
            }
            let input = columns.input(&feature.input).with_context(|| {
                format!("feature `{}` reads input `{}`, which the rows do not have", feature.name, feature.input)
            })?;
            match &feature.plan {
                Plan::Number { clip, log1p, .. } => {
                    counts.numbers[i] = Some(NumberStats::new(plain(*clip, *log1p), seed ^ i as u64));
                    counts.readers[input].push(i);
                }
                Plan::Buckets { .. } => {
                    counts.numbers[i] = Some(NumberStats::new(Transform::default(), seed ^ i as u64));
                    counts.readers[input].push(i);
                }
                Plan::Category { table, index: IndexRule::Vocabulary { .. }, .. }
                | Plan::Multi { table, index: IndexRule::Vocabulary { .. }, .. } => {
                    counts.count_ids(input, &feature.input, table)?;
                }
                Plan::Category { .. } | Plan::Multi { .. } | Plan::Vector { .. } => {}
            }
        }
        Ok(counts)
    }

    /// Counts the ids of an input for a table.
    fn count_ids(&mut self, input: usize, name: &str, table: &str) -> Result<()> {
        let at = self.names.iter().position(|known| known == table).unwrap_or_else(|| {
            self.names.push(table.to_owned());
            self.tables.push(IdCounts::default());
            self.names.len() - 1
        });
        if self.table_of[input].is_some_and(|other| other != at) {
            bail!("input `{name}` feeds two vocabularies: let its features share one table");
        }
        self.table_of[input] = Some(at);
        Ok(())
    }

    /// Counts what a schema file leaves to training.
    fn count_given(&mut self, file: &SchemaFile, columns: &Columns) -> Result<()> {
        for feature in &file.schema.features {
            let (Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. }) = &feature.kind else {
                continue;
            };
            let at = *embedding as usize;
            if let (Table::Built { .. }, Some(input)) = (&file.tables[at], columns.input(&feature.input)) {
                self.count_ids(input, &feature.input, &file.schema.embeddings[at].name)?;
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, batch: &Batch, row: &Row) {
        self.rows += 1;
        for &Value { feature, number, id } in batch.values(row) {
            if let Some(table) = self.table_of[feature as usize] {
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
    /// Rows that are given and never trained, of each embedding that has such.
    pub(super) fixed: Vec<Option<Vec<f32>>>,
}

/// The schema of a schema file, its vocabularies filled.
fn build_given(file: &SchemaFile, counts: &Counts) -> Result<Built> {
    let mut built = Built { schema: file.schema.clone(), vocabularies: Vec::new(), fixed: Vec::new() };
    for (embedding, table) in built.schema.embeddings.iter_mut().zip(&file.tables) {
        let ids = match table {
            Table::Indexed => Vec::new(),
            Table::Given(ids) | Table::Fixed { ids, .. } => ids.clone(),
            Table::Built { min_count, max_size } => {
                let at = counts.names.iter().position(|name| *name == embedding.name);
                let least = u32::try_from(*min_count).unwrap_or(u32::MAX);
                let mut ids = at.map_or_else(Vec::new, |at| counts.tables[at].frequent(least));
                ids.truncate(max_size.map_or(usize::MAX, |n| n as usize));
                ids
            }
        };
        if let Index::Vocabulary { count } = &mut embedding.index {
            *count = ids.len() as u32;
        }
        built.vocabularies.push(ids);
        built.fixed.push(match table {
            Table::Fixed { rows, .. } => Some(rows.clone()),
            Table::Indexed | Table::Given(_) | Table::Built { .. } => None,
        });
    }
    built.schema.validate().context("the schema that training built")?;
    Ok(built)
}

/// Builds the schema of a fresh model.
pub(super) fn build(blueprint: &Blueprint, counts: &Counts, hyper: &Hyper) -> Result<Built> {
    if let Some(file) = &blueprint.given {
        return build_given(file, counts);
    }
    let mut built = Built { schema: Schema::default(), vocabularies: Vec::new(), fixed: Vec::new() };
    let dim_of = |dim: &Option<u32>| dim.unwrap_or(hyper.dim);
    for (feature, stats) in blueprint.features.iter().zip(&counts.numbers) {
        let stats = stats.as_ref();
        let kind = match &feature.plan {
            Plan::Number { clip, log1p, standardise } => {
                let fitted = stats.filter(|_| *standardise).map(NumberStats::standardised);
                let default = stats.map_or(0.0, NumberStats::median);
                Kind::Number { transform: fitted.unwrap_or_else(|| plain(*clip, *log1p)), default }
            }
            Plan::Buckets { count, dim } => {
                let stats = stats.with_context(|| format!("feature `{}` has no numbers", feature.name))?;
                let boundaries = stats.boundaries(count.unwrap_or(hyper.buckets).max(2));
                let index = Index::Identity { count: boundaries.len() as u32 + 1 };
                let embedding = built.table(&feature.name, index, dim_of(dim), false, hyper.wide, Vec::new())?;
                Kind::Category { embedding, boundaries, default: None }
            }
            Plan::Category { table, index, dim } => {
                let (index, ids) = index_of(counts, table, *index, hyper);
                let embedding = built.table(table, index, dim_of(dim), true, hyper.wide, ids)?;
                Kind::Category { embedding, boundaries: Vec::new(), default: None }
            }
            Plan::Multi { table, index, dim, pooling } => {
                let (index, ids) = index_of(counts, table, *index, hyper);
                let embedding = built.table(table, index, dim_of(dim), true, hyper.wide, ids)?;
                Kind::MultiCategory { embedding, pooling: *pooling }
            }
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

fn index_of(counts: &Counts, table: &str, rule: IndexRule, hyper: &Hyper) -> (Index, Vec<u64>) {
    match rule {
        IndexRule::Identity { count } => (Index::Identity { count }, Vec::new()),
        IndexRule::Hashed { buckets } => (Index::Hashed { buckets }, Vec::new()),
        IndexRule::Vocabulary { min_count } => {
            let at = counts.names.iter().position(|name| name == table);
            let ids = at.map_or_else(Vec::new, |at| counts.tables[at].frequent(min_count.unwrap_or(hyper.min_count)));
            (Index::Vocabulary { count: ids.len() as u32 }, ids)
        }
    }
}

impl Built {
    /// The number of the table of this name, made if it does not exist yet.
    fn table(&mut self, name: &str, index: Index, dim: u32, unknown: bool, wide: bool, ids: Vec<u64>) -> Result<u32> {
        if let Some(at) = self.schema.embeddings.iter().position(|e| e.name == name) {
            let found = &self.schema.embeddings[at];
            if found.index != index || found.dim != dim {
                bail!("the features that share table `{name}` disagree on its index or dimension");
            }
            return Ok(at as u32);
        }
        let unknown_row = unknown && !matches!(index, Index::Hashed { .. });
        self.schema.embeddings.push(Embedding {
            name: name.to_owned(),
            index,
            dim,
            unknown_row,
            missing_row: true,
            wide,
        });
        self.vocabularies.push(ids);
        self.fixed.push(None);
        Ok(self.schema.embeddings.len() as u32 - 1)
    }
}
