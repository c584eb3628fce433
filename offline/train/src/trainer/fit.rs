//! The training loop.

use std::time::Instant;

use adclick::builder::artifact::model::spec::{HeadKind, ModelSpec};
use adclick::builder::schema::{Enrichment, Kind, Schema};
use adclick_data::logs::{LogRow, RowBatch, TableLookups};
use adclick_data::progress::Progress;
use adclick_data::setting::refuse;
use adclick_data::time;
use anyhow::{Context, Result, bail};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::blueprint::Blueprint;
use super::build::build;
use super::census::count;
use super::config::Config;
use super::encode::{Encoder, X0Layout};
use super::finish::{Observer, provenance};
use super::learner::{HeldOutScores, Learner, SavedWeights, visits};
use super::linear::{self, LabelOf, LabelledRows, Places};
use super::loss;
use super::metrics::RunStatistics;
use super::split::{Data, SplitRole};
use super::store::{Largest, Picker, Store};
use super::warm;
use crate::ranges::{self, InputSample};

/// A trained model and the data that calibration needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub spec: ModelSpec,
    /// Held-out rows, used for early stopping and calibration.
    pub validation: HeldOutScores,
    /// Test rows, which only the splits of experiments have.
    pub test: Option<HeldOutScores>,
    /// Statistics of the run.
    pub metrics: RunStatistics,
}

