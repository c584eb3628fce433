//! The places of a program's rows in its arena, the steps that write and read them, and the places of their packed
//! form.

use super::build::stride;
use super::program::{Layer, PackedLayer, Start, Step};
use crate::artifact::model::network::{LANES, padded};
use crate::infer::kernel::{Pack, Rows, Then, packed_row};

/// Part of the arena: `count` rows of `width`.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) rows: Rows,
    count: usize,
    pub(super) width: usize,
}

impl Area {
    pub(super) fn new(rows: Rows, count: usize, width: usize) -> Self {
        Self { rows, count, width }
    }

    fn end(&self) -> usize {
        self.rows.start + self.count.saturating_sub(1) * self.rows.stride + self.width
    }

    fn is(&self, other: &Self) -> bool {
        self.rows == other.rows && self.count == other.count && self.width == other.width
    }

    /// The index among these columns at which the other ones start, if they contain all of them.
    fn find(&self, other: &Self) -> Option<usize> {
        let column = other.rows.start.checked_sub(self.rows.start)?;
        (self.rows.stride == other.rows.stride && column + other.width <= self.width).then_some(column)
    }

    fn holds(&self, other: &Self) -> bool {
        self.find(other).is_some()
    }

    /// The same if they start with a panel.
    fn column_of(&self, other: &Self) -> Option<usize> {
        self.find(other).filter(|column| column.is_multiple_of(LANES))
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

/// Rows, and the place of their packed form.
struct Standing {
    from: Area,
    to: Rows,
}

/// Rows that were packed and not written since.
pub(super) struct Known {
    packed: Vec<Standing>,
    /// Areas where the values past a layer's outputs, up to a whole panel, are all 0.
    zone: Option<Area>,
}

impl Known {
    pub(super) fn new(zone: Option<Area>) -> Self {
        Self { packed: Vec::new(), zone }
    }

    pub(super) fn find(&self, from: &Area) -> Option<Rows> {
        self.packed.iter().find(|known| known.from.is(from)).map(|known| known.to)
    }

    pub(super) fn add(&mut self, from: Area, to: Rows) {
        self.packed.push(Standing { from, to });
    }

    pub(super) fn forget(&mut self, written: &Area) {
        self.packed.retain(|known| !known.from.overlaps(written));
    }

    /// Makes sure that an area of a tile is packed at `to`.
    pub(super) fn pack(&mut self, area: &Area, to: Rows, steps: &mut Vec<Step>) {
        let mut at = 0;
        while at < area.width {
            at += self.pack_first(area.at_column(at), to.at_column(at / 2), steps);
        }
    }

    /// The same for its first columns: those that were packed before or that one layer wrote, otherwise all. That layer
    /// packs them where it can. Returns the number of columns, with their padding.
    fn pack_first(&mut self, area: Area, to: Rows, steps: &mut Vec<Step>) -> usize {
        if let Some(known) = self.packed.iter().find(|known| known.to == to && known.from.rows == area.rows) {
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
        // Whole panels are written.
        let covered = |to: Rows, width| Area::new(to, area.count, packed_row(width, 2));
        let written = covered(to, from.width);
        self.packed.retain(|known| !covered(known.to, known.from.width).overlaps(&written));
        self.add(from, to);
        padded(from.width)
    }
}

/// The places for the packed form of a tile's rows.
pub(super) struct PackedPlaces {
    /// See [`Known`]; its parts are contiguous, as in f32.
    zone: Option<Standing>,
    others: Vec<Standing>,
}

impl PackedPlaces {
    pub(super) fn new(zone: Option<Area>, len: &mut usize) -> Self {
        let zone = zone.map(|from| Standing { from, to: more_rows(len, from.count, packed_row(from.width, 2)) });
        Self { zone, others: Vec::new() }
    }

    pub(super) fn of(&mut self, area: &Area, len: &mut usize) -> Rows {
        let in_zone = self.zone.as_ref().and_then(|zone| Some(zone.to.at_column(zone.from.column_of(area)? / 2)));
        let known = || self.others.iter().find(|place| place.from.is(area)).map(|place| place.to);
        in_zone.or_else(known).unwrap_or_else(|| {
            let to = more_rows(len, area.count, packed_row(area.width, 2));
            self.others.push(Standing { from: *area, to });
            to
        })
    }
}

/// The inputs of a layer.
pub(super) fn input(layer: &Layer, rows: usize) -> Area {
    Area::new(layer.input.at_column(layer.columns.start), rows, layer.columns.len())
}

pub(super) fn more_rows(len: &mut usize, count: usize, width: usize) -> Rows {
    let rows = Rows { start: *len, stride: stride(width) };
    *len += count * rows.stride;
    rows
}

/// Whether a layer's outputs are also read as f32, though they are counted in units of the next layer's integers.
pub(super) fn is_f32_in_units(step: &Step) -> bool {
    matches!(step, Step::Packed(PackedLayer { output: Some(_), packed: Some((Pack::Quads, _)), .. }))
}

/// How many of an area's first columns were written by the last layer that began with them, if there is one.
fn written(steps: &[Step], area: &Area) -> Option<usize> {
    steps.iter().rev().find_map(|step| match step {
        Step::Packed(layer) if layer.output == Some(area.rows) => Some(layer.outputs.min(area.width)),
        _ => None,
    })
}

/// The layer that wrote exactly these rows and can pack them too. For unsigned numbers it must end in a ReLU.
pub(super) fn fusable(steps: &[Step], from: &Area, rows: usize, unsigned: bool) -> Option<usize> {
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

pub(super) fn pack_at(step: &mut Step, pack: Pack, to: Rows) {
    let Step::Packed(layer) = step else { unreachable!("only layers are fusable") };
    layer.packed = Some((pack, to));
}

/// Drops f32 that are never read.
pub(super) fn drop_unread(steps: &mut [Step], rows: usize) {
    for i in 0..steps.len() {
        let Step::Packed(PackedLayer { output: Some(output), packed: Some(_), outputs, .. }) = steps[i] else {
            continue;
        };
        let area = Area::new(output, rows, padded(outputs));
        // Until other values take the place that is read.
        let is_read = |(j, step): (usize, &Step)| {
            let of_another = |read: &Area| {
                steps[i + 1..j].iter().any(|step| writes(step, rows).iter().any(|written| written.holds(read)))
            };
            reads(step, rows).iter().any(|read| read.overlaps(&area) && !of_another(read))
        };
        if !steps.iter().enumerate().skip(i + 1).any(is_read) {
            let Step::Packed(layer) = &mut steps[i] else { unreachable!("just matched") };
            layer.output = None;
        }
    }
}

pub(super) fn writes(step: &Step, rows: usize) -> Vec<Area> {
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

/// The rows that a step reads as f32.
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
