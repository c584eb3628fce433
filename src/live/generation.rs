//! A generation: model, calibrators, policy and tables of one bundle, checked and ready to serve.

use std::path::Path;
use std::sync::Arc;

use super::open::{Opened, Opening, content, join, open_file, open_model, open_table};
use crate::artifact::model::Model;
use crate::auction::Policy;
use crate::bundle::{Manifest, Role, parse_serving};
use crate::calibrate::{Calibrators, decode_calibrators};
use crate::enrich::{Assembler, Tables};
use crate::error::{Error, Result};
use crate::infer::{Arithmetic, Plan};
use crate::model::{AdCache, AdCacheInfo, KeptSums, Limits, Serving};
use crate::table::{Table, TableSource};
use crate::types::Precision;

/// Everything that a request reads, published as one.
#[derive(Debug)]
pub struct Generation {
    id: u64,
    pub(super) model: Opened<Model>,
    pub(crate) assembler: Assembler,
    pub(crate) plan: Arc<Plan>,
    pub(crate) serving: Serving,
    pub(crate) ads: KeptSums,
    calibrators: Calibrators,
    policy: Policy,
    pub(super) files: Vec<Opened<Table>>,
    tables: Vec<TableSource>,
    /// For each table that the model reads its number in the engine.
    numbers: Vec<usize>,
    needs: Limits,
}

/// All of a generation that has to do with its files alone: checked, and good for the engine's scorers. What is refused
/// ends before this, so that the engine keeps no name of it.
struct Checked {
    id: u64,
    model: Opened<Model>,
    plan: Arc<Plan>,
    serving: Serving,
    ads: KeptSums,
    calibrators: Calibrators,
    policy: Policy,
    files: Vec<Opened<Table>>,
    tables: Vec<TableSource>,
    needs: Limits,
}

/// How often a bundle is opened that is replaced meanwhile.
const MOST_REPLACED: usize = 16;

