//! The outputs of the model that a packed one came from: what `adclick score` writes, under these or other common names.

use adclick::builder::Named;
use adclick::builder::artifact::model::spec::HeadKind;
use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::tensors::floats;

/// What a tensor of outputs holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Logits.
    Logit,
    /// Probabilities.
    Probability,
    /// pCTR · pCVR.
    Product,
}

/// Names of outputs, in the order in which they are looked for; `_f64` and `_f32` may follow.
const NAMES: [(HeadKind, Quantity, &[&str]); 5] = [
    (HeadKind::Ctr, Quantity::Logit, &["logit", "logits", "logit_ctr", "logits_ctr", "ctr_logit"]),
    (HeadKind::Ctr, Quantity::Probability, &["pctr", "prob", "probs", "prob_ctr", "ctr"]),
    (HeadKind::Cvr, Quantity::Logit, &["logit_cvr", "logits_cvr", "cvr_logit"]),
    (HeadKind::Cvr, Quantity::Probability, &["pcvr", "prob_cvr", "cvr"]),
    (HeadKind::Cvr, Quantity::Product, &["pctcvr", "prob_ctcvr", "ctcvr"]),
];

/// One tensor of outputs, or one column of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Its name in the file.
    pub name: String,
    /// The head that gave these outputs.
    pub head: HeadKind,
    /// What it holds.
    pub quantity: Quantity,
    /// One for each row.
    pub values: Vec<f64>,
    /// Half a unit in the last place, as a share of the value.
    pub rounding: f64,
}

/// The outputs of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// For each head one at least.
    pub outputs: Vec<Output>,
    /// What the tensor was taken to hold, when its name does not say.
    pub note: Option<String>,
}

impl Expected {
    /// Reads the outputs of `rows` rows for these heads. A tensor with one column for each head has them in this order.
    /// `told` says what a tensor of another name holds.
    ///
    /// # Errors
    /// Tensors that are missing or do not fit, by name.
    pub fn parse(bytes: &[u8], heads: &[HeadKind], rows: usize, told: Option<Quantity>) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| anyhow!("not a safetensors file: {e}"))?;
        let mut outputs = Vec::new();
        for (head, quantity, names) in NAMES {
            let find = |base: &&str| find(&file, base);
            if let (true, Some((view, name))) = (heads.contains(&head), names.iter().find_map(find)) {
                let values = column(&name, &view, rows, 1)?.swap_remove(0);
                outputs.push(Output { name, head, quantity, values, rounding: rounding(&view) });
            }
        }
        let mut note = None;
        if outputs.is_empty() {
            (outputs, note) = unnamed(&file, heads, rows, told)?;
        }
        for head in heads {
            ensure!(
                outputs.iter().any(|o| o.head == *head),
                "no outputs of the {} head: expected one of {}",
                head.name(),
                names_of(*head)
            );
        }
        for output in outputs.iter().filter(|o| o.quantity != Quantity::Logit) {
            let bad = output.values.iter().position(|p| *p < 0.0 || *p > 1.0);
            if let Some(row) = bad {
                bail!("tensor `{}` holds {} in row {row}: expected probabilities", output.name, output.values[row]);
            }
        }
        Ok(Self { outputs, note })
    }
}

impl Expected {
    /// The logits of all heads among a file of inputs, by their names; `None` when they are not there, or belong to other
    /// rows. `features` are names of inputs, which are no outputs.
    #[must_use]
    pub fn beside(bytes: &[u8], heads: &[HeadKind], rows: usize, features: &[&str]) -> Option<Self> {
        let file = SafeTensors::deserialize(bytes).ok()?;
        let logits = |head: &HeadKind| {
            let names = NAMES.iter().filter(|(of, quantity, _)| of == head && *quantity == Quantity::Logit);
            let mut found = names.flat_map(|(.., names)| names.iter()).filter_map(|base| find(&file, base));
            let (view, name) = found.find(|(_, name)| !features.contains(&name.as_str()))?;
            let values = column(&name, &view, rows, 1).ok()?.swap_remove(0);
            Some(Output { name, head: *head, quantity: Quantity::Logit, values, rounding: rounding(&view) })
        };
        let outputs: Option<Vec<Output>> = heads.iter().map(logits).collect();
        Some(Self { outputs: outputs?, note: None })
    }
}

