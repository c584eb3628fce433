//! Measuring and calibrating as a user does it: positions, downsampling, weights, the order of rows, labels that come late.

use std::fmt::Write as _;

use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::bundle::MODEL_FILE;
use adclick::builder::calibrate::{Calibrator, HeadCalibrator, Temperature};
use adclick::builder::hash::mix;
use adclick::builder::model::pack_model;
use adclick_train::bundle::BundleParts;
use adclick_train::positions::as_logged;
use adclick_train::unpack::unpack;
use serde_json::Value;

use crate::workshop::{Workshop, number};

/// Chances that a place is looked at.
const SEEN: [f64; 4] = [1.0, 0.6, 0.35, 0.2];

const SCHEMA: &str = r#"
[labels]
click = "click"
conversion = "conversion"
weight = "weight"
time = "time"

[[features]]
name = "query"
kind = "category"
source = "context"
embedding = { dim = 8, wide = true }

[[features]]
name = "doc"
kind = "category"
embedding = { dim = 8, wide = true }

[[features]]
name = "place"
kind = "category"
raw = "integer"
position = 1
embedding = { dim = 4, count = 6, wide = true }
"#;

/// A uniform number of a row.
fn uniform(row: u64, what: u64) -> f64 {
    (mix(row * 16 + what) >> 11) as f64 / (1u64 << 53) as f64
}

/// Rows `from` to `to` of a position-based model: P(click) = θ_k γ(query, doc). A third of the clicks convert.
fn rows(from: u64, to: u64) -> Vec<String> {
    let line = |row: u64| {
        let [query, doc, place] = [(1, 12.0), (2, 30.0), (3, 4.0)].map(|(what, n)| (uniform(row, what) * n) as u64);
        let wanted = 0.08 + 0.5 * uniform(1_000_000_000 + query, 4) * uniform(2_000_000_000 + doc, 5);
        let click = uniform(row, 6) < SEEN[place as usize] * wanted;
        let converted = click && uniform(row, 7) < 0.33;
        let weight = 1 + mix(row) % 3;
        let time = 1_780_272_000 + row;
        let [click, converted] = [click, converted].map(u8::from);
        format!("{time},q{query},d{doc},{},{weight},{click},{converted}\n", place + 1)
    };
    (from..to).map(line).collect()
}

const HEADER: &str = "time,query,doc,place,weight,click,conversion\n";

/// A shop with `train.csv`, `other.csv` and `test.csv`, of so many rows, and three schemas: all, without weights and
/// conversions, and that without the place.
fn shop(train: u64, other: u64, test: u64) -> Workshop {
    let shop = Workshop::empty();
    let mut from = 0;
    for (name, n) in [("train.csv", train), ("other.csv", other), ("test.csv", test)] {
        shop.write(name, &(HEADER.to_owned() + &rows(from, from + n).concat()));
        from += n;
    }
    let plain = SCHEMA.replace("conversion = \"conversion\"\nweight = \"weight\"\n", "");
    shop.write("full.toml", SCHEMA);
    shop.write("plain.toml", &plain);
    shop.write("placeless.toml", &plain[..plain.rfind("[[features]]").unwrap()]);
    shop
}

fn data(file: &str, schema: &str) -> String {
    format!("--data {file} --format examples --schema {schema}.toml")
}

/// That the calibration ratio at each place is within three standard errors of 1: those of the clicks measured, and of
/// the clicks that the place was learnt from.
fn assert_calibrated_at_each_place(shop: &Workshop, bundle: &str) {
    let measured = shop.json(&format!("evaluate --bundle {bundle} {} --field place --json", data("test.csv", "plain")));
    assert_eq!(measured["positions"]["scored"], "logged", "{measured}");
    let places = measured["fields"][0]["top"].as_array().unwrap();
    assert_eq!(places.len(), 4);
    for place in places {
        let clicks = number(place, "rows") * number(place, "ctr");
        let ratio = number(place, "calibration_ratio");
        // Half of the rows that the place was learnt from.
        let error = (1.5 / clicks).sqrt();
        println!("{bundle}: place {}: {clicks:.0} clicks, ratio {ratio:.3}, 1 ± {:.3}", place["value"], 3.0 * error);
        assert!((ratio - 1.0).abs() < 3.0 * error, "{bundle} {place}");
    }
}

