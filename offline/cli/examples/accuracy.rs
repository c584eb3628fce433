//! Log loss on real logs by the rules of `adclick train --split`, with the defaults, as a table.
//!
//! `ADCLICK_DATA=DIR cargo run --release -p adclick-cli --example accuracy [SEEDS]`

use std::path::PathBuf;

use adclick_data::logs::{Format, LogFiles};
use adclick_data::progress::Progress;
use adclick_train::trainer::{Blueprint, Config, Data, Split, fit};
use anyhow::{Context, Result};

const ROTATIONS: [&str; 5] = ["hash:0", "hash:1", "hash:2", "hash:3", "hash:4"];

fn main() -> Result<()> {
    let dir = std::env::var("ADCLICK_DATA").context("set ADCLICK_DATA to the folder that holds the logs")?;
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(5), |n| n.parse()).context("SEEDS is a whole number")?;
    println!("{:<14} {:>10} {:>12} {:>9} {:>8} {:>7}", "split", "log loss", "validation", "best", "network", "s/fit");
    for (name, file, format, splits) in [
        ("criteo, hash", "criteo-display-10k/train.tsv.gz", Format::Criteo, &ROTATIONS[..]),
        ("avazu, day", "avazu-20k-10days/train.csv.gz", Format::Avazu, &["day"]),
        ("avazu, hash", "avazu-20k-10days/train.csv.gz", Format::Avazu, &ROTATIONS[..]),
    ] {
        let blueprint = Blueprint::of(&format).context("a built-in schema")?;
        let (mut loss, mut rows, mut validation, mut passes, mut share, mut seconds, mut fits) =
            (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (seed, split) in (0..seeds).flat_map(|seed| splits.iter().map(move |split| (seed, split))) {
            let source = LogFiles::new(vec![PathBuf::from(&dir).join(file)], format.clone());
            let data = Data { source, split: Split::experiment(split)? };
            let config = Config { seed, ..Config::default() };
            let trained = fit(&config, &data, &blueprint, None, &Progress::silent())?;
            let test = trained.test.context("the split has test rows")?;
            loss += test.loss * test.clicks.len() as f64;
            rows += test.clicks.len() as f64;
            validation += trained.metrics.validation_loss;
            passes += f64::from(trained.metrics.best_epoch);
            share += trained.metrics.network_shares.first().unwrap_or(&1.0);
            seconds += trained.metrics.seconds;
            fits += 1.0;
        }
        println!(
            "{name:<14} {:>10.4} {:>12.4} {:>9.1} {:>8.2} {:>7.1}",
            loss / rows,
            validation / fits,
            passes / fits,
            share / fits,
            seconds / fits
        );
    }
    Ok(())
}
