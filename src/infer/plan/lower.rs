//! A program turned into one over packed numbers: each layer reads words of two bf16, or of four u8, instead of f32.
//!
//! The lists stay what they are; layers are exchanged one by one, and what they read is packed before them, or by the layer
//! that wrote it. Sums, cross updates, activations and heads stay in f32. What is done once for a request on few rows stays
//! as it is, too: it waits for the weights and not for the arithmetic.

use std::collections::HashMap;
use std::ops::Range;

use super::build::stride;
use super::own::Own;
use super::program::{Layer, PackedLayer, PackedWeight, PanelsAt, Prepare, Program, Source, Start, Step, Weight};
use crate::artifact::model::network::{LANES, Network, Panels, padded};
use crate::artifact::model::spec::Activation;
use crate::infer::Weights;
use crate::infer::kernel::{Pack, Rows, Then, packed_row, words};
use crate::infer::scratch::Arena;

/// Rows of a layer over the request from which on packing them pays.
const WORTH_PACKING: usize = 4;
/// Of what u8 can hold: a range is the largest value that is told apart.
const U8_MOST: f32 = 255.0;
/// Of what i8 can hold, the same on both sides.
const I8_MOST: f32 = 127.0;

/// The packed weights of a plan.
#[derive(Debug, Default)]
pub(in crate::infer) struct Packs {
    words: Arena,
    scales: Vec<f32>,
}

impl Packs {
    pub(in crate::infer) fn words(&self) -> &[u32] {
        bytemuck::cast_slice(self.words.values())
    }

    pub(in crate::infer) fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// Part of the arena: `count` rows of `width`.
#[derive(Clone, Copy)]
struct Area {
    rows: Rows,
    count: usize,
    width: usize,
}

impl Area {
    fn new(rows: Rows, count: usize, width: usize) -> Self {
        Self { rows, count, width }
    }

    fn end(&self) -> usize {
        self.rows.start + self.count.saturating_sub(1) * self.rows.stride + self.width
    }

    fn is(&self, other: &Self) -> bool {
        self.rows == other.rows && self.count == other.count && self.width == other.width
    }

    /// At which of these columns the other ones start, if they are all among them and start with a panel.
    fn column_of(&self, other: &Self) -> Option<usize> {
        let column = other.rows.start.checked_sub(self.rows.start)?;
        let within = self.rows.stride == other.rows.stride && column + other.width <= self.width;
        (within && column.is_multiple_of(LANES)).then_some(column)
    }

    /// These rows from a column on.
    fn at_column(&self, column: usize) -> Self {
        Self { rows: self.rows.at_column(column), width: self.width - column, ..*self }
    }

    fn overlaps(&self, other: &Self) -> bool {
        if self.end() <= other.rows.start || other.end() <= self.rows.start {
            return false;
        }
        let stride = self.rows.stride;
        if stride == 0 || stride != other.rows.stride {
            return true;
        }
        // Columns of the same rows.
        let apart = (other.rows.start as isize - self.rows.start as isize).rem_euclid(stride as isize) as usize;
        apart < self.width || apart + other.width > stride
    }
}

/// Rows, and where they are or would be packed.
struct Packing {
    from: Area,
    to: Rows,
}

/// What has been packed and not been written since.
#[derive(Default)]
struct Known {
    packed: Vec<Packing>,
    /// Where what is past a layer's outputs, up to a whole panel, is nothing but 0.
    zone: Option<Area>,
}

impl Known {
    fn find(&self, from: &Area) -> Option<Rows> {
        self.packed.iter().find(|known| known.from.is(from)).map(|known| known.to)
    }

    fn forget(&mut self, written: &Area) {
        self.packed.retain(|known| !known.from.overlaps(written));
    }

    /// Sees that an area of a tile is packed at `to`.
    fn pack(&mut self, area: &Area, to: Rows, steps: &mut Vec<Step>) {
        let mut at = 0;
        while at < area.width {
            at += self.pack_first(area.at_column(at), to.at_column(at / 2), steps);
        }
    }

