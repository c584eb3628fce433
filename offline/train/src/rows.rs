//! Logged rows through the serving path: each gets the score that a server would have given it.

use std::sync::Arc;

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::model::spec::HeadKind;
use adclick::builder::schema::{KeyPart, Source};
use adclick::{Candidate, Precision, Request, Value};
use adclick::{Engine, Input, Options, Scorer, ScorerLimits};
use adclick_data::logs::{
    InputKind, InputValue, KeyId, LogColumns, LogFiles, LogRow, Reads, RowBatch, TableHits, TableLookups,
};
use adclick_data::progress::Progress;
use adclick_data::setting::{BadSetting, Setting, refuse, require};
use adclick_measure::{Unknown, weights};
use anyhow::{Result, anyhow, bail, ensure};

use crate::calibrators::SegmentValues;
use crate::positions::AtServed;

/// Values of one side under the engine's handles.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sides {
    /// The request's.
    pub request: Vec<Value>,
    /// The candidate's.
    pub candidate: Vec<Value>,
}

/// Where each input of a file goes.
#[derive(Debug, Clone)]
pub struct Router {
    /// For each input its handle and whether it belongs to the candidate; `None` when the model does not read it.
    routes: Vec<Option<(u32, bool)>>,
}

impl Router {
    /// Asks the engine for the handles of the inputs that its model reads.
    ///
    /// # Errors
    /// When the engine is closed or a name is refused.
    pub fn new(engine: &Engine, columns: &LogColumns) -> Result<Self> {
        let generation = engine.generation()?;
        let features = &generation.model().schema().features;
        let route = |name: &str| {
            let feature = features.iter().find(|f| f.input == name && f.source != Source::Time)?;
            Some(
                engine
                    .feature(name)
                    .map(|handle| (handle, feature.side() == adclick::builder::schema::Side::Candidate)),
            )
        };
        let routes = columns.inputs.iter().map(|i| route(&i.name).transpose()).collect::<Result<_, _>>()?;
        Ok(Self { routes })
    }

    /// Adds a row's values to the sides.
    pub fn split(&self, values: &[InputValue], sides: &mut Sides) {
        for value in values {
            // The engine looks up the values of tables itself.
            if let Some(Some((handle, candidate))) = self.routes.get(value.input as usize).copied() {
                let side = if candidate { &mut sides.candidate } else { &mut sides.request };
                side.push(Value { feature: handle, number: value.number, id: value.id });
            }
        }
    }
}

/// What the model said of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowScore {
    /// The pCTR head's logit, before correction and calibration; NaN without that head.
    pub logit: f32,
    /// Calibrated P(click | impression); NaN without that head.
    pub pctr: f32,
    /// The pCVR head's logit and calibrated P(conversion | click), when there is such a head.
    pub cvr: Option<(f32, f32)>,
    /// Its values of the keys of the calibrators' segments.
    pub segment: SegmentValues,
}

/// Scores logged rows one by one, as requests of one candidate.
pub struct RowScorer {
    scorer: Scorer,
    router: Router,
    sides: Sides,
    has_ctr: bool,
    has_cvr: bool,
}

impl RowScorer {
    /// A scorer for rows of these columns.
    ///
    /// # Errors
    /// When the engine is closed.
    pub fn new(engine: &Engine, columns: &LogColumns) -> Result<Self> {
        let generation = engine.generation()?;
        fits(generation.model(), columns)?;
        let [has_ctr, has_cvr] = heads(generation.model());
        let scorer = engine.scorer(ScorerLimits { max_candidates: 1 })?;
        Ok(Self { scorer, router: Router::new(engine, columns)?, sides: Sides::default(), has_ctr, has_cvr })
    }

