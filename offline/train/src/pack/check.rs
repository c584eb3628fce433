//! Whether weights survive as fp16.

use adclick::builder::artifact::model::spec::{CrossSpec, Matrix};
use anyhow::{Result, ensure};
use half::f16;

use super::affine::AffineLayer;
use super::cross::Crosses;
use super::heads::Head;
use super::tensors::place;

/// The largest finite fp16.
const LARGEST: f64 = 65_504.0;

/// Refuses values outside of fp16.
pub(super) fn storable(name: &str, shape: &[usize], values: &[f64]) -> Result<()> {
    let bad = values.iter().position(|v| !v.is_finite() || v.abs() > LARGEST);
    if let Some(at) = bad {
        ensure!(
            false,
            "`{name}` holds {} at {}: outside of fp16, in which weights are stored (-65504 to 65504); \
             rescale the layer or its inputs",
            values[at],
            place(shape, at)
        );
    }
    Ok(())
}

/// A warning about values that are lost by rounding to fp16: non-zero ones that become 0.
pub(super) fn vanishing(name: &str, values: &[f64]) -> Option<String> {
    let non_zero = values.iter().filter(|v| **v != 0.0).count();
    let lost: Vec<f64> = values.iter().copied().filter(|v| *v != 0.0 && f16::from_f64(*v).to_f64() == 0.0).collect();
    let largest = lost.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    (!lost.is_empty()).then(|| {
        format!("`{name}`: {} of {non_zero} non-zero weights become 0 in fp16 (the largest: {largest:e})", lost.len())
    })
}

/// Checks every matrix of a network as it will be stored, after folding. Returns warnings.
pub(super) fn network(cross: &Crosses, deep: &[AffineLayer], heads: &[Head]) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut check = |name: &str, m: &Matrix| -> Result<()> {
        storable(name, &[m.rows, m.cols], &m.data)?;
        warnings.extend(vanishing(name, &m.data));
        Ok(())
    };
    for (layer, name) in cross.0.iter().zip(&cross.1) {
        match layer {
            CrossSpec::Full { weight, .. } => check(name, weight)?,
            CrossSpec::LowRank { v, u, .. } => {
                check(name, v)?;
                check(name, u)?;
            }
            CrossSpec::Vector { .. } => {}
            CrossSpec::Mixture { experts, gate, .. } => {
                check("cross.gating", gate)?;
                for expert in experts {
                    check(name, &expert.v)?;
                    check(name, &expert.c)?;
                    check(name, &expert.u)?;
                }
            }
        }
    }
    for layer in deep.iter().chain(heads.iter().flat_map(|head| &head.layers)) {
        check(&layer.origin, &layer.spec.weight)?;
        // Biases stay f32; folding a tiny variance could carry one past that.
        let bad = layer.spec.bias.iter().find(|b| !(**b as f32).is_finite());
        ensure!(
            bad.is_none(),
            "the bias beside `{}` is {} after folding: outside of f32",
            layer.origin,
            bad.unwrap_or(&0.0)
        );
    }
    Ok(warnings)
}
