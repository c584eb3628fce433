//! `adclick pack`.

use std::io::Write;
use std::path::{Path, PathBuf};

use adclick::artifact::container::{ArtifactKind, Container};
use adclick::auction::Policy;
use adclick::calibrate::Calibrators;
use adclick::hash::checksum;
use adclick::live::bundle::{self, CALIBRATORS_FILE, MODEL_FILE, POLICY_FILE, Role};
use adclick::live::pack_model;
use anyhow::{Context, Result, ensure};

use crate::pack::inputs::Inputs;
use crate::pack::{self, goldens};
use crate::schema_file::SchemaFile;

/// Turn weights and a schema into a bundle.
///
/// Weights are a safetensors state dict (F64, F32, F16, BF16). Tensors are recognised by name; docs/pack.md lists the
/// names, and the schema's [tensors] table maps others. BatchNorm is folded in f64. Without a schema the model is taken
/// to be over ready input columns.
#[derive(clap::Args)]
pub struct Args {
    /// The state dict, as safetensors.
    #[arg(long)]
    weights: PathBuf,
    /// The schema file (TOML).
    #[arg(long)]
    schema: Option<PathBuf>,
    /// The bundle directory to write.
    #[arg(long)]
    out: PathBuf,
    /// Calibrators, as `adclick calibrate` writes them.
    #[arg(long)]
    calibrators: Option<PathBuf>,
    /// The auction policy (TOML).
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Inputs as for `adclick score`: the first 16 rows become the bundle's golden requests instead of made-up ones.
    #[arg(long)]
    goldens: Option<PathBuf>,
    /// The share of negatives that training kept, when it was not all: logits are corrected by ln of it.
    #[arg(long, value_name = "RATE")]
    downsampling: Option<f64>,
    /// A TOML document that says where the model comes from; kept in the bundle.
    #[arg(long)]
    provenance: Option<PathBuf>,
    /// Leave out tensors that belong to nothing instead of refusing them.
    #[arg(long)]
    allow_unused: bool,
    /// Replace the bundle if there is one.
    #[arg(long)]
    replace: bool,
    /// Make the bundle the live one: write CURRENT beside it.
    #[arg(long)]
    publish: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// How many golden requests a bundle holds.
const GOLDENS: usize = 16;

pub(super) fn run(args: Args) -> Result<()> {
    let weights = read(&args.weights)?;
    let schema = args.schema.as_deref().map(SchemaFile::read).transpose()?;
    let options = pack::Options {
        downsampling: args.downsampling,
        allow_unused: args.allow_unused,
        provenance: provenance(&args, &weights)?,
    };
    let mut packed = pack::model(&weights, schema.as_ref(), &options)
        .with_context(|| format!("weights {}", args.weights.display()))?;
    let spec = &mut packed.spec;
    spec.goldens = match &args.goldens {
        Some(path) => {
            let place = || format!("golden requests {}", path.display());
            let inputs = Inputs::parse(&read(path)?, &spec.schema).with_context(place)?;
            inputs.goldens(GOLDENS, &spec.schema).with_context(place)?
        }
        None => goldens::made_up(GOLDENS, &spec.schema, &spec.embeddings),
    };
    let model = pack_model(spec).with_context(|| format!("weights {}", args.weights.display()))?;
    let calibrators = args.calibrators.as_deref().map(calibrators).transpose()?;
    let policy = args.policy.as_deref().map(policy).transpose()?;
    let mut files: Vec<(Role, &str, &[u8])> = vec![(Role::Model, MODEL_FILE, &model)];
    if let Some(bytes) = &calibrators {
        files.push((Role::Calibrators, CALIBRATORS_FILE, bytes));
    }
    if let Some(bytes) = &policy {
        files.push((Role::Policy, POLICY_FILE, bytes));
    }
    let generation = format!("{:016x}", bundle::write(&args.out, &files, args.replace)?);
    if args.publish {
        bundle::publish(&args.out)?;
    }
    let bytes: usize = files.iter().map(|f| f.2.len()).sum();
    for warning in &packed.warnings {
        eprintln!("warning: {warning}");
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let summary = serde_json::json!({
            "bundle": args.out.display().to_string(),
            "generation": generation,
            "bytes": bytes,
            "goldens": packed.spec.goldens.len(),
            "published": args.publish,
            "notes": packed.notes,
            "warnings": packed.warnings,
        });
        writeln!(out, "{summary}")?;
    } else {
        for note in &packed.notes {
            writeln!(out, "{note}")?;
        }
        writeln!(
            out,
            "packed generation {generation} into {}: {bytes} bytes, {} golden requests{}",
            args.out.display(),
            packed.spec.goldens.len(),
            if args.publish { ", published" } else { "" }
        )?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What the caller says of the model's origin, and what was packed from what.
fn provenance(args: &Args, weights: &[u8]) -> Result<String> {
    let mut document = match &args.provenance {
        Some(path) => {
            let text = String::from_utf8(read(path)?).with_context(|| format!("{}: not UTF-8", path.display()))?;
            text.parse::<toml::Table>().with_context(|| format!("provenance {}", path.display()))?
        }
        None => toml::Table::new(),
    };
    let name = |path: &Path| path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let mut pack = toml::Table::new();
    pack.insert("weights".into(), name(&args.weights).into());
    pack.insert("weights_xxh3".into(), format!("{:016x}", checksum(weights)).into());
    if let Some(path) = &args.schema {
        pack.insert("schema".into(), name(path).into());
        pack.insert("schema_xxh3".into(), format!("{:016x}", checksum(&read(path)?)).into());
    }
    if let Some(rate) = args.downsampling {
        pack.insert("downsampling".into(), rate.into());
    }
    ensure!(!document.contains_key("pack"), "the provenance document has a table [pack], which this command writes");
    document.insert("pack".into(), pack.into());
    Ok(document.to_string())
}

/// The bytes of a calibrators file, after a look whether they are any.
fn calibrators(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    let place = || format!("calibrators {}", path.display());
    let container = Container::open(&bytes, ArtifactKind::Calibrators, &["calibrators"]).with_context(place)?;
    let section = container.require("calibrators").with_context(place)?;
    Calibrators::decode(&bytes[section.offset..section.offset + section.len]).with_context(place)?;
    Ok(bytes)
}

/// The bytes of a policy, after a look whether they are one.
fn policy(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("policy {}: not UTF-8", path.display()))?;
    Policy::parse(text).with_context(|| format!("policy {}", path.display()))?;
    Ok(bytes)
}
