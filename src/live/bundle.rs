//! Bundles: directories that hold the files of a generation and a manifest with their checksums; and `CURRENT`, the
//! file that names the live one. docs/format.md is normative.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::artifact::{Bytes, OpenMode};
use crate::error::{Error, Result, Status};
use crate::hash::checksum;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.toml";
/// The file, beside the bundles, that names the live one.
pub const CURRENT: &str = "CURRENT";
/// The file name of each role in bundles that this library writes.
pub const MODEL_FILE: &str = "model.adc";
/// The calibrators' file name.
pub const CALIBRATORS_FILE: &str = "calibrators.adc";
/// The auction policy's file name.
pub const POLICY_FILE: &str = "auction.toml";
/// The file name of how the bundle is served.
pub const SERVING_FILE: &str = "serving.toml";

/// What a file of a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The model. Every bundle has one.
    Model,
    /// The calibrators; without them probabilities are served as the model gives them.
    Calibrators,
    /// The auction policy; without it the default one.
    Policy,
    /// How it is served: the precision; without it exact.
    Serving,
    /// A feature table, or one shard of it. There may be many; each file says which table it is.
    Table,
}

impl Role {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Model, "model"),
        (Self::Calibrators, "calibrators"),
        (Self::Policy, "policy"),
        (Self::Serving, "serving"),
        (Self::Table, "table"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|r| r.0 == self).map_or("", |r| r.1)
    }
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is for.
    pub role: Role,
    /// Its name in the directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// XXH3-64 of its bytes.
    pub xxh3: u64,
}

/// The list of a bundle's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// One file for each role; of tables any number.
    pub files: Vec<Entry>,
}

impl Manifest {
    /// The generation's id: XXH3-64 of the lines `role name bytes xxh3\n`. The same content has the same id
    /// everywhere; 0 is no generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let lines: String =
            self.files.iter().map(|f| format!("{} {} {} {:016x}\n", f.role.name(), f.name, f.bytes, f.xxh3)).collect();
        checksum(lines.as_bytes()).max(1)
    }

    /// The files of feature tables.
    pub fn tables(&self) -> impl Iterator<Item = &Entry> {
        self.files.iter().filter(|f| f.role == Role::Table)
    }

    /// The file of a role; of tables the first.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&Entry> {
        self.files.iter().find(|f| f.role == role)
    }

    /// The text of `manifest.toml`.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = format!("format = 1\ngeneration = \"{:016x}\"\n", self.generation());
        for f in &self.files {
            text += &format!(
                "\n[[file]]\nrole = \"{}\"\nname = \"{}\"\nbytes = {}\nxxh3 = \"{:016x}\"\n",
                f.role.name(),
                f.name,
                f.bytes,
                f.xxh3
            );
        }
        text
    }

    /// Reads `manifest.toml`.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported`, naming the key, what was expected and what was found.
    pub fn parse(text: &str) -> Result<Self> {
        let table = toml_of(text)?;
        only(&table, &["format", "generation", "file"])?;
        match table.get("format").and_then(Value::as_integer) {
            Some(1) => {}
            Some(other) => {
                return Err(Error::unsupported(format!("format = {other}, this library reads 1: update the library")));
            }
            None => return Err(Error::corrupt("`format` is missing or not an integer, expected 1")),
        }
        let files =
            table.get("file").and_then(Value::as_array).ok_or_else(|| Error::corrupt("no [[file]] is listed"))?;
        let mut manifest = Self::default();
        for (i, file) in files.iter().enumerate() {
            let entry = parse_entry(file).map_err(|e| e.within(format_args!("[[file]] number {}", i + 1)))?;
            if manifest.files.iter().any(|f| f.name == entry.name) {
                return Err(Error::corrupt(format!("two files have the name `{}`", entry.name)));
            }
            if entry.role != Role::Table && manifest.file(entry.role).is_some() {
                return Err(Error::corrupt(format!("two files have the role `{}`", entry.role.name())));
            }
            manifest.files.push(entry);
        }
        if manifest.file(Role::Model).is_none() {
            return Err(Error::corrupt("no file has the role `model`"));
        }
        let stated = hex(&table, "generation")?;
        if stated != manifest.generation() {
            return Err(Error::corrupt(format!(
                "generation = \"{stated:016x}\", the files listed give {:016x}: the manifest was edited or damaged",
                manifest.generation()
            )));
        }
        Ok(manifest)
    }

    /// Reads the manifest of a bundle directory.
    ///
    /// # Errors
    /// `Io` when it cannot be read, otherwise as [`Manifest::parse`]; the message names the file.
    pub fn read(bundle: &Path) -> Result<Self> {
        let path = bundle.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => no_bundle(bundle, &e),
            _ => Error::io("read", &path, &e),
        })?;
        Self::parse(&text).map_err(|e| e.within(path.display()))
    }
}

