//! Turns a network into programs over one arena. This happens once, so that running it only walks down a list.
//!
//! ```text
//! Plan::new(network)                             # when a model is staged
//!     for each level that the network allows     # rows, first layers, collapsed, algebra
//!         program = build or algebra             # what to prepare for a request, and the steps of a tile
//!     packed arithmetic: lower each program      # exchange layers one by one, pack what they read
//!     price each program                         # products once, products for each candidate
//!
//! Plan::begin(request, candidates)               # once for each request
//!     program = the cheapest for so many candidates
//!     arena[x0, row 0] = the request's columns
//!     for prepare in program.prepare             # shares of the first layers, matrices made for the request
//!         run it, arena to arena
//!
//! Pass::tile(rows), Pass::run(rows)              # for each tile of candidates
//!     the caller writes the candidates' columns into rows of x0
//!     for step in program.steps                  # each reads and writes rows of the arena
//!         layer | add kept sums | pack | cross vector | mix | clear | head
//!     logits[row, head] = the sums of the heads
//! ```
//!
//! A tile's rows in the arena. The places of every step are fixed, so nothing is allocated or looked up:
//!
//! ```text
//!           x0                              layers           inner          z or the trunk
//!    row 0  [request | candidate | 0 pad]   [ping] [pong]    [low rank]     […]
//!    row 1  [request | candidate | 0 pad]   [ping] [pong]    [low rank]     […]
//!     ⋮
//! ```
//!
//! [`program`] has the lists, [`build`] goes layer by layer, [`algebra`] shares the work that depends only on the
//! request, [`kept`] lets rows bring sums along, [`lower`] replaces f32 by packed numbers (with [`places`] and
//! [`packs`]), [`own`] and [`grouped`] hold the plan's copies of weights.

mod algebra;
mod build;
mod grouped;
mod kept;
mod lower;
mod own;
mod packs;
mod places;
mod program;

pub use kept::Group;
pub use program::Level;
pub(super) use program::{
    Collapse, KeptGroup, KeptLayers, Layer, PackedLayer, PackedWeight, Prepare, Program, Start, Step, Vector, Weight,
    WeightIn,
};

use std::ops::Range;

use grouped::Grouped;
use lower::Lowering;
use own::Own;
use packs::Packs;

use super::Weights;
use super::kernel::{Kernel, MOST_GROUPS, Matrix, Words};
use super::scratch::Arena;
use super::shapes::{self, Extent};
use crate::artifact::model::network::{LANES, Network, padded};
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

/// The number of candidates for which the program with kept sums is picked: with many they save most.
const MANY: usize = 1000;

/// The cost of loading a kept f32 from memory, in products; docs/performance.md has the measurements.
const FETCH: usize = 40;

/// A plan's program for rows that bring sums of the first layers along: see [`Plan::keeping`].
#[derive(Debug)]
pub struct Keeping {
    pub(super) program: Program,
    scratch_len: usize,
    /// Products that a row with kept sums saves.
    saves: usize,
}

impl Keeping {
    /// f32 of a row's kept sums of one group: a multiple of 16.
    #[must_use]
    pub fn width(&self) -> usize {
        self.program.kept.as_ref().map_or(0, |kept| kept.width)
    }

    /// The number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.program.kept.as_ref().map_or(0, |kept| kept.groups.len())
    }

    /// Whether a row's sums save more than loading them from memory costs.
    #[must_use]
    pub fn is_worth_from_memory(&self) -> bool {
        self.saves >= FETCH * self.width()
    }

    /// The level at which the rest of the network is shared.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn level(&self) -> Level {
        self.program.level
    }

    /// f32 that a scratch must hold for it and its plan.
    #[must_use]
    pub fn scratch_len(&self) -> usize {
        self.scratch_len
    }
}

/// How one kernel runs one network: for each [`Level`] of sharing that the network allows, the steps, and the places in
/// the scratch that each of them reads and writes.
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
    /// Not for packed numbers.
    grouped: Grouped,
    /// Whether layers after a ReLU skip zeros.
    skips: bool,
    /// Packed weights.
    packs: Option<Packs>,
    arithmetic: Arithmetic,
    /// By level; the first one shares nothing.
    pub(super) programs: Vec<Program>,
}

impl Plan {
    /// Lays a network out for a kernel, with a private copy of the panels in f32: twice the bytes of the model's weights.
    ///
    /// # Errors
    /// `Corrupt` when the layers do not fit each other or the sections.
    pub fn new(network: &Network, weights: Weights<'_>, kernel: &'static Kernel) -> Result<Self> {
        Self::with(network, weights, kernel, Arithmetic::Exact, &[])
    }

