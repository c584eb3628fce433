//! `adclick train`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adclick::Precision;
use adclick_data::files::read_text;
use adclick_data::schema_file::SchemaFile;
use adclick_train::jobs::BundleTarget;
use adclick_train::jobs::train::{Done, Job, Parent, train};
use adclick_train::trainer::{Checkpoints, Config, CrossShape, Split};
use anyhow::{Context, Result};

use super::logs::Logs;
use super::pack::BuildArgs;
use crate::progress::on_stderr;

/// Train a model on click logs and write a bundle.
///
/// The model is a Deep & Cross Network v2 with embeddings and a wide part. Defaults depend on the number of rows and need no
/// tuning. Validation rows (by default a tenth, by hash of the row number) decide when to stop and how to calibrate. The
/// same rows, options and seed give the same bytes.
///
/// Features that read tables (the schema's [[tables]]) look their values up in those given with --table, by the columns of
/// [keys], unless the row carries the value itself. A table that is newer than the rows leaks what happened after them: give
/// tables as of the rows' time, or log the values (docs/train.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    tables: BuildArgs,
    /// The bundle to write.
    #[arg(long)]
    out: PathBuf,
    /// Which rows validate: `hash` (a tenth), `day` (the last calendar day of UTC), `group:COLUMN` (all rows of a tenth of
    /// the users, queries or other values of the column), or the rows of separate files.
    #[arg(long, num_args = 1.., value_name = "hash|day|group:COLUMN|FILE", conflicts_with = "split")]
    validation: Vec<String>,
    /// Keep test rows apart, which training does not look at: hash:0 to hash:4 (fold = crc32 of "0:ROW" modulo 10; rotation
    /// r tests on folds 2r and 2r+1 and validates on the next two), or day (the last day of UTC tests, the one before it
    /// validates).
    #[arg(long, value_name = "RULE")]
    split: Option<String>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most passes over the rows.
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
    /// The cross layers: full, lowrank:R, vector (DCN v1), or mix:EXPERTS:R. A warm start keeps its layers.
    #[arg(long, value_parser = cross_shape, conflicts_with = "warm_start")]
    cross: Option<CrossShape>,
    /// How many cross layers.
    #[arg(long, conflicts_with = "warm_start")]
    cross_layers: Option<usize>,
    /// Widths of the deep layers, such as 64,32.
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS", value_parser = width, conflicts_with = "warm_start")]
    hidden: Option<Vec<usize>>,
    /// Columns of every embedding that is trained. Overrides a schema file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=adclick::builder::schema::MAX_WIDTH as i64), conflicts_with = "warm_start")]
    dim: Option<u32>,
    /// Give an id a row of its own from this many training rows on [default: 2 with --format examples, else 5, and 2 more
    /// for each tenfold of 10,000 rows up to 8 more]. Overrides a schema file.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    min_count: Option<u32>,
    /// Hash ids into this many rows per table instead of collecting vocabularies. Overrides `min_count` and `max_size` of a
    /// schema file; tables for which it gives ids, `count` or `buckets` stay as they are.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), conflicts_with_all = ["min_count", "warm_start"])]
    hash_buckets: Option<u32>,
    /// Keep this share of unclicked training rows, in (0, 1]; the model's bias is corrected for it.
    #[arg(long, value_name = "RATE", value_parser = super::kept_share)]
    downsample: Option<f64>,
    /// Whether the model learns from the validation rows, too, once they have chosen: `yes` trains it a second time, as many
    /// passes over all rows. Calibrators are fitted to what the first one says of rows that it has not seen [default: yes up to
    /// 262,144 rows, no with --no-calibrate].
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    refit: Option<bool>,
    /// Threads to train on; their number does not change the model [default: one for each core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Keep the run in this file while it trains. A run that was killed loses at most the time between two checkpoints, and goes
    /// on with --resume, to the same bytes. The file is removed once the bundle is written.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// The time between two checkpoints, in seconds.
    #[arg(long, value_name = "SECONDS", value_parser = rate, default_value = "45", requires = "checkpoint")]
    checkpoint_every: f64,
    /// Go on from the file of --checkpoint, if there is one. It takes the same rows and options; threads may differ.
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// Continue training the model of this bundle, or of the one that CURRENT in this directory names.
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

pub(super) fn run(args: Args) -> Result<()> {
    let json = args.json;
    let done = train(args.job()?, &on_stderr())?;
    show(&done, json)
}

/// The output, for a script or a person.
fn show(done: &Done, json: bool) -> Result<()> {
    let mut out = crate::stdout::lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(done)?)?;
        return Ok(());
    }
    let m = &done.metrics;
    writeln!(
        out,
        "trained on {} rows in {:.1} s ({:.0} rows/s, {} passes, the best was {})",
        m.rows, m.seconds, m.rows_per_second, m.epochs, m.best_epoch
    )?;
    writeln!(out, "click rate: {:.4}%", 100.0 * m.click_rate)?;
    writeln!(out, "validation: {} rows, log loss {:.5}", m.validation_rows, m.validation_loss)?;
    if m.refit_rows > 0 {
        writeln!(out, "trained again on all {} rows: validation rows among them", m.refit_rows)?;
    }
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
    if let (Some(loss), Some(rows)) = (done.test_logloss, done.test_rows) {
        writeln!(out, "test:       {rows} rows, log loss {loss:.5} before calibration")?;
    }
    if m.bad_rows > 0 {
        writeln!(out, "{} malformed rows were skipped", m.bad_rows)?;
    }
    for found in &m.tables {
        writeln!(out, "{found}")?;
    }
    writeln!(out, "calibrator: {}", done.calibrator)?;
    writeln!(out, "precision: {}", done.precision)?;
    writeln!(out, "wrote {} (generation {})", done.out, done.generation)?;
    Ok(())
}

impl Args {
    fn job(self) -> Result<Job> {
        Ok(Job {
            policy: self.policy.as_deref().map(read_policy).transpose()?,
            source: self.logs.source()?,
            schema: self.logs.schema.as_deref().map(SchemaFile::read).transpose()?,
            config: self.config(),
            parent: self.warm_start.as_deref().map(Parent::read).transpose()?,
            split: self.split()?,
            tables: self.tables.tables(self.logs.max_bad_rows),
            precision: self.precision,
            calibrate: !self.no_calibrate,
            target: BundleTarget { path: self.out, replace: self.replace, publish: self.publish },
        })
    }

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

    fn config(&self) -> Config {
        Config {
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
            refit: self.refit,
            threads: self.threads.map(usize::from),
            checkpoint: self.checkpoint.clone().map(|file| Checkpoints {
                file,
                resume: self.resume,
                // A century is as good as never, and a `Duration` holds it.
                every: Duration::from_secs_f64(self.checkpoint_every.min(3e9)),
            }),
            ..Config::default()
        }
    }
}

fn read_policy(path: &Path) -> Result<String> {
    let text = read_text(path)?;
    adclick::auction::Policy::parse(&text).with_context(|| path.display().to_string())?;
    Ok(text)
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("expected yes or no".to_owned()),
    }
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
