//! Input rows through the serving path.

use std::path::Path;
use std::time::{Duration, Instant};

use adclick::builder::artifact::model::spec::GoldenValue;
use adclick::builder::schema::{Schema, Side};
use adclick::{Candidate, Precision, Request, Value};
use adclick::{Engine, Input, Scorer, ScorerLimits};
use adclick_data::progress::JobStage;
use anyhow::{Result, anyhow};

use super::inputs::InputRows;
use crate::rows::{heads, open_engine};

/// Rows of one call.
const BATCH: usize = 256;

/// A bundle's outputs for input rows; NaN for rows with inputs that are not finite.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowScores {
    /// Calibrated P(click | impression) and that head's logit before correction and calibration, when there is such a head.
    pub ctr: Option<(Vec<f32>, Vec<f32>)>,
    /// Calibrated P(conversion | click) and that head's logit, when there is such a head.
    pub cvr: Option<(Vec<f32>, Vec<f32>)>,
    /// Rows with an input that is NaN or infinite.
    pub bad_rows: usize,
    /// The time spent in scoring calls.
    pub spent: Duration,
}

/// An opened bundle, ready to score rows.
pub struct BundleScorer {
    engine: Engine,
    scorer: Scorer,
    schema: Schema,
    /// The handle of each feature's input.
    handles: Vec<u32>,
    has_ctr: bool,
    has_cvr: bool,
}

impl BundleScorer {
    /// Opens a bundle (or the directory with `CURRENT`), on the kernel of that name or the best one, in that precision or
    /// the bundle's.
    ///
    /// # Errors
    /// As [`open_engine`].
    pub fn open(bundle: &Path, kernel: Option<&str>, precision: Option<Precision>) -> Result<Self> {
        let engine = open_engine(bundle, kernel, precision)?;
        let scorer = engine.scorer(ScorerLimits { max_candidates: BATCH })?;
        let generation = engine.generation()?;
        let schema = generation.model().schema().clone();
        let [has_ctr, has_cvr] = heads(generation.model());
        let handles = schema.features.iter().map(|f| engine.feature(&f.input)).collect::<Result<_, _>>()?;
        Ok(Self { engine, scorer, schema, handles, has_ctr, has_cvr })
    }

    /// The engine behind it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The features of the model.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The kernel's name.
    #[must_use]
    pub fn kernel(&self) -> &'static str {
        self.engine.kernel()
    }

    /// The id of the generation.
    ///
    /// # Errors
    /// When the engine was closed.
    pub fn generation(&self) -> Result<u64> {
        Ok(self.engine.generation()?.id())
    }

    /// Scores all rows.
    ///
    /// # Errors
    /// What the scorer refuses.
    pub fn score(&mut self, inputs: &InputRows, stage: &JobStage) -> Result<RowScores> {
        let n = inputs.rows();
        let head = |has: bool| has.then(|| (vec![f32::NAN; n], vec![f32::NAN; n]));
        let mut scores = RowScores { ctr: head(self.has_ctr), cvr: head(self.has_cvr), ..RowScores::default() };
        let good: Vec<usize> = (0..n).filter(|&row| inputs.is_finite(row)).collect();
        scores.bad_rows = n - good.len();
        // Rows with request values of their own cannot share a request.
        let alone =
            matches!(inputs, InputRows::Raw { .. }) && self.schema.features.iter().any(|f| f.side() == Side::Request);
        for rows in good.chunks(if alone { 1 } else { BATCH }) {
            let mut pctr = [0.0; BATCH];
            let mut pcvr = [0.0; BATCH];
            let (pctr, pcvr) = (&mut pctr[..rows.len()], &mut pcvr[..rows.len()]);
            match inputs {
                InputRows::Ready { x, width } => {
                    let batch: Vec<f32> = rows.iter().flat_map(|&r| &x[r * width..][..*width]).copied().collect();
                    let begin = Instant::now();
                    let done = self.scorer.score_dense(&batch, rows.len(), *width, pctr, pcvr);
                    scores.spent += begin.elapsed();
                    done.map_err(|refusal| anyhow!("{refusal} (rows from {})", rows[0]))?;
                }
                InputRows::Raw { .. } => scores.spent += self.request(inputs, rows, pctr, pcvr)?,
            }
            let [ctr_logits, cvr_logits] = self.scorer.logits();
            for (i, &row) in rows.iter().enumerate() {
                let heads = [(&mut scores.ctr, &*pctr, ctr_logits), (&mut scores.cvr, &*pcvr, cvr_logits)];
                for (head, probabilities, logits) in heads {
                    if let Some((p, logit)) = head {
                        p[row] = probabilities[i];
                        logit[row] = logits[i];
                    }
                }
            }
            stage.advance(rows.len() as u64);
            stage.check()?;
        }
        Ok(scores)
    }

    /// One request whose candidates are the given rows.
    fn request(&mut self, inputs: &InputRows, rows: &[usize], pctr: &mut [f32], pcvr: &mut [f32]) -> Result<Duration> {
        let (mut request_values, mut candidate_values): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        let mut candidates = Vec::with_capacity(rows.len());
        let mut raw: Vec<GoldenValue> = Vec::new();
        for &row in rows {
            let first_value = u32::try_from(candidate_values.len())?;
            raw.clear();
            inputs.values(row, &mut raw);
            for v in &raw {
                let value = Value { feature: self.handles[v.feature as usize], number: v.number, id: v.id };
                match self.schema.features[v.feature as usize].side() {
                    Side::Request => request_values.push(value),
                    Side::Candidate => candidate_values.push(value),
                }
            }
            let n_values = u32::try_from(candidate_values.len())? - first_value;
            candidates.push(Candidate { first_value, n_values, ..Candidate::default() });
        }
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: inputs.time_us(rows[0]),
            utc_offset_s: inputs.utc_offset_s(rows[0]),
            n_values: u32::try_from(request_values.len())?,
            n_candidates: u32::try_from(candidates.len())?,
            n_candidate_values: u32::try_from(candidate_values.len())?,
            ..Request::default()
        };
        let input = Input {
            request: &request,
            values: &request_values,
            candidates: &candidates,
            candidate_values: &candidate_values,
            columns: Default::default(),
        };
        let begin = Instant::now();
        let done = self.scorer.score(input, pctr, pcvr);
        let spent = begin.elapsed();
        done.map_err(|refusal| anyhow!("{refusal} (rows from {})", rows[0]))?;
        Ok(spent)
    }
}
