//! Shows the contents of a bundle or an artifact, as JSON and as text.

mod inputs;
mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use adclick::auction::Policy;
use adclick::builder::Named;
use adclick::builder::artifact::container::{ArtifactKind, MAGIC};
use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::model::network::{Cross, Dense, Network, Panels};
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::{MANIFEST, Manifest, Role};
use adclick::builder::calibrate::{Calibrator, Calibrators, SegmentKey, decode_calibrators};
use adclick::builder::schema::{Index, Kind, Schema};
use adclick::builder::table::Checks;
use adclick_data::schema_file::key_text;
use adclick_data::setting::refuse;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::bundle::{open_table, open_untouched, resolve};

/// An inspection job.
#[derive(Debug, Clone)]
pub struct Job {
    /// A bundle, the directory whose `CURRENT` names one, or one artifact file.
    pub path: PathBuf,
    /// The part to show.
    pub what: What,
}

/// The part of a bundle or an artifact to show.
#[derive(Debug, Clone)]
pub enum What {
    /// Everything but rows.
    All,
    /// One row of a feature table.
    Row {
        /// The ids of the key as data files hold them, in order; or the key itself as `0x` and 16 hexadecimal digits.
        key: Vec<String>,
        /// The table; `None` = the only one.
        table: Option<String>,
    },
    /// The inputs that callers pass.
    Inputs,
    /// The errors of a request.
    Check {
        /// A file that holds the request as JSON.
        request: PathBuf,
    },
}

/// The result of an inspection.
#[derive(Debug, Clone)]
pub struct Done {
    /// JSON, for scripts.
    pub report: Value,
    /// The same as text, for people.
    pub text: String,
    /// The reason why a checked request fails, if it does.
    pub failed: Option<String>,
}

/// Inspects a bundle or an artifact.
///
/// # Errors
/// Files that cannot be read or are damaged, and tables or keys that are not there.
pub fn inspect(job: &Job) -> Result<Done> {
    let path = &job.path;
    let (mut text, mut failed) = (String::new(), None);
    let report = match &job.what {
        What::Row { key, table } => row(path, key, table.as_ref(), &mut text)?,
        What::Inputs => inputs::list(path, &mut text)?,
        What::Check { request } => {
            let (report, errors) = inputs::check(path, request, &mut text)?;
            failed = (errors > 0).then(|| format!("{}: {errors} errors", request.display()));
            report
        }
        What::All if path.is_dir() => bundle(&resolve(path)?, &mut text)?,
        What::All => {
            let (kind, report) = artifact(path, &mut text)?;
            json!({ kind: report })
        }
    };
    Ok(Done { report, text, failed })
}

/// One row of a table.
fn row(path: &Path, key: &[String], table: Option<&String>, text: &mut String) -> Result<Value> {
    let open = |path: &Path| open_table(path, Checks::Structure);
    let mut tables = if path.is_dir() {
        let path = resolve(path)?;
        let manifest = Manifest::read(&path)?;
        manifest.tables().map(|entry| open(&path.join(&entry.name))).collect::<Result<Vec<_>>>()?
    } else {
        vec![open(path)?]
    };
    let mut names: Vec<String> = tables.iter().map(|t| t.name().to_owned()).collect();
    names.dedup();
    let name = match (table, &names[..]) {
        (_, []) => bail!("{} has no feature tables", path.display()),
        (Some(name), names) if names.contains(name) => name.clone(),
        (None, [only]) => only.clone(),
        (Some(name), _) => bail!("there is no table `{name}`; there are {}", names.join(", ")),
        (None, _) => refuse!([Table], "which table? it is one of {}", names.join(", ")),
    };
    tables.retain(|t| t.name() == name);
    table::row(&tables, key, text)
}

