//! Checks that the layers of a network fit each other and the numbers that they refer to. A plan relies on it.

use super::Weights;
use crate::artifact::model::network::{Cross, Dense, LANES, Network, Panels, Params, padded};
use crate::error::{Error, Result};

/// How much of each section a network refers to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) panels: usize,
    pub(super) params: usize,
}

struct Check {
    has: Extent,
    needs: Extent,
}

/// Checks all shapes and places.
pub(super) fn check(network: &Network, weights: Weights<'_>) -> Result<Extent> {
    let has = Extent { panels: weights.panels.len(), params: weights.params.len() };
    let mut check = Check { has, needs: Extent::default() };
    let d = network.width;
    if network.request_width > d {
        return Err(Error::corrupt(format!("{} request columns of {d} in all", network.request_width)));
    }
    for (i, cross) in network.cross.iter().enumerate() {
        check.cross(cross, d).map_err(|e| e.within(format_args!("cross layer {i}")))?;
    }
    // The same width in either structure: x0 and x_L are equally wide.
    check.chain(&network.deep, d, "deep layer")?;
    for (i, head) in network.heads.iter().enumerate() {
        check
            .chain(&head.tower, network.trunk_width(), "tower layer")
            .and_then(|reads| check.params(&head.weight, reads, "output weights"))
            .map_err(|e| e.within(format_args!("head {i}")))?;
    }
    Ok(check.needs)
}

impl Check {
    fn cross(&mut self, cross: &Cross, d: usize) -> Result<()> {
        match cross {
            Cross::Full { weight, bias } => {
                self.panels(weight, d, d, "W")?;
                self.params(bias, d, "b")
            }
            Cross::LowRank { v, u, bias } => {
                self.panels(v, d, v.outputs, "V")?;
                self.panels(u, v.outputs, d, "U")?;
                self.params(bias, d, "b")
            }
            Cross::Vector { weight, bias } => {
                self.params(weight, d, "w")?;
                self.params(bias, d, "b")
            }
            Cross::Mixture { experts, rank, gate, v, c, u, bias } => {
                let all = experts.checked_mul(*rank).filter(|&all| all > 0 && c.len() == *experts);
                let Some(all) = all else {
                    return Err(Error::corrupt(format!(
                        "{experts} experts of rank {rank} with {} matrices C",
                        c.len()
                    )));
                };
                self.panels(gate, d, *experts, "gate")?;
                self.panels(v, d, all, "V")?;
                for c in c {
                    self.panels(c, *rank, *rank, "C")?;
                }
                self.panels(u, all, d, "U")?;
                self.params(bias, d, "b")
            }
        }
    }

    /// Layers that each read the previous one. Returns the width of the last.
    fn chain(&mut self, layers: &[Dense], mut reads: usize, what: &str) -> Result<usize> {
        for (i, layer) in layers.iter().enumerate() {
            let outputs = layer.weight.outputs;
            self.panels(&layer.weight, reads, outputs, "W")
                .and_then(|()| self.params(&layer.bias, outputs, "b"))
                .map_err(|e| e.within(format_args!("{what} {i}")))?;
            reads = outputs;
        }
        Ok(reads)
    }

    fn panels(&mut self, panels: &Panels, inputs: usize, outputs: usize, name: &str) -> Result<()> {
        if (panels.outputs, panels.inputs) != (outputs, inputs) || outputs == 0 {
            return Err(Error::corrupt(format!(
                "{name} is [{}, {}], expected [{outputs}, {inputs}]",
                panels.outputs, panels.inputs
            )));
        }
        let len = outputs.checked_next_multiple_of(LANES).and_then(|rows| rows.checked_mul(inputs));
        let end = end_of(panels.start, len, self.has.panels, name)?;
        self.needs.panels = self.needs.panels.max(end);
        Ok(())
    }

    fn params(&mut self, params: &Params, len: usize, name: &str) -> Result<()> {
        if params.len != len {
            return Err(Error::corrupt(format!("{name} has {} values, expected {len}", params.len)));
        }
        let end = end_of(params.start, len.checked_next_multiple_of(LANES), self.has.params, name)?;
        self.needs.params = self.needs.params.max(end);
        Ok(())
    }
}

fn end_of(start: usize, len: Option<usize>, has: usize, name: &str) -> Result<usize> {
    len.and_then(|len| start.checked_add(len)).filter(|&end| end <= has).ok_or_else(|| {
        Error::corrupt(format!("{name} starts at {start} and ends past its section, which has {has} values"))
    })
}

/// The values of `params` with their padding. Call it only on ranges that `check` has accepted.
pub(super) fn with_padding<'a>(params: &Params, section: &'a [f32]) -> &'a [f32] {
    &section[params.start..params.start + padded(params.len)]
}
