//! What each layer was recognised as, and how that is known.

use serde_json::{Value, json};

/// Why `eps` is assumed where its value matters.
pub(super) const EPS_SHOWS: &str = "torch's default; it matters, as some variances are small";

/// How something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// The schema says it.
    Schema,
    /// The names or numbers of tensors say it.
    Names,
    /// The shapes of tensors say it.
    Shapes,
    /// Nothing says it.
    Assumed,
}

impl KnownBy {
    /// As summaries write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Names => "names",
            Self::Shapes => "shapes",
            Self::Assumed => "assumed",
        }
    }
}

/// One fact about a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What was assumed: `activation`, `BatchNorm`, `eps`, …
    pub what: &'static str,
    /// What it is.
    pub is: String,
    /// How that is known.
    pub from: KnownBy,
    /// Why, when there is something to say.
    pub why: &'static str,
}

impl Fact {
    pub(super) fn new(what: &'static str, is: impl Into<String>, from: KnownBy, why: &'static str) -> Self {
        Self { what, is: is.into(), from, why }
    }
}

/// What one layer was recognised as.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenLayer {
    /// `cross 0`, `deep 1`, `pCTR output`, …
    pub part: String,
    /// The tensors that it is made of.
    pub tensors: String,
    /// `[outputs, inputs]`; `[]` where there is no single matrix.
    pub shape: Vec<usize>,
    /// All of it.
    pub facts: Vec<Fact>,
}

impl TakenLayer {
    /// One line.
    #[must_use]
    pub fn text(&self) -> String {
        let facts: Vec<String> = self
            .facts
            .iter()
            .map(|fact| {
                let why = if fact.why.is_empty() { String::new() } else { format!(": {}", fact.why) };
                format!("{} {} ({}{why})", fact.what, fact.is, fact.from.name())
            })
            .collect();
        let shape = if self.shape.is_empty() { String::new() } else { format!(" {:?}", self.shape) };
        let facts = if facts.is_empty() { String::new() } else { format!(": {}", facts.join(", ")) };
        format!("{}: {}{shape}{facts}", self.part, self.tensors)
    }

    /// The same for `--json`.
    #[must_use]
    pub fn json(&self) -> Value {
        let fact = |f: &Fact| json!({ "what": f.what, "is": f.is, "from": f.from.name(), "why": f.why });
        json!({
            "part": self.part,
            "tensors": self.tensors,
            "shape": self.shape,
            "taken": self.facts.iter().map(fact).collect::<Vec<_>>(),
        })
    }
}

impl Fact {
    /// Whether it was assumed and the outputs depend on it.
    fn is_open(&self) -> bool {
        let small = self.what == "eps" && self.why != EPS_SHOWS || self.what == "diag_scale";
        self.from == KnownBy::Assumed && !small
    }
}

/// What was assumed and matters most: what else a state dict leaves open (the diagonal of cross matrices, an eps far below all
/// variances) is hardly ever otherwise.
#[must_use]
pub fn open(layers: &[TakenLayer]) -> Vec<String> {
    texts(layers, Fact::is_open)
}

/// What was assumed, each thing once: `activation relu (4 layers)`.
#[must_use]
pub fn assumed(layers: &[TakenLayer]) -> Vec<String> {
    texts(layers, |fact| fact.from == KnownBy::Assumed)
}

fn texts(layers: &[TakenLayer], which: impl Fn(&Fact) -> bool) -> Vec<String> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for fact in layers.iter().flat_map(|l| &l.facts).filter(|fact| which(fact)) {
        let text = format!("{} {}", fact.what, fact.is);
        match found.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => found.push((text, 1)),
        }
    }
    let counted = |(text, count)| if count == 1 { text } else { format!("{text} ({count} layers)") };
    found.into_iter().map(counted).collect()
}
