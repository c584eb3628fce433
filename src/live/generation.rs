//! A generation: the scoring model, tables and policy of one bundle, checked and ready to serve.

use std::path::Path;
use std::sync::Arc;

use super::open::{Files, Opened};
use super::options::StagingOptions;
use crate::artifact::model::Model;
use crate::auction::Policy;
use crate::bundle::{Manifest, Role, parse_serving};
#[cfg(feature = "builder")]
use crate::calibrate::Calibrators;
use crate::calibrate::decode_calibrators;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::hash::category_id;
#[cfg(feature = "builder")]
use crate::infer::Kernel;
use crate::model::{AdCacheInfo, Limits, PlannedModel, Preparation, Prepared, ScoringModel};
use crate::overlay::Overlays;
use crate::table::{Table, TableSource, join_shards};
use crate::types::Precision;

/// The options for opening a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Options that do not change from one bundle to the next.
    pub staging: StagingOptions,
    /// Generations opened with the same options. A model or table file with the length and checksum of one of theirs is
    /// not read again; its map and the checks it has passed are shared.
    pub earlier: &'a [Arc<Generation>],
    /// The overlays of tables; none: the tables alone.
    pub overlays: Option<&'a Overlays>,
    /// The limits of existing scorers, which must be able to serve the generation; none: there are no scorers yet.
    pub limits: Option<Limits>,
    /// Whether to continue opening: checked between golden requests, tables, and parts of large files.
    pub cancel: Cancel<'a>,
}

impl Opening<'_> {
    /// [`StagingOptions::new`], nothing shared.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn new(kernel: &'static Kernel) -> Self {
        Self {
            staging: StagingOptions::new(kernel),
            earlier: &[],
            overlays: None,
            limits: None,
            cancel: Cancel::default(),
        }
    }
}

/// Everything that a request reads, published at once.
#[derive(Debug)]
pub struct Generation {
    id: u64,
    scoring: ScoringModel,
    policy: Policy,
    policy_id: u64,
    tables: Vec<TableSource>,
    model_file: Opened<PlannedModel>,
    table_files: Vec<Opened<Arc<Table>>>,
}

/// The part of a generation that depends only on its files: checked, and within the limits of the engine's scorers. Any
/// refusal comes before this, so that the engine keeps no names of a refused bundle.
struct Checked {
    id: u64,
    scoring: Prepared,
    policy: Policy,
    policy_id: u64,
    tables: Vec<TableSource>,
    model_file: Opened<PlannedModel>,
    table_files: Vec<Opened<Arc<Table>>>,
}

/// How often to retry opening a bundle that is being replaced.
const MOST_REPLACED: usize = 16;

impl Generation {
    /// Opens a bundle: checks the manifest and every file's length, checksum and content, compiles the model's reads
    /// from tables, runs the golden requests on the kernel and brings the model's pages into memory. `handle` gives the
    /// handle of a feature's input name; it is called after all checks have passed.
    ///
    /// Tables that the model does not read are opened and checked like the others, but not used. A bundle that is
    /// replaced meanwhile is opened again, and refused if that keeps happening: the result is never a mix of two.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Unsupported` or `GoldenMismatch`; the message names the file, and also the feature when the
    /// model cannot read a table. `CapacityExceeded` when there is no memory for overlays, `Closed` when cancelled.
    pub fn open(bundle: &Path, how: Opening<'_>, handle: impl FnMut(&str) -> u32) -> Result<Self> {
        let mut listed = Manifest::read_stamped(bundle)?;
        for _ in 0..MOST_REPLACED {
            how.cancel.check()?;
            let opened = Checked::open(&listed.0, bundle, how);
            let now = Manifest::read_stamped(bundle)?;
            // The stamp reveals a bundle that was replaced by another one and came back meanwhile.
            if now == listed {
                return opened?.bind(how.overlays, handle).map_err(|e| e.within(bundle.display()));
            }
            listed = now;
        }
        let why = "was replaced again and again while it was opened: open it when it stays, or publish under new names";
        Err(Error::corrupt(why).within(bundle.display()))
    }

    /// The id: the hash of the bundle's content, never 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The model that requests are scored with.
    #[inline]
    #[must_use]
    pub fn scoring(&self) -> &ScoringModel {
        &self.scoring
    }