    /// Scores one row of a batch.
    ///
    /// # Errors
    /// What the scorer refuses, with the row's number.
    pub fn score(&mut self, batch: &RowBatch, row: &LogRow) -> Result<RowScore> {
        self.sides.request.clear();
        self.sides.candidate.clear();
        self.router.split(batch.values(row), &mut self.sides);
        let candidate = Candidate {
            ad_key: row.keys.ad,
            advertiser_key: row.keys.advertiser,
            n_values: self.sides.candidate.len() as u32,
            ..Candidate::default()
        };
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            user_key: row.keys.user,
            // Reading checked that it fits.
            placement: row.keys.placement as u32,
            time_us: row.time_us.unwrap_or(0),
            utc_offset_s: row.utc_offset_s,
            n_values: self.sides.request.len() as u32,
            n_candidates: 1,
            n_candidate_values: candidate.n_values,
            ..Request::default()
        };
        let input = Input {
            request: &request,
            values: &self.sides.request,
            candidates: &[candidate],
            candidate_values: &self.sides.candidate,
            columns: Default::default(),
        };
        let (mut pctr, mut pcvr) = ([0.0], [0.0]);
        self.scorer.score(input, &mut pctr, &mut pcvr).map_err(|refusal| anyhow!("row {}: {refusal}", row.number))?;
        let [ctr, cvr] = self.scorer.logits();
        Ok(RowScore {
            logit: ctr[0],
            pctr: pctr[0],
            cvr: self.has_cvr.then(|| (cvr[0], pcvr[0])),
            segment: self.scorer.segment_values(0),
        })
    }
}

/// Whether a model has a pCTR head, and a pCVR head. It has one of them at least.
#[must_use]
pub fn heads(model: &Model) -> [bool; 2] {
    [HeadKind::Ctr, HeadKind::Cvr].map(|kind| model.network().heads.iter().any(|head| head.kind == kind))
}

/// Checks that rows of these columns carry what a server would receive: the ids by which the model's tables are looked
/// up, and the values that no table gives.
fn fits(model: &Model, columns: &LogColumns) -> Result<()> {
    let enrichment = model.enrichment();
    for table in &enrichment.tables {
        for part in &table.key {
            let (id, name) = match part {
                KeyPart::User => (KeyId::User, "user"),
                KeyPart::Ad => (KeyId::Ad, "ad"),
                KeyPart::Advertiser => (KeyId::Advertiser, "advertiser"),
                KeyPart::Placement => (KeyId::Placement, "placement"),
                KeyPart::Column(_) => continue,
            };
            require!(
                columns.keys.iter().any(|k| k.id == id && k.needed),
                [Format, Schema],
                "the model looks table `{}` up by the {name}, and the rows have no column for it: use the schema with \
                 which the model was trained, with {name} in [keys]",
                table.name
            );
        }
    }
    for (number, feature) in model.schema().features.iter().enumerate() {
        let bound = enrichment.bindings.iter().any(|b| b.feature as usize == number);
        let optional = columns.inputs.iter().any(|i| i.name == feature.input && i.optional);
        ensure!(
            bound || !optional || feature.source == Source::Time,
            "feature `{}` of the model reads no table, but the schema takes its value from one: use the schema with which \
             the model was trained",
            feature.name
        );
    }
    Ok(())
}

/// The names of the model's inputs that rows of these columns do not have and no table gives.
///
/// # Errors
/// When they have none at all: such rows are another model's.
fn absent<'a>(model: &'a Model, columns: &LogColumns) -> Result<Vec<&'a str>> {
    let bindings = &model.enrichment().bindings;
    let passed = model.schema().features.iter().zip(0u32..).filter(|(feature, number)| {
        // The model fixes the position that is served.
        feature.source != Source::Time && feature.position.is_none() && !bindings.iter().any(|b| b.feature == *number)
    });
    let mut names: Vec<&str> = passed.map(|(feature, _)| feature.input.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let all = names.len();
    names.retain(|name| !columns.inputs.iter().any(|input| input.name == *name));
    require!(
        all == 0 || names.len() < all,
        [Format, Schema],
        "the rows have none of the model's inputs ({}): give the format and the schema with which the model was trained",
        names.join(", ")
    );
    Ok(names)
}

/// An engine for offline work on one bundle. A given precision must be one that this CPU and the model support.
///
/// # Errors
/// As [`Engine::open`]; why the precision cannot be served.
pub fn open_engine(bundle: &std::path::Path, kernel: Option<&str>, precision: Option<Precision>) -> Result<Engine> {
    let mut options = Options::default();
    options.kernel = kernel.map(str::to_owned);
    options.precision = precision;
    let engine = Engine::open(bundle, &options)?;
    if let (Some(asked), Some(reason)) = (precision, engine.model()?.precision_reason) {
        refuse!([Precision], "{asked} cannot be served: {reason}; it would be served exact");
    }
    Ok(engine)
}

