//! `adclick inspect`.

use anyhow::{Result, bail};

/// Show what a bundle or artifact holds.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
