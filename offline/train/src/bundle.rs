//! Bundles as the commands write and change them. The format is the core's: [`adclick::builder::bundle`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::Precision;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::serving_text;
use adclick::builder::bundle::{
    self, CALIBRATORS_FILE, CURRENT, Content, Entry, MODEL_FILE, Manifest, POLICY_FILE, Role, SERVING_FILE,
};
use adclick::builder::calibrate::Calibrators;
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::hash::checksum;
use adclick::builder::infer::Kernel;
use adclick::builder::live::{Generation, Opening, TableChecks};
use adclick::builder::table::{Checks, Table, TableSource, join_shards};
use adclick_data::files::is_table;
use adclick_data::setting::refuse;
use anyhow::{Context, Result, bail, ensure};

/// The files of a bundle: model, calibrators and policy in memory, tables where they are.
#[derive(Debug, Clone)]
pub struct BundleParts {
    /// The model file.
    pub model: Vec<u8>,
    /// The file of a published bundle that the model was read from, and its checksum. While the model is the same, it is
    /// linked and not written again.
    pub model_file: Option<(PathBuf, u64)>,
    /// Applied to the model's logits.
    pub calibrators: Calibrators,
    /// The text of the auction policy; `None` = the default one.
    pub policy: Option<String>,
    /// The precision that it is served in; `None` = exact.
    pub precision: Option<Precision>,
    /// The feature tables: files of a published bundle.
    pub tables: Vec<BundlePart>,
}

/// One file of a bundle that is to be written.
#[derive(Debug, Clone)]
pub struct BundlePart {
    /// What it is for.
    pub role: Role,
    /// Its name in the bundle.
    pub name: String,
    /// What it holds.
    pub holds: Holds,
    /// The checksum that it must have; for a file that is carried over, the one in its manifest.
    pub xxh3: Option<u64>,
}

/// What a file of a bundle holds.
#[derive(Debug, Clone)]
pub enum Holds {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file that is copied.
    Copy(PathBuf),
    /// A file of a published bundle, or one that no other process writes. It is linked if the system can.
    Link(PathBuf),
}

impl BundlePart {
    /// A new file.
    #[must_use]
    pub fn new(role: Role, name: &str, holds: Holds) -> Self {
        Self { role, name: name.to_owned(), holds, xxh3: None }
    }

    /// A file of another bundle as it is.
    #[must_use]
    pub fn carried(bundle: &Path, entry: &Entry) -> Self {
        let holds = Holds::Link(bundle.join(&entry.name));
        Self { role: entry.role, name: entry.name.clone(), holds, xxh3: Some(entry.xxh3) }
    }

    fn entry(&self) -> (Role, &str, Content<'_>) {
        let content = match &self.holds {
            Holds::Bytes(bytes) => Content::Bytes(bytes),
            Holds::Copy(path) => Content::Copy(path),
            Holds::Link(path) => Content::Link(path),
        };
        (self.role, &self.name, content)
    }
}

impl BundleParts {
    /// The files of an existing bundle, checked as an engine checks them.
    ///
    /// # Errors
    /// Any error in the bundle; the message names the file.
    pub fn read(path: &Path) -> Result<Self> {
        let generation = open(path)?;
        let manifest = Manifest::read(path)?;
        let file = |role| {
            let entry = manifest.file(role)?;
            let path = path.join(&entry.name);
            Some(
                adclick::builder::files::read_limited(&path, entry.bytes)
                    .with_context(|| format!("cannot read {}", path.display())),
            )
        };
        let tables = manifest.tables().map(|entry| BundlePart::carried(path, entry));
        Ok(Self {
            model: file(Role::Model).context("the bundle has no model")??,
            model_file: manifest.file(Role::Model).map(|entry| (path.join(&entry.name), entry.xxh3)),
            calibrators: generation.calibrators().clone(),
            policy: file(Role::Policy).transpose()?.map(String::from_utf8).transpose()?,
            precision: manifest.file(Role::Serving).map(|_| generation.precision().0),
            tables: tables.collect(),
        })
    }

    fn model_content(&self) -> Content<'_> {
        match &self.model_file {
            Some((path, xxh3)) if checksum(&self.model) == *xxh3 => Content::Link(path),
            _ => Content::Bytes(&self.model),
        }
    }

    /// Writes a bundle (beside, synced, renamed) and returns its generation. With `publish`, `CURRENT` beside it names it
    /// afterwards.
    ///
    /// # Errors
    /// When `path` exists and `replace` is false, or a file cannot be written; nothing is left half-written.
    pub fn write(&self, path: &Path, replace: bool, publish: bool) -> Result<u64> {
        let calibrators = encode_calibrators(&self.calibrators);
        let mut files = vec![
            (Role::Model, MODEL_FILE, self.model_content()),
            (Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&calibrators)),
        ];
        if let Some(policy) = &self.policy {
            files.push((Role::Policy, POLICY_FILE, Content::Bytes(policy.as_bytes())));
        }
        let serving = self.precision.map(serving_text);
        if let Some(text) = &serving {
            files.push((Role::Serving, SERVING_FILE, Content::Bytes(text.as_bytes())));
        }
        files.extend(self.tables.iter().map(BundlePart::entry));
        let generation = bundle::write_files(path, &files, replace)?;
        if publish {
            bundle::publish(path)?;
        }
        Ok(generation)
    }
}

