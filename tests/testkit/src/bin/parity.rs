//! Makes the requests that every language answers, and answers them through the Rust API. tests/parity/README.md says how.

use std::path::Path;
use std::process::ExitCode;

use testkit::parity;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", directory] => parity::make(Path::new(directory), parity::COUNT),
        ["make", directory, count] if count.parse::<u32>().is_ok() => {
            parity::make(Path::new(directory), count.parse().unwrap_or(parity::COUNT));
        }
        [bundle, requests, outputs] => {
            let summary = parity::answer(Path::new(bundle), Path::new(requests), Path::new(outputs));
            println!("{summary:?}");
        }
        _ => {
            eprintln!("usage: parity make DIR [COUNT] | parity BUNDLE requests.bin outputs.bin");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
