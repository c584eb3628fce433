//! The model of a bundle: from weights.

use std::path::Path;

use adclick::HeadKind;
use adclick::auction::Policy;
use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::calibrate::decode_calibrators;
use adclick::builder::hash::checksum;
use adclick::builder::model::pack_model;
use adclick_data::files::{read_file, read_text};
use adclick_data::schema_file::SchemaFile;
use adclick_data::setting::{refuse, require};
use anyhow::{Context, Result, ensure};

use super::Job;
use crate::pack::compare::{BESIDE, Comparison, Proof, STRUCTURE, compare};
use crate::pack::expect::Expected;
use crate::pack::inputs::InputRows;
use crate::pack::{self, goldens, taken};
use crate::ranges;

/// How many golden requests a bundle holds.
const GOLDENS: usize = 16;

/// A packed model, its file, and the evidence that it is right.
pub struct PackedModel {
    /// The model file.
    pub bytes: Vec<u8>,
    /// Its source.
    pub spec: ModelSpec,
    /// The layers that tensors became.
    pub taken: Vec<taken::TakenLayer>,
    /// Tensors that were left out.
    pub left_out: Vec<String>,
    /// The comparison with the original model's outputs; `None`: not compared.
    pub proof: Option<Proof>,
    /// Notes to show.
    pub notes: Vec<String>,
    /// Warnings to show.
    pub warnings: Vec<String>,
}

/// Packs the weights.
pub(super) fn pack(job: &Job, weights_path: &Path, schema: Option<&SchemaFile>) -> Result<PackedModel> {
    let weights = read_file(weights_path)?;
    let mut given = provenance(job, weights_path, &weights, schema)?;
    let options = pack::PackOptions {
        downsampling: job.downsampling,
        allow_unused: job.allow_unused,
        proven: job.expect.is_some(),
        provenance: String::new(),
    };
    let place = || format!("weights {}", weights_path.display());
    let mut packed = pack::model(&weights, schema, &options).with_context(place)?;
    let assumed = taken::assumed(&packed.taken);
    require!(
        assumed.is_empty() || !job.no_assumptions,
        [Goldens, Expect],
        "weights {}: nothing says {}: say it in the schema, under [model] (activation, batchnorm, batchnorm_eps, diag_scale, \
         output_order), or let golden inputs with their expected outputs prove it",
        weights_path.display(),
        assumed.join(", ")
    );
    let given_inputs = job.goldens.as_ref().map(|path| anyhow::Ok((read_file(path)?, path))).transpose()?;
    let inputs = match &given_inputs {
        Some((bytes, path)) => {
            let place = || format!("golden requests {}", path.display());
            Some(InputRows::parse(bytes, &packed.spec.schema).with_context(place)?)
        }
        None => None,
    };
    let heads: Vec<HeadKind> = packed.spec.network.heads.iter().map(|h| h.kind).collect();
    let against = |inputs: &InputRows, expected: &Expected, tolerance: f64, structure: f64| {
        let what = Comparison { weights: &weights, schema, options: &options, inputs, expected, tolerance, structure };
        compare(&packed, &what)
    };
    let proof = match (&job.expect, &inputs, &given_inputs) {
        (Some(path), Some(inputs), _) => {
            let bytes = read_file(path)?;
            let order = schema.map(|s| s.model.heads.clone()).filter(|h| h.len() == heads.len()).unwrap_or(heads);
            let place = || format!("expected outputs {}", path.display());
            let expected = Expected::parse(&bytes, &order, inputs.rows(), job.expect_as).with_context(place)?;
            given.insert("outputs".into(), name(path).into());
            given.insert("outputs_xxh3".into(), format!("{:016x}", checksum(&bytes)).into());
            Some(against(inputs, &expected, job.tolerance, STRUCTURE).with_context(place)?)
        }
        (None, Some(inputs), Some((bytes, path))) => {
            let features: Vec<&str> = packed.spec.schema.features.iter().map(|f| f.name.as_str()).collect();
            let expected = Expected::beside(bytes, &heads, inputs.rows(), &features);
            let place = || {
                format!(
                    "golden requests {}: the file holds logits beside the inputs. If they are those of another \
                     model, leave them out of the file",
                    path.display()
                )
            };
            expected.map(|expected| against(inputs, &expected, BESIDE, 1.0).with_context(place)).transpose()?
        }
        _ => None,
    };
    record(&mut given, &packed, proof.as_ref());
    let mut document = document(job)?;
    document.insert("pack".into(), given.into());
    let spec = &mut packed.spec;
    spec.provenance = document.to_string();
    spec.goldens = match (&inputs, &job.goldens) {
        (Some(inputs), Some(path)) => {
            inputs.goldens(GOLDENS, &spec.schema).with_context(|| format!("golden requests {}", path.display()))?
        }
        _ => goldens::made_up(GOLDENS, &spec.schema, &spec.embeddings),
    };
    let (ranges, note) = ranges(job, spec)?;
    spec.ranges = ranges;
    packed.notes.push(note);
    let bytes = pack_model(spec).with_context(place)?;
    let pack::Packed { spec, taken, left_out, notes, warnings, .. } = packed;
    Ok(PackedModel { bytes, spec, taken, left_out, proof, notes, warnings })
}

