//! A torch `Sequential` (or `ModuleList`) of Linear, activation, BatchNorm and Dropout, as dense layers with BatchNorm
//! folded away.

use adclick::builder::artifact::model::spec::{Activation, DenseSpec};
use adclick_data::schema_file::{ModelOptions, NormOrder};
use adclick_data::setting::{refuse, require};
use anyhow::{Result, bail, ensure};

use super::affine::{Affine, AffineLayer};
use super::kinds;
use super::taken::{EPS_SHOWS, Fact, KnownBy, TakenLayer as Taken};
use super::tensors::NamedTensors;

/// torch's default.
const EPS: f64 = 1e-5;
/// deepctr-torch's lists: the Linears, and the BatchNorm of each, which stands before its activation.
const LINEARS: &str = "dnn.linears";
const NORMS: &str = "dnn.bn";

/// One `Sequential`, folded.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// First to last.
    pub(super) layers: Vec<AffineLayer>,
    /// A BatchNorm after the last activation: to be folded into whatever reads the stack.
    pub(super) after: Option<Affine>,
    /// What each was taken to be.
    pub(super) taken: Vec<Taken>,
}

impl Stack {
    /// Removes the last layer if it has one output: then it is the stack's output layer.
    pub(super) fn split_output(&mut self) -> Option<(AffineLayer, Taken)> {
        if self.layers.last()?.spec.weight.rows != 1 || self.after.is_some() {
            return None;
        }
        let mut taken = self.taken.pop()?;
        taken.facts.retain(|fact| fact.what != "activation");
        let mut last = self.layers.pop()?;
        last.spec.activation = Activation::None;
        Some((last, taken))
    }

    /// The columns that come out of it.
    pub(super) fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |l| l.spec.weight.rows)
    }
}

/// What guides the reading besides the weights.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) options: &'a ModelOptions,
    /// Whether the result will be compared with outputs. If so, missing details are assumed instead of asked for.
    pub(super) proven: bool,
    /// Whether the stack's last layer with one output is the model's output, which has no activation.
    pub(super) ends_in_output: bool,
}

/// A Linear and the BatchNorms behind it.
struct Block {
    module: String,
    norms: Vec<Norm>,
    /// The modules without tensors between it and the next Linear; `None` behind the last one, and in lists that hold
    /// Linears alone.
    free: Option<usize>,
}

struct Norm {
    module: String,
    /// Its place according to its name.
    place: Option<NormOrder>,
}

/// Whether the weights hold a stack of that name.
pub(super) fn is_there(weights: &NamedTensors<'_>, prefix: &str) -> bool {
    !weights.numbers(&format!("{prefix}.")).is_empty() || prefix == "dnn" && weights.has_any(LINEARS)
}

/// Reads the modules `prefix.0`, `prefix.1`, …
///
/// A BatchNorm right behind its Linear (`i + 1`) stands before the activation and is folded into that Linear; one
/// further behind stands after the activation and is folded into the next Linear.
pub(super) fn read(weights: &NamedTensors<'_>, prefix: &str, part: &str, rules: Rules<'_>) -> Result<Stack> {
    let list = weights.has_any(&format!("{LINEARS}.")) && prefix == "dnn";
    let (first, blocks) = if list { listed(weights) } else { sequential(weights, prefix)? };
    let mut stack = Stack::default();
    for norm in &first {
        let affine = batch_norm(weights, &norm.module, None, rules.options)?;
        push_after(&mut stack, &norm.module, affine, part);
    }
    let count = blocks.len();
    for (k, block) in blocks.iter().enumerate() {
        let role = format!("{}.weight", block.module);
        let inputs = stack.layers.last().map(|l| l.spec.weight.rows).or(stack.after.as_ref().map(|a| a.scale.len()));
        let weight = weights.matrix(&role, None, inputs)?;
        let bias = weights.vector_or_zeros(&format!("{}.bias", block.module), weight.rows)?;
        ensure!(weight.rows > 0 && weight.cols > 0, "tensor `{}` is empty", weights.name(&role));
        let name = weights.name(&role).to_owned();
        let is_output = k + 1 == count && rules.ends_in_output && weight.rows == 1;
        let (activation, fact) = activation(block, k, is_output, list, rules, &name)?;
        let guessed = fact.from == KnownBy::Assumed && !rules.proven;
        let mut taken = Taken {
            part: format!("{part} {k}"),
            tensors: name.clone(),
            shape: vec![weight.rows, weight.cols],
            facts: vec![fact],
        };
        let mut layer =
            AffineLayer { spec: DenseSpec { weight, bias, activation }, origin: name.clone(), centres: Vec::new() };
        if let Some(affine) = stack.after.take() {
            affine.fold_into(&mut layer);
            layer.origin += " with the BatchNorm before it";
        }
        let mut after = Vec::new();
        for norm in &block.norms {
            let affine = batch_norm(weights, &norm.module, Some(layer.spec.weight.rows), rules.options)?;
            let (order, from, why) = place(block, norm, rules, &name)?;
            let (eps, known) =
                rules.options.batchnorm_eps.map_or((EPS, KnownBy::Assumed), |eps| (eps, KnownBy::Schema));
            let is =
                if order == NormOrder::BeforeActivation { "before the activation" } else { "after the activation" };
            taken.facts.push(Fact::new("BatchNorm", is, from, why));
            let why = match known {
                KnownBy::Assumed if eps_shows(weights, &norm.module)? => EPS_SHOWS,
                KnownBy::Assumed => "torch's default",
                _ => "",
            };
            taken.facts.push(Fact::new("eps", format!("{eps:e}"), known, why));
            if order == NormOrder::BeforeActivation {
                ensure!(
                    after.is_empty(),
                    "`{}`: a BatchNorm before the activation behind one after it",
                    weights.name(&norm.module)
                );
                affine.fold_behind(&mut layer.spec);
                layer.origin += " with the BatchNorm behind it";
            } else {
                if guessed && after.is_empty() {
                    not_negative(weights, &norm.module, &name)?;
                }
                after.push((norm.module.as_str(), affine));
            }
        }
        stack.layers.push(layer);
        stack.taken.push(taken);
        for (module, affine) in after {
            push_after(&mut stack, module, affine, part);
        }
    }
    Ok(stack)
}

