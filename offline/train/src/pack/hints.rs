//! Finds what would fit when a packed model does not: it tries alternatives to every assumption, including those that
//! the format cannot express.

use adclick::builder::artifact::model::spec::{Activation, NetworkSpec};
use adclick_data::schema_file::{ModelOptions, NormOrder, OutputOrder, SchemaFile};
use anyhow::Result;

use super::difference::{Comparison, differences};
use super::evaluate::{self, Instead, ModelInputs};
use super::expect::{Output, Quantity};
use super::taken::KnownBy;
use super::{Packed, model_as};

/// Rows that single and double changes are tried on.
const ROWS: [usize; 2] = [256, 32];

/// The packed model and the rows on which it differs.
pub(super) struct Question<'a> {
    pub(super) packed: &'a Packed,
    pub(super) rows: &'a ModelInputs,
    /// The numbers of the rows.
    pub(super) good: &'a [usize],
    /// The correction that is in the pCTR logit but not in the outputs.
    pub(super) correction: f64,
    pub(super) tolerance: f64,
}

/// One thing that may be otherwise.
#[derive(Clone)]
struct Change {
    text: String,
    /// Changes of one group exclude each other.
    group: u8,
    /// Whether the format can say it.
    can: bool,
    what: What,
}

/// Groups of changes. Changes in no group stand alone.
const ACTIVATION: u8 = 0;
const NORM: u8 = 1;
const EPS: u8 = 2;
const ORDER: u8 = 3;
const INTERACTIONS: u8 = 5;

#[derive(Clone)]
enum What {
    Options(fn(&mut ModelOptions)),
    Eps(f64),
    NothingBehindLast,
    Activation(Activate),
    Transposed,
    Fm,
    NoWide,
    NoOutputBias,
    OtherQuantity,
}

/// A sentence that names what would fit. It begins with a space and is empty when nothing fits.
pub(super) fn find(question: &Question<'_>, comparison: &Comparison<'_>) -> Result<String> {
    if let Some(by) = constant(question, comparison) {
        return Ok(format!(
            ". All rows differ by the same {by:.6}: an output bias that is counted twice or not at all, or a correction for \
             downsampling in the outputs"
        ));
    }
    let changes = changes(question, comparison);
    let mut tried = Cache::default();
    for change in &changes {
        if fits(question, comparison, &[change], ROWS[0], &mut tried) {
            return Ok(sentence(&[change]));
        }
    }
    for (i, a) in changes.iter().enumerate() {
        for b in changes[i + 1..].iter().filter(|b| b.group != a.group) {
            if fits(question, comparison, &[a, b], ROWS[1], &mut tried)
                && fits(question, comparison, &[a, b], ROWS[0], &mut tried)
            {
                return Ok(sentence(&[a, b]));
            }
        }
    }
    Ok(". Nothing else that was tried fits (other activations, BatchNorm's place and eps, the order of the output layer, \
        transposed matrices, a factorisation machine's term, no wide part)"
        .into())
}

/// What fits the rows too, of what was assumed and nothing but they could tell: rows that reach one side of a ReLU alone, or
/// embeddings that are all 0.
pub(super) fn also_fit(question: &Question<'_>, comparison: &Comparison<'_>) -> Vec<String> {
    let facts = || question.packed.taken.iter().flat_map(|layer| &layer.facts);
    let assumed = |what: &str| facts().any(|fact| fact.what == what && fact.from == KnownBy::Assumed);
    let told = comparison.schema.is_some_and(|s| s.model.no_interactions) || !question.packed.exact.cross.is_empty();
    let open = |change: &&Change| match change.group {
        ACTIVATION => assumed("activation"),
        NORM => assumed("BatchNorm"),
        ORDER => assumed("order"),
        INTERACTIONS => !told,
        _ => false,
    };
    let mut cache = Cache::default();
    let mut found = Vec::new();
    // Where no unit exceeds 6, a ReLU6 equals a ReLU, so a fit says nothing.
    for change in changes(question, comparison).iter().filter(open).filter(|change| !change.text.ends_with("ReLU6")) {
        if fits(question, comparison, &[change], ROWS[0], &mut cache) && !cache.is_same(question.packed) {
            found.push(change.text.clone());
        }
    }
    found
}

