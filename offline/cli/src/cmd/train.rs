//! `adclick train`.

use std::fs::File;
use std::io::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::Precision;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::{self, Manifest, Role};
use adclick::builder::calibrate::{Calibrators, HeadCalibrator};
use adclick::builder::table::{Checks, Table, TableSource, join_shards};
use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::logs::Logs;
use super::pack::{BuildArgs, for_training};
use adclick_data::files::read_text;
use adclick_data::logs::{Lookups, Source};
use adclick_data::progress::Progress;
use adclick_data::schema_file::SchemaFile;
use adclick_measure::weights;
use adclick_train::bundle::{Beside, Holds, Part, Parts, open_table};
use adclick_train::calibrators::{self, Choice, Sample};
use adclick_train::positions::as_logged;
use adclick_train::rows::{fallback, open_engine, score_source};
use adclick_train::trainer::{self, Blueprint, Config, CrossShape, Data, Metrics, Scored, Split};
use adclick_train::unpack::unpack;

/// Train a model on click logs and write a bundle.
///
/// Deep & Cross Network v2 with embeddings and a wide part. Defaults depend on the number of rows and need no tuning.
/// Rows that validate (a tenth by hash of the row number, unless told otherwise) decide when to stop and how to
/// calibrate. The same rows, options and seed give the same bytes.
///
/// Features that read tables (the schema's [[tables]]) take their values from those given with --table, looked up by the
/// columns of [keys], unless the row carries the value itself. A table that is newer than the rows knows what happened
/// after them: give tables as of the rows' time, or log the values (docs/train.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    tables: BuildArgs,
    /// The bundle to write.
    #[arg(long)]
    out: PathBuf,
    /// Which rows validate: `hash` (a tenth), `day` (the last calendar day of UTC), `group:COLUMN` (a tenth of the users,
    /// queries or whatever the column tells apart, with all of their rows), or files of their own.
    #[arg(long, num_args = 1.., value_name = "hash|day|group:COLUMN|FILE", conflicts_with = "split")]
    validation: Vec<String>,
    /// An experiment with test rows that training does not look at: hash:0 to hash:4 (fold = crc32 of "0:ROW" modulo
    /// 10; of rotation r, folds 2r and 2r+1 test, the next two validate), or day (the last day of UTC tests, the one
    /// before validates).
    #[arg(long, value_name = "RULE")]
    split: Option<String>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the rows at most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    /// Rows per step.
    #[arg(long, value_parser = width)]
    batch: Option<usize>,
    /// Learning rate of the dense layers.
    #[arg(long, value_parser = rate)]
    lr: Option<f64>,
    /// Learning rate of the embeddings.
    #[arg(long, value_parser = rate)]
    lr_embedding: Option<f64>,
    /// Weight decay of the dense layers.
    #[arg(long, value_parser = decay)]
    decay: Option<f64>,
    /// Weight decay of the embeddings.
    #[arg(long, value_parser = decay)]
    decay_embedding: Option<f64>,
    /// Share of deep activations dropped while training, from 0 to below 1.
    #[arg(long, value_parser = dropout)]
    dropout: Option<f64>,
    /// Share of embeddings dropped while training, from 0 to below 1.
    #[arg(long, value_parser = dropout)]
    dropout_embedding: Option<f64>,
    /// The cross layers: full, lowrank:R, vector (DCN v1), or mix:EXPERTS:R. A warm start keeps the layers that there are.
    #[arg(long, value_parser = cross_shape, conflicts_with = "warm_start")]
    cross: Option<CrossShape>,
    /// How many cross layers.
    #[arg(long, conflicts_with = "warm_start")]
    cross_layers: Option<usize>,
    /// Widths of the deep layers, such as 64,32.
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS", value_parser = width, conflicts_with = "warm_start")]
    hidden: Option<Vec<usize>>,
    /// Columns of every embedding that is trained. Wins over a schema file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=adclick::builder::schema::MAX_WIDTH as i64), conflicts_with = "warm_start")]
    dim: Option<u32>,
    /// An id needs so many training rows for a row of its own [default: 2 with --format examples, else 5, and 2 more for each tenfold of 10,000 rows up to 8 more]. Wins over
    /// a schema file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    min_count: Option<u32>,
    /// Hash ids into so many rows per table instead of collecting vocabularies. Wins over a schema file's `min_count` and
    /// `max_size`; tables that it gives ids, `count` or `buckets` stay what they are.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["min_count", "warm_start"])]
    hash_buckets: Option<u32>,
    /// Keep this share of unclicked training rows, in (0, 1]; the model's bias is corrected for it.
    #[arg(long, value_name = "RATE", value_parser = super::kept_share)]
    downsample: Option<f64>,
    /// Go on from the model of this bundle, or of the one that CURRENT in this directory names.
    #[arg(long, value_name = "BUNDLE")]
    warm_start: Option<PathBuf>,
    /// The auction policy to put into the bundle.
    #[arg(long, value_name = "TOML")]
    policy: Option<PathBuf>,
    /// The precision that the bundle is to be served in [default: exact]: bf16, int8, auction-exact or exact. The calibrator
    /// is fitted on what it serves.
    #[arg(long, value_name = "NAME", value_parser = super::precision)]
    precision: Option<Precision>,
    /// Leave the model's probabilities as they are instead of choosing a calibrator on the validation rows.
    #[arg(long)]
    no_calibrate: bool,
    /// Replace the bundle at --out if there is one.
    #[arg(long)]
    replace: bool,
    /// Name the bundle in CURRENT beside it.
    #[arg(long)]
    publish: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    out: String,
    generation: String,
    #[serde(flatten)]
    metrics: &'a Metrics,
    calibrator: String,
    precision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_logloss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_rows: Option<usize>,
}