/// Puts a BatchNorm after all layers so far.
fn push_after(stack: &mut Stack, module: &str, affine: Affine, part: &str) {
    let affine = match stack.after.take() {
        Some(earlier) => earlier.then(&affine),
        None => affine,
    };
    match affine.centred() {
        Some((spec, rest)) => {
            let fact =
                "its own layer, which subtracts means that lie far from 0, so that sums in f32 keep their precision";
            stack.taken.push(Taken {
                part: format!("{part} BatchNorm"),
                tensors: module.to_owned(),
                shape: vec![spec.weight.rows, spec.weight.cols],
                facts: vec![Fact::new("BatchNorm", fact, KnownBy::Names, "")],
            });
            let origin = format!("the means of {module}");
            stack.layers.push(AffineLayer { spec, origin, centres: Vec::new() });
            stack.after = Some(rest);
        }
        None => stack.after = Some(affine),
    }
}

/// The blocks of a `Sequential`, and the BatchNorms before the first Linear.
fn sequential(weights: &NamedTensors<'_>, prefix: &str) -> Result<(Vec<Norm>, Vec<Block>)> {
    let mut first = Vec::new();
    let mut blocks: Vec<Block> = Vec::new();
    let mut last = 0;
    let mut width = None;
    for i in weights.numbers(&format!("{prefix}.")) {
        let module = format!("{prefix}.{i}");
        let role = format!("{module}.weight");
        if weights.shape(&role).is_some_and(|s| s.len() == 2) {
            if let Some(block) = blocks.last_mut() {
                block.free = Some(i - last - 1 - block.norms.len());
            }
            width = weights.shape(&role).map(|s| s[0]);
            blocks.push(Block { module, norms: Vec::new(), free: None });
            last = i;
        } else if weights.has(&format!("{module}.running_var")) {
            let place = if i == last + 1 { NormOrder::BeforeActivation } else { NormOrder::AfterActivation };
            match blocks.last_mut() {
                Some(block) => block.norms.push(Norm { module, place: Some(place) }),
                None => first.push(Norm { module, place: None }),
            }
        } else if let Some(shape) = weights.shape(&role) {
            bail!(
                "tensor `{}` {shape:?} is {}: the format has Linear layers, ReLU, tanh and BatchNorm (with a running_mean \
                 and running_var), and cannot express it",
                weights.name(&role),
                kinds::of_module(shape, weights.has(&format!("{module}.bias")), width)
            );
        } else {
            bail!("the module `{module}` has no tensor `{role}`");
        }
    }
    Ok((first, blocks))
}

/// The blocks of deepctr-torch's lists.
fn listed(weights: &NamedTensors<'_>) -> (Vec<Norm>, Vec<Block>) {
    let block = |i: usize| {
        let norm = format!("{NORMS}.{i}");
        let norms = if weights.has(&format!("{norm}.running_var")) {
            vec![Norm { module: norm, place: Some(NormOrder::BeforeActivation) }]
        } else {
            Vec::new()
        };
        Block { module: format!("{LINEARS}.{i}"), norms, free: None }
    };
    (Vec::new(), weights.numbers(&format!("{LINEARS}.")).into_iter().map(block).collect())
}

