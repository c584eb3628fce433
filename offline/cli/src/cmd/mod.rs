//! One module for each verb: its arguments, and what it does.

mod auction;
mod calibrate;
mod demo;
mod evaluate;
mod inspect;
mod logs;
mod pack;
mod schema;
mod score;
mod train;
mod verify;

use adclick::Precision;
use anyhow::Result;
use clap::Subcommand;

/// The verbs of the command.
#[derive(Subcommand)]
#[allow(missing_docs, reason = "clap would show what stands here instead of what the verb's arguments say of it")]
pub enum Command {
    Schema(schema::Args),
    Train(Box<train::Args>),
    Calibrate(calibrate::Args),
    Evaluate(evaluate::Args),
    Pack(pack::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Score(score::Args),
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
        Command::Schema(args) => schema::run(args),
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

/// The share of unclicked rows that downsampling keeps.
fn kept_share(text: &str) -> std::result::Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a number above 0 and at most 1".to_owned())
}

/// The value of `--precision`.
fn precision(name: &str) -> std::result::Result<Precision, String> {
    Precision::by_name(name).map_err(|e| e.message)
}
