//! `adclick score`.

use anyhow::{Result, bail};

/// Score a file of inputs.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