/// What follows a Linear, and how that is known.
fn activation(
    block: &Block,
    k: usize,
    is_output: bool,
    list: bool,
    rules: Rules<'_>,
    name: &str,
) -> Result<(Activation, Fact)> {
    let given = &rules.options.activation;
    if is_output {
        return Ok((Activation::None, Fact::new("activation", "none", KnownBy::Names, "the output")));
    }
    if let Some(&told) = given.get(k).or(given.last()) {
        return Ok((told, Fact::new("activation", name_of(told), KnownBy::Schema, "")));
    }
    let unsaid = list || block.free == Some(0);
    require!(
        !unsaid || rules.proven,
        [Goldens, Expect],
        "nothing says what follows `{name}`: {}. Say it in the schema, under [model]: activation = \"relu\" (or \"tanh\", \
         \"none\", or a list with one for each deep layer){}; or give golden inputs with their expected outputs, which \
         prove what is assumed",
        if list {
            "deepctr-torch's layers leave nothing of their activation in a state dict"
        } else {
            "the next layer stands right behind it, as in a ModuleList whose activations are functions (F.relu), or in a \
             Sequential that has none"
        },
        if block.norms.is_empty() || list {
            ""
        } else {
            ", and batchnorm = \"before_activation\" or \"after_activation\""
        }
    );
    let why = match block.free {
        Some(1..) => "something without parameters follows",
        _ => "nothing says what follows",
    };
    Ok((Activation::Relu, Fact::new("activation", "relu", KnownBy::Assumed, why)))
}

/// The place of a BatchNorm, and how that is known.
fn place(block: &Block, norm: &Norm, rules: Rules<'_>, name: &str) -> Result<(NormOrder, KnownBy, &'static str)> {
    if let Some(order) = rules.options.batchnorm {
        return Ok((order, KnownBy::Schema, ""));
    }
    require!(
        block.free != Some(0) || rules.proven,
        [Goldens, Expect],
        "nothing says whether the BatchNorm `{}` behind `{name}` stands before or after the activation: no module lies \
         between them and the next layer. Say it in the schema, under [model]: batchnorm = \"before_activation\" or \
         \"after_activation\"; or give golden inputs with their expected outputs",
        norm.module
    );
    let order = norm.place.unwrap_or(NormOrder::AfterActivation);
    Ok(match (block.free, norm.module.starts_with(NORMS), order) {
        (_, true, _) => (order, KnownBy::Names, "as deepctr-torch has it"),
        (Some(0), ..) => (order, KnownBy::Assumed, ""),
        (None, _, NormOrder::BeforeActivation) => (order, KnownBy::Assumed, "right behind the last layer"),
        (_, _, NormOrder::BeforeActivation) => (order, KnownBy::Names, "right behind its layer"),
        _ => (order, KnownBy::Names, "not right behind its layer"),
    })
}

/// Whether another eps than the assumed one, up to Keras' 1e-3, would change a scale by more than 1 %.
fn eps_shows(weights: &NamedTensors<'_>, module: &str) -> Result<bool> {
    let role = format!("{module}.running_var");
    let variances = weights.vector(&role, weights.shape(&role).map_or(0, |shape| shape.iter().product()))?;
    Ok(variances.iter().any(|variance| *variance < 0.05))
}

/// Refuses a BatchNorm whose statistics contradict a ReLU before it.
fn not_negative(weights: &NamedTensors<'_>, module: &str, layer: &str) -> Result<()> {
    let role = format!("{module}.running_mean");
    let means = weights.vector(&role, weights.shape(&role).map_or(0, |shape| shape.iter().product()))?;
    if let Some((i, mean)) = means.iter().enumerate().find(|(_, mean)| **mean < 0.0) {
        refuse!(
            [Goldens, Expect],
            "`{}` holds the mean {mean} at [{i}], and no ReLU behind `{layer}` gives one below 0: another activation stands \
             there (GELU, SiLU and ELU have such means, and the format cannot express them), or none. Say it in \
             the schema, under [model]: activation = \"tanh\" or \"none\"; if the BatchNorm stands before the \
             activation, batchnorm = \"before_activation\"; or give golden \
             inputs with their expected outputs",
            weights.name(&role)
        );
    }
    Ok(())
}

/// As the schema writes it.
pub(super) fn name_of(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "none",
        Activation::Relu => "relu",
        Activation::Tanh => "tanh",
    }
}

fn batch_norm(weights: &NamedTensors<'_>, module: &str, len: Option<usize>, options: &ModelOptions) -> Result<Affine> {
    let eps = options.batchnorm_eps.unwrap_or(EPS);
    let variance_role = format!("{module}.running_var");
    let stored = weights.shape(&variance_role).map_or(0, |s| s.iter().product());
    let len = len.unwrap_or(stored);
    let variance = weights.vector(&variance_role, len)?;
    let mean = weights.vector(&format!("{module}.running_mean"), len)?;
    let gain_role = format!("{module}.weight");
    let gain = if weights.has(&gain_role) { weights.vector(&gain_role, len)? } else { vec![1.0; len] };
    let shift = weights.vector_or_zeros(&format!("{module}.bias"), len)?;
    if let Some(i) = variance.iter().position(|v| *v < 0.0) {
        bail!("tensor `{}` holds the negative variance {} at [{i}]", weights.name(&variance_role), variance[i]);
    }
    let deviation: Vec<f64> = variance.iter().map(|v| (v + eps).sqrt()).collect();
    Ok(Affine::norm(&gain, &shift, &mean, &deviation))
}
