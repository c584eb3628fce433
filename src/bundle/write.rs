//! Writes bundles and `CURRENT` completely or not at all; any number of commands may do so at once.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{CURRENT, Entry, MANIFEST, Manifest, Role, check_bundle_name, check_file_name};
use crate::artifact::{Bytes, OpenMode};
use crate::error::{Error, Result, Status};
use crate::files::{Beside, TempFile, open_regular, rename_new, sync_directory};
use crate::hash::checksum;

/// The contents of a file of a new bundle.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The contents of this file, copied.
    Copy(&'a Path),
    /// A file of a published bundle on the same file system. It is linked where the system can, so that it takes no
    /// space and is in memory only once; otherwise copied. Bundles are never written in place, so both stay unchanged.
    Link(&'a Path),
}

/// Writes a bundle: all files and the manifest go into a directory beside `bundle`, are synced, and the directory is
/// renamed to it. Returns the generation. With `replace` it takes the place of an existing bundle; nothing else is ever
/// replaced.
///
/// # Errors
/// `InvalidArgument` when `bundle` exists and `replace` is false, or when it is not a bundle; `Io` naming the file that
/// failed. The directory is then unchanged.
pub fn write(bundle: &Path, files: &[(Role, &str, &[u8])], replace: bool) -> Result<u64> {
    let files: Vec<_> = files.iter().map(|&(role, name, bytes)| (role, name, Content::Bytes(bytes))).collect();
    write_files(bundle, &files, replace)
}

/// The same with files that are already on disk.
///
/// # Errors
/// As [`write()`].
pub fn write_files(bundle: &Path, files: &[(Role, &str, Content<'_>)], replace: bool) -> Result<u64> {
    check_target(bundle, replace)?;
    let mut names = HashSet::new();
    for (_, name, _) in files {
        check_file_name(name).map_err(Error::argument)?;
        if !names.insert(name) {
            return Err(Error::argument(format!("two files of the bundle would have the name `{name}`")));
        }
    }
    let (parent, name) = split(bundle)?;
    fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, &e))?;
    let beside = Beside::make(&parent, name.as_ref())?;
    let new = beside.path().join("bundle");
    fs::create_dir(&new).map_err(|e| Error::io("create", &new, &e))?;
    let generation = fill(&new, files)?;
    place(&beside, &new, &parent.join(name), replace)?;
    sync_directory(&parent)?;
    // The replaced bundle is deleted with the temporary directory; engines that have its files mapped keep them.
    Ok(generation)
}

/// Checks that a bundle may be written to this path: nothing exists there, or with `replace` only a bundle. Returns the
/// path without redundant components.
///
/// # Errors
/// `InvalidArgument`, saying what was found and how to proceed.
pub fn check_target(bundle: &Path, replace: bool) -> Result<PathBuf> {
    let (parent, name) = split(bundle)?;
    let target = parent.join(name);
    match fs::symlink_metadata(&target) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io("look at", &target, &e)),
        Ok(_) if !replace => {
            return Err(Error::argument(format!(
                "{} exists already: choose another name, or ask for it to be replaced (--replace)",
                target.display()
            )));
        }
        Ok(found) => check_replaceable(&target, &found)?,
    }
    Ok(target)
}

/// Checks that a directory is a bundle and holds nothing that the bundle does not list.
fn check_replaceable(path: &Path, found: &fs::Metadata) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::argument(format!(
            "{} is not replaced, as {what}: only a bundle is; choose another name, or move it away yourself",
            path.display()
        )))
    };
    if found.is_symlink() {
        return refuse("it is a symbolic link".to_owned());
    }
    if !found.is_dir() {
        return refuse("it is no directory".to_owned());
    }
    let mut last = None;
    loop {
        let listed = match Manifest::read_stamped(path) {
            Ok(listed) => listed,
            Err(e) => return refuse(format!("it is no bundle ({})", e.message)),
        };
        let Some(foreign) = foreign_file(path, &listed.0)? else { return Ok(()) };
        // It may have moved into a bundle that took this one's place meanwhile.
        if last.as_ref() == Some(&listed) {
            return refuse(format!("{} is in it, which its manifest does not list", foreign.display()));
        }
        last = Some(listed);
    }
}

