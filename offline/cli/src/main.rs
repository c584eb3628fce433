//! The `adclick` command.

use std::process::ExitCode;

use adclick_cli::cmd::{self, Command};
use adclick_cli::{settings, stdout};
use clap::Parser;

/// From click logs to a calibrated model bundle that ad servers link: train, calibrate, evaluate, pack, verify.
#[derive(Parser)]
#[command(name = "adclick", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    // clap exits with 2 on wrong usage and with 0 on --help.
    match cmd::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if stdout::reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("adclick: {}", settings::told(&error));
            ExitCode::FAILURE
        }
    }
}
