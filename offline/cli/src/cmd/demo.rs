//! `adclick demo`: what `make demo` runs.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::logs::{FormatName, Logs};
use crate::demo::{Demo, run as run_demo};
use crate::stdout;
use crate::synthetic;

/// Run everything once: train, calibrate, verify, serve from C++, and swap in a retrained model meanwhile.
#[derive(clap::Args)]
pub struct Args {
    /// The C++ server to serve with (examples/cpp/serve.cpp).
    #[arg(long)]
    server: PathBuf,
    /// The directory for the demo's bundles and files; what an earlier demo left there is removed.
    #[arg(long)]
    dir: PathBuf,
    /// Click logs; without them impressions with known truth are generated.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The layout of the logs.
    #[arg(long, value_enum, requires = "data")]
    format: Option<FormatName>,
    /// Rows to generate.
    #[arg(long, default_value_t = 60_000)]
    rows: u64,
    /// Candidates of a request.
    #[arg(long, default_value_t = 200)]
    candidates: usize,
    /// Seconds to serve.
    #[arg(long, default_value_t = 6)]
    seconds: u32,
}

pub(super) fn run(args: Args) -> Result<()> {
    // Only the directory of an earlier demo is emptied.
    let marker = args.dir.join("made-by-adclick-demo");
    if args.dir.exists() && !marker.exists() && args.dir.read_dir()?.next().is_some() {
        bail!("{} is not empty and no demo made it: choose another --dir", args.dir.display());
    }
    std::fs::create_dir_all(&args.dir)?;
    empty(&args.dir)?;
    std::fs::write(&marker, "")?;
    let (logs, data, format, schema) = match (&args.data, args.format) {
        (Some(data), format) => {
            let format = format.unwrap_or(FormatName::Criteo);
            (Logs::of(std::slice::from_ref(data), format, None), data.clone(), format, None)
        }
        (None, _) => {
            let data = args.dir.join("impressions.csv");
            writeln!(stdout::lock(), "Generating {} impressions with known click probabilities.", args.rows)?;
            synthetic::generate(&data, args.rows, 1)?;
            let schema = data.with_file_name("schema.toml");
            (
                Logs::of(std::slice::from_ref(&data), FormatName::Examples, Some(&schema)),
                data,
                FormatName::Examples,
                Some(schema),
            )
        }
    };
    run_demo(&Demo {
        server: args.server,
        dir: args.dir,
        source: logs.source()?,
        data,
        format: format.name().to_owned(),
        schema,
        candidates: args.candidates,
        seconds: args.seconds,
    })
}

/// The files that a demo makes in its directory.
const MADE: [&str; 7] =
    ["bundles", "model-1", "model-2", "requests.txt", "impressions.csv", "schema.toml", "made-by-adclick-demo"];

/// Removes the files of an earlier demo, the marker last, unless someone has put other files beside it.
fn empty(dir: &Path) -> Result<()> {
    let names = dir.read_dir()?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
    // A command that was killed may have left a file, which the next one removes.
    let left_over = |name: &OsString| name.to_string_lossy().ends_with(".adclick");
    let other = names.iter().find(|name| MADE.iter().all(|made| *name != made) && !left_over(name));
    if let Some(other) = other {
        bail!("{} holds {}, which no demo made: move it away, or choose another --dir", dir.display(), other.display());
    }
    for path in MADE.map(|name| dir.join(name)) {
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path)?,
            Ok(_) => std::fs::remove_file(&path)?,
            Err(_) => {}
        }
    }
    Ok(())
}
