//! Files and directories that are made beside their final place and renamed to it.
//!
//! Their names are `.NAME.RANDOM.adclick` with 64 random bits and are created exclusively; process ids would not be
//! unique where containers share a volume. The creator holds a lock (on the file itself; for a directory on the file
//! `lock` in it) until it is renamed or removed. So an entry without a lock was left by a killed command, and the next
//! command that writes to the same directory removes it.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::shortened;
use crate::error::{Error, Result, Status};

/// The suffix of temporary names.
const SUFFIX: &str = ".adclick";
/// The file whose lock shows that a directory is in use.
const LOCK: &str = "lock";
/// The name under which a bundle waits between the two renames that replace it on file systems that cannot exchange
/// directories. If the command is killed there, the next one puts it back.
const ASIDE: &str = "aside";
/// How often another name is tried. A retry means that another command removed the new file as left over in the moment
/// before it was locked, which is rare.
const ATTEMPTS: usize = 64;

/// A temporary directory beside a target, on the same file system and for one command alone. Dropping it removes it
/// with everything in it.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    _lock: File,
}

impl Beside {
    /// Makes one in `parent` for the target `name` there. First removes what killed commands left in `parent`.
    ///
    /// # Errors
    /// `Io`, when the directory cannot be made or locked.
    pub fn make(parent: &Path, name: &OsStr) -> Result<Self> {
        remove_left_over(parent);
        for _ in 0..ATTEMPTS {
            let path = parent.join(temporary_name(name));
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(Error::io("create", &path, &e)),
            }
            match lock_new(&path.join(LOCK)) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                Ok(None) => {}
                Err(e) => {
                    // Only entries made here.
                    let _ = fs::remove_file(path.join(LOCK));
                    let _ = fs::remove_dir(&path);
                    return Err(e);
                }
            }
        }
        Err(no_name(parent))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a bundle of this name waits while another one takes its place in two steps.
    pub(crate) fn aside(&self, name: &str) -> Result<PathBuf> {
        let aside = self.path.join(ASIDE);
        fs::create_dir_all(&aside).map_err(|e| Error::io("create", &aside, &e))?;
        Ok(aside.join(name))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// A temporary file beside its final place. Removed unless it is placed.
#[derive(Debug)]
pub struct TempFile {
    file: File,
    path: PathBuf,
    placed: bool,
}

impl TempFile {
    /// Makes one for `place`. First removes what killed commands left in that directory.
    ///
    /// # Errors
    /// `Io` when it cannot be made or locked; `InvalidArgument` when `place` has no file name.
    pub fn make(place: &Path) -> Result<Self> {
        let Some(name) = place.file_name() else {
            return Err(Error::argument(format!("{} is not the name of a file", place.display())));
        };
        let parent = super::parent(place);
        remove_left_over(&parent);
        for _ in 0..ATTEMPTS {
            let path = parent.join(temporary_name(name));
            if let Some(file) = lock_new(&path)? {
                return Ok(Self { file, path, placed: false });
            }
        }
        Err(no_name(&parent))
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name until it is placed, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs it and renames it to `place`, in the same directory, which is synced too.
    ///
    /// # Errors
    /// `Io`; then `place` is unchanged.
    pub fn rename_to(mut self, place: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io("write", &self.path, &e))?;
        fs::rename(&self.path, place).map_err(|e| Error::io("rename to", place, &e))?;
        self.placed = true;
        sync_directory(&super::parent(place))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.placed {
            // Reports the error that led here.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes earlier changes in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| Error::io("sync", path, &e))
}

/// Renames only if the new name is free. `AlreadyExists` or `DirectoryNotEmpty` when it is not.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system does not support the flag.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {}
            done => return Ok(done?),
        }
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

fn no_name(parent: &Path) -> Error {
    Error::new(Status::Io, format!("cannot create a temporary name in {}: others took each one", parent.display()))
}

fn temporary_name(name: &OsStr) -> OsString {
    // The standard library's hasher is keyed with random bits of the system. `create_new` makes sure that names differ.
    let mut random = RandomState::new().build_hasher();
    random.write_u32(std::process::id());
    let lossy = name.to_string_lossy();
    format!(".{}.{:016x}{SUFFIX}", shortened(&lossy), random.finish()).into()
}

fn is_temporary(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|n| n.strip_prefix('.')?.strip_suffix(SUFFIX)?.rsplit_once('.'));
    parts.is_some_and(|(name, random)| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        !name.is_empty() && random.len() == 16 && random.bytes().all(digit)
    })
}

