//! Builds the schema and its vocabularies from a blueprint and the counts of the training rows.

use adclick::builder::enrich::TimeInputs;
use adclick::builder::schema::{Embedding, Feature, Index, Kind, Schema, Source, TIME_INPUTS, Transform};
use adclick_data::logs::{InputValue, LogFiles, LogRow, RowBatch};
use anyhow::{Context, Result, ensure};
use foldhash::HashSet;

use super::blueprint::{Blueprint, FeatureRule, IndexRule, TableRule};
use super::config::Hyper;
use super::encode::{Drop, NONE, time_id, time_values};
use super::stats::{Distribution, IdCounts, NumberStats};

/// The row of unknown ids is trained on at least this many rows, but on no more than this share of all.
const LEAST_UNKNOWN: (f64, f64) = (50.0, 0.01);
/// The same for the row of missing values.
const LEAST_MISSING: (f64, f64) = (25.0, 0.005);

/// Counts of the training rows. Each row counts once, regardless of its weight.
pub(super) struct TrainingCounts {
    /// For each table, how often each id occurs.
    tables: Vec<IdCounts>,
    /// For each feature, its number's distribution.
    numbers: Vec<Option<NumberStats>>,
    /// For each input, value from a table and derivation of the time: who counts its values.
    places: Vec<ValueCounts>,
    /// The index of the first derivation of the time in `places`.
    first_time: usize,
    times: TimeInputs,
    /// For each feature, the places where its value may be.
    features: Vec<Vec<usize>>,
    /// Rows counted.
    pub(super) rows: u64,
}

#[derive(Default, Clone)]
struct ValueCounts {
    /// The embedding tables that count the value's ids.
    tables: Vec<usize>,
    /// The features that read it as a number.
    numbers: Vec<usize>,
    /// Values counted.
    values: u64,
}

impl TrainingCounts {
    pub(super) fn new(blueprint: &Blueprint, logs: &LogFiles, seed: u64) -> Result<Self> {
        let columns = logs.format.columns();
        let first_time = columns.inputs.len() + blueprint.features.len();
        let mut counts = Self {
            tables: blueprint.tables.iter().map(|_| IdCounts::default()).collect(),
            numbers: blueprint.features.iter().map(|_| None).collect(),
            places: vec![ValueCounts::default(); first_time + TIME_INPUTS.len()],
            first_time,
            times: TimeInputs::default(),
            features: Vec::new(),
            rows: 0,
        };
        for (i, feature) in blueprint.features.iter().enumerate() {
            let places: Vec<usize> = if feature.source == Source::Time {
                TIME_INPUTS
                    .iter()
                    .position(|name| *name == feature.input)
                    .map(|at| first_time + at)
                    .into_iter()
                    .collect()
            } else {
                let reads = logs.reads(&columns, i, &feature.input).with_context(|| {
                    format!("feature `{}` reads input `{}`, which the rows do not have", feature.name, feature.input)
                })?;
                // A row has its value in only one of the two places, so nothing counts twice.
                std::iter::once(reads.passed).chain(reads.found).collect()
            };
            let mut number = |shape: Transform| {
                counts.numbers[i] = Some(NumberStats::new(shape, seed ^ i as u64));
                places.iter().for_each(|&at| counts.places[at].numbers.push(i));
            };
            match &feature.plan {
                FeatureRule::Number { transform, .. } => number(Transform { mean: 0.0, scale: 1.0, ..*transform }),
                FeatureRule::Buckets { boundaries, .. } if boundaries.is_empty() => number(Transform::default()),
                FeatureRule::Category { table, .. } | FeatureRule::Multi { table, .. } => {
                    let plan = &blueprint.tables[*table];
                    let collected = matches!(plan.index, IndexRule::Auto | IndexRule::Vocabulary { .. });
                    for &at in places.iter().filter(|_| collected || plan.unknown_row) {
                        if !counts.places[at].tables.contains(table) {
                            counts.places[at].tables.push(*table);
                        }
                    }
                }
                FeatureRule::Buckets { .. } | FeatureRule::Vector { .. } => {}
            }
            counts.features.push(places);
        }
        Ok(counts)
    }

    pub(super) fn add(&mut self, batch: &RowBatch, row: &LogRow) {
        self.rows += 1;
        for &InputValue { input, number, id } in batch.values(row) {
            self.count(input as usize, number, id);
        }
        for (at, number) in time_values(&self.times, row).into_iter().flatten().enumerate() {
            self.count(self.first_time + at, number, time_id(number));
        }
    }

    fn count(&mut self, at: usize, number: f32, id: u64) {
        let place = &mut self.places[at];
        place.values += 1;
        for &table in &place.tables {
            self.tables[table].add(id);
        }
        for &reader in &place.numbers {
            if let Some(stats) = &mut self.numbers[reader] {
                stats.add(number);
            }
        }
    }

