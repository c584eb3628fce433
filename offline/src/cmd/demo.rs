//! `adclick demo`: what `make demo` runs.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::logs::{FormatName, Logs};
use crate::demo::{Demo, run as run_demo};
use crate::simulate;

/// The whole way once: train, calibrate, verify, serve from C++, and swap a retrained model in meanwhile.
#[derive(clap::Args)]
pub struct Args {
    /// The C++ server to serve with (examples/cpp/serve.cpp).
    #[arg(long)]
    server: PathBuf,
    /// Where bundles and files of the demo go; what an earlier demo left there is removed.
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
    // Only a directory of an earlier demo is emptied.
    let marker = args.dir.join("made-by-adclick-demo");
    if args.dir.exists() && !marker.exists() && args.dir.read_dir()?.next().is_some() {
        bail!("{} is not empty and no demo made it: choose another --dir", args.dir.display());
    }
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir)?;
    }
    std::fs::create_dir_all(&args.dir)?;
    std::fs::write(&marker, "")?;
    let (logs, data, format, schema) = match (&args.data, args.format) {
        (Some(data), format) => {
            let format = format.unwrap_or(FormatName::Criteo);
            (Logs::of(std::slice::from_ref(data), format, None), data.clone(), format, None)
        }
        (None, _) => {
            let data = args.dir.join("impressions.csv");
            println!("Generating {} impressions with known click probabilities.", args.rows);
            simulate::generate(&data, args.rows, 1)?;
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
