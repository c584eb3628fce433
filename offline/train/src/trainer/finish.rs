//! The parts of the model file besides weights: reference histograms, golden requests, provenance.

use adclick::builder::artifact::model::spec::{GoldenRequest, Histogram};
use adclick::builder::schema::{Kind, Schema};
use adclick_data::logs::{LogFiles, LogRow, Reads, RowBatch, TableHits, TableLookups};

use super::census::Census;
use super::config::{Config, Hyper};
use super::learner::HeldOutScores;
use super::loss::sigmoid;
use super::metrics::RunStatistics;
use super::network::CrossShape;
use super::sample::Sieve;
use crate::ranges::RawRows;

/// The most golden requests.
const GOLDENS: usize = 16;
/// The most values that a feature's reference histogram is made from.
const SAMPLE: usize = 1 << 16;
/// Bins of a reference histogram.
const BINS: usize = 20;

/// Collects samples of the raw validation rows.
pub(super) struct Observer<'a> {
    schema: &'a Schema,
    raw: RawRows,
    goldens: Vec<GoldenRequest>,
    /// For each feature, the row numbers and values that the sieve lets through.
    numbers: Vec<Vec<(u64, f64)>>,
    sieve: Sieve,
}

impl<'a> Observer<'a> {
    pub(super) fn new(schema: &'a Schema, logs: &LogFiles) -> Self {
        let numbers = vec![Vec::new(); schema.features.len()];
        Self { schema, raw: RawRows::new(schema, logs), goldens: Vec::new(), numbers, sieve: Sieve::default() }
    }

    pub(super) fn see(&mut self, batch: &RowBatch, row: &LogRow) {
        let values = batch.values(row);
        let of = |reads: Reads| values.iter().filter(move |v| reads.has(v));
        for ((feature, input), numbers) in self.schema.features.iter().zip(self.raw.inputs()).zip(&mut self.numbers) {
            if let (Kind::Number { .. }, Some(input), true) = (&feature.kind, *input, self.sieve.passes(row.number)) {
                numbers.extend(of(input).map(|v| (row.number, f64::from(v.number))));
            }
        }
        while self.numbers.iter().any(|numbers| numbers.len() > SAMPLE) {
            self.sieve.halve();
            let sieve = &self.sieve;
            self.numbers.iter_mut().for_each(|numbers| numbers.retain(|n| sieve.passes(n.0)));
        }
        if self.goldens.len() < GOLDENS {
            self.goldens.push(self.raw.request(batch, row));
        }
    }

    /// The golden requests, and the histograms of the scores and of the number features.
    pub(super) fn finish(self, validation: &HeldOutScores) -> (Vec<GoldenRequest>, Vec<Histogram>) {
        let probabilities = |logits: &[f64]| logits.iter().map(|&z| sigmoid(z)).collect::<Vec<_>>();
        let mut histograms = Vec::new();
        for (name, logits) in [("pctr", &validation.click_logits), ("pcvr", &validation.conversion_logits)] {
            if !logits.is_empty() {
                histograms.push(histogram(name, probabilities(logits)));
            }
        }
        for (feature, numbers) in self.schema.features.iter().zip(self.numbers) {
            if !numbers.is_empty() {
                histograms.push(histogram(&feature.name, numbers.into_iter().map(|n| n.1).collect()));
            }
        }
        (self.goldens, histograms)
    }
}

/// Bins of equal mass. There are fewer where values repeat.
fn histogram(name: &str, mut values: Vec<f64>) -> Histogram {
    values.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..BINS).map(|i| values[i * values.len() / BINS]).filter(|&e| e > values[0]).collect();
    edges.dedup();
    let mut counts = vec![0; edges.len() + 1];
    for value in values {
        counts[edges.partition_point(|&e| e <= value)] += 1;
    }
    Histogram { name: name.to_owned(), edges, counts }
}

/// The model's provenance as TOML text.
pub(super) fn provenance(
    config: &Config,
    hyper: &Hyper,
    census: &Census,
    metrics: &RunStatistics,
    logs: &LogFiles,
) -> String {
    let mut table = toml::Table::new();
    let mut put = |key: &str, value: toml::Value| table.insert(key.to_owned(), value);
    let integer = |x: u64| toml::Value::Integer(x as i64);
    put("trainer", concat!("adclick ", env!("CARGO_PKG_VERSION")).into());
    put("seed", integer(config.seed));
    put("rows", integer(census.counts.rows));
    put("clicks", integer(census.clicks));
    put("conversions", integer(census.conversions));
    put("validation_rows", integer(metrics.validation_rows));
    // Whether they are among `rows`.
    put("refit", (metrics.refit_rows > 0).into());
    put("bad_rows", integer(metrics.bad_rows));
    if let Some((first, last)) = census.window {
        put("window_start_us", toml::Value::Integer(first));
        put("window_end_us", toml::Value::Integer(last));
    }
    if let Some(time) = logs.format.columns().time {
        put("clock", time.clock().into());
    }
    if let Some(parent) = &config.parent {
        put("parent", parent.as_str().into());
    }
    put("validation_log_loss", metrics.validation_loss.into());
    put("epochs", integer(u64::from(metrics.best_epoch)));
    put("downsample", config.downsample.unwrap_or(1.0).into());
    let cross = match hyper.cross {
        CrossShape::Full => "full".to_owned(),
        CrossShape::LowRank(rank) => format!("lowrank:{rank}"),
        CrossShape::Vector => "vector".to_owned(),
        CrossShape::Mixture { experts, rank } => format!("mix:{experts}:{rank}"),
    };
    put("cross", cross.into());
    if let Some(lookups) = &logs.tables {
        put("tables", versions(lookups, &metrics.tables).into());
    }
    toml::to_string(&table).unwrap_or_default()
}

/// For each table that gave values, how new its data was and how many rows found their key.
fn versions(lookups: &TableLookups, found: &[TableHits]) -> toml::Table {
    let mut all = toml::Table::new();
    for TableHits { table, rows, found, .. } in found {
        let mut one = toml::Table::new();
        if let Some(source) = lookups.tables().iter().find(|t| t.set.name() == table) {
            one.insert("data_of_us".to_owned(), source.set.built_us().into());
        }
        one.insert("rows".to_owned(), toml::Value::Integer(*rows as i64));
        one.insert("found".to_owned(), toml::Value::Integer(*found as i64));
        all.insert(table.clone(), one.into());
    }
    all
}