fn bundle(path: &Path, text: &mut String) -> Result<Value> {
    let manifest = Manifest::read(path)?;
    let generation = format!("{:016x}", manifest.generation());
    writeln!(text, "bundle {} · generation {generation}", path.display())?;
    let room = room(18, manifest.files.iter().map(|f| f.name.as_str()));
    writeln!(text, "  {MANIFEST:<room$} {:>14}  xxh3", "bytes")?;
    for f in &manifest.files {
        writeln!(text, "  {:<room$} {:>14}  {:016x}", f.name, f.bytes, f.xxh3)?;
    }
    let mut report = json!({ "generation": generation, "bundle": path.display().to_string() });
    report["files"] = manifest
        .files
        .iter()
        .map(|f| json!({ "name": f.name, "bytes": f.bytes, "xxh3": format!("{:016x}", f.xxh3) }))
        .collect();
    let mut tables = Vec::new();
    for f in &manifest.files {
        let file = path.join(&f.name);
        if f.role == Role::Policy {
            let policy = adclick::builder::files::read_text(&file, f.bytes)?;
            let policy = Policy::parse(&policy).with_context(|| file.display().to_string())?.to_toml();
            writeln!(text, "\npolicy\n{}", indented(&policy))?;
            report["policy"] = policy.into();
        } else if f.role == Role::Serving {
            report["precision"] = precision(path, text)?;
        } else {
            let (kind, part) = artifact(&file, text)?;
            if kind == "table" {
                tables.push(part);
            } else {
                report[kind] = part;
            }
        }
    }
    if manifest.file(Role::Calibrators).is_none() {
        writeln!(text, "\ncalibrators: none, probabilities are served as the model gives them")?;
    }
    if manifest.file(Role::Serving).is_none() {
        writeln!(text, "\nprecision: exact")?;
        report["precision"] = json!({ "wanted": "exact", "here": "exact", "first_pass": null, "reason": null });
    }
    if manifest.file(Role::Policy).is_none() {
        writeln!(text, "\npolicy: the default one\n{}", indented(&Policy::default().to_toml()))?;
    }
    if !tables.is_empty() {
        report["ad_cache"] = ad_cache(path, text)?;
    }
    report["tables"] = tables.into();
    Ok(report)
}

/// The memory that an engine's ad cache would take for the bundle.
fn ad_cache(path: &Path, text: &mut String) -> Result<Value> {
    let info = open_untouched(path)?.ad_cache();
    match info.bytes_needed {
        0 => writeln!(text, "\nad cache: none, no column that an ad alone determines is worth it")?,
        bytes => {
            let mib = bytes.div_ceil(1 << 20);
            writeln!(text, "\nad cache: {bytes} bytes if it is wanted (ad_cache_mib of {mib} or more)")?;
        }
    }
    Ok(json!({ "bytes_needed": info.bytes_needed }))
}

/// The precision that the bundle asks for, and the one that this CPU serves.
fn precision(path: &Path, text: &mut String) -> Result<Value> {
    let generation = open_untouched(path)?;
    let (wanted, here, reason) = generation.precision();
    let first_pass = generation.first_pass().map(|precision| precision.name());
    match (reason, first_pass) {
        (None, None) => writeln!(text, "\nprecision: {}", wanted.name())?,
        (None, Some(first)) => writeln!(text, "\nprecision: {} (first pass {first} on this CPU)", wanted.name())?,
        (Some(reason), _) => writeln!(text, "\nprecision: {}, exact on this CPU: {reason}", wanted.name())?,
    }
    Ok(json!({ "wanted": wanted.name(), "here": here.name(), "first_pass": first_pass, "reason": reason }))
}

/// The width of a column of names.
fn room<'a>(least: usize, names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| name.chars().count()).fold(least, usize::max)
}

/// One artifact file: its kind and its contents.
fn artifact(path: &Path, text: &mut String) -> Result<(&'static str, Value)> {
    let bytes = Bytes::open(path, OpenMode::Map)?;
    let place = || path.display().to_string();
    if kind_of(&bytes) == Some(ArtifactKind::Table) {
        // A table may be larger than memory, so only the parts that are shown are read.
        drop(bytes);
        return Ok(("table", table::describe(&open_table(path, Checks::Structure)?, text)?));
    }
    if kind_of(&bytes) == Some(ArtifactKind::Calibrators) {
        return Ok(("calibrators", calibrators(&decode_calibrators(&bytes).with_context(place)?, text)?));
    }
    match Model::open(bytes) {
        Ok(model) => Ok(("model", describe(&model, text)?)),
        Err(error) => bail!("{}: {error}", path.display()),
    }
}

/// The kind that an artifact declares.
fn kind_of(bytes: &[u8]) -> Option<ArtifactKind> {
    let number = u32::from_le_bytes(bytes.strip_prefix(&MAGIC)?.get(4..8)?.try_into().ok()?);
    [ArtifactKind::Model, ArtifactKind::Table, ArtifactKind::Calibrators].into_iter().find(|k| *k as u32 == number)
}

fn calibrators(all: &Calibrators, text: &mut String) -> Result<Value> {
    writeln!(text, "\ncalibrators")?;
    let mut report = json!({});
    for (name, head) in [("ctr", &all.ctr), ("cvr", &all.cvr)] {
        let calibrator = head.calibrator().name();
        writeln!(text, "  {name}: {calibrator}, keep rate {}", head.keep_rate())?;
        report[name] = json!({ "calibrator": calibrator, "keep_rate": head.keep_rate() });
    }
    if all.product != Calibrator::Identity {
        writeln!(text, "  product: {}", all.product.name())?;
        report["product"] = json!({ "calibrator": all.product.name() });
    }
    if !all.segments.keys().is_empty() {
        let keys: Vec<&str> = all.segments.keys().iter().map(SegmentKey::name).collect();
        writeln!(text, "  {} segments by {}", all.segments.list().len(), keys.join(", "))?;
        report["segments"] = json!({ "keys": keys, "count": all.segments.list().len() });
    }
    Ok(report)
}

