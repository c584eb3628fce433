//! The training loop.

use std::time::Instant;

use adclick::artifact::model::spec::{EmbeddingSpec, HeadKind, ModelSpec, Structure};
use adclick::schema::Enrichment;
use anyhow::{Context, Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::blueprint::Blueprint;
use super::build::{Built, build};
use super::config::{Config, Hyper};
use super::encode::{Encoder, Examples};
use super::finish::{Observer, provenance};
use super::loss::Judge;
use super::network::{self, Dropout, Param, Shape};
use super::split::Role;
use super::store::{Data, Picker, Store, count};
use super::tables::{Rates, Table, Tables, stream};
use super::warm;
use crate::data::{Batch, Found, Lookups, Row};
use crate::progress::Progress;
use crate::ranges::{self, Sample};
use crate::time;

/// Logits and labels of held-out rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scored {
    /// `[rows]` of pCTR logits, as served.
    pub click_logits: Vec<f64>,
    /// `[rows]` of pCVR logits, as served; empty without that head.
    pub conversion_logits: Vec<f64>,
    /// Whether each row was clicked.
    pub clicks: Vec<bool>,
    /// Whether each row converted, where that is known.
    pub conversions: Vec<Option<bool>>,
    /// How much each row counts.
    pub weights: Vec<f32>,
    /// The mean loss.
    pub loss: f64,
}

/// What training did.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Metrics {
    /// Training rows.
    pub rows: u64,
    /// Validation rows.
    pub validation_rows: u64,
    /// Malformed rows that were skipped.
    pub bad_rows: u64,
    /// Passes made.
    pub epochs: u32,
    /// The pass whose weights were kept.
    pub best_epoch: u32,
    /// Log loss of the validation rows.
    pub validation_loss: f64,
    /// Training rows per second, all passes together.
    pub rows_per_second: f64,
    /// Whether the training rows were read from disk in every pass, being too many to hold.
    pub streamed: bool,
    /// Wall time.
    pub seconds: f64,
    /// Of each table that the model reads: how many rows of the files found their key, held-out ones included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Found>,
}

/// A trained model with what calibration needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub spec: ModelSpec,
    /// Held-out rows: stopped early on, to calibrate on.
    pub validation: Scored,
    /// Test rows, of the experiments' splits.
    pub test: Option<Scored>,
    /// What happened.
    pub metrics: Metrics,
}

/// Embedding rows start uniform within ± this. Much less, and the gradients of products of two rows vanish at first: an
/// interaction without an effect of its own is not found before training stops.
const FIRST_ROWS: f32 = 0.25;

/// All weights of a model.
struct Weights {
    params: Vec<Param>,
    /// Rows and wide weights of each table.
    tables: Vec<(Vec<f32>, Vec<f32>)>,
}

/// The model while it learns.
struct Learner {
    shape: Shape,
    params: Vec<Param>,
    tables: Tables,
    judge: Judge,
    hyper: Hyper,
    adam: Vec<(Vec<f32>, Vec<f32>)>,
    average: Vec<Param>,
    step: u64,
    rng: ChaCha8Rng,
}

