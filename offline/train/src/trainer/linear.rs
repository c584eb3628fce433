//! The wide part alone: logistic regression over ids and buckets of numbers, with an L2 penalty that the validation rows choose.
//!
//! On few rows, or where ids carry most of the information, nothing beats it; a network trained beside it has to prove
//! on the validation rows that it knows more. The result is a weighted mean of both logits, which is a model of the
//! same form.

use serde::{Deserialize, Serialize};

use super::descent::minimise;
use super::encode::{Examples, Label, NONE, X0Layout};
use super::evidence::heaviest;
use super::loss::{sigmoid, softplus};
use super::tables::EmbeddingTable;

/// The penalties tried, from strong to weak. With 1, a weight that rests on one row moves as much as with `C = 1` in
/// the usual libraries.
const PENALTIES: [f64; 9] = [300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03];
/// From this many rows on, only the weaker penalties are tried, in fewer steps: the rows outweigh the prior, and each
/// step reads them all.
const MANY_ROWS: usize = 100_000;
/// Steps for each penalty, on few rows and on many.
const STEPS: (usize, usize) = (30, 12);
/// Descent ends with a step that gains less than this share of the loss.
const TOLERANCE: f64 = 1e-5;
/// Weaker penalties are tried until this many in turn are no better.
const PATIENCE: usize = 2;
/// The fewest validation rows of either label that a choice needs.
const LEAST: usize = 20;
/// The number of steps from 0 to 1 in which the network's share is tried.
const SHARES: u32 = 20;

/// The label that a head learns: for rows that have it, whether it is positive.
pub(super) type LabelOf = fn(&Label) -> Option<bool>;

/// The offset of each table's wide weights among all weights.
pub(super) struct Places {
    /// None for a table without wide weights.
    first: Vec<Option<usize>>,
    /// The number of all weights; the bias comes last.
    count: usize,
}

impl Places {
    pub(super) fn new(tables: &[EmbeddingTable]) -> Self {
        let mut count = 0;
        let mut place = |table: &EmbeddingTable| {
            let first = (table.wide_dim > 0).then_some(count);
            count += if first.is_some() { table.count() } else { 0 };
            first
        };
        let first = tables.iter().map(&mut place).collect();
        Self { first, count }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Rows with a label, and how to read them.
pub(super) struct LabelledRows<'a> {
    examples: &'a Examples,
    plan: &'a X0Layout,
    places: &'a Places,
    /// Example, label, weight.
    labelled: Vec<(usize, bool, f64)>,
    /// The logits that the weights add to, one for each labelled row; empty: 0.
    base: Vec<f64>,
}

impl<'a> LabelledRows<'a> {
    pub(super) fn new(examples: &'a Examples, plan: &'a X0Layout, places: &'a Places, target: LabelOf) -> Self {
        let labelled = |(i, label): (usize, &Label)| target(label).map(|y| (i, y, f64::from(label.weight)));
        let labelled = examples.labels.iter().enumerate().filter_map(labelled).collect();
        Self { examples, plan, places, labelled, base: Vec::new() }
    }

    /// Fits what is to be added to a model that has these logits, one for each example.
    pub(super) fn onto(mut self, logits: &[f64]) -> Self {
        self.base = self.labelled.iter().map(|row| logits[row.0]).collect();
        self
    }

    /// The labels of the rows, with their examples and weights.
    pub(super) fn labelled(&self) -> &[(usize, bool, f64)] {
        &self.labelled
    }

    /// Caps the heaviest rows, for use when models are chosen by these rows.
    pub(super) fn for_choices(mut self) -> Self {
        let most = heaviest(self.labelled.iter().map(|row| row.2));
        self.labelled.iter_mut().for_each(|row| row.2 = row.2.min(most));
        self
    }

    /// Whether both labels have enough rows for a choice.
    fn decide(&self) -> bool {
        let positive = self.labelled.iter().filter(|row| row.1).count();
        positive.min(self.labelled.len() - positive) >= LEAST
    }

