//! `adclick auction`.

use anyhow::{Result, bail};

/// Run auctions given as JSON lines.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
