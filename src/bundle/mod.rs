//! Bundles: directories that hold the files of a generation and a manifest with their checksums. `CURRENT` is the file
//! that names the live one. docs/format.md is normative.

mod serving;
#[cfg(feature = "builder")]
mod write;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::error::{Error, Result, Status};
use crate::files::{check_name, read_text};
use crate::hash::checksum;

pub use serving::parse_serving;
#[cfg(feature = "builder")]
pub use serving::serving_text;
#[cfg(feature = "builder")]
pub use write::{Content, check_target, publish, write, write_files};

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.toml";
/// The file, beside the bundles, that names the live one.
pub const CURRENT: &str = "CURRENT";
/// The model's file name in bundles that this library writes.
#[cfg(feature = "builder")]
pub const MODEL_FILE: &str = "model.adc";
/// The calibrators' file name.
#[cfg(feature = "builder")]
pub const CALIBRATORS_FILE: &str = "calibrators.adc";
/// The auction policy's file name.
#[cfg(feature = "builder")]
pub const POLICY_FILE: &str = "auction.toml";
/// The name of the file that holds the serving settings.
#[cfg(feature = "builder")]
pub const SERVING_FILE: &str = "serving.toml";
/// The longest `CURRENT` in bytes: a name and line ends.
const MOST_CURRENT: u64 = 4096;
/// The longest manifest in bytes, about 8,000 files. It bounds the cost of reading one.
const MOST_MANIFEST: u64 = 1 << 20;
/// A manifest has less than one structural character in this many bytes. Each costs memory when the text is parsed, at
/// worst a hundred times its own length.
const BYTES_OF_A_SIGN: usize = 5;

/// The role of a file in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The model. Every bundle has one.
    Model,
    /// The calibrators; without them the model's own probabilities are served.
    Calibrators,
    /// The auction policy; without it the default one.
    Policy,
    /// The serving settings: the precision; without them exact.
    Serving,
    /// A feature table, or one shard of it. There may be many; each file names its table.
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
    /// Its role.
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
    /// At most one file of each role, and any number of tables.
    pub files: Vec<Entry>,
}

impl Manifest {
    /// The generation's id: XXH3-64 of the lines `role name bytes xxh3\n`. The same content has the same id everywhere;
    /// 0 means no generation.
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

    /// The file of a role; for tables, the first.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&Entry> {
        self.files.iter().find(|f| f.role == role)
    }

    /// The text of `manifest.toml`.
    #[must_use]
    #[cfg(feature = "builder")]
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
        let signs = text.bytes().filter(|b| b"[{,=.\n".contains(b)).count();
        if signs > text.len() / BYTES_OF_A_SIGN + 100 {
            return Err(Error::corrupt(format!(
                "{signs} brackets, commas and lines in {} bytes: no manifest",
                text.len()
            )));
        }
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
        let (mut names, mut roles) = (HashSet::new(), HashSet::new());
        for (i, file) in files.iter().enumerate() {
            let entry = parse_entry(file).map_err(|e| e.within(format_args!("[[file]] number {}", i + 1)))?;
            if !names.insert(entry.name.clone()) {
                return Err(Error::corrupt(format!("two files have the name `{}`", entry.name)));
            }
            if entry.role != Role::Table && !roles.insert(entry.role) {
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
        Self::parse_of(bundle, &Self::read_text(bundle)?)
    }

    /// The same, with an identification of the manifest's file that changes when the file does, even if its content
    /// does not. The file is looked at before it is read: if it is replaced in between, the next look finds another
    /// one.
    pub(crate) fn read_stamped(bundle: &Path) -> Result<(Self, Option<Stamp>)> {
        let found = fs::metadata(bundle.join(MANIFEST)).ok();
        Ok((Self::read(bundle)?, found.map(|found| stamp(&found))))
    }

    /// The text of a bundle's manifest.
    pub(crate) fn read_text(bundle: &Path) -> Result<String> {
        let path = bundle.join(MANIFEST);
        read_text(&path, MOST_MANIFEST).map_err(|error| match fs::metadata(&path) {
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => no_bundle(bundle, &e),
            _ => error,
        })
    }

    /// [`Manifest::parse`]; the message names the file.
    pub(crate) fn parse_of(bundle: &Path, text: &str) -> Result<Self> {
        Self::parse(text).map_err(|e| e.within(bundle.join(MANIFEST).display()))
    }

    /// Checks that all files are in the bundle with the listed lengths. Reads none of them.
    ///
    /// # Errors
    /// `Io` or `Corrupt`, naming the first file that fails.
    #[cfg(feature = "builder")]
    pub fn check_files(&self, bundle: &Path) -> Result<()> {
        self.files.iter().try_for_each(|entry| entry.check(&bundle.join(&entry.name), None).map(drop))
    }
}

