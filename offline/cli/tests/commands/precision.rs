//! Precisions offline: what they cost on real rows, what bundles say of them, and what happens where they cannot be had.
//! The rows are Criteo's and Avazu's under `ADCLICK_DATA`, else simulated ones.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adclick::builder::bundle::{self, MODEL_FILE, Role, SERVING_FILE};
use serde_json::Value;

fn run(dir: &Path, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adclick"))
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .env_remove("ADCLICK_KERNEL")
        .output()
        .unwrap()
}

fn json(dir: &Path, arguments: &str) -> Value {
    let output = run(dir, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments}: not one JSON object: {e}"))
}

fn failure(dir: &Path, arguments: &str) -> String {
    let output = run(dir, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn number(json: &Value, key: &str) -> f64 {
    json[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {json}"))
}

/// The logs to look at, as arguments.
fn logs(dir: &Path) -> Vec<String> {
    if let Ok(data) = std::env::var("ADCLICK_DATA") {
        let found = [("criteo-display-10k/train.tsv.gz", "criteo"), ("avazu-20k-10days/train.csv.gz", "avazu")]
            .map(|(file, format)| (PathBuf::from(&data).join(file), format));
        return found.map(|(path, format)| format!("--data {} --format {format}", path.display())).into();
    }
    println!("simulated rows: set ADCLICK_DATA to the folder of real logs");
    adclick_cli::synthetic::generate(&dir.join("log.csv"), 20_000, 5).unwrap();
    vec!["--data log.csv --format examples --schema schema.toml".to_owned()]
}

/// Whether this CPU serves a bundle as it asks for; else says why.
fn served(dir: &Path, bundle: &str) -> bool {
    let precision = &json(dir, &format!("verify {bundle} --json"))["precision"];
    if let Some(reason) = precision["reason"].as_str() {
        println!("skipped: {reason}");
        return false;
    }
    assert_eq!(precision["here"], precision["wanted"]);
    true
}

#[test]
fn fast_precisions_cost_next_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for rows in logs(dir) {
        let train = format!("train {rows} --split hash:0 --hidden 128,64,32 --epochs 4 --replace --json");
        json(dir, &format!("{train} --out exact"));
        let exact = json(dir, &format!("evaluate {rows} --split hash:0 --bundle exact --json"));
        assert_eq!((&exact["precision"], exact.get("costs")), (&"exact".into(), None));
        for (precision, bound) in [("bf16", 0.0002), ("int8", 0.001)] {
            assert_eq!(json(dir, &format!("{train} --precision {precision} --out fast"))["precision"], precision);
            if !served(dir, "fast") {
                continue;
            }
            // The calibrators of each bundle are those of what it serves.
            let fast = json(dir, &format!("evaluate {rows} --split hash:0 --bundle fast --json"));
            assert_eq!(fast["precision"], precision);
            let rise = number(&fast, "logloss") / number(&exact, "logloss") - 1.0;
            println!("{precision}: log loss {:+.4} %", 100.0 * rise);
            assert!(rise < bound, "{precision}: {rise}");
            // The same weights and calibrators, side by side.
            let both =
                json(dir, &format!("evaluate {rows} --split hash:0 --bundle fast --precision {precision} --json"));
            assert_eq!(both["precision"], "exact");
            let [cost] = &both["costs"].as_array().unwrap()[..] else { panic!("{both}") };
            assert_eq!(cost["precision"], precision);
            assert_eq!(number(cost, "logloss"), number(&fast, "logloss"));
            let relative = number(cost, "logloss") / number(&both, "logloss") - 1.0;
            assert_eq!(number(cost, "logloss_relative"), relative);
            assert!(relative < bound, "{precision}: {relative}");
            assert!(number(cost, "logit_largest") > number(cost, "logit_median"));
            assert!(number(cost, "logit_median") > 1e-6, "nothing was rounded: {cost}");
        }
    }
}

#[test]
fn a_precision_is_written_carried_over_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    adclick_cli::synthetic::generate(&dir.join("log.csv"), 6_000, 5).unwrap();
    let rows = "--data log.csv --format examples --schema schema.toml";
    json(dir, &format!("train {rows} --hidden 32,16 --epochs 1 --out plain --json"));
    let inspect = |bundle: &str| json(dir, &format!("inspect {bundle} --json"));
    let plain = inspect("plain");
    assert_eq!(plain["precision"]["wanted"], "exact");
    // Training leaves ranges, whatever the precision.
    let ranges = plain["model"]["ranges"].as_array().unwrap();
    assert!(ranges.len() == 2 && ranges.iter().all(|r| r.as_f64().unwrap() > 0.0), "{ranges:?}");

    json(dir, &format!("calibrate --bundle plain {rows} --precision int8 --out int8 --json"));
    assert_eq!(inspect("int8")["precision"]["wanted"], "int8");
    assert_eq!(inspect("int8")["model"]["ranges"], plain["model"]["ranges"]);
    json(dir, &format!("calibrate --bundle int8 {rows} --out again --json"));
    assert_eq!(inspect("again")["precision"]["wanted"], "int8");
    json(dir, "pack --from int8 --out carried --json");
    assert_eq!(inspect("carried")["precision"]["wanted"], "int8");
    let packed = json(dir, "pack --from int8 --precision auction-exact --out auction --json");
    assert_eq!(packed["precision"]["wanted"], "auction-exact");
    let text = String::from_utf8(run(dir, "inspect auction").stdout).unwrap();
    assert!(text.contains("precision: auction-exact"), "{text}");
    assert_eq!(inspect("int8")["precision"]["first_pass"], Value::Null);
    // On a CPU that has the instructions, the golden requests are near enough for it.
    if served(dir, "auction") {
        assert_eq!(inspect("auction")["precision"]["first_pass"], "int8");
        assert!(text.contains("precision: auction-exact (first pass int8 on this CPU)"), "{text}");
    }
    let text = String::from_utf8(run(dir, "verify auction").stdout).unwrap();
    assert!(text.contains("precision auction-exact"), "{text}");

    // A model without ranges gets them where it is to be served in int8, and is the same otherwise.
    let model = adclick::builder::artifact::model::Model::open(
        adclick::builder::artifact::Bytes::open(
            &dir.join("plain").join(MODEL_FILE),
            adclick::builder::artifact::OpenMode::Copy,
        )
        .unwrap(),
    );
    let mut spec = adclick_train::unpack::unpack(&model.unwrap());
    spec.ranges.clear();
    let bare = adclick::builder::model::pack_model(&spec).unwrap();
    bundle::write(&dir.join("bare"), &[(Role::Model, MODEL_FILE, &bare)], false).unwrap();
    let without_out = failure(dir, &format!("calibrate --bundle bare {rows} --precision int8"));
    assert!(without_out.contains("--out"), "{without_out}");
    let found = json(dir, &format!("calibrate --bundle bare {rows} --precision int8 --out ranged --json"));
    assert!(number(&found, "range_rows") >= 1000.0, "{found}");
    let ranged = inspect("ranged");
    let ranges = ranged["model"]["ranges"].as_array().unwrap();
    assert!(ranges.len() == 2 && ranges.iter().all(|r| r.as_f64().unwrap() > 0.0), "{ranges:?}");
    assert_eq!(ranged["model"]["layers"], plain["model"]["layers"]);
    let packed = String::from_utf8(run(dir, "pack --from bare --precision int8 --out none").stderr).unwrap();
    assert!(packed.contains("warning: int8 would be served exact here"), "{packed}");
}

#[test]
fn packing_finds_ranges_in_real_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/dcn/seed_29");
    let (weights, rows) = (golden.join("model.safetensors"), golden.join("io.safetensors"));
    let pack = format!("pack --weights {} --precision int8 --json --replace --out a", weights.display());
    let ranges = |more: String, says: &str| {
        let packed = json(dir.path(), &format!("{pack} {more}"));
        assert!(packed["notes"].to_string().contains(says), "{packed}");
        json(dir.path(), "inspect a --json")["model"]["ranges"].as_array().unwrap().len()
    };
    let found = ranges(format!("--rows {}", rows.display()), &format!("rows of {}", rows.display()));
    assert!(found > 0);
    assert_eq!(ranges(format!("--goldens {}", rows.display()), &format!("rows of {}", rows.display())), found);
    assert_eq!(ranges(String::new(), "no ranges for int8"), 0);
}