/// A warning if the engine does not serve in the precision that its bundle asks for.
///
/// # Errors
/// When the engine is closed.
pub fn fallback(engine: &Engine) -> Result<Option<String>> {
    let model = engine.model()?;
    let asked = model.precision_asked;
    Ok(model.precision_reason.map(|reason| format!("{asked} is served exact here: {reason}")))
}

/// Scored rows with their labels, column by column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoredRows {
    /// The number of each row in the files, from 0.
    pub numbers: Vec<u64>,
    /// Logits of the pCTR head, before correction and calibration; empty without one.
    pub logits: Vec<f64>,
    /// Calibrated P(click | impression); empty without that head.
    pub pctr: Vec<f64>,
    /// Logits of the pCVR head; empty without one.
    pub cvr_logits: Vec<f64>,
    /// Calibrated P(conversion | click); empty without that head.
    pub pcvr: Vec<f64>,
    /// Whether each row was clicked.
    pub clicks: Vec<bool>,
    /// Whether each row converted, where that is known.
    pub conversions: Vec<Option<bool>>,
    /// The weight of each row relative to the others: 1 on average.
    pub weights: Vec<f64>,
    /// When each row was, in microseconds since 1970, where that is known.
    pub times: Vec<Option<i64>>,
    /// The rows' values of the keys of the calibrators' segments; empty when the bundle has no segments.
    pub segments: Vec<SegmentValues>,
    /// For each requested input, the value of every row as text; empty where it is missing.
    pub fields: Vec<Vec<String>>,
    /// Malformed rows that were skipped.
    pub bad_rows: u64,
    /// Rows that were left out because they were logged at another position than is served.
    pub elsewhere: u64,
    /// For each table that the model reads, how many rows of the files found their key.
    pub tables: Vec<TableHits>,
}

impl ScoredRows {
    /// The weights, if any row has a weight other than 1.
    #[must_use]
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.iter().any(|&w| w != 1.0).then_some(&self.weights)
    }

    /// Counts clicked rows whose conversion is not known; `None` without a pCVR head.
    #[must_use]
    pub fn unknown_conversions(&self) -> Option<Unknown> {
        let clicked = (0..self.cvr_logits.len()).filter(|&row| self.clicks[row]);
        let known = clicked.map(|row| (self.times[row], self.conversions[row].is_some()));
        // Rows without the column have no conversions to measure.
        Unknown::count(known).filter(|unknown| unknown.unknown < unknown.clicked)
    }

    /// The rows whose conversion is known and that were clicked, as (logit, pCVR, converted, weight).
    #[must_use]
    pub fn clicked(&self) -> (Vec<f64>, Vec<f64>, Vec<bool>, Vec<f64>) {
        let rows = self.of_conversions();
        let of = |values: &[f64]| rows.iter().map(|&row| values[row]).collect();
        let converted = rows.iter().map(|&row| self.conversions[row] == Some(true)).collect();
        (of(&self.cvr_logits), of(&self.pcvr), converted, of(&self.weights))
    }

    /// Which rows those are.
    #[must_use]
    pub fn of_conversions(&self) -> Vec<usize> {
        let known = |&row: &usize| self.clicks[row] && self.conversions[row].is_some();
        (0..self.cvr_logits.len()).filter(known).collect()
    }

    /// Refuses rows without known conversions for a model without a pCTR head.
    ///
    /// # Errors
    /// The model has no pCTR head, and the conversion of no clicked row is known.
    pub fn check_heads(&self) -> Result<()> {
        ensure!(
            !self.logits.is_empty() || !self.of_conversions().is_empty(),
            "the model has a pCVR head and no pCTR head, so that only clicked rows whose conversion is known count, and \
             there is none among {} rows: give rows with clicks and conversions (`click` and `conversion` under [labels] \
             in the schema)",
            self.clicks.len()
        );
        Ok(())
    }
}

