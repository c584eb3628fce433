//! Packing a model: the outputs of its golden requests are computed in f64, and every kernel must reproduce them.

use super::golden::{Inputs, reproduces};
use crate::artifact::Bytes;
use crate::artifact::model::spec::{GoldenRequest, ModelSpec};
use crate::artifact::model::{Model, write};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::infer::reference::{DeepInputs, reference_logits};
use crate::infer::{Kernel, Plan, Weights};

/// The bytes of a model file with the outputs of its golden requests, computed in f64 from the weights as stored in the
/// file. A golden request whose logit is not finite in f32, or that a kernel of this CPU does not reproduce, is
/// refused.
///
/// # Errors
/// As [`write()`]; `InvalidArgument` naming the golden request.
pub fn pack_model(spec: &ModelSpec) -> Result<Vec<u8>> {
    let heads = spec.network.heads.len();
    let without = write(&ModelSpec { goldens: Vec::new(), ..spec.clone() }, &[])?;
    let model = Model::open(Bytes::copy_of(&without)?)?;
    let mut inputs = Inputs::new(&model)?;
    let mut expected = Vec::new();
    for (i, request) in spec.goldens.iter().enumerate() {
        let features = model.schema().features.len();
        if let Some(v) = request.values.iter().find(|v| v.feature as usize >= features) {
            let feature = v.feature;
            return Err(Error::argument(format!("golden request {i}: feature {feature}, there are {features}")));
        }
        inputs.assemble(&model, request).map_err(|e| e.within(format_args!("golden request {i}")))?;
        let mut logits = vec![0.0; heads];
        reference_logits(model.network(), Weights::of(&model), &inputs.x, &mut logits)?;
        for (logit, wide) in logits.iter_mut().zip(&inputs.wide) {
            *logit += f64::from(*wide);
            if !(*logit as f32).is_finite() {
                return Err(Error::argument(format!("golden request {i}: the model's logit is {logit}")));
            }
        }
        expected.extend(logits);
    }
    let bytes = write(spec, &expected)?;
    let model = Model::open(Bytes::copy_of(&bytes)?)?;
    for kernel in Kernel::available() {
        reproduces(
            &model,
            &Plan::new(model.network(), Weights::of(&model), kernel)?,
            kernel,
            Cancel::default(),
            WHEN_PACKED,
        )?;
    }
    Ok(bytes)
}

const WHEN_PACKED: &str = "sums in f32 lose what f64 keeps, because a layer adds up products that are much larger than their \
     sum: inputs or weights far from 0, or from each other in size; centre or scale what it reads";

/// Runs raw rows through the exact network, and calls back with the number of each deep layer and its inputs: for
/// [`ModelSpec::ranges`]. About `most` multiplications are done: if all rows would take more, a subset of them, evenly
/// spread, but not fewer than 1,000. Returns the number of rows run.
///
/// # Errors
/// An error in a row, with its number.
pub fn deep_inputs(
    model: &Model,
    rows: &[GoldenRequest],
    most: usize,
    mut each: impl FnMut(usize, &[f64]),
) -> Result<usize> {
    let network = DeepInputs::new(model.network(), Weights::of(model))?;
    let affordable = (most / network.cost().max(1)).max(1000);
    let step = rows.len().div_ceil(affordable).max(1);
    let mut inputs = Inputs::new(model)?;
    let mut run = 0;
    for (i, row) in rows.iter().enumerate().step_by(step) {
        inputs.assemble(model, row).map_err(|e| e.within(format_args!("row {i}")))?;
        network.run(&inputs.x, &mut each)?;
        run += 1;
    }
    Ok(run)
}
