//! A network turned into programs over one arena, once, so that running it is a walk down a list.

mod algebra;
mod build;
mod kept;
mod lower;
mod own;
mod program;

pub use program::Level;
pub(super) use program::{
    Collapse, Kept, Layer, PackedLayer, PackedWeight, Prepare, Program, Source, Start, Step, Vector, Weight,
};

use std::ops::Range;

use lower::{Lowering, Packs};
use own::Own;

use super::kernel::{Kernel, Matrix, Words};
use super::scratch::Arena;
use super::shapes::{self, Extent};
use super::{Pass, Scratch, Weights, pass};
use crate::artifact::model::network::{Network, padded};
use crate::error::{Error, Result};

/// The numbers that a plan multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// fp16 weights times f32, summed in f32.
    #[default]
    Exact,
    /// bf16 times bf16, summed in f32. Needs AVX512-BF16.
    Bf16,
    /// As [`Arithmetic::Bf16`], and i8 times u8 in the deep layers behind a ReLU, summed in i32. Needs AVX512-VNNI, too.
    Int8,
}

/// A plan that keeps sums picks the program to do it with for so many candidates: there they save most.
const MANY: usize = 1000;

/// How one kernel runs one network: for each [`Level`] of sharing that the network allows, the steps, and where in the
/// scratch each of them reads and writes.
#[derive(Debug)]
pub struct Plan {
    kernel: &'static Kernel,
    width: usize,
    request_width: usize,
    heads: usize,
    pub(super) needs: Extent,
    scratch_len: usize,
    own: Own,
    /// The model's panels and the plan's own as f32, at the same places. Not for packed numbers.
    expanded: [Arena; 2],
    /// Packed weights.
    packs: Option<Packs>,
    arithmetic: Arithmetic,
    /// By level, the first with nothing shared.
    programs: Vec<Program>,
}

impl Plan {
    /// Lays a network out for a kernel, with a private copy of the panels in f32: twice the bytes of the model's weights.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other or the sections.
    pub fn new(network: &Network, weights: Weights<'_>, kernel: &'static Kernel) -> Result<Self> {
        Self::with(network, weights, kernel, Arithmetic::Exact, &[])
    }

    /// As [`Plan::new`] in an arithmetic of choice. `ranges` has for each deep layer the largest value of its inputs, for
    /// [`Arithmetic::Int8`]: a layer without one, or with one that is not above 0, is in bf16.
    ///
    /// # Errors
    /// As [`Plan::new`]; `Unsupported` when this CPU or the kernel lacks the instructions.
    pub fn with(
        network: &Network,
        weights: Weights<'_>,
        kernel: &'static Kernel,
        arithmetic: Arithmetic,
        ranges: &[f32],
    ) -> Result<Self> {
        let needs = shapes::check(network, weights)?;
        let exact = arithmetic == Arithmetic::Exact;
        let lacks = kernel.lacks_fast();
        if !exact && !lacks.is_empty() {
            return Err(Error::unsupported(format!(
                "{arithmetic:?} on kernel {} needs {}, which is not there",
                kernel.name(),
                lacks.join(" and ")
            )));
        }
        let tile_rows = kernel.tile_rows();
        let mut own = Own::default();
        let mut programs: Vec<_> =
            [Level::Rows, Level::First].map(|level| build::layer_by_layer(network, tile_rows, level)).into();
        programs.extend(algebra::collapsed(network, weights, &mut own, tile_rows));
        programs.extend(algebra::algebra(network, weights, &mut own, tile_rows));
        let packs = (!exact).then(|| {
            let ranges = (arithmetic == Arithmetic::Int8).then_some(ranges);
            let mut lowering = Lowering::new(network, weights, &own, ranges, tile_rows);
            programs.iter_mut().for_each(|program| lowering.lower(program));
            lowering.finish()
        });
        let expanded =
            [weights.panels, &own.panels].map(|panels| if exact { expand(panels) } else { Arena::default() });
        Ok(Self {
            kernel,
            width: network.width,
            request_width: network.request_width,
            heads: network.heads.len(),
            needs,
            scratch_len: programs.iter().map(|program| program.len).max().unwrap_or(0),
            own,
            expanded,
            packs,
            arithmetic,
            programs,
        })
    }

