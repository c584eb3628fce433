//! Encodes raw rows as the network reads them, as embedding rows and numbers, with the core's own arithmetic.

use adclick::builder::enrich::{TimeInputs, number_input};
use adclick::builder::schema::{Embedding, Kind, Pooling, Schema, Source, TIME_INPUTS, bucketise};
use adclick_data::logs::{LogFiles, LogRow, Reads, RowBatch};
use anyhow::{Context, Result, ensure};
use foldhash::HashMap;

use super::known::KnownShare;

/// The row number of a value that contributes only zeros.
pub(super) const NONE: u32 = u32::MAX;

/// The labels of one example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    pub(super) click: bool,
    pub(super) conversion: Option<bool>,
    /// The row's weight; 1 on average over the training rows.
    pub(super) weight: f32,
    /// The share of clicks like this one whose conversion is known.
    pub(super) known: f32,
}

/// Encoded rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Examples {
    pub(super) labels: Vec<Label>,
    /// `[examples, numbers]`: number and vector columns.
    pub(super) numbers: Vec<f32>,
    /// `[examples, singles]`: rows of single-valued categories.
    pub(super) singles: Vec<u32>,
    /// `[examples, bags]`: where each bag ends in `bag_rows`.
    pub(super) bag_ends: Vec<usize>,
    /// Rows of multi-valued categories and their weights.
    pub(super) bag_rows: Vec<(u32, f32)>,
    /// `[examples, bags]`: what multiplies the weighted sum of a bag's rows. Kept apart from the weights because serving sums first.
    pub(super) bag_scales: Vec<f32>,
}

impl Examples {
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn clear(&mut self) {
        self.labels.clear();
        self.numbers.clear();
        self.singles.clear();
        self.bag_ends.clear();
        self.bag_rows.clear();
        self.bag_scales.clear();
    }

    /// Keeps the examples for which `keep` is true.
    pub(super) fn retain(&mut self, plan: &X0Layout, keep: impl Fn(usize) -> bool) {
        let mut kept = Self::default();
        for i in (0..self.len()).filter(|&i| keep(i)) {
            let of = |per_example: usize| i * per_example..(i + 1) * per_example;
            kept.labels.push(self.labels[i]);
            kept.numbers.extend_from_slice(&self.numbers[of(plan.numbers.len())]);
            kept.singles.extend_from_slice(&self.singles[of(plan.singles.len())]);
            for bag in of(plan.bags.len()) {
                kept.bag_rows.extend_from_slice(self.bag(bag));
                kept.bag_ends.push(kept.bag_rows.len());
                kept.bag_scales.push(self.bag_scales[bag]);
            }
        }
        *self = kept;
    }

    /// The entries of a bag, counted through all examples.
    pub(super) fn bag(&self, at: usize) -> &[(u32, f32)] {
        let start = if at == 0 { 0 } else { self.bag_ends[at - 1] };
        &self.bag_rows[start..self.bag_ends[at]]
    }
}

/// Where a table's columns go. There is one for each feature with an embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EmbeddingPlace {
    /// The table.
    pub(super) table: usize,
    /// The first column of x0.
    pub(super) column: usize,
}

/// How columns of x0 are filled from [`Examples`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct X0Layout {
    pub(super) width: usize,
    /// The column of x0 of each number.
    pub(super) numbers: Vec<usize>,
    /// The place of each single-valued category.
    pub(super) singles: Vec<EmbeddingPlace>,
    /// The place of each bag.
    pub(super) bags: Vec<EmbeddingPlace>,
    /// How often values are taken away while training: of the single values, then of the bags; empty: never.
    pub(super) drops: Vec<Drop>,
}

/// How often training takes a feature's value away, and what replaces it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drop {
    /// The share of values that become unknown ids.
    pub(super) unknown: f64,
    /// The row of unknown ids.
    pub(super) unknown_row: u32,
    /// The share of values that become missing ones.
    pub(super) missing: f64,
    /// The row of missing values.
    pub(super) missing_row: u32,
}

/// Where a feature's value is found.
enum ValueFrom {
    /// Among the row's values.
    Values(Reads),
    /// Among the derivations of the time, at this index.
    Time(usize),
}

struct Field {
    from: ValueFrom,
    kind: Kind,
}

/// The derivations of a row's time.
pub(super) fn time_values(times: &TimeInputs, row: &LogRow) -> Option<[f32; TIME_INPUTS.len()]> {
    row.time_us.map(|t| times.at(t, row.utc_offset_s))
}

/// A derivation of the time as an id.
pub(super) fn time_id(number: f32) -> u64 {
    number.max(0.0) as u64
}

/// Encodes the rows of a file, given a schema and its vocabularies.
pub(super) struct Encoder {
    fields: Vec<Field>,
    embeddings: Vec<Embedding>,
    vocabularies: Vec<HashMap<u64, u32>>,
    times: TimeInputs,
    pub(super) plan: X0Layout,
    /// For each input and each value from a table, the number and the id last seen while a row is encoded.
    last: Vec<Option<(f32, u64)>>,
    /// The mean weight of the training rows.
    mean_weight: f64,
    known: KnownShare,
}

