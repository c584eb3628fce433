//! Cross layers of the four forms, by tensor name.

use adclick::artifact::model::spec::{CrossSpec, ExpertSpec, Matrix};
use anyhow::{Result, bail, ensure};

use super::tensors::{Weights, transposed};
use crate::schema_file::{CrossForm, ModelOptions};

/// The cross layers and the tensors that each is made of, for messages.
pub(super) type Crosses = (Vec<CrossSpec>, Vec<String>);

/// Reads the cross layers, whichever form they have.
pub(super) fn read(weights: &Weights<'_>, options: &ModelOptions) -> Result<Crosses> {
    let forms = [
        (CrossForm::Full, "cross_layers."),
        (CrossForm::LowRank, "cross_v."),
        (CrossForm::Vector, "cross_w."),
        (CrossForm::Mixture, "cross.U_list."),
    ];
    let found: Vec<(CrossForm, &str)> = forms.into_iter().filter(|(_, p)| weights.has_any(p)).collect();
    let form = match (options.cross, found.as_slice()) {
        (None | Some(CrossForm::None), []) => return Ok((Vec::new(), Vec::new())),
        (Some(CrossForm::None), [(_, prefix), ..]) => {
            bail!("[model] cross = \"none\", but the weights hold `{prefix}0`")
        }
        (None, [(form, _)]) => *form,
        (None, [(_, a), (_, b), ..]) => bail!("the weights hold cross layers of two forms: `{a}0` and `{b}0`"),
        (Some(wanted), _) => {
            let Some((form, _)) = found.iter().find(|(f, _)| *f == wanted) else {
                let prefix = forms.iter().find(|(f, _)| *f == wanted).map_or("", |(_, p)| p);
                bail!("[model] asks for {wanted:?} cross layers, but the weights hold no `{prefix}0`");
            };
            *form
        }
    };
    ensure!(
        options.diag_scale == 0.0 || form == CrossForm::Full,
        "[model] diag_scale is for full cross matrices; these are {form:?}"
    );
    match form {
        CrossForm::Full => each(weights, "cross_layers.", |l, d| full(weights, l, d, options.diag_scale)),
        CrossForm::LowRank => each(weights, "cross_v.", |l, d| low_rank(weights, l, d)),
        CrossForm::Vector => each(weights, "cross_w.", |l, d| vector(weights, l, d)),
        CrossForm::Mixture => each(weights, "cross.U_list.", |l, d| mixture(weights, l, d)),
        CrossForm::None => Ok((Vec::new(), Vec::new())),
    }
}

/// The layers 0, 1, … under a prefix; all have the width of the first.
fn each(
    weights: &Weights<'_>,
    prefix: &str,
    mut read: impl FnMut(usize, Option<usize>) -> Result<(CrossSpec, String)>,
) -> Result<Crosses> {
    let numbers = weights.numbers(prefix);
    for (expected, &found) in numbers.iter().enumerate() {
        ensure!(expected == found, "cross layers are numbered from 0 without gaps: `{prefix}{expected}` is missing");
    }
    let mut layers = Vec::with_capacity(numbers.len());
    let mut origins = Vec::with_capacity(numbers.len());
    let mut width = None;
    for l in numbers {
        let (layer, origin) = read(l, width)?;
        width = Some(super::cross_width(&layer));
        layers.push(layer);
        origins.push(origin);
    }
    Ok((layers, origins))
}

fn full(weights: &Weights<'_>, l: usize, d: Option<usize>, diag_scale: f64) -> Result<(CrossSpec, String)> {
    let role = format!("cross_layers.{l}.weight");
    let mut weight = weights.matrix(&role, d, d)?;
    let d = weight.cols;
    ensure!(
        weight.rows == d,
        "tensor `{}`: expected a square matrix, found [{}, {d}]",
        weights.name(&role),
        weight.rows
    );
    (0..d).for_each(|i| weight.data[i * d + i] += diag_scale);
    let bias = weights.vector_or_zeros(&format!("cross_layers.{l}.bias"), d)?;
    Ok((CrossSpec::Full { weight, bias }, weights.name(&role).to_owned()))
}

