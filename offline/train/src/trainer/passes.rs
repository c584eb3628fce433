//! Passes over the training rows: as many as the validation rows choose, or as they chose before.

use adclick::builder::artifact::model::spec::HeadKind;
use adclick::builder::schema::{Kind, Schema};
use adclick_data::progress::Progress;
use adclick_data::setting::{BadSetting, Setting};
use anyhow::{Context, Result, anyhow};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::blend;
use super::checkpoint::{Draws, Keeper, Outcome, Standing};
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
pub(super) struct Passes<'a, 'b> {
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
    pub(super) keeper: &'a mut Keeper<'b>,
}

/// The best pass so far: what it is chosen by, its number, its weights.
type Best = (f64, u32, SavedWeights);

impl Passes<'_, '_> {
    /// Makes a pass, or what is left of it. `best` and `wide` are kept with it.
    fn make(
        &mut self,
        learner: &mut Learner,
        pass: u32,
        from: Option<&Standing>,
        best: Option<&Best>,
        wide: &[Option<Choice>],
    ) -> Result<()> {
        let stage = self.progress.rows(&format!("Pass {pass}"), self.visited);
        let (plan, size, visited, keeper) = (self.plan, self.batch, self.visited, &mut *self.keeper);
        let mut pieces = 0;
        self.store.pass(&mut self.encoder, |rows| {
            let piece = pieces;
            pieces += 1;
            let times = |i: usize| std::iter::repeat_n(i, visits(rows.labels[i].weight) as usize);
            let mut order: Vec<usize> = (0..rows.len()).flat_map(times).collect();
            let made = match from {
                Some(from) if piece < from.piece => {
                    stage.advance(order.len() as u64);
                    return Ok(());
                }
                Some(from) if piece == from.piece => from.steps,
                _ => 0,
            };
            let next = learner.rng.clone();
            if let Some(from) = from.filter(|_| made > 0) {
                learner.rng = from.draws.generator()?;
            }
            let draws = Draws::of(&learner.rng);
            shuffle(&mut order, &mut learner.rng);
            if made > 0 {
                learner.rng = next;
            }
            for (step, batch) in (1..).zip(order.chunks(size)) {
                stage.advance(batch.len() as u64);
                if step <= made {
                    continue;
                }
                learner.learn(plan, rows, batch, visited);
                stage.check()?;
                if keeper.is_due() {
                    let standing = Standing {
                        pass,
                        piece,
                        steps: step,
                        draws: draws.clone(),
                        finished: false,
                        best: best.map(|best| (best.0, best.1)),
                        wide: wide.to_vec(),
                    };
                    keeper.keep(learner, standing, best.map(|best| &best.2));
                }
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
    ) -> Result<Outcome> {
        let (store, plan, progress) = (self.store, self.plan, self.progress);
        let mut wide = vec![None; learner.heads()];
        let mut best: Option<Best> = None;
        let mut from = None;
        if let Some((standing, weights)) = self.keeper.standing(learner)? {
            best = standing.best.zip(weights).map(|((choice, pass), weights)| (choice, pass, weights));
            wide.clone_from(&standing.wide);
            from = Some(standing);
        }
        if self.warm && from.is_none() {
            let (scored, choice) = learner.judged(plan, &store.validation);
            progress.note(&format!("the earlier model: validation log loss {:.5}", scored.loss));
            let kept = learner.weights();
            best = Some((choice, 0, kept));
        }
        if self.warm && weighs && from.is_none() {
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
        let mut made = from.as_ref().map_or(0, |from| from.pass);
        let first =
            if from.as_ref().is_some_and(|from| from.finished) { hyper.epochs.saturating_add(1) } else { made.max(1) };
        for epoch in first..=hyper.epochs {
            made = epoch;
            self.make(learner, epoch, from.take().as_ref(), best.as_ref(), &wide)?;
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
        if self.keeper.keeps() {
            let standing = Standing {
                pass: made,
                piece: 0,
                steps: 0,
                draws: Draws::of(&learner.rng),
                finished: true,
                best: best.as_ref().map(|best| (best.0, best.1)),
                wide: wide.clone(),
            };
            self.keeper.keep(learner, standing, best.as_ref().map(|best| &best.2));
        }
        let (_, passes, weights) = best.context("no pass over the rows was allowed: epochs is 0")?;
        if passes == hyper.epochs {
            progress.note(&format!("warning: the last of {passes} passes is the best: more may be better still"));
        }
        learner.restore(weights);
        if weighs && !self.warm {
            wide = blend::choose(learner, plan, store, false, progress)?;
        }
        let outcome = Outcome { made, passes, wide };
        self.keeper.chose(learner, outcome.clone());
        Ok(outcome)
    }

    /// Does what an earlier run chose.
    pub(super) fn repeat(&mut self, learner: &mut Learner, chosen: &Chosen) -> Result<()> {
        let mut from = self.keeper.standing(learner)?.map(|found| found.0);
        if self.warm && from.is_none() {
            blend::repeat(learner, self.plan, self.store, true, &chosen.wide)?;
        }
        for epoch in from.as_ref().map_or(1, |from| from.pass)..=chosen.passes {
            self.make(learner, epoch, from.take().as_ref(), None, &[])?;
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
