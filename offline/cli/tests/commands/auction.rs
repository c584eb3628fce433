//! The command `adclick auction`, run as a user runs it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn adclick(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_adclick"))
        .arg("auction")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn golden() -> PathBuf {
    std::env::var_os("ADCLICK_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"), PathBuf::from)
        .join("auction")
}

#[test]
fn golden_auctions_come_out_as_the_textbook_says() {
    let input = golden().join("auctions.jsonl");
    let auctions: Vec<Value> =
        std::fs::read_to_string(&input).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut compared = 0;
    for (kind, answer) in [("cpc", "gsp_cpc_full"), ("cpa", "gsp_cpa_full")] {
        let outcomes = lines(&adclick(&["--input", input.to_str().unwrap(), "--bid-kind", kind], ""));
        assert_eq!(outcomes.len(), auctions.len());
        for (auction, outcome) in auctions.iter().zip(&outcomes) {
            let id = &auction["id"];
            assert_eq!(&outcome["id"], id);
            let expected = auction["textbook"][answer].as_array().unwrap();
            let winners = outcome["winners"].as_array().unwrap();
            assert_eq!(winners.len(), expected.len(), "auction {id}, {answer}");
            for (slot, (winner, expected)) in winners.iter().zip(expected).enumerate() {
                assert_eq!(
                    (&winner["candidate"], &winner["slot"]),
                    (&expected["i"], &json!(slot)),
                    "auction {id}, {answer}"
                );
                assert_eq!(outcome["reasons"][expected["i"].as_u64().unwrap() as usize], "won");
                let price = expected["price_per_event"].as_f64().unwrap();
                let got = winner["price"].as_f64().unwrap();
                assert!((got - price).abs() <= 1e-12 * price, "auction {id}, {answer}: expected {price}, got {got}");
                if let Some(micros) = winner["price_micros"].as_i64() {
                    let up = micros as f64 - 1e6 * price;
                    assert!((-1e-8..1.0).contains(&up), "auction {id}, {answer}: {price} rounded to {micros} micros");
                }
                let score = 1000.0 * expected["score"].as_f64().unwrap();
                assert!((winner["score"].as_f64().unwrap() - score).abs() <= 1e-12 * score);
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} winners compared");
}

#[test]
fn kinds_compete_and_every_candidate_has_a_reason() {
    let auction = json!({
        "id": "r1", "slots": 2, "candidates": [
            { "ad": 1, "kind": "cpm", "bid": 2.5 },
            { "ad": "two", "kind": "cpc", "bid_micros": 100_000, "pctr": 0.03125 },
            { "ad": 3, "kind": "ocpm", "bid": 4, "reserve_micros": 1_000_000, "pctr": 0.03125, "pcvr": 0.03125 },
            { "ad": 4, "kind": "cpa", "bid": 4, "pctr": 0.03125, "pcvr": null },
            { "ad": 5, "kind": "cpc", "bid": 0.02, "pctr": 0.9 },
            { "ad": 6, "kind": "cpc", "bid": -1, "pctr": 0.9 },
        ],
    });
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("auction.toml");
    std::fs::write(&policy, "[reserve_micros]\ncpc = 30_000\n").unwrap();
    let output = adclick(&["--input", "-", "--policy", policy.to_str().unwrap()], &auction.to_string());
    // At 0.08 the second would tie with the third, which has the smaller key: what is billed is one micro more.
    assert_eq!(
        lines(&output),
        [json!({
            "id": "r1",
            "winners": [
                { "candidate": 2, "ad": 3, "slot": 0, "score": 3.90625, "ecpm_micros": 3_906_250, "price_micros": 3_125_000,
                  "price": 3.125, "price_bound": "next_score", "runner_up": 1 },
                { "candidate": 1, "ad": "two", "slot": 1, "score": 3.125, "ecpm_micros": 3_125_000, "price_micros": 80_001,
                  "price": 0.08, "price_bound": "next_score", "runner_up": 0 },
            ],
            "reasons": ["outranked", "won", "won", "missing_pcvr", "below_reserve", "invalid_bid"],
        })]
    );
    assert_eq!(stderr(&output), "1 auctions, 2 winners, 0 bad lines skipped\n");
}

#[test]
fn amounts_finer_than_a_micro_have_prices_that_are_not_rounded() {
    let text = "{\"bid\":[1.0000005,0.9999995],\"pctr\":[0.5,0.5]}\n\n{\"bid\":[1,0.999999],\"pctr\":[0.5,0.5]}\n";
    let outcomes = lines(&adclick(&["--input", "-"], text));
    // Without an id, the number of the line.
    assert_eq!((&outcomes[0]["id"], &outcomes[1]["id"]), (&json!(1), &json!(3)));
    let prices: Vec<_> = outcomes
        .iter()
        .map(|outcome| {
            (outcome["winners"][0]["price_micros"].as_i64(), outcome["winners"][0]["price"].as_f64().unwrap())
        })
        .collect();
    assert_eq!(prices, [(None, 0.999_999_5), (Some(999_999), 0.999_999)]);
}

#[test]
fn bad_lines_are_skipped_up_to_the_limit_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (input, output) = (path("in.jsonl"), path("out.jsonl"));
    let good = "{\"bid\":[1],\"pctr\":[0.5],\"color\":1}\n";
    std::fs::write(&input, format!("{good}{{\"bid\":[true]}}\n{good}{{\"bid\":[1]\n{good}").into_bytes()).unwrap();
    // What somebody else wrote is not replaced; what an earlier run wrote is, when all went well.
    std::fs::write(&output, "dear").unwrap();
    let refused = adclick(&["--input", &input, "--output", &output, "--max-errors", "2"], "");
    assert!(stderr(&refused).contains("is not replaced: it is not what an earlier `adclick auction` wrote"));
    assert_eq!((refused.status.code(), std::fs::read_to_string(&output).unwrap()), (Some(1), "dear".to_owned()));
    let before = "{\"id\":1,\"winners\":[],\"reasons\":[]}\n";
    std::fs::write(&output, before).unwrap();

    let failed = adclick(&["--input", &input, "--output", &output, "--max-errors", "1"], "");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(
        stderr(&failed),
        format!(
            "{input}:1: note: field color is not used\n\
             {input}:2: skipped: field bid[0]: expected a number, found true\n\
             adclick: {output} is not written: {input}:4: expected a JSON object, found EOF while parsing an object at \
             column 10: correct the line, or skip more bad lines than 1 with --max-errors\n"
        )
    );
    assert_eq!(std::fs::read_to_string(&output).unwrap(), before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "something was left behind");

    let passed = adclick(&["--input", &input, "--output", &output, "--max-errors", "2", "--json"], "");
    assert_eq!(lines(&passed), [json!({ "auctions": 3, "winners": 3, "skipped": 2 })]);
    let outcomes = std::fs::read_to_string(&output).unwrap();
    let ids: Vec<_> =
        outcomes.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 3, 5]);

    let latin = path("latin.jsonl");
    std::fs::write(&latin, b"{\"id\":\"\xe9\"}").unwrap();
    let failed = adclick(&["--input", &latin], "");
    assert!(
        stderr(&failed).contains("latin.jsonl:1: expected UTF-8, found another byte at column 8"),
        "{}",
        stderr(&failed)
    );
}

