//! Turns a program into one over packed numbers: each layer reads words of two bf16, or of four u8, instead of f32.
//! The lists keep their structure; layers are replaced one by one, and their inputs are packed before them or by the
//! layer that wrote them. Sums, cross updates, activations and heads stay in f32. Work done once for a request on few
//! rows also stays unchanged: it waits for the weights, not for the arithmetic.

use super::build::stride;
use super::grouped;
use super::own::Own;
use super::packs::{Numbers, Packing, Packs, U8_MOST};
use super::places::{
    Area, Known, PackedPlaces, drop_unread, fusable, input, is_f32_in_units, more_rows, pack_at, writes,
};
use super::program::{Layer, PackedLayer, PackedWeight, PanelsAt, Prepare, Program, Start, Step, WeightIn};
use crate::artifact::model::network::{Network, Panels, padded};
use crate::artifact::model::spec::Activation;
use crate::infer::Weights;
use crate::infer::kernel::{Kernel, Pack, Rows, packed_row, words};

/// The number of rows of a layer over the request from which on packing them pays.
const WORTH_PACKING: usize = 4;
/// Smaller ranges are those of inputs that are always 0. This keeps a weight in units of one finite.
const LEAST_RANGE: f32 = 1e-20;

/// Collects the packed weights of all programs of a plan.
pub(super) struct Lowering<'a> {
    network: &'a Network,
    /// The largest input of each deep layer; none: no layer uses integers.
    ranges: Option<&'a [f32]>,
    kernel: &'static Kernel,
    /// Matrices that read the output of a ReLU.
    behind_relu: Vec<Panels>,
    packs: Packing<'a>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        network: &'a Network,
        weights: Weights<'a>,
        own: &'a Own,
        ranges: Option<&'a [f32]>,
        kernel: &'static Kernel,
    ) -> Self {
        let behind_relu = grouped::behind_relu(network).collect();
        Self { network, ranges, kernel, behind_relu, packs: Packing::new(weights, own) }
    }

    pub(super) fn finish(self) -> Packs {
        self.packs.finish()
    }

    pub(super) fn lower(&mut self, program: &mut Program) {
        let len = &mut program.len;
        let mut known = Known::new(None);
        let mut prepare = Vec::new();
        let products = room_for_products(&program.prepare, len);
        for step in program.prepare.drain(..) {
            let lowered = match step {
                Prepare::Layer(rows, layer) if rows >= WORTH_PACKING => {
                    let to = pack_for_request(&mut known, &mut prepare, len, &layer, rows);
                    Prepare::Packed(rows, self.layer(&layer, to, Numbers::PAIRS))
                }
                Prepare::Product { rows, layer, to } => {
                    let outputs = layer.weight.panels.outputs;
                    let from = Rows { start: products, stride: stride(outputs) };
                    let input = pack_for_request(&mut known, &mut prepare, len, &layer, rows);
                    let layer = self.layer(&Layer { output: from, ..layer }, input, Numbers::PAIRS);
                    prepare.push(Prepare::Packed(rows, layer));
                    Prepare::PackPanels { from, inputs: rows, outputs, to: to.packed() }
                }
                Prepare::Panels { from, inputs, outputs, to } => {
                    let to = PanelsAt { start: to, inputs, first: 0 }.packed();
                    Prepare::PackPanels { from, inputs, outputs, to }
                }
                Prepare::Inputs { weight, columns, to } => {
                    let (words, outputs) = (words(columns.len(), 2), weight.panels.outputs);
                    Prepare::PackedInputs {
                        weight: self.packs.of(&weight, columns, Numbers::PAIRS),
                        words,
                        outputs,
                        to: to.packed(),
                    }
                }
                other => other,
            };
            // Only layers read packed rows, and only Scale, besides layers, writes into their inputs.
            match &lowered {
                Prepare::Packed(rows, layer) => {
                    layer.output.iter().for_each(|&to| known.forget(&Area::new(to, *rows, padded(layer.outputs))));
                }
                Prepare::Layer(rows, layer) => {
                    known.forget(&Area::new(layer.output, *rows, padded(layer.weight.panels.outputs)));
                }
                Prepare::Scale { columns, rows, to } => known.forget(&Area::new(*to, *rows, columns.len)),
                _ => {}
            }
            prepare.push(lowered);
        }
        program.prepare = prepare;
        let steps = std::mem::take(&mut program.steps);
        program.steps = self.steps(steps, program.zone, &mut program.prepare, &mut program.len);
        program.price();
    }

    fn steps(
        &mut self,
        all: Vec<Step>,
        zone: Option<(Rows, usize)>,
        prepare: &mut Vec<Prepare>,
        len: &mut usize,
    ) -> Vec<Step> {
        let rows = self.kernel.tile_rows();
        let zone = zone.map(|(from, width)| Area::new(from, rows, width));
        let mut known = Known::new(zone);
        let mut places = PackedPlaces::new(zone, len);
        let mut steps: Vec<Step> = Vec::new();
        for step in all {
            let Step::Layer(layer) = step else {
                writes(&step, rows).iter().for_each(|written| known.forget(written));
                steps.push(step);
                continue;
            };
            let from = input(&layer, rows);
            let deep = self.deep_layer(&layer);
            let range = deep.and_then(|at| self.range(at));
            let by = deep.and_then(|at| self.range(at + 1)).map_or(1.0, |range| U8_MOST / range);
            let to = match range {
                Some(_) => {
                    let to = more_rows(len, rows, packed_row(from.width, 4));
                    let writer =
                        fusable(&steps, &from, rows, true).expect("a deep layer reads what the last one wrote");
                    pack_at(&mut steps[writer], Pack::Quads, to);
                    to
                }
                None => {
                    let to = places.of(&from, len);
                    known.pack(&from, to, &mut steps);
                    to
                }
            };
            let start = times(layer.start, layer.weight.panels.outputs, by, prepare, len);
            let layer = Layer { start, ..layer };
            let mut lowered = self.layer(&layer, to, Numbers { range, by });
            lowered.grouped = self.grouped(&layer, &lowered);
            if let Some(output) = lowered.output {
                known.forget(&Area::new(output, rows, padded(lowered.outputs)));
            }
            steps.push(Step::Packed(lowered));
        }
        drop_unread(&mut steps, rows);
        debug_assert!(!steps.iter().any(is_f32_in_units), "units of eight bits are read by layers of integers alone");
        steps
    }

    /// The index of a layer of a tile among the deep layers.
    fn deep_layer(&self, layer: &Layer) -> Option<usize> {
        if layer.weight.source != WeightIn::Model {
            return None;
        }
        self.network.deep.iter().position(|dense| dense.weight.start == layer.weight.panels.start)
    }

    /// The largest input of a deep layer, if it is to use integers: its inputs are then known to be 0 or more.
    fn range(&self, deep: usize) -> Option<f32> {
        let before = self.network.deep.get(deep.checked_sub(1)?)?;
        let range = *self.ranges?.get(deep)?;
        (before.activation == Activation::Relu && (LEAST_RANGE..f32::MAX).contains(&range)).then_some(range)
    }

    fn layer(&mut self, layer: &Layer, input: Rows, numbers: Numbers) -> PackedLayer {
        let columns = layer.columns.clone();
        PackedLayer {
            weight: match layer.weight.source {
                WeightIn::Request => PackedWeight::Request(layer.weight.panels.start),
                _ => self.packs.of(&layer.weight, columns.clone(), numbers),
            },
            words: words(columns.len(), if numbers.range.is_some() { 4 } else { 2 }),
            outputs: layer.weight.panels.outputs,
            start: layer.start,
            input,
            output: Some(layer.output),
            packed: None,
            then: layer.then,
            grouped: None,
        }
    }

    /// A copy of the weights of a layer whose inputs are often 0. Its sums may wait in the place of its f32.
    fn grouped(&mut self, layer: &Layer, lowered: &PackedLayer) -> Option<(usize, Rows)> {
        let whole = layer.weight.source == WeightIn::Model && layer.columns == (0..layer.weight.panels.inputs);
        let behind_relu = self.behind_relu.iter().any(|panels| panels.start == layer.weight.panels.start);
        let start = match lowered.weight {
            PackedWeight::Pairs(start) | PackedWeight::Quads { start, .. } if whole && behind_relu => start,
            _ => return None,
        };
        Some((self.packs.grouped(start, lowered.words, lowered.outputs, self.kernel), layer.output))
    }
}

