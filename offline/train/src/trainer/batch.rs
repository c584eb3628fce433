//! What the network makes of a part of a batch.

use adclick::builder::hash::mix;

use super::backprop::{Staged, TOGETHER, Workspace};
use super::encode::{Examples, Label, X0Layout};
use super::gather::{Draws, Gathered};
use super::loss::Judge;
use super::tables::{EmbeddingTables, MAX_HEADS, add};

/// Salts the draws of layers.
const LAYERS: u64 = 1 << 42;

/// Room for a part of a batch.
pub(super) struct Part {
    /// The gradients at the parameters.
    pub(super) gradients: Vec<Vec<f32>>,
    workspace: Workspace,
}

/// What all parts of a step share.
pub(super) struct Step<'a> {
    pub(super) net: &'a Staged,
    pub(super) plan: &'a X0Layout,
    /// They have read the rows of the batch.
    pub(super) tables: &'a EmbeddingTables,
    pub(super) judge: &'a Judge,
    pub(super) examples: &'a Examples,
    pub(super) draws: Draws,
    pub(super) heads: usize,
}

impl Part {
    pub(super) fn new(net: &Staged) -> Self {
        Self { gradients: net.gradients(), workspace: Workspace::new(net) }
    }

    /// Runs the network forward and backward over the examples that were gathered, whose labels `label` gives. `number` is
    /// that of the part.
    pub(super) fn learn(
        &mut self,
        step: &Step,
        number: usize,
        read: &mut Gathered,
        batch: &[usize],
        label: impl Fn(usize) -> Label,
    ) {
        let Step { net, plan, examples, heads, .. } = *step;
        let (n, pitch) = (read.n, net.pitch());
        read.dx.resize(n * pitch, 0.0);
        read.dlogits.resize(n * heads, 0.0);
        let workspace = &mut self.workspace;
        let mut wide = [0.0; TOGETHER * MAX_HEADS];
        for first in (0..n).step_by(TOGETHER) {
            let rows = first..(first + TOGETHER).min(n);
            let count = rows.len();
            let x = &mut workspace.x[0][..count * pitch];
            x.fill(0.0);
            let numbers = plan.numbers.len();
            for (row, &example) in x.chunks_exact_mut(pitch).zip(&batch[rows.clone()]) {
                for (&column, &number) in plan.numbers.iter().zip(&examples.numbers[example * numbers..]) {
                    row[column] = number;
                }
            }
            let wide = &mut wide[..count * heads];
            wide.fill(0.0);
            step.tables.fill(plan, read, number, rows.clone(), (x, pitch), (wide, heads));
            let key = mix(step.draws.key ^ LAYERS ^ (number << 20 | first) as u64);
            workspace.forward(net, count, Some((step.draws.activations, key)));
            let dlogits = &mut read.dlogits[first * heads..][..count * heads];
            dlogits.copy_from_slice(&workspace.logits[..count * heads]);
            add(dlogits, 1.0, wide);
            for (logits, &example) in dlogits.chunks_exact_mut(heads).zip(&batch[rows]) {
                step.judge.gradient(logits, &label(example));
            }
            workspace.backward(net, count, dlogits, &mut self.gradients, first > 0);
            read.dx[first * pitch..][..count * pitch].copy_from_slice(&workspace.dx[..count * pitch]);
        }
    }
}
