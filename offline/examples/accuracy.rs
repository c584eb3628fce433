//! Three splits by several seeds: the table of accuracy.
use std::path::PathBuf;

use adclick_offline::data::{Format, Source};
use adclick_offline::progress::Progress;
use adclick_offline::train::{Blueprint, Config, CrossShape, Data, Split, fit};

fn logloss(z: &[f64], y: &[bool]) -> f64 {
    z.iter()
        .zip(y)
        .map(|(z, y)| {
            let z = if *y { -z } else { *z };
            z.max(0.0) + (-z.abs()).exp().ln_1p()
        })
        .sum::<f64>()
        / z.len() as f64
}

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(std::env::var("ADCLICK_DATA")?);
    let mut config = Config::default();
    let mut seeds = 1u64;
    let mut only = String::new();
    for arg in std::env::args().skip(1) {
        let (k, v) = arg.split_once('=').unwrap();
        let f = || Some(v.parse::<f64>().unwrap());
        match k {
            "seeds" => seeds = v.parse()?,
            "only" => only = v.to_owned(),
            "epochs" => config.epochs = Some(v.parse()?),
            "batch" => config.batch = Some(v.parse()?),
            "lr" => config.lr = f(),
            "lre" => config.lr_embedding = f(),
            "decay" => config.decay = f(),
            "de" => config.decay_embedding = f(),
            "drop" => config.dropout = f(),
            "dropemb" => config.dropout_embedding = f(),
            "wide" => config.wide = Some(v == "1"),
            "lrw" => config.lr_wide = f(),
            "dw" => config.decay_wide = f(),
            "avg" => config.averaging = f(),
            "dim" => config.dim = Some(v.parse()?),
            "min" => config.min_count = Some(v.parse()?),
            "buckets" => config.buckets = Some(v.parse()?),
            "layers" => config.cross_layers = Some(v.parse()?),
            "patience" => config.patience = Some(v.parse()?),
            "hidden" => {
                config.hidden = Some(v.split('-').filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect())
            }
            "rank" => config.cross = Some(CrossShape::LowRank(v.parse()?)),
            _ => panic!("{k}"),
        }
    }
    let mut line = String::new();
    for (name, file, format, splits) in [
        (
            "criteo",
            "criteo-display-10k/train.tsv.gz",
            Format::Criteo,
            vec!["hash:0", "hash:1", "hash:2", "hash:3", "hash:4"],
        ),
        ("avazu-day", "avazu-20k-10days/train.csv.gz", Format::Avazu, vec!["day"]),
        (
            "avazu-hash",
            "avazu-20k-10days/train.csv.gz",
            Format::Avazu,
            vec!["hash:0", "hash:1", "hash:2", "hash:3", "hash:4"],
        ),
    ] {
        if !name.contains(&only) {
            continue;
        }
        let mut losses = Vec::new();
        let mut seconds = 0.0;
        let mut best = 0;
        let mut val = 0.0;
        let seeds = if name == "avazu-day" { seeds.max(3) } else { seeds };
        for seed in 0..seeds {
            let (mut z, mut y) = (Vec::new(), Vec::new());
            for split in &splits {
                let data = Data {
                    source: Source::new(vec![dir.join(file)], format.clone()),
                    split: Split::experiment(split)?,
                };
                let t = fit(
                    &Config { seed, ..config.clone() },
                    &data,
                    &Blueprint::of(&format).unwrap(),
                    None,
                    Progress::Silent,
                )?;
                let test = t.test.unwrap();
                z.extend(test.click_logits);
                y.extend(test.clicks);
                seconds += t.metrics.seconds;
                best += t.metrics.best_epoch;
                val += t.metrics.validation_loss;
            }
            losses.push(logloss(&z, &y));
        }
        let fits = losses.len() * splits.len();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        line += &format!(
            "{name} {mean:.4} (val {:.4}, ep {:.1}, {:.1}s)  ",
            val / fits as f64,
            best as f64 / fits as f64,
            seconds / fits as f64
        );
    }
    println!("{line}");
    Ok(())
}
