//! The `network` section: the shapes of all layers. The position of each matrix follows from the shapes alone, so the
//! file holds no offsets that could be wrong. docs/format.md has the table.

use super::network::{Cross, Dense, Head, Network, Panels, Params, padded};
use super::spec::{Activation, HeadKind, Structure};
#[cfg(feature = "builder")]
use super::spec::{CrossSpec, DenseSpec, NetworkSpec};
use crate::error::Result;
use crate::schema::{Layout, MAX_WIDTH};
use crate::wire::Reader;
#[cfg(feature = "builder")]
use crate::wire::Writer;

const FULL: u8 = 0;
const LOW_RANK: u8 = 1;
const VECTOR: u8 = 2;
const MIXTURE: u8 = 3;

/// The most cross, deep or tower layers.
pub(super) const MAX_LAYERS: usize = 64;
/// The most experts of a mixture layer.
pub(super) const MAX_EXPERTS: usize = 64;
/// fp16 values between the starts of matrices are rounded up to this: 64 bytes.
const WEIGHT_ALIGN: usize = 32;

/// Allocates positions in the `weights` and `params` sections in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct SectionPlaces {
    /// fp16 values so far.
    pub(super) weights: u64,
    /// f32 values so far.
    pub(super) params: u64,
}

impl SectionPlaces {
    fn panels(&mut self, outputs: usize, inputs: usize) -> Panels {
        let panels = Panels { start: self.weights as usize, inputs, outputs };
        self.weights += (panels.len() as u64).next_multiple_of(WEIGHT_ALIGN as u64);
        panels
    }

    fn params(&mut self, len: usize) -> Params {
        let params = Params { start: self.params as usize, len };
        self.params += padded(len) as u64;
        params
    }

    fn dense(&mut self, inputs: usize, outputs: usize, activation: Activation) -> Dense {
        Dense { weight: self.panels(outputs, inputs), bias: self.params(outputs), activation }
    }
}

/// The bytes of the `network` section. The shapes of `spec` must agree with each other.
#[cfg(feature = "builder")]
pub(super) fn encode(spec: &NetworkSpec, layout: &Layout) -> Vec<u8> {
    let mut w = Writer::default();
    w.u8(spec.structure as u8);
    w.u8(0);
    w.u16(spec.cross.len() as u16);
    w.u16(spec.deep.len() as u16);
    w.u16(spec.heads.len() as u16);
    w.u32(layout.width as u32);
    w.u32(layout.request_width as u32);
    for cross in &spec.cross {
        let (kind, experts, rank) = match cross {
            CrossSpec::Full { .. } => (FULL, 0, 0),
            CrossSpec::LowRank { v, .. } => (LOW_RANK, 0, v.rows),
            CrossSpec::Vector { .. } => (VECTOR, 0, 0),
            CrossSpec::Mixture { experts, .. } => (MIXTURE, experts.len(), experts.first().map_or(0, |e| e.v.rows)),
        };
        w.u8(kind);
        w.u8(0);
        w.u16(experts as u16);
        w.u32(rank as u32);
    }
    let dense = |w: &mut Writer, d: &DenseSpec| {
        w.u32(d.weight.rows as u32);
        w.u8(d.activation as u8);
        for _ in 0..3 {
            w.u8(0);
        }
    };
    for d in &spec.deep {
        dense(&mut w, d);
    }
    for head in &spec.heads {
        w.u8(head.kind as u8);
        w.u8(0);
        w.u16(head.tower.len() as u16);
        w.f32(head.bias as f32);
        for d in &head.tower {
            dense(&mut w, d);
        }
    }
    w.0
}

/// Reads the `network` section and gives every matrix its place.
pub(super) fn decode(bytes: &[u8], layout: &Layout) -> Result<(Network, SectionPlaces)> {
    let mut r = Reader::new("network", bytes);
    let mut places = SectionPlaces::default();
    let structure = match r.u8()? {
        0 => Structure::Parallel,
        1 => Structure::Stacked,
        other => return Err(r.error(format_args!("structure {other}, known are 0 (parallel), 1 (stacked)"))),
    };
    r.zeros(1)?;
    let cross_count = bounded(&mut r, "cross layers", 0, MAX_LAYERS)?;
    let deep_count = bounded(&mut r, "deep layers", 0, MAX_LAYERS)?;
    let head_count = bounded(&mut r, "heads", 1, 2)?;
    let (width, request_width) = (r.u32()? as usize, r.u32()? as usize);
    if (width, request_width) != (layout.width, layout.request_width) {
        return Err(r.error(format_args!(
            "{width} input columns, {request_width} of the request; the schema has {} and {}",
            layout.width, layout.request_width
        )));
    }
    let mut network =
        Network { width, request_width, structure, cross: Vec::new(), deep: Vec::new(), heads: Vec::new() };
    for _ in 0..cross_count {
        network.cross.push(decode_cross(&mut r, &mut places, width)?);
    }
    let mut inputs = width;
    for _ in 0..deep_count {
        let layer = decode_dense(&mut r, &mut places, inputs)?;
        inputs = layer.weight.outputs;
        network.deep.push(layer);
    }
    for _ in 0..head_count {
        let head = decode_head(&mut r, &mut places, network.trunk_width())?;
        if network.heads.iter().any(|h| h.kind as u8 >= head.kind as u8) {
            return Err(r.error("heads must be in the order pCTR, pCVR, one of each at most"));
        }
        network.heads.push(head);
    }
    r.end()?;
    Ok((network, places))
}