    /// The weights that an example reads, and how much of each.
    #[inline]
    fn entries(&self, example: usize, mut visit: impl FnMut(usize, f64)) {
        let singles = &self.examples.singles[example * self.plan.singles.len()..];
        for (place, &row) in self.plan.singles.iter().zip(singles) {
            if let (Some(first), true) = (self.places.first[place.table], row != NONE) {
                visit(first + row as usize, 1.0);
            }
        }
        for (b, place) in self.plan.bags.iter().enumerate() {
            let Some(first) = self.places.first[place.table] else { continue };
            let bag = example * self.plan.bags.len() + b;
            let scale = f64::from(self.examples.bag_scales[bag]);
            for &(row, weight) in self.examples.bag(bag) {
                visit(first + row as usize, scale * f64::from(weight));
            }
        }
    }

    pub(super) fn logits(&self, weights: &[f64]) -> Vec<f64> {
        let logit = |(i, &(example, ..)): (usize, &(usize, bool, f64))| {
            let mut z = weights[self.places.count] + self.base.get(i).unwrap_or(&0.0);
            self.entries(example, |at, x| z += x * weights[at]);
            z
        };
        self.labelled.iter().enumerate().map(logit).collect()
    }

    /// The mean log loss of these rows at the given logits.
    fn loss(&self, logits: impl Iterator<Item = f64>) -> f64 {
        let (mut sum, mut all) = (0.0, 0.0);
        for (&(_, positive, weight), z) in self.labelled.iter().zip(logits) {
            sum += weight * softplus(if positive { -z } else { z });
            all += weight;
        }
        sum / all
    }

    /// The penalty of each weight, per unit of strength: the average Σ x² over what a row reads of its table. It is 1
    /// for a single value, 1/n for n averaged values (each moves the logit by that much less) and 0 for the bias.
    fn sizes(&self) -> Vec<f64> {
        let mut sizes = vec![1.0; self.places.count + 1];
        for (b, place) in self.plan.bags.iter().enumerate() {
            let Some(first) = self.places.first[place.table] else { continue };
            let (mut sum, mut all) = (0.0, 0.0);
            for &(example, _, weight) in &self.labelled {
                let bag = example * self.plan.bags.len() + b;
                let squares: f64 = self.examples.bag(bag).iter().map(|&(_, x)| f64::from(x) * f64::from(x)).sum();
                let scale = f64::from(self.examples.bag_scales[bag]);
                if squares > 0.0 {
                    sum += weight * scale * scale * squares;
                    all += weight;
                }
            }
            // The last of several features that share a table decides.
            let end = self.places.first[place.table + 1..].iter().flatten().next().copied();
            if all > 0.0 {
                sizes[first..end.unwrap_or(self.places.count)].fill(sum / all);
            }
        }
        sizes[self.places.count] = 0.0;
        sizes
    }

    /// The curvature of the loss at the click rate, for each weight.
    fn curvature(&self) -> Vec<f64> {
        let (mut positive, mut all) = (0.0, 0.0);
        for &(_, y, weight) in &self.labelled {
            positive += if y { weight } else { 0.0 };
            all += weight;
        }
        let rate = positive / all;
        let mut curvature = vec![0.0; self.places.count + 1];
        for &(example, _, weight) in &self.labelled {
            self.entries(example, |at, x| curvature[at] += weight * rate * (1.0 - rate) * x * x);
        }
        curvature[self.places.count] = all * rate * (1.0 - rate);
        curvature
    }
}

/// What the validation rows chose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// The penalties that led to the best one, which is the last: each fit starts from the one before.
    path: Vec<f64>,
    /// Steps for each penalty.
    steps: usize,
    /// The other model's share of the mean logit.
    pub(super) share: f64,
}

/// A fitted wide part.
pub(super) struct Fitted {
    /// The weights of all tables, then the bias.
    weights: Vec<f64>,
    pub(super) choice: Choice,
}

impl Fitted {
    /// The weights of a table, one for each row.
    pub(super) fn of_table(&self, places: &Places, table: usize) -> Option<&[f64]> {
        places.first[table].map(|first| &self.weights[first..places.count])
    }

    pub(super) fn bias(&self) -> f64 {
        self.weights[self.weights.len() - 1]
    }
}