#[test]
fn probabilities_are_right_at_each_position_after_each_command() {
    let shop = shop(24_000, 24_000, 12_000);
    let train = format!("train {} --hidden 16,8 --json", data("train.csv", "plain"));
    shop.json(&format!("{train} --out raw --no-calibrate"));
    shop.json(&format!("{train} --out trained"));
    let fitted =
        shop.json(&format!("calibrate --bundle raw {} --method platt --out platt --json", data("other.csv", "plain")));
    assert_eq!(fitted["positions"]["features"][0]["input"], "place");
    let mut bundles = vec!["raw", "trained", "platt"];
    for precision in ["bf16", "int8"] {
        shop.json(&format!("{train} --precision {precision} --out {precision}"));
        if shop.json(&format!("verify {precision} --json"))["precision"]["reason"].is_null() {
            let calibrate = format!("calibrate --bundle raw {} --method shift", data("other.csv", "plain"));
            let name = if precision == "bf16" { "bf16-shift" } else { "int8-shift" };
            shop.json(&format!("{calibrate} --precision {precision} --out {name} --json"));
            bundles.extend([precision, name]);
        } else {
            println!("skipped: this CPU has no {precision}");
        }
    }
    bundles.iter().for_each(|bundle| assert_calibrated_at_each_place(&shop, bundle));

    // At the position that is served: its rows alone.
    let served = shop.json(&format!("evaluate --bundle platt {} --position served --json", data("test.csv", "plain")));
    assert_eq!(number(&served, "rows") + number(&served, "elsewhere"), 12_000.0);
    assert!((number(&served, "rows") - 3_000.0).abs() < 200.0);
    assert!((number(&served, "calibration_ratio") - 1.0).abs() < 0.15, "{served}");
    let [text, _] = shop.texts(&format!("evaluate --bundle platt {}", data("test.csv", "plain")));
    assert!(text.contains("scored: each row at the position that it was logged at (place; served: 1)"), "{text}");
    // Rows that do not say it: all at the first place, and a warning.
    let placeless = format!("evaluate --bundle platt {}", data("test.csv", "placeless"));
    let [_, warning] = shop.texts(&placeless);
    assert!(warning.contains("do not say their positions (place)"), "{warning}");
    let blind = shop.json(&format!("{placeless} --json"));
    assert!(blind["positions"]["scored"].is_null() && number(&blind, "calibration_ratio") > 1.6, "{blind}");
    assert!(shop.failure(&format!("{placeless} --position logged")).contains("no input `place`"));
    // Nothing is left beside the bundles.
    let left: Vec<_> = std::fs::read_dir(shop.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn a_model_scored_at_logged_positions_has_the_same_weights() {
    let shop = shop(3_000, 10, 10);
    shop.json(&format!("train {} --hidden 16 --epochs 1 --out a --json", data("train.csv", "full")));
    let path = shop.path("a").join(MODEL_FILE);
    let bytes = std::fs::read(&path).unwrap();
    let spec = unpack(&Model::open(Bytes::open(&path, OpenMode::Copy).unwrap()).unwrap());
    assert!(pack_model(&spec).unwrap() == bytes, "unpacked and packed, a model is another one");
    let logged = as_logged(&bytes).unwrap().expect("it has a position");
    let mut again = unpack(&Model::open(Bytes::copy_of(&logged).unwrap()).unwrap());
    assert_eq!(again.schema.features[2].position, None);
    again.schema.features[2].position = Some(1.0);
    assert!(again == spec, "more than the position changed");
    assert_eq!(as_logged(&logged).unwrap(), None);
}

/// The bundle with other calibrators.
fn with_calibrators(shop: &Workshop, from: &str, to: &str, ctr: HeadCalibrator, cvr: HeadCalibrator) {
    let mut parts = BundleParts::read(&shop.path(from)).unwrap();
    (parts.calibrators.ctr, parts.calibrators.cvr) = (ctr, cvr);
    parts.write(&shop.path(to), false, false).unwrap();
}

#[test]
fn what_calibrate_does_not_fit_is_carried_over() {
    let shop = shop(12_000, 12_000, 10);
    shop.json(&format!("train {} --hidden 16 --out plain --no-calibrate --json", data("train.csv", "full")));
    let cooler = Calibrator::Temperature(Temperature::new(1.5).unwrap());
    let cvr = HeadCalibrator::new(0.5, cooler).unwrap();
    with_calibrators(&shop, "plain", "kept", HeadCalibrator::new(0.1, Calibrator::Identity).unwrap(), cvr.clone());
    let ratio = |bundle: &str| {
        number(
            &shop.json(&format!("evaluate --bundle {bundle} {} --json", data("other.csv", "plain"))),
            "calibration_ratio",
        )
    };
    let before = ratio("kept");
    assert!(before < 0.2, "{before}");
    let calibrate = |more: &str| format!("calibrate --bundle kept {} --json {more}", data("other.csv", "plain"));
    let same = shop.json(&calibrate("--method identity --out same"));
    assert_eq!(number(&same, "keep_rate"), 0.1);
    assert_eq!(ratio("same"), before);
    // No conversions in these rows: pCVR stays.
    assert_eq!(same["cvr_kept"], "temperature (T = 1.500000)");
    assert_eq!(BundleParts::read(&shop.path("same")).unwrap().calibrators.cvr, cvr);
    shop.json(&calibrate("--method shift --out shifted"));
    assert!((ratio("shifted") - 1.0).abs() < 1e-4, "{}", ratio("shifted"));
    assert_eq!(BundleParts::read(&shop.path("shifted")).unwrap().calibrators.ctr.keep_rate(), 0.1);
    // With conversions it is fitted behind its own correction.
    shop.json(&format!("calibrate --bundle kept {} --method shift --out both --json", data("other.csv", "full")));
    assert_eq!(BundleParts::read(&shop.path("both")).unwrap().calibrators.cvr.keep_rate(), 0.5);
    let both = shop.json(&format!("evaluate --bundle both {} --json", data("other.csv", "full")));
    assert!((number(&both["conversion"], "calibration_ratio") - 1.0).abs() < 1e-4, "{both}");
    // Probabilities without calibrators are corrected, too.
    let raw = shop.json(&format!("evaluate --bundle kept {} --raw --json", data("other.csv", "plain")));
    assert!((number(&raw, "calibration_ratio") - before).abs() < 1e-6);
    // Both at once are refused, and so is a second correction of what training corrected.
    assert!(shop.failure(&calibrate("--downsampling 0.5")).contains("keep rate of 0.1 already"));
    shop.json(&format!(
        "train {} --hidden 16 --epochs 1 --downsample 0.5 --out half --json",
        data("train.csv", "plain")
    ));
    let refused = shop.failure(&format!("calibrate --bundle half {} --downsampling 0.5", data("other.csv", "plain")));
    assert!(refused.contains("0.5 that it was trained with"), "{refused}");
    let weights = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/dcn/seed_29/model.safetensors");
    let pack = format!("pack --weights {weights} --calibrators kept/calibrators.adc --out packed");
    assert!(shop.failure(&format!("{pack} --downsampling 0.5")).contains("would correct twice"));
    shop.texts(&pack);
}

/// Whether two JSON values are the same up to the rounding of sums.
fn assert_same(a: &Value, b: &Value, place: &str) {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-9 * x.abs().max(1e-3), "{place}: {x} {y}");
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len(), "{place}");
            x.iter().zip(y).enumerate().for_each(|(i, (x, y))| assert_same(x, y, &format!("{place}[{i}]")));
        }
        (Value::Object(x), Value::Object(y)) => {
            assert!(x.keys().eq(y.keys()), "{place}: {a} {b}");
            x.iter().for_each(|(key, x)| assert_same(x, &y[key], &format!("{place}.{key}")));
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

#[test]
fn neither_the_order_of_rows_nor_the_scale_of_weights_matters() {
    let shop = shop(6_000, 10, 5_000);
    // Without numbers scores tie by the hundred.
    shop.json(&format!("train {} --hidden 16 --epochs 2 --out a --json", data("train.csv", "full")));
    let text = std::fs::read_to_string(shop.path("test.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    lines.sort_by_key(|line| adclick::category_id(line.as_bytes()));
    // Clicks first: what broke ties by row would show.
    lines.sort_by_key(|line| !line.ends_with("1,0") && !line.ends_with("1,1"));
    shop.write("shuffled.csv", &(HEADER.to_owned() + &lines.join("\n") + "\n"));
    let mut scaled = HEADER.to_owned();
    for line in text.lines().skip(1) {
        let mut cells: Vec<&str> = line.split(',').collect();
        let weight = (cells[4].parse::<f64>().unwrap() / 4096.0).to_string();
        cells[4] = &weight;
        writeln!(scaled, "{}", cells.join(",")).unwrap();
    }
    shop.write("scaled.csv", &scaled);
    let evaluate = |file: &str| {
        format!("evaluate --bundle a {} --field doc --field place --top 40 --group query", data(file, "full"))
    };
    let fit =
        |file: &str, method: &str| format!("calibrate --bundle a {} --method {method} --json", data(file, "full"));
    let [text, _] = shop.texts(&evaluate("test.csv"));
    let json = shop.json(&(evaluate("test.csv") + " --json"));
    assert!(number(&json, "ece_equal_mass") < 0.1, "{json}");
    for other in ["shuffled.csv", "scaled.csv"] {
        assert_eq!(shop.texts(&evaluate(other))[0], text, "{other}");
        assert_same(&shop.json(&(evaluate(other) + " --json")), &json, other);
        for method in ["shift", "temperature", "platt", "beta", "isotonic"] {
            assert_same(&shop.json(&fit(other, method)), &shop.json(&fit("test.csv", method)), other);
        }
    }
}

#[test]
fn labels_that_come_late_are_warned_of() {
    let shop = shop(6_000, 10, 10);
    shop.json(&format!("train {} --hidden 16 --epochs 1 --out a --json", data("train.csv", "full")));
    // Only conversions are known in the last third.
    let mut late = HEADER.to_owned();
    for (i, line) in rows(0, 6_000).iter().enumerate() {
        late += &if i >= 4_000 && line.ends_with(",0\n") { line.replace(",0\n", ",\n") } else { line.clone() };
    }
    shop.write("late.csv", &late);
    for verb in ["evaluate", "calibrate"] {
        let [_, warning] = shop.texts(&format!("{verb} --bundle a {}", data("late.csv", "full")));
        assert!(warning.contains("younger than the attribution window"), "{verb}: {warning}");
    }
    let json = shop.json(&format!("evaluate --bundle a {} --json", data("late.csv", "full")));
    assert_eq!(json["unknown_conversions"]["depends_on_time"], true, "{json}");
    let [_, warning] = shop.texts(&format!("evaluate --bundle a {}", data("train.csv", "full")));
    assert!(!warning.contains("attribution"), "{warning}");
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let shop = Workshop::new(2_000);
    let rows = "--data log.csv --format examples --schema schema.toml";
    shop.json(&format!("train {rows} --epochs 1 --hidden 8 --out a --json"));
    for verb in ["evaluate", "calibrate"] {
        let refused = shop.failure(&format!("{verb} --bundle a {rows} --position served"));
        assert!(refused.contains("no position feature"), "{refused}");
    }
    for command in ["evaluate --top 3", "calibrate --replace", "report"] {
        assert_eq!(shop.run(&format!("{command} --bundle a {rows}")).status.code(), Some(2), "{command}");
    }
}

#[test]
fn a_model_is_not_calibrated_on_rows_that_it_has_learnt_from() {
    let shop = Workshop::new(4_000);
    let rows = "--data log.csv --format examples --schema schema.toml --split hash:0";
    let train = |more: &str| shop.json(&format!("train {rows} --hidden 16 --epochs 2 --json {more}"));
    for precision in ["exact", "bf16"] {
        let again = train(&format!("--precision {precision} --out again-{precision}"));
        let once = train(&format!("--precision {precision} --refit no --out once-{precision}"));
        let learnt = again["rows"].as_u64().unwrap() + again["validation_rows"].as_u64().unwrap();
        assert_eq!((again["refit_rows"].as_u64(), once["refit_rows"].as_u64()), (Some(learnt), Some(0)));
        // Both calibrators are those of what the model says that has not seen these rows.
        assert_eq!(again["calibrator"], once["calibrator"], "{precision}");
        assert_eq!(again["validation_loss"], once["validation_loss"]);
        assert_ne!(again["generation"], once["generation"]);
    }
    let [_, warning] = shop.texts(&format!("calibrate --bundle again-exact {rows} --out kept --json"));
    assert!(warning.contains("has learnt from these rows") && warning.contains("kept"), "{warning}");
    let bytes = |bundle: &str| std::fs::read(shop.path(bundle).join("calibrators.adc")).unwrap();
    assert_eq!(bytes("kept"), bytes("again-exact"));
    let refused = shop.failure(&format!("calibrate --bundle again-exact {rows} --method platt"));
    assert!(refused.contains("has learnt from these rows") && refused.contains("without the refit"), "{refused}");
    let [_, warning] = shop.texts(&format!("evaluate --bundle again-exact {rows} --part validation"));
    assert!(warning.contains("has learnt from these rows"), "{warning}");
    // Rows that it has not seen, and models that have not learnt from them, are as before.
    for command in [
        format!("calibrate --bundle once-exact {rows} --method platt"),
        format!("calibrate --bundle again-exact {rows} --part test --method platt"),
        format!("evaluate --bundle again-exact {rows}"),
    ] {
        let [_, warning] = shop.texts(&command);
        assert!(!warning.contains("learnt"), "{command}: {warning}");
    }
    // Who leaves the calibrator out fits one to the validation rows.
    assert_eq!(train("--no-calibrate --out plain")["refit_rows"], 0);
}
