//! The model during training: its weights, one step, and its scores of held-out rows.

use adclick::builder::artifact::model::spec::{EmbeddingSpec, HeadKind, ModelSpec, Structure};
use adclick::builder::schema::Enrichment;
use anyhow::{Result, ensure};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::backprop::{Staged, TOGETHER, Workspace};
use super::batch::{Part, Step};
use super::build::BuiltSchema;
use super::config::Hyper;
use super::encode::{Examples, Label, X0Layout};
use super::evidence::heaviest;
use super::gather::{Draws, Gathered, part_rows};
use super::linear::{Fitted, Places};
use super::loss::Judge;
use super::network::{Param, Shape};
use super::tables::{EmbeddingTable, EmbeddingTables, Rates, stream};
use super::tensors::{Loaded, Tensors};
use super::warm;
use crate::kernel::{Adam, Cpu, padded};

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
#[derive(Clone)]
pub(super) struct SavedWeights {
    params: Vec<Param>,
    /// Rows and wide weights of each table.
    tables: Vec<(Vec<f32>, Vec<f32>)>,
}

impl SavedWeights {
    /// Puts them among the tensors of a checkpoint, under names that begin with `name`.
    pub(super) fn save<'a>(&'a self, name: &str, to: &mut Tensors<'a>) {
        self.params.iter().enumerate().for_each(|(i, param)| to.floats(format!("{name}.params.{i}"), &param.data));
        for (i, (rows, wide)) in self.tables.iter().enumerate() {
            to.floats(format!("{name}.table.{i}.rows"), rows);
            to.floats(format!("{name}.table.{i}.wide"), wide);
        }
    }

    /// Takes them from there, in place of as many.
    pub(super) fn load(&mut self, name: &str, from: &Loaded) -> Result<()> {
        let fill = |name: String, to: &mut [f32]| Loaded::fill(&name, to, &from.f32(&name)?);
        for (i, param) in self.params.iter_mut().enumerate() {
            fill(format!("{name}.params.{i}"), &mut param.data)?;
        }
        for (i, (rows, wide)) in self.tables.iter_mut().enumerate() {
            fill(format!("{name}.table.{i}.rows"), rows)?;
            fill(format!("{name}.table.{i}.wide"), wide)?;
        }
        Ok(())
    }
}

