//! Runs that are killed and go on from their checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::workshop::Workshop;

const TRAIN: &str = "train --data log.csv --format examples --schema schema.toml --epochs 2 --hidden 16 --cross-layers 1 --batch 256 --threads 1";
/// After every step: a fast machine has few moments in which to kill it.
const KEPT: &str = "--checkpoint kept --checkpoint-every 0.0001";
/// What a checkpoint holds once the first run has chosen, and only until the second has kept anything.
const CHOSEN: &str = r#"\"outcome\":{"#;
const BETWEEN: &str = r#"\"standing\":null"#;

/// The files of a bundle.
fn bundle(shop: &Workshop, name: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(shop.path(name)).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Trains into `out` until there is a new checkpoint of the run that is meant, the first or the one that learns from the
/// validation rows, and kills the command.
fn kill(shop: &Workshop, out: &str, second: bool) {
    let kept = || fs::read(shop.path("kept")).map(|kept| String::from_utf8_lossy(&kept).into_owned()).ok();
    let before = kept();
    let command = format!("{TRAIN} --out {out} {KEPT} --resume");
    let mut child = shop.command(&command).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let meant = |kept: &String| {
        Some(kept) != before.as_ref() && (!second || (kept.contains(CHOSEN) && !kept.contains(BETWEEN)))
    };
    while !kept().as_ref().is_some_and(meant) {
        assert!(child.try_wait().unwrap().is_none(), "it ended without another checkpoint");
        assert!(start.elapsed() < Duration::from_secs(300), "neither a checkpoint nor an end");
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_that_is_killed_again_and_again_gives_the_same_bytes() {
    let shop = Workshop::new(9_000);
    shop.texts(&format!("{TRAIN} --out whole"));
    for second in [false, false, false, true, true, true] {
        kill(&shop, "resumed", second);
    }
    let [_, said] =
        shop.texts(&format!("{TRAIN} --threads 2 --out resumed {KEPT} --resume").replace("--threads 1", ""));
    assert!(
        said.contains("resumed: ") && said.contains("passes are chosen") && said.contains("resumed: pass "),
        "{said}"
    );
    assert_eq!(bundle(&shop, "whole"), bundle(&shop, "resumed"));
    assert!(!shop.path("kept").exists(), "a run that is done keeps nothing");
}

#[test]
fn a_checkpoint_of_another_run_is_refused_and_stays() {
    let shop = Workshop::new(9_000);
    kill(&shop, "out", false);
    let kept = fs::read(shop.path("kept")).unwrap();
    let refused = |arguments: &str, expected: &[&str]| {
        let said = shop.failure(arguments);
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(fs::read(shop.path("kept")).unwrap(), kept, "{arguments}");
    };
    refused(&format!("{TRAIN} --out out {KEPT}"), &["kept exists", "--resume"]);
    let seed = format!("{TRAIN} --out out {KEPT} --resume --seed 7");
    refused(&seed, &["other options", "seed: 0`", "seed: 7`", "--checkpoint, --resume"]);
    let log = fs::read_to_string(shop.path("log.csv")).unwrap();
    let fewer: String = log.lines().take(8_000).flat_map(|line| [line, "\n"]).collect();
    shop.write("fewer.csv", &fewer);
    let fewer = TRAIN.replace("log.csv", "fewer.csv");
    refused(&format!("{fewer} --out out {KEPT} --resume"), &["other rows", "checksum"]);
    // Damage anywhere is found.
    for at in [3, kept.len() / 2, kept.len() - 1] {
        let mut damaged = kept.clone();
        damaged[at] ^= 0x10;
        fs::write(shop.path("kept"), &damaged).unwrap();
        let said = shop.failure(&format!("{TRAIN} --out out {KEPT} --resume"));
        assert!(said.contains("kept: the checkpoint cannot be read"), "{at}: {said}");
    }
    for length in [0, 7, 1000, kept.len() - 1] {
        fs::write(shop.path("kept"), &kept[..length]).unwrap();
        let said = shop.failure(&format!("{TRAIN} --out out {KEPT} --resume"));
        assert!(said.contains("kept: the checkpoint cannot be read"), "{length}: {said}");
    }
    let said = shop.failure(&format!("{TRAIN} --out out --checkpoint no/such/kept"));
    assert!(said.contains("no/such/kept: the checkpoint cannot be written"), "{said}");
}