    /// The same plan for rows whose columns `fixed` are the same in all requests, as an ad's are: sums over them can be
    /// computed once ([`Plan::keep`]) and given to [`Pass::run_kept`]. Ranges of columns of x0 that ascend. A plan of
    /// packed numbers, or whose first layers read none of these columns, stays as it is.
    ///
    /// # Errors
    /// `InvalidArgument` when the ranges do not ascend or go past the columns of x0.
    pub fn keeping(mut self, fixed: &[Range<usize>]) -> Result<Self> {
        let mut end = 0;
        for range in fixed {
            if range.start < end || range.end < range.start || range.end > self.width {
                return Err(Error::argument(format!("columns {fixed:?}: expected to ascend below {}", self.width)));
            }
            end = range.end;
        }
        if self.arithmetic != Arithmetic::Exact {
            return Ok(self);
        }
        let tile_rows = self.tile_rows();
        let sharing = self.programs.iter().filter(|program| program.level != Level::Rows);
        let programs = sharing.filter_map(|program| kept::keeping(program, fixed, tile_rows));
        if let Some(program) = programs.min_by_key(|program| program.cost(MANY)) {
            self.scratch_len = self.scratch_len.max(program.len);
            self.programs.push(program);
        }
        Ok(self)
    }

    /// f32 of the sums that are kept of a row; 0: none are.
    #[must_use]
    pub fn kept_width(&self) -> usize {
        self.kept().map_or(0, |(_, kept)| kept.width)
    }

    fn kept(&self) -> Option<(&Program, &Kept)> {
        self.programs.last().and_then(|program| program.kept.as_ref().map(|kept| (program, kept)))
    }

    /// Computes the sums of rows (`[rows, width]`, of which only the columns that are the same in all requests count) for
    /// [`Pass::run_kept`]: `sums` (`[rows, kept_width]`). Their bits do not depend on the other rows.
    ///
    /// # Errors
    /// `InvalidArgument` when a slice is not that long, or the scratch or the weights are too small; also when no sums are
    /// kept.
    pub fn keep(&self, weights: Weights<'_>, scratch: &mut Scratch, rows: &[f32], sums: &mut [f32]) -> Result<()> {
        let Some((program, kept)) = self.kept() else { return Err(Error::argument("this plan keeps no sums")) };
        let count = rows.len() / self.width.max(1);
        if rows.len() != count * self.width || sums.len() != count * kept.width {
            return Err(Error::argument(format!(
                "{} values of rows of {} and {} of sums of {}: expected as many of both",
                rows.len(),
                self.width,
                sums.len(),
                kept.width
            )));
        }
        pass::keep(self, (program.x0, kept), weights, scratch, rows, sums)
    }