pub(super) fn run(args: Args) -> Result<()> {
    // Before hours of training, not after.
    bundle::check_target(&args.out, args.replace)?;
    let policy = args.policy.as_deref().map(read_policy).transpose()?;
    let mut source = args.logs.source()?;
    let schema = args.logs.schema.as_deref().map(SchemaFile::read).transpose()?;
    let blueprint = match &schema {
        Some(schema) => Blueprint::given(schema),
        None => Blueprint::of(&source.format).context("--format examples needs --schema")?,
    };
    let (config, parent) = args.config()?;
    let split = args.split()?;
    if let Split::Files(paths) = &split {
        apart(&args.logs.data, paths)?;
    }
    let built = args.tables(schema.as_ref())?;
    source.tables = built.lookups;
    let data = Data { source, split };
    let trained = adclick_train::trainer::fit(&config, &data, &blueprint, parent.as_ref(), Progress::detect())?;
    let model = adclick::builder::model::pack_model(&trained.spec)?;
    let (precision, calibrators) = (args.precision, Calibrators::default());
    let mut parts = Parts { model, calibrators, policy, precision, tables: built.parts };
    let mut beside = built.beside;
    let mut served = None;
    if matches!(precision, Some(Precision::Bf16 | Precision::Int8)) && !args.no_calibrate {
        let beside = match &mut beside {
            Some(beside) => beside,
            None => beside.insert(Beside::of(&args.out, args.replace)?),
        };
        served = as_served(&parts, &data, beside)?;
    }
    let choice;
    (parts.calibrators, choice) = calibrate(&trained.validation, served.as_ref(), !args.no_calibrate)?;
    let generation = parts.write(&args.out, args.replace, args.publish)?;
    drop(beside);
    let summary = Summary {
        out: args.out.display().to_string(),
        generation: format!("{generation:016x}"),
        metrics: &trained.metrics,
        precision: precision.unwrap_or(Precision::Exact).name(),
        calibrator: choice.as_ref().map_or("identity".to_owned(), |c| c.calibrator.to_string()),
        test_logloss: trained.test.as_ref().map(|t| t.loss),
        test_rows: trained.test.as_ref().map(|t| t.clicks.len()),
    };
    let mut out = crate::stdout::lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
        return Ok(());
    }
    let m = summary.metrics;
    writeln!(
        out,
        "trained on {} rows in {:.1} s ({:.0} rows/s, {} passes, the best was {})",
        m.rows, m.seconds, m.rows_per_second, m.epochs, m.best_epoch
    )?;
    writeln!(out, "click rate: {:.4}%", 100.0 * m.click_rate)?;
    writeln!(out, "validation: {} rows, log loss {:.5}", m.validation_rows, m.validation_loss)?;
    for (head, share) in m.heads.iter().zip(&m.network_shares) {
        writeln!(out, "{head}: {:.0}% network, {:.0}% wide part alone", 100.0 * share, 100.0 * (1.0 - share))?;
    }
    for (rows, what) in [
        (m.weightless_rows, "rows of weight 0 count nothing"),
        (m.unknown_conversions, "clicked training rows have conversions that are not known yet"),
        (m.unclicked_conversions, "rows have a conversion but no click: they count as unclicked"),
    ] {
        if rows > 0 {
            writeln!(out, "{rows} {what}")?;
        }
    }
    if let (Some(loss), Some(rows)) = (summary.test_logloss, summary.test_rows) {
        writeln!(out, "test:       {rows} rows, log loss {loss:.5} before calibration")?;
    }
    if m.bad_rows > 0 {
        writeln!(out, "{} malformed rows were skipped", m.bad_rows)?;
    }
    for found in &m.tables {
        writeln!(out, "{found}")?;
    }
    writeln!(out, "calibrator: {}", summary.calibrator)?;
    writeln!(out, "precision: {}", summary.precision)?;
    writeln!(out, "wrote {} (generation {})", summary.out, summary.generation)?;
    Ok(())
}