/// Trains a model. With a `parent` (as unpacked from its file) training goes on from its weights: its layers, number
/// transforms, boundaries and rows stay, vocabularies grow, and the result is never worse on the validation rows.
///
/// # Errors
/// Files that cannot be read, splits that leave nothing, features that the rows do not have.
pub fn fit(
    config: &Config,
    data: &Data,
    blueprint: &Blueprint,
    parent: Option<&ModelSpec>,
    progress: Progress,
) -> Result<Trained> {
    let start = Instant::now();
    let keep = config.downsample.unwrap_or(1.0);
    let picker = Picker::new(data, keep, config.seed, progress)?;
    let census = count(data, blueprint, &picker, config.seed, progress)?;
    let rows = census.counts.rows;
    if let (Some(lookups), Some((_, last))) = (&data.source.tables, census.window) {
        warn_of_newer(lookups, last, progress);
    }
    let hyper = config.resolve(rows);
    let mut built = build(blueprint, &census.counts, &hyper)?;
    if let Some(parent) = parent {
        warm::inherit(&mut built, parent)?;
    }
    let mut encoder = Encoder::new(&built.schema, &built.vocabularies, &data.source)?;
    let plan = encoder.plan.clone();
    let mut observer = Observer::new(&built.schema, &data.source);
    let memory_rows = config.memory_rows.unwrap_or(4 << 20);
    let mut sample = Sample::new(&built.schema, &data.source);
    let visit = |role: Role, batch: &Batch, row: &Row| match role {
        Role::Train => sample.see(batch, row),
        _ => observer.see(batch, row),
    };
    let store = Store::new(data, &picker, &mut encoder, rows, memory_rows, progress, visit)?;

    let mut heads = vec![(HeadKind::Ctr, Vec::new())];
    if census.conversions > 0 {
        heads.push((HeadKind::Cvr, Vec::new()));
    }
    let logit = |positive: u64, all: u64| ((positive as f64 + 0.5) / ((all - positive) as f64 + 0.5)).ln() as f32;
    let head_bias = [logit(census.clicks, rows), logit(census.conversions, census.clicks)];
    let mut learner = Learner::new(&built, &hyper, heads, &head_bias, keep, config.seed);

    for (table, plan) in learner.tables.tables.iter_mut().zip(&blueprint.tables) {
        if !plan.fixed.is_empty() {
            table.freeze(plan.fixed.clone());
        }
    }
    let mut best: Option<(f64, u32, Weights)> = None;
    if let Some(parent) = parent {
        learner.continue_from(&built, parent)?;
        let loss = learner.score(&plan, &store.validation)?.loss;
        progress.note(&format!("the earlier model: validation log loss {loss:.5}"));
        best = Some((loss, 0, learner.weights()));
    }
    let mut epochs = 0;
    let fit_start = Instant::now();
    for epoch in 1..=hyper.epochs {
        epochs = epoch;
        let bar = progress.rows(&format!("Pass {epoch}"), store.rows);
        store.pass(&mut encoder, |piece| {
            let mut order: Vec<usize> = (0..piece.len()).collect();
            shuffle(&mut order, &mut learner.rng);
            for batch in order.chunks(hyper.batch) {
                learner.learn(&plan, piece, batch, rows)?;
                bar.inc(batch.len() as u64);
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        let loss = learner.score(&plan, &store.validation)?.loss;
        progress.note(&format!("pass {epoch}: validation log loss {loss:.5}"));
        ensure!(
            loss.is_finite() || store.validation.len() == 0,
            "training diverged in pass {epoch}: the validation log loss is {loss}; choose smaller learning rates (--lr, \
             --lr-embedding)"
        );
        if best.as_ref().is_none_or(|b| loss < b.0) {
            best = Some((loss, epoch, learner.weights()));
        } else if best.as_ref().is_some_and(|b| epoch - b.1 >= hyper.patience) {
            break;
        }
    }
    let fit_seconds = fit_start.elapsed().as_secs_f64();
    let (_, best_epoch, weights) = best.context("no pass over the rows was allowed: epochs is 0")?;
    learner.restore(weights);
    let validation = learner.score(&plan, &store.validation)?;
    let test = (store.test.len() > 0).then(|| learner.score(&plan, &store.test)).transpose()?;
    let metrics = Metrics {
        rows,
        validation_rows: store.validation.len() as u64,
        bad_rows: census.bad.0,
        epochs,
        best_epoch,
        validation_loss: validation.loss,
        rows_per_second: rows as f64 * f64::from(epochs) / fit_seconds,
        streamed: store.streams(),
        seconds: start.elapsed().as_secs_f64(),
        tables: census.found.clone(),
    };
    let mut spec = learner.to_spec(&built);
    spec.enrichment = data.source.tables.as_ref().map_or_else(Enrichment::default, |t| t.enrichment().clone());
    (spec.goldens, spec.histograms) = observer.finish(&validation);
    spec.provenance = provenance(config, &hyper, &census, &metrics, &data.source);
    (spec.ranges, _) = ranges::find(&spec, &sample.rows())?;
    Ok(Trained { spec, validation, test, metrics })
}

/// Says which tables know what happened after the training rows.
fn warn_of_newer(lookups: &Lookups, last: i64, progress: Progress) {
    let reads = |name: &str| lookups.enrichment().tables.iter().any(|t| t.name == name);
    for table in lookups.tables().iter().filter(|t| reads(t.set.name()) && t.set.built_us() > last) {
        progress.note(&format!(
            "warning: table {} has data of {}, after the last training row ({}): what it knows of later events leaks into \
             the model (see \"Train with tables\" in docs/train.md)",
            table.set.name(),
            time::show(table.set.built_us()),
            time::show(last)
        ));
    }
}

/// Fisher and Yates.
fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..order.len()).rev() {
        let j = ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
}

impl Learner {
    fn new(
        built: &Built,
        hyper: &Hyper,
        heads: Vec<(HeadKind, Vec<usize>)>,
        bias: &[f32],
        keep: f64,
        seed: u64,
    ) -> Self {
        let kinds: Vec<HeadKind> = heads.iter().map(|h| h.0).collect();
        let width = built.schema.layout().width;
        let shape = Shape {
            width,
            structure: Structure::Parallel,
            cross: vec![hyper.cross; hyper.cross_layers],
            hidden: hyper.hidden.clone(),
            heads,
        };
        let params = shape.init(&mut stream(seed, 1), bias);
        let mut rng = stream(seed, 2);
        let tables = built
            .schema
            .embeddings
            .iter()
            .map(|e| {
                let wide = if e.wide { kinds.len() } else { 0 };
                Table::new(e.rows() as usize, e.dim as usize, wide, FIRST_ROWS, &mut rng)
            })
            .collect();
        let adam = params.iter().map(|p| (vec![0.0; p.data.len()], vec![0.0; p.data.len()])).collect();
        Self {
            average: params.clone(),
            judge: Judge::of(&kinds, keep),
            shape,
            params,
            tables: Tables::new(tables),
            hyper: hyper.clone(),
            adam,
            step: 0,
            rng: stream(seed, 3),
        }
    }

    fn heads(&self) -> usize {
        self.shape.heads.len()
    }

    /// The factor of the learning rates: rises over the first steps, then falls to a twentieth along a cosine.
    fn schedule(&self, rows: u64) -> f64 {
        let total = (rows as f64 / self.hyper.batch as f64).ceil() * f64::from(self.hyper.epochs);
        let t = self.step as f64;
        let warm = (t / (total * 0.02).clamp(1.0, 1000.0)).min(1.0);
        let share = (t / total).min(1.0);
        warm * (0.05 + 0.95 * 0.5 * (1.0 + (share * std::f64::consts::PI).cos()))
    }

    /// One step.
    fn learn(&mut self, plan: &super::encode::Plan, piece: &Examples, batch: &[usize], rows: u64) -> Result<()> {
        self.step += 1;
        let (heads, hyper) = (self.heads(), self.hyper.clone());
        let drop = (hyper.dropout_embedding > 0.0).then_some((&mut self.rng, hyper.dropout_embedding));
        let (x, wide, touches) = self.tables.gather(plan, piece, batch, heads, hyper.averaging, drop);
        let mut dropout = Dropout::new(hyper.dropout, self.rng.next_u64());
        let mut dlogits = Vec::new();
        let judge = self.judge;
        let gradients = network::step(&self.shape, &self.params, x, &mut dropout, |logits| {
            for ((logits, wide), &example) in logits.chunks_exact_mut(heads).zip(wide.chunks_exact(heads)).zip(batch) {
                logits.iter_mut().zip(wide).for_each(|(z, w)| *z += w);
                judge.gradient(logits, &piece.labels[example]);
            }
            dlogits = logits.to_vec();
        })?;
        let factor = self.schedule(rows);
        let rates = Rates {
            lr: hyper.lr_embedding * factor,
            decay: hyper.decay_embedding,
            lr_wide: hyper.lr_wide * factor,
            decay_wide: hyper.decay_wide,
        };
        self.tables.update(plan, &touches, &gradients.inputs, &dlogits, heads, &rates);
        self.update(&gradients.params, hyper.lr * factor, batch.len());
        Ok(())
    }

    /// AdamW on the dense parameters, then their average.
    fn update(&mut self, gradients: &[Vec<f32>], lr: f64, batch: usize) {
        let (b1, b2) = (0.9f32, 0.999f32);
        let c1 = 1.0 - b1.powi(self.step as i32);
        let c2 = 1.0 - b2.powi(self.step as i32);
        let scale = 1.0 / batch as f32;
        let take = 1.0 - self.hyper.averaging as f32;
        for (((p, (m, v)), g), average) in
            self.params.iter_mut().zip(&mut self.adam).zip(gradients).zip(&mut self.average)
        {
            let shrink = if p.is_matrix { 1.0 - (lr * self.hyper.decay) as f32 } else { 1.0 };
            for i in 0..g.len() {
                let g = g[i] * scale;
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                p.data[i] = p.data[i] * shrink - lr as f32 * (m[i] / c1) / ((v[i] / c2).sqrt() + 1e-8);
                average.data[i] += take * (p.data[i] - average.data[i]);
            }
        }
    }

    /// Logits, as served, and loss of held-out rows.
    fn score(&mut self, plan: &super::encode::Plan, examples: &Examples) -> Result<Scored> {
        let heads = self.heads();
        let averaged = self.hyper.averaging > 0.0;
        self.tables.settle(self.hyper.averaging);
        let params = if averaged { &self.average } else { &self.params };
        let mut scored = Scored::default();
        let (mut sum, mut weights) = (0.0, 0.0);
        let order: Vec<usize> = (0..examples.len()).collect();
        for batch in order.chunks(1024) {
            let (x, wide) = self.tables.lookup(plan, examples, batch, heads, averaged);
            let logits = network::predict(&self.shape, params, x)?;
            for ((logits, wide), &example) in logits.chunks_exact(heads).zip(wide.chunks_exact(heads)).zip(batch) {
                let label = &examples.labels[example];
                let mut served: Vec<f64> = logits.iter().zip(wide).map(|(z, w)| f64::from(z + w)).collect();
                served[0] += self.judge.log_keep;
                sum += f64::from(label.weight) * self.judge.loss(&served, label);
                weights += f64::from(label.weight);
                scored.click_logits.push(served[0]);
                scored.conversion_logits.extend(served.get(1));
                scored.clicks.push(label.click);
                scored.conversions.push(label.conversion);
                scored.weights.push(label.weight);
            }
        }
        scored.loss = sum / weights;
        Ok(scored)
    }

    /// The weights that [`Learner::score`] looks at.
    fn weights(&self) -> Weights {
        let averaged = self.hyper.averaging > 0.0;
        Weights {
            params: if averaged { self.average.clone() } else { self.params.clone() },
            tables: self.tables.snapshot(averaged),
        }
    }

    /// Takes kept weights as they are: averages start over from them.
    fn restore(&mut self, weights: Weights) {
        self.average.clone_from(&weights.params);
        self.params = weights.params;
        for (table, (rows, wide)) in self.tables.tables.iter_mut().zip(weights.tables) {
            table.set(rows, wide);
        }
    }

    /// Takes the weights of an earlier model; `built` was made by [`warm::inherit`].
    fn continue_from(&mut self, built: &Built, parent: &ModelSpec) -> Result<()> {
        let (shape, mut params) = Shape::from_spec(&parent.network, self.shape.width)?;
        for &at in &shape.head_biases()[..1] {
            params[at].data[0] -= self.judge.log_keep as f32;
        }
        let heads: Vec<HeadKind> = shape.heads.iter().map(|h| h.0).collect();
        ensure!(
            heads.contains(&HeadKind::Cvr) || !self.judge.conversions,
            "the earlier model has no conversion head, but the rows have conversions: train anew"
        );
        self.judge.conversions = heads.contains(&HeadKind::Cvr);
        self.adam = params.iter().map(|p| (vec![0.0; p.data.len()], vec![0.0; p.data.len()])).collect();
        self.shape = shape;
        let tables = self
            .tables
            .tables
            .iter()
            .zip(&built.schema.embeddings)
            .zip(&built.vocabularies)
            .zip(parent.schema.embeddings.iter().zip(&parent.embeddings))
            .map(|(((table, embedding), ids), (before, spec))| {
                warm::grow(table, embedding, ids, before, spec, heads.len())
            })
            .collect();
        self.restore(Weights { params, tables });
        Ok(())
    }

    fn to_spec(&self, built: &Built) -> ModelSpec {
        let mut network = self.shape.to_spec(&self.params);
        network.heads[0].bias += self.judge.log_keep;
        let embeddings = self
            .tables
            .tables
            .iter()
            .zip(&built.vocabularies)
            .map(|(t, ids)| EmbeddingSpec { rows: t.rows.clone(), vocabulary: ids.clone(), wide: t.wide.clone() })
            .collect();
        ModelSpec {
            schema: built.schema.clone(),
            enrichment: Enrichment::default(),
            network,
            embeddings,
            provenance: String::new(),
            histograms: Vec::new(),
            ranges: Vec::new(),
            goldens: Vec::new(),
        }
    }
}