    /// The same for its first columns: those that were packed before or that one layer wrote, else all. That layer packs them
    /// where it can. Returns how many columns that makes, with their padding.
    fn pack_first(&mut self, area: Area, to: Rows, steps: &mut Vec<Step>) -> usize {
        let is_first =
            |known: &&Packing| known.to == to && known.from.rows == area.rows && known.from.width <= area.width;
        if let Some(known) = self.packed.iter().find(is_first) {
            return padded(known.from.width);
        }
        let apart = |&width: &usize| {
            width.is_multiple_of(LANES) || self.zone.is_some_and(|zone| zone.column_of(&area).is_some())
        };
        let from = Area { width: written(steps, &area).filter(apart).unwrap_or(area.width), ..area };
        match fusable(steps, &from, area.count, false) {
            Some(writer) => pack_at(&mut steps[writer], Pack::Pairs, to),
            None => steps.push(Step::Pack { from: from.rows, len: from.width, to }),
        }
        self.packed.push(Packing { from, to });
        padded(from.width)
    }
}

/// Where rows of a tile are packed, whenever they are.
#[derive(Default)]
struct Places(Vec<Packing>);

impl Places {
    /// Among those of a wider area, or in a place of its own.
    fn of(&mut self, area: &Area, len: &mut usize) -> Rows {
        let within = |place: &Packing| Some(place.to.at_column(place.from.column_of(area)? / 2));
        self.0.iter().find_map(within).unwrap_or_else(|| {
            let to = more_rows(len, area.count, packed_row(area.width, 2));
            self.0.push(Packing { from: *area, to });
            to
        })
    }
}

/// Collects the packed weights of all programs of a plan.
pub(super) struct Lowering<'a> {
    network: &'a Network,
    weights: Weights<'a>,
    own: &'a Own,
    /// Of each deep layer's inputs, the largest value; none: no layer is in integers.
    ranges: Option<&'a [f32]>,
    tile_rows: usize,
    words: Vec<u32>,
    scales: Vec<f32>,
    made: HashMap<(bool, usize, Range<usize>, usize, bool), PackedWeight>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(
        network: &'a Network,
        weights: Weights<'a>,
        own: &'a Own,
        ranges: Option<&'a [f32]>,
        tile_rows: usize,
    ) -> Self {
        let (words, scales) = (Vec::new(), Vec::new());
        Self { network, weights, own, ranges, tile_rows, words, scales, made: HashMap::new() }
    }

    pub(super) fn finish(self) -> Packs {
        let mut arena = Arena::new(self.words.len());
        bytemuck::cast_slice_mut::<f32, u32>(arena.values_mut())[..self.words.len()].copy_from_slice(&self.words);
        Packs { words: arena, scales: self.scales }
    }

    pub(super) fn lower(&mut self, program: &mut Program) {
        let len = &mut program.len;
        let mut known = Known::default();
        let mut prepare = Vec::new();
        let products = room_for_products(&program.prepare, len);
        for step in program.prepare.drain(..) {
            let lowered = match step {
                Prepare::Layer(rows, layer) if rows >= WORTH_PACKING => {
                    let to = pack_for_request(&mut known, &mut prepare, len, &layer, rows);
                    Prepare::Packed(rows, self.layer(&layer, to))
                }
                Prepare::Product { rows, layer, to } => {
                    let outputs = layer.weight.panels.outputs;
                    let from = Rows { start: products, stride: stride(outputs) };
                    let input = pack_for_request(&mut known, &mut prepare, len, &layer, rows);
                    let layer = self.layer(&Layer { output: from, ..layer }, input);
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
                        weight: self.weight(&weight, columns, None),
                        words,
                        outputs,
                        to: to.packed(),
                    }
                }
                other => other,
            };
            // Packed rows are read by layers alone, and only Scale writes beside a layer into what they read.
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
        program.steps = self.steps(steps, program.zone, &mut program.len);
        program.price();
    }

    fn steps(&mut self, all: Vec<Step>, zone: Option<(Rows, usize)>, len: &mut usize) -> Vec<Step> {
        let rows = self.tile_rows;
        let zone = zone.map(|(from, width)| Area::new(from, rows, width));
        let mut known = Known { zone, ..Known::default() };
        let mut places = Places::default();
        if let Some(zone) = &zone {
            places.of(zone, len);
        }
        let mut steps: Vec<Step> = Vec::new();
        for step in all {
            let Step::Layer(layer) = step else {
                writes(&step, rows).iter().for_each(|written| known.forget(written));
                steps.push(step);
                continue;
            };
            let from = input(&layer, rows);
            let lowered = match self.range_of(&layer) {
                Some(range) if fusable(&steps, &from, rows, true).is_some() => {
                    let to = more_rows(len, rows, packed_row(from.width, 4));
                    let writer = fusable(&steps, &from, rows, true).expect("just looked");
                    pack_at(&mut steps[writer], Pack::Quads { inverse: U8_MOST / range }, to);
                    self.integer_layer(&layer, to, range)
                }
                _ => {
                    let to = places.of(&from, len);
                    known.pack(&from, to, &mut steps);
                    self.layer(&layer, to)
                }
            };
            known.forget(&Area::new(layer.output, rows, padded(lowered.outputs)));
            steps.push(Step::Packed(lowered));
        }
        drop_unread(&mut steps, rows);
        steps
    }

