//! The demo. Each step is a command that anyone can run, and is printed as it runs.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adclick::builder::schema::Side;
use adclick_data::logs::{InputKind, LogFiles};
use adclick_data::progress::{JobStage, Progress};
use adclick_train::rows::open_engine;
use adclick_train::trainer::{Data, Split, SplitRole};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;

use crate::stdout;
use crate::synthetic;

/// The split of the rows: rows to train, to validate, and to hold out for measuring and serving.
const SPLIT: &str = "hash:0";
/// The number of requests written for the server, which repeats them.
const REQUESTS: usize = 200;

/// The settings of a demo.
#[derive(Debug)]
pub struct Demo {
    /// The C++ server.
    pub server: PathBuf,
    /// The directory for files.
    pub dir: PathBuf,
    /// The rows.
    pub source: LogFiles,
    /// The rows' file.
    pub data: PathBuf,
    /// The name of their format.
    pub format: String,
    /// Their schema file, of format `examples`.
    pub schema: Option<PathBuf>,
    /// Candidates of a request.
    pub candidates: usize,
    /// Seconds to serve.
    pub seconds: u32,
}

/// Runs the demonstration and prints its summary.
///
/// # Errors
/// The first step that fails.
pub fn run(demo: &Demo) -> Result<()> {
    let begin = Instant::now();
    let bundles = demo.dir.join("bundles");
    fs::create_dir_all(&bundles)?;
    let first = bundles.join("first");
    let retrained = bundles.join("retrained");
    let made = demo.make(&demo.dir.join("model-1"), &first, &[])?;
    let warm = ["--warm-start", path(&first)?, "--seed", "1"];
    demo.make(&demo.dir.join("model-2"), &retrained, &warm)?;
    adclick::builder::bundle::publish(&first)?;
    for bundle in [&first, &retrained] {
        demo.adclick(&["verify", path(bundle)?])?;
    }
    let requests = demo.dir.join("requests.txt");
    let held_out = demo.write_requests(&first, &requests)?;
    let (served, swaps) = demo.serve(&bundles, &requests, [&first, &retrained])?;
    write!(stdout::lock(), "{}", demo.summary(&made, &served, swaps, held_out)?)?;
    writeln!(
        stdout::lock(),
        "\nThe whole demo took {:.0} s. Files are in {}.",
        begin.elapsed().as_secs_f64(),
        demo.dir.display()
    )?;
    ensure!(number(&served, "lost")? == 0.0, "requests were lost");
    Ok(())
}

impl Demo {
    /// Trains a model, fits its calibrator on the validation rows, and measures both on the held-out rows.
    fn make(&self, model: &Path, bundle: &Path, more: &[&str]) -> Result<Made> {
        let (model, bundle) = (path(model)?, path(bundle)?);
        let rows = self.rows()?;
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let train = [&["train"], &rows[..], &["--out", model, "--no-calibrate", "--json"], more].concat();
        let train = self.adclick(&train)?;
        let calibrate = [&["calibrate", "--bundle", model], &rows[..], &["--out", bundle, "--json"]].concat();
        let calibrate = self.adclick(&calibrate)?;
        let raw = self.adclick(&[&["evaluate", "--bundle", model], &rows[..], &["--json"]].concat())?;
        let calibrated = self.adclick(&[&["evaluate", "--bundle", bundle], &rows[..], &["--json"]].concat())?;
        Ok(Made { train, calibrate, raw, calibrated })
    }

    fn rows(&self) -> Result<Vec<String>> {
        let mut rows = vec!["--data".to_owned(), path(&self.data)?.to_owned()];
        rows.extend(["--format".to_owned(), self.format.clone()]);
        if let Some(schema) = &self.schema {
            rows.extend(["--schema".to_owned(), path(schema)?.to_owned()]);
        }
        rows.extend(["--split".to_owned(), SPLIT.to_owned()]);
        Ok(rows)
    }

