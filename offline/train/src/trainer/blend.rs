//! The wide part fitted alone, as logistic regression, and what of it goes into a trained model.
//!
//! A fresh model becomes the mean of both, weighted as the validation rows decide. A warm start begins with it: it is fitted
//! to what the earlier model leaves over, whose logits on these rows it is added to.

use adclick::builder::Named;
use adclick::builder::artifact::model::spec::HeadKind;
use adclick_data::progress::Progress;
use anyhow::Result;

use super::encode::X0Layout;
use super::learner::{HeldOutScores, Learner};
use super::linear::{self, Choice, LabelOf, LabelledRows, Places};
use super::loss;
use super::store::Store;

fn target(kind: HeadKind) -> LabelOf {
    match kind {
        HeadKind::Ctr => |label| Some(label.click),
        HeadKind::Cvr => loss::conversion,
    }
}

fn logits(scored: &HeldOutScores, kind: HeadKind) -> &[f64] {
    match kind {
        HeadKind::Ctr => &scored.click_logits,
        HeadKind::Cvr => &scored.conversion_logits,
    }
}

/// Fits the wide part for each head and puts it into the model, by the shares that are best on the validation rows. `onto`
/// says that it adds to the model instead of standing beside it.
pub(super) fn choose(
    learner: &mut Learner,
    plan: &X0Layout,
    store: &Store,
    onto: bool,
    progress: &Progress,
) -> Result<Vec<Option<Choice>>> {
    let scored = learner.score(plan, &store.validation);
    let choices = fit(learner, plan, store, onto, |kind, correction, places, training| {
        let held_out = LabelledRows::new(&store.validation, plan, places, target(kind));
        let logits = logits(&scored, kind);
        let own: Vec<f64> = logits.iter().map(|z| z - correction).collect();
        let held_out = if onto { held_out.onto(&own) } else { held_out }.for_choices();
        let others: Vec<f64> = held_out.labelled().iter().map(|row| logits[row.0]).collect();
        linear::choose(training, &held_out, &others, correction)
    })?;
    let loss = learner.score(plan, &store.validation).loss;
    for ((kind, _), choice) in learner.shape.heads.iter().zip(&choices) {
        let Some(Choice { share, .. }) = choice else { continue };
        let (kind, own, other) = (kind.name(), 100.0 * share, 100.0 * (1.0 - share));
        progress.note(&if onto {
            format!("{kind}: {other:.0}% of the wide part that these rows add: validation log loss {loss:.5}")
        } else {
            format!(
                "{kind}: {own:.0}% of the network and the rest of the wide part alone: validation log loss {loss:.5}"
            )
        });
    }
    Ok(choices)
}

/// The same as an earlier run chose.
pub(super) fn repeat(
    learner: &mut Learner,
    plan: &X0Layout,
    store: &Store,
    onto: bool,
    choices: &[Option<Choice>],
) -> Result<()> {
    let mut choices = choices.iter();
    fit(learner, plan, store, onto, |_, _, _, training| {
        choices.next()?.as_ref().map(|choice| linear::repeat(training, choice))
    })?;
    Ok(())
}

/// Fits each head by `fit`, given its kind, what serving adds to its logits, and the training rows.
fn fit(
    learner: &mut Learner,
    plan: &X0Layout,
    store: &Store,
    onto: bool,
    mut fit: impl FnMut(HeadKind, f64, &Places, &LabelledRows) -> Option<linear::Fitted>,
) -> Result<Vec<Option<Choice>>> {
    let places = Places::new(&learner.tables.tables);
    let kinds: Vec<HeadKind> = learner.shape.heads.iter().map(|h| h.0).collect();
    let Some(training) = store.sample() else { return Ok(vec![None; kinds.len()]) };
    let earlier = if onto { Some(learner.score(plan, training)) } else { None };
    let mut choices = Vec::new();
    for (head, &kind) in kinds.iter().enumerate() {
        let correction = learner.judge.correction(kind);
        let rows = LabelledRows::new(training, plan, &places, target(kind));
        let rows = match &earlier {
            Some(scored) => rows.onto(&logits(scored, kind).iter().map(|z| z - correction).collect::<Vec<_>>()),
            None => rows,
        };
        let fitted = fit(kind, correction, &places, &rows).filter(|fitted| fitted.choice.share < 1.0);
        if let Some(fitted) = &fitted {
            let share = fitted.choice.share;
            learner.mix(head, if onto { 1.0 } else { share }, 1.0 - share, fitted, &places);
        }
        choices.push(fitted.map(|fitted| fitted.choice));
    }
    Ok(choices)
}
