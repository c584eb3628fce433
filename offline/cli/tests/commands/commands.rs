//! The commands as a user runs them, on generated impressions: logs to a bundle, and what happens when things are wrong.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::workshop::{Workshop, number};

const ROWS: &str = "--data log.csv --format examples --schema schema.toml";

#[test]
fn logs_become_a_calibrated_bundle_near_the_truth() {
    let shop = Workshop::new(40_000);
    let train = shop.json(&format!("train {ROWS} --split hash:0 --out model --no-calibrate --json"));
    assert!(number(&train, "rows") > 20_000.0);
    let calibrate = shop.json(&format!("calibrate --bundle model {ROWS} --split hash:0 --out bundle --json"));
    assert!(calibrate["ctr"]["method"].is_string(), "{calibrate}");
    let test =
        shop.json(&format!("evaluate --bundle bundle {ROWS} --split hash:0 --json --field device --group segment"));
    for key in ["rows", "ctr", "auc", "logloss", "ne", "ece", "calibration_ratio", "gauc"] {
        assert!(number(&test, key).is_finite(), "{key}");
    }
    assert_eq!(test["fields"].as_array().map(Vec::len), Some(1));
    // The generator's own probabilities on the same rows are as good as it gets; a constant is far worse.
    let truth = truth(&shop.path("log.csv"));
    let (logloss, ne) = (number(&test, "logloss"), number(&test, "ne"));
    assert!(logloss < truth * 1.06, "log loss {logloss}, of the truth {truth}");
    assert!(logloss > truth * 0.94, "log loss {logloss} is better than the truth {truth}: labels leak");
    assert!(ne < 0.93, "NE {ne}");
    assert!((number(&test, "calibration_ratio") - 1.0).abs() < 0.12);
    // Serving, one row at a time, agrees with what training measured, up to the rounding of weights to fp16.
    let raw = shop.json(&format!("evaluate --bundle model {ROWS} --split hash:0 --raw --json"));
    assert!((number(&raw, "logloss") - number(&train, "test_logloss")).abs() < 2e-5);

    let verify = shop.run("verify bundle");
    assert!(verify.status.success() && String::from_utf8_lossy(&verify.stdout).contains("golden requests"));
    let scored = shop.json(&format!("score --bundle bundle {ROWS} --output y.safetensors --json"));
    assert_eq!(number(&scored, "rows"), 40_000.0);
    let bytes = std::fs::read(shop.path("y.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("row").unwrap().shape(), [40_000]);
}

/// The log loss of the probabilities that the generator drew from, on the rows that hash:0 tests.
fn truth(path: &Path) -> f64 {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut sum, mut n) = (0.0, 0.0);
    for (row, line) in text.lines().skip(1).enumerate() {
        if crc32fast::hash(format!("0:{row}").as_bytes()) % 10 < 2 {
            let fields: Vec<&str> = line.split(',').collect();
            let (click, p): (&str, f64) = (fields[9], fields[10].parse().unwrap());
            sum -= if click == "1" { p.ln() } else { (1.0 - p).ln() };
            n += 1.0;
        }
    }
    sum / n
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let shop = Workshop::new(3000);
    for out in ["a", "b"] {
        shop.json(&format!("train {ROWS} --seed 7 --epochs 2 --out {out} --json"));
    }
    let other = shop.json(&format!("train {ROWS} --seed 8 --epochs 2 --out c --json"));
    let bytes = |bundle: &str| std::fs::read(shop.path(bundle).join("model.adc")).unwrap();
    assert!(bytes("a") == bytes("b"), "two runs differ");
    assert!(bytes("a") != bytes("c"), "the seed has no effect: {other}");
}

#[test]
fn a_warm_start_is_never_worse_on_the_validation_rows() {
    let shop = Workshop::new(6000);
    let first = shop.json(&format!("train {ROWS} --epochs 2 --out a --json"));
    let second = shop.json(&format!("train {ROWS} --epochs 2 --out b --warm-start a --json"));
    let loss = |json: &Value| number(json, "validation_loss");
    // The parent's weights were rounded to fp16 on the way.
    assert!(loss(&second) <= loss(&first) + 1e-5, "{} after {}", loss(&second), loss(&first));
}

#[test]
fn a_bundle_is_not_overwritten_unless_asked() {
    let shop = Workshop::new(2000);
    shop.json(&format!("train {ROWS} --epochs 1 --out a --json"));
    let before = std::fs::read(shop.path("a/model.adc")).unwrap();
    let message = shop.failure(&format!("train {ROWS} --epochs 1 --seed 3 --out a"));
    assert!(message.contains("exists already"), "{message}");
    assert!(std::fs::read(shop.path("a/model.adc")).unwrap() == before);
    shop.json(&format!("train {ROWS} --epochs 1 --seed 3 --out a --replace --publish --json"));
    assert!(std::fs::read(shop.path("a/model.adc")).unwrap() != before);
    assert_eq!(std::fs::read_to_string(shop.path("CURRENT")).unwrap(), "a\n");
    // Whatever is no bundle stays, and is told before the work is done.
    std::fs::create_dir(shop.path("home")).unwrap();
    std::fs::write(shop.path("home/thesis.txt"), "dear").unwrap();
    for verb in [format!("train {ROWS} --epochs 1"), format!("calibrate --bundle a {ROWS}")] {
        for (out, what) in
            [("home", "it is no bundle"), ("CURRENT", "cannot have the name CURRENT"), ("log.csv", "no directory")]
        {
            let message = shop.failure(&format!("{verb} --out {out} --replace --publish"));
            assert!(message.contains(what), "`{what}` is not in: {message}");
        }
    }
    assert_eq!(std::fs::read(shop.path("home/thesis.txt")).unwrap(), b"dear");
    assert_eq!(std::fs::read_to_string(shop.path("CURRENT")).unwrap(), "a\n");
    let message = shop.failure(&format!("score --bundle a {ROWS} --output log.csv"));
    assert!(message.contains("is not replaced: it is not what an earlier `adclick score` wrote"), "{message}");
    for _ in 0..2 {
        shop.json(&format!("score --bundle a {ROWS} --output scores.safetensors --json"));
    }
}

#[test]
fn wrong_input_is_named() {
    let shop = Workshop::new(2000);
    let text = std::fs::read_to_string(shop.path("log.csv")).unwrap();
    // A label that is neither 0 nor 1 in every row.
    let broken: String = text.lines().map(|l| l.replace(",0,0.", ",maybe,0.") + "\n").collect();
    std::fs::write(shop.path("broken.csv"), broken).unwrap();
    let message = shop.failure("train --data broken.csv --format examples --schema schema.toml --out a");
    for part in ["broken.csv", "line", "click", "maybe"] {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    let message = shop.failure("train --data none.csv --format criteo --out a");
    assert!(message.contains("none.csv"), "{message}");
    let message = shop.failure("train --data log.csv --format examples --out a");
    assert!(message.contains("--schema"), "{message}");
    std::fs::write(shop.path("bad.toml"), adclick_cli::synthetic::SCHEMA.replace("\"multi\"", "\"many\"")).unwrap();
    let message = shop.failure("train --data log.csv --format examples --schema bad.toml --out a");
    assert!(message.contains("bad.toml") && message.contains("many"), "{message}");
    let message = shop.failure("evaluate --bundle nowhere --data log.csv --format criteo");
    assert!(message.contains("nowhere"), "{message}");
    assert!(!shop.path("a").exists(), "a failed training left a bundle");
    assert_eq!(shop.run("train --data").status.code(), Some(2), "wrong usage exits with 2");
}

#[test]
fn an_output_that_cannot_be_written_is_an_error_and_no_panic() {
    let shop = Workshop::new(2000);
    let commands = [
        format!("train {ROWS} --epochs 1 --out b"),
        format!("evaluate --bundle b {ROWS}"),
        format!("calibrate --bundle b {ROWS} --json"),
        format!("score --bundle b {ROWS} --output y.safetensors"),
        "verify b".to_owned(),
        "inspect b".to_owned(),
        "schema infer --data log.csv".to_owned(),
    ];
    for arguments in &commands {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = shop.command(arguments).stdout(full).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {message}");
        assert!(message.contains("cannot write to standard output") && !message.contains("panicked"), "{message}");
    }
    // A reader that has seen enough is no failure: `adclick inspect b | head -1`.
    for arguments in &commands[1..] {
        let mut command = shop.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !message.contains("adclick:"), "{arguments}: {message}");
    }
}

/// Said before the first row is read.
#[test]
fn numbers_out_of_range_are_wrong_usage() {
    let shop = Workshop::new(200);
    for option in [
        "--lr=-1",
        "--lr nan",
        "--lr-embedding 0",
        "--decay=-1",
        "--decay-embedding inf",
        "--dropout 1",
        "--dropout-embedding=-0.1",
        "--downsample 0",
        "--downsample 1.5",
        "--epochs 0",
        "--batch 0",
        "--hidden 64,0",
        "--hash-buckets 0",
    ] {
        let output = shop.run(&format!("train {ROWS} --out a {option}"));
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option}: {message}");
        let name = option.split([' ', '=']).next().unwrap();
        assert!(message.contains("invalid value") && message.contains(name), "{option}: {message}");
    }
    assert!(!shop.path("a").exists());
}

