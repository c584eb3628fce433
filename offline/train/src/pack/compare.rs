//! Proves a packed model: compares its outputs with those of the model that the weights are from.

use adclick::builder::Named;
use adclick::builder::schema::Schema;
use adclick_data::setting::refuse;
use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::Packed;
use super::difference::differences;
use super::evaluate::{self, Instead, ModelInputs};
use super::hints::{self, Question};

pub use super::difference::{Comparison, Difference};

/// How far a logit of the packed model may be from the expected one, as a share of its size, or of 1 when it is smaller:
/// what storing weights in fp16 may do.
pub const TOLERANCE: f64 = 2e-3;
/// The share of the tolerance that the network may use before its weights are rounded: the noise of sums in f32. An
/// error of structure cannot hide in it.
pub const STRUCTURE: f64 = 0.05;
/// The tolerance of outputs that stand beside the inputs and that nobody said to compare with: they may come from the same
/// model in another precision.
pub const BESIDE: f64 = 1e-2;
/// When fp16 moves a model too far, inputs that lie this many standard deviations from 0 are named.
const FAR: f64 = 16.0;
/// Rows at most.
pub const ROWS: usize = 100_000;
/// Input columns of all rows at most: 256 MB.
const VALUES: usize = 1 << 25;

/// The result of a successful comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// How many rows.
    pub rows: usize,
    /// Before rounding, in f64.
    pub exact: Vec<Difference>,
    /// As the bundle serves, in precision `exact`.
    pub served: Vec<Difference>,
    /// What was allowed of the latter.
    pub tolerance: f64,
    /// What an output was taken for.
    pub note: Option<String>,
    /// Alternatives that fit these rows equally well, where only the rows could rule them out.
    pub untold: Vec<String>,
}

impl Proof {
    /// One line.
    #[must_use]
    pub fn text(&self) -> String {
        let heads: Vec<String> = self
            .served
            .iter()
            .zip(&self.exact)
            .map(|(served, exact)| {
                format!(
                    "{} (`{}`): |Δlogit| at most {:.1e}, median {:.1e}, as served; {:.1e} and {:.1e} before weights are \
                     rounded to fp16",
                    served.head.name(),
                    served.tensor,
                    served.largest,
                    served.median,
                    exact.largest,
                    exact.median
                )
            })
            .collect();
        format!("compared with the outputs of {} rows: {}", self.rows, heads.join("; "))
    }

    /// The same for `--json` and the provenance.
    #[must_use]
    pub fn json(&self) -> Value {
        let one = |d: &Difference| json!({ "head": d.head.name(), "tensor": d.tensor, "largest": d.largest, "median": d.median });
        json!({
            "rows": self.rows,
            "tolerance": self.tolerance,
            "untold": self.untold,
            "served": self.served.iter().map(one).collect::<Vec<_>>(),
            "before_rounding": self.exact.iter().map(one).collect::<Vec<_>>(),
        })
    }
}