fn low_rank(weights: &Weights<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
    let v_role = format!("cross_v.{l}.weight");
    let u_role = format!("cross_u.{l}.weight");
    let v = weights.matrix(&v_role, None, d)?;
    let u = weights.matrix(&u_role, Some(v.cols), Some(v.rows))?;
    let bias = weights.vector_or_zeros(&format!("cross_u.{l}.bias"), v.cols)?;
    let origin = format!("{}, {}", weights.name(&v_role), weights.name(&u_role));
    Ok((CrossSpec::LowRank { v, u, bias }, origin))
}

fn vector(weights: &Weights<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
    // A bare parameter, or a Linear with one output.
    let bare = format!("cross_w.{l}");
    let role = if weights.has(&bare) { bare } else { format!("cross_w.{l}.weight") };
    let len = d.unwrap_or_else(|| weights.shape(&role).map_or(0, |s| s.iter().product()));
    let weight = weights.vector(&role, len)?;
    let bare = format!("cross_b.{l}");
    let bias_role = if weights.has(&bare) { bare } else { format!("cross_w.{l}.bias") };
    let bias = weights.vector(&bias_role, len)?;
    Ok((CrossSpec::Vector { weight, bias }, weights.name(&role).to_owned()))
}

/// FuxiCTR's CrossNetMix: `U_e tanh(C_e tanh(V_eᵀ x))` with U, V `[E, d, r]`, C `[E, r, r]`; the gates `[1, d]` are
/// shared by all layers. The gates' softmax sums to 1, so adding the bias inside each expert adds it once.
fn mixture(weights: &Weights<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
    let roles = ["U", "V", "C"].map(|n| format!("cross.{n}_list.{l}"));
    let (shape, u) = weights.values(&roles[0])?;
    let [experts, width, rank] = shape[..] else {
        bail!("tensor `{}`: expected shape [experts, d, rank], found {shape:?}", weights.name(&roles[0]));
    };
    ensure!(
        d.is_none_or(|d| d == width),
        "tensor `{}`: expected d = {}, found {width}",
        weights.name(&roles[0]),
        d.unwrap_or(0)
    );
    let cube = |role: &str, expected: [usize; 3]| {
        let (found, values) = weights.values(role)?;
        ensure!(found == expected, "tensor `{}`: expected shape {expected:?}, found {found:?}", weights.name(role));
        Ok(values)
    };
    let v = cube(&roles[1], [experts, width, rank])?;
    let c = cube(&roles[2], [experts, rank, rank])?;
    let gates = weights.numbers("cross.gating.");
    ensure!(
        gates.len() == experts,
        "{} gates `cross.gating.N.weight` for {experts} experts in `{}`",
        gates.len(),
        weights.name(&roles[0])
    );
    let mut gate = Vec::with_capacity(experts * width);
    for e in gates {
        gate.extend(weights.vector(&format!("cross.gating.{e}.weight"), width)?);
    }
    let experts_spec = (0..experts)
        .map(|e| ExpertSpec {
            v: Matrix::new(rank, width, transposed(&v[e * width * rank..][..width * rank], width, rank)),
            c: Matrix::new(rank, rank, c[e * rank * rank..][..rank * rank].to_vec()),
            u: Matrix::new(width, rank, u[e * width * rank..][..width * rank].to_vec()),
        })
        .collect();
    let bias = weights.vector(&format!("cross.bias.{l}"), width)?;
    let origin = roles.each_ref().map(|r| weights.name(r)).join(", ");
    let gate = Matrix::new(experts, width, gate);
    Ok((CrossSpec::Mixture { experts: experts_spec, gate, bias }, origin))
}
