//! Logs of clicks alone: a model that has a pCVR head and no pCTR head, through every command.

use adclick::builder::hash::mix;

use crate::support::tensor;
use crate::workshop::{Workshop, number};

const SCHEMA: &str = r#"
[labels]
click = "click"
conversion = "conversion"
time = "time"

[[features]]
name = "user"
kind = "category"
source = "context"
embedding = { dim = 4, wide = true }

[[features]]
name = "ad"
kind = "category"
embedding = { dim = 4, wide = true }
"#;

const ROWS: &str = "--format examples --schema schema.toml";

fn uniform(row: u64, what: u64) -> f64 {
    (mix(row * 16 + what) >> 11) as f64 / (1u64 << 53) as f64
}

/// The true probability that a click on this ad converts.
fn truth(ad: u64) -> f64 {
    0.06 + 0.05 * ad as f64
}

/// Rows `from` to `to`, all clicked but the share that is said; of a tenth of the clicks no conversion is known.
fn rows(from: u64, to: u64, unclicked: f64) -> String {
    let line = |row: u64| {
        let [user, ad] = [(1, 9.0), (2, 8.0)].map(|(what, n)| (uniform(row, what) * n) as u64);
        let click = uniform(row, 3) >= unclicked;
        let converted = click && uniform(row, 4) < truth(ad);
        let conversion = if uniform(row, 5) < 0.1 { String::new() } else { u8::from(converted).to_string() };
        format!("{},{user},{ad},{},{conversion}\n", 1_780_272_000 + row, u8::from(click))
    };
    "time,user,ad,click,conversion\n".to_owned() + &(from..to).map(line).collect::<String>()
}

fn shop() -> Workshop {
    let shop = Workshop::empty();
    shop.write("schema.toml", SCHEMA);
    shop.write("train.csv", &rows(0, 20_000, 0.0));
    shop.write("other.csv", &rows(20_000, 32_000, 0.0));
    shop.write("test.csv", &rows(32_000, 44_000, 0.25));
    shop.json(&format!("train --data train.csv {ROWS} --hidden 8 --out a --no-calibrate --json"));
    shop
}

#[test]
fn what_clicks_alone_say_is_measured_calibrated_and_scored() {
    let shop = shop();
    let evaluate = |bundle: &str, more: &str| {
        shop.json(&format!("evaluate --bundle {bundle} --data test.csv {ROWS} --json {more}"))
    };
    // No figures of pCTR, under any name; those of pCVR count clicks whose conversion is known.
    let measured = evaluate("a", "--field ad --group user");
    assert_eq!(measured["heads"], serde_json::json!(["pCVR"]));
    for absent in ["ctr", "auc", "logloss", "calibration_ratio", "fields", "bins", "clicks"] {
        assert!(measured.get(absent).is_none(), "{absent}: {measured}");
    }
    let conversion = &measured["conversion"];
    let unknown = &measured["unknown_conversions"];
    assert_eq!(number(&measured, "rows"), 12_000.0);
    assert_eq!(number(conversion, "rows"), number(unknown, "clicked") - number(unknown, "unknown"));
    assert!((number(conversion, "rows") - 12_000.0 * 0.75 * 0.9).abs() < 250.0, "{conversion}");
    // Σp / Σy of 8,100 clicks at 23.5 %, and of the training rows: three standard errors.
    assert!((number(conversion, "calibration_ratio") - 1.0).abs() < 0.08, "{conversion}");
    assert!(number(conversion, "auc") > 0.6 && number(conversion, "gauc") > 0.6, "{conversion}");
    let ads = conversion["fields"][0]["top"].as_array().unwrap();
    assert_eq!(ads.len(), 8, "{ads:?}");
    assert!(ads.iter().all(|ad| (number(ad, "calibration_ratio") - 1.0).abs() < 0.35), "{ads:?}");
    let [text, _] = shop.texts(&format!("evaluate --bundle a --data test.csv {ROWS} --field ad"));
    assert!(text.starts_with("conversions of clicked rows\n") && text.contains("ad: 8 values"), "{text}");
    assert!(!text.contains("NaN"), "{text}");

    // A calibrator that makes it wrong, and one that is fitted on other rows and makes it right again.
    let calibrate = |more: &str| format!("calibrate --data other.csv {ROWS} --json {more}");
    let fitted = shop.json(&calibrate("--bundle a --method platt --out b"));
    assert!(fitted.get("ctr").is_none() && fitted.get("keep_rate").is_none(), "{fitted}");
    assert_eq!(fitted["cvr"]["method"], "platt");
    let right = evaluate("b", "");
    assert!((number(&right["conversion"], "calibration_ratio") - 1.0).abs() < 0.06, "{right}");
    let chosen = shop.json(&calibrate("--bundle a"));
    assert!(chosen["cvr"]["candidates"].as_array().unwrap().len() > 3, "{chosen}");
    let [text, _] = shop.texts(&format!("calibrate --bundle a --data other.csv {ROWS}"));
    assert!(text.contains("pCVR ") && !text.contains("pCTR "), "{text}");

    // Precisions: told beside exact, and trained for.
    for precision in ["bf16", "int8"] {
        if shop.run(&format!("evaluate --bundle a --data test.csv {ROWS} --precision {precision}")).status.success() {
            let costs = evaluate("a", &format!("--precision {precision}"));
            assert!(costs.get("costs").is_none(), "{costs}");
            assert!(number(&costs["conversion_costs"][0], "logloss_relative").abs() < 0.01, "{costs}");
            shop.json(&format!(
                "train --data train.csv {ROWS} --hidden 8 --out {precision} --precision {precision} --json"
            ));
        } else {
            println!("skipped: this CPU has no {precision}");
        }
    }

    // Scores: the tensors of pCVR, and none of what is not known.
    for (input, rows) in [("--data test.csv", 12_000), ("--data train.csv", 20_000)] {
        let told = shop.json(&format!("score --bundle b {input} {ROWS} --output y.safetensors --json"));
        assert_eq!(told["rows"], rows);
        assert!(number(&told, "predictions_per_second") > 0.0, "{told}");
        let bytes = std::fs::read(shop.path("y.safetensors")).unwrap();
        let (_, pcvr) = tensor(&bytes, "pcvr").unwrap();
        assert!(pcvr.len() == rows && pcvr.iter().all(|p| (0.0..1.0).contains(p)));
        assert!(tensor(&bytes, "logit_cvr").is_some());
        assert!(["pctr", "logit", "pctcvr"].iter().all(|name| tensor(&bytes, name).is_none()));
    }
    assert_eq!(shop.json("inspect b --json")["model"]["heads"], serde_json::json!(["cvr"]));
    shop.json("verify b --json");
}