/// The tables of a model to be trained.
#[derive(Default)]
struct BuiltTables {
    /// For the rows; `None` when the model reads no table.
    lookups: Option<Arc<Lookups>>,
    /// For the bundle.
    parts: Vec<Part>,
    /// Where they are until the bundle links them.
    beside: Option<Beside>,
}

/// Opens table files, shards of one table together.
fn open_tables(parts: &[Part]) -> Result<Vec<TableSource>> {
    let mut files: Vec<(Arc<Table>, &str)> = Vec::new();
    for part in parts {
        let (Holds::Copy(path) | Holds::Link(path)) = &part.holds else { continue };
        // Rows need no look: they were just written, or checked when they were taken.
        files.push((Arc::new(open_table(path, Checks::Structure)?), &part.name));
    }
    Ok(join_shards(files)?)
}

/// The validation rows in the arithmetic that serves; `None` when this CPU serves exact.
fn as_served(parts: &Parts, data: &Data, beside: &Beside) -> Result<Option<Scored>> {
    let bundle = beside.path().join("uncalibrated");
    // At the positions that were logged, as the clicks are.
    let logged = as_logged(&parts.model)?.map(|model| Parts { model, ..parts.clone() });
    logged.as_ref().unwrap_or(parts).write(&bundle, true, false)?;
    let engine = open_engine(&bundle, None, None)?;
    if let Some(warning) = fallback(&engine)? {
        eprintln!("warning: {warning}: the calibrator is fitted on exact logits");
        return Ok(None);
    }
    let progress = Progress::detect();
    let rows = match &data.split {
        Split::Files(paths) => {
            let source = Source { paths: paths.clone(), ..data.source.clone() };
            score_source(&engine, &source, |_| true, None, &[], progress)?
        }
        _ => {
            let roles = data.roles(progress)?;
            score_source(&engine, &data.source, |row| roles.of(row) == trainer::Role::Validation, None, &[], progress)?
        }
    };
    Ok(Some(Scored {
        click_logits: rows.logits,
        conversion_logits: rows.cvr_logits,
        clicks: rows.clicks,
        conversions: rows.conversions,
        weights: rows.weights.iter().map(|&w| w as f32).collect(),
        loss: f64::NAN,
    }))
}

/// The calibrators that the validation rows speak for, and the choice for the first head. Which kind it is, the exact logits say, so that
/// one model gets the same kind in every precision; its numbers are fitted on the logits that are `served`, if those are others.
fn calibrate(exact: &Scored, served: Option<&Scored>, wanted: bool) -> Result<(Calibrators, Option<Choice>)> {
    let mut calibrators = Calibrators::default();
    let mut first = None;
    if !wanted {
        return Ok((calibrators, None));
    }
    let heads = [(&mut calibrators.ctr, clicks_of as LabelsOf), (&mut calibrators.cvr, conversions_of)];
    for (calibrator, rows) in heads {
        let (logits, labels, weights) = rows(exact);
        if logits.is_empty() {
            continue;
        }
        let mut choice = calibrators::choose(&Sample::new(&logits, &labels, Some(&weights))?)?;
        if let Some(served) = served {
            let (logits, labels, weights) = rows(served);
            choice.calibrator = calibrators::fit(choice.method, &Sample::new(&logits, &labels, Some(&weights))?)?;
        }
        *calibrator = HeadCalibrator::new(1.0, choice.calibrator.clone())?;
        first = first.or(Some(choice));
    }
    Ok((calibrators, first))
}

