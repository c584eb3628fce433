//! The work done once for a request, before its candidates.

use super::Weights;
use super::kernel::{Bias, Dense, Kernel, PackedDense, Rows, Words};
use super::plan::{Collapse, Layer, PackedLayer, Plan, Prepare, Start};
use super::shapes::with_padding;
use crate::artifact::model::network::{LANES, padded};

/// Runs a list. The request's columns `r` are at the start of x0's first row.
pub(super) fn run(plan: &Plan, list: &[Prepare], weights: Weights<'_>, x0: Rows, r: &[f32], arena: &mut [f32]) {
    let kernel = plan.kernel();
    for prepare in list {
        match *prepare {
            Prepare::Layer(rows, ref layer) => layer_over(plan, weights, layer, rows, arena),
            Prepare::Dot { weight, at } => {
                arena[at] = kernel.dot(&weights.params[weight.start..][..r.len()], r);
            }
            Prepare::Copy { start, len, at } => {
                arena[at..at + padded(len)].fill(0.0);
                arena[at..at + len].copy_from_slice(&weights.params[start..start + len]);
            }
            Prepare::Times { at, len, by } => arena[at..at + len].iter_mut().for_each(|value| *value *= by),
            Prepare::AddScaled { start, len, from, at } => {
                for i in 0..len {
                    arena[at + i] = arena[from + i] + arena[x0.start + i] * weights.params[start + i];
                }
            }
            Prepare::Scale { columns, rows, to } => {
                for i in columns.count..rows {
                    arena[to.row(i, columns.len)].fill(0.0);
                }
                for i in 0..columns.count {
                    let out = &mut arena[to.row(i, columns.len)];
                    for ((out, &w), &r) in out.iter_mut().zip(plan.column(&columns, i)).zip(r) {
                        *out = r * w;
                    }
                }
            }
            Prepare::Panels { from, inputs, outputs, to } => {
                for panel in 0..outputs.div_ceil(LANES) {
                    for input in 0..inputs {
                        let source = from.row(input, 0).start + panel * LANES;
                        arena.copy_within(source..source + LANES, to + (panel * inputs + input) * LANES);
                    }
                }
            }
            Prepare::Product { rows, ref layer, to } => {
                let Rows { start, stride } = to.panels();
                dense(plan, weights, layer, rows, Rows { start, stride: LANES }, stride, arena);
            }
            Prepare::Inputs { ref weight, ref columns, to } => {
                for panel in 0..weight.panels.outputs.div_ceil(LANES) {
                    let to = &mut arena[to.panels().row(panel, columns.len() * LANES)];
                    plan.copy_inputs(weights, weight, panel, columns.clone(), to);
                }
            }
            Prepare::PackPanels { from, inputs, outputs, to } => {
                kernel.pack_panels(arena, from, inputs, outputs, to.panels());
            }
            Prepare::PackedInputs { weight, words, outputs, to } => {
                let Words::Pairs(panels) = plan.words(weight, words, outputs) else {
                    unreachable!("the algebra is in pairs alone")
                };
                for (panel, words) in panels.chunks(words * LANES).enumerate() {
                    let to = &mut arena[to.panels().row(panel, words.len())];
                    to.copy_from_slice(bytemuck::cast_slice(words));
                }
            }
            Prepare::Pack { rows, from, len, to } => kernel.pack_rows(arena, rows, from, len, to),
            Prepare::Packed(rows, ref layer) => packed_over(plan, weights, layer, rows, arena),
            Prepare::Collapse(ref step) => collapse(plan, step, weights, r, arena, kernel),
        }
    }
}

pub(super) fn bias(start: Start, weights: Weights<'_>) -> Bias<'_> {
    match start {
        Start::Zero => Bias::None,
        Start::Params(bias) => Bias::Params(with_padding(&bias, weights.params)),
        Start::Share(at) => Bias::Arena(at),
        Start::Rows(rows) => Bias::Rows(rows),
    }
}

/// A layer over packed rows of the arena.
pub(super) fn packed_over(plan: &Plan, weights: Weights<'_>, layer: &PackedLayer, rows: usize, arena: &mut [f32]) {
    let PackedLayer { weight, words, outputs, start, input, output, packed, then, grouped } = *layer;
    let op = PackedDense {
        rows,
        weight: plan.words(weight, words, outputs),
        grouped: grouped.and_then(|(start, sums)| Some((plan.grouped_words(start, words, outputs)?, sums))),
        words,
        outputs,
        bias: bias(start, weights),
        input,
        then,
        output,
        packed,
    };
    plan.kernel().packed_dense(arena, &op);
}

/// A layer over rows of the arena.
pub(super) fn layer_over(plan: &Plan, weights: Weights<'_>, layer: &Layer, rows: usize, arena: &mut [f32]) {
    dense(plan, weights, layer, rows, layer.output, LANES, arena);
}

/// The same with another destination, in which the panels of each row's outputs are `output_step` apart.
fn dense(
    plan: &Plan,
    weights: Weights<'_>,
    layer: &Layer,
    rows: usize,
    output: Rows,
    output_step: usize,
    arena: &mut [f32],
) {
    let Layer { weight, ref columns, start, input, then, .. } = *layer;
    let bias = bias(start, weights);
    let op = Dense {
        rows,
        weight: plan.matrix(weights, &weight, rows),
        grouped: plan.grouped(&weight, rows),
        inputs: weight.panels.inputs,
        columns: columns.clone(),
        outputs: weight.panels.outputs,
        bias,
        input,
        output,
        output_step,
        then,
    };
    plan.kernel().dense(arena, &op);
}

/// `w_p · p_L` with `p_L = p + r ⊙ (W_p x + b_p)` is `(w_p + …) · p + … · x + constant`: see [`Collapse`].
fn collapse(plan: &Plan, step: &Collapse, weights: Weights<'_>, r: &[f32], arena: &mut [f32], kernel: &Kernel) {
    let n = r.len();
    let Collapse { weight, bias, columns, full, basis, work: [y, u], vector, constant } = *step;
    let w_p = &weights.params[weight..weight + n];
    let b_p = &weights.params[bias..bias + n];
    for i in 0..n {
        arena[y + i] = w_p[i] * r[i];
    }
    arena[u..u + n].copy_from_slice(w_p);
    arena[constant] = kernel.dot(&arena[y..y + n], b_p);
    let over_p = basis.map_or(n, |basis| basis.count);
    for i in 0..columns.count {
        let sum = kernel.dot(&arena[y..y + n], plan.column(&columns, i));
        match (full, i < n) {
            // A full layer reads p as well as q.
            (true, true) => arena[u + i] += sum,
            (true, false) => arena[vector + over_p + i - n] = sum,
            (false, _) => arena[vector + over_p + i] = sum,
        }
    }
    let Some(basis) = basis else {
        arena.copy_within(u..u + n, vector);
        return;
    };
    arena[constant] += kernel.dot(&arena[u..u + n], &arena[basis.c..basis.c + n]);
    for j in 0..basis.count {
        arena[vector + j] = kernel.dot(&arena[u..u + n], &arena[basis.rows.row(j, n)]);
    }
}