    /// The largest input of a layer whose inputs are known to be 0 or more, if it is to be in integers.
    fn range_of(&self, layer: &Layer) -> Option<f32> {
        if layer.weight.source != Source::Model || matches!(layer.start, Start::Rows(_)) {
            return None;
        }
        let deep = &self.network.deep;
        let at = deep.iter().position(|dense| dense.weight.start == layer.weight.panels.start)?;
        let before = at.checked_sub(1)?;
        let range = *self.ranges?.get(at)?;
        (deep[before].activation == Activation::Relu && range.is_finite() && range > 0.0).then_some(range)
    }

    fn layer(&mut self, layer: &Layer, input: Rows) -> PackedLayer {
        let columns = layer.columns.clone();
        let weight = match layer.weight.source {
            Source::Request => PackedWeight::Request(layer.weight.panels.start),
            _ => self.weight(&layer.weight, columns.clone(), None),
        };
        self.packed(layer, weight, words(columns.len(), 2), input)
    }

    fn integer_layer(&mut self, layer: &Layer, input: Rows, range: f32) -> PackedLayer {
        let columns = layer.columns.clone();
        let weight = self.weight(&layer.weight, columns.clone(), Some(range));
        self.packed(layer, weight, words(columns.len(), 4), input)
    }

    fn packed(&self, layer: &Layer, weight: PackedWeight, words: usize, input: Rows) -> PackedLayer {
        PackedLayer {
            weight,
            words,
            outputs: layer.weight.panels.outputs,
            start: layer.start,
            input,
            output: Some(layer.output),
            packed: None,
            then: layer.then,
        }
    }

    /// The packed copy of some columns of a matrix; made once for all programs.
    fn weight(&mut self, weight: &Weight, columns: Range<usize>, range: Option<f32>) -> PackedWeight {
        let key = (
            weight.source == Source::Own,
            weight.panels.start,
            columns.clone(),
            weight.panels.outputs,
            range.is_some(),
        );
        if let Some(&made) = self.made.get(&key) {
            return made;
        }
        let section = if weight.source == Source::Own { &self.own.panels } else { self.weights.panels };
        let made = match range {
            None => PackedWeight::Pairs(self.pairs(section, &weight.panels, columns)),
            Some(range) => self.quads(section, &weight.panels, columns, range),
        };
        self.made.insert(key, made);
        made
    }

    fn pairs(&mut self, section: &[u16], panels: &Panels, columns: Range<usize>) -> usize {
        let start = self.words.len();
        for panel in 0..panels.outputs.div_ceil(LANES) {
            for word in 0..words(columns.len(), 2) {
                for lane in 0..LANES {
                    let bits = |i: usize| match columns.start + 2 * word + i {
                        column if column < columns.end => {
                            u32::from(half::bf16::from_f32(weight_at(section, panels, panel, column, lane)).to_bits())
                        }
                        _ => 0,
                    };
                    self.words.push(bits(0) | bits(1) << 16);
                }
            }
        }
        start
    }

    fn quads(&mut self, section: &[u16], panels: &Panels, columns: Range<usize>, range: f32) -> PackedWeight {
        let (start, scale) = (self.words.len(), self.scales.len());
        for panel in 0..panels.outputs.div_ceil(LANES) {
            let most: [f32; LANES] = std::array::from_fn(|lane| {
                let all = columns.clone().map(|column| weight_at(section, panels, panel, column, lane).abs());
                all.fold(0.0, f32::max)
            });
            self.scales.extend(most.map(|most| most / I8_MOST * (range / U8_MOST)));
            for word in 0..words(columns.len(), 4) {
                for (lane, most) in most.iter().enumerate() {
                    let byte = |i: usize| match columns.start + 4 * word + i {
                        column if column < columns.end && *most > 0.0 => {
                            let w = weight_at(section, panels, panel, column, lane);
                            (w / most * I8_MOST).round() as i8 as u8
                        }
                        _ => 0,
                    };
                    self.words.push(u32::from_le_bytes(std::array::from_fn(byte)));
                }
            }
        }
        PackedWeight::Quads { start, scale }
    }
}

fn weight_at(section: &[u16], panels: &Panels, panel: usize, column: usize, lane: usize) -> f32 {
    half::f16::from_bits(section[panels.start + (panel * panels.inputs + column) * LANES + lane]).to_f32()
}

/// What a layer reads.
fn input(layer: &Layer, rows: usize) -> Area {
    Area::new(layer.input.at_column(layer.columns.start), rows, layer.columns.len())
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
        known.packed.push(Packing { from, to });
        to
    })
}