fn describe(model: &Model, text: &mut String) -> Result<Value> {
    let network = model.network();
    let layers = layers(network);
    let macs: usize = layers.iter().map(|l| l.macs).sum();
    let once: usize = layers.iter().map(|l| l.once).sum();
    let tables: u64 = model.schema().embeddings.iter().map(|e| e.rows() * u64::from(e.dim)).sum();
    let wide: u64 = model.schema().embeddings.iter().filter(|e| e.wide).map(|e| e.rows()).sum();
    let wide = wide * network.heads.len() as u64;
    let dense: usize = layers.iter().map(|l| l.parameters).sum();
    let parameters = tables + wide + dense as u64;
    writeln!(text, "\nmodel · schema {:016x}", model.schema_hash())?;
    let room = room(28, model.schema().features.iter().map(|f| f.name.as_str()));
    writeln!(text, "  {:<room$} {:>10} {:>6} {:>9}  kind", "feature", "source", "column", "width")?;
    let mut features = Vec::new();
    for (i, (f, column)) in model.schema().features.iter().zip(&model.layout().columns).enumerate() {
        let kind = kind(&f.kind, model.schema());
        let source = format!("{:?}", f.source).to_lowercase();
        let found = model.enrichment().bindings.iter().find(|b| b.feature as usize == i);
        let found = found.map(|b| model.enrichment().lookup_text(&b.lookup));
        let from = found.as_ref().map_or(String::new(), |found| format!(", from {found}"));
        // Callers pass values under this name.
        let input = if f.input == f.name { String::new() } else { format!(", of input {}", f.input) };
        let position = f.position.map_or(String::new(), |value| format!(", a position: served with {value}"));
        let what = format!("{kind}{input}{from}{position}");
        writeln!(text, "  {:<room$} {source:>10} {:>6} {:>9}  {what}", f.name, column.declared, column.width)?;
        features.push(json!({
            "found_in": found,
            "name": f.name, "input": f.input, "source": source, "column": column.declared, "width": column.width,
            "kind": kind, "position": f.position,
        }));
    }
    let mut reads = Vec::new();
    for (i, table) in model.enrichment().tables.iter().enumerate() {
        let key = key_text(model.enrichment(), i);
        writeln!(text, "  reads table {}, keyed by {key}", table.name)?;
        reads.push(json!({ "table": table.name, "key": key }));
    }
    writeln!(text, "\n  {:<28} {:>14} {:>12} {:>12}", "layer", "shape", "parameters", "MACs")?;
    for l in &layers {
        writeln!(text, "  {:<28} {:>14} {:>12} {:>12}", l.name, l.shape, l.parameters, l.macs)?;
    }
    writeln!(
        text,
        "\n  {} columns ({} of the request), {}, heads {}",
        network.width,
        network.request_width,
        network.structure.name(),
        network.heads.iter().map(|h| h.kind.name()).collect::<Vec<_>>().join(" and ")
    )?;
    writeln!(text, "  {parameters} parameters: {dense} in layers, {tables} in embeddings, {wide} in the wide part")?;
    writeln!(text, "  {} MACs per candidate, and {once} once per request", macs - once)?;
    writeln!(text, "  {} golden requests, {} histograms", model.goldens().len(), model.histograms().len())?;
    let ranges: Vec<String> = model.ranges().iter().map(f32::to_string).collect();
    let ranges = if ranges.is_empty() { "none".to_owned() } else { ranges.join(", ") };
    writeln!(text, "  ranges of the deep layers' inputs, for int8: {ranges}")?;
    writeln!(text, "\n  {:<28} {:>14}", "section", "bytes")?;
    for s in model.sections() {
        writeln!(text, "  {:<28} {:>14}", s.name, s.len)?;
    }
    if !model.provenance().is_empty() {
        writeln!(text, "\n  provenance\n{}", indented(&indented(model.provenance())))?;
    }
    Ok(json!({
        "schema_hash": format!("{:016x}", model.schema_hash()),
        "features": features,
        "reads": reads,
        "layers": layers.iter().map(|l| json!({
            "name": l.name, "shape": l.shape, "parameters": l.parameters, "macs": l.macs,
        })).collect::<Vec<_>>(),
        "width": network.width,
        "request_width": network.request_width,
        "structure": format!("{:?}", network.structure).to_lowercase(),
        "heads": network.heads.iter().map(|h| format!("{:?}", h.kind).to_lowercase()).collect::<Vec<_>>(),
        "parameters": parameters,
        "macs_per_candidate": macs - once,
        "macs_per_request": once,
        "ranges": model.ranges(),
        "goldens": model.goldens().len(),
        "histograms": model.histograms().iter().map(|h| h.name.clone()).collect::<Vec<_>>(),
        "sections": model.sections().iter().map(|s| json!({ "name": s.name, "bytes": s.len })).collect::<Vec<_>>(),
        "provenance": model.provenance(),
    }))
}