    /// Like [`Plan::new`], with a choice of arithmetic. For [`Arithmetic::Int8`], `ranges` has the largest input value
    /// of each deep layer: a layer without one, or with one that is not above 0, uses bf16.
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
            let mut lowering = Lowering::new(network, weights, &own, ranges, kernel);
            programs.iter_mut().for_each(|program| lowering.lower(program));
            lowering.finish()
        });
        let expanded =
            [weights.panels, &own.panels].map(|panels| if exact { expand(panels) } else { Arena::default() });
        let grouped = if exact { Grouped::new(network, expanded[0].values(), kernel) } else { Grouped::default() };
        Ok(Self {
            kernel,
            width: network.width,
            request_width: network.request_width,
            heads: network.heads.len(),
            needs,
            scratch_len: programs.iter().map(|program| program.len).max().unwrap_or(0),
            own,
            expanded,
            grouped,
            skips: true,
            packs,
            arithmetic,
            programs,
        })
    }

    /// A program for rows whose columns `fixed` are the same in all requests, as an ad's are. Sums over them can be
    /// computed once ([`Plan::keep`]) and given to [`Pass::run_kept`](super::Pass::run_kept). `fixed` are ascending
    /// ranges of columns of x0. None for a plan of packed numbers, and when the first layers read too few of these
    /// columns for it to pay.
    ///
    /// # Errors
    /// `InvalidArgument` when the ranges are not ascending or go past the columns of x0.
    pub fn keeping(&self, fixed: &[Range<usize>]) -> Result<Option<Keeping>> {
        self.keeping_groups(&[fixed.to_vec()])
    }

    /// The same for several groups of columns, each with sums of its own. At most [`MOST_GROUPS`] that do not overlap.
    ///
    /// # Errors
    /// As [`Plan::keeping`].
    pub fn keeping_groups(&self, groups: &[Group]) -> Result<Option<Keeping>> {
        let ascend = |ranges: &[Range<usize>]| {
            let mut end = 0;
            ranges.iter().all(|range| {
                let ascends = range.start >= end && range.end >= range.start && range.end <= self.width;
                end = range.end;
                ascends
            })
        };
        if groups.len() > MOST_GROUPS || !ascend(&kept::joined(groups)) || !groups.iter().all(|group| ascend(group)) {
            return Err(Error::argument(format!(
                "columns {groups:?}: expected at most {MOST_GROUPS} groups that ascend below {} and do not overlap",
                self.width
            )));
        }
        if self.arithmetic != Arithmetic::Exact || groups.is_empty() {
            return Ok(None);
        }
        let keeping = self.programs[1..].iter().filter_map(|program| kept::keeping(program, groups, self.tile_rows()));
        let cheapest = keeping.min_by_key(|program| program.cost(MANY));
        let usual = self.program_for(MANY).cost(MANY);
        Ok(cheapest.filter(|program| program.cost(MANY) < usual).map(|program| Keeping {
            scratch_len: self.scratch_len.max(program.len),
            saves: (usual - program.cost(MANY)) / MANY,
            program,
        }))
    }

    /// The same, but every input is multiplied, while layers after a ReLU otherwise skip zeros. The logits have the
    /// same bits; this is for measuring.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn without_skipping(self) -> Self {
        Self { skips: false, ..self }
    }

    /// The arithmetic of its products.
    #[must_use]
    #[cfg(feature = "builder")]
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

    /// The number of them that belong to the request; they come first.
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
        self.tile_within(rows, self.tile_rows())
    }

    /// The same with at most `most` rows in a tile.
    #[must_use]
    pub fn tile_within(&self, rows: usize, most: usize) -> usize {
        let most = most.clamp(1, self.tile_rows());
        rows.div_ceil(rows.div_ceil(most).max(1)).max(1)
    }

    /// The levels of sharing that the network allows, least first.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        self.programs.iter().map(|program| program.level)
    }

    /// The cheapest level for a request of `candidates`.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn level_for(&self, candidates: usize) -> Level {
        self.program_for(candidates).level
    }

    /// One candidate alone has no others to share with. All programs except the first share as much as they can.
    pub(super) fn program_for(&self, candidates: usize) -> &Program {
        if candidates <= 1 {
            return &self.programs[0];
        }
        let cheapest = self.programs[1..].iter().min_by_key(|program| program.cost(candidates));
        cheapest.expect("every network has the level of the first layers")
    }

    /// A matrix in the form that suits an operation on this many rows.
    pub(super) fn matrix<'a>(&'a self, weights: Weights<'a>, weight: &Weight, rows: usize) -> Matrix<'a> {
        let panels = weight.panels;
        let range = panels.start..panels.start + panels.len();
        let expanded = rows >= self.kernel.expanded_from() && self.packs.is_none();
        let [model, own] = &self.expanded;
        match weight.source {
            WeightIn::Request => Matrix::Arena(panels.start),
            WeightIn::Model if expanded => Matrix::Single(&model.values()[range]),
            WeightIn::Own if expanded => Matrix::Single(&own.values()[range]),
            WeightIn::Model => Matrix::Half(&weights.panels[range]),
            WeightIn::Own => Matrix::Half(&self.own.panels[range]),
        }
    }

    /// Its copy for inputs that are often 0, if there is one. With few rows the weights are the bottleneck, not the
    /// products.
    pub(super) fn grouped(&self, weight: &Weight, rows: usize) -> Option<&[f32]> {
        let wanted = self.skips && weight.source == WeightIn::Model && rows >= self.kernel.expanded_from();
        wanted.then(|| self.grouped.of(&weight.panels)).flatten()
    }

    /// Some inputs of one panel of a matrix as f32: sixteen weights for each.
    pub(super) fn copy_inputs(
        &self,
        weights: Weights<'_>,
        weight: &Weight,
        panel: usize,
        columns: Range<usize>,
        to: &mut [f32],
    ) {
        let first = (panel * weight.panels.inputs + columns.start) * LANES;
        let range = first..first + columns.len() * LANES;
        match self.matrix(weights, weight, usize::MAX) {
            Matrix::Single(panels) => to.copy_from_slice(&panels[range]),
            Matrix::Half(panels) => {
                to.iter_mut().zip(&panels[range]).for_each(|(to, &bits)| *to = half::f16::from_bits(bits).to_f32());
            }
            Matrix::Arena(_) => unreachable!("what a request made is not copied"),
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

    /// The grouped copy that starts there, unless the plan multiplies every input.
    pub(super) fn grouped_words(&self, start: usize, words: usize, outputs: usize) -> Option<&[u32]> {
        let packs = self.packs.as_ref()?;
        self.skips.then(|| &packs.words()[start..start + padded(outputs) * words])
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
