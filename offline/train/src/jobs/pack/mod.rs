//! Packs weights, a schema and tables into a bundle, or renews the tables of one.

mod base;
mod model;
mod tables;

use std::path::PathBuf;

use adclick::Precision;
use adclick::builder::Named;
use adclick::builder::bundle::{self, Manifest};
use adclick_data::progress::Progress;
use adclick_data::schema_file::SchemaFile;
use adclick_data::setting::require;
use adclick_data::tables::TableSummary;
use anyhow::Result;

use super::{BundleTarget, warn_of_bad_rows};
use crate::bundle::{Beside, open_untouched, place_tables};
use crate::pack::expect::Quantity;
use crate::pack::taken;
use base::Base;
pub use model::PackedModel;
use tables::TableStep;
pub(super) use tables::for_training;
pub use tables::{GivenTable, GivenTables};

/// A packing job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The state dict, as safetensors. One of this and `from` is required, except for [`tables_only`].
    pub weights: Option<PathBuf>,
    /// An earlier bundle, or the directory whose `CURRENT` names one: parts that are not given are carried over from
    /// it.
    pub from: Option<PathBuf>,
    /// The schema file.
    pub schema: Option<PathBuf>,
    /// The tables.
    pub tables: GivenTables,
    /// A file of calibrators.
    pub calibrators: Option<PathBuf>,
    /// The auction policy (TOML).
    pub policy: Option<PathBuf>,
    /// Inputs whose first 16 rows become golden requests; without them golden requests are generated.
    pub goldens: Option<PathBuf>,
    /// The original model's outputs for the rows of `goldens`.
    pub expect: Option<PathBuf>,
    /// The contents of `expect`, when its names do not tell.
    pub expect_as: Option<Quantity>,
    /// The tolerance of a logit against that of `expect`, as a share of its size, or of 1 when it is smaller.
    pub tolerance: f64,
    /// Rows that give the ranges that int8 needs; without them those of `goldens` are used.
    pub rows: Option<PathBuf>,
    /// The precision that the bundle is to be served in; `None` = exact, or that of `from`.
    pub precision: Option<Precision>,
    /// The share of negatives that training kept, if it dropped some.
    pub downsampling: Option<f64>,
    /// A TOML document that says where the model comes from.
    pub provenance: Option<PathBuf>,
    /// Whether unknown tensors are left out instead of refused.
    pub allow_unused: bool,
    /// Whether details that neither weights nor schema give are refused instead of assumed.
    pub no_assumptions: bool,
    /// The target: a bundle, or for [`tables_only`] a directory of table files.
    pub target: BundleTarget,
}

/// The result of packing.
pub struct Done {
    /// The generation of the bundle.
    pub generation: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// The model that was packed; `None` when it was carried over.
    pub model: Option<Box<PackedModel>>,
    /// The tables that were built.
    pub tables: Vec<TableSummary>,
    /// The precision that the bundle asks for.
    pub wanted: Precision,
    /// The precision that this CPU serves it in.
    pub here: Precision,
    /// The reason why that is another one.
    pub reason: Option<String>,
}

/// Packs a bundle.
///
/// # Errors
/// Files that cannot be read or do not go together, a model that differs from the original, and anything that an engine
/// would refuse; then nothing is written.
pub fn pack(job: &Job, progress: &Progress) -> Result<Done> {
    let schema = job.schema.as_deref().map(SchemaFile::read).transpose()?;
    let out = &job.target.path;
    let beside = Beside::of(out, job.target.replace)?;
    let base = Base::new(job, schema.as_ref())?;
    let steps = job.tables.plan(schema.as_ref(), &base)?;
    tables::check_names(&steps, &base)?;
    let (files, tables) = job.tables.run(steps, beside.path(), progress)?;
    let parts = base.parts(job, files)?;
    let generation = beside.write(out, &parts, job.target.replace)?;
    if job.target.publish {
        bundle::publish(out)?;
    }
    let bytes = Manifest::read(out)?.files.iter().map(|f| f.bytes).sum();
    let model = match base {
        Base::Model(packed) => Some(packed),
        _ => None,
    };
    if let Some(packed) = &model {
        packed.warnings.iter().for_each(|warning| progress.warn(warning));
        if let Some(text) = unproven(packed) {
            progress.warn(&text);
        }
    }
    let opened = open_untouched(out)?;
    let (wanted, here, reason) = opened.precision();
    if let Some(reason) = reason {
        progress.warn(&format!("{} would be served exact here: {reason}", wanted.name()));
    }
    warn_of_bad_rows(&tables, progress);
    Ok(Done { generation, bytes, model, tables, wanted, here, reason: reason.map(str::to_owned) })
}

/// Builds only table files, in the directory of the target.
///
/// # Errors
/// Data files that cannot be read or packed; files there that are not to be replaced.
pub fn tables_only(job: &Job, progress: &Progress) -> Result<Vec<TableSummary>> {
    let schema = job.schema.as_deref().map(SchemaFile::read).transpose()?;
    require!(!job.tables.given.is_empty(), [Table], "no table is given: say which tables to build");
    let steps = job.tables.plan(schema.as_ref(), &Base::None)?;
    for step in &steps {
        require!(
            matches!(step, TableStep::Build(..)),
            [TablesOnly],
            "there is nothing to build: the files of table `{}` are packed already",
            step.name()
        );
    }
    let beside = Beside::next_to(&job.target.path)?;
    let (parts, summaries) = job.tables.run(steps, beside.path(), progress)?;
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    place_tables(beside.path(), &names, &job.target.path, job.target.replace)?;
    warn_of_bad_rows(&summaries, progress);
    Ok(summaries)
}

/// Lists the assumptions that nothing has confirmed.
fn unproven(packed: &PackedModel) -> Option<String> {
    if let Some(proof) = &packed.proof {
        let untold = proof.untold.join("; ");
        return (!untold.is_empty()).then(|| {
            format!("the outputs fit as well {untold}: these rows do not tell; give more, and different ones")
        });
    }
    let open = taken::open(&packed.taken);
    (!open.is_empty()).then(|| {
        format!(
            "nothing proves the {}: compare with golden inputs and their expected outputs, or say it in the schema",
            open.join(", ")
        )
    })
}
