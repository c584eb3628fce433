//! Writes files completely or not at all, and decides which files a command may read and replace.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use adclick::builder::artifact::container::{ArtifactKind, MAGIC};
use adclick::builder::files::{TempFile, open_regular};
use anyhow::{Context, Result, bail, ensure};

/// The longest text file that a command line may name: a schema, a policy, a provenance.
const MOST_TEXT: u64 = 16 << 20;
/// How much of a file is read to recognise its writer.
const HEAD: u64 = 64 << 10;

/// Reads a text file named on a command line. A pipe works too: it is read once, from beginning to end.
///
/// # Errors
/// A file that cannot be read, is not UTF-8 or exceeds 16 MiB; the message names it.
pub fn read_text(path: &Path) -> Result<String> {
    let what = || format!("cannot read {}", path.display());
    let mut text = String::new();
    let file = File::open(path).with_context(what)?;
    file.take(MOST_TEXT + 1).read_to_string(&mut text).with_context(what)?;
    ensure!(text.len() as u64 <= MOST_TEXT, "{}: more than {MOST_TEXT} bytes, expected a text", path.display());
    Ok(text)
}

/// Reads a whole file named on a command line: weights, inputs, a vocabulary. It must be a regular file, so that its
/// length is known before memory is allocated.
///
/// # Errors
/// A path that is not a regular file or cannot be read; the message names it.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let (file, len) = open_regular(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(len)?).with_context(|| format!("{}: {len} bytes", path.display()))?;
    file.take(len).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// Writes a temporary file beside `path`, syncs it and renames it: `path` is either complete or unchanged. Pipes,
/// terminals and devices are written to directly.
///
/// # Errors
/// Any error of `write`, or a file that cannot be created; the message names it.
pub fn write_whole<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let what = || format!("{} is not written", path.display());
    // The target of a symbolic link is written, and the link stays.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&place) {
        Ok(found) if found.is_dir() => bail!("{}: it is a directory", what()),
        Ok(found) if !found.is_file() => {
            let mut output = BufWriter::new(File::options().write(true).open(&place).with_context(what)?);
            let result = write(&mut output).with_context(what)?;
            output.flush().with_context(what)?;
            return Ok(result);
        }
        _ => {}
    }
    let attempt = || {
        let beside = TempFile::make(&place)?;
        let mut output = BufWriter::new(beside.file());
        let result = write(&mut output)?;
        output.flush()?;
        drop(output);
        beside.rename_to(&place)?;
        Ok(result)
    };
    let result: Result<T> = attempt();
    result.with_context(what)
}

/// Does the same, but replaces an existing file only if it is empty or `is_ours` accepts its first 64 KiB, so that a
/// mistaken `--output` destroys no data.
///
/// # Errors
/// As [`write_whole`], and a file that is not ours. `expected` describes our files.
pub fn write_over_own<T>(
    path: &Path,
    expected: &str,
    is_ours: impl FnOnce(&[u8]) -> bool,
    write: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    if fs::metadata(path).is_ok_and(|found| found.is_file()) {
        let (file, len) = open_regular(path)?;
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            len == 0 || is_ours(&head),
            "{} is not replaced: it is not {expected}; choose another name, or remove it yourself",
            path.display()
        );
    }
    write_whole(path, write)
}

/// Whether a file is a table of ours.
#[must_use]
pub fn is_table(path: &Path) -> bool {
    let mut head = [0; MAGIC.len() + 8];
    let read = open_regular(path).ok().and_then(|(mut file, _)| file.read_exact(&mut head).ok());
    read.is_some() && head.starts_with(&MAGIC) && head[12..] == (ArtifactKind::Table as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_not_replaced_and_devices_stay_devices() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let to = |path: &Path| {
            write_over_own(
                path,
                "a file of this test",
                |head| head.starts_with(b"ours"),
                |out| Ok(out.write_all(b"ours 2")?),
            )
        };
        to(&path).unwrap();
        to(&path).unwrap();
        fs::write(&path, "somebody's").unwrap();
        let error = format!("{:#}", to(&path).unwrap_err());
        assert!(error.contains("out is not replaced: it is not a file of this test"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
        fs::write(&path, "").unwrap();
        to(&path).unwrap();
        assert!(format!("{:#}", to(directory.path()).unwrap_err()).contains("it is a directory"));
        // The link stays a link.
        #[cfg(unix)]
        {
            let link = directory.path().join("link");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            to(&link).unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            to(Path::new("/dev/null")).unwrap();
            assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
        }
        assert_eq!(fs::read(&path).unwrap(), b"ours 2");
        // A failure leaves the earlier file unchanged and no file beside it.
        write_whole(&path, |_| -> Result<()> { bail!("no") }).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"ours 2");
        assert!(
            fs::read_dir(directory.path()).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with('.'))
        );
    }
}