    /// Runs this program with other arguments and prints the command. Returns its output, if that is JSON.
    fn adclick(&self, arguments: &[&str]) -> Result<Json> {
        writeln!(stdout::lock(), "$ adclick {}", arguments.join(" "))?;
        let output = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run the adclick command")?;
        ensure!(output.status.success(), "adclick {} failed ({})", arguments[0], output.status);
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Json::Null))
    }

    /// Writes requests made of held-out rows: one row's request side, many rows' candidate sides. Returns the number of
    /// rows used.
    fn write_requests(&self, bundle: &Path, to: &Path) -> Result<usize> {
        let engine = open_engine(bundle, None, None)?;
        let generation = engine.generation()?;
        let columns = self.source.format.columns();
        let sides: Vec<Option<Side>> = columns
            .inputs
            .iter()
            .map(|input| {
                let features = &generation.model().schema().features;
                features.iter().find(|f| f.input == input.name).map(adclick::builder::schema::Feature::side)
            })
            .collect();
        let data = Data { source: self.source.clone(), split: Split::experiment(SPLIT)? };
        let roles = data.roles(&Progress::silent())?;
        let mut rows: Vec<((i64, i32), String, String)> = Vec::new();
        data.source.for_each(&JobStage::silent(), |batch| {
            for row in batch.rows().iter().filter(|row| roles.of(row) == SplitRole::Test) {
                let (mut request, mut candidate) = (String::new(), String::new());
                for value in batch.values(row) {
                    let input = &columns.inputs[value.input as usize];
                    let (to, letter) = match sides[value.input as usize] {
                        Some(Side::Request) => (&mut request, 'V'),
                        Some(Side::Candidate) => (&mut candidate, 'W'),
                        None => continue,
                    };
                    let _ = writeln!(to, "{letter} {} {} {}", input.name, weight(input.kind, value.number), value.id);
                }
                rows.push(((row.time_us.unwrap_or(0), row.utc_offset_s), request, candidate));
            }
            Ok(())
        })?;
        ensure!(!rows.is_empty(), "no row is held out by {SPLIT}: the file is too small for a demo");
        let mut text = String::new();
        for id in 0..REQUESTS.min(rows.len()) {
            let ((time_us, offset), request, _) = &rows[id];
            let _ = writeln!(text, "R {} {time_us} {offset} 3", id + 1);
            text += request;
            for c in 0..self.candidates {
                let ad = (id * 37 + c) % rows.len();
                // Bids of 0.20 to 2.19 per click, with a reserve of 0.05; no two requests alike.
                let bid = 200_000 + adclick::builder::hash::mix(ad as u64) % 2_000_000;
                let _ = writeln!(text, "C {} {} {bid} cpc 50000", ad + 1, ad % 40 + 1);
                text += &rows[ad].2;
            }
        }
        fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))?;
        Ok(rows.len())
    }

    /// Serves with the C++ program and publishes the two bundles in turn meanwhile.
    fn serve(&self, bundles: &Path, requests: &Path, turns: [&Path; 2]) -> Result<(Json, usize)> {
        let seconds = self.seconds.max(2);
        let arguments = ["--bundles", path(bundles)?, "--requests", path(requests)?];
        writeln!(stdout::lock(), "$ {} {} --seconds {seconds}", self.server.display(), arguments.join(" "))?;
        let mut server = Command::new(&self.server)
            .args(arguments)
            .args(["--seconds", &seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.server.display()))?;
        let begin = Instant::now();
        let mut turn = 0;
        // Swaps stop before the end, so that the last bundle is served too.
        while begin.elapsed() < Duration::from_millis(u64::from(seconds) * 1000 - 900) && server.try_wait()?.is_none() {
            std::thread::sleep(Duration::from_millis(700));
            turn += 1;
            adclick::builder::bundle::publish(turns[turn % 2])?;
        }
        let output = server.wait_with_output()?;
        if !output.status.success() {
            bail!("the server failed ({}): {}", output.status, String::from_utf8_lossy(&output.stdout));
        }
        let served = serde_json::from_slice(&output.stdout).context("the server's summary is not JSON")?;
        Ok((served, turn))
    }

    fn summary(&self, made: &Made, served: &Json, swaps: usize, held_out: usize) -> Result<String> {
        let Made { train, raw, calibrated, .. } = made;
        let mut out = String::from("\n");
        let mut line = |label: &str, text: String| {
            let _ = writeln!(out, "  {label:<22} {text}");
        };
        let rows = number(train, "rows")? + number(train, "validation_rows")? + number(raw, "rows")?;
        line(
            "rows",
            format!(
                "{rows:.0} ({:.0} train, {:.0} validate, {held_out} held out)",
                number(train, "rows")?,
                number(train, "validation_rows")?
            ),
        );
        line("click rate", format!("{:.4}", number(raw, "ctr")?));
        line("AUC", format!("{:.4}", number(calibrated, "auc")?));
        line(
            "log loss",
            format!("{:.4} before calibration, {:.4} after", number(raw, "logloss")?, number(calibrated, "logloss")?),
        );
        line("NE", format!("{:.4} before calibration, {:.4} after", number(raw, "ne")?, number(calibrated, "ne")?));
        line(
            "ECE, equal widths",
            format!("{:.4} before calibration, {:.4} after", number(raw, "ece")?, number(calibrated, "ece")?),
        );
        line(
            "ECE, equal masses",
            format!(
                "{:.4} before calibration, {:.4} after; a perfect model shows {:.4} on so few rows",
                number(raw, "ece_equal_mass")?,
                number(calibrated, "ece_equal_mass")?,
                number(calibrated, "ece_equal_mass_noise")?
            ),
        );
        let chosen = &made.calibrate["ctr"];
        line("calibrator", format!("{}: {}", text(chosen, "calibrator"), text(chosen, "reason")));
        if self.format == "examples" {
            line("log loss of the truth", format!("{:.4}", self.truth()?));
        }
        line("served by", format!("C++ through libadclick, kernel {}", text(served, "kernel")));
        line(
            "requests",
            format!(
                "{:.0} of {} candidates, {:.0} lost",
                number(served, "requests")?,
                self.candidates,
                number(served, "lost")?
            ),
        );
        line(
            "latency per request",
            format!(
                "p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
                number(served, "p50_us")?,
                number(served, "p99_us")?,
                number(served, "p999_us")?
            ),
        );
        line("predictions", format!("{:.2} million per second", number(served, "predictions_per_second")? / 1e6));
        let generations = served["generations"].as_array().map_or(0, Vec::len);
        line("hot swaps", format!("{swaps} while serving, {generations} generations seen by requests"));
        Ok(out)
    }

    /// The log loss of the generator's own probabilities on the held-out rows.
    fn truth(&self) -> Result<f64> {
        let mut reader = csv::Reader::from_path(&self.data)?;
        let headers = reader.headers()?.clone();
        let at = |name: &str| headers.iter().position(|h| h == name).with_context(|| format!("no column {name}"));
        let (click, truth) = (at("click")?, at(synthetic::TRUTH)?);
        let data = Data { source: self.source.clone(), split: Split::experiment(SPLIT)? };
        let roles = data.roles(&Progress::silent())?;
        let (mut sum, mut n) = (0.0, 0.0);
        for (row, record) in reader.records().enumerate() {
            let record = record?;
            if roles.of_number(row as u64) == SplitRole::Test {
                sum += adclick_measure::loss::row_log_loss(record[truth].parse()?, &record[click] == "1");
                n += 1.0;
            }
        }
        Ok(sum / n)
    }
}

/// The output of the steps that make a model.
struct Made {
    train: Json,
    calibrate: Json,
    raw: Json,
    calibrated: Json,
}

/// A category's weight is 1, regardless of what the reader filled in.
fn weight(kind: InputKind, number: f32) -> f32 {
    match kind {
        InputKind::Number | InputKind::Vector(..) => number,
        InputKind::Text | InputKind::Integer | InputKind::Texts(_) | InputKind::Integers(_) => 1.0,
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or("?")
}

fn number(json: &Json, key: &str) -> Result<f64> {
    json[key].as_f64().with_context(|| format!("a step's summary has no `{key}`"))
}