fn sentence(changes: &[&Change]) -> String {
    let texts: Vec<&str> = changes.iter().map(|c| c.text.as_str()).collect();
    let cannot = if changes.iter().all(|c| c.can) { "" } else { ", which the format cannot express" };
    format!(". It fits {}{cannot}", texts.join(" and "))
}

fn changes(question: &Question<'_>, comparison: &Comparison<'_>) -> Vec<Change> {
    let mut all = Vec::new();
    let mut add = |group, can, text: &str, what| all.push(Change { text: text.to_owned(), group, can, what });
    let spec = &question.packed.spec;
    let has_norm = question.packed.taken.iter().any(|l| l.facts.iter().any(|f| f.what == "BatchNorm"));
    add(
        ACTIVATION,
        true,
        "taken without activations (activation = \"none\")",
        What::Options(|o| o.activation = vec![Activation::None]),
    );
    add(
        ACTIVATION,
        true,
        "taken with ReLU (activation = \"relu\")",
        What::Options(|o| o.activation = vec![Activation::Relu]),
    );
    add(
        ACTIVATION,
        true,
        "taken with tanh (activation = \"tanh\")",
        What::Options(|o| o.activation = vec![Activation::Tanh]),
    );
    if question.packed.exact.deep.len() > 1 {
        add(
            ACTIVATION,
            true,
            "taken with ReLU between the deep layers and nothing behind the last (a list for `activation` that ends in \
             \"none\")",
            What::NothingBehindLast,
        );
    }
    for (text, activation) in ACTIVATIONS {
        add(ACTIVATION, false, &format!("with the activation {text}"), What::Activation(activation));
    }
    if has_norm {
        let text = "taken with the BatchNorms before the activations (batchnorm = \"before_activation\")";
        add(NORM, true, text, What::Options(|o| o.batchnorm = Some(NormOrder::BeforeActivation)));
        let text = "taken with the BatchNorms after the activations (batchnorm = \"after_activation\")";
        add(NORM, true, text, What::Options(|o| o.batchnorm = Some(NormOrder::AfterActivation)));
        for eps in [1e-3, 1e-2, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12] {
            add(EPS, true, &format!("with batchnorm_eps = {eps:e}"), What::Eps(eps));
        }
    }
    let (cross, deep) = (!spec.network.cross.is_empty(), !spec.network.deep.is_empty());
    if cross && deep {
        let text = "taken with the deep columns before the cross columns (output_order = \"deep_cross\")";
        add(ORDER, true, text, What::Options(|o| o.output_order = Some(OutputOrder::DeepCross)));
        let text = "taken with the cross columns before the deep columns (output_order = \"cross_deep\")";
        add(ORDER, true, text, What::Options(|o| o.output_order = Some(OutputOrder::CrossDeep)));
    }
    add(4, true, "with square matrices transposed (transpose = true in [tensors])", What::Transposed);
    if evaluate::fm(&spec.schema, question.rows.row(0)).is_some() {
        add(INTERACTIONS, false, "with a factorisation machine's term over the embeddings (a DeepFM)", What::Fm);
    }
    if spec.schema.embeddings.iter().any(|e| e.wide) {
        add(6, true, "without the wide part (without `wide` in the schema)", What::NoWide);
    }
    add(7, true, "without the output bias", What::NoOutputBias);
    if let Some(output) = comparison.expected.outputs.first() {
        let text = match output.quantity {
            Quantity::Logit => "when the outputs are taken for probabilities",
            _ => "when the outputs are taken for logits",
        };
        add(8, true, text, What::OtherQuantity);
    }
    all
}

type Activate = fn(f64) -> f64;

