//! Writes a first schema file from a data file.

use std::path::PathBuf;

use adclick_data::files::write_over_own;
use adclick_data::progress::Progress;
use adclick_data::schema_infer::{Inferred, KnownColumns, infer};
use anyhow::{Result, ensure};

/// A job that infers a schema.
#[derive(Debug, Clone)]
pub struct Job {
    /// The data file.
    pub data: PathBuf,
    /// What is known of its columns.
    pub known: KnownColumns,
    /// The schema file to write; `None` = write none.
    pub out: Option<PathBuf>,
    /// Whether to replace an existing schema file.
    pub replace: bool,
}

/// Infers the schema of a data file, and writes it if the job names a file.
///
/// # Errors
/// Data that cannot be read, columns that do not exist or do not hold what they are said to hold, a schema file that exists
/// already, and a file to replace that is no schema file.
pub fn schema(job: &Job, progress: &Progress) -> Result<Inferred> {
    if let Some(out) = &job.out {
        ensure!(
            job.replace || !out.exists(),
            "{} exists already: choose another file, or allow it to be replaced",
            out.display()
        );
    }
    let inferred = infer(&job.data, &job.known, progress)?;
    if let Some(out) = &job.out {
        write_over_own(out, "a schema file", is_schema, |file| Ok(file.write_all(inferred.text.as_bytes())?))?;
    }
    Ok(inferred)
}

/// Whether a file begins like a schema, so that a mistaken name destroys no data.
fn is_schema(head: &[u8]) -> bool {
    head.starts_with(b"# A first schema of ") || head.split(|&b| b == b'\n').any(|line| line == b"[[features]]")
}
