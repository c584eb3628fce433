//! The inputs that callers pass to a bundle's model, and a check of a request against them.

use std::fmt::Write as _;
use std::path::Path;

use adclick::builder::Named;
use adclick::builder::schema::Side;
use adclick::inputs::{Default, InputReading, ModelInput, ValueKind};
use adclick::{Candidate, Engine, Input, Options, Precision, Request, TableChecks, Value, category_id};
use adclick_data::files::read_text;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value as Json, json};

/// The inputs of a bundle's model.
pub(super) fn list(path: &Path, text: &mut String) -> Result<Json> {
    let (generation, inputs) = open(path)?.inputs()?;
    let room = inputs.iter().map(|input| input.name.chars().count()).fold(20, usize::max);
    writeln!(text, "{:<room$} {:<10} {:<14} {:<8} from, and when missing", "input", "with", "kind", "reading")?;
    for input in &inputs {
        let (kind, passed) = (kind(input), input.reading == InputReading::Time || input.reading == InputReading::Fixed);
        let with = if passed { "-" } else { side(input.side) };
        let mut from = input.from.clone();
        let default = match input.default {
            Default::None => String::new(),
            Default::Number(number) => number.to_string(),
            Default::Id(id) => format!("id {id}"),
        };
        if !default.is_empty() {
            let before = if from.is_empty() { "" } else { ", " };
            write!(from, "{before}{default}")?;
        }
        let reading = input.reading.name();
        writeln!(text, "{:<room$} {with:<10} {kind:<14} {reading:<8} {from}", input.name)?;
    }
    let all: Vec<Json> = inputs
        .iter()
        .map(|input| {
            json!({
                "name": input.name,
                "side": side(input.side),
                "kind": input.kind.name(),
                "dim": input.dim,
                "source": input.source.name(),
                "reading": input.reading.name(),
                "from": input.from,
                "default": match input.default {
                    Default::None => Json::Null,
                    Default::Number(number) => json!({ "number": number }),
                    Default::Id(id) => json!({ "id": id }),
                },
                "features": input.features,
            })
        })
        .collect();
    Ok(json!({ "generation": format!("{generation:016x}"), "inputs": all }))
}

/// The errors of the request in a file, and their number.
pub(super) fn check(path: &Path, file: &Path, text: &mut String) -> Result<(Json, usize)> {
    let asked = read_text(file)?;
    let read = || -> Result<_> {
        let request: Json = serde_json::from_str(&asked)?;
        let engine = open(path)?;
        let (_, inputs) = engine.inputs()?;
        let request = RequestFile::read(&request, &Names { engine: &engine, inputs: &inputs })?;
        Ok(engine.check(request.input())?)
    };
    let found = read().with_context(|| file.display().to_string())?;
    write!(text, "{found}")?;
    if found.problems.is_empty() {
        writeln!(text, "nothing is wrong")?;
    }
    let problems: Vec<Json> = found
        .problems
        .iter()
        .map(|problem| {
            json!({
                "kind": format!("{:?}", problem.kind),
                "error": problem.kind.is_error(),
                "name": problem.name,
                "count": problem.count,
                "text": problem.to_string(),
            })
        })
        .collect();
    let report = json!({
        "generation": format!("{:016x}", found.generation),
        "errors": found.errors(),
        "problems": problems,
    });
    Ok((report, found.errors()))
}

/// An engine that loads as little as possible.
fn open(path: &Path) -> Result<Engine> {
    let mut options = Options::default();
    options.tables = TableChecks::Lazy;
    options.overlay_rows = 0;
    options.precision = Some(Precision::Exact);
    Ok(Engine::open(path, &options)?)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Request => "request",
        Side::Candidate => "candidate",
    }
}

fn kind(input: &ModelInput) -> String {
    match input.kind {
        ValueKind::Vector => format!("vector of {}", input.dim),
        other => other.name().to_owned(),
    }
}

/// Input names that the model reads.
struct Names<'a> {
    engine: &'a Engine,
    inputs: &'a [ModelInput],
}

/// A request written by hand.
struct RequestFile {
    request: Request,
    values: Vec<Value>,
    candidates: Vec<Candidate>,
    candidate_values: Vec<Value>,
}