/// The model during training.
pub(super) struct Learner {
    pub(super) shape: Shape,
    params: Vec<Param>,
    /// The same as the passes read them.
    net: Staged,
    pub(super) tables: EmbeddingTables,
    pub(super) judge: Judge,
    hyper: Hyper,
    /// The moments of each parameter's gradients.
    moments: Vec<(Vec<f32>, Vec<f32>)>,
    average: Vec<Param>,
    /// Room for the parts of a batch.
    parts: Vec<Part>,
    /// What they read.
    reads: Vec<Gathered>,
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
        Self {
            average: params.clone(),
            net: Staged::new(&shape, &params, Cpu::best()),
            moments: moments(&params),
            parts: Vec::new(),
            reads: Vec::new(),
            judge: Judge::of(&kinds, keep),
            shape,
            params,
            tables: EmbeddingTables::new(tables, hyper.averaging),
            hyper: hyper.clone(),
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
    pub(super) fn learn(&mut self, plan: &X0Layout, piece: &Examples, batch: &[usize], rows: u64) {
        self.step += 1;
        let (heads, key) = (self.heads(), self.rng.next_u64());
        let (embeddings, activations) = (self.hyper.dropout_embedding, self.hyper.dropout);
        let draws = Draws { key, embeddings, activations };
        let size = part_rows(batch.len());
        let count = batch.len().div_ceil(size);
        while self.parts.len() < count {
            self.parts.push(Part::new(&self.net));
            self.reads.push(Gathered::default());
        }
        let (parts, reads) = (&mut self.parts[..count], &mut self.reads[..count]);
        let each = reads.par_iter_mut().zip(batch.par_chunks(size)).enumerate().with_max_len(1);
        each.for_each(|(i, (read, batch))| read.set(plan, piece, batch, i * size, &draws));
        self.tables.read(plan, reads);
        let (net, tables, judge) = (&self.net, &self.tables, &self.judge);
        let step = Step { net, plan, tables, judge, examples: piece, draws, heads };
        let label = |example: usize| {
            let label = piece.labels[example];
            Label { weight: label.weight / visits(label.weight) as f32, ..label }
        };
        let each = parts.par_iter_mut().zip(reads.par_iter_mut()).zip(batch.par_chunks(size)).enumerate();
        each.with_max_len(1).for_each(|(i, ((part, read), batch))| part.learn(&step, i, read, batch, label));
        let factor = self.schedule(rows);
        let hyper = &self.hyper;
        let rates = Rates {
            lr: hyper.lr_embedding * factor,
            decay: hyper.decay_embedding,
            lr_wide: hyper.lr_wide * factor,
            decay_wide: hyper.decay_wide,
        };
        let (parts, reads) = (&self.parts[..count], &self.reads[..count]);
        let dense = Dense {
            params: &mut self.params,
            moments: &mut self.moments,
            average: &mut self.average,
            net: &mut self.net,
            step: Adam {
                lr: (hyper.lr * factor) as f32,
                shrink: 1.0,
                scale: 1.0 / batch.len() as f32,
                bias: (1.0 - 0.9f32.powi(self.step as i32), 1.0 - 0.999f32.powi(self.step as i32)),
                take: 1.0 - hyper.averaging as f32,
            },
            decay: hyper.decay,
        };
        let pitch = dense.net.pitch();
        rayon::join(|| self.tables.update(plan, reads, [pitch, heads], &rates), || dense.update(parts));
    }

    /// Brings what is computed with up to date with the parameters.
    fn stage(&mut self) {
        self.net = Staged::new(&self.shape, &self.params, Cpu::best());
        self.parts.clear();
        self.reads.clear();
    }

    /// Logits as served, and the loss of held-out rows.
    pub(super) fn score(&mut self, plan: &X0Layout, examples: &Examples) -> HeldOutScores {
        self.judged(plan, examples).0
    }

    /// The same, and the loss that choices are made by, in which the heaviest rows are capped.
    pub(super) fn judged(&mut self, plan: &X0Layout, examples: &Examples) -> (HeldOutScores, f64) {
        let most = heaviest(examples.labels.iter().map(|label| f64::from(label.weight)));
        let heads = self.heads();
        let logits = self.logits(plan, examples);
        let mut scored = HeldOutScores::default();
        let (mut sum, mut weights, mut choice, mut choice_weights) = (0.0, 0.0, 0.0, 0.0);
        for batch in logits {
            for logits in batch.chunks_exact(heads) {
                let label = &examples.labels[scored.clicks.len()];
                let mut served: Vec<f64> = logits.iter().map(|&z| f64::from(z)).collect();
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
        (scored, choice / choice_weights)
    }

    /// The logits of examples, without the correction, `[rows, heads]` for some rows at a time.
    fn logits(&mut self, plan: &X0Layout, examples: &Examples) -> Vec<Vec<f32>> {
        let (heads, averaged) = (self.heads(), self.hyper.averaging > 0.0);
        self.tables.settle();
        let params = if averaged { &self.average } else { &self.params };
        let (net, tables) = (&Staged::new(&self.shape, params, Cpu::best()), &self.tables);
        let pieces: Vec<usize> = (0..examples.len()).step_by(TOGETHER).collect();
        let score = |workspace: &mut Workspace, &first: &usize| {
            let rows = first..(first + TOGETHER).min(examples.len());
            let n = rows.len();
            let mut logits = vec![0.0; n * heads];
            let x = (&mut workspace.x[0][..n * net.pitch()], net.pitch());
            tables.lookup(plan, examples, rows, averaged, x, (&mut logits, heads));
            workspace.forward(net, n, None);
            logits.iter_mut().zip(&workspace.logits).for_each(|(w, z)| *w += z);
            logits
        };
        pieces.par_iter().with_min_len(8).map_init(|| Workspace::new(net), score).collect()
    }

    /// The weights that [`Learner::score`] uses.
    pub(super) fn weights(&mut self) -> SavedWeights {
        let averaged = self.hyper.averaging > 0.0;
        self.tables.settle();
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
            table.set(&rows, &wide);
        }
        self.stage();
    }

    /// All that the next steps depend on, but for the draws.
    pub(super) fn save<'a>(&'a self, to: &mut Tensors<'a>) {
        let all = self.params.iter().zip(&self.moments).zip(&self.average).enumerate();
        for (i, ((param, (first, second)), average)) in all {
            to.floats(format!("params.{i}"), &param.data);
            to.floats(format!("first.{i}"), first);
            to.floats(format!("second.{i}"), second);
            to.floats(format!("average.{i}"), &average.data);
        }
        self.tables.save(to);
    }

    /// Takes it from a checkpoint, which was kept after `step` steps.
    pub(super) fn load(&mut self, from: &Loaded, step: u64) -> Result<()> {
        let fill = |name: String, to: &mut [f32]| Loaded::fill(&name, to, &from.f32(&name)?);
        let all = self.params.iter_mut().zip(&mut self.moments).zip(&mut self.average).enumerate();
        for (i, ((param, (first, second)), average)) in all {
            fill(format!("params.{i}"), &mut param.data)?;
            fill(format!("first.{i}"), first)?;
            fill(format!("second.{i}"), second)?;
            fill(format!("average.{i}"), &mut average.data)?;
        }
        self.tables.load(from)?;
        self.step = step;
        self.stage();
        Ok(())
    }

    /// The steps taken so far.
    pub(super) fn steps(&self) -> u64 {
        self.step
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
        self.moments = moments(&params);
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
        self.tables.tables.iter_mut().for_each(EmbeddingTable::inherit);
        Ok(())
    }

    /// Scales one head's logits by `own` and adds those of a fitted wide part, times `other`.
    pub(super) fn mix(&mut self, head: usize, own: f64, other: f64, fitted: &Fitted, places: &Places) {
        for (number, table) in self.tables.tables.iter_mut().enumerate() {
            let Some(weights) = fitted.of_table(places, number) else { continue };
            let mut wide = table.wide(false);
            let own_weights = wide.iter_mut().skip(head).step_by(table.wide_dim);
            // What no row reads is fitted as 0 and keeps its bits.
            for (weight, fitted) in own_weights.zip(weights).filter(|(_, fitted)| own < 1.0 || **fitted != 0.0) {
                *weight = stored(own as f32 * *weight + other as f32 * *fitted as f32);
            }
            table.set_wide(&wide);
        }
        // The head's output weights come before its bias.
        let at = self.shape.head_biases()[head];
        if own < 1.0 {
            self.params[at - 1].data.iter_mut().for_each(|w| *w = stored(*w * own as f32));
        }
        let bias = &mut self.params[at].data[0];
        *bias = (own * f64::from(*bias) + other * fitted.bias()) as f32;
        self.average.clone_from(&self.params);
        self.stage();
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
            .map(|(t, ids)| EmbeddingSpec { rows: t.rows(false), vocabulary: ids.clone(), wide: t.wide(false) })
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

/// The moments of parameters that have seen no gradient.
fn moments(params: &[Param]) -> Vec<(Vec<f32>, Vec<f32>)> {
    params.iter().map(|p| (vec![0.0; p.data.len()], vec![0.0; p.data.len()])).collect()
}

/// The dense parameters, to be updated.
struct Dense<'a> {
    params: &'a mut [Param],
    moments: &'a mut [(Vec<f32>, Vec<f32>)],
    average: &'a mut [Param],
    net: &'a mut Staged,
    step: Adam,
    decay: f64,
}

impl Dense<'_> {
    /// AdamW along the sums of the parts' gradients, then the average of the weights.
    fn update(self, parts: &[Part]) {
        let (cpu, decay, step) = (Cpu::best(), self.decay, self.step);
        let all = self.params.par_iter_mut().zip(&mut *self.moments).zip(&mut *self.average).enumerate();
        all.with_max_len(1).for_each(|(number, ((param, (m, v)), average))| {
            let shrink = if param.is_matrix { 1.0 - (f64::from(step.lr) * decay) as f32 } else { 1.0 };
            let step = Adam { shrink, ..step };
            let (cols, pitch) = (param.cols, padded(param.cols));
            let rows = (BLOCK / cols.max(1)).max(1);
            let blocks = param.data.par_chunks_mut(rows * cols).zip(m.par_chunks_mut(rows * cols));
            let blocks = blocks.zip(v.par_chunks_mut(rows * cols)).zip(average.data.par_chunks_mut(rows * cols));
            blocks.enumerate().for_each(|(block, (((weights, m), v), average))| {
                let mut sum = vec![0.0; cols];
                for (i, weights) in weights.chunks_exact_mut(cols).enumerate() {
                    let row = (block * rows + i) * pitch;
                    sum.fill(0.0);
                    parts.iter().for_each(|part| cpu.add(&mut sum, 1.0, &part.gradients[number][row..row + cols]));
                    let of = i * cols..(i + 1) * cols;
                    cpu.adam(step, &sum, weights, &mut m[of.clone()], &mut v[of.clone()], &mut average[of]);
                }
            });
        });
        self.net.set(self.params);
    }
}

/// Values that are updated by one thread at a time.
const BLOCK: usize = 4096;