fn no_bundle(path: &Path, error: &std::io::Error) -> Error {
    let shown = path.display();
    let message = if path.join(CURRENT).exists() {
        format!("{shown} is a directory of bundles, expected one of them, such as the one that {CURRENT} names")
    } else {
        format!(
            "{shown} is neither a bundle (a directory with {MANIFEST}) nor a directory of bundles (with {CURRENT}): \
             {error}"
        )
    };
    Error::new(Status::Io, message)
}

fn parse_entry(file: &Value) -> Result<Entry> {
    let table = file.as_table().ok_or_else(|| Error::corrupt("expected a table"))?;
    only(table, &["role", "name", "bytes", "xxh3"])?;
    let text = |key: &str| {
        table
            .get(key)
            .and_then(Value::as_str)
            .ok_or_else(|| Error::corrupt(format!("`{key}` is missing or not a text")))
    };
    let role = text("role")?;
    let Some(&(role, _)) = Role::ALL.iter().find(|r| r.1 == role) else {
        return Err(Error::unsupported(format!("role `{role}` is not known: update the library")));
    };
    let name = text("name")?;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0', '"', '\n']) {
        return Err(Error::corrupt(format!("name {name:?} is not a plain file name")));
    }
    let bytes = table
        .get("bytes")
        .and_then(Value::as_integer)
        .and_then(|b| u64::try_from(b).ok())
        .ok_or_else(|| Error::corrupt("`bytes` is missing or not a length"))?;
    Ok(Entry { role, name: name.to_owned(), bytes, xxh3: hex(table, "xxh3")? })
}

fn hex(table: &Table, key: &str) -> Result<u64> {
    table
        .get(key)
        .and_then(Value::as_str)
        .filter(|text| text.len() == 16)
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or_else(|| Error::corrupt(format!("`{key}` is missing or not 16 hexadecimal digits")))
}

fn only(table: &Table, known: &[&str]) -> Result<()> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(Error::corrupt(format!("unknown key `{key}`, known are {}", known.join(", ")))),
    }
}

/// What a file of a new bundle holds.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// What this file holds: copied.
    Copy(&'a Path),
    /// A file of a published bundle on the same file system: linked where the system can, so that it takes no space
    /// and stays in memory once; else copied. Bundles are never written in place, so both stay what they are.
    Link(&'a Path),
}

/// Writes a bundle: all files and the manifest into a directory beside `bundle`, synced, then renamed to it. Returns the
/// generation.
///
/// # Errors
/// `InvalidArgument` when `bundle` exists already and `replace` is false; `Io` naming the file that failed.
pub fn write(bundle: &Path, files: &[(Role, &str, &[u8])], replace: bool) -> Result<u64> {
    let files: Vec<_> = files.iter().map(|&(role, name, bytes)| (role, name, Content::Bytes(bytes))).collect();
    write_files(bundle, &files, replace)
}

/// The same with files that are on disk already.
///
/// # Errors
/// As [`write`].
pub fn write_files(bundle: &Path, files: &[(Role, &str, Content<'_>)], replace: bool) -> Result<u64> {
    if bundle.exists() && !replace {
        return Err(Error::argument(format!(
            "{} exists already: choose another name, or ask for it to be replaced",
            bundle.display()
        )));
    }
    if let Some((_, name, _)) = files.iter().enumerate().find_map(|(i, f)| files[..i].iter().find(|o| o.1 == f.1)) {
        return Err(Error::argument(format!("two files of the bundle would have the name `{name}`")));
    }
    let (parent, name) = split(bundle)?;
    fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, &e))?;
    let beside = parent.join(format!(".{name}.{}", std::process::id()));
    remove(&beside)?;
    fs::create_dir(&beside).map_err(|e| Error::io("create", &beside, &e))?;
    let outcome = fill(&beside, files);
    let Ok(generation) = outcome else {
        // The first error is the one to tell.
        let _ = remove(&beside);
        return outcome;
    };
    // Replacing moves the old bundle aside: engines that have it mapped keep its files.
    let mut aside = parent.join(format!(".{name}.{}.old", std::process::id()));
    if replace && exchange(&beside, bundle) {
        aside = beside;
    } else {
        if bundle.exists() {
            remove(&aside)?;
            fs::rename(bundle, &aside).map_err(|e| Error::io("move aside", bundle, &e))?;
        }
        fs::rename(&beside, bundle).map_err(|e| Error::io("rename to", bundle, &e))?;
    }
    sync_directory(&parent)?;
    remove(&aside)?;
    Ok(generation)
}

/// Gives two directories each other's names in one step, so that there is a bundle at every moment. False when one is missing
/// or the system or its file system cannot: then nothing has happened.
fn exchange(one: &Path, other: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (one, other);
        false
    }
}

