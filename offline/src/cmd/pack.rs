//! `adclick pack`.

use anyhow::{Result, bail};

/// Turn weights and a schema into a bundle.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
