//! Checks the lengths of the caller's slices against each other before anything is computed or written.

use crate::artifact::model::Model;
use crate::refusal::Refusal;
use crate::types::Winner;

/// The outputs of scoring `n` candidates.
pub(super) fn outputs(n: usize, pctr: &[f32], pcvr: &[f32]) -> Result<(), Refusal> {
    if pctr.len() != n {
        return Err(Refusal::Length { what: "pctr", found: pctr.len(), expected: n });
    }
    if !pcvr.is_empty() && pcvr.len() != n {
        return Err(Refusal::Length { what: "pcvr", found: pcvr.len(), expected: n });
    }
    Ok(())
}

/// The outputs of a decision: room for the winners of `n_slots`, and a reason for each of `n` candidates, or none.
pub(super) fn decision(n: usize, n_slots: usize, winners: &[Winner], n_reasons: usize) -> Result<(), Refusal> {
    if winners.len() < n_slots.min(n) {
        return Err(Refusal::Length { what: "winners", found: winners.len(), expected: n_slots.min(n) });
    }
    if n_reasons != 0 && n_reasons != n {
        return Err(Refusal::Length { what: "reasons", found: n_reasons, expected: n });
    }
    Ok(())
}

/// Ready inputs, `[n, width]`, of a model.
pub(super) fn ready_inputs(model: &Model, x: &[f32], n: usize, width: usize) -> Result<(), Refusal> {
    let layout = model.layout();
    if width != layout.width {
        return Err(Refusal::Length { what: "columns of x", found: width, expected: layout.width });
    }
    if x.len() != n * width {
        return Err(Refusal::Length { what: "x", found: x.len(), expected: n * width });
    }
    if model.has_wide() {
        let rule = "it has a wide part, whose ids ready inputs cannot carry: score raw values";
        return Err(Refusal::Argument { what: "model", rule });
    }
    if let Some(index) = x.iter().position(|v| !v.is_finite()) {
        return Err(Refusal::NotFinite { what: "x", index });
    }
    Ok(())
}
