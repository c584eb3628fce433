//! Cross layers of the four forms, by tensor name.

use adclick::builder::artifact::model::spec::{CrossSpec, ExpertSpec, Matrix};
use adclick_data::schema_file::{CrossForm, ModelOptions};
use anyhow::{Result, bail, ensure};

use super::taken::{Fact, KnownBy, TakenLayer as Taken};
use super::tensors::{NamedTensors, transposed};

/// deepctr-torch's tensor with the kernels of all layers.
const KERNELS: &str = "cross.kernels";

/// The cross layers and the tensors that each is made of, for messages.
pub(super) type Crosses = (Vec<CrossSpec>, Vec<String>);

/// Reads the cross layers in whichever form they have, and records what they were recognised as.
pub(super) fn read(weights: &NamedTensors<'_>, options: &ModelOptions) -> Result<(Crosses, Vec<Taken>)> {
    let crosses = layers(weights, options)?;
    let form_from = if options.cross.is_some() { KnownBy::Schema } else { KnownBy::Names };
    let diag_scale = options.diag_scale.unwrap_or(0.0);
    let diag_from = options.diag_scale.map_or(KnownBy::Assumed, |_| KnownBy::Schema);
    let taken = crosses.0.iter().zip(&crosses.1).enumerate().map(|(l, (layer, tensors))| {
        let mut facts = vec![Fact::new("form", form(layer), form_from, "")];
        if let CrossSpec::Full { .. } = layer {
            facts.push(Fact::new("diag_scale", diag_scale.to_string(), diag_from, ""));
        }
        let shape = match layer {
            CrossSpec::Full { weight, .. } => vec![weight.rows, weight.cols],
            CrossSpec::LowRank { v, .. } => vec![v.cols, v.rows],
            CrossSpec::Vector { weight, .. } => vec![weight.len()],
            CrossSpec::Mixture { experts, bias, .. } => {
                vec![experts.len(), bias.len(), experts.first().map_or(0, |e| e.v.rows)]
            }
        };
        Taken { part: format!("cross {l}"), tensors: tensors.clone(), shape, facts }
    });
    let taken = taken.collect();
    Ok((crosses, taken))
}

/// What a layer's form is called.
pub(super) fn form(layer: &CrossSpec) -> &'static str {
    match layer {
        CrossSpec::Full { .. } => "full",
        CrossSpec::LowRank { .. } => "low-rank",
        CrossSpec::Vector { .. } => "vector (v1)",
        CrossSpec::Mixture { .. } => "mixture",
    }
}

fn layers(weights: &NamedTensors<'_>, options: &ModelOptions) -> Result<Crosses> {
    // deepctr-torch has the kernels of all layers in one tensor: vectors are [layers, d, 1].
    let kernels = weights.shape(KERNELS).unwrap_or_default();
    let vectors = matches!(kernels, [_, _, 1]) && weights.shape("cross.bias").is_none_or(|bias| bias == kernels);
    let forms = [
        (CrossForm::Full, "cross_layers."),
        (CrossForm::Full, if vectors { "-" } else { KERNELS }),
        (CrossForm::LowRank, "cross_v."),
        (CrossForm::Vector, "cross_w."),
        (CrossForm::Vector, if vectors { KERNELS } else { "-" }),
        (CrossForm::Mixture, "cross.U_list"),
    ];
    let found: Vec<(CrossForm, &str)> = forms.into_iter().filter(|(_, p)| weights.has_any(p)).collect();
    let form = match (options.cross, found.as_slice()) {
        (None | Some(CrossForm::None), []) => return Ok((Vec::new(), Vec::new())),
        (Some(CrossForm::None), [(_, prefix), ..]) => {
            bail!("[model] cross = \"none\", but the weights hold `{prefix}`")
        }
        (None, [(form, _)]) => *form,
        (None, [(_, a), (_, b), ..]) => bail!("the weights hold cross layers of two forms: `{a}` and `{b}`"),
        (Some(wanted), _) => {
            let Some((form, _)) = found.iter().find(|(f, _)| *f == wanted) else {
                let prefix = forms.iter().find(|(f, _)| *f == wanted).map_or("", |(_, p)| p);
                bail!("[model] asks for {wanted:?} cross layers, but the weights hold no `{prefix}`");
            };
            *form
        }
    };
    let diag_scale = options.diag_scale.unwrap_or(0.0);
    ensure!(
        diag_scale == 0.0 || form == CrossForm::Full,
        "[model] diag_scale is for full cross matrices; these are {form:?}"
    );
    match form {
        CrossForm::Full | CrossForm::Vector if weights.has(KERNELS) => kernels_of(weights, form, diag_scale),
        CrossForm::Mixture if weights.has("cross.U_list") => {
            let count = weights.shape("cross.U_list").map_or(0, |s| s[0]);
            let mut all = (Vec::new(), Vec::new());
            for l in 0..count {
                let width = all.0.first().map(super::cross_width);
                let (layer, origin) = mixture(weights, l, width)?;
                all.0.push(layer);
                all.1.push(origin);
            }
            Ok(all)
        }
        CrossForm::Full => each(weights, "cross_layers.", |l, d| full(weights, l, d, diag_scale)),
        CrossForm::LowRank => each(weights, "cross_v.", |l, d| low_rank(weights, l, d)),
        CrossForm::Vector => each(weights, "cross_w.", |l, d| vector(weights, l, d)),
        CrossForm::Mixture => each(weights, "cross.U_list.", |l, d| mixture(weights, l, d)),
        CrossForm::None => Ok((Vec::new(), Vec::new())),
    }
}