#[test]
fn what_has_no_meaning_without_a_pctr_head_is_refused() {
    let shop = shop();
    let refused = shop.failure(&format!("calibrate --bundle a --data other.csv {ROWS} --downsampling 0.5"));
    assert!(
        refused.contains("a keep rate corrects pCTR, and the model has no pCTR head")
            && refused.contains("(--downsampling)"),
        "{refused}"
    );
    // Rows that say nothing of conversions.
    shop.write("unclicked.csv", &rows(0, 500, 1.0));
    for verb in ["evaluate", "calibrate"] {
        let refused = shop.failure(&format!("{verb} --bundle a --data unclicked.csv {ROWS}"));
        assert!(refused.contains("there is none among 500 rows"), "{verb}: {refused}");
    }
}

/// Conversions on unclicked rows are counted and told; the rows count as unclicked.
#[test]
fn conversions_on_unclicked_rows_are_told() {
    let shop = Workshop::empty();
    shop.write("schema.toml", SCHEMA);
    let told = "rows have a conversion but no click: they count as unclicked";
    // Every 40th row says so.
    let odd = |(number, line): (usize, &str)| match line.strip_suffix(",0,0") {
        Some(start) if number % 40 == 0 => (start.to_owned() + ",0,1\n", 1),
        _ => (line.to_owned() + "\n", 0),
    };
    let clean = rows(0, 3000, 0.5);
    let (lines, odd): (Vec<String>, Vec<u64>) = clean.lines().enumerate().map(odd).unzip();
    let odd: u64 = odd.iter().sum();
    assert!(odd > 20);
    shop.write("clean.csv", &clean);
    shop.write("odd.csv", &lines.concat());
    // All of them train: other rows validate.
    shop.write("other.csv", &rows(3000, 4000, 0.5));
    for (file, count) in [("clean.csv", 0), ("odd.csv", odd)] {
        let train = format!("train --data {file} --validation other.csv {ROWS} --epochs 1 --hidden 8 --out {file}.b");
        let [said, _] = shop.texts(&train);
        assert_eq!(said.contains(told), count > 0, "{said}");
        assert_eq!(said.contains(&format!("\n{count} {told}\n")), count > 0, "{said}");
    }
}