struct Layer {
    name: String,
    shape: String,
    parameters: usize,
    /// Multiply-adds of one candidate alone.
    macs: usize,
    /// Those of them that are done once per request.
    once: usize,
}

impl Layer {
    /// `shared`: input columns whose products the candidates of a request share.
    fn new(name: String, matrices: &[Panels], extra: usize, shared: usize) -> Self {
        let macs = matrices.iter().map(|p| p.inputs * p.outputs).sum();
        let shape = matrices.iter().map(|p| format!("{}x{}", p.outputs, p.inputs)).collect::<Vec<_>>();
        let same = shape.windows(2).all(|w| w[0] == w[1]) && shape.len() > 1;
        let shape = if same { format!("{} of {}", shape.len(), shape[0]) } else { shape.join(" ") };
        let once = matrices.first().map_or(0, |p| p.outputs * shared);
        Self { name, shape, parameters: macs + extra, macs, once }
    }
}

fn layers(network: &Network) -> Vec<Layer> {
    let mut all = Vec::new();
    for (l, cross) in network.cross.iter().enumerate() {
        let shared = if l == 0 { network.request_width } else { 0 };
        let name = format!("cross {l}");
        all.push(match cross {
            Cross::Full { weight, bias } => Layer::new(name, &[*weight], bias.len, shared),
            Cross::LowRank { v, u, bias } => Layer::new(name + " (V, U)", &[*v, *u], bias.len, shared),
            Cross::Vector { weight, bias } => Layer {
                name: name + " (v1)",
                shape: weight.len.to_string(),
                parameters: weight.len + bias.len,
                macs: weight.len,
                once: 0,
            },
            Cross::Mixture { gate, v, c, u, bias, .. } => {
                let matrices = [vec![*gate, *v], c.clone(), vec![*u]].concat();
                Layer::new(name + " (mixture)", &matrices, bias.len, 0)
            }
        });
    }
    let reads_x0 =
        network.structure == adclick::builder::artifact::model::spec::Structure::Parallel || network.cross.is_empty();
    let dense = |name: String, d: &Dense, shared| Layer::new(name, &[d.weight], d.bias.len, shared);
    for (l, d) in network.deep.iter().enumerate() {
        let shared = if l == 0 && reads_x0 { network.request_width } else { 0 };
        all.push(dense(format!("deep {l} ({:?})", d.activation), d, shared));
    }
    for head in &network.heads {
        for (l, d) in head.tower.iter().enumerate() {
            all.push(dense(format!("{:?} tower {l} ({:?})", head.kind, d.activation), d, 0));
        }
        let inputs = head.tower.last().map_or(network.trunk_cross() + network.trunk_deep(), |d| d.weight.outputs);
        all.push(Layer {
            name: format!("{} output", head.kind.name()),
            shape: format!("1x{inputs}"),
            parameters: inputs + 1,
            macs: inputs,
            once: 0,
        });
    }
    all
}

fn kind(kind: &Kind, schema: &Schema) -> String {
    let table = |i: u32| {
        let e = &schema.embeddings[i as usize];
        let index = match e.index {
            Index::Identity { count } => format!("{count} ids"),
            Index::Hashed { buckets } => format!("{buckets} buckets"),
            Index::Vocabulary { count } => format!("vocabulary of {count}"),
        };
        let wide = if e.wide { ", wide" } else { "" };
        format!("{} ({index}, dim {}{wide})", e.name, e.dim)
    };
    match kind {
        Kind::Number { transform, default } => {
            let mut parts = vec!["number".to_owned()];
            if transform.clip != (f32::NEG_INFINITY, f32::INFINITY) {
                parts.push(format!("clip [{}, {}]", transform.clip.0, transform.clip.1));
            }
            if transform.log1p {
                parts.push("log1p".to_owned());
            }
            if (transform.mean, transform.scale) != (0.0, 1.0) {
                parts.push(format!("(x - {}) / {}", transform.mean, transform.scale));
            }
            parts.push(format!("default {default}"));
            parts.join(", ")
        }
        Kind::Category { embedding, boundaries, .. } if boundaries.is_empty() => {
            format!("category in {}", table(*embedding))
        }
        Kind::Category { embedding, boundaries, .. } => {
            format!("{} buckets in {}", boundaries.len() + 1, table(*embedding))
        }
        Kind::MultiCategory { embedding, pooling } => format!("{pooling:?} of categories in {}", table(*embedding)),
        Kind::Vector { dim } => format!("vector of {dim}"),
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|l| format!("  {l}")).collect::<Vec<_>>().join("\n")
}
