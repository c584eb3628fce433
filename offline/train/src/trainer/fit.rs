//! A training run: the validation rows choose, then train as well.

use std::time::Instant;

use adclick::builder::Named;
use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::schema::Enrichment;
use adclick_data::logs::{LogRow, RowBatch, TableLookups};
use adclick_data::progress::Progress;
use adclick_data::time;
use anyhow::Result;

use super::blueprint::Blueprint;
use super::build::build;
use super::census::count;
use super::checkpoint::{Keeper, Outcome};
use super::config::Config;
use super::encode::Encoder;
use super::finish::{Observer, provenance};
use super::learner::{HeldOutScores, Learner, visits};
use super::metrics::RunStatistics;
use super::passes::{Chosen, Passes};
use super::split::{Data, SplitRole};
use super::store::{Picker, Store};
use super::warm;
use crate::ranges::{self, InputSample};

/// A trained model and the data that calibration needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The model.
    pub spec: ModelSpec,
    /// The model that has not learnt from the validation rows, when `spec` has: calibrators are fitted to its logits.
    pub unseen: Option<ModelSpec>,
    /// Held-out rows, scored by the model that has not learnt from them.
    pub validation: HeldOutScores,
    /// Test rows, which only the splits of experiments have.
    pub test: Option<HeldOutScores>,
    /// Statistics of the run.
    pub metrics: RunStatistics,
}

/// What is given to a training run beside its rows.
#[derive(Clone, Copy)]
struct Task<'a> {
    config: &'a Config,
    blueprint: &'a Blueprint,
    parent: Option<&'a ModelSpec>,
    progress: &'a Progress,
}

/// Trains a model. The validation rows choose how many passes, and how much network; then a model that learns from them as
/// well is trained as they chose. With a `parent` (as unpacked from its file), training continues from its weights: its
/// layers, number transforms, boundaries and rows stay, vocabularies grow, and what is chosen is never worse on the
/// validation rows.
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
    let pool = rayon::ThreadPoolBuilder::new().num_threads(config.threads.unwrap_or(0)).build()?;
    pool.install(|| fit_within(config, data, blueprint, parent, progress))
}

/// The same on the threads of the pool that it is called in.
fn fit_within(
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
    let task = Task { config, blueprint, parent, progress };
    let picker = Picker::new(data, config.downsample.unwrap_or(1.0), config.seed, progress)?;
    let mut keeper = Keeper::open(config, progress)?;
    let (mut trained, chosen) = run(task, data, &picker, None, &mut keeper)?;
    let rows = trained.metrics.rows + trained.metrics.validation_rows;
    if let Some(chosen) = chosen.filter(|chosen| config.refits(rows) && chosen.learns()) {
        progress.note("the same again over all rows, those that validated among them");
        let earlier = (chosen, trained.metrics.clone());
        let (mut again, _) = run(task, &data.joined(), &picker.all_train(), Some(&earlier), &mut keeper)?;
        // Nothing watches its passes, so the result is looked at.
        if again
            .spec
            .network
            .heads
            .iter()
            .all(|head| head.bias.is_finite() && head.weight.iter().all(|w| w.is_finite()))
        {
            // Scores of rows that it has not seen are those that serving will see.
            again.spec.goldens.clone_from(&trained.spec.goldens);
            again.spec.histograms.clone_from(&trained.spec.histograms);
            trained = Trained { unseen: Some(trained.spec), validation: trained.validation, ..again };
        } else {
            progress.warn("it diverged: the model stays as it was");
        }
    }
    trained.metrics.seconds = start.elapsed().as_secs_f64();
    Ok(trained)
}

