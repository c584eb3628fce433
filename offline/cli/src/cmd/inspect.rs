//! `adclick inspect`.

use std::io::Write as _;
use std::path::PathBuf;

use adclick_train::jobs::inspect::{Job, What, inspect};
use anyhow::{Result, bail};

/// Show what a bundle or artifact holds.
///
/// No row of a feature table is read except the one that --key names; `adclick verify` checks them all.
#[derive(clap::Args)]
pub struct Args {
    /// A bundle directory, the directory whose CURRENT names one, or one artifact file.
    path: PathBuf,
    /// Print one row of a feature table. Give the key's id as data files have it (once for each id of a composite key, in
    /// order), or the key itself as 0x and 16 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    key: Vec<String>,
    /// The table of --key; not needed when there is only one.
    #[arg(long, value_name = "NAME", requires = "key")]
    table: Option<String>,
    /// Print what callers pass to a bundle's model: the name of each input, whether it belongs to the request or to each
    /// candidate, what its values are, and where they come from when they are not passed.
    #[arg(long, conflicts_with_all = ["key", "check"])]
    inputs: bool,
    /// Check a request against a bundle's model by name: values on the wrong side, unknown names, numbers in the place of ids
    /// and the like. The file is a JSON object with `values` and `candidates` (docs/schema.md). Exits with 1 when there are
    /// errors.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    check: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<()> {
    let what = match (args.key, args.inputs, args.check) {
        (_, true, _) => What::Inputs,
        (_, _, Some(request)) => What::Check { request },
        (key, ..) if !key.is_empty() => What::Row { key, table: args.table },
        _ => What::All,
    };
    let done = inspect(&Job { path: args.path, what })?;
    let mut out = crate::stdout::lock();
    if args.json { writeln!(out, "{}", done.report) } else { write!(out, "{}", done.text) }?;
    if let Some(failed) = done.failed {
        bail!(failed);
    }
    Ok(())
}