/// The layers 0, 1, … under a prefix; all have the width of the first.
fn each(
    weights: &NamedTensors<'_>,
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

fn full(weights: &NamedTensors<'_>, l: usize, d: Option<usize>, diag_scale: f64) -> Result<(CrossSpec, String)> {
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

fn low_rank(weights: &NamedTensors<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
    let v_role = format!("cross_v.{l}.weight");
    let u_role = format!("cross_u.{l}.weight");
    let v = weights.matrix(&v_role, None, d)?;
    let u = weights.matrix(&u_role, Some(v.cols), Some(v.rows))?;
    let bias = weights.vector_or_zeros(&format!("cross_u.{l}.bias"), v.cols)?;
    let origin = format!("{}, {}", weights.name(&v_role), weights.name(&u_role));
    Ok((CrossSpec::LowRank { v, u, bias }, origin))
}

fn vector(weights: &NamedTensors<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
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

/// deepctr-torch's CrossNet: the kernels of all layers in one tensor, [layers, d, 1] or [layers, d, d], and the biases in
/// another.
fn kernels_of(weights: &NamedTensors<'_>, form: CrossForm, diag_scale: f64) -> Result<Crosses> {
    let (shape, kernels) = weights.values(KERNELS)?;
    let name = weights.name(KERNELS);
    let columns = if form == CrossForm::Vector { Some(1) } else { shape.get(1).copied() };
    let [count, d, _] = shape[..] else {
        bail!("tensor `{name}`: expected shape [layers, d, 1] or [layers, d, d], found {shape:?}");
    };
    ensure!(
        columns == shape.get(2).copied(),
        "tensor `{name}`: expected shape [layers, d, 1] or [layers, d, d], found {shape:?}"
    );
    let (bias_shape, biases) = weights.values("cross.bias")?;
    ensure!(
        bias_shape == [count, d, 1],
        "tensor `{}`: expected shape [{count}, {d}, 1], found {bias_shape:?}",
        weights.name("cross.bias")
    );
    let layer = |l: usize| {
        let bias = biases[l * d..][..d].to_vec();
        if form == CrossForm::Vector {
            return CrossSpec::Vector { weight: kernels[l * d..][..d].to_vec(), bias };
        }
        let mut weight = Matrix::new(d, d, kernels[l * d * d..][..d * d].to_vec());
        (0..d).for_each(|i| weight.data[i * d + i] += diag_scale);
        CrossSpec::Full { weight, bias }
    };
    Ok((0..count).map(|l| (layer(l), format!("{name}[{l}]"))).unzip())
}

/// The values of layer `l`: `name.l`, or part l of a tensor `name` with all layers.
fn part(weights: &NamedTensors<'_>, name: &str, l: usize) -> Result<(Vec<usize>, Vec<f64>, String)> {
    if !weights.has(name) {
        let role = format!("{name}.{l}");
        let (shape, values) = weights.values(&role)?;
        return Ok((shape, values, weights.name(&role).to_owned()));
    }
    let (shape, values) = weights.values(name)?;
    let count = shape.first().copied().unwrap_or(0);
    ensure!(l < count, "tensor `{}`: {count} layers, others have more", weights.name(name));
    let size = values.len() / count;
    Ok((shape[1..].to_vec(), values[l * size..][..size].to_vec(), format!("{}[{l}]", weights.name(name))))
}

/// CrossNetMix of FuxiCTR and deepctr-torch: `U_e tanh(C_e tanh(V_eᵀ x))` with U, V `[E, d, r]`, C `[E, r, r]`; the gates `[1, d]` are
/// shared by all layers. The gates' softmax sums to 1, so adding the bias inside each expert adds it once.
fn mixture(weights: &NamedTensors<'_>, l: usize, d: Option<usize>) -> Result<(CrossSpec, String)> {
    let (shape, u, u_name) = part(weights, "cross.U_list", l)?;
    let [experts, width, rank] = shape[..] else {
        bail!("tensor `{u_name}`: expected shape [experts, d, rank], found {shape:?}");
    };
    ensure!(d.is_none_or(|d| d == width), "tensor `{u_name}`: expected d = {}, found {width}", d.unwrap_or(0));
    let cube = |name: &str, expected: [usize; 3]| {
        let (found, values, name) = part(weights, name, l)?;
        ensure!(found == expected, "tensor `{name}`: expected shape {expected:?}, found {found:?}");
        Ok((values, name))
    };
    let (v, v_name) = cube("cross.V_list", [experts, width, rank])?;
    let (c, c_name) = cube("cross.C_list", [experts, rank, rank])?;
    let gates = weights.numbers("cross.gating.");
    ensure!(
        gates.len() == experts,
        "{} gates `cross.gating.N.weight` for {experts} experts in `{u_name}`",
        gates.len()
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
    let (found, bias, bias_name) = part(weights, "cross.bias", l)?;
    ensure!(bias.len() == width, "tensor `{bias_name}`: expected shape [{width}, 1], found {found:?}");
    let gate = Matrix::new(experts, width, gate);
    Ok((CrossSpec::Mixture { experts: experts_spec, gate, bias }, [u_name, v_name, c_name].join(", ")))
}
