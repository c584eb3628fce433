//! The base of a bundle: a model from weights, or all of an earlier bundle.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::serving_text;
use adclick::builder::bundle::{CALIBRATORS_FILE, Entry, MODEL_FILE, Manifest, POLICY_FILE, Role, SERVING_FILE};
use adclick::builder::schema::Enrichment;
use adclick::builder::table::{Checks, Shard};
use adclick_data::schema_file::SchemaFile;
use anyhow::{Context, Result};

use super::Job;
use super::model::{self, PackedModel};
use crate::bundle::{BundlePart, Holds, open_table, resolve};

/// The base that tables are added to.
pub(super) enum Base {
    /// Nothing: only tables are written.
    None,
    /// A new model.
    Model(Box<PackedModel>),
    /// An earlier bundle.
    Bundle(Bundle),
}

/// An earlier bundle.
pub(super) struct Bundle {
    path: PathBuf,
    manifest: Manifest,
    enrichment: Enrichment,
    tables: Vec<OldTable>,
}

/// A table file of an earlier bundle.
struct OldTable {
    name: String,
    shard: Shard,
    path: PathBuf,
    entry: Entry,
}

impl Base {
    /// Packs the weights, or opens the earlier bundle.
    pub(super) fn new(job: &Job, schema: Option<&SchemaFile>) -> Result<Self> {
        match (&job.weights, &job.from) {
            (Some(weights), _) => Ok(Self::Model(Box::new(model::pack(job, weights, schema)?))),
            (None, Some(from)) => Ok(Self::Bundle(Bundle::read(&resolve(from)?)?)),
            (None, None) => Ok(Self::None),
        }
    }

    /// The model's reads from tables; `None` without a model.
    pub(super) fn enrichment(&self) -> Option<&Enrichment> {
        match self {
            Self::None => None,
            Self::Model(packed) => Some(&packed.spec.enrichment),
            Self::Bundle(old) => Some(&old.enrichment),
        }
    }

    /// A table file of the earlier bundle.
    pub(super) fn table(&self, name: &str) -> Option<&Path> {
        let Self::Bundle(old) = self else { return None };
        old.tables.iter().find(|t| t.name == name).map(|t| t.path.as_path())
    }

    /// All files of the bundle: those of this base, with calibrators, policy and precision as given, and with new
    /// tables in place of old ones.
    pub(super) fn parts(&self, job: &Job, tables: Vec<BundlePart>) -> Result<Vec<BundlePart>> {
        let mut parts = vec![match self {
            Self::Model(packed) => BundlePart::new(Role::Model, MODEL_FILE, Holds::Bytes(packed.bytes.clone())),
            Self::Bundle(old) => old.carried(Role::Model).context("the bundle has no model")?,
            Self::None => return Ok(tables),
        }];
        let old = |role| if let Self::Bundle(old) = self { old.carried(role) } else { None };
        match &job.calibrators {
            Some(path) => {
                let holds = Holds::Bytes(model::calibrators(path, job.downsampling)?);
                parts.push(BundlePart::new(Role::Calibrators, CALIBRATORS_FILE, holds));
            }
            None => parts.extend(old(Role::Calibrators)),
        }
        match &job.policy {
            Some(path) => {
                let holds = Holds::Bytes(model::policy(path)?);
                parts.push(BundlePart::new(Role::Policy, POLICY_FILE, holds));
            }
            None => parts.extend(old(Role::Policy)),
        }
        match job.precision {
            Some(precision) => {
                let holds = Holds::Bytes(serving_text(precision).into_bytes());
                parts.push(BundlePart::new(Role::Serving, SERVING_FILE, holds));
            }
            None => parts.extend(old(Role::Serving)),
        }
        let mut all = tables;
        if let Self::Bundle(old) = self {
            let carried: Vec<BundlePart> = old.unreplaced(&all)?;
            all.extend(carried);
        }
        // The same tables give the same generation, in any order.
        all.sort_by(|a, b| a.name.cmp(&b.name));
        parts.extend(all);
        Ok(parts)
    }
}

impl Bundle {
    fn read(path: &Path) -> Result<Self> {
        let manifest = Manifest::read(path)?;
        let entry = manifest.file(Role::Model).context("the bundle has no model")?;
        let file = path.join(&entry.name);
        let model = Model::open(Bytes::open(&file, OpenMode::Map)?).with_context(|| file.display().to_string())?;
        let enrichment = model.enrichment().clone();
        let mut tables = Vec::new();
        for entry in manifest.tables() {
            let file = path.join(&entry.name);
            let table = open_table(&file, Checks::Structure)?;
            let (name, shard) = (table.name().to_owned(), table.shard());
            tables.push(OldTable { name, shard, path: file, entry: entry.clone() });
        }
        Ok(Self { path: path.to_owned(), manifest, enrichment, tables })
    }

    fn carried(&self, role: Role) -> Option<BundlePart> {
        Some(BundlePart::carried(&self.path, self.manifest.file(role)?))
    }

    /// The tables that are carried over: all except those that new ones replace. A single shard of a table may be
    /// replaced.
    fn unreplaced(&self, new: &[BundlePart]) -> Result<Vec<BundlePart>> {
        let mut replaced = Vec::new();
        for part in new {
            let (Holds::Copy(path) | Holds::Link(path)) = &part.holds else { continue };
            let table = open_table(path, Checks::Structure)?;
            replaced.push((table.name().to_owned(), table.shard()));
        }
        let stays = |old: &&OldTable| {
            !replaced.iter().any(|(name, shard)| {
                *name == old.name && (shard.count != old.shard.count || shard.index == old.shard.index)
            })
        };
        Ok(self.tables.iter().filter(stays).map(|old| BundlePart::carried(&self.path, &old.entry)).collect())
    }
}
