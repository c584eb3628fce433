//! Calibrating segments as a user does it: from logs to a bundle whose calibrators alone are new, and plots of it.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;

use adclick::builder::hash::mix;

use crate::workshop::{Workshop, number};

const SCHEMA: &str = r#"
[labels]
click = "click"
conversion = "conversion"
time = "time"

[keys]
placement = "slot"
advertiser = { column = "brand", raw = "integer" }

[[features]]
name = "query"
kind = "category"
source = "context"
embedding = { dim = 4, wide = true }

[[features]]
name = "device"
kind = "category"
source = "context"
embedding = { dim = 4, wide = true }
"#;

/// How much more the users of each placement click, and each brand in it, than the model knows.
fn lift(slot: u64, brand: u64) -> f64 {
    [0.6, 1.0, 1.5][slot as usize] * (1.0 + 0.25 * (((slot * 7 + brand) % 5) as f64 - 2.0) / 2.0)
}

fn uniform(row: u64, what: u64) -> f64 {
    (mix(row * 16 + what) >> 11) as f64 / (1u64 << 53) as f64
}

/// Rows `from` to `to`, one a second; `lifted` ones differ by placement and brand, by `factor` in all.
fn rows(from: u64, to: u64, lifted: bool, factor: f64) -> String {
    let mut out = "time,slot,brand,query,device,click,conversion\n".to_owned();
    for row in from..to {
        let [slot, brand, query, device] =
            [(1, 3.0), (2, 10.0), (3, 8.0), (4, 2.0)].map(|(what, n)| (uniform(row, what) * n) as u64);
        let base = 0.05 + 0.2 * uniform(7_000_000 + query * 2 + device, 5);
        let p = factor * base * if lifted { lift(slot, brand) } else { 1.0 };
        let click = uniform(row, 6) < p;
        let converted = click && uniform(row, 7) < 0.3;
        let [click, converted] = [click, converted].map(u8::from);
        writeln!(out, "{},{slot},{brand},q{query},d{device},{click},{converted}", 1_790_000_000 + row).unwrap();
    }
    out
}

