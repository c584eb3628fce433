//! Scores a file of inputs or logged rows, and writes the outputs as tensors.

use std::path::{Path, PathBuf};
use std::time::Instant;

use adclick::Precision;
use adclick_data::files::{read_file, write_over_own};
use adclick_data::logs::{Labels, LogFiles, TableHits};
use adclick_data::progress::Progress;
use anyhow::{Context, Result};
use safetensors::tensor::{Dtype, TensorView};

use crate::pack::inputs::InputRows;
use crate::pack::run::{BundleScorer, RowScores};
use crate::rows::{fallback, score_source};

/// A scoring job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The bundle, or the directory whose `CURRENT` names it.
    pub bundle: PathBuf,
    /// The rows to score.
    pub rows: RowsToScore,
    /// The safetensors file to write. An existing file is replaced only if an earlier job wrote it.
    pub output: PathBuf,
    /// The kernel to use instead of the best one.
    pub kernel: Option<String>,
    /// The precision to score in instead of the bundle's.
    pub precision: Option<Precision>,
}

/// The rows that a scoring job reads.
#[derive(Debug, Clone)]
pub enum RowsToScore {
    /// A safetensors file of inputs.
    Inputs(PathBuf),
    /// Logged rows, each as a request of one candidate. Labels are not needed.
    Logs(Box<LogFiles>),
}

/// The result of a scoring job.
#[derive(Debug, Clone)]
pub struct Done {
    /// The rows of the output.
    pub rows: usize,
    /// Rows with outputs that are not NaN.
    pub scored: usize,
    /// Rows with an input that is NaN or infinite; of logs, malformed rows that were skipped.
    pub bad_rows: usize,
    /// The generation of the bundle.
    pub generation: u64,
    /// The kernel that scored.
    pub kernel: &'static str,
    /// The precision that it scored in.
    pub precision: Precision,
    /// Seconds spent in the scorer; of logs, reading included.
    pub seconds: f64,
    /// How many logged rows found their key in each table.
    pub tables: Vec<TableHits>,
}

/// Scores rows with a bundle and writes the outputs: `pctr` and `logit`, `pcvr` and `logit_cvr`, `pctcvr`, and for logs
/// `row`, the number of each row in the files.
///
/// # Errors
/// A bundle or files that cannot be read, a precision or a kernel that is not available, inputs that do not fit the model,
/// an output file that is not an earlier job's.
pub fn score(job: &Job, progress: &Progress) -> Result<Done> {
    let mut scorer = BundleScorer::open(&job.bundle, job.kernel.as_deref(), job.precision)?;
    let (scores, numbers, tables) = match &job.rows {
        RowsToScore::Inputs(path) => (score_inputs(&mut scorer, path, progress)?, None, Vec::new()),
        RowsToScore::Logs(source) => score_logs(&scorer, LogFiles::clone(source), progress)?,
    };
    write(&job.output, &scores, numbers.as_deref())?;
    if let Some(warning) = fallback(scorer.engine())? {
        progress.warn(&warning);
    }
    let (probabilities, _) = scores.ctr.as_ref().or(scores.cvr.as_ref()).context("the model predicts nothing")?;
    // The precision that a call without an auction serves.
    let precision = match scorer.engine().model()?.precision {
        Precision::AuctionExact => Precision::Exact,
        other => other,
    };
    Ok(Done {
        rows: probabilities.len(),
        scored: probabilities.iter().filter(|p| !p.is_nan()).count(),
        bad_rows: scores.bad_rows,
        generation: scorer.generation()?,
        kernel: scorer.kernel(),
        precision,
        seconds: scores.spent.as_secs_f64(),
        tables,
    })
}

fn score_inputs(scorer: &mut BundleScorer, path: &Path, progress: &Progress) -> Result<RowScores> {
    let bytes = read_file(path)?;
    let inputs = InputRows::parse(&bytes, scorer.schema()).with_context(|| path.display().to_string())?;
    drop(bytes);
    scorer.score(&inputs, &progress.rows("Scoring rows", inputs.rows() as u64))
}

/// The scores of logged rows, the rows' numbers in the files, and how many found their key in each table.
type LogScores = (RowScores, Option<Vec<u64>>, Vec<TableHits>);

fn score_logs(scorer: &BundleScorer, mut source: LogFiles, progress: &Progress) -> Result<LogScores> {
    source.labels = Labels::Optional;
    let begin = Instant::now();
    let rows = score_source(scorer.engine(), &source, |_| true, None, &[], progress)?;
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let scores = RowScores {
        ctr: (!rows.pctr.is_empty()).then(|| (narrow(&rows.pctr), narrow(&rows.logits))),
        cvr: (!rows.pcvr.is_empty()).then(|| (narrow(&rows.pcvr), narrow(&rows.cvr_logits))),
        bad_rows: usize::try_from(rows.bad_rows)?,
        spent: begin.elapsed(),
    };
    Ok((scores, Some(rows.numbers), rows.tables))
}

/// Writes a temporary file, syncs it and renames it.
fn write(path: &Path, scores: &RowScores, numbers: Option<&[u64]>) -> Result<()> {
    let mut columns = Vec::new();
    if let Some((pctr, logit)) = &scores.ctr {
        columns.extend([("pctr", pctr.clone()), ("logit", logit.clone())]);
    }
    if let Some((pcvr, logit)) = &scores.cvr {
        columns.extend([("pcvr", pcvr.clone()), ("logit_cvr", logit.clone())]);
    }
    if let (Some((pctr, _)), Some((pcvr, _))) = (&scores.ctr, &scores.cvr) {
        columns.push(("pctcvr", pctr.iter().zip(pcvr).map(|(a, b)| a * b).collect()));
    }
    let bytes: Vec<(&str, Vec<u8>)> =
        columns.iter().map(|(name, v)| (*name, v.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let mut views = bytes
        .iter()
        .map(|(name, b)| Ok((*name, TensorView::new(Dtype::F32, vec![b.len() / 4], b)?)))
        .collect::<Result<Vec<_>>>()?;
    let numbers: Option<Vec<u8>> = numbers.map(|n| n.iter().flat_map(|x| x.to_le_bytes()).collect());
    if let Some(bytes) = &numbers {
        views.push(("row", TensorView::new(Dtype::I64, vec![bytes.len() / 8], bytes)?));
    }
    let text = safetensors::serialize(views, None)?;
    // The names of its tensors come first.
    let has = |head: &[u8], name: &str| head.windows(name.len()).any(|w| w == name.as_bytes());
    let pairs = [["\"pctr\"", "\"logit\""], ["\"pcvr\"", "\"logit_cvr\""]];
    let is_ours = |head: &[u8]| pairs.iter().any(|pair| pair.iter().all(|name| has(head, name)));
    write_over_own(path, "what an earlier `adclick score` wrote", is_ours, |out| Ok(out.write_all(&text)?))
}
