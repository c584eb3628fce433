//! Passes over the training rows: as many as the validation rows choose, or as they chose before.

use adclick::builder::artifact::model::spec::HeadKind;
use adclick::builder::schema::{Kind, Schema};
use adclick_data::progress::Progress;
use adclick_data::setting::{BadSetting, Setting};
use anyhow::{Context, Result, anyhow};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::blend;
use super::config::Hyper;
use super::encode::{Encoder, X0Layout};
use super::learner::{HeldOutScores, Learner, SavedWeights, visits};
use super::linear::Choice;
use super::store::{Largest, Store};

/// What the validation rows chose.
pub(super) struct Chosen {
    pub(super) hyper: Hyper,
    /// Training rows that it was chosen with.
    pub(super) rows: u64,
    /// The pass whose weights were kept.
    pub(super) passes: u32,
    pub(super) heads: Vec<(HeadKind, Vec<usize>)>,
    /// How the wide part was fitted for each head; None: not at all.
    pub(super) wide: Vec<Option<Choice>>,
}

impl Chosen {
    /// Whether anything was learnt from the training rows, be it by an earlier model.
    pub(super) fn learns(&self) -> bool {
        self.passes > 0 || self.wide.iter().any(Option::is_some)
    }

    /// The network's share of each head.
    pub(super) fn network_shares(&self, warm: bool) -> Vec<f64> {
        // What continues an earlier model adds to it.
        let share = |wide: &Option<Choice>| wide.as_ref().filter(|_| !warm).map_or(1.0, |wide| wide.share);
        self.wide.iter().map(share).collect()
    }
}

/// Passes over the training rows.
pub(super) struct Passes<'a> {
    pub(super) store: &'a Store<'a>,
    pub(super) encoder: Encoder,
    pub(super) plan: &'a X0Layout,
    /// LabelledRows per step.
    pub(super) batch: usize,
    /// LabelledRows of a pass; heavy ones count several times.
    pub(super) visited: u64,
    /// Whether training continues an earlier model.
    pub(super) warm: bool,
    pub(super) progress: &'a Progress,
}

impl Passes<'_> {
    fn make(&mut self, learner: &mut Learner, epoch: u32) -> Result<()> {
        let stage = self.progress.rows(&format!("Pass {epoch}"), self.visited);
        let (plan, size, visited) = (self.plan, self.batch, self.visited);
        self.store.pass(&mut self.encoder, |piece| {
            let times = |i: usize| std::iter::repeat_n(i, visits(piece.labels[i].weight) as usize);
            let mut order: Vec<usize> = (0..piece.len()).flat_map(times).collect();
            shuffle(&mut order, &mut learner.rng);
            for batch in order.chunks(size) {
                learner.learn(plan, piece, batch, visited);
                stage.advance(batch.len() as u64);
                stage.check()?;
            }
            Ok(())
        })
    }

    /// Makes passes until the validation rows say that it is enough. Returns the number made, that of the best one, and how
    /// the wide part was fitted.
    pub(super) fn choose(
        &mut self,
        learner: &mut Learner,
        hyper: &Hyper,
        schema: &Schema,
        weighs: bool,
    ) -> Result<(u32, u32, Vec<Option<Choice>>)> {
        let (store, plan, progress) = (self.store, self.plan, self.progress);
        let mut wide = vec![None; learner.heads()];
        let mut best: Option<(f64, u32, SavedWeights)> = None;
        if self.warm {
            let (scored, choice) = learner.judged(plan, &store.validation);
            progress.note(&format!("the earlier model: validation log loss {:.5}", scored.loss));
            let kept = learner.weights();
            best = Some((choice, 0, kept));
        }
        if self.warm && weighs {
            let fitted = blend::choose(learner, plan, store, true, progress)?;
            let (_, choice) = learner.judged(plan, &store.validation);
            match best.take() {
                Some((before, _, kept)) if before < choice => {
                    learner.restore(kept);
                    best = Some((before, 0, learner.weights()));
                }
                _ => {
                    wide = fitted;
                    best = Some((choice, 0, learner.weights()));
                }
            }
        }
        let mut made = 0;
        for epoch in 1..=hyper.epochs {
            made = epoch;
            self.make(learner, epoch)?;
            let (HeldOutScores { loss, .. }, choice) = learner.judged(plan, &store.validation);
            progress.note(&format!("pass {epoch}: validation log loss {loss:.5}"));
            if !loss.is_finite() {
                return Err(diverged(epoch, loss, schema, &store.largest));
            }
            if best.as_ref().is_none_or(|b| choice < b.0) {
                best = Some((choice, epoch, learner.weights()));
            } else if best.as_ref().is_some_and(|b| epoch - b.1 >= hyper.patience) {
                break;
            }
        }
        let (_, passes, weights) = best.context("no pass over the rows was allowed: epochs is 0")?;
        if passes == hyper.epochs {
            progress.note(&format!("warning: the last of {passes} passes is the best: more may be better still"));
        }
        learner.restore(weights);
        if weighs && !self.warm {
            wide = blend::choose(learner, plan, store, false, progress)?;
        }
        Ok((made, passes, wide))
    }

    /// Does what an earlier run chose.
    pub(super) fn repeat(&mut self, learner: &mut Learner, chosen: &Chosen) -> Result<()> {
        if self.warm {
            blend::repeat(learner, self.plan, self.store, true, &chosen.wide)?;
        }
        for epoch in 1..=chosen.passes {
            self.make(learner, epoch)?;
        }
        let weights = learner.weights();
        learner.restore(weights);
        if !self.warm {
            blend::repeat(learner, self.plan, self.store, false, &chosen.wide)?;
        }
        Ok(())
    }
}

/// Explains the failure as far as the rows tell.
fn diverged(epoch: u32, loss: f64, schema: &Schema, largest: &Option<Largest>) -> anyhow::Error {
    let numbers: Vec<&str> = schema
        .features
        .iter()
        .flat_map(|f| {
            let columns = match &f.kind {
                Kind::Number { .. } => 1,
                Kind::Vector { dim } => *dim as usize,
                Kind::Category { .. } | Kind::MultiCategory { .. } => 0,
            };
            std::iter::repeat_n(f.name.as_str(), columns)
        })
        .collect();
    let place = largest.as_ref().filter(|largest| largest.value.abs() > 100.0).map(|largest| {
        format!(
            "; feature `{}` is {:e} in row {}, after its transform, where about 1 is expected: give the feature a `clip`, or \
             mend the row",
            numbers.get(largest.column).unwrap_or(&""),
            largest.value,
            largest.row
        )
    });
    let what = format!("training diverged in pass {epoch}: the validation log loss is {loss}");
    match place {
        Some(place) => anyhow!("{what}{place}"),
        None => {
            let settings = &[Setting::LearningRate, Setting::EmbeddingLearningRate];
            BadSetting::new(settings, format!("{what}; choose smaller learning rates")).into()
        }
    }
}

/// The Fisher–Yates shuffle.
fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..order.len()).rev() {
        let j = ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
}