#[test]
fn segments_that_differ_are_calibrated_and_published_alone() {
    let shop = Workshop::empty();
    shop.write("schema.toml", SCHEMA);
    shop.write("train.csv", &rows(0, 30_000, false, 1.0));
    shop.write("held.csv", &rows(30_000, 90_000, true, 1.0));
    shop.write("test.csv", &rows(90_000, 120_000, true, 1.0));
    let data = |file: &str| format!("--data {file} --format examples --schema schema.toml");
    shop.json(&format!("train {} --hidden 8 --out bundles/m1 --json", data("train.csv")));
    std::fs::write(shop.path("bundles/CURRENT"), "m1\n").unwrap();
    let one = shop.json(&format!("calibrate --bundle bundles {} --out one --json", data("held.csv")));
    assert!(one["segments"].is_null());
    // By the newest matured rows: the last 2,000 seconds are too young, and rows before the first 10,000 too old.
    let now = 1_790_000_000 + 90_000;
    let many = shop.json(&format!(
        "calibrate --bundle bundles {} --segment placement,advertiser --product --matured 2000s --within 48000s --now {now} \
         --publish --report plots.html --json",
        data("held.csv")
    ));
    assert_eq!(many["rows"], 48_000);
    let levels = many["segments"]["ctr"].as_array().unwrap();
    assert!(levels.iter().all(|level| level["used"] == true), "{levels:?}");
    assert_eq!(number(&many["segments"], "calibrated"), 33.0);
    // Each segment was off, and is not on rows that the fit had not seen.
    for segment in many["measured"]["ctr"]["segments"].as_array().unwrap() {
        let off = |ratio: &str| (number(segment, ratio) - 1.0).abs();
        assert!(off("after") < 3.5 / number(segment, "clicks").sqrt(), "{segment}");
    }
    // The model is the same file, and CURRENT names the new bundle.
    let current = std::fs::read_to_string(shop.path("bundles/CURRENT")).unwrap();
    let name = current.trim();
    assert!(name.starts_with("m1-calibrated-2026"), "{name}");
    let inode = |path: String| std::fs::metadata(shop.path(&path)).unwrap().ino();
    assert_eq!(inode(format!("bundles/{name}/model.adc")), inode("bundles/m1/model.adc".to_owned()));
    // On other rows: right in each placement, where one calibrator for all is not, and a lower log loss.
    let measure = |bundle: &str| shop.json(&format!("evaluate --bundle {bundle} {} --json", data("test.csv")));
    let (alike, apart) = (measure("one"), measure("bundles"));
    println!("log loss {} alike, {} by segment", alike["logloss"], apart["logloss"]);
    assert!(number(&apart, "logloss") < number(&alike, "logloss") - 0.001);
    assert!(number(&apart, "auc") > number(&alike, "auc") + 0.01);
    let inspected = shop.json(&format!("inspect bundles/{name} --json"));
    assert_eq!(inspected["calibrators"]["segments"]["keys"], serde_json::json!(["placement", "advertiser"]));
    let page = std::fs::read_to_string(shop.path("plots.html")).unwrap();
    assert!(page.contains("pCTR, placement 2, advertiser 3") && page.contains("pCVR, all rows"), "{page}");
    // The next refit keeps the keys, and follows a step of the base rate.
    shop.write("step.csv", &rows(120_000, 180_000, true, 1.2));
    let next = shop.json(&format!("calibrate --bundle bundles {} --out bundles/next --json", data("step.csv")));
    let (before, after) = (&next["measured"]["ctr"]["before"], &next["measured"]["ctr"]["after"]);
    println!("a step of 20 %: Σp/Σy {} before, {} after", before["ratio"], after["ratio"]);
    assert!(number(before, "ratio") < 0.87 && (number(after, "ratio") - 1.0).abs() < 0.01);
    assert_eq!(number(&next["segments"], "calibrated"), 33.0);
    let dropped = shop.json(&format!("calibrate --bundle bundles {} --segment none --json", data("step.csv")));
    assert!(dropped["segments"].is_null() && dropped["generation"].is_null());
}

#[test]
fn what_cannot_be_a_segment_is_said() {
    let shop = Workshop::empty();
    shop.write("schema.toml", SCHEMA);
    shop.write("rows.csv", &rows(0, 6_000, false, 1.0));
    shop.write("keyless.toml", &SCHEMA.replace("placement = \"slot\"\n", ""));
    let data = |schema: &str| format!("--data rows.csv --format examples --schema {schema}.toml");
    shop.json(&format!("train {} --hidden 4 --out m --json", data("schema")));
    let failure =
        |schema: &str, options: &str| shop.failure(&format!("calibrate --bundle m {} {options}", data(schema)));
    let message = failure("keyless", "--segment placement");
    assert!(message.contains("no column for the placement") && message.contains("[keys]"), "{message}");
    let message = failure("schema", "--segment nobody");
    assert!(message.contains("`nobody`, which the model does not read"), "{message}");
    let message = failure("schema", "--segment device,device");
    assert!(message.contains("`device` occurs twice"), "{message}");
    let message = failure("schema", "--segment none,device");
    assert!(message.contains("stands alone"), "{message}");
    let message = failure("schema", "--now 1790000000");
    assert!(message.contains("--matured"), "{message}");
    // Categories of the model need no key.
    let fitted = shop.json(&format!("calibrate --bundle m {} --segment device --json", data("schema")));
    assert_eq!(fitted["segments"]["ctr"][0]["segments"], 2);
    let [text, _] = shop.texts(&format!("report --bundle m {} --segment device --out page.html", data("schema")));
    assert!(text.contains("wrote page.html"), "{text}");
    assert!(std::fs::read_to_string(shop.path("page.html")).unwrap().starts_with("<!doctype html>"));
}