/// Activations that the format does not have.
const ACTIVATIONS: [(&str, Activate); 11] = [
    ("GELU", |x| 0.5 * x * (1.0 + libm::erf(x / std::f64::consts::SQRT_2))),
    ("GELU (by tanh)", |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh())),
    ("SiLU (swish)", |x| x / (1.0 + (-x).exp())),
    ("sigmoid", |x| 1.0 / (1.0 + (-x).exp())),
    ("ELU", |x| if x > 0.0 { x } else { x.exp_m1() }),
    ("LeakyReLU (0.01)", |x| if x > 0.0 { x } else { 0.01 * x }),
    ("LeakyReLU (0.2)", |x| if x > 0.0 { x } else { 0.2 * x }),
    ("SELU", |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() }),
    ("softplus", |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
    ("ReLU6", |x| x.clamp(0.0, 6.0)),
    ("Hardswish", |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
];

/// Networks under other options, which several changes share.
#[derive(Default)]
struct Cache {
    networks: Vec<(ModelOptions, Option<NetworkSpec>)>,
    /// The network that was asked for last, and whether anything besides its options was changed.
    last: usize,
    instead: bool,
}

impl Cache {
    fn network(&mut self, options: ModelOptions, comparison: &Comparison<'_>) -> Option<&NetworkSpec> {
        let at = self.networks.iter().position(|(known, _)| *known == options).unwrap_or_else(|| {
            let packed = model_as(comparison.weights, comparison.schema, &options, comparison.options);
            self.networks.push((options, packed.ok().map(|p| p.exact)));
            self.networks.len() - 1
        });
        self.last = at;
        self.networks[at].1.as_ref()
    }

    /// Whether the network that was asked for last is the packed one with nothing but its options changed.
    fn is_same(&self, packed: &Packed) -> bool {
        !self.instead && self.networks.get(self.last).is_some_and(|(_, n)| n.as_ref() == Some(&packed.exact))
    }
}

/// Whether the model with these changes gives the expected outputs.
fn fits(
    question: &Question<'_>,
    comparison: &Comparison<'_>,
    changes: &[&Change],
    most: usize,
    cache: &mut Cache,
) -> bool {
    let mut options = comparison.schema.map_or_else(|| SchemaFile::dense(1).model, |s| s.model.clone());
    let mut instead = Instead::default();
    let (mut fm, mut wide, mut bias, mut quantity) = (false, true, true, false);
    for change in changes {
        match change.what {
            What::Options(set) => set(&mut options),
            What::Eps(eps) => options.batchnorm_eps = Some(eps),
            What::NothingBehindLast => {
                let taken = question.packed.taken.iter();
                let layers = taken.filter(|l| l.part.starts_with("deep ") && l.part != "deep BatchNorm").count();
                options.activation = vec![Activation::Relu; layers.saturating_sub(1)];
                options.activation.push(Activation::None);
            }
            What::Activation(activation) => {
                options.activation = vec![Activation::Relu];
                instead.activation = Some(activation);
            }
            What::Transposed => instead.transposed = true,
            What::Fm => fm = true,
            What::NoWide => wide = false,
            What::NoOutputBias => bias = false,
            What::OtherQuantity => quantity = true,
        }
    }
    cache.instead = fm || instead.activation.is_some();
    let Some(network) = cache.network(options, comparison) else { return false };
    let n = question.good.len().min(most);
    let logits: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let x = question.rows.row(i);
            let mut logits = evaluate::logits(network, instead, x);
            for (h, logit) in logits.iter_mut().enumerate() {
                *logit += if wide { question.rows.wide(i)[h] } else { 0.0 };
                *logit += if fm { evaluate::fm(&question.packed.spec.schema, x).unwrap_or(0.0) } else { 0.0 };
                *logit -= if bias { 0.0 } else { network.heads[h].bias };
            }
            logits[0] -= question.correction;
            logits
        })
        .collect();
    let outputs: Vec<Output> = comparison.expected.outputs.iter().map(|o| turned(o, quantity)).collect();
    differences(&outputs, &logits, &question.good[..n], question.tolerance).iter().all(|d| d.beyond == 0)
}

/// The output taken as the other quantity.
fn turned(output: &Output, turn: bool) -> Output {
    let mut output = output.clone();
    if turn {
        output.quantity = if output.quantity == Quantity::Logit { Quantity::Probability } else { Quantity::Logit };
    }
    output
}

/// The difference, when it is the same in all rows of one head's logits and not 0.
fn constant(question: &Question<'_>, comparison: &Comparison<'_>) -> Option<f64> {
    let [output] = &comparison.expected.outputs[..] else { return None };
    if output.quantity != Quantity::Logit || question.good.len() < 2 {
        return None;
    }
    let off = |i: usize| {
        let logits = evaluate::logits(&question.packed.exact, Instead::default(), question.rows.row(i));
        output.values[question.good[i]] - (logits[0] + question.rows.wide(i)[0] - question.correction)
    };
    let first = off(0);
    (1..question.good.len()).all(|i| (off(i) - first).abs() <= question.tolerance).then_some(first)
}