#[test]
fn a_training_that_diverges_says_so() {
    let shop = Workshop::new(2000);
    let message = shop.failure(&format!("train {ROWS} --lr 1e30 --epochs 2 --out a"));
    assert!(message.contains("diverged in pass") && message.contains("--lr"), "{message}");
    assert!(!shop.path("a").exists());
}

#[test]
fn rows_of_another_model_are_not_measured_in_silence() {
    let shop = Workshop::new(2000);
    shop.json(&format!("train {ROWS} --epochs 1 --out a --json"));
    // None of the inputs.
    let line = "1\t".to_owned() + &["3"; 13].join("\t") + "\t" + &["68fd1e64"; 26].join("\t") + "\n";
    std::fs::write(shop.path("criteo.tsv"), line.repeat(20)).unwrap();
    for verb in ["evaluate", "score --output y.safetensors", "calibrate --method platt"] {
        let message = shop.failure(&format!("{verb} --bundle a --data criteo.tsv --format criteo"));
        assert!(message.contains("none of the model's inputs") && message.contains("device"), "{message}");
    }
    assert!(!shop.path("y.safetensors").exists());
    // All but one: they are scored, and it is said which is not there.
    let schema = std::fs::read_to_string(shop.path("schema.toml")).unwrap();
    let mut parts: Vec<&str> = schema.split("[[features]]").collect();
    let device = parts.iter().position(|part| part.contains("name = \"device\"")).unwrap();
    parts.remove(device);
    std::fs::write(shop.path("less.toml"), parts.join("[[features]]")).unwrap();
    let output = shop.run("evaluate --bundle a --data log.csv --format examples --schema less.toml");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("lack inputs of the model, which take their defaults: device\n"), "{message}");
}

#[test]
fn a_calibrator_needs_rows_of_both_kinds() {
    let shop = Workshop::new(2000);
    shop.json(&format!("train {ROWS} --epochs 1 --out a --json"));
    let text = std::fs::read_to_string(shop.path("log.csv")).unwrap();
    let unclicked = text.lines().enumerate().filter(|(row, line)| *row == 0 || line.contains(",0,0."));
    std::fs::write(shop.path("log.csv"), unclicked.map(|(_, line)| line.to_owned() + "\n").collect::<String>())
        .unwrap();
    let message = shop.failure(&format!("calibrate --bundle a {ROWS} --method isotonic --out b"));
    assert!(message.contains("0 of ") && message.contains("rows of both kinds"), "{message}");
    assert!(!shop.path("b").exists());
}
