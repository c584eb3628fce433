//! The model of a bundle: from weights.

use std::path::Path;

use adclick::artifact::container::{ArtifactKind, Container};
use adclick::artifact::model::spec::ModelSpec;
use adclick::auction::Policy;
use adclick::calibrate::Calibrators;
use adclick::hash::checksum;
use adclick::live::pack_model;
use anyhow::{Context, Result, bail, ensure};

use super::Args;
use crate::pack::inputs::Inputs;
use crate::pack::{self, goldens};
use crate::ranges;
use crate::schema_file::SchemaFile;

/// How many golden requests a bundle holds.
const GOLDENS: usize = 16;

/// A packed model and what there is to say about it.
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) spec: ModelSpec,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Packs the weights.
pub(super) fn pack(args: &Args, weights_path: &Path, schema: Option<&SchemaFile>) -> Result<Packed> {
    let weights = super::read(weights_path)?;
    let options = pack::Options {
        downsampling: args.downsampling,
        allow_unused: args.allow_unused,
        provenance: provenance(args, weights_path, &weights)?,
    };
    let place = || format!("weights {}", weights_path.display());
    let mut packed = pack::model(&weights, schema, &options).with_context(place)?;
    let spec = &mut packed.spec;
    spec.goldens = match &args.goldens {
        Some(path) => {
            let place = || format!("golden requests {}", path.display());
            let inputs = Inputs::parse(&super::read(path)?, &spec.schema).with_context(place)?;
            inputs.goldens(GOLDENS, &spec.schema).with_context(place)?
        }
        None => goldens::made_up(GOLDENS, &spec.schema, &spec.embeddings),
    };
    let (ranges, note) = ranges(args, spec)?;
    spec.ranges = ranges;
    packed.notes.push(note);
    let bytes = pack_model(spec).with_context(place)?;
    Ok(Packed { bytes, spec: packed.spec, notes: packed.notes, warnings: packed.warnings })
}

/// The ranges that int8 needs, and what they are from.
fn ranges(args: &Args, spec: &ModelSpec) -> Result<(Vec<f32>, String)> {
    if spec.network.deep.is_empty() {
        return Ok((Vec::new(), "no ranges for int8: the model has no deep layer".to_owned()));
    }
    let (path, what) = match (&args.rows, &args.goldens) {
        (Some(path), _) => (path, "--rows"),
        (None, Some(path)) => (path, "--goldens"),
        (None, None) => {
            let none =
                "no ranges for int8: made-up golden requests say nothing of real inputs; give --rows to find them";
            return Ok((Vec::new(), none.to_owned()));
        }
    };
    let place = || format!("{what} {}", path.display());
    let inputs = Inputs::parse(&super::read(path)?, &spec.schema).with_context(place)?;
    let rows = inputs.goldens(ranges::ROWS, &spec.schema).with_context(place)?;
    let (found, run) = ranges::find(spec, &rows).with_context(place)?;
    Ok((found, format!("ranges for int8 from {run} rows of {what} {}", path.display())))
}

/// What the caller says of the model's origin, and what was packed from what.
fn provenance(args: &Args, weights_path: &Path, weights: &[u8]) -> Result<String> {
    let mut document = match &args.provenance {
        Some(path) => {
            let text =
                String::from_utf8(super::read(path)?).with_context(|| format!("{}: not UTF-8", path.display()))?;
            text.parse::<toml::Table>().with_context(|| format!("provenance {}", path.display()))?
        }
        None => toml::Table::new(),
    };
    let name = |path: &Path| path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let mut pack = toml::Table::new();
    pack.insert("weights".into(), name(weights_path).into());
    pack.insert("weights_xxh3".into(), format!("{:016x}", checksum(weights)).into());
    if let Some(path) = &args.schema {
        pack.insert("schema".into(), name(path).into());
        pack.insert("schema_xxh3".into(), format!("{:016x}", checksum(&super::read(path)?)).into());
    }
    if let Some(rate) = args.downsampling {
        pack.insert("downsampling".into(), rate.into());
    }
    ensure!(!document.contains_key("pack"), "the provenance document has a table [pack], which this command writes");
    document.insert("pack".into(), pack.into());
    Ok(document.to_string())
}

/// The bytes of a calibrators file, after a look whether they are any, and whether they correct for downsampling a second time.
pub(super) fn calibrators(path: &Path, downsampling: Option<f64>) -> Result<Vec<u8>> {
    let bytes = super::read(path)?;
    let place = || format!("calibrators {}", path.display());
    let container = Container::open(&bytes, ArtifactKind::Calibrators, &["calibrators"]).with_context(place)?;
    let section = container.require("calibrators").with_context(place)?;
    let read = Calibrators::decode(&bytes[section.offset..section.offset + section.len]).with_context(place)?;
    let keep_rate = read.ctr.keep_rate();
    if let Some(rate) = downsampling.filter(|&rate| rate < 1.0 && keep_rate < 1.0) {
        bail!(
            "--downsampling {rate}: {} correct for a keep rate of {keep_rate} already, and both together would correct twice: \
             give one of the two",
            place()
        );
    }
    Ok(bytes)
}

/// The bytes of a policy, after a look whether they are one.
pub(super) fn policy(path: &Path) -> Result<Vec<u8>> {
    let bytes = super::read(path)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("policy {}: not UTF-8", path.display()))?;
    Policy::parse(text).with_context(|| format!("policy {}", path.display()))?;
    Ok(bytes)
}