impl Generation {
    /// Opens a bundle: checks the manifest, every file's length and checksum and content, compiles what the model reads
    /// from tables, runs the golden requests on the kernel and brings the model's pages in. `handle` gives the handle of a
    /// feature's input name; it is asked when all of that went well.
    ///
    /// Tables that the model does not read are opened and checked like the others, and left alone. A bundle that is
    /// replaced meanwhile is opened again, and refused if that goes on: what is returned is never of two.
    ///
    /// # Errors
    /// `Io`, `Corrupt`, `Unsupported` or `GoldenMismatch`; the message names the file, and when tables are not what the
    /// model reads them as the feature, too. `CapacityExceeded` when there is no memory for what lies on top of tables,
    /// `Closed` when it is called off.
    pub fn open(bundle: &Path, how: Opening<'_>, handle: impl FnMut(&str) -> u32) -> Result<Self> {
        let mut listed = Manifest::read_stamped(bundle)?;
        for _ in 0..MOST_REPLACED {
            how.cancel.check()?;
            let opened = Checked::open(&listed.0, bundle, how);
            let now = Manifest::read_stamped(bundle)?;
            // The stamp tells of a bundle that was replaced by another one and came back meanwhile.
            if now == listed {
                return opened?.bind(how, handle).map_err(|e| e.within(bundle.display()));
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

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model.content
    }

    /// All tables of the bundle, those that the model does not read included, in the order of their first files.
    #[must_use]
    pub fn tables(&self) -> &[TableSource] {
        &self.tables
    }

    /// For each table that the model reads its number in the engine.
    pub(crate) fn table_numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The features of whose inputs requests passed values with the wrong side, and how many values.
    pub(crate) fn wrong_sides(&self) -> impl Iterator<Item = (u32, u64)> {
        let counts = (0..self.model().schema().features.len()).map(|i| (i as u32, self.assembler.wrong_side(i)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Bytes of the model and table files, without those that `other` has open too.
    pub(crate) fn file_bytes_beside(&self, other: Option<&Self>) -> u64 {
        let model = match other {
            Some(other) if Arc::ptr_eq(&self.model.content, &other.model.content) => 0,
            _ => self.model.entry.bytes,
        };
        let shared = |file: &Opened<Table>| {
            other.is_some_and(|other| other.files.iter().any(|o| Arc::ptr_eq(&o.content, &file.content)))
        };
        model + self.files.iter().filter(|file| !shared(file)).map(|file| file.entry.bytes).sum::<u64>()
    }

    /// Bytes of its ad cache, if `other` has not the same one.
    pub(crate) fn ad_cache_bytes_beside(&self, other: Option<&Self>) -> u64 {
        match (self.kept(), other.and_then(Self::kept)) {
            (Some(own), Some(others)) if std::ptr::eq(own, others) => 0,
            _ => self.ads.info.bytes,
        }
    }

    /// The calibrators.
    #[must_use]
    pub fn calibrators(&self) -> &Calibrators {
        &self.calibrators
    }

    /// The auction policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is kept of every ad, and what that takes.
    #[must_use]
    pub fn ad_cache(&self) -> AdCacheInfo {
        self.ads.info
    }

    /// The sums that are kept of ads.
    pub(crate) fn kept(&self) -> Option<&AdCache> {
        self.ads.cache.as_deref()
    }

    /// The precision that was asked for and the one that it is served in here; when they differ, why.
    #[must_use]
    pub fn precision(&self) -> (Precision, Precision, Option<&str>) {
        (self.serving.wanted, self.serving.precision, self.serving.reason.as_deref())
    }

    /// What multiplies in the first pass of `auction-exact`: `Int8` or `Bf16`. None when something else is served.
    #[must_use]
    pub fn first_pass(&self) -> Option<Precision> {
        self.serving.first_pass().map(|fast| match fast.arithmetic {
            Arithmetic::Int8 => Precision::Int8,
            Arithmetic::Bf16 => Precision::Bf16,
            Arithmetic::Exact => Precision::Exact,
        })
    }

    /// What a scorer must hold to serve this generation.
    #[must_use]
    pub fn needs(&self) -> Limits {
        self.needs
    }
}

impl Checked {
    /// Opens the files that a manifest lists.
    fn open(manifest: &Manifest, bundle: &Path, how: Opening<'_>) -> Result<Self> {
        let here = |e: Error| e.within(bundle.display());
        let entry = manifest.file(Role::Model).ok_or_else(|| Error::corrupt("the bundle has no model"))?;
        let (model, plan) = open_model(bundle, entry, how)?;
        let calibrators = small(manifest, bundle, how, Role::Calibrators, decode_calibrators)?.unwrap_or_default();
        let policy =
            small(manifest, bundle, how, Role::Policy, |bytes| Policy::parse(text(bytes)?))?.unwrap_or_default();
        let wanted = small(manifest, bundle, how, Role::Serving, |bytes| parse_serving(text(bytes)?))?;
        let wanted = how.precision.or(wanted).unwrap_or(Precision::Exact);
        let serving = serving(&model, &plan, how, wanted)?;
        let files = manifest.tables().map(|entry| open_table(bundle, entry, how)).collect::<Result<Vec<_>>>()?;
        let tables = join(&files).map_err(here)?;
        let compiled = Tables::compile(model.content.schema(), model.content.enrichment(), &tables).map_err(here)?;
        let ads = KeptSums::prepare(how, &model.content, &plan, serving.precision, &tables).map_err(here)?;
        let fast = serving.fast.as_ref().map_or(0, |fast| fast.plan.scratch_len());
        let exact = ads.cache.as_ref().map_or(plan.scratch_len(), |kept| kept.keeping.scratch_len());
        let needs = Limits {
            scratch: exact.max(fast),
            features: model.content.schema().features.len(),
            width: model.content.layout().width,
            tables: compiled.len(),
            row_bytes: compiled.row_bytes(),
        };
        if let Some(limits) = how.limits {
            needs.fit(limits).map_err(here)?;
        }
        Ok(Self { id: manifest.generation(), model, plan, serving, ads, calibrators, policy, files, tables, needs })
    }

    /// Joins it with what the engine knows by name: handles of features, what lies on top of tables.
    fn bind(mut self, how: Opening<'_>, mut handle: impl FnMut(&str) -> u32) -> Result<Generation> {
        if let Some(overlays) = how.overlays {
            overlays.bind(&mut self.tables)?;
        }
        let (schema, enrichment) = (self.model.content.schema(), self.model.content.enrichment());
        let compiled = Tables::compile(schema, enrichment, &self.tables)?;
        let handles: Vec<u32> = schema.features.iter().map(|f| handle(&f.input)).collect();
        let assembler = Assembler::new(&self.model.content, compiled, |i, _| handles[i]);
        let number = |name| how.overlays.map_or(usize::MAX, |overlays| overlays.number(name));
        let numbers = assembler.tables().names().map(number).collect();
        let Self { id, model, plan, serving, ads, calibrators, policy, files, tables, needs } = self;
        Ok(Generation { id, model, assembler, plan, serving, ads, calibrators, policy, files, tables, numbers, needs })
    }
}

/// The longest policy and the longest file that says how a bundle is served, in bytes. Read as TOML, it takes a hundred times
/// as much at worst.
const MOST_SMALL: u64 = 64 << 10;

/// What a small file holds, if the bundle has one of this role. Its length is looked at before it is read.
fn small<T>(
    manifest: &Manifest,
    bundle: &Path,
    how: Opening<'_>,
    role: Role,
    read: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<Option<T>> {
    let Some(entry) = manifest.file(role) else { return Ok(None) };
    let named = |e: Error| content(e).within(bundle.join(&entry.name).display());
    if entry.bytes > MOST_SMALL && role != Role::Calibrators {
        let message = format!("{} bytes, expected at most {MOST_SMALL}: not what it should be", entry.bytes);
        return Err(named(Error::corrupt(message)));
    }
    read(&open_file(bundle, entry, how, true)?).map(Some).map_err(named)
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|e| Error::corrupt(format!("not UTF-8 at offset {}", e.valid_up_to())))
}

/// How the model is served: as in an earlier generation that shares it, or prepared here.
fn serving(model: &Opened<Model>, plan: &Arc<Plan>, how: Opening<'_>, wanted: Precision) -> Result<Serving> {
    let same = |earlier: &&Arc<Generation>| Arc::ptr_eq(&earlier.plan, plan) && earlier.serving.wanted == wanted;
    match how.earlier.iter().find(same) {
        Some(earlier) => Ok(earlier.serving.clone()),
        None => Serving::prepare(&model.content, how.kernel, wanted),
    }
}