/// Room for the outputs of any product before they become panels of pairs: where it starts.
fn room_for_products(prepare: &[Prepare], len: &mut usize) -> usize {
    let needs = prepare.iter().map(|step| match step {
        Prepare::Product { rows, layer, .. } => rows * stride(layer.weight.panels.outputs),
        _ => 0,
    });
    let start = *len;
    *len += needs.max().unwrap_or(0);
    start
}

fn more_rows(len: &mut usize, count: usize, width: usize) -> Rows {
    let rows = Rows { start: *len, stride: stride(width) };
    *len += count * rows.stride;
    rows
}

/// How many of an area's first columns the last layer wrote that began with them, if one did.
fn written(steps: &[Step], area: &Area) -> Option<usize> {
    steps.iter().rev().find_map(|step| match step {
        Step::Packed(layer) if layer.output == Some(area.rows) => Some(layer.outputs.min(area.width)),
        _ => None,
    })
}

/// The layer that wrote just these rows and can pack them too. For unsigned numbers it must end in a ReLU.
fn fusable(steps: &[Step], from: &Area, rows: usize, unsigned: bool) -> Option<usize> {
    for (i, step) in steps.iter().enumerate().rev() {
        match step {
            Step::Packed(layer) if layer.output == Some(from.rows) && layer.outputs == from.width => {
                let able = if unsigned { layer.then == Then::Relu } else { layer.then != Then::Tanh };
                return (able && layer.packed.is_none()).then_some(i);
            }
            step if writes(step, rows).iter().any(|area| area.overlaps(from)) => return None,
            _ => {}
        }
    }
    None
}

fn pack_at(step: &mut Step, pack: Pack, to: Rows) {
    let Step::Packed(layer) = step else { unreachable!("only layers are fusable") };
    layer.packed = Some((pack, to));
}

/// Leaves out f32 that nobody reads.
fn drop_unread(steps: &mut [Step], rows: usize) {
    for i in 0..steps.len() {
        let Step::Packed(PackedLayer { output: Some(output), packed: Some(_), outputs, .. }) = steps[i] else {
            continue;
        };
        let area = Area::new(output, rows, padded(outputs));
        if !steps[i + 1..].iter().any(|step| reads(step, rows).iter().any(|read| read.overlaps(&area))) {
            let Step::Packed(layer) = &mut steps[i] else { unreachable!("just matched") };
            layer.output = None;
        }
    }
}

fn writes(step: &Step, rows: usize) -> Vec<Area> {
    match *step {
        Step::Layer(ref layer) => vec![Area::new(layer.output, rows, padded(layer.weight.panels.outputs))],
        Step::Packed(ref layer) => {
            layer.output.iter().map(|&output| Area::new(output, rows, padded(layer.outputs))).collect()
        }
        Step::Vector { ref bias, output, .. } => vec![Area::new(output, rows, padded(bias.len))],
        Step::Mix { gate, experts, values, rank } => {
            vec![Area::new(gate, rows, padded(experts)), Area::new(values, rows, experts * rank)]
        }
        Step::Clear { rows: at, width } => vec![Area::new(at, rows, width)],
        Step::AddKept { outputs, output, .. } => vec![Area::new(output, rows, padded(outputs))],
        Step::Pack { .. } | Step::Head { .. } => Vec::new(),
    }
}

/// What a step reads as f32.
fn reads(step: &Step, rows: usize) -> Vec<Area> {
    let updated = |then: Then, width: usize| match then {
        Then::Cross { x0, xl } => vec![Area::new(x0, rows, width), Area::new(xl, rows, width)],
        _ => Vec::new(),
    };
    match *step {
        Step::Layer(ref layer) => {
            let mut areas = updated(layer.then, padded(layer.weight.panels.outputs));
            areas.push(input(layer, rows));
            areas
        }
        Step::Packed(ref layer) => {
            let mut areas = updated(layer.then, padded(layer.outputs));
            if let Start::Rows(at) = layer.start {
                areas.push(Area::new(at, rows, padded(layer.outputs)));
            }
            areas
        }
        Step::AddKept { outputs, then, .. } => updated(then, padded(outputs)),
        Step::Pack { from, len, .. } => vec![Area::new(from, rows, len)],
        Step::Vector { ref bias, xl, .. } => vec![Area::new(xl, rows, padded(bias.len))],
        Step::Mix { gate, experts, values, rank } => {
            vec![Area::new(gate, rows, padded(experts)), Area::new(values, rows, experts * rank)]
        }
        Step::Clear { .. } => Vec::new(),
        Step::Head { ref terms, .. } => terms.iter().map(|term| Area::new(term.rows, rows, term.len)).collect(),
    }
}
