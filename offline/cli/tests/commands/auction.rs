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

/// The vectors have factors of their own for each auction, and so each has a policy of its own.
#[test]
fn golden_vcg_auctions_come_out_of_the_command() {
    let text = std::fs::read_to_string(golden().join("auctions.jsonl")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("vcg.toml");
    let mut compared = 0;
    for line in text.lines().take(25) {
        let auction: Value = serde_json::from_str(line).unwrap();
        let Some(expected) = auction["textbook"]["vcg_filter_floor"]["result"].as_array() else { continue };
        let mut input = auction["input"].clone();
        let factors = &input["position_factors"];
        std::fs::write(&policy, format!("pricing = \"vcg\"\nslot_factors = {factors}\n")).unwrap();
        // These vectors know none of them.
        for other in ["modifier", "quality", "ad_reserve", "squash"] {
            input.as_object_mut().unwrap().remove(other);
        }
        let outcome = &lines(&adclick(
            &["--input", "-", "--policy", policy.to_str().unwrap(), "--bid-kind", "cpc"],
            &input.to_string(),
        ))[0];
        let winners = outcome["winners"].as_array().unwrap();
        assert_eq!(winners.len(), expected.len(), "auction {}", auction["id"]);
        for (winner, expected) in winners.iter().zip(expected) {
            assert_eq!((&winner["candidate"], &winner["slot"]), (&expected["i"], &expected["slot"]));
            let (got, price) = (winner["price"].as_f64().unwrap(), expected["price_per_click"].as_f64().unwrap());
            assert!((got - price).abs() <= 1e-12 * price, "auction {}: expected {price}, got {got}", auction["id"]);
            compared += 1;
        }
    }
    assert!(compared > 20, "only {compared} winners compared");
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
                "adclick: {policy}: bad auction policy: line 2: unknown key sqaush, the known ones are pricing, ties, squash, \
                 score_floor_micros, "
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

#[test]
fn golden_the_policy_document_is_the_documents_ranker_to_the_bit() {
    let input = golden().join("auctions.jsonl");
    let auctions: Vec<Value> =
        std::fs::read_to_string(&input).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let directory = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for objective in ["click", "conversion"] {
        let policy = directory.path().join("document.toml");
        std::fs::write(&policy, format!("pricing = \"document\"\n[document]\nobjective = \"{objective}\"\n")).unwrap();
        let arguments = ["--input", input.to_str().unwrap(), "--policy", policy.to_str().unwrap()];
        let outcomes = lines(&adclick(&arguments, ""));
        assert_eq!(outcomes.len(), auctions.len());
        for (auction, outcome) in auctions.iter().zip(&outcomes) {
            let Some(expected) = auction["design_document"][objective].as_array() else { continue };
            let got: Vec<Value> = outcome["winners"]
                .as_array()
                .unwrap()
                .iter()
                .map(|winner| json!([winner["candidate"], winner["price"]]))
                .collect();
            assert_eq!(got.len(), expected.len(), "auction {}, {objective}", auction["id"]);
            for (got, expected) in got.iter().zip(expected) {
                let price = |place: &Value| place[1].as_f64().unwrap().to_bits();
                assert_eq!(
                    (&got[0], price(got)),
                    (&expected[0], price(expected)),
                    "auction {}, {objective}",
                    auction["id"]
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "only {compared} places compared");
}

#[test]
fn cases_of_ad_platforms_come_out_of_the_command() {
    let directory = tempfile::tempdir().unwrap();
    let decide = |policy: &str, auction: Value| {
        let path = directory.path().join("policy.toml");
        std::fs::write(&path, policy).unwrap();
        lines(&adclick(&["--input", "-", "--policy", path.to_str().unwrap()], &auction.to_string())).remove(0)
    };
    let won = |policy: &str, candidates: Value| {
        let outcome = decide(policy, json!({ "candidates": candidates }));
        (
            outcome["winners"][0]["ad"].as_u64().unwrap_or(0),
            outcome["winners"][0]["price_micros"].as_i64().unwrap_or(-1),
        )
    };
    let ad = |ad: u64, bid: f64| json!({ "ad": ad, "bid": bid, "pctr": 0.25 });
    let with = |mut ad: Value, more: Value| {
        ad.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ad
    };
    assert_eq!(won("", json!([with(ad(1, 1.0), json!({ "adjust": 0.2 })), ad(2, 1.1)])), (1, 1_100_000));
    let out = decide("", json!({ "candidates": [with(ad(1, 1.0), json!({ "adjust": -1 })), ad(2, 0.1)] }));
    assert_eq!(out["reasons"], json!(["adjusted_out", "won"]));
    assert_eq!(won("", json!([with(ad(1, 2.0), json!({ "withheld": 0.5 })), ad(2, 0.8)])), (1, 800_000));
    let a = json!({ "advertiser": "a" });
    let siblings = json!([with(ad(1, 3.0), a.clone()), with(ad(2, 2.9), a), ad(3, 1.0)]);
    assert_eq!(won("[page]\nper_advertiser = 1\n", siblings), (1, 1_000_000));
    let house = with(ad(1, 0.01), json!({ "floor_exempt": true }));
    assert_eq!(won("[reserve_micros]\ncpc = 1_000_000\n", json!([house])).0, 1);
    let tiers = "[[tier]]\nname = \"deals\"\n[[tier]]\nname = \"standard\"\n";
    assert_eq!(won(tiers, json!([ad(2, 4.0), with(ad(1, 3.0), json!({ "tier": "deals" }))])).0, 1);
    assert_eq!(won("unit_micros = 10_000\npricing = \"first\"\n", json!([ad(1, 0.399)])), (1, 390_000));
    let squash = "squash = 0.5\n[mean_probability]\ncpc = 0.01\n";
    let clicks = json!({ "ad": 1, "bid": 0.1, "pctr": 0.01 });
    assert_eq!(won(squash, json!([clicks, { "ad": 2, "kind": "cpm", "bid": 5 }])).0, 2);
}

#[test]
fn an_auction_is_explained_and_what_was_explored_replays() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        path("policy.toml"),
        "[exploration]\nmethod = \"plackett-luce\"\ntemperature = 1.0\nmax_given_up_micros = 2_000_000\n",
    )
    .unwrap();
    let auctions: String = (0..200)
        .map(|id| format!("{{\"id\":{id},\"slots\":2,\"bid\":[0.5,0.4,0.3,0.2],\"pctr\":[0.1,0.1,0.1,0.1]}}\n"))
        .collect();
    std::fs::write(path("in.jsonl"), &auctions).unwrap();
    let (policy, input, out) = (path("policy.toml"), path("in.jsonl"), path("out.jsonl"));
    let run = |more: &[&str]| adclick(&[&["--input", input.as_str(), "--policy", policy.as_str()], more].concat(), "");
    assert!(run(&["--output", &out]).status.success());
    let outcomes = std::fs::read_to_string(&out).unwrap();
    assert!(outcomes.contains("\"allowed\"") && outcomes.contains("\"capped\""), "{outcomes}");
    let again = run(&["--replay", &out]);
    assert_eq!(stdout(&again), outcomes, "{}", stderr(&again));
    std::fs::write(&out, outcomes.replacen("\"price\":0.4", "\"price\":0.41", 1)).unwrap();
    assert!(stderr(&run(&["--replay", &out])).contains("does not replay"));

    let told = adclick(&["--input", "-", "--explain"], "{\"id\":7,\"bid\":[0.5,0.4,0],\"pctr\":[0.1,0.1,0.1]}");
    let expected = "auction 7: 3 candidates for 1 slots, pricing gsp\n  \
                    slot 0  candidate 0: pays 0.4 of a bid of 0.5; the least that keeps it ahead of candidate 1\n          \
                    eCPM 50, score 50\n  lost    candidate 1: outranked\n  lost    candidate 2: invalid_bid\n\n";
    assert_eq!(stdout(&told), expected);
}