impl RequestFile {
    fn read(json: &Json, names: &Names<'_>) -> Result<Self> {
        let fields = object(json, "the request", &["user_key", "placement", "values", "candidates"])?;
        let mut this = Self {
            request: Request {
                struct_size: size_of::<Request>() as u32,
                user_key: id(fields.get("user_key"), "user_key")?,
                placement: u32::try_from(id(fields.get("placement"), "placement")?)
                    .context("placement: expected a number below 2^32")?,
                ..Request::default()
            },
            values: names.values(fields.get("values")).context("values")?,
            candidates: Vec::new(),
            candidate_values: Vec::new(),
        };
        let candidates = match fields.get("candidates") {
            None => &[][..],
            Some(Json::Array(all)) => all,
            Some(other) => bail!("candidates: expected an array, found {other}"),
        };
        for (i, candidate) in candidates.iter().enumerate() {
            let place = || format!("candidates[{i}]");
            let fields =
                object(candidate, "a candidate", &["ad_key", "advertiser_key", "values"]).with_context(place)?;
            let values = names.values(fields.get("values")).with_context(place)?;
            this.candidates.push(Candidate {
                ad_key: id(fields.get("ad_key"), "ad_key").with_context(place)?,
                advertiser_key: id(fields.get("advertiser_key"), "advertiser_key").with_context(place)?,
                first_value: u32::try_from(this.candidate_values.len())?,
                n_values: u32::try_from(values.len())?,
                ..Candidate::default()
            });
            this.candidate_values.extend(values);
        }
        this.request.n_values = u32::try_from(this.values.len())?;
        this.request.n_candidates = u32::try_from(this.candidates.len())?;
        this.request.n_candidate_values = u32::try_from(this.candidate_values.len())?;
        Ok(this)
    }

    fn input(&self) -> Input<'_> {
        let Self { request, values, candidates, candidate_values } = self;
        Input { request, values, candidates, candidate_values, columns: adclick::Columns::default() }
    }
}

impl Names<'_> {
    /// The values of one side, by name.
    fn values(&self, json: Option<&Json>) -> Result<Vec<Value>> {
        let Some(json) = json else { return Ok(Vec::new()) };
        let Json::Object(fields) = json else { bail!("expected an object of values by name, found {json}") };
        let mut values = Vec::new();
        for (name, json) in fields {
            let feature = self.engine.feature(name)?;
            let kind = self.inputs.iter().find(|input| input.name == *name).map(|input| input.kind);
            let all = match json {
                Json::Array(all) => &all[..],
                one => std::slice::from_ref(one),
            };
            for (position, one) in all.iter().enumerate() {
                let (number, id) = value(one, kind, position as u64).with_context(|| format!("`{name}`"))?;
                values.push(Value { feature, number, id });
            }
        }
        Ok(values)
    }
}

/// A value as a server would pass it: floats for a number or a vector, otherwise ids. Strings are hashed.
fn value(json: &Json, kind: Option<ValueKind>, position: u64) -> Result<(f32, u64)> {
    let is_id = matches!(kind, Some(ValueKind::Category | ValueKind::Categories));
    Ok(match json {
        Json::String(text) => (0.0, category_id(text.as_bytes())),
        Json::Bool(yes) => (f32::from(u8::from(*yes)), u64::from(*yes)),
        Json::Number(number) if is_id && (number.is_u64() || number.is_i64()) => {
            (0.0, integer(json).unwrap_or_default())
        }
        Json::Number(number) => {
            let number = number.as_f64().context("a number that f64 does not hold")? as f32;
            (number, if kind == Some(ValueKind::Vector) { position } else { 0 })
        }
        other => bail!("expected a number, a text, or an array of them, found {other}"),
    })
}

/// The id of a key: an integer, or the hash of a text.
fn id(json: Option<&Json>, what: &str) -> Result<u64> {
    match json {
        None => Ok(0),
        Some(Json::String(text)) => Ok(category_id(text.as_bytes())),
        Some(other) => integer(other).with_context(|| format!("{what}: expected an integer or a text, found {other}")),
    }
}

/// Negative integers are encoded as in data files.
fn integer(json: &Json) -> Option<u64> {
    json.as_u64().or_else(|| json.as_i64().map(i64::cast_unsigned))
}

/// The fields of an object that may have no others.
fn object<'a>(json: &'a Json, what: &str, known: &[&str]) -> Result<&'a Map<String, Json>> {
    let Json::Object(fields) = json else { bail!("{what}: expected an object, found {json}") };
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => bail!("{what}: unknown field `{unknown}`; known fields: {}", known.join(", ")),
        None => Ok(fields),
    }
}