#[test]
fn wrong_use_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("auction.toml");
    std::fs::write(&policy, "pricing = \"gsp\"\nsqaush = 0.5\n").unwrap();
    let policy = policy.to_str().unwrap();
    for (arguments, code, message) in [
        (vec!["--input", "-", "--json"], 1, "give --output FILE".to_owned()),
        (vec!["--input", "/nowhere/a.jsonl"], 1, "cannot open /nowhere/a.jsonl".to_owned()),
        (
            vec!["--input", "-", "--policy", policy],
            1,
            format!(
                "adclick: {policy}: bad auction policy: line 2: unknown key sqaush, the known ones are pricing, squash, \
                 score_floor_micros, reserve_micros\n"
            ),
        ),
        (vec!["--input", "-", "--bid-kind", "cpx"], 2, "possible values: cpm, cpc, cpa, ocpm".to_owned()),
        (vec![], 2, "--input <FILE>".to_owned()),
    ] {
        let output = adclick(&arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(&message), "{arguments:?}: {}", stderr(&output));
    }
    let help = adclick(&["--help"], "");
    for word in ["ad_reserve", "reserve_micros", "nearest micro", "price_bound", "--max-errors", "per 1000 impressions"]
    {
        assert!(stdout(&help).contains(word), "{word}");
    }
}
