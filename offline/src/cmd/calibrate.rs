//! `adclick calibrate`.

use anyhow::{Result, bail};

/// Fit calibrators on held-out rows.
#[derive(clap::Args)]
pub struct Args {}

pub(super) fn run(_: Args) -> Result<()> {
    bail!("not built yet")
}