/// Logits, labels and weights that a head is calibrated on.
type Labels = (Vec<f64>, Vec<bool>, Vec<f64>);
type LabelsOf = fn(&Scored) -> Labels;

fn clicks_of(rows: &Scored) -> Labels {
    labelled(rows, 0..rows.click_logits.len(), &rows.click_logits, |row| rows.clicks[row])
}

/// Clicked rows whose conversion is known.
fn conversions_of(rows: &Scored) -> Labels {
    let known = (0..rows.conversion_logits.len()).filter(|&row| rows.clicks[row] && rows.conversions[row].is_some());
    labelled(rows, known, &rows.conversion_logits, |row| rows.conversions[row] == Some(true))
}

fn labelled(
    rows: &Scored,
    which: impl Iterator<Item = usize> + Clone,
    logits: &[f64],
    label: impl Fn(usize) -> bool,
) -> Labels {
    let mut weights: Vec<f64> = rows.weights.iter().map(|&w| w.into()).collect();
    weights::by_their_mean(&mut weights);
    let logits = which.clone().map(|row| logits[row]).collect();
    (logits, which.clone().map(label).collect(), which.map(|row| weights[row]).collect())
}

/// Refuses a file that is to train and to validate: under another name, by a link, or as a copy.
fn apart(training: &[PathBuf], validation: &[PathBuf]) -> Result<()> {
    let missing = |path: &Path| format!("cannot read {}", path.display());
    for held_out in validation {
        let size = held_out.metadata().with_context(|| missing(held_out))?.len();
        for path in training {
            let same = path.metadata().with_context(|| missing(path))?.len() == size
                && (path.canonicalize().ok() == held_out.canonicalize().ok() || same_bytes(path, held_out)?);
            ensure!(
                !same,
                "--validation {} holds the same rows as --data {}: a model validates on rows that it was not trained on. Give \
                 others, or leave --validation out to hold out a tenth",
                held_out.display(),
                path.display()
            );
        }
    }
    Ok(())
}

/// Whether two files of one size hold the same bytes.
fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let open = |path: &Path| {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::Ok(BufReader::with_capacity(1 << 20, file))
    };
    let (mut a, mut b) = (open(a)?, open(b)?);
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let n = left.len().min(right.len());
        if n == 0 {
            return Ok(left.len() == right.len());
        }
        if left[..n] != right[..n] {
            return Ok(false);
        }
        a.consume(n);
        b.consume(n);
    }
}

fn read_policy(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    adclick::auction::Policy::parse(&text).with_context(|| path.display().to_string())?;
    Ok(text)
}

fn cross_shape(text: &str) -> Result<CrossShape, String> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|&n| n > 0);
    let parts: Vec<&str> = text.split(':').collect();
    let shape = match parts.as_slice() {
        ["full"] => Some(CrossShape::Full),
        ["vector"] => Some(CrossShape::Vector),
        ["lowrank", rank] => number(rank).map(CrossShape::LowRank),
        ["mix", experts, rank] => {
            number(experts).zip(number(rank)).map(|(experts, rank)| CrossShape::Mixture { experts, rank })
        }
        _ => None,
    };
    shape.ok_or_else(|| "expected full, lowrank:R, vector or mix:EXPERTS:R, numbers of 1 or more".to_owned())
}

fn number(text: &str, holds: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&x: &f64| x.is_finite() && holds(x)).ok_or_else(|| format!("expected {expected}"))
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, |x| x > 0.0, "a number above 0")
}

fn decay(text: &str) -> Result<f64, String> {
    number(text, |x| x >= 0.0, "a number of 0 or more")
}