fn decode_cross(r: &mut Reader<'_>, places: &mut SectionPlaces, width: usize) -> Result<Cross> {
    let kind = r.u8()?;
    r.zeros(1)?;
    let experts = usize::from(r.u16()?);
    let rank = r.u32()? as usize;
    let wants = |ok: bool| {
        if ok {
            return Ok(());
        }
        Err(r.error(format_args!(
            "cross layer of kind {kind} with {experts} experts of rank {rank}; full and vector have none, low rank has \
             a rank of 1 to {MAX_WIDTH}, a mixture 1 to {MAX_EXPERTS} experts and such a rank"
        )))
    };
    let ranked = (1..=MAX_WIDTH).contains(&rank);
    Ok(match kind {
        FULL => {
            wants(experts == 0 && rank == 0)?;
            Cross::Full { weight: places.panels(width, width), bias: places.params(width) }
        }
        LOW_RANK => {
            wants(experts == 0 && ranked)?;
            Cross::LowRank { v: places.panels(rank, width), u: places.panels(width, rank), bias: places.params(width) }
        }
        VECTOR => {
            wants(experts == 0 && rank == 0)?;
            Cross::Vector { weight: places.params(width), bias: places.params(width) }
        }
        MIXTURE => {
            wants((1..=MAX_EXPERTS).contains(&experts) && ranked && experts * rank <= MAX_WIDTH)?;
            Cross::Mixture {
                experts,
                rank,
                gate: places.panels(experts, width),
                v: places.panels(experts * rank, width),
                c: (0..experts).map(|_| places.panels(rank, rank)).collect(),
                u: places.panels(width, experts * rank),
                bias: places.params(width),
            }
        }
        other => return Err(r.error(format_args!("cross layer of kind {other}, known are 0 to 3"))),
    })
}

fn decode_dense(r: &mut Reader<'_>, places: &mut SectionPlaces, inputs: usize) -> Result<Dense> {
    let outputs = r.u32()? as usize;
    if !(1..=MAX_WIDTH).contains(&outputs) {
        return Err(r.error(format_args!("a layer of {outputs} outputs, expected 1 to {MAX_WIDTH}")));
    }
    let activation = match r.u8()? {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::Tanh,
        other => return Err(r.error(format_args!("activation {other}, known are 0 to 2"))),
    };
    r.zeros(3)?;
    Ok(places.dense(inputs, outputs, activation))
}

fn decode_head(r: &mut Reader<'_>, places: &mut SectionPlaces, trunk: usize) -> Result<Head> {
    let kind = match r.u8()? {
        0 => HeadKind::Ctr,
        1 => HeadKind::Cvr,
        other => return Err(r.error(format_args!("head of kind {other}, known are 0 (pCTR), 1 (pCVR)"))),
    };
    r.zeros(1)?;
    let tower_count = bounded(r, "tower layers", 0, MAX_LAYERS)?;
    let bias = r.f32()?;
    if !bias.is_finite() {
        return Err(r.error(format_args!("head bias {bias} is not finite")));
    }
    let mut tower = Vec::new();
    let mut inputs = trunk;
    for _ in 0..tower_count {
        let layer = decode_dense(r, places, inputs)?;
        inputs = layer.weight.outputs;
        tower.push(layer);
    }
    Ok(Head { kind, tower, weight: places.params(inputs), bias })
}

fn bounded(r: &mut Reader<'_>, what: &str, least: usize, most: usize) -> Result<usize> {
    let n = usize::from(r.u16()?);
    if !(least..=most).contains(&n) {
        return Err(r.error(format_args!("{n} {what}, expected {least} to {most}")));
    }
    Ok(n)
}
