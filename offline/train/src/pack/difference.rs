//! How far a packed model's logits are from expected outputs.

use adclick::builder::artifact::model::spec::HeadKind;
use adclick::builder::infer::reference::sigmoid;
use adclick_data::schema_file::SchemaFile;

use super::PackOptions;
use super::expect::{Expected, Output, Quantity};
use super::inputs::InputRows;

/// What is compared with what.
pub struct Comparison<'a> {
    /// The weights file.
    pub weights: &'a [u8],
    /// The schema, if there is one.
    pub schema: Option<&'a SchemaFile>,
    /// As the model was packed.
    pub options: &'a PackOptions,
    /// The rows.
    pub inputs: &'a InputRows,
    /// The outputs of the model that the weights came from.
    pub expected: &'a Expected,
    /// [`super::compare::TOLERANCE`], or what the user allows.
    pub tolerance: f64,
    /// The share of that which is left to the network before its weights are rounded.
    pub structure: f64,
}

/// How the packed model and the expected outputs differ in one head.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Which.
    pub head: HeadKind,
    /// The tensor of expected outputs.
    pub tensor: String,
    /// The largest |Δlogit|.
    pub largest: f64,
    /// The median |Δlogit|.
    pub median: f64,
    /// Rows that differ by more than is allowed.
    pub beyond: usize,
    /// The row that differs most (measured by what is allowed there): its number, what was expected and what was found.
    pub worst: (usize, f64, f64),
}

/// The difference between the logits and each output. `logits` belong to the rows `good`.
pub(super) fn differences(outputs: &[Output], logits: &[Vec<f64>], good: &[usize], tolerance: f64) -> Vec<Difference> {
    let one = |output: &Output| {
        let mut offs = Vec::with_capacity(good.len());
        let (mut beyond, mut worst, mut worst_share) = (0, (good[0], 0.0, 0.0), -1.0);
        for (&row, logits) in good.iter().zip(logits) {
            let found = found(output, logits);
            let Gap { off, allowed, expected } = gap(output, output.values[row], found, tolerance);
            let share = off / allowed;
            beyond += usize::from(share.is_nan() || share > 1.0);
            if share.is_nan() || share > worst_share {
                (worst, worst_share) = ((row, expected, found), share);
            }
            offs.push(off);
        }
        offs.sort_by(f64::total_cmp);
        Difference {
            head: output.head,
            tensor: output.name.clone(),
            largest: offs.last().copied().unwrap_or(0.0),
            median: offs[offs.len() / 2],
            beyond,
            worst,
        }
    };
    outputs.iter().map(one).collect()
}

/// The logit that stands beside an output.
fn found(output: &Output, logits: &[f64]) -> f64 {
    let cvr = logits.last().copied().unwrap_or(0.0);
    match (output.head, output.quantity) {
        (HeadKind::Ctr, _) => logits[0],
        (HeadKind::Cvr, Quantity::Product) => logit(sigmoid(logits[0]) * sigmoid(cvr)),
        (HeadKind::Cvr, _) => cvr,
    }
}

struct Gap {
    off: f64,
    allowed: f64,
    expected: f64,
}

/// The distance of a logit from an output, and the allowed distance: the tolerance plus the output's own rounding.
fn gap(output: &Output, value: f64, found: f64, tolerance: f64) -> Gap {
    let r = output.rounding;
    if output.quantity == Quantity::Logit {
        let allowed = tolerance * value.abs().max(1.0) + r * value.abs();
        return Gap { off: (found - value).abs(), allowed, expected: value };
    }
    let expected = logit(value);
    if !expected.is_finite() {
        // The output was rounded to 0 or 1: the packed model's probability can only be required to be close to it.
        let off = (sigmoid(found) - value).abs();
        return Gap { off, allowed: 8.0 * r + 1e-9, expected };
    }
    // A sigmoid in that type is right to a few units in the last place of p, or of 1 - p where 1 - p was rounded.
    let allowed = tolerance * expected.abs().max(1.0) + 4.0 * r / (1.0 - value);
    Gap { off: (found - expected).abs(), allowed, expected }
}

fn logit(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}