    /// The model's file.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        self.scoring.file()
    }

    /// All tables of the bundle, including those that the model does not read, in the order of their first files.
    #[must_use]
    pub fn tables(&self) -> &[TableSource] {
        &self.tables
    }

    /// Bytes of the model and table files, without those that `other` also has open.
    pub(crate) fn file_bytes_beside(&self, other: Option<&Self>) -> u64 {
        let shares_model = other.is_some_and(|other| other.model_file.content.is(&self.model_file.content));
        let model = if shares_model { 0 } else { self.model_file.entry.bytes };
        let shared = |file: &Opened<Arc<Table>>| {
            other.is_some_and(|other| other.table_files.iter().any(|o| Arc::ptr_eq(&o.content, &file.content)))
        };
        model + self.table_files.iter().filter(|file| !shared(file)).map(|file| file.entry.bytes).sum::<u64>()
    }

    /// Bytes of its ad cache, unless `other` has the same one.
    pub(crate) fn ad_cache_bytes_beside(&self, other: Option<&Self>) -> u64 {
        self.scoring.ad_cache_bytes_beside(other.map(Self::scoring))
    }

    /// The calibrators.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn calibrators(&self) -> &Calibrators {
        self.scoring.calibrators()
    }

    /// The auction policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy's id for logs: the hash of its text, 0 for the default one.
    #[must_use]
    pub(crate) fn policy_id(&self) -> u64 {
        self.policy_id
    }

    /// The ad cache, and its size.
    #[must_use]
    pub fn ad_cache(&self) -> AdCacheInfo {
        self.scoring.ad_cache()
    }

    /// The precision that was requested and the one in which it is served here; when they differ, the reason.
    #[must_use]
    pub fn precision(&self) -> (Precision, Precision, Option<&str>) {
        self.scoring.precision()
    }

    /// The arithmetic of the first pass of `auction-exact`: `Int8` or `Bf16`. None when another precision is served.
    #[must_use]
    #[cfg(feature = "builder")]
    pub fn first_pass(&self) -> Option<Precision> {
        self.scoring.first_pass()
    }

    /// The scorer limits needed to serve this generation.
    #[must_use]
    pub fn needs(&self) -> Limits {
        self.scoring.needs()
    }
}

impl Checked {
    /// Opens the files listed in a manifest.
    fn open(manifest: &Manifest, bundle: &Path, how: Opening<'_>) -> Result<Self> {
        let here = |e: Error| e.within(bundle.display());
        let files = Files { bundle, staging: &how.staging, cancel: how.cancel };
        let entry = manifest.file(Role::Model).ok_or_else(|| Error::corrupt("the bundle has no model"))?;
        let model_file = files.model(entry, how.earlier.iter().map(|earlier| &earlier.model_file))?;
        let calibrators = files.small(manifest, Role::Calibrators, decode_calibrators)?.unwrap_or_default();
        let policy = files.small(manifest, Role::Policy, |bytes| {
            let text = text(bytes)?;
            Ok((Policy::parse(text)?, category_id(bytes)))
        });
        let (policy, policy_id) = policy?.unwrap_or_default();
        let wanted = files.small(manifest, Role::Serving, |bytes| parse_serving(text(bytes)?))?;
        let open_tables = || how.earlier.iter().flat_map(|earlier| &earlier.table_files);
        let table_files =
            manifest.tables().map(|entry| files.table(entry, open_tables())).collect::<Result<Vec<_>>>()?;
        let shards = table_files.iter().map(|file| (Arc::clone(&file.content), file.entry.name.as_str()));
        let tables = join_shards(shards).map_err(here)?;
        let earlier: Vec<&ScoringModel> = how.earlier.iter().map(|earlier| earlier.scoring()).collect();
        let preparation = Preparation {
            precision: how.staging.precision.or(wanted).unwrap_or(Precision::Exact),
            ad_cache_bytes: how.staging.ad_cache_bytes,
            id_sums_bytes: how.staging.id_sums_bytes,
            earlier: &earlier,
            cancel: how.cancel,
        };
        let scoring = Prepared::new(model_file.content.clone(), calibrators, &tables, preparation).map_err(here)?;
        if let Some(limits) = how.limits {
            scoring.needs().fit(limits).map_err(here)?;
        }
        Ok(Self { id: manifest.generation(), scoring, policy, policy_id, tables, model_file, table_files })
    }

    /// Connects it to the engine's names: handles of features, and overlays of tables.
    fn bind(self, overlays: Option<&Overlays>, handle: impl FnMut(&str) -> u32) -> Result<Generation> {
        let Self { id, scoring, policy, policy_id, mut tables, model_file, table_files } = self;
        if let Some(overlays) = overlays {
            overlays.bind(&mut tables)?;
        }
        let number = |name: &str| overlays.map_or(usize::MAX, |overlays| overlays.number(name));
        let scoring = scoring.bind(&tables, handle, number)?;
        Ok(Generation { id, scoring, policy, policy_id, tables, model_file, table_files })
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| Error::corrupt(format!("not UTF-8 at offset {}", e.valid_up_to())))
}
