//! `adclick train`.

use anyhow::{Result, bail};

/// Train a model on click logs and write a bundle.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
