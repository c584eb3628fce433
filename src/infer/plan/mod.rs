//! A network turned into programs over one arena, once, so that running it is a walk down a list.

mod algebra;
mod build;
mod own;
mod program;

pub use program::Level;
pub(super) use program::{Collapse, Layer, Prepare, Program, Source, Start, Step, Vector, Weight};

use own::Own;

use super::kernel::{Kernel, Matrix};
use super::scratch::Arena;
use super::shapes::{self, Extent};
use super::{Pass, Scratch, Weights};
use crate::artifact::model::network::Network;
use crate::error::{Error, Result};

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
    /// The model's panels and the plan's own as f32, at the same places.
    expanded: [Arena; 2],
    /// By level, the first with nothing shared.
    programs: Vec<Program>,
}

impl Plan {
    /// Lays a network out for a kernel, with a private copy of the panels in f32: twice the bytes of the model's weights.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other or the sections.
    pub fn new(network: &Network, weights: Weights<'_>, kernel: &'static Kernel) -> Result<Self> {
        let needs = shapes::check(network, weights)?;
        let tile_rows = kernel.tile_rows();
        let mut own = Own::default();
        let mut programs: Vec<_> =
            [Level::Rows, Level::First].map(|level| build::layer_by_layer(network, tile_rows, level)).into();
        programs.extend(algebra::collapsed(network, weights, &mut own, tile_rows));
        programs.extend(algebra::algebra(network, weights, &mut own, tile_rows));
        let expanded = [weights.panels, &own.panels].map(expand);
        Ok(Self {
            kernel,
            width: network.width,
            request_width: network.request_width,
            heads: network.heads.len(),
            needs,
            scratch_len: programs.iter().map(|program| program.len).max().unwrap_or(0),
            own,
            expanded,
            programs,
        })
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
        self.programs.iter().map(|program| program.level)
    }

    /// The level that costs least for a request of `candidates`.
    #[must_use]
    pub fn level_for(&self, candidates: usize) -> Level {
        let cheapest = self.programs.iter().skip(1).min_by_key(|program| program.cost(candidates));
        cheapest.map_or(Level::Rows, |program| program.level)
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
        self.begin_at(self.level_for(candidates), weights, scratch, x_request)
    }

    /// The same at a given level: one of [`Plan::levels`], not [`Level::Rows`].
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
        if x_request.len() != self.request_width {
            return Err(Error::argument(format!(
                "the request has {} columns, expected {}",
                x_request.len(),
                self.request_width
            )));
        }
        let program = self.programs[1..].iter().find(|program| program.level == level);
        let program = program.ok_or_else(|| Error::argument(format!("this network has no level {level:?}")))?;
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
        let expanded = rows >= self.kernel.expanded_from();
        let [model, own] = &self.expanded;
        match weight.source {
            Source::Request => Matrix::Arena(panels.start),
            Source::Model if expanded => Matrix::Single(&model.values()[range]),
            Source::Own if expanded => Matrix::Single(&own.values()[range]),
            Source::Model => Matrix::Half(&weights.panels[range]),
            Source::Own => Matrix::Half(&self.own.panels[range]),
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
