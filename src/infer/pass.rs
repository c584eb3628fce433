//! One request's pass through a plan.

use super::kernel::{AddRows, Dot, MOST_GROUPS, Pack, Rows, SumAt, TILE_ROWS, Values, packed_row};
#[cfg(feature = "builder")]
use super::plan::Level;
use super::plan::Plan;
use super::plan::{KeptGroup, KeptLayers, Layer, PackedLayer, Program, Step, Vector};
use super::shapes::with_padding;
use super::{Scratch, Weights, prepare};
use crate::error::{Error, Result};

/// The sums that rows of a tile bring along.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Where sums are: those of the first group if the groups have two sources, and those of the others.
    pub memory: [&'a [f32]; 2],
    /// The number of groups, 0 or 1, whose sums are in the first.
    pub first: usize,
    /// For each row and in it for each group, where its sums begin, in units of 16 f32; or [`Kept::NONE`].
    pub lines: &'a [u32],
}

impl Kept<'_> {
    /// A row brings no sums of a group.
    pub const NONE: u32 = u32::MAX;
    /// No row brings any.
    pub const NOTHING: Self = Self { memory: [&[]; 2], first: 0, lines: &[] };
}

/// A plan at work on one request. Tiles go through it one after the other: [`Pass::tile`], then [`Pass::run`].
#[derive(Debug)]
pub struct Pass<'a> {
    plan: &'a Plan,
    program: &'a Program,
    weights: Weights<'a>,
    arena: &'a mut [f32],
    /// Columns that the shares include.
    shared: usize,
    /// Rows of x0 whose shared columns and padding are already written.
    prepared: usize,
}

pub(super) fn arena<'a>(
    plan: &Plan,
    program: &Program,
    weights: Weights<'_>,
    scratch: &'a mut Scratch,
) -> Result<&'a mut [f32]> {
    let needs = plan.needs;
    if weights.panels.len() < needs.panels || weights.params.len() < needs.params {
        return Err(Error::argument("these are not the weights that the plan was made of: they are fewer"));
    }
    scratch.take(plan.scratch_len().max(program.len))
}

/// The rows of x0 of one tile.
#[derive(Debug)]
pub struct Tile<'a> {
    values: &'a mut [f32],
    stride: usize,
    width: usize,
    rows: usize,
}