/// Scores the rows that `keep` accepts, in file order; with `only`, just those that were logged at the served position.
/// `fields` are inputs whose values are wanted as text.
///
/// # Errors
/// Files that cannot be read, inputs that do not exist, no rows at all.
pub fn score_source(
    engine: &Engine,
    source: &LogFiles,
    mut keep: impl FnMut(&LogRow) -> bool,
    only: Option<&AtServed>,
    fields: &[String],
    progress: &Progress,
) -> Result<ScoredRows> {
    let generation = engine.generation()?;
    let model = generation.model();
    let columns = source.format.columns();
    let mut scorer = RowScorer::new(engine, &columns)?;
    let absent = absent(model, &columns)?;
    if !absent.is_empty() {
        let names = absent.join(", ");
        progress.note(&format!("warning: the rows lack inputs of the model, which take their defaults: {names}"));
    }
    // The tables are read once more beside the engine, for the fields and to count the keys that are found.
    let mut source = source.clone();
    if !model.enrichment().is_empty() {
        let tables = generation.tables().to_vec();
        source.tables = Some(Arc::new(TableLookups::new(model.schema(), model.enrichment(), tables)?));
    }
    let inputs: Vec<(Reads, InputKind)> = fields
        .iter()
        .map(|name| {
            let features = &model.schema().features;
            let feature = features.iter().position(|f| f.input == *name).unwrap_or(features.len());
            let reads = source.reads(&columns, feature, name).ok_or_else(|| {
                let known: Vec<&str> = columns.inputs.iter().map(|i| i.name.as_str()).collect();
                BadSetting::new(
                    &[Setting::Field],
                    format!("the rows have no input `{name}`; they have {}", known.join(", ")),
                )
            })?;
            Ok((reads, columns.inputs[reads.passed].kind))
        })
        .collect::<Result<_>>()?;
    let mut out = ScoredRows { fields: vec![Vec::new(); fields.len()], ..ScoredRows::default() };
    let has_segments = !generation.calibrators().segments.keys().is_empty();
    let stage = progress.bytes("Scoring rows", source.bytes()?);
    let read = source.for_each(&stage, |batch| {
        for row in batch.rows().iter().filter(|row| keep(row)) {
            if only.is_some_and(|only| !only.has(batch, row)) {
                out.elsewhere += 1;
                continue;
            }
            let score = scorer.score(batch, row)?;
            out.numbers.push(row.number);
            if scorer.has_ctr {
                out.logits.push(score.logit.into());
                out.pctr.push(score.pctr.into());
            }
            if let Some((logit, pcvr)) = score.cvr {
                out.cvr_logits.push(logit.into());
                out.pcvr.push(pcvr.into());
            }
            if has_segments {
                out.segments.push(score.segment);
            }
            out.clicks.push(row.click.unwrap_or(false));
            out.conversions.push(row.conversion);
            out.weights.push(row.weight);
            out.times.push(row.time_us);
            for (texts, &(reads, kind)) in out.fields.iter_mut().zip(&inputs) {
                texts.push(text_of(batch.values(row), reads, kind));
            }
        }
        Ok(())
    })?;
    drop(stage);
    require!(
        !out.clicks.is_empty() || out.elsewhere == 0,
        [Position],
        "none of {} rows was logged at the position that is served: measure at the logged ones",
        out.elsewhere
    );
    if out.clicks.is_empty() {
        bail!("no row was scored: the split leaves none of them, or the files hold none");
    }
    out.bad_rows = read.bad.count;
    weights::by_their_mean(&mut out.weights);
    read.found.iter().for_each(|found| progress.note(&found.to_string()));
    out.tables = read.found;
    Ok(out)
}

/// A row's value of one input as text: numbers as they are, string categories by their id in hexadecimal.
fn text_of(values: &[InputValue], reads: Reads, kind: InputKind) -> String {
    let texts: Vec<String> = values
        .iter()
        .filter(|v| reads.has(v))
        .map(|v| match kind {
            InputKind::Number | InputKind::Vector(..) => v.number.to_string(),
            InputKind::Integer | InputKind::Integers(_) => (v.id as i64).to_string(),
            InputKind::Text | InputKind::Texts(_) => format!("{:016x}", v.id),
        })
        .collect();
    texts.join(" ")
}
