//! Checks a request against a model, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Default, InputReading, ModelInput, ValueKind, inputs, side_name};
use crate::artifact::model::Model;
use crate::model::ScoringModel;
use crate::request::Input;
use crate::schema::{KeyPart, Kind, Side};
use crate::types::Value;

/// Problems that a request may have. Errors come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// A value with a handle that no name has, or whose name the model does not read.
    Unknown,
    /// Passed with the request and read with candidates, or the other way round.
    WrongSide,
    /// An id where a number is read, or a number where an id is read. Reported only for an input none of whose values
    /// has the right form, as a single value may be a legitimate 0.
    WrongKind,
    /// A position that the vector does not have.
    OutOfRange,
    /// NaN or infinite: scoring would refuse the request.
    NotFinite,
    /// Passed, but never read from passed values: a time, or a fixed position.
    NeverRead,
    /// An id that the model's vocabulary does not have.
    UnknownId,
    /// Several values where one is read; the last one counts.
    Repeated,
    /// Neither passed nor in a table. For a vector also when some of its positions are not passed.
    Missing,
    /// A table's key needs an id that is 0.
    NoKey,
}

impl ProblemKind {
    /// Whether the request certainly differs from what its author means. The other problems may be intended.
    #[must_use]
    pub fn is_error(self) -> bool {
        self <= Self::NotFinite
    }
}

/// One kind of problem with one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The problem.
    pub kind: ProblemKind,
    /// The input's name; for an id that is 0 the table's; empty for a handle without a name.
    pub name: String,
    /// The number of values; for a missing input, the number of requests (1) or candidates that lack it.
    pub count: usize,
    /// What is expected and found, and where.
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.kind.is_error() { "error" } else { "note" };
        write!(f, "{severity}: {}", self.text)
    }
}

/// The problems of a request for the live model. As text, one line for each problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The generation that the request was checked against.
    pub generation: u64,
    /// The problems, errors first.
    pub problems: Vec<Problem>,
}

impl Check {
    /// The number of values (of requests and candidates, for missing inputs) with a problem of this kind.
    #[must_use]
    pub fn count(&self, kind: ProblemKind) -> usize {
        self.problems.iter().filter(|problem| problem.kind == kind).map(|problem| problem.count).sum()
    }

    /// The number of errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.kind.is_error()).count()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

/// Checks a request, whose counts were checked, against the model of a generation. `name` gives the name of a handle.
pub(crate) fn check(
    generation: u64,
    scoring: &ScoringModel,
    input: Input<'_>,
    name: impl Fn(u32) -> Option<String>,
) -> Check {
    let inputs = inputs(scoring);
    let mut found =
        Found { fitting: BTreeSet::new(), model: scoring.file(), inputs: &inputs, name: &name, all: BTreeMap::new() };
    found.values(Side::Request, 0, (&[], input.values), 0);
    for (i, candidate) in input.candidates.iter().enumerate() {
        let first = candidate.first_value as usize;
        let own = &input.candidate_values[first..][..candidate.n_values as usize];
        let (columns, cells): (Vec<usize>, Vec<Value>) = input.columns.of(i).values().unzip();
        found.values(Side::Candidate, i, (&columns, &[&cells, own].concat()), first);
    }
    let mut problems = found.problems();
    keys(scoring.file(), input, &mut problems);
    problems.sort_by_key(|problem| problem.kind);
    Check { generation, problems }
}

/// The first place where a problem was seen, and the number of times.
struct Seen {
    count: usize,
    at: String,
    what: String,
}

struct Found<'a, N> {
    /// Inputs, by handle and side, at least one of whose values has the right form: another may be a legitimate 0.
    fitting: BTreeSet<(u32, bool)>,
    model: &'a Model,
    inputs: &'a [ModelInput],
    name: &'a N,
    /// By kind, handle and side.
    all: BTreeMap<(ProblemKind, u32, bool), Seen>,
}