impl Entry {
    /// Checks that a file exists with the length in the manifest, through `open` if it is there, otherwise through the
    /// path.
    pub(crate) fn check(&self, path: &Path, open: Option<&File>) -> Result<fs::Metadata> {
        let found = open.map_or_else(|| fs::metadata(path), File::metadata);
        let found = found.map_err(|e| listed(Error::io("open", path, &e)))?;
        if found.is_file() && found.len() == self.bytes {
            return Ok(found);
        }
        let what = if found.is_file() { format!("{} bytes", found.len()) } else { "not a regular file".to_owned() };
        let message = format!("{}: {what}, the manifest says {}: copy the bundle again", path.display(), self.bytes);
        Err(Error::corrupt(message))
    }
}

/// The attributes that change when a file does: device and inode, length, times.
#[cfg(unix)]
pub(crate) type Stamp = [i64; 7];

#[cfg(unix)]
pub(crate) fn stamp(found: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let (dev, ino, size) = (found.dev() as i64, found.ino() as i64, found.size() as i64);
    [dev, ino, size, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()]
}

#[cfg(not(unix))]
pub(crate) type Stamp = (u64, Option<std::time::SystemTime>);

#[cfg(not(unix))]
pub(crate) fn stamp(found: &fs::Metadata) -> Stamp {
    (found.len(), found.modified().ok())
}

/// A file of the manifest that cannot be opened.
pub(crate) fn listed(error: Error) -> Error {
    Error::new(error.status, format!("{}; the manifest lists it: copy the bundle whole", error.message))
}

fn no_bundle(path: &Path, error: &io::Error) -> Error {
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
    check_file_name(name).map_err(Error::corrupt)?;
    let bytes = table
        .get("bytes")
        .and_then(Value::as_integer)
        .and_then(|b| u64::try_from(b).ok())
        .ok_or_else(|| Error::corrupt("`bytes` is missing or not a length"))?;
    Ok(Entry { role, name: name.to_owned(), bytes, xxh3: hex(table, "xxh3")? })
}

/// The rule for file names in a bundle.
fn check_file_name(name: &str) -> std::result::Result<(), String> {
    check_name(name)?;
    if name == MANIFEST { Err(format!("a file of a bundle cannot have the name {MANIFEST}")) } else { Ok(()) }
}

/// The rule for bundle names.
fn check_bundle_name(name: &str) -> std::result::Result<(), String> {
    check_name(name)?;
    if name == CURRENT { Err(format!("a bundle cannot have the name {CURRENT}")) } else { Ok(()) }
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

/// The bundle that `CURRENT` in `root` names.
///
/// # Errors
/// `Io` when `CURRENT` cannot be read or names something that does not exist, `Corrupt` when it does not hold a plain
/// name.
pub fn current(root: &Path) -> Result<PathBuf> {
    let path = root.join(CURRENT);
    let text = read_text(&path, MOST_CURRENT)?;
    let name = text.trim_end_matches('\n');
    check_bundle_name(name).map_err(|what| {
        Error::corrupt(format!("{}: expected the name of a bundle beside it: {what}", path.display()))
    })?;
    let bundle = root.join(name);
    if !bundle.exists() {
        let message =
            format!("{} names {name:?}, which is not there: copy that bundle, or name another", path.display());
        return Err(Error::new(Status::Io, message));
    }
    Ok(bundle)
}

/// Parses TOML text; the error names the line.
pub(crate) fn toml_of(text: &str) -> Result<Table> {
    text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |at| 1 + text.bytes().take(at.start).filter(|&b| b == b'\n').count());
        Error::corrupt(format!("line {line}: {}", e.message()))
    })
}