/// Compares all rows: the network in f64 before rounding, then what the bundle will serve.
///
/// # Errors
/// A difference beyond the tolerance: where it is, how large it is, and what would fit.
pub fn compare(packed: &Packed, what: &Comparison<'_>) -> Result<Proof> {
    let n = what.inputs.rows();
    ensure!(n > 0, "the inputs have no rows");
    ensure!(n <= ROWS, "the inputs have {n} rows; at most {ROWS} are compared: some thousand are plenty");
    let width = packed.spec.schema.layout().width;
    ensure!(
        n.saturating_mul(width) <= VALUES,
        "the inputs have {n} rows of {width} columns; at most {} such rows are compared: some hundred are plenty",
        VALUES / width
    );
    let good: Vec<usize> = (0..n).filter(|&row| what.inputs.is_finite(row)).collect();
    for output in &what.expected.outputs {
        let is_good = |row: &usize| good.binary_search(row).is_ok();
        if let Some(row) = (0..n).find(|row| output.values[*row].is_finite() != is_good(row)) {
            bail!(
                "row {row}: `{}` is {}, but the row's inputs are {}",
                output.name,
                output.values[row],
                if is_good(&row) { "all finite" } else { "not all finite: the packed model says NaN" }
            );
        }
    }
    ensure!(!good.is_empty(), "no row of the inputs is all finite numbers");
    let rows = evaluate::rows(&packed.spec, what.inputs, &good)?;
    let correction = what.options.downsampling.map_or(0.0, f64::ln);
    let exact: Vec<Vec<f64>> = (0..good.len()).map(|i| exact_logits(packed, &rows, i, correction)).collect();
    let structure = what.tolerance * what.structure;
    let question = Question { packed, rows: &rows, good: &good, correction, tolerance: structure };
    let exact_off = differences(&what.expected.outputs, &exact, &good, structure);
    if let Some(worst) = exact_off.iter().filter(|d| d.beyond > 0).max_by_key(|d| d.beyond) {
        let hint = hints::find(&question, what)?;
        bail!(
            "the outputs of the packed model are not those expected. {}{hint}",
            described(worst, good.len(), structure, "before any weight is rounded")
        );
    }
    let heads = packed.spec.network.heads.len();
    let found = evaluate::served(&packed.spec, what.inputs, &good)?;
    let served: Vec<Vec<f64>> = found
        .chunks(heads)
        .map(|logits| {
            let minus = |(h, l): (usize, &f32)| f64::from(*l) - if h == 0 { correction } else { 0.0 };
            logits.iter().enumerate().map(minus).collect()
        })
        .collect();
    let stored = differences(&what.expected.outputs, &served, &good, what.tolerance);
    if let Some(worst) = stored.iter().filter(|d| d.beyond > 0).max_by_key(|d| d.beyond) {
        refuse!(
            [Tolerance],
            "the packed model is the one that the outputs come from ({:.1e} at most before rounding), but its weights in \
             fp16 move it too far. {}{}. Allow a larger difference, or make weights and inputs smaller that are much \
             larger than the others",
            exact_off.iter().fold(0.0_f64, |most, d| most.max(d.largest)),
            described(worst, good.len(), what.tolerance, "as served"),
            far_inputs(&packed.spec.schema, &rows)
        );
    }
    let (note, untold) = (what.expected.note.clone(), hints::also_fit(&question, what));
    Ok(Proof { rows: n, exact: exact_off, served: stored, tolerance: what.tolerance, note, untold })
}

fn exact_logits(packed: &Packed, rows: &ModelInputs, row: usize, correction: f64) -> Vec<f64> {
    let mut logits = evaluate::logits(&packed.exact, Instead::default(), rows.row(row));
    logits.iter_mut().zip(rows.wide(row)).for_each(|(logit, wide)| *logit += wide);
    logits[0] -= correction;
    logits
}

fn described(d: &Difference, rows: usize, tolerance: f64, when: &str) -> String {
    let (row, expected, found) = d.worst;
    format!(
        "{} logit {when}: {} of {rows} rows differ by more than {tolerance:.0e} (times the logit, where that is above 1), at \
         most by {:.3e}, median {:.1e}; the worst is row {row}: expected {expected:.6} (`{}`), found {found:.6}",
        d.head.name(),
        d.beyond,
        d.largest,
        d.median,
        d.tensor
    )
}

/// The features whose columns lie far from 0, measured in their deviations: there the rounding of weights weighs most.
fn far_inputs(schema: &Schema, rows: &ModelInputs) -> String {
    let n = rows.x.len() / rows.width.max(1);
    let far = |column: usize| {
        let mean = (0..n).map(|row| rows.row(row)[column]).sum::<f64>() / n as f64;
        let variance = (0..n).map(|row| (rows.row(row)[column] - mean).powi(2)).sum::<f64>() / n as f64;
        (mean.abs() > FAR * variance.sqrt() && mean != 0.0).then(|| (mean, variance.sqrt()))
    };
    let layout = schema.layout();
    let features = schema.features.iter().zip(&layout.columns);
    let named =
        features.filter_map(|(feature, c)| Some((&feature.name, (c.declared..c.declared + c.width).find_map(far)?)));
    let list: Vec<String> =
        named.take(3).map(|(name, (mean, deviation))| format!("`{name}` lies at {mean:.3} ± {deviation:.3}")).collect();
    if list.is_empty() { String::new() } else { format!(". Of the inputs {}", list.join(", ")) }
}