/// Trains on the rows that the picker says: by the validation rows, or as an earlier run chose, whose statistics then hold.
fn run(
    task: Task,
    data: &Data,
    picker: &Picker,
    earlier: Option<&(Chosen, RunStatistics)>,
    keeper: &mut Keeper,
) -> Result<(Trained, Option<Chosen>)> {
    let Task { config, blueprint, parent, progress } = task;
    let census = count(data, blueprint, picker, config.seed, progress)?;
    let rows = census.counts.rows;
    let (hyper, heads) = match earlier {
        Some((chosen, _)) => (chosen.hyper.stretched(config, rows as f64 / chosen.rows as f64), chosen.heads.clone()),
        None => {
            census.warn(progress);
            if let (Some(lookups), Some((_, last))) = (&data.source.tables, census.window) {
                warn_of_newer(lookups, last, progress);
            }
            (config.resolve(rows), census.heads())
        }
    };
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
    let store = Store::new(data, picker, &mut encoder, rows, memory_rows, progress, visit)?;

    let bias: Vec<f32> = heads.iter().map(|head| census.starting_logit(head.0)).collect();
    let keep = config.downsample.unwrap_or(1.0);
    let mut learner = Learner::new(&built, &hyper, heads.clone(), &bias, keep, config.seed);
    for (table, plan) in learner.tables.tables.iter_mut().zip(&blueprint.tables) {
        if !plan.fixed.is_empty() {
            table.freeze(&plan.fixed);
        }
    }
    if let Some(parent) = parent {
        learner.continue_from(&built, parent)?;
    }
    let mut outcome = None;
    if keeper.keeps() {
        keeper.rows(usize::from(earlier.is_some()), store.checksum())?;
        outcome = if earlier.is_none() { keeper.outcome(&mut learner)? } else { None };
    }
    let (batch, warm) = (hyper.batch, parent.is_some());
    let mut passes = Passes { store: &store, encoder, plan: &plan, batch, visited, warm, progress, keeper };
    let fit_start = Instant::now();
    let (made, chosen) = match earlier {
        Some((chosen, _)) => {
            passes.repeat(&mut learner, chosen)?;
            (chosen.passes, None)
        }
        None => {
            let Outcome { made, passes, wide } = match outcome {
                Some(outcome) => outcome,
                None => passes.choose(&mut learner, &hyper, &built.schema, blueprint.weighs)?,
            };
            (made, Some(Chosen { hyper: hyper.clone(), rows, passes, heads, wide }))
        }
    };
    let fit_seconds = fit_start.elapsed().as_secs_f64();
    let validation = learner.score(&plan, &store.validation);
    let test = (store.test.len() > 0).then(|| learner.score(&plan, &store.test));
    let metrics = match (earlier, &chosen) {
        (Some((_, metrics)), _) => RunStatistics { refit_rows: rows, ..metrics.clone() },
        (None, chosen) => RunStatistics {
            rows,
            refit_rows: 0,
            click_rate: census.click_rate(),
            weightless_rows: census.weightless,
            unknown_conversions: if census.conversions > 0 { census.clicks - census.known_clicks } else { 0 },
            unclicked_conversions: census.unclicked_conversions,
            heads: learner.shape.heads.iter().map(|h| h.0.name()).collect(),
            network_shares: chosen.as_ref().map_or_else(Vec::new, |chosen| chosen.network_shares(parent.is_some())),
            validation_rows: store.validation.len() as u64,
            bad_rows: census.bad.0,
            epochs: made,
            best_epoch: chosen.as_ref().map_or(0, |chosen| chosen.passes),
            validation_loss: validation.loss,
            rows_per_second: rows as f64 * f64::from(made) / fit_seconds,
            streamed: store.streams(),
            seconds: 0.0,
            tables: census.found.clone(),
        },
    };
    let mut spec = learner.to_spec(&built);
    let lookups = data.source.tables.as_ref();
    spec.enrichment = lookups.map_or_else(Enrichment::default, |t| t.enrichment_of(&spec.schema.features));
    (spec.goldens, spec.histograms) = observer.finish(&validation);
    spec.provenance = provenance(config, &hyper, &census, &metrics, &data.source);
    (spec.ranges, _) = ranges::find(&spec, &sample.rows())?;
    Ok((Trained { spec, unseen: None, validation, test, metrics }, chosen))
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
