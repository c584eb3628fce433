//! Sums that rows bring with them.
//!
//! The first layers read x0. Some of a candidate's columns depend only on its ad, so they add the same to these sums in
//! every request: `Σ W[k] x[k]` over them can be computed once for each ad and kept. A row then starts from the
//! request's share and its kept sums, and only its other columns are multiplied.
//!
//! For a row without kept sums the same sums are computed first, and the rest is identical, so a candidate's logit has
//! the same bits whether its sums were kept or not.

use std::ops::Range;

use super::build::stride;
use super::program::{KeptLayers, Layer, Program, Start, Step, Weight, WeightIn};
use crate::artifact::model::network::padded;
use crate::infer::kernel::{Rows, Then};

/// The same program for rows that may bring along their sums over the ascending columns `fixed` of x0. None when no
/// layer reads them.
pub(super) fn keeping(program: &Program, fixed: &[Range<usize>], tile_rows: usize) -> Option<Program> {
    let mut program = program.clone();
    // The place of a row's sums is known when all of them are.
    let mut layers: Vec<(usize, Layer)> = Vec::new();
    let (mut width, mut steps) = (0, Vec::new());
    for step in std::mem::take(&mut program.steps) {
        let split = match &step {
            Step::Layer(layer) if reads_x0(layer, program.x0) => split(&layer.columns, fixed),
            _ => (Vec::new(), Vec::new()),
        };
        let (Step::Layer(layer), (kept, live)) = (&step, split) else {
            steps.push(step);
            continue;
        };
        if kept.is_empty() {
            steps.push(step);
            continue;
        }
        let outputs = layer.weight.panels.outputs;
        layers.extend(kept.into_iter().map(|columns| (width, Layer { columns, then: Then::None, ..layer.clone() })));
        let (start, output) = (layer.start, layer.output);
        let then = if live.is_empty() { layer.then } else { Then::None };
        steps.push(Step::AddKept { at: width, outputs, start, output, then });
        for (i, columns) in live.iter().enumerate() {
            let then = if i + 1 == live.len() { layer.then } else { Then::None };
            steps.push(Step::Layer(Layer {
                columns: columns.clone(),
                start: Start::Rows(output),
                then,
                ..layer.clone()
            }));
        }
        width += padded(outputs);
    }
    if layers.is_empty() {
        return None;
    }
    let sums = Rows { start: program.len, stride: stride(width) };
    program.len += tile_rows * sums.stride;
    let mut before = usize::MAX;
    let layers = layers.into_iter().map(|(at, layer)| {
        let output = sums.at_column(at);
        let start = if at == before { Start::Rows(output) } else { Start::Zero };
        before = at;
        Layer { start, output, ..layer }
    });
    program.kept = Some(KeptLayers { width, sums, layers: layers.collect() });
    program.steps = steps;
    program.price();
    Some(program)
}

/// Whether a layer multiplies columns of x0 with weights that are the same in all requests.
fn reads_x0(layer: &Layer, x0: Rows) -> bool {
    let Weight { source, .. } = layer.weight;
    layer.input == x0 && source != WeightIn::Request
}

/// Those of the columns that are fixed, and the others.
fn split(columns: &Range<usize>, fixed: &[Range<usize>]) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let (mut kept, mut live) = (Vec::new(), Vec::new());
    let mut at = columns.start;
    for range in fixed {
        let (start, end) = (range.start.max(at), range.end.min(columns.end));
        if start >= end {
            continue;
        }
        if at < start {
            live.push(at..start);
        }
        kept.push(start..end);
        at = end;
    }
    if at < columns.end {
        live.push(at..columns.end);
    }
    (kept, live)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "ranges are what is split")]
    fn columns_are_split_into_those_that_are_fixed_and_the_others() {
        assert_eq!(split(&(4..10), &[0..2, 3..6, 8..20]), (vec![4..6, 8..10], vec![6..8]));
        assert_eq!(split(&(4..10), &[]), (vec![], vec![4..10]));
        assert_eq!(split(&(4..10), &[4..10]), (vec![4..10], vec![]));
        assert_eq!(split(&(4..10), &[5..6, 6..7]), (vec![5..6, 6..7], vec![4..5, 7..10]));
        assert_eq!(split(&(4..4), &[0..9]), (vec![], vec![]));
    }
}
