//! The buffers of a scorer, allocated once.

use super::cut::CutMemory;
use super::scored::Last;
use super::segments::SegmentMemory;
use crate::auction::{self, Shortlist};
use crate::enrich::{State, TableRows};
use crate::error::Result;
use crate::infer::{Scratch, TILE_ROWS};
use crate::memory::filled;
use crate::model::Limits;
use crate::types::Candidate;

/// One scorer's buffers. `n` is the most candidates of a request.
pub(super) struct Memory {
    /// The network's scratch.
    pub(super) scratch: Scratch,
    /// Scratch of enrichment.
    pub(super) state: State,
    /// The request's columns of x0.
    pub(super) request: Box<[f32]>,
    /// `[n]` for each head, in the order of the model's heads; after calibration always pCTR, pCVR.
    pub(super) logits: [Box<[f32]>; 2],
    /// `[n]`.
    pub(super) pctr: Box<[f32]>,
    /// `[n]`.
    pub(super) pcvr: Box<[f32]>,
    pub(super) segments: SegmentMemory,
    /// Scratch of the auction.
    pub(super) auction: auction::Scratch,
    pub(super) second: SecondPass,
    /// The last decision's candidates, `[n]`.
    pub(super) candidates: Box<[Candidate]>,
    pub(super) cut: CutMemory,
    /// None: the last call was no decision.
    pub(super) last: Option<Last>,
}

/// Buffers of the second of two passes.
pub(super) struct SecondPass {
    /// The candidates that the auction depends on.
    pub(super) shortlist: Shortlist,
    /// Their numbers, `[n]`.
    pub(super) listed: Box<[u32]>,
    /// The logits of the fast pass, `[n]` for each head.
    pub(super) fast: [Box<[f32]>; 2],
}

impl Memory {
    /// Buffers for `n` candidates of models within these limits.
    pub(super) fn new(model: Limits, n: usize) -> Result<Self> {
        Ok(Self {
            scratch: Scratch::try_new(model.scratch)?,
            state: State::of_tiles(
                model.features,
                model.width,
                TableRows::new(model.tables, model.row_bytes, n)?,
                n.clamp(1, TILE_ROWS),
            ),
            request: filled(model.width)?,
            logits: [filled(n)?, filled(n)?],
            pctr: filled(n)?,
            pcvr: filled(n)?,
            segments: SegmentMemory::new(n)?,
            auction: auction::Scratch::try_new(n)?,
            second: SecondPass { shortlist: Shortlist::new(n)?, listed: filled(n)?, fast: [filled(n)?, filled(n)?] },
            candidates: filled(n)?,
            cut: CutMemory::new(n)?,
            last: None,
        })
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let Self {
            scratch,
            state,
            request,
            logits: [a, b],
            pctr,
            pcvr,
            segments,
            auction,
            second,
            candidates,
            cut,
            last: _,
        } = self;
        let SecondPass { shortlist, listed, fast: [c, d] } = second;
        let floats: usize = [request, a, b, c, d, pctr, pcvr].iter().map(|floats| size_of_val(&***floats)).sum();
        scratch.bytes()
            + state.bytes()
            + segments.bytes()
            + auction.bytes()
            + shortlist.bytes()
            + size_of_val(&**listed)
            + size_of_val(&**candidates)
            + cut.bytes()
            + floats
    }
}
