//! Sums that rows bring with them.
//!
//! The first layers read x0. Some of a candidate's columns depend only on its ad, or only on one id, so they add the same
//! to these sums in every request: `Σ W[k] x[k]` over them can be computed once and kept. A row then starts from the
//! request's share, adds the kept sums of each group of such columns, and only its other columns are multiplied.
//!
//! For a row that brings no sums of a group the same sums are computed first, and the rest is identical, so a candidate's
//! logit has the same bits whether its sums were kept or not. That is why each group's sums begin from 0 and are added in
//! the order of the groups.

use std::ops::Range;

use super::build::stride;
use super::program::{KeptGroup, KeptLayers, Layer, Program, Start, Step, Weight, WeightIn};
use crate::artifact::model::network::padded;
use crate::infer::kernel::{Rows, Then};

/// Ascending columns of x0 whose sums are kept together.
pub type Group = Vec<Range<usize>>;

/// The same program for rows that may bring along their sums over groups of columns of x0. None when no layer reads them.
pub(super) fn keeping(program: &Program, groups: &[Group], tile_rows: usize) -> Option<Program> {
    let mut program = program.clone();
    let fixed = joined(groups);
    // The place of a row's sums is known when all of them are.
    let mut layers: Vec<Vec<(usize, Layer)>> = vec![Vec::new(); groups.len()];
    let (mut width, mut steps) = (0, Vec::new());
    for step in std::mem::take(&mut program.steps) {
        let split_by = match &step {
            Step::Layer(layer) if reads_x0(layer, program.x0) => split(&layer.columns, &fixed),
            _ => (Vec::new(), Vec::new()),
        };
        let (Step::Layer(layer), (kept, live)) = (&step, split_by) else {
            steps.push(step);
            continue;
        };
        if kept.is_empty() {
            steps.push(step);
            continue;
        }
        let outputs = layer.weight.panels.outputs;
        for (group, layers) in groups.iter().zip(&mut layers) {
            let mut kept = split(&layer.columns, group).0;
            if kept.is_empty() {
                // Nothing of this group: zeros.
                let nothing = layer.columns.start;
                kept.push(nothing..nothing);
            }
            layers
                .extend(kept.into_iter().map(|columns| (width, Layer { columns, then: Then::None, ..layer.clone() })));
        }
        let (start, output) = (layer.start, layer.output);
        let then = if live.is_empty() { layer.then } else { Then::None };
        steps.push(Step::AddKept { at: width, groups: groups.len(), outputs, start, output, then });
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
    if width == 0 {
        return None;
    }
    let groups = groups.iter().zip(layers).map(|(columns, layers)| {
        let sums = Rows { start: program.len, stride: stride(width) };
        program.len += tile_rows * sums.stride;
        let mut before = usize::MAX;
        let layers = layers.into_iter().map(|(at, layer)| {
            let output = sums.at_column(at);
            let start = if at == before { Start::Rows(output) } else { Start::Zero };
            before = at;
            Layer { start, output, ..layer }
        });
        let end = columns.last().map_or(0, |range| range.end);
        KeptGroup { columns: columns.first().map_or(0, |range| range.start)..end, sums, layers: layers.collect() }
    });
    let groups = groups.collect();
    let compact = Rows { start: program.len, ..program.x0 };
    program.len += tile_rows * compact.stride;
    program.kept = Some(KeptLayers { width, groups, compact });
    program.steps = steps;
    program.price();
    Some(program)
}

/// The columns of all groups, ascending.
pub(super) fn joined(groups: &[Group]) -> Group {
    let mut all: Group = groups.iter().flatten().cloned().collect();
    all.sort_by_key(|range| range.start);
    all
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
