//! `adclick evaluate`.

use anyhow::{Result, bail};

/// Measure a model on labelled rows.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