#[test]
fn what_cannot_be_had_fails_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    adclick_cli::synthetic::generate(&dir.join("log.csv"), 6_000, 5).unwrap();
    let rows = "--data log.csv --format examples --schema schema.toml";
    json(dir, &format!("train {rows} --hidden 16 --epochs 1 --precision bf16 --out a --json"));
    // The portable kernel has no products of bf16 on any CPU.
    for precision in ["bf16", "int8", "exact,bf16"] {
        let refused = failure(dir, &format!("evaluate {rows} --bundle a --kernel portable --precision {precision}"));
        assert!(refused.contains("portable") && refused.contains("--precision"), "{refused}");
    }
    let score = format!("score {rows} --bundle a --output y.safetensors");
    let refused = failure(dir, &format!("{score} --kernel portable --precision bf16"));
    assert!(
        refused.contains("bf16 cannot be served: ")
            && refused.contains("(--precision)")
            && refused.contains("portable"),
        "{refused}"
    );
    // What the bundle alone asks for falls back, and says so.
    let output = run(dir, &format!("{score} --kernel portable"));
    assert!(output.status.success());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("kernel portable, exact") && err.contains("warning: bf16 is served exact here"), "{out}{err}");
    assert_eq!(json(dir, &format!("{score} --precision exact --json"))["precision"], "exact");

    for (arguments, says) in [("fp4", "no precision is named"), ("auction-exact", "nothing to measure")] {
        let output = run(dir, &format!("evaluate {rows} --bundle a --precision {arguments}"));
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    }
    let model = std::fs::read(dir.join("a").join(MODEL_FILE)).unwrap();
    for (text, says) in [
        (&b"precision = \"fp4\""[..], "no precision is named \"fp4\""),
        (b"precision = 4", "`precision` is not a text"),
        (b"precison = \"bf16\"", "unknown key `precison`"),
        (b"precision =", "serving.toml"),
        (b"\xff\xfe", "not UTF-8 at offset 0"),
    ] {
        let files = [(Role::Model, MODEL_FILE, &model[..]), (Role::Serving, SERVING_FILE, text)];
        bundle::write(&dir.join("bad"), &files, true).unwrap();
        for command in
            ["verify bad", "inspect bad", "score --bundle bad --input x --output y", "pack --from bad --out c"]
        {
            let refused = failure(dir, command);
            assert!(refused.contains(says) && refused.contains("serving.toml"), "{command}: {refused}");
        }
    }
}