/// Creates a new file and locks it. None when another command removed it as left over before it was locked.
fn lock_new(path: &Path) -> Result<Option<File>> {
    let file = match File::options().write(true).read(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(None),
        // The directory may have been removed as left over.
        Err(e) if e.kind() == ErrorKind::NotFound && path.file_name() == Some(OsStr::new(LOCK)) => return Ok(None),
        Err(e) => return Err(Error::io("create", path, &e)),
    };
    match file.try_lock() {
        Ok(()) => Ok(leads_to(path, &file).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => {
            let _ = fs::remove_file(path);
            Err(Error::io("lock", path, &e).within("the file system must have locks (flock)"))
        }
    }
}

/// Whether a path still leads to an open file.
fn leads_to(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(open)) => identity(&there) == identity(&open),
        _ => false,
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(metadata: &Metadata) -> u64 {
    metadata.len()
}

/// Removes what killed commands left in a directory. Entries that cannot be inspected or removed stay; they only take
/// space.
fn remove_left_over(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !is_temporary(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => remove_left_directory(parent, &path),
            Ok(kind) if kind.is_file() => {
                if let Some(_lock) = lock_left(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
            _ => {}
        }
    }
}

/// Locks an entry unless another process has locked it.
fn lock_left(path: &Path) -> Option<File> {
    super::open_regular(path).ok()?;
    let file = File::options().read(true).write(true).open(path).ok()?;
    file.try_lock().ok()?;
    leads_to(path, &file).then_some(file)
}

fn remove_left_directory(parent: &Path, path: &Path) {
    let lock = path.join(LOCK);
    if fs::symlink_metadata(&lock).is_err() {
        // Just made, or killed just before the end, so it must be empty. If it is not, it is not ours.
        let _ = fs::remove_dir(path);
        return;
    }
    let Some(_lock) = lock_left(&lock) else { return };
    let aside = path.join(ASIDE);
    // A link would lead to files that are not ours.
    if fs::symlink_metadata(&aside).is_ok_and(|found| found.is_dir()) {
        for bundle in fs::read_dir(aside).into_iter().flatten().flatten() {
            if bundle.file_type().is_ok_and(|kind| kind.is_dir()) {
                // Gets its name back if nothing else has it.
                let _ = rename_new(&bundle.path(), &parent.join(bundle.file_name()));
            }
        }
    }
    remove(path);
}

/// Removes a directory of ours whose lock is held. The lock is removed last, and stays if anything else does: without
/// it the next command could not tell whose the rest is.
fn remove(path: &Path) {
    let mut others = fs::read_dir(path).into_iter().flatten().flatten().filter(|e| e.file_name() != LOCK);
    let gone = others.try_for_each(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
        _ => fs::remove_file(entry.path()),
    });
    if gone.is_ok() {
        let _ = fs::remove_file(path.join(LOCK));
        let _ = fs::remove_dir(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let make = || Beside::make(at, OsStr::new("a")).unwrap();
        let (used, left) = (make(), make());
        fs::create_dir(left.path().join("bundle")).unwrap();
        fs::write(left.path().join("bundle/model.adc"), b"half").unwrap();
        let file = TempFile::make(&at.join("CURRENT")).unwrap();
        let copied = at.join(".b.0123456789abcdef.adclick");
        // The state that a killed command leaves: the lock is gone, the files are not.
        fs::create_dir(&copied).unwrap();
        for entry in ["lock", "file"] {
            fs::write(copied.join(entry), b"").unwrap();
        }
        fs::write(at.join(".c.0123456789abcdef.adclick"), b"half").unwrap();
        fs::create_dir(at.join(".d.0123456789abcdef.adclick")).unwrap();
        // Not ours: another name, or a non-empty directory without a lock.
        let foreign = [".e.0123456789ABCDEF.adclick", ".f.123.adclick", ".0123456789abcdef.adclick", "x.adclick"];
        foreign.iter().for_each(|name| fs::write(at.join(name), b"").unwrap());
        fs::create_dir_all(at.join(".g.0123456789abcdef.adclick/work")).unwrap();
        drop(make());
        let left_over = names(at);
        assert_eq!(left_over.len(), 3 + foreign.len() + 1, "{left_over:?}");
        assert!(foreign.iter().all(|name| left_over.iter().any(|n| n == name)));
        assert!(left.path().join("bundle/model.adc").exists() && used.path().join(LOCK).exists());
        drop((used, left));
        file.rename_to(&at.join("CURRENT")).unwrap();
        assert_eq!(names(at).len(), foreign.len() + 2);
    }

    #[test]
    fn a_bundle_put_aside_by_a_killed_command_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let killed = at.join(".a.0123456789abcdef.adclick");
        for name in ["a", "b"] {
            fs::create_dir_all(killed.join(ASIDE).join(name)).unwrap();
            fs::write(killed.join(ASIDE).join(name).join("old"), b"").unwrap();
        }
        fs::write(killed.join(LOCK), b"").unwrap();
        fs::create_dir(at.join("b")).unwrap();
        drop(Beside::make(at, OsStr::new("c")).unwrap());
        assert_eq!(names(at), ["a", "b"]);
        assert!(at.join("a/old").exists() && !at.join("b/old").exists());
    }

    #[test]
    fn names_are_never_the_same_and_fit() {
        let name = OsString::from("\u{e4}".repeat(150));
        let all: std::collections::HashSet<_> = (0..1000).map(|_| temporary_name(&name)).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|n| n.len() < 255 && is_temporary(n)));
    }
}