impl<N: Fn(u32) -> Option<String>> Found<'_, N> {
    fn see(&mut self, kind: ProblemKind, handle: u32, side: Side, at: String, what: String) {
        let seen = self.all.entry((kind, handle, side == Side::Candidate)).or_insert(Seen { count: 0, at, what });
        seen.count += 1;
    }

    /// The values of the request or of one candidate. The first of them stand in these columns.
    fn values(&mut self, side: Side, candidate: usize, (columns, values): (&[usize], &[Value]), first: usize) {
        let inputs = self.inputs;
        let mut passed: BTreeMap<u32, usize> = BTreeMap::new();
        let mut positions: BTreeSet<(u32, u64)> = BTreeSet::new();
        for (i, value) in values.iter().enumerate() {
            let at = match side {
                Side::Request => format!("values[{i}]"),
                Side::Candidate => match columns.get(i) {
                    Some(column) => format!("column {column} of candidate {candidate}"),
                    None => format!("candidate_values[{}] of candidate {candidate}", first + i - columns.len()),
                },
            };
            let handle = value.feature;
            if !value.number.is_finite() {
                self.see(ProblemKind::NotFinite, handle, side, at.clone(), format!("{}", value.number));
            }
            let mut read = false;
            for input in inputs.iter().filter(|input| input.handle == handle && input.side == side && is_read(input)) {
                read = true;
                let fits = match input.kind {
                    ValueKind::Number => value.number != 0.0,
                    ValueKind::Category => value.id != 0,
                    ValueKind::Categories | ValueKind::Vector => true,
                };
                if fits {
                    self.fitting.insert((handle, side == Side::Candidate));
                }
                if let Some((kind, what)) = self.fault(input, value) {
                    self.see(kind, handle, side, at.clone(), what);
                }
                let again = match input.kind {
                    ValueKind::Number | ValueKind::Category => passed.contains_key(&handle),
                    ValueKind::Vector => !positions.insert((handle, value.id)),
                    ValueKind::Categories => false,
                };
                if again {
                    self.see(ProblemKind::Repeated, handle, side, at.clone(), String::new());
                }
            }
            *passed.entry(handle).or_default() += 1;
            if !read {
                let others = || inputs.iter().filter(|input| input.handle == handle);
                if others().any(is_read) {
                    self.see(ProblemKind::WrongSide, handle, side, at, String::new());
                } else if let Some(input) = others().next() {
                    self.see(ProblemKind::NeverRead, handle, side, at, input.to_string());
                } else {
                    self.see(ProblemKind::Unknown, handle, side, at, String::new());
                }
            }
        }
        let at = || match side {
            Side::Request => "the request".to_owned(),
            Side::Candidate => format!("candidate {candidate}"),
        };
        for input in inputs.iter().filter(|input| input.side == side && is_read(input)) {
            let has = positions.range((input.handle, 0)..=(input.handle, u64::MAX)).count();
            let is_partial = input.kind == ValueKind::Vector && has > 0 && has < input.dim as usize;
            if is_partial {
                let what = format!("{has} of {} positions, the others count as 0", input.dim);
                self.see(ProblemKind::Missing, input.handle, side, at(), what);
            } else if input.reading == InputReading::Passed && !passed.contains_key(&input.handle) {
                let what = match input.default {
                    Default::Number(number) => format!("none, {number} stands in"),
                    Default::Id(id) => format!("none, id {id} stands in"),
                    Default::None => "none".to_owned(),
                };
                self.see(ProblemKind::Missing, input.handle, side, at(), what);
            }
        }
    }

    /// The problem of a value with an input that reads it.
    fn fault(&self, input: &ModelInput, value: &Value) -> Option<(ProblemKind, String)> {
        match input.kind {
            ValueKind::Number if value.number == 0.0 && value.id != 0 => {
                Some((ProblemKind::WrongKind, format!("it has id {:#x} and number 0, a number is read", value.id)))
            }
            ValueKind::Category if value.id == 0 && value.number != 0.0 => {
                Some((ProblemKind::WrongKind, format!("it has number {} and id 0, an id is read", value.number)))
            }
            ValueKind::Vector if value.id >= input.dim.into() => {
                Some((ProblemKind::OutOfRange, format!("position {}, expected 0 to {}", value.id, input.dim - 1)))
            }
            ValueKind::Category | ValueKind::Categories => {
                let is_known = |name: &String| {
                    let feature = self.model.schema().features.iter().find(|feature| feature.name == *name);
                    match feature.map(|feature| &feature.kind) {
                        Some(Kind::Category { embedding, .. } | Kind::MultiCategory { embedding, .. }) => {
                            self.model.row(*embedding, value.id).1
                        }
                        _ => true,
                    }
                };
                (!input.features.iter().all(is_known)).then(|| (ProblemKind::UnknownId, format!("{:#x}", value.id)))
            }
            ValueKind::Number | ValueKind::Vector => None,
        }
    }

    fn problems(self) -> Vec<Problem> {
        let Self { fitting, inputs, name, mut all, .. } = self;
        all.retain(|(kind, handle, side), _| *kind != ProblemKind::WrongKind || !fitting.contains(&(*handle, *side)));
        let told = |((kind, handle, of_candidate), seen): ((ProblemKind, u32, bool), Seen)| {
            let own = inputs.iter().find(|input| input.handle == handle).map(|input| input.name.clone());
            let known = own.or_else(|| name(handle));
            let side = if of_candidate { Side::Candidate } else { Side::Request };
            let other = if of_candidate { Side::Request } else { Side::Candidate };
            let Seen { count, at, what } = seen;
            let quoted = known.as_ref().map_or(format!("handle {handle}"), |name| format!("`{name}`"));
            let times = if count == 1 { at.clone() } else { format!("{count} values, first {at}") };
            let (side, other) = (side_name(side), side_name(other));
            let text = match kind {
                ProblemKind::Unknown if known.is_none() => {
                    format!("{quoted} was never given out by this engine ({times})")
                }
                ProblemKind::Unknown => format!("{quoted}: the model has no such input ({times})"),
                ProblemKind::WrongSide => {
                    format!("{quoted} is passed with the {side}, the model reads it with the {other} ({times})")
                }
                ProblemKind::WrongKind => format!("{quoted}: {what} ({times})"),
                ProblemKind::OutOfRange => format!("{quoted}: {what} ({times})"),
                ProblemKind::NotFinite => format!("{quoted} is {what}, scoring refuses it ({times})"),
                ProblemKind::NeverRead => format!("what is passed is ignored: {what} ({times})"),
                ProblemKind::UnknownId => format!("{quoted}: the model does not know id {what} ({times})"),
                ProblemKind::Repeated => format!("{quoted} is passed more than once, the last value counts ({times})"),
                ProblemKind::Missing if count == 1 => format!("{quoted} is not passed with {at}: {what}"),
                ProblemKind::Missing => {
                    format!("{quoted} is not passed with {count} candidates, the first is {at}: {what}")
                }
                ProblemKind::NoKey => what,
            };
            Problem { kind, name: known.unwrap_or_default(), count, text }
        };
        all.into_iter().map(told).collect()
    }
}