impl Encoder {
    /// `vocabularies` holds the ids of each embedding in row order.
    pub(super) fn new(schema: &Schema, vocabularies: &[Vec<u64>], logs: &LogFiles) -> Result<Self> {
        let columns = logs.format.columns();
        let layout = schema.layout();
        let mut plan = X0Layout { width: layout.width, ..X0Layout::default() };
        let mut fields = Vec::with_capacity(schema.features.len());
        for (number, (feature, place)) in schema.features.iter().zip(&layout.columns).enumerate() {
            let column = place.declared;
            match &feature.kind {
                Kind::Number { .. } => plan.numbers.push(column),
                Kind::Vector { dim } => plan.numbers.extend(column..column + *dim as usize),
                Kind::Category { embedding, .. } => {
                    plan.singles.push(EmbeddingPlace { table: *embedding as usize, column })
                }
                Kind::MultiCategory { embedding, .. } => {
                    plan.bags.push(EmbeddingPlace { table: *embedding as usize, column })
                }
            }
            let from = match feature.source {
                Source::Time => {
                    ensure!(
                        columns.time.is_some(),
                        "feature `{}` is derived from the time, but the rows have no time column",
                        feature.name
                    );
                    ValueFrom::Time(TIME_INPUTS.iter().position(|&name| name == feature.input).unwrap_or(0))
                }
                _ => ValueFrom::Values(logs.reads(&columns, number, &feature.input).with_context(|| {
                    format!("feature `{}` reads input `{}`, which the rows do not have", feature.name, feature.input)
                })?),
            };
            fields.push(Field { from, kind: feature.kind.clone() });
        }
        let vocabularies = schema
            .embeddings
            .iter()
            .zip(vocabularies)
            .map(|(e, ids)| ids.iter().zip(e.first_row()..).map(|(&id, row)| (id, row)).collect())
            .collect();
        let last = vec![None; columns.inputs.len() + schema.features.len()];
        Ok(Self {
            fields,
            embeddings: schema.embeddings.clone(),
            vocabularies,
            times: TimeInputs::default(),
            plan,
            last,
            mean_weight: 1.0,
            known: KnownShare::default(),
        })
    }

    /// Derives labels as training does: weights divided by their mean, and the share of known conversions.
    pub(super) fn labelled_by(self, mean_weight: f64, known: KnownShare) -> Self {
        Self { mean_weight, known, ..self }
    }

    /// The row of a category id.
    fn row(&self, embedding: u32, id: u64) -> u32 {
        let at = embedding as usize;
        let known = self.embeddings[at].row(id, |id| self.vocabularies[at].get(&id).copied());
        known.unwrap_or_else(|| self.unknown(embedding))
    }

    fn unknown(&self, embedding: u32) -> u32 {
        self.embeddings[embedding as usize].unknown().unwrap_or(NONE)
    }

    fn missing(&self, embedding: u32) -> u32 {
        self.embeddings[embedding as usize].missing().unwrap_or(NONE)
    }

    /// Appends a row to `out`, encoded as serving would.
    pub(super) fn encode(&mut self, batch: &RowBatch, row: &LogRow, out: &mut Examples) {
        let values = batch.values(row);
        let mut last = std::mem::take(&mut self.last);
        last.fill(None);
        for value in values {
            last[value.input as usize] = Some((value.number, value.id));
        }
        let times = time_values(&self.times, row);
        for field in &self.fields {
            let value = match field.from {
                ValueFrom::Values(reads) => last[reads.passed].or_else(|| reads.found.and_then(|at| last[at])),
                ValueFrom::Time(at) => times.map(|times| (times[at], time_id(times[at]))),
            };
            match &field.kind {
                kind @ Kind::Number { .. } => out.numbers.push(number_input(kind, value.map(|(number, _)| number))),
                Kind::Category { embedding, boundaries, default } => {
                    let id = if boundaries.is_empty() {
                        value.map(|(_, id)| id).or(*default)
                    } else {
                        value.map(|(number, _)| bucketise(boundaries, number))
                    };
                    out.singles.push(id.map_or_else(|| self.missing(*embedding), |id| self.row(*embedding, id)));
                }
                Kind::MultiCategory { embedding, pooling } => {
                    let ValueFrom::Values(reads) = field.from else { continue };
                    let mut n = 0u32;
                    for v in values.iter().filter(|v| reads.has(v)) {
                        let row = self.row(*embedding, v.id);
                        n += 1;
                        if row != NONE {
                            out.bag_rows.push((row, if v.number == 0.0 { 1.0 } else { v.number }));
                        }
                    }
                    out.bag_ends.push(out.bag_rows.len());
                    out.bag_scales.push(match pooling {
                        Pooling::Mean => 1.0 / n.max(1) as f32,
                        Pooling::Sum => 1.0,
                    });
                }
                Kind::Vector { dim } => {
                    let ValueFrom::Values(reads) = field.from else { continue };
                    let start = out.numbers.len();
                    out.numbers.resize(start + *dim as usize, 0.0);
                    for v in values.iter().filter(|v| reads.has(v) && v.id < u64::from(*dim)) {
                        out.numbers[start + v.id as usize] = v.number;
                    }
                }
            }
        }
        self.last = last;
        out.labels.push(Label {
            click: row.click.unwrap_or(false),
            conversion: row.conversion,
            weight: (row.weight / self.mean_weight) as f32,
            known: self.known.share(row.time_us) as f32,
        });
    }
}