/// The tensor of this name, or with a suffix of its type.
fn find<'a>(file: &SafeTensors<'a>, base: &str) -> Option<(TensorView<'a>, String)> {
    ["", "_f64", "_f32"].iter().find_map(|end| {
        let name = format!("{base}{end}");
        Some((file.tensor(&name).ok()?, name))
    })
}

/// The only tensor with a value for each row and head, whatever its name.
fn unnamed(
    file: &SafeTensors<'_>,
    heads: &[HeadKind],
    rows: usize,
    told: Option<Quantity>,
) -> Result<(Vec<Output>, Option<String>)> {
    let fits = |view: &TensorView<'_>| {
        let float = matches!(view.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16);
        float && (view.shape() == [rows] && heads.len() == 1 || view.shape() == [rows, heads.len()])
    };
    let all = file.tensors();
    let mut fitting = all.iter().filter(|(_, view)| fits(view));
    let (Some((name, view)), None) = (fitting.next(), fitting.next()) else {
        let list: Vec<String> = all.iter().map(|(name, view)| format!("{name} {:?}", view.shape())).collect();
        let wanted: Vec<String> = heads.iter().map(|head| names_of(*head)).collect();
        bail!(
            "expected the outputs of {rows} rows: {}, or a single float tensor [{rows}] or [{rows}, {}] of another name; \
             found {}",
            wanted.join(" and "),
            heads.len(),
            list.join(", ")
        );
    };
    let columns = column(name, view, rows, heads.len())?;
    let inside = columns.iter().flatten().all(|v| v.is_nan() || (0.0..=1.0).contains(v));
    let (quantity, why) = match told {
        Some(told) => (told, ""),
        None if inside => (Quantity::Probability, ", since all of its values lie between 0 and 1"),
        None => (Quantity::Logit, ", since values lie outside of 0 to 1"),
    };
    let what = if quantity == Quantity::Logit { "logits" } else { "probabilities" };
    let outputs = heads.iter().zip(columns).map(|(&head, values)| Output {
        name: name.clone(),
        head,
        quantity,
        values,
        rounding: rounding(view),
    });
    Ok((outputs.collect(), Some(format!("`{name}` was taken for {what}{why}"))))
}

/// The columns of `[rows]` or `[rows, columns]`.
fn column(name: &str, view: &TensorView<'_>, rows: usize, columns: usize) -> Result<Vec<Vec<f64>>> {
    let shape = view.shape();
    let found = shape.first().copied().unwrap_or(0);
    ensure!(
        found == rows,
        "tensor `{name}` has {found} rows, but the inputs have {rows}: both must come from the same rows in the same order"
    );
    ensure!(
        shape == [rows] && columns == 1 || shape == [rows, columns],
        "tensor `{name}`: expected shape [{rows}] or [{rows}, {columns}], found {shape:?}"
    );
    let values = floats(view).with_context(|| format!("tensor `{name}`"))?;
    Ok((0..columns).map(|c| values.iter().skip(c).step_by(columns).copied().collect()).collect())
}

fn names_of(head: HeadKind) -> String {
    let names = NAMES.iter().filter(|(h, ..)| *h == head).map(|(_, _, names)| format!("`{}`", names[0]));
    names.collect::<Vec<_>>().join(", ")
}

fn rounding(view: &TensorView<'_>) -> f64 {
    match view.dtype() {
        Dtype::F16 => 2.0_f64.powi(-12),
        Dtype::BF16 => 2.0_f64.powi(-9),
        Dtype::F32 => 2.0_f64.powi(-24),
        _ => 2.0_f64.powi(-53),
    }
}
