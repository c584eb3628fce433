//! From input columns to logits: a [`Network`](crate::artifact::model::network::Network) run over tiles of
//! candidates.
//!
//! A [`Plan`] is made once for a model, a [`Scratch`] once for a caller. For each request, [`Plan::begin`] computes the
//! request's share of the first layers. Then each tile of at most [`TILE_ROWS`] candidates is written into
//! [`Pass::tile`] and goes through the whole network in [`Pass::run`], so that activations stay in the first-level
//! caches. [`reference`](mod@reference) defines the computation in f64 and in plain loops.

mod begin;
pub mod kernel;
mod pass;
mod plan;
mod prepare;
#[cfg(feature = "builder")]
pub mod reference;
mod scratch;
mod shapes;

pub use kernel::{Kernel, MOST_GROUPS, TILE_ROWS};
pub use pass::{Kept, Pass, Tile};
pub use plan::{Arithmetic, Group, Keeping, Level, Plan};
pub use scratch::Scratch;

use crate::artifact::model::Model;

/// The numbers of a network. Its offsets refer to these slices.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// fp16 bits: section `weights`.
    pub panels: &'a [u16],
    /// Section `params`.
    pub params: &'a [f32],
}

impl<'a> Weights<'a> {
    /// Those of a model file.
    #[must_use]
    pub fn of(model: &'a Model) -> Self {
        Self { panels: model.weights(), params: model.params() }
    }
}
