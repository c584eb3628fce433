//! `adclick verify`.

use anyhow::{Result, bail};

/// Check every checksum and golden request of a bundle.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