/// Trains a model. With a `parent` (as unpacked from its file), training continues from its weights: its layers, number
/// transforms, boundaries and rows stay, vocabularies grow, and the result is never worse on the validation rows.
///
/// # Errors
/// Files that cannot be read, splits that leave nothing, features that the rows do not have.
pub fn fit(
    config: &Config,
    data: &Data,
    blueprint: &Blueprint,
    parent: Option<&ModelSpec>,
    progress: &Progress,
) -> Result<Trained> {
    let start = Instant::now();
    let blueprint = blueprint.with(config)?;
    // A model that predates numbers cut for the wide part continues without them.
    let all = blueprint.features.len();
    let uncut = parent.is_some_and(|parent| parent.schema.features.len() + blueprint.cut == all);
    let blueprint = &if uncut { blueprint.uncut() } else { blueprint };
    let keep = config.downsample.unwrap_or(1.0);
    let picker = Picker::new(data, keep, config.seed, progress)?;
    let census = count(data, blueprint, &picker, config.seed, progress)?;
    census.warn(progress);
    let rows = census.counts.rows;
    if let (Some(lookups), Some((_, last))) = (&data.source.tables, census.window) {
        warn_of_newer(lookups, last, progress);
    }
    let hyper = config.resolve(rows);
    let mut built = build(blueprint, &census.counts, &hyper)?;
    if let Some(parent) = parent {
        warm::inherit(&mut built, parent)?;
    }
    let mut encoder = Encoder::new(&built.schema, &built.vocabularies, &data.source)?
        .labelled_by(census.mean_weight(), census.known.clone());
    encoder.plan.drops = census.counts.drops(blueprint, &built);
    let plan = encoder.plan.clone();
    let mut observer = Observer::new(&built.schema, &data.source);
    let memory_rows = config.memory_rows.unwrap_or(4 << 20);
    let mut sample = InputSample::new(&built.schema, &data.source);
    let mut visited = 0;
    let visit = |role: SplitRole, batch: &RowBatch, row: &LogRow| match role {
        SplitRole::Train => {
            sample.see(batch, row);
            visited += visits((row.weight / census.mean_weight()) as f32);
        }
        _ => observer.see(batch, row),
    };
    let store = Store::new(data, &picker, &mut encoder, rows, memory_rows, progress, visit)?;

    let heads = census.heads();
    let kinds: Vec<HeadKind> = heads.iter().map(|h| h.0).collect();
    let bias: Vec<f32> = kinds.iter().map(|&kind| census.starting_logit(kind)).collect();
    let mut learner = Learner::new(&built, &hyper, heads, &bias, keep, config.seed);
    for (table, plan) in learner.tables.tables.iter_mut().zip(&blueprint.tables) {
        if !plan.fixed.is_empty() {
            table.freeze(plan.fixed.clone());
        }
    }
    let mut best: Option<(f64, u32, SavedWeights)> = None;
    if let Some(parent) = parent {
        learner.continue_from(&built, parent)?;
        let (scored, choice) = learner.judged(&plan, &store.validation)?;
        progress.note(&format!("the earlier model: validation log loss {:.5}", scored.loss));
        best = Some((choice, 0, learner.weights()));
    }
    let mut epochs = 0;
    let fit_start = Instant::now();
    for epoch in 1..=hyper.epochs {
        epochs = epoch;
        let stage = progress.rows(&format!("Pass {epoch}"), visited);
        store.pass(&mut encoder, |piece| {
            let times = |i: usize| std::iter::repeat_n(i, visits(piece.labels[i].weight) as usize);
            let mut order: Vec<usize> = (0..piece.len()).flat_map(times).collect();
            shuffle(&mut order, &mut learner.rng);
            for batch in order.chunks(hyper.batch) {
                learner.learn(&plan, piece, batch, visited)?;
                stage.advance(batch.len() as u64);
                stage.check()?;
            }
            Ok(())
        })?;
        drop(stage);
        let (HeldOutScores { loss, .. }, choice) = learner.judged(&plan, &store.validation)?;
        progress.note(&format!("pass {epoch}: validation log loss {loss:.5}"));
        if !loss.is_finite() {
            return diverged(epoch, loss, &built.schema, &store.largest);
        }
        if best.as_ref().is_none_or(|b| choice < b.0) {
            best = Some((choice, epoch, learner.weights()));
        } else if best.as_ref().is_some_and(|b| epoch - b.1 >= hyper.patience) {
            break;
        }
    }
    let fit_seconds = fit_start.elapsed().as_secs_f64();
    let (_, best_epoch, weights) = best.context("no pass over the rows was allowed: epochs is 0")?;
    if best_epoch == hyper.epochs {
        progress.note(&format!("warning: the last of {best_epoch} passes is the best: more may be better still"));
    }
    learner.restore(weights);
    // The wide part of the earlier model was trained on more than these rows.
    let network_shares = match parent {
        None if blueprint.weighs => weigh(&mut learner, &plan, &store, progress)?,
        _ => vec![1.0; learner.shape.heads.len()],
    };
    let validation = learner.score(&plan, &store.validation)?;
    let test = (store.test.len() > 0).then(|| learner.score(&plan, &store.test)).transpose()?;
    let kinds = learner.shape.heads.iter().map(|h| h.0.name()).collect();
    let metrics = RunStatistics {
        rows,
        click_rate: census.click_rate(),
        weightless_rows: census.weightless,
        unknown_conversions: if census.conversions > 0 { census.clicks - census.known_clicks } else { 0 },
        unclicked_conversions: census.unclicked_conversions,
        heads: kinds,
        network_shares,
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
    let lookups = data.source.tables.as_ref();
    spec.enrichment = lookups.map_or_else(Enrichment::default, |t| t.enrichment_of(&spec.schema.features));
    (spec.goldens, spec.histograms) = observer.finish(&validation);
    spec.provenance = provenance(config, &hyper, &census, &metrics, &data.source);
    (spec.ranges, _) = ranges::find(&spec, &sample.rows())?;
    Ok(Trained { spec, validation, test, metrics })
}

/// Fits the wide part alone. For each head, mixes it with the trained model by the share that is best on the validation
/// rows. Returns the network's share of each head.
fn weigh(learner: &mut Learner, plan: &X0Layout, store: &Store, progress: &Progress) -> Result<Vec<f64>> {
    let places = Places::new(&learner.tables.tables);
    let scored = learner.score(plan, &store.validation)?;
    let kinds: Vec<HeadKind> = learner.shape.heads.iter().map(|h| h.0).collect();
    let mut shares = vec![1.0; kinds.len()];
    let Some(training) = store.sample() else { return Ok(shares) };
    for (head, kind) in kinds.iter().enumerate() {
        let (target, logits): (LabelOf, _) = match kind {
            HeadKind::Ctr => (|label| Some(label.click), &scored.click_logits),
            HeadKind::Cvr => (loss::conversion, &scored.conversion_logits),
        };
        let rows = LabelledRows::new(training, plan, &places, target);
        let held_out = LabelledRows::new(&store.validation, plan, &places, target).for_choices();
        let logits: Vec<f64> = held_out.labelled().iter().map(|row| logits[row.0]).collect();
        let Some(fitted) = linear::fit(&rows, &held_out, &logits, learner.judge.correction(*kind)) else { continue };
        learner.mix(head, &fitted, &places);
        shares[head] = fitted.share;
    }
    let loss = learner.score(plan, &store.validation)?.loss;
    for (kind, share) in kinds.iter().zip(&shares).filter(|(_, share)| **share < 1.0) {
        let percent = 100.0 * share;
        progress.note(&format!(
            "{}: {percent:.0}% of the network and the rest of the wide part alone: validation log loss {loss:.5}",
            kind.name()
        ));
    }
    Ok(shares)
}

/// Explains the failure as far as the rows tell.
fn diverged(epoch: u32, loss: f64, schema: &Schema, largest: &Option<Largest>) -> Result<Trained> {
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
    let Some(place) = place else {
        refuse!(
            [LearningRate, EmbeddingLearningRate],
            "training diverged in pass {epoch}: the validation log loss is {loss}; choose smaller learning rates"
        )
    };
    bail!("training diverged in pass {epoch}: the validation log loss is {loss}{place}")
}

/// Warns of tables whose data is newer than the training rows.
fn warn_of_newer(lookups: &TableLookups, last: i64, progress: &Progress) {
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

/// The Fisher–Yates shuffle.
fn shuffle(order: &mut [usize], rng: &mut ChaCha8Rng) {
    for i in (1..order.len()).rev() {
        let j = ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        order.swap(i, j);
    }
}