impl Tile<'_> {
    /// The number of rows.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One row, `width` columns. The request's columns come first; they are already written and must not change,
    /// because the shares include them. The others hold values of the last tile.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &mut self.values[row * self.stride..][..self.width]
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        program: &'a Program,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Self> {
        let arena = arena(plan, program, weights, scratch)?;
        arena[program.x0.row(0, x_request.len())].copy_from_slice(x_request);
        prepare::run(plan, &program.prepare, weights, program.x0, x_request, arena);
        Ok(Self { plan, program, weights, arena, shared: x_request.len(), prepared: 0 })
    }

    /// Whether it uses kept sums.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.program.kept.is_some()
    }

    /// The level at which the request is shared.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn level(&self) -> Level {
        self.program.level
    }

    /// The rows of x0 of the next tile, for the caller to write the candidates' columns into.
    ///
    /// # Errors
    /// `InvalidArgument` when a tile does not hold this many rows.
    pub fn tile(&mut self, rows: usize) -> Result<Tile<'_>> {
        let (plan, x0) = (self.plan, self.program.x0);
        if rows > plan.tile_rows() {
            return Err(Error::argument(format!("{rows} rows in a tile that holds {}", plan.tile_rows())));
        }
        for row in self.prepared..rows {
            let columns = x0.row(row, self.program.cleared);
            self.arena.copy_within(x0.row(0, self.shared), columns.start);
            self.arena[columns.start + plan.width()..columns.end].fill(0.0);
        }
        self.prepared = self.prepared.max(rows);
        let Rows { start, stride } = x0;
        Ok(Tile { values: &mut self.arena[start..start + rows * stride], stride, width: plan.width(), rows })
    }

    /// Runs the tile's first `rows` rows through the network. `wide` (`[rows, heads]`) is added to `logits`
    /// (`[rows, heads]`). A row with NaN or infinite columns does not disturb the others.
    ///
    /// # Errors
    /// `InvalidArgument` when fewer rows were requested from [`Pass::tile`], or a slice has another length.
    pub fn run(&mut self, rows: usize, wide: Option<&[f32]>, logits: &mut [f32]) -> Result<()> {
        self.run_kept(rows, Kept::NOTHING, wide, logits)
    }

    /// Like [`Pass::run`]. `kept` has the sums that [`Plan::keep_group`] gave for the columns of rows, for some of them;
    /// without lines no row has any. A pass that keeps no sums ignores them. The logits have the same bits with and
    /// without them.
    ///
    /// # Errors
    /// As [`Pass::run`]; also when there are neither no lines nor one for each row and group.
    ///
    /// # Panics
    /// When sums are not in their memory.
    pub fn run_kept(&mut self, rows: usize, kept: Kept<'_>, wide: Option<&[f32]>, logits: &mut [f32]) -> Result<()> {
        let heads = self.plan.heads();
        if rows > self.prepared {
            return Err(Error::argument(format!("{rows} rows to run, {} were written", self.prepared)));
        }
        if logits.len() != rows * heads || wide.is_some_and(|wide| wide.len() != rows * heads) {
            return Err(Error::argument(format!("logits and wide parts of {rows} rows are {} values", rows * heads)));
        }
        match &self.program.kept {
            None => self.steps(rows, kept, &[], wide, logits),
            Some(program) => {
                let groups = program.groups.len();
                if !kept.lines.is_empty() && kept.lines.len() != rows * groups {
                    return Err(Error::argument(format!(
                        "{} places of kept sums, {rows} rows and {groups} groups are run",
                        kept.lines.len()
                    )));
                }
                let mut sums = [SumAt::NONE; TILE_ROWS * MOST_GROUPS];
                let sums = &mut sums[..rows * groups];
                self.sums(program, kept.lines, sums);
                self.steps(rows, kept, sums, wide, logits);
            }
        }
        Ok(())
    }

    /// Reports which of the first `rows` rows of the last run had a value at or past the limit of its 8-bit integer. A
    /// value past the limit was clipped, so the row's logits may be off by any amount. A row may be reported more than
    /// once.
    pub fn cut_off(&self, rows: usize, mut tell: impl FnMut(usize)) {
        // Packed rows of integers do not share their place with anything else.
        for step in &self.program.steps {
            let Step::Packed(PackedLayer { packed: Some((Pack::Quads, to)), outputs, .. }) = step else { continue };
            for row in 0..rows {
                let values: &[u8] = bytemuck::cast_slice(&self.arena[to.row(row, packed_row(*outputs, 4))]);
                if values.iter().fold(0, |most, &value| most.max(value)) == u8::MAX {
                    tell(row);
                }
            }
        }
    }

    /// `sums`: where each row's kept sums of each group are, for a program that keeps some.
    fn steps(&mut self, rows: usize, kept: Kept<'_>, sums: &[SumAt], wide: Option<&[f32]>, logits: &mut [f32]) {
        let (heads, width, kernel) = (self.plan.heads(), self.plan.width(), self.plan.kernel());
        let mut head = 0;
        for step in &self.program.steps {
            match *step {
                Step::Layer(ref layer) => self.layer(layer, rows),
                Step::Packed(ref layer) => prepare::packed_over(self.plan, self.weights, layer, rows, self.arena),
                Step::AddKept { at, groups, outputs, start, output, then } => {
                    let bias = prepare::bias(start, self.weights);
                    let Kept { memory, first, .. } = kept;
                    let op = AddRows { groups, sums, memory, first, at, outputs, bias, output, then };
                    kernel.add_rows(self.arena, &op);
                }
                Step::Pack { from, len, to } => kernel.pack_rows(self.arena, rows, from, len, to),
                Step::Vector { weight, bias, share, first, xl, output } => {
                    let counted = share.map_or(0.0, |at| self.arena[at]);
                    let weight = &self.weights.params[weight.start..][first..weight.len];
                    let bias = with_padding(&bias, self.weights.params);
                    for row in 0..rows {
                        let x = &self.arena[xl.row(row, width)][first..];
                        let scale = counted + kernel.dot(weight, x);
                        let [x0, xl, out] = [self.program.x0, xl, output].map(|rows| rows.row(row, 0).start);
                        kernel.cross_vector(self.arena, scale, bias, x0, xl, out);
                    }
                }
                Step::Mix { gate, experts, values, rank } => {
                    kernel.mix(self.arena, rows, gate, experts, values, rank);
                }
                Step::Clear { rows: at, width } => {
                    for row in 0..rows {
                        self.arena[at.row(row, width)].fill(0.0);
                    }
                }
                Step::Head { ref terms, bias, constant } => {
                    let bias = constant.map_or(bias, |at| self.arena[at] + bias);
                    let terms = terms.iter().map(|term| Dot {
                        vector: match term.vector {
                            Vector::Params(start) => Values::Params(&self.weights.params[start..]),
                            Vector::Arena(start) => Values::Arena(start),
                        },
                        rows: term.rows,
                        len: term.len,
                    });
                    let mut sums = [0.0; TILE_ROWS];
                    kernel.dots(self.arena, terms, &mut sums[..rows]);
                    for (row, sum) in sums[..rows].iter().enumerate() {
                        let at = row * heads + head;
                        logits[at] = sum + bias + wide.map_or(0.0, |wide| wide[at]);
                    }
                    head += 1;
                }
            }
        }
    }

    /// Where each row's kept sums are: with the caller, or in the arena after they were computed.
    fn sums(&mut self, program: &KeptLayers, lines: &[u32], sums: &mut [SumAt]) {
        for (sum, &line) in sums.iter_mut().zip(lines) {
            *sum = SumAt::line(line);
        }
        let (groups, width) = (program.groups.len(), program.width);
        let rows = sums.len() / groups.max(1);
        for (g, group) in program.groups.iter().enumerate() {
            let missing = (0..rows).filter(|row| sums[row * groups + g] == SumAt::NONE).count();
            if missing == 0 {
                continue;
            }
            let together = if missing == rows { self.program.x0 } else { program.compact };
            let mut computed = 0;
            for row in 0..rows {
                let sum = &mut sums[row * groups + g];
                if *sum != SumAt::NONE {
                    continue;
                }
                *sum = SumAt::arena(group.sums.row(computed, width).start);
                if missing < rows {
                    let columns = self.program.x0.row(row, 0).start;
                    let from = columns + group.columns.start..columns + group.columns.end;
                    self.arena.copy_within(from, together.row(computed, 0).start + group.columns.start);
                }
                computed += 1;
            }
            self.compute(group, together, missing);
        }
    }

    /// Computes the sums of a group for rows that stand together.
    fn compute(&mut self, group: &KeptGroup, rows: Rows, count: usize) {
        for layer in &group.layers {
            self.layer(&Layer { input: rows, ..layer.clone() }, count);
        }
    }

    fn layer(&mut self, layer: &Layer, rows: usize) {
        prepare::layer_over(self.plan, self.weights, layer, rows, self.arena);
    }
}