/// The bundle itself, or the one that `CURRENT` in this directory names.
///
/// # Errors
/// A `CURRENT` that cannot be read or names no bundle.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    Ok(if path.join(CURRENT).exists() { bundle::current(path)? } else { path.to_owned() })
}

/// Opens a bundle as an engine on this machine would, golden requests included.
///
/// # Errors
/// Any error in the bundle; the message names the file.
pub fn open(path: &Path) -> Result<Generation> {
    Ok(Generation::open(path, Opening::new(Kernel::detect()), |_| 1)?)
}

/// The same, but without checking the rows of its tables.
///
/// # Errors
/// As [`open`].
pub fn open_untouched(path: &Path) -> Result<Generation> {
    let mut how = Opening::new(Kernel::detect());
    how.staging.tables = TableChecks::Lazy;
    Ok(Generation::open(path, how, |_| 1)?)
}

/// Opens a table file without reading its rows.
///
/// # Errors
/// When it is none, naming the file.
pub fn open_table(path: &Path, checks: Checks) -> Result<Table> {
    Table::open_with(Bytes::open(path, OpenMode::Map)?, checks).with_context(|| path.display().to_string())
}

/// Opens table files that are not in memory, shards of one table together. Their rows are not checked: they were just
/// written, or checked when they were taken.
///
/// # Errors
/// A file that is no table, or shards that do not go together.
pub fn open_tables(parts: &[BundlePart]) -> Result<Vec<TableSource>> {
    let mut tables = Vec::new();
    for part in parts {
        let (Holds::Copy(path) | Holds::Link(path)) = &part.holds else { continue };
        tables.push((Arc::new(open_table(path, Checks::Structure)?), part.name.as_str()));
    }
    Ok(join_shards(tables)?)
}

/// A directory beside a future bundle, on the same file system, for the files that go into it. It is removed with
/// whatever is left in it; the next command removes what a killed one left behind.
#[derive(Debug)]
pub struct Beside(adclick::builder::files::Beside);

impl Beside {
    /// Makes the directory.
    ///
    /// # Errors
    /// When something is at `bundle` and `replace` is false, or it is no bundle; or the directory cannot be made.
    pub fn of(bundle: &Path, replace: bool) -> Result<Self> {
        Self::next_to(&bundle::check_target(bundle, replace)?)
    }

    /// Makes the directory next to something that stays as it is.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn next_to(path: &Path) -> Result<Self> {
        let name = path.file_name().with_context(|| format!("{} ends in no name", path.display()))?;
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        Ok(Self(adclick::builder::files::Beside::make(parent, name)?))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a bundle and returns its generation. The bundle gets its name only after an engine on this machine has
    /// opened it, so a bundle that cannot be served is never left behind.
    ///
    /// # Errors
    /// What an engine would refuse, and files that cannot be written.
    pub fn write(&self, bundle: &Path, parts: &[BundlePart], replace: bool) -> Result<u64> {
        // Two entries of one name would write over a linked file, and so into the bundle that it comes from.
        if let Some((_, twice)) = parts.iter().enumerate().find(|(i, p)| parts[..*i].iter().any(|q| q.name == p.name)) {
            bail!("two files of the bundle would have the name {}", twice.name);
        }
        let trial = self.path().join("bundle");
        let files: Vec<_> = parts.iter().map(BundlePart::entry).collect();
        bundle::write_files(&trial, &files, true)?;
        for (part, entry) in parts.iter().zip(&Manifest::read(&trial)?.files) {
            let Some(expected) = part.xxh3 else { continue };
            ensure!(
                entry.xxh3 == expected,
                "{} was damaged in the bundle that it is carried over from: checksum {:016x}, its manifest says \
                 {expected:016x}; build it again",
                part.name,
                entry.xxh3
            );
        }
        // The rows need no second check: they were just written, or checked, or have an unchanged checksum.
        open_untouched(&trial).context("nothing was written, as an engine would refuse the bundle")?;
        let places: Vec<PathBuf> = parts.iter().map(|p| trial.join(&p.name)).collect();
        let linked: Vec<_> =
            parts.iter().zip(&places).map(|(p, at)| (p.role, p.name.as_str(), Content::Link(at))).collect();
        Ok(bundle::write_files(bundle, &linked, replace)?)
    }
}

/// Moves table files that were built in `from` into the directory `out`. With `replace`, existing table files are
/// replaced. Other files never are, and nothing is written into a bundle.
///
/// # Errors
/// Files that are in the way; then no file was moved.
pub fn place_tables(from: &Path, names: &[&str], out: &Path, replace: bool) -> Result<()> {
    ensure!(
        std::fs::symlink_metadata(out.join(bundle::MANIFEST)).is_err(),
        "{} is a bundle, and files of a bundle are never written in place: choose another directory",
        out.display()
    );
    for name in names {
        let place = out.join(name);
        match std::fs::symlink_metadata(&place) {
            Err(_) => {}
            Ok(_) if !replace => {
                refuse!(
                    [Replace],
                    "{} exists already: choose another directory, or ask for it to be replaced",
                    place.display()
                )
            }
            Ok(found) => ensure!(
                found.is_file() && is_table(&place),
                "{} is not replaced: it is not a table file; move it away yourself",
                place.display()
            ),
        }
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    for name in names {
        let place = out.join(name);
        std::fs::rename(from.join(name), &place).with_context(|| format!("cannot write {}", place.display()))?;
    }
    Ok(())
}