/// Rows of an operation over the request as pairs; packed now if they are not yet.
fn pack_for_request(
    known: &mut Known,
    prepare: &mut Vec<Prepare>,
    len: &mut usize,
    layer: &Layer,
    rows: usize,
) -> Rows {
    let from = input(layer, rows);
    known.find(&from).unwrap_or_else(|| {
        let to = more_rows(len, rows, packed_row(from.width, 2));
        prepare.push(Prepare::Pack { rows, from: from.rows, len: from.width, to });
        known.add(from, to);
        to
    })
}

/// A layer's start, times a number.
fn times(start: Start, outputs: usize, by: f32, prepare: &mut Vec<Prepare>, len: &mut usize) -> Start {
    let at = match start {
        _ if by == 1.0 => return start,
        Start::Zero | Start::Rows(_) => return start,
        Start::Share(at) => at,
        Start::Params(params) => {
            let at = *len;
            *len += padded(outputs);
            prepare.push(Prepare::Copy { start: params.start, len: outputs, at });
            at
        }
    };
    prepare.push(Prepare::Times { at, len: outputs, by });
    Start::Share(at)
}

/// Room for the outputs of any product before they become panels of pairs. Returns its start.
fn room_for_products(prepare: &[Prepare], len: &mut usize) -> usize {
    let needs = prepare.iter().map(|step| match step {
        Prepare::Product { rows, layer, .. } => rows * stride(layer.weight.panels.outputs),
        _ => 0,
    });
    let start = *len;
    *len += needs.max().unwrap_or(0);
    start
}
