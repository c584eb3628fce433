//! Files that are whole or not there.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Writes a file beside `path`, syncs it and puts it in place: `path` is whole or as it was before.
///
/// # Errors
/// Those of `write`, or a file that cannot be made; the message names it.
pub fn write_whole<T>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<T>) -> Result<T> {
    let Some(name) = path.file_name() else { bail!("{} is not the name of a file", path.display()) };
    let mut beside = name.to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let attempt = || {
        let mut output = BufWriter::new(File::create(&beside)?);
        let result = write(&mut output)?;
        output.flush()?;
        output.get_ref().sync_all()?;
        std::fs::rename(&beside, path)?;
        Ok(result)
    };
    let result: Result<T> = attempt();
    if result.is_err() {
        // Nothing to remove if it could not be created.
        let _ = std::fs::remove_file(&beside);
    }
    result.with_context(|| format!("{} is not written", path.display()))
}