fn dropout(text: &str) -> Result<f64, String> {
    number(text, |x| (0.0..1.0).contains(&x), "a number from 0 to below 1")
}

fn width(text: &str) -> Result<usize, String> {
    let most = adclick::builder::schema::MAX_WIDTH;
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| format!("expected 1 to {most}"))
}

impl Args {
    fn split(&self) -> Result<Split> {
        if let Some(rule) = &self.split {
            return Split::experiment(rule);
        }
        Ok(match self.validation.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] | ["hash"] => Split::Hash,
            ["day"] => Split::Day,
            [group] if group.starts_with("group:") => Split::Group(group["group:".len()..].to_owned()),
            files => Split::Files(files.iter().map(PathBuf::from).collect()),
        })
    }

    /// Builds the tables that the model reads.
    fn tables(&self, schema: Option<&SchemaFile>) -> Result<BuiltTables> {
        let Some(schema) = schema.filter(|s| !s.enrichment.is_empty()) else {
            ensure!(
                !self.tables.any(),
                "--table: the model reads no table: give --schema with [[tables]] and features that read them"
            );
            return Ok(BuiltTables::default());
        };
        let (beside, progress) = (Beside::of(&self.out, self.replace)?, Progress::detect());
        let (mut parts, summaries) =
            for_training(&self.tables, schema, self.logs.max_bad_rows, beside.path(), progress)?;
        for table in summaries.iter().filter(|t| t.bad_rows > 0) {
            eprintln!("warning: table {}: {} malformed rows were left out, the first:", table.name, table.bad_rows);
            table.bad.iter().for_each(|message| eprintln!("  {message}"));
        }
        // The same tables have the same generation, whatever came first.
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        let lookups = Lookups::new(&schema.schema, &schema.enrichment, open_tables(&parts)?)?;
        Ok(BuiltTables { lookups: Some(Arc::new(lookups)), parts, beside: Some(beside) })
    }

    fn config(&self) -> Result<(Config, Option<adclick::builder::artifact::model::spec::ModelSpec>)> {
        let parent = self.warm_start.as_deref().map(read_model).transpose()?;
        let config = Config {
            seed: self.seed,
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            lr_embedding: self.lr_embedding,
            decay: self.decay,
            decay_embedding: self.decay_embedding,
            dropout: self.dropout,
            dropout_embedding: self.dropout_embedding,
            cross: self.cross,
            cross_layers: self.cross_layers,
            hidden: self.hidden.clone(),
            dim: self.dim,
            min_count: self.min_count,
            hash_buckets: self.hash_buckets,
            downsample: self.downsample,
            parent: parent.as_ref().map(|p| p.0.clone()),
            ..Config::default()
        };
        Ok((config, parent.map(|p| p.1)))
    }
}

/// A bundle's generation and its model, to go on from.
fn read_model(bundle: &Path) -> Result<(String, adclick::builder::artifact::model::spec::ModelSpec)> {
    let bundle = &super::verify::resolve(bundle)?;
    let manifest = Manifest::read(bundle)?;
    let entry = manifest.file(Role::Model).context("the bundle has no model")?;
    let path = bundle.join(&entry.name);
    let model = adclick::builder::artifact::model::Model::open(Bytes::open(&path, OpenMode::Map)?)
        .with_context(|| path.display().to_string())?;
    Ok((format!("{:016x}", manifest.generation()), unpack(&model)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_does_not_train_and_validate() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, text) in
            [("a.csv", "x,click\n1,0\n"), ("copy.csv", "x,click\n1,0\n"), ("other.csv", "x,click\n1,1\n")]
        {
            std::fs::write(path(name), text).unwrap();
        }
        std::fs::hard_link(path("a.csv"), path("link.csv")).unwrap();
        for same in ["a.csv", "copy.csv", "link.csv"] {
            let error = apart(&[path("other.csv"), path("a.csv")], &[path(same)]).unwrap_err().to_string();
            assert!(error.contains(same) && error.contains("same rows"), "{error}");
        }
        apart(&[path("a.csv")], &[path("other.csv")]).unwrap();
        let error = format!("{:#}", apart(&[path("a.csv")], &[path("none.csv")]).unwrap_err());
        assert!(error.contains("none.csv"), "{error}");
    }
}