    /// How often values are to be taken away while training, in the order of [`X0Layout::drops`](super::encode::X0Layout): where no
    /// value is rare the row of unknown ids would never be trained, and where none is missing that of missing values.
    pub(super) fn drops(&self, blueprint: &Blueprint, built: &BuiltSchema) -> Vec<Drop> {
        let known: Vec<HashSet<u64>> = built.vocabularies.iter().map(|ids| ids.iter().copied().collect()).collect();
        let drop = |i: usize, feature: &Feature, embedding: u32| {
            let table = &built.schema.embeddings[embedding as usize];
            let plan = blueprint.tables.iter().position(|t| t.name == table.name);
            let rows = [table.unknown(), table.missing()].map(|row| row.unwrap_or(NONE));
            let none = Drop { unknown: 0.0, unknown_row: rows[0], missing: 0.0, missing_row: rows[1] };
            let Some(plan) = plan.filter(|&t| blueprint.tables[t].fixed.is_empty() && feature.source != Source::Time)
            else {
                return none;
            };
            let unknown = self.tables[plan].unknown(|id| match table.index {
                Index::Identity { count } => id < u64::from(count),
                Index::Hashed { .. } => true,
                Index::Vocabulary { .. } => known[embedding as usize].contains(&id),
            });
            let values: u64 = self.features[i].iter().map(|&at| self.places[at].values).sum();
            let missing = 1.0 - values as f64 / self.rows.max(1) as f64;
            let single = matches!(&feature.kind, Kind::Category { default: None, .. });
            let numbers = matches!(&feature.kind, Kind::Category { boundaries, .. } if !boundaries.is_empty());
            let up_to = |(least, most): (f64, f64), share: f64, has: bool| {
                // Never less than one in a thousand, which is enough of many rows.
                let wanted = (least / self.rows.max(1) as f64).clamp(0.001, most);
                if has { (wanted - share).max(0.0) } else { 0.0 }
            };
            Drop {
                unknown: up_to(LEAST_UNKNOWN, unknown, table.unknown_row && !numbers),
                missing: up_to(LEAST_MISSING, missing, table.missing_row && single),
                ..none
            }
        };
        let of = |bags: bool| {
            let drop = &drop;
            built.schema.features.iter().enumerate().filter_map(move |(i, feature)| match &feature.kind {
                Kind::Category { embedding, .. } if !bags => Some(drop(i, feature, *embedding)),
                Kind::MultiCategory { embedding, .. } if bags => Some(drop(i, feature, *embedding)),
                _ => None,
            })
        };
        of(false).chain(of(true)).collect()
    }
}

/// A schema, and the ids of each of its embeddings in row order (empty without a vocabulary).
pub(super) struct BuiltSchema {
    pub(super) schema: Schema,
    pub(super) vocabularies: Vec<Vec<u64>>,
}

/// Builds the schema of a fresh model.
pub(super) fn build(blueprint: &Blueprint, counts: &TrainingCounts, hyper: &Hyper) -> Result<BuiltSchema> {
    let mut built = BuiltSchema { schema: Schema::default(), vocabularies: Vec::new() };
    for (table, ids) in blueprint.tables.iter().zip(&counts.tables) {
        built.add_table(table, ids, hyper);
    }
    for (feature, stats) in blueprint.features.iter().zip(&counts.numbers) {
        let stats = stats.as_ref().map(NumberStats::distribution);
        let kind = match &feature.plan {
            FeatureRule::Number { transform, default } => {
                let given = transform.mean != 0.0 || transform.scale != 1.0;
                let fitted = stats.as_ref().filter(|_| !given).map(Distribution::standardised);
                let default = default.or_else(|| stats.as_ref().map(Distribution::median)).unwrap_or(0.0);
                Kind::Number { transform: fitted.unwrap_or(*transform), default }
            }
            FeatureRule::Buckets { table, boundaries } => {
                let boundaries = match stats {
                    Some(stats) => stats.boundaries(hyper.buckets.max(2)),
                    None => boundaries.clone(),
                };
                ensure!(!boundaries.is_empty(), "feature `{}` needs boundaries", feature.name);
                built.schema.embeddings[*table].index = Index::Identity { count: boundaries.len() as u32 + 1 };
                Kind::Category { embedding: *table as u32, boundaries, default: None }
            }
            FeatureRule::Category { table, default } => {
                Kind::Category { embedding: *table as u32, boundaries: Vec::new(), default: *default }
            }
            FeatureRule::Multi { table, pooling } => {
                Kind::MultiCategory { embedding: *table as u32, pooling: *pooling }
            }
            FeatureRule::Vector { dim } => Kind::Vector { dim: *dim },
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

impl BuiltSchema {
    fn add_table(&mut self, table: &TableRule, counts: &IdCounts, hyper: &Hyper) {
        let frequent = |min_count: u32, max_size: Option<u32>| {
            let mut ids = counts.frequent(min_count);
            ids.truncate(max_size.map_or(usize::MAX, |n| n as usize));
            (Index::Vocabulary { count: ids.len() as u32 }, ids)
        };
        let (index, ids) = match &table.index {
            IndexRule::Auto => frequent(hyper.min_counts.0, None),
            IndexRule::Vocabulary { min_count, max_size } => {
                frequent(min_count.unwrap_or(hyper.min_counts.1), *max_size)
            }
            IndexRule::Given(ids) => (Index::Vocabulary { count: ids.len() as u32 }, ids.clone()),
            IndexRule::Hashed { buckets } => (Index::Hashed { buckets: *buckets }, Vec::new()),
            IndexRule::Identity { count } => (Index::Identity { count: *count }, Vec::new()),
        };
        self.schema.embeddings.push(Embedding {
            name: table.name.clone(),
            index,
            dim: table.dim.unwrap_or(hyper.dim),
            // A hash has no unknown ids.
            unknown_row: table.unknown_row && !matches!(index, Index::Hashed { .. }),
            missing_row: table.missing_row,
            wide: table.wide.unwrap_or(hyper.wide) && table.fixed.is_empty(),
        });
        self.vocabularies.push(ids);
    }
}
