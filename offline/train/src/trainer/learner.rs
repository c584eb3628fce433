//! The model during training: its weights, one step, and its scores of held-out rows.

use adclick::builder::artifact::model::spec::{EmbeddingSpec, HeadKind, ModelSpec, Structure};
use adclick::builder::schema::Enrichment;
use anyhow::{Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::build::BuiltSchema;
use super::config::Hyper;
use super::encode::{Examples, Label, X0Layout};
use super::evidence::heaviest;
use super::linear::{Fitted, Places};
use super::loss::Judge;
use super::network::{self, Dropout, Param, Shape};
use super::tables::{EmbeddingTable, EmbeddingTables, Rates, stream};
use super::warm;

/// Logits and labels of held-out rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeldOutScores {
    /// `[rows]` of pCTR logits, as served; empty without that head.
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

/// Embedding rows start uniform within ± this. With a much smaller range the gradients of products of two rows vanish
/// at first: training stops before it finds an interaction whose parts have no effect of their own.
const FIRST_ROWS: f32 = 0.25;

/// The greatest weight of a row in one step.
const HEAVIEST: f64 = 8.0;

/// All weights of a model.
pub(super) struct SavedWeights {
    params: Vec<Param>,
    /// Rows and wide weights of each table.
    tables: Vec<(Vec<f32>, Vec<f32>)>,
}

/// The model during training.
pub(super) struct Learner {
    pub(super) shape: Shape,
    params: Vec<Param>,
    pub(super) tables: EmbeddingTables,
    pub(super) judge: Judge,
    hyper: Hyper,
    adam: Vec<(Vec<f32>, Vec<f32>)>,
    average: Vec<Param>,
    step: u64,
    pub(super) rng: ChaCha8Rng,
}

/// Rounds a weight to what the model file holds, so that the measured model is the served one.
fn stored(weight: f32) -> f32 {
    half::f16::from_f32(weight).to_f32()
}

/// How often a row of this weight (1 on average) takes part in a pass. The heaviest rows would otherwise throw the
/// model off course, and the step sizes that Adam and Adagrad derive from past gradients would not recover. Splitting a
/// row leaves its total weight unchanged; a pass grows by an eighth at most.
pub(super) fn visits(weight: f32) -> u64 {
    (f64::from(weight) / HEAVIEST).ceil().max(1.0) as u64
}

impl Learner {
    pub(super) fn new(
        built: &BuiltSchema,
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
                EmbeddingTable::new(e.rows() as usize, e.dim as usize, wide, FIRST_ROWS, &mut rng)
            })
            .collect();
        let adam = params.iter().map(|p| (vec![0.0; p.data.len()], vec![0.0; p.data.len()])).collect();
        Self {
            average: params.clone(),
            judge: Judge::of(&kinds, keep),
            shape,
            params,
            tables: EmbeddingTables::new(tables, seed),
            hyper: hyper.clone(),
            adam,
            step: 0,
            rng: stream(seed, 3),
        }
    }

    pub(super) fn heads(&self) -> usize {
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

    /// Takes one step. A row with several [`visits`] in a pass contributes one part of its weight in each.
    pub(super) fn learn(&mut self, plan: &X0Layout, piece: &Examples, batch: &[usize], rows: u64) -> Result<()> {
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
                let label = piece.labels[example];
                judge.gradient(logits, &Label { weight: label.weight / visits(label.weight) as f32, ..label });
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

    /// Logits as served, and the loss of held-out rows.
    pub(super) fn score(&mut self, plan: &X0Layout, examples: &Examples) -> Result<HeldOutScores> {
        Ok(self.judged(plan, examples)?.0)
    }

    /// The same, and the loss that choices are made by, in which the heaviest rows are capped.
    pub(super) fn judged(&mut self, plan: &X0Layout, examples: &Examples) -> Result<(HeldOutScores, f64)> {
        let most = heaviest(examples.labels.iter().map(|label| f64::from(label.weight)));
        let heads = self.heads();
        let averaged = self.hyper.averaging > 0.0;
        self.tables.settle(self.hyper.averaging);
        let params = if averaged { &self.average } else { &self.params };
        let mut scored = HeldOutScores::default();
        let (mut sum, mut weights, mut choice, mut choice_weights) = (0.0, 0.0, 0.0, 0.0);
        let order: Vec<usize> = (0..examples.len()).collect();
        for batch in order.chunks(1024) {
            let (x, wide) = self.tables.lookup(plan, examples, batch, heads, averaged);
            let logits = network::predict(&self.shape, params, x)?;
            for ((logits, wide), &example) in logits.chunks_exact(heads).zip(wide.chunks_exact(heads)).zip(batch) {
                let label = &examples.labels[example];
                let mut served: Vec<f64> = logits.iter().zip(wide).map(|(z, w)| f64::from(z + w)).collect();
                for (z, (kind, _)) in served.iter_mut().zip(&self.shape.heads) {
                    *z += self.judge.correction(*kind);
                    match kind {
                        HeadKind::Ctr => scored.click_logits.push(*z),
                        HeadKind::Cvr => scored.conversion_logits.push(*z),
                    }
                }
                let (weight, loss) = (f64::from(label.weight), self.judge.loss(&served, label));
                sum += weight * loss;
                weights += weight;
                choice += weight.min(most) * loss;
                choice_weights += weight.min(most);
                scored.clicks.push(label.click);
                scored.conversions.push(label.conversion);
                scored.weights.push(label.weight);
            }
        }
        scored.loss = sum / weights;
        Ok((scored, choice / choice_weights))
    }

    /// The weights that [`Learner::score`] uses.
    pub(super) fn weights(&mut self) -> SavedWeights {
        let averaged = self.hyper.averaging > 0.0;
        self.tables.settle(self.hyper.averaging);
        SavedWeights {
            params: if averaged { self.average.clone() } else { self.params.clone() },
            tables: self.tables.snapshot(averaged),
        }
    }

    /// Loads kept weights unchanged and restarts the averages from them.
    pub(super) fn restore(&mut self, weights: SavedWeights) {
        self.average.clone_from(&weights.params);
        self.params = weights.params;
        for (table, (rows, wide)) in self.tables.tables.iter_mut().zip(weights.tables) {
            table.set(rows, wide);
        }
    }

    /// Loads the weights of an earlier model; `built` was made by [`warm::inherit`].
    pub(super) fn continue_from(&mut self, built: &BuiltSchema, parent: &ModelSpec) -> Result<()> {
        let (shape, mut params) = Shape::from_spec(&parent.network, self.shape.width)?;
        let heads: Vec<HeadKind> = shape.heads.iter().map(|h| h.0).collect();
        for (at, kind) in shape.head_biases().into_iter().zip(&heads) {
            params[at].data[0] -= self.judge.correction(*kind) as f32;
        }
        ensure!(
            heads.contains(&HeadKind::Cvr) || !self.judge.conversions,
            "the earlier model has no conversion head, but the rows have conversions: train anew"
        );
        let clicks = self.shape.heads.iter().any(|h| h.0 == HeadKind::Ctr);
        ensure!(
            heads.contains(&HeadKind::Ctr) == clicks,
            "{}",
            if clicks {
                "the earlier model predicts conversions of clicks alone, and these rows have unclicked ones: train anew"
            } else {
                "the earlier model predicts clicks, and all of these rows are clicked: train anew"
            }
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
        self.restore(SavedWeights { params, tables });
        self.tables.tables.iter_mut().for_each(|table| table.inherited = true);
        Ok(())
    }

    /// Scales one head's logits by `own` and adds those of a fitted wide part, times `other`.
    pub(super) fn mix(&mut self, head: usize, own: f64, other: f64, fitted: &Fitted, places: &Places) {
        for (number, table) in self.tables.tables.iter_mut().enumerate() {
            let Some(weights) = fitted.of_table(places, number) else { continue };
            let mut wide = table.wide.clone();
            let own_weights = wide.iter_mut().skip(head).step_by(table.wide_dim);
            // What no row reads is fitted as 0 and keeps its bits.
            for (weight, fitted) in own_weights.zip(weights).filter(|(_, fitted)| own < 1.0 || **fitted != 0.0) {
                *weight = stored(own as f32 * *weight + other as f32 * *fitted as f32);
            }
            table.set(table.rows.clone(), wide);
        }
        // The head's output weights come before its bias.
        let at = self.shape.head_biases()[head];
        if own < 1.0 {
            self.params[at - 1].data.iter_mut().for_each(|w| *w = stored(*w * own as f32));
        }
        let bias = &mut self.params[at].data[0];
        *bias = (own * f64::from(*bias) + other * fitted.bias()) as f32;
        self.average.clone_from(&self.params);
    }

    pub(super) fn to_spec(&self, built: &BuiltSchema) -> ModelSpec {
        let mut network = self.shape.to_spec(&self.params);
        for head in &mut network.heads {
            head.bias += self.judge.correction(head.kind);
        }
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