/// A file in a bundle that its manifest does not list.
fn foreign_file(path: &Path, manifest: &Manifest) -> Result<Option<OsString>> {
    let listed: HashSet<&str> = manifest.files.iter().map(|f| f.name.as_str()).chain([MANIFEST]).collect();
    for entry in fs::read_dir(path).map_err(|e| Error::io("read", path, &e))? {
        let name = entry.map_err(|e| Error::io("read", path, &e))?.file_name();
        if !name.to_str().is_some_and(|name| listed.contains(name)) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// How often to retry when other commands take the same place.
const ATTEMPTS: usize = 1000;

/// Gives the new bundle its name. What had the name is moved to where `new` was, or beside it.
fn place(beside: &Beside, new: &Path, target: &Path, replace: bool) -> Result<()> {
    for _ in 0..ATTEMPTS {
        match rename_new(new, target) {
            Ok(()) => return Ok(()),
            Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty) => {}
            Err(e) => return Err(Error::io("rename to", target, &e)),
        }
        // Also when it appeared after the check.
        check_target(target, replace)?;
        if exchange(new, target) {
            let found = fs::symlink_metadata(new).map_err(|e| Error::io("look at", new, &e))?;
            let bundle = check_replaceable(new, &found);
            if bundle.is_err() {
                // Something else took the name between the check and the exchange; it gets the name back.
                exchange(new, target);
            }
            return bundle;
        }
        // Two renames leave a moment without a bundle. A command that is killed in it leaves the old one to be put
        // back.
        let aside = beside.aside(&target.file_name().unwrap_or_default().to_string_lossy())?;
        match fs::rename(target, &aside) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) if e.kind() == ErrorKind::CrossesDevices => {
                return Err(Error::io("move aside", target, &e)
                    .within("a directory that comes from the image of a container cannot be renamed (overlayfs), put bundles on a volume"));
            }
            moved => moved.map_err(|e| Error::io("move aside", target, &e))?,
        }
        let placed = rename_new(new, target);
        if placed.is_ok() {
            return Ok(());
        }
        // Restores the old one, unless another has the name now.
        let _ = rename_new(&aside, target);
    }
    Err(Error::new(Status::Io, format!("{}: others replace it all the time", target.display())))
}

/// Exchanges the names of two directories in one step, so that a bundle exists at every moment. Returns false, with
/// nothing changed, when one is missing or when the system or its file system does not support it.
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
                // A link to a symbolic link would lead out of the bundle.
                let regular = fs::symlink_metadata(from).is_ok_and(|found| found.is_file());
                if !regular || fs::hard_link(from, &path).is_err() {
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
    let (mut from_file, _) = open_regular(from)?;
    let mut to_file = File::create_new(to).map_err(|e| Error::io("create", to, &e))?;
    io::copy(&mut from_file, &mut to_file).map_err(|e| Error::io("copy", from, &e))?;
    to_file.sync_all().map_err(|e| Error::io("sync", to, &e))
}

/// A file's length and checksum, in bounded memory.
fn measure(path: &Path) -> Result<(u64, u64)> {
    let bytes = Bytes::open(path, OpenMode::Map)?;
    Ok((bytes.len() as u64, checksum(&bytes)))
}

/// Makes `bundle` the live one of its directory: writes `CURRENT` beside it, synced and renamed.
///
/// # Errors
/// `InvalidArgument` for a name that followers refuse; as [`Manifest::read`] and [`Manifest::check_files`] when the
/// bundle is not one or is incomplete; `Io` when `CURRENT` cannot be written.
pub fn publish(bundle: &Path) -> Result<()> {
    let (root, name) = split(bundle)?;
    let mut listed = Manifest::read_stamped(bundle)?;
    while let Err(e) = listed.0.check_files(bundle) {
        // It may have been replaced in between; then the new one counts.
        let now = Manifest::read_stamped(bundle)?;
        if now == listed {
            return Err(e);
        }
        listed = now;
    }
    let current = root.join(CURRENT);
    let beside = TempFile::make(&current)?;
    let line = format!("{name}\n");
    let mut file = beside.file();
    file.write_all(line.as_bytes()).map_err(|e| Error::io("write", beside.path(), &e))?;
    beside.rename_to(&current)
}

fn split(bundle: &Path) -> Result<(PathBuf, String)> {
    let named = bundle.file_name().ok_or_else(|| "it ends in no name".to_owned());
    let name = named.and_then(|n| n.to_str().ok_or_else(|| "its name is not UTF-8".to_owned()));
    let checked = name.and_then(|name| check_bundle_name(name).map(|()| name.to_owned()));
    let name = checked.map_err(|what| {
        Error::argument(format!("{} cannot be the path of a bundle: {what}; choose another name", bundle.display()))
    })?;
    Ok((crate::files::parent(bundle), name))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(|e| Error::io("create", path, &e))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| Error::io("write", path, &e))
}
