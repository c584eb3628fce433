//! One module for each subcommand: its arguments and its code.

mod aggregate;
mod auction;
mod calibrate;
mod demo;
mod evaluate;
mod inspect;
mod join;
mod log;
mod logs;
mod pack;
mod reliability;
mod schema;
mod score;
mod train;
mod verify;

use adclick::Precision;
use adclick_train::calibrators::Method;
use adclick_train::positions::Position;
use anyhow::Result;
use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// The verbs of the command.
#[derive(Subcommand)]
#[allow(missing_docs, reason = "clap would show what stands here instead of what the verb's arguments say of it")]
pub enum Command {
    Join(Box<join::Args>),
    Aggregate(aggregate::Args),
    Schema(schema::Args),
    Train(Box<train::Args>),
    Calibrate(calibrate::Args),
    Report(calibrate::ReportArgs),
    Evaluate(evaluate::Args),
    Pack(pack::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Score(score::Args),
    Auction(auction::Args),
    Log(log::Args),
    /// The whole way, from logs to served decisions (`make demo` calls it).
    #[command(hide = true)]
    Demo(demo::Args),
}

/// Runs one subcommand.
///
/// # Errors
/// Any failure of the subcommand, as a sentence for a person.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Join(args) => join::run(*args),
        Command::Aggregate(args) => aggregate::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Train(args) => train::run(*args),
        Command::Calibrate(args) => calibrate::run(args),
        Command::Report(args) => calibrate::run_report(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Pack(args) => pack::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Score(args) => score::run(args),
        Command::Auction(args) => auction::run(args),
        Command::Log(args) => log::run(args),
        Command::Demo(args) => demo::run(args),
    }
}

/// The share of unclicked rows that downsampling keeps.
fn kept_share(text: &str) -> std::result::Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected a number above 0 and at most 1".to_owned())
}

/// A number that is not negative.
fn positive(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
    number.ok_or_else(|| "expected a number, 0 or more".to_owned())
}

/// The value of `--threads`, or the cores of this machine.
fn threads(given: Option<u16>) -> usize {
    given.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// The value of `--precision`.
fn precision(name: &str) -> std::result::Result<Precision, String> {
    name.parse::<Precision>().map_err(|e| e.message)
}

/// The value of `--method`.
fn method() -> impl TypedValueParser<Value = Method> {
    let about = |method| match method {
        Method::Identity => "The model's own probabilities",
        Method::Shift => {
            "One parameter: a constant added to all logits. For a model that predicts too much or too little by a factor"
        }
        Method::Temperature => {
            "One parameter: all logits divided by T, which leaves 0.5 where it is. For a model that is too sure of itself"
        }
        Method::Platt => "Two parameters: slope and intercept of the logit",
        Method::Beta => "Three parameters: slopes at both ends, intercept",
        Method::Isotonic => "A free non-decreasing curve, bounded and tilted for serving",
    };
    let values = Method::ALL.map(|method| PossibleValue::new(method.name()).help(about(method)));
    PossibleValuesParser::new(values).try_map(|name| Method::by_name(&name).ok_or("no such method"))
}

/// The value of `--position`.
fn position() -> impl TypedValueParser<Value = Position> {
    let values = [
        PossibleValue::new("logged").help("Each row at the position that it was logged at"),
        PossibleValue::new("served").help("At the position that is served, and only the rows that were logged there"),
    ];
    PossibleValuesParser::new(values).map(|name| if name == "logged" { Position::Logged } else { Position::Served })
}