    /// The numbers that it multiplies.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The kernel that it was made for.
    #[must_use]
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// f32 that a scratch must hold to run it.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.scratch_len
    }

    /// Columns of x0.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Of them, the request's, which come first.
    #[must_use]
    pub fn request_width(&self) -> usize {
        self.request_width
    }

    /// Logits for each row.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The most rows that a tile holds.
    #[must_use]
    pub fn tile_rows(&self) -> usize {
        self.kernel.tile_rows()
    }

    /// Rows of each tile (the last may have fewer) that split `rows` into as few and as equal tiles as possible; at
    /// least 1.
    #[must_use]
    pub fn tile_for(&self, rows: usize) -> usize {
        rows.div_ceil(rows.div_ceil(self.tile_rows()).max(1)).max(1)
    }

    /// The levels of sharing that the network allows, least first.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        self.programs.iter().filter(|program| program.kept.is_none()).map(|program| program.level)
    }

    /// The level that costs least for a request of `candidates`.
    #[must_use]
    pub fn level_for(&self, candidates: usize) -> Level {
        self.program_for(candidates).level
    }

    /// Whether a request of `candidates` makes use of kept sums.
    #[must_use]
    pub fn keeps_for(&self, candidates: usize) -> bool {
        self.program_for(candidates).kept.is_some()
    }

    /// All but the first share what they can.
    fn program_for(&self, candidates: usize) -> &Program {
        let cheapest = self.programs[1..].iter().min_by_key(|program| program.cost(candidates));
        cheapest.expect("every network has the level of the first layers")
    }

    /// Starts a request of `candidates`: keeps its columns and computes what they have to say for all of them, at the
    /// level that costs least for so many.
    ///
    /// `weights` are those that the plan was made of.
    ///
    /// # Errors
    /// `InvalidArgument` when `x_request` is not `request_width` long, or the scratch or the weights are too small.
    pub fn begin<'a>(
        &'a self,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
        candidates: usize,
    ) -> Result<Pass<'a>> {
        self.begin_program(self.program_for(candidates), weights, scratch, x_request)
    }

    /// The same at a given level: one of [`Plan::levels`], not [`Level::Rows`]. Makes no use of kept sums.
    ///
    /// # Errors
    /// As [`Plan::begin`]; also when the network does not allow the level.
    pub fn begin_at<'a>(
        &'a self,
        level: Level,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Pass<'a>> {
        let mut programs = self.programs[1..].iter().filter(|program| program.kept.is_none());
        let program = programs.find(|program| program.level == level);
        let program = program.ok_or_else(|| Error::argument(format!("this network has no level {level:?}")))?;
        self.begin_program(program, weights, scratch, x_request)
    }

    fn begin_program<'a>(
        &'a self,
        program: &'a Program,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Pass<'a>> {
        if x_request.len() != self.request_width {
            return Err(Error::argument(format!(
                "the request has {} columns, expected {}",
                x_request.len(),
                self.request_width
            )));
        }
        Pass::new(self, program, weights, scratch, x_request)
    }

    /// Starts rows that have nothing in common: all columns are written for each of them.
    ///
    /// # Errors
    /// `InvalidArgument` when the scratch or the weights are too small.
    pub fn begin_dense<'a>(&'a self, weights: Weights<'a>, scratch: &'a mut Scratch) -> Result<Pass<'a>> {
        Pass::new(self, &self.programs[0], weights, scratch, &[])
    }

    /// A matrix in the form that suits an operation on so many rows.
    pub(super) fn matrix<'a>(&'a self, weights: Weights<'a>, weight: &Weight, rows: usize) -> Matrix<'a> {
        let panels = weight.panels;
        let range = panels.start..panels.start + panels.len();
        let expanded = rows >= self.kernel.expanded_from() && self.packs.is_none();
        let [model, own] = &self.expanded;
        match weight.source {
            Source::Request => Matrix::Arena(panels.start),
            Source::Model if expanded => Matrix::Single(&model.values()[range]),
            Source::Own if expanded => Matrix::Single(&own.values()[range]),
            Source::Model => Matrix::Half(&weights.panels[range]),
            Source::Own => Matrix::Half(&self.own.panels[range]),
        }
    }

    /// A packed matrix.
    pub(super) fn words(&self, weight: PackedWeight, words: usize, outputs: usize) -> Words<'_> {
        let packs = self.packs.as_ref().expect("packed layers have packed weights");
        let range = |start: usize| start..start + padded(outputs) * words;
        match weight {
            PackedWeight::Request(start) => Words::Arena(start),
            PackedWeight::Pairs(start) => Words::Pairs(&packs.words()[range(start)]),
            PackedWeight::Quads { start, scale } => {
                Words::Quads(&packs.words()[range(start)], &packs.scales()[scale..scale + padded(outputs)])
            }
        }
    }

    /// Column `i` of some that the plan has copied.
    pub(super) fn column(&self, columns: &own::Columns, i: usize) -> &[f32] {
        &self.own.columns[columns.start + i * columns.stride..][..columns.len]
    }
}

fn expand(panels: &[u16]) -> Arena {
    let mut arena = Arena::new(panels.len());
    for (wide, &bits) in arena.values_mut().iter_mut().zip(panels) {
        *wide = half::f16::from_bits(bits).to_f32();
    }
    arena
}
