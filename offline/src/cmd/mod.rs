//! One module for each verb: its arguments, and what it does.

mod auction;
mod calibrate;
mod demo;
mod evaluate;
mod inspect;
mod logs;
mod pack;
mod score;
mod train;
mod verify;

use anyhow::Result;
use clap::Subcommand;

/// The verbs of the command.
#[derive(Subcommand)]
pub enum Command {
    /// Train a model on click logs and write a bundle.
    Train(Box<train::Args>),
    /// Fit calibrators on held-out rows.
    Calibrate(calibrate::Args),
    /// Measure a model on labelled rows.
    Evaluate(evaluate::Args),
    /// Turn weights and a schema into a bundle.
    Pack(pack::Args),
    /// Show what a bundle or artifact holds.
    Inspect(inspect::Args),
    /// Check every checksum and golden request of a bundle.
    Verify(verify::Args),
    /// Score a file of inputs.
    Score(score::Args),
    /// Run auctions given as JSON lines.
    Auction(auction::Args),
    /// The whole way, from logs to served decisions (`make demo` calls it).
    #[command(hide = true)]
    Demo(demo::Args),
}

/// Runs one verb.
///
/// # Errors
/// Whatever the verb cannot do, as a sentence for a person.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Train(args) => train::run(*args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Score(args) => score::run(args),
        Command::Auction(args) => auction::run(args),
        Command::Demo(args) => demo::run(args),
    }
}