/// Whether it reads passed values.
fn is_read(input: &ModelInput) -> bool {
    matches!(input.reading, InputReading::Passed | InputReading::Table)
}

/// Tables that cannot be looked up.
fn keys(model: &Model, input: Input<'_>, problems: &mut Vec<Problem>) {
    for table in &model.enrichment().tables {
        let mut note = |what: &str, count: usize| {
            if count > 0 {
                let of = if count == 1 { String::new() } else { format!(" of {count} candidates") };
                let text = format!("table `{}` is not looked up: {what}{of} is 0", table.name);
                problems.push(Problem { kind: ProblemKind::NoKey, name: table.name.clone(), count, text });
            }
        };
        let candidates =
            |zero: fn(&crate::types::Candidate) -> bool| input.candidates.iter().filter(|c| zero(c)).count();
        for part in &table.key {
            match part {
                KeyPart::User => note("user_key", usize::from(input.request.user_key == 0)),
                KeyPart::Placement => note("placement", usize::from(input.request.placement == 0)),
                KeyPart::Ad => note("ad_key", candidates(|c| c.ad_key == 0)),
                KeyPart::Advertiser => note("advertiser_key", candidates(|c| c.advertiser_key == 0)),
                KeyPart::Column(_) => {}
            }
        }
    }
}