/// A text of TOML; the error names the line.
pub(super) fn toml_of(text: &str) -> Result<Table> {
    text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |at| 1 + text.bytes().take(at.start).filter(|&b| b == b'\n').count());
        Error::corrupt(format!("line {line}: {}", e.message()))
    })
}

/// Writes the files and the manifest into an empty directory.
fn fill(directory: &Path, files: &[(Role, &str, Content<'_>)]) -> Result<u64> {
    let mut manifest = Manifest::default();
    for &(role, name, content) in files {
        let path = directory.join(name);
        let (bytes, xxh3) = match content {
            Content::Bytes(bytes) => {
                write_synced(&path, bytes)?;
                (bytes.len() as u64, checksum(bytes))
            }
            Content::Copy(from) => {
                copy_synced(from, &path)?;
                measure(&path)?
            }
            Content::Link(from) => {
                if fs::hard_link(from, &path).is_err() {
                    copy_synced(from, &path)?;
                }
                measure(&path)?
            }
        };
        manifest.files.push(Entry { role, name: name.to_owned(), bytes, xxh3 });
    }
    write_synced(&directory.join(MANIFEST), manifest.to_toml().as_bytes())?;
    sync_directory(directory)?;
    Ok(manifest.generation())
}

fn copy_synced(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map_err(|e| Error::io("copy", from, &e))?;
    File::open(to).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", to, &e))
}

/// A file's length and checksum, in bounded memory.
fn measure(path: &Path) -> Result<(u64, u64)> {
    let bytes = Bytes::open(path, OpenMode::Map)?;
    Ok((bytes.len() as u64, checksum(&bytes)))
}

/// Makes `bundle` the live one of its directory: writes `CURRENT` beside it, synced and renamed.
///
/// # Errors
/// As [`Manifest::read`] when the bundle is not one; `Io` when `CURRENT` cannot be written.
pub fn publish(bundle: &Path) -> Result<()> {
    Manifest::read(bundle)?;
    let (root, name) = split(bundle)?;
    let beside = root.join(format!(".{CURRENT}.{}", std::process::id()));
    let current = root.join(CURRENT);
    let renamed = write_synced(&beside, format!("{name}\n").as_bytes())
        .and_then(|()| fs::rename(&beside, &current).map_err(|e| Error::io("rename to", &current, &e)));
    if renamed.is_err() {
        // Nothing to remove if it could not be created.
        let _ = fs::remove_file(&beside);
    }
    renamed?;
    sync_directory(&root)
}

/// The bundle that `CURRENT` in `root` names.
///
/// # Errors
/// `Io` when `CURRENT` cannot be read or names nothing that is there, `Corrupt` when it does not hold a plain name.
pub fn current(root: &Path) -> Result<PathBuf> {
    let path = root.join(CURRENT);
    let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, &e))?;
    let name = text.trim_end_matches('\n');
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0', '\n']) {
        return Err(Error::corrupt(format!("{}: {name:?} is not the name of a bundle beside it", path.display())));
    }
    let bundle = root.join(name);
    if !bundle.exists() {
        let message =
            format!("{} names {name:?}, which is not there: copy that bundle, or name another", path.display());
        return Err(Error::new(Status::Io, message));
    }
    Ok(bundle)
}

fn split(bundle: &Path) -> Result<(PathBuf, String)> {
    let name = bundle.file_name().and_then(|n| n.to_str()).filter(|n| !n.starts_with('.')).ok_or_else(|| {
        Error::argument(format!("{}: a bundle's path must end in a plain UTF-8 name", bundle.display()))
    })?;
    let parent = match bundle.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name.to_owned()))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(|e| Error::io("create", path, &e))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| Error::io("write", path, &e))
}

fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| Error::io("sync", path, &e))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}
