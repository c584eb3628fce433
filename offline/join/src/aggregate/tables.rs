//! Writes feature tables as `adclick pack` takes them, and rows with the features that were known.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use adclick_data::progress::Progress;
use anyhow::Result;
use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::Job;
use super::counters::{Counted, Hours, Of, Sums, Tally};
use super::read;
use crate::write::{Output, place};

/// A column of a table: its name, and whether it is a count.
type Column = (&'static str, bool, fn(&[Tally; 3], &Rates) -> f64);

/// What rates are computed with.
struct Rates {
    prior: f64,
    smoothing: f64,
    daily_cap: f64,
}

impl Rates {
    fn of(job: &Job, sums: &Sums) -> Self {
        Self { prior: sums.prior(), smoothing: job.smoothing, daily_cap: job.daily_cap }
    }

    fn rate(&self, tally: &Tally) -> f64 {
        tally.rate(self.prior, self.smoothing)
    }
}

const RATES: [Column; 9] = [
    ("ctr_1d", false, |t, r| r.rate(&t[0])),
    ("ctr_7d", false, |t, r| r.rate(&t[1])),
    ("ctr_30d", false, |t, r| r.rate(&t[2])),
    ("impressions_1d", true, |t, _| t[0].impressions as f64),
    ("impressions_7d", true, |t, _| t[1].impressions as f64),
    ("impressions_30d", true, |t, _| t[2].impressions as f64),
    ("clicks_1d", true, |t, _| t[0].clicks as f64),
    ("clicks_7d", true, |t, _| t[1].clicks as f64),
    ("clicks_30d", true, |t, _| t[2].clicks as f64),
];
/// The share of what was shown that was in view.
const ENGAGEMENT: [Column; 1] = [("engagement_score", false, |t, _| t[1].viewed())];
const ENGAGEMENT_RATE: [Column; 1] = [("engagement_rate", false, |t, _| t[1].viewed())];
/// The share of a user's daily impressions that is left.
const CAP: [Column; 1] =
    [("frequency_cap_remaining", false, |t, r| (1.0 - t[0].impressions as f64 / r.daily_cap).clamp(0.0, 1.0))];
const PAIR: [Column; 2] =
    [("click_rate", false, |t, r| r.rate(&t[2])), ("impressions", true, |t, _| t[2].impressions as f64)];
const AFFINITY: [Column; 1] = [("affinity", false, |t, r| r.rate(&t[2]))];

/// A table: its name, its key columns, and its columns.
fn table(of: Of) -> (&'static str, &'static [&'static str], Vec<Column>) {
    match of {
        Of::User(_) => ("users", &["user_id"], [&RATES[..], &ENGAGEMENT, &CAP].concat()),
        Of::Ad(_) => ("ads", &["ad_id"], [&RATES[..], &ENGAGEMENT_RATE].concat()),
        Of::Advertiser(_) => ("advertisers", &["advertiser_id"], [&RATES[..], &ENGAGEMENT_RATE].concat()),
        Of::UserAdvertiser(..) => ("user_advertiser", &["user_id", "advertiser_id"], PAIR.to_vec()),
        Of::UserCategory(..) => ("user_category", &["user_id", "category"], AFFINITY.to_vec()),
    }
}

fn ids(of: Of) -> (u64, u64) {
    match of {
        Of::User(a) | Of::Ad(a) | Of::Advertiser(a) => (a, 0),
        Of::UserAdvertiser(a, b) | Of::UserCategory(a, b) => (a, b),
    }
}

fn column(columns: &Column, tallies: impl Iterator<Item = [Tally; 3]>, rates: &Rates) -> ArrayRef {
    let (_, count, of) = *columns;
    if count {
        Arc::new(Int64Array::from_iter_values(tallies.map(|t| of(&t, rates) as i64)))
    } else {
        Arc::new(Float32Array::from_iter_values(tallies.map(|t| of(&t, rates) as f32)))
    }
}

fn field(name: String, column: &Column) -> Field {
    Field::new(name, if column.1 { DataType::Int64 } else { DataType::Float32 }, false)
}

/// Writes the tables and returns the rows of each.
pub(super) fn write(job: &Job, sums: &Sums) -> Result<BTreeMap<String, u64>> {
    let rates = Rates::of(job, sums);
    let all = sums.sorted();
    let mut written = BTreeMap::new();
    for some in all.chunk_by(|a, b| std::mem::discriminant(&a.0) == std::mem::discriminant(&b.0)) {
        let (name, keys, columns) = table(some[0].0);
        let mut fields: Vec<Field> = keys.iter().map(|key| Field::new(*key, DataType::UInt64, false)).collect();
        fields.extend(columns.iter().map(|c| field(c.0.to_owned(), c)));
        let schema = Arc::new(Schema::new(fields));
        let mut out = Output::create(job.out.join(format!("{name}.parquet")), schema.clone())?;
        for rows in some.chunks(8192) {
            let key = |which: usize| -> ArrayRef {
                let of = |of: Of| if which == 0 { ids(of).0 } else { ids(of).1 };
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| of(row.0))))
            };
            let mut arrays: Vec<ArrayRef> = (0..keys.len()).map(key).collect();
            arrays.extend(columns.iter().map(|c| column(c, rows.iter().map(|row| row.1), &rates)));
            out.push(&RecordBatch::try_new(schema.clone(), arrays)?)?;
        }
        written.insert(name.to_owned(), out.finish()?);
    }
    Ok(written)
}

/// Features of rows: the name before the table's column, and the key.
type Key = (&'static str, fn(&Counted) -> Of);
const KEYS: [Key; 5] = [
    ("user_", |r| Of::User(r.user)),
    ("ad_", |r| Of::Ad(r.ad)),
    ("advertiser_", |r| Of::Advertiser(r.advertiser)),
    ("user_advertiser_", |r| Of::UserAdvertiser(r.user, r.advertiser)),
    ("user_category_", |r| Of::UserCategory(r.user, r.category)),
];

/// Writes the rows of each hour with the features that were known when it began: those that tables of that hour have.
pub(super) fn examples(
    job: &Job,
    files: &[(i64, PathBuf)],
    hours: &Hours,
    until: i64,
    categories: &BTreeMap<u64, u64>,
    progress: &Progress,
) -> Result<u64> {
    let mut sums = Sums::default();
    let mut written = 0;
    let stage = progress.rows("Writing examples", files.len() as u64);
    for (at, path) in files.iter().filter(|(at, _)| *at < until) {
        stage.check()?;
        sums.advance(hours, *at);
        let rates = Rates::of(job, &sums);
        let mut out = None;
        read::batches(path, None, |batch| {
            let mut rows = Vec::with_capacity(batch.num_rows());
            read::rows(batch, categories, |_, row| rows.push(row))?;
            let mut fields: Vec<Field> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
            let mut arrays = batch.columns().to_vec();
            for (before, of) in KEYS {
                let tallies: Vec<[Tally; 3]> = rows.iter().map(|row| sums.get(of(row))).collect();
                for c in &table(of(&rows[0])).2 {
                    fields.push(field(format!("{before}{}", c.0), c));
                    arrays.push(column(c, tallies.iter().copied(), &rates));
                }
            }
            let schema = Arc::new(Schema::new(fields));
            if out.is_none() {
                out = Some(Output::create(place(&job.out, "examples", "hour", *at), schema.clone())?);
            }
            if let Some(out) = &mut out {
                out.push(&RecordBatch::try_new(schema, arrays)?)?;
            }
            Ok(())
        })?;
        written += out.map_or(Ok(0), Output::finish)?;
        stage.advance(1);
    }
    Ok(written)
}