/// Fits the wide part to the training rows, then mixes it with a model that has these logits on the validation rows.
/// `correction` is what serving adds to a logit. None when there are too few rows to choose by.
pub(super) fn choose(
    training: &LabelledRows,
    validation: &LabelledRows,
    others: &[f64],
    correction: f64,
) -> Option<Fitted> {
    if training.places.is_empty() || !training.decide() || !validation.decide() {
        return None;
    }
    let many = training.labelled.len() > MANY_ROWS;
    let (penalties, steps) = if many { (&PENALTIES[3..], STEPS.1) } else { (&PENALTIES[..], STEPS.0) };
    let mut best: Option<(f64, usize, Vec<f64>)> = None;
    follow(training, penalties, steps, |at, weights| {
        let loss = validation.loss(validation.logits(weights).iter().map(|z| z + correction));
        if best.as_ref().is_none_or(|b| loss < b.0) {
            best = Some((loss, at, weights.to_vec()));
        }
        best.as_ref().is_some_and(|b| at < b.1 + PATIENCE)
    });
    let (_, last, weights) = best?;
    let logits = validation.logits(&weights);
    let mean = |share: f64| {
        validation.loss(logits.iter().zip(others).map(|(z, other)| (1.0 - share) * (z + correction) + share * other))
    };
    let shares = (0..=SHARES).map(|i| f64::from(i) / f64::from(SHARES));
    let share = shares.min_by(|a, b| mean(*a).total_cmp(&mean(*b)))?;
    Some(Fitted { weights, choice: Choice { path: penalties[..=last].to_vec(), steps, share } })
}

/// Fits the wide part to other rows as an earlier choice says.
pub(super) fn repeat(training: &LabelledRows, choice: &Choice) -> Fitted {
    let mut last = Vec::new();
    follow(training, &choice.path, choice.steps, |_, weights| {
        last = weights.to_vec();
        true
    });
    Fitted { weights: last, choice: choice.clone() }
}

/// Fits under one penalty after the other, as long as `go_on` says so of what it is shown.
fn follow(training: &LabelledRows, penalties: &[f64], steps: usize, mut go_on: impl FnMut(usize, &[f64]) -> bool) {
    let (curvature, sizes) = (training.curvature(), training.sizes());
    let mut weights = vec![0.0; training.places.count + 1];
    for (at, &penalty) in penalties.iter().enumerate() {
        let penalties: Vec<f64> = sizes.iter().map(|size| penalty * size).collect();
        descend(training, &curvature, &penalties, steps, &mut weights);
        if !go_on(at, &weights) {
            return;
        }
    }
}

/// Minimises the penalised loss, starting from the current weights.
fn descend(rows: &LabelledRows, curvature: &[f64], penalties: &[f64], steps: usize, weights: &mut [f64]) {
    let bias = rows.places.count;
    // In these units all weights have about the same curvature.
    let unit = |at: usize| (curvature[at] + penalties[at]).max(1e-9).sqrt();
    let units: Vec<f64> = (0..weights.len()).map(unit).collect();
    let mut scaled: Vec<f64> = weights.iter().zip(&units).map(|(w, unit)| w * unit).collect();
    let unscaled = |scaled: &[f64]| -> Vec<f64> { scaled.iter().zip(&units).map(|(x, unit)| x / unit).collect() };
    minimise(&mut scaled, steps, TOLERANCE, |x| {
        let w = unscaled(x);
        let mut gradient: Vec<f64> = w.iter().zip(penalties).map(|(w, penalty)| penalty * w).collect();
        let mut value = 0.5 * w.iter().zip(&gradient).map(|(w, slope)| w * slope).sum::<f64>();
        for (z, &(example, positive, weight)) in rows.logits(&w).into_iter().zip(&rows.labelled) {
            value += weight * softplus(if positive { -z } else { z });
            let slope = weight * (sigmoid(z) - f64::from(u8::from(positive)));
            rows.entries(example, |at, x| gradient[at] += slope * x);
            gradient[bias] += slope;
        }
        gradient.iter_mut().zip(&units).for_each(|(g, unit)| *g /= unit);
        (value, gradient)
    });
    weights.copy_from_slice(&unscaled(&scaled));
}