/// The assumptions, the tensors left out and the comparison, for the provenance.
fn record(given: &mut toml::Table, packed: &pack::Packed, proof: Option<&Proof>) {
    let list = |texts: Vec<String>| toml::Value::Array(texts.into_iter().map(toml::Value::from).collect());
    let assumed = taken::assumed(&packed.taken);
    if !assumed.is_empty() {
        given.insert("assumed".into(), list(assumed));
    }
    if !packed.left_out.is_empty() {
        given.insert("left_out".into(), list(packed.left_out.clone()));
    }
    given.insert("compared".into(), proof.map_or_else(|| "no".to_owned(), Proof::text).into());
}

/// The ranges that int8 needs, and their source.
fn ranges(job: &Job, spec: &ModelSpec) -> Result<(Vec<f32>, String)> {
    if spec.network.deep.is_empty() {
        return Ok((Vec::new(), "no ranges for int8: the model has no deep layer".to_owned()));
    }
    let (path, what) = match (&job.rows, &job.goldens) {
        (Some(path), _) => (path, "rows"),
        (None, Some(path)) => (path, "golden inputs"),
        (None, None) => {
            let none = "no ranges for int8: made-up golden requests say nothing of real inputs; give rows to find them";
            return Ok((Vec::new(), none.to_owned()));
        }
    };
    let place = || format!("{what} {}", path.display());
    let inputs = InputRows::parse(&read_file(path)?, &spec.schema).with_context(place)?;
    let rows = inputs.goldens(ranges::ROWS, &spec.schema).with_context(place)?;
    let (found, run) = ranges::find(spec, &rows).with_context(place)?;
    Ok((found, format!("ranges for int8 from {run} rows of {}", path.display())))
}

/// The model's origin as the caller gives it.
fn document(job: &Job) -> Result<toml::Table> {
    let Some(path) = &job.provenance else { return Ok(toml::Table::new()) };
    let text = read_text(path)?;
    let document = text.parse::<toml::Table>().with_context(|| format!("provenance {}", path.display()))?;
    ensure!(!document.contains_key("pack"), "the provenance document has a table [pack], which this command writes");
    Ok(document)
}

/// The inputs of the packing, for the provenance.
fn provenance(job: &Job, weights_path: &Path, weights: &[u8], schema: Option<&SchemaFile>) -> Result<toml::Table> {
    let mut pack = toml::Table::new();
    pack.insert("weights".into(), name(weights_path).into());
    pack.insert("weights_xxh3".into(), format!("{:016x}", checksum(weights)).into());
    if let (Some(path), Some(schema)) = (&job.schema, schema) {
        pack.insert("schema".into(), name(path).into());
        pack.insert("schema_xxh3".into(), format!("{:016x}", schema.xxh3).into());
    }
    if let Some(rate) = job.downsampling {
        pack.insert("downsampling".into(), rate.into());
    }
    Ok(pack)
}

fn name(path: &Path) -> String {
    path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned())
}

/// Reads a calibrators file. Refuses one that cannot be decoded, or that would correct for downsampling twice.
pub(super) fn calibrators(path: &Path, downsampling: Option<f64>) -> Result<Vec<u8>> {
    let bytes = read_file(path)?;
    let place = || format!("calibrators {}", path.display());
    let read = decode_calibrators(&bytes).with_context(place)?;
    let keep_rate = read.ctr.keep_rate();
    if let Some(rate) = downsampling.filter(|&rate| rate < 1.0 && keep_rate < 1.0) {
        refuse!(
            [Downsampling],
            "a keep rate of {rate} is given, and {} correct for a keep rate of {keep_rate} already, and both together would correct twice: \
             give one of the two",
            place()
        );
    }
    Ok(bytes)
}

/// Reads an auction policy. Refuses one that does not parse.
pub(super) fn policy(path: &Path) -> Result<Vec<u8>> {
    let text = read_text(path)?;
    Policy::parse(&text).with_context(|| format!("policy {}", path.display()))?;
    Ok(text.into_bytes())
}
