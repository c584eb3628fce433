//! `adclick schema infer`: what it makes of files whose columns are known, and that training takes it as it is.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use adclick::builder::hash::mix;
use adclick::builder::schema::{Kind, Source};
use adclick_data::schema_file::{SchemaFile, TimeUnit};
use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adclick")).args(arguments).current_dir(folder).output().unwrap()
}

fn schema_of(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, &[&["schema", "infer", "--data"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("malformed"), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(folder, &[&["schema", "infer", "--data"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Trains one short pass by a schema.
fn train(folder: &Path, data: &str, schema: &str) {
    let small = ["--epochs", "1", "--hidden", "8", "--cross", "vector", "--cross-layers", "1", "--no-calibrate"];
    let given = ["train", "--data", data, "--format", "examples", "--schema", schema, "--out", "b", "--replace"];
    let output = run(folder, &[&given[..], &small].concat());
    assert!(output.status.success(), "{data} by {schema}: {}", String::from_utf8_lossy(&output.stderr));
}

fn draw(row: u64, what: u64, below: u64) -> u64 {
    mix(row * 1000 + what) % below
}

/// Rows whose columns are known: see the test.
fn rows(n: u64, delimiter: &str) -> String {
    let names = [
        "request_id",
        "clicked",
        "converted",
        "sample_weight",
        "eventTime",
        "user_id",
        "ad_id",
        "age",
        "device_type",
        "site",
        "price",
        "visits",
        "tags",
        "scores",
        "position",
        "attributed_time",
        "after",
        "always",
        "nothing",
        "note",
        "slot_pos",
    ];
    let mut text = names.join(delimiter) + "\n";
    for row in 0..n {
        let position = 1 + draw(row, 1, 5);
        let click = draw(row, 2, 100) < 40 / position;
        let sale = click && draw(row, 3, 3) == 0;
        let tags: Vec<String> = (0..draw(row, 4, 4)).map(|i| format!("t{}", draw(row, 50 + i, 9))).collect();
        let visits =
            [0, 0, 1, 1, 2, 3, 5, 9 + draw(row, 18, 9), 40 + draw(row, 19, 60), 30_000][draw(row, 5, 10) as usize];
        let age = if draw(row, 6, 10) == 0 { String::new() } else { (18 + draw(row, 7, 60)).to_string() };
        let fields = [
            format!("r{:016x}", mix(row)),
            u64::from(click).to_string(),
            u64::from(sale).to_string(),
            format!("{:.2}", 0.5 + draw(row, 8, 100) as f64 / 100.0),
            (1_413_849_600_000 + row * 977_000).to_string(),
            format!("u{}", draw(row, 9, 300)),
            draw(row, 10, 40).to_string(),
            age,
            draw(row, 11, 4).to_string(),
            format!("s{}.example", draw(row, 12, 30)),
            format!("{:.3}", 0.1 + draw(row, 13, 5000) as f64 / 1000.0),
            visits.to_string(),
            tags.join("/"),
            format!("{:.2}/{:.2}/0.5", draw(row, 14, 100) as f64 / 100.0, draw(row, 15, 100) as f64 / 50.0),
            position.to_string(),
            if sale { "2014-11-02 10:00:00".to_owned() } else { String::new() },
            if click { "c".to_owned() } else { "d".to_owned() } + &draw(row, 16, 3).to_string(),
            "7".to_owned(),
            String::new(),
            format!("\"said {} of {}, {}\"", mix(row + 7), mix(row + 8), mix(row + 9)),
            draw(row, 17, 6).to_string(),
        ];
        text += &fields.join(delimiter);
        text.push('\n');
    }
    text
}

#[test]
fn known_columns_are_taken_for_what_they_are() {
    let dir = TempDir::new().unwrap();
    for (name, delimiter) in [("x.csv", ","), ("x.tsv", "\t"), ("x.txt", ";"), ("x.csv.gz", ",")] {
        let text = rows(3000, delimiter);
        let bytes = if name.ends_with("gz") {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            gz.finish().unwrap()
        } else {
            text.into_bytes()
        };
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    let text = schema_of(dir.path(), &["x.csv"]);
    let schema = SchemaFile::parse(&text).unwrap();
    let labels = schema.labels.clone().unwrap();
    assert_eq!(labels.click, "clicked");
    assert_eq!(labels.conversion.as_deref(), Some("converted"));
    assert_eq!(labels.weight.as_deref(), Some("sample_weight"));
    assert_eq!((labels.time.as_deref(), labels.time_unit), (Some("eventTime"), TimeUnit::Milliseconds));
    assert_eq!(schema.keys.user.as_ref().map(|k| (k.column.as_str(), k.integer)), Some(("user_id", false)));
    assert_eq!(schema.keys.ad.as_ref().map(|k| (k.column.as_str(), k.integer)), Some(("ad_id", true)));
    let feature = |name: &str| {
        let at = schema.schema.features.iter().position(|f| f.name == name);
        let at = at.unwrap_or_else(|| panic!("no feature `{name}` in:\n{text}"));
        (&schema.schema.features[at], &schema.columns[at])
    };
    let kind = |name: &str| match &feature(name).0.kind {
        Kind::Number { transform, .. } if transform.log1p => "log",
        Kind::Number { .. } => "number",
        Kind::Category { .. } if feature(name).1.integer => "integer",
        Kind::Category { .. } => "string",
        Kind::MultiCategory { .. } => "multi",
        Kind::Vector { .. } => "vector",
    };
    for (name, expected, source) in [
        ("user_id", "string", Source::User),
        ("ad_id", "integer", Source::Ad),
        ("age", "number", Source::User),
        ("device_type", "integer", Source::Context),
        ("site", "string", Source::Context),
        ("price", "number", Source::Ad),
        ("visits", "log", Source::Candidate),
        ("tags", "multi", Source::Candidate),
        ("scores", "vector", Source::Candidate),
        ("position", "integer", Source::Context),
        ("slot_pos", "integer", Source::Context),
        ("hour", "integer", Source::Time),
        ("weekday", "integer", Source::Time),
    ] {
        assert_eq!((kind(name), feature(name).0.source), (expected, source), "{name} in:\n{text}");
    }
    assert_eq!(schema.schema.features.len(), 13, "{text}");
    assert_eq!(feature("position").0.position, Some(1.0), "clicks fall along it");
    assert_eq!(feature("slot_pos").0.position, None, "clicks do not fall along it");
    assert_eq!(feature("tags").1.separator, "/");
    let Kind::Vector { dim } = feature("scores").0.kind else { panic!("no vector") };
    assert_eq!(dim, 3);
    let Kind::Number { default, .. } = feature("age").0.kind else { panic!("no number") };
    assert!((45.0..50.0).contains(&default), "the median stands in: {default}");
    for (column, why) in [
        ("request_id", "a value of its own"),
        ("attributed_time", "after the click"),
        ("after", "tell clicked rows from the others"),
        ("always", "one value"),
        ("nothing", "no row"),
        ("note", "a value of its own"),
    ] {
        let line = text.lines().find(|line| line.starts_with(&format!("# left out: \"{column}\"")));
        let line = line.unwrap_or_else(|| panic!("{column} is not left out in:\n{text}"));
        assert!(line.contains(why), "{line}");
    }
    // What could be a feature stands there as a comment, to be taken in by who knows better.
    let wrong = text.replacen("# [[features]]\n# name = \"after\"", "[[features]]\nname = \"after\"", 1);
    assert_ne!(wrong, text);
    for needle in ["3000 of the 3000 rows", "300 distinct", "% missing", "18 to 77, median", "CSV, 21 columns"] {
        assert!(text.contains(needle), "`{needle}` is not in:\n{text}");
    }
    // The same columns by whatever they are parted.
    let body = |text: &str| text.split_once("[labels]").unwrap().1.to_owned();
    for name in ["x.tsv", "x.txt", "x.csv.gz"] {
        assert_eq!(body(&schema_of(dir.path(), &[name])), body(&text), "{name}");
    }
    let said = run(dir.path(), &["schema", "infer", "--data", "x.csv", "--out", "s.toml"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("click is \"clicked\"; features: 13; columns left out: 6"), "{said}");
    assert_eq!(std::fs::read_to_string(dir.path().join("s.toml")).unwrap(), text);
    train(dir.path(), "x.csv", "s.toml");
    train(dir.path(), "x.tsv", "s.toml");
}

#[test]
fn options_say_what_names_do_not_and_are_refused_when_they_contradict() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("x.csv"), rows(500, ",")).unwrap();
    let text =
        schema_of(dir.path(), &["x.csv", "--click", "converted", "--leave-out", "age", "--leave-out", "clicked"]);
    let labels = SchemaFile::parse(&text).unwrap().labels.unwrap();
    assert_eq!((labels.click.as_str(), labels.conversion), ("converted", None));
    assert!(text.contains("# left out: \"age\"") && text.contains("as requested"), "{text}");
    let cases: [(&[&str], i32, &[&str]); 10] = [
        (&["x.csv", "--click", "nope"], 1, &["--click", "no column \"nope\"", "clicked, converted"]),
        (&["x.csv", "--click", "age"], 1, &["column \"age\" holds more than 0 and 1", "(--click)"]),
        (&["x.csv", "--weight", "site"], 1, &["column \"site\" holds other than numbers", "(--weight)"]),
        (&["x.csv", "--time", "age"], 1, &["column \"age\" holds other than times", "(--time)"]),
        (
            &["x.csv", "--click", "clicked", "--conversion", "clicked"],
            1,
            &["column \"clicked\" is said to be the click label and the conversion label", "(--conversion)"],
        ),
        (
            &["x.csv", "--leave-out", "age", "--leave-out", "age"],
            1,
            &["column \"age\" is left out twice", "(--leave-out)"],
        ),
        (&["x.csv", "--replace"], 2, &["--out"]),
        (&["gone.csv"], 1, &["gone.csv"]),
        (&["none.csv"], 1, &["none.csv", "no column of 0 and 1", "make two rows"]),
        (&["two.csv"], 1, &["two.csv", "several columns could be the click label (a, b)", "--click"]),
    ];
    std::fs::write(dir.path().join("none.csv"), "impressions,clicks,x\n10,3,1\n20,0,2\n").unwrap();
    std::fs::write(dir.path().join("two.csv"), "a,b,x\n1,0,1\n0,1,2\n0,0,3\n").unwrap();
    for (arguments, code, needles) in cases {
        let message = refusal(dir.path(), arguments, code);
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}");
        }
    }
    // Names that TOML must escape, with values that would end a comment.
    let strange = "clicked,\"a \"\"b\"\" \\c\",\"two\nlines\"\n1,x,\"p\nq\"\n0,y,\"p\nq\"\n0,x,r\n";
    std::fs::write(dir.path().join("strange.csv"), strange).unwrap();
    let text = schema_of(dir.path(), &["strange.csv"]);
    let names: Vec<String> = SchemaFile::parse(&text).unwrap().schema.features.into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["a \"b\" \\c"], "{text}");
    assert!(text.contains("# left out: \"two\\u000Alines\"") && text.contains("without line breaks"), "{text}");
    std::fs::write(dir.path().join("s.toml"), "mine").unwrap();
    assert!(refusal(dir.path(), &["x.csv", "--out", "s.toml"], 1).contains("s.toml exists already"));
    assert_eq!(std::fs::read_to_string(dir.path().join("s.toml")).unwrap(), "mine");
    // A schema is replaced, and nothing else: not what a slip of the hand names.
    let rows = std::fs::read(dir.path().join("x.csv")).unwrap();
    for file in ["s.toml", "x.csv"] {
        let told = refusal(dir.path(), &["x.csv", "--click", "clicked", "--out", file, "--replace"], 1);
        assert!(told.contains(&format!("{file} is not replaced: it is not a schema file")), "{told}");
    }
    assert_eq!(std::fs::read(dir.path().join("x.csv")).unwrap(), rows);
    std::fs::write(dir.path().join("s.toml"), "# mine\n[[features]]\nname = \"age\"\n").unwrap();
    for _ in 0..2 {
        schema_of(dir.path(), &["x.csv", "--click", "clicked", "--out", "s.toml", "--replace"]);
    }
    // A file without a header is told from its first line.
    std::fs::write(dir.path().join("bare.tsv"), "0\t1\t1\t5\n1\t0\t1\t5\n").unwrap();
    assert!(refusal(dir.path(), &["bare.tsv"], 1).contains("first line names the columns"));
}

#[test]
fn parquet_columns_are_taken_by_what_they_hold() {
    let dir = TempDir::new().unwrap();
    let n = 600;
    let column = |of: &dyn Fn(u64) -> u64| (0..n).map(|row| of(row) as i64).collect::<Vec<_>>();
    let mut words = ListBuilder::new(StringBuilder::new());
    let mut vectors = ListBuilder::new(Float32Builder::new());
    for row in 0..n {
        words.append_value((0..draw(row, 1, 3)).map(|i| Some(format!("w{}", draw(row, 5 + i, 5)))));
        vectors.append_value([Some(0.5), Some(draw(row, 2, 100) as f32 / 100.0)]);
    }
    let at = column(&|row| 1_413_849_600_000_000 + row * 86_400_000_000 / 50);
    let cells: Vec<(&str, ArrayRef)> = vec![
        ("is_click", Arc::new(BooleanArray::from((0..n).map(|row| draw(row, 3, 4) == 0).collect::<Vec<_>>()))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC"))),
        ("words", Arc::new(words.finish())),
        ("look", Arc::new(vectors.finish())),
        ("brand", Arc::new(Int64Array::from(column(&|row| 100_000 + draw(row, 4, 50))))),
        (
            "gap",
            Arc::new(Float64Array::from(
                (0..n).map(|row| (row % 5 != 0).then_some(row as f64 / 7.0)).collect::<Vec<_>>(),
            )),
        ),
        ("city", Arc::new(StringArray::from((0..n).map(|row| format!("c{}", row % 7)).collect::<Vec<_>>()))),
    ];
    let record = RecordBatch::try_from_iter_with_nullable(cells.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let file = std::fs::File::create(dir.path().join("x.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, record.schema(), None).unwrap();
    writer.write(&record).unwrap();
    writer.close().unwrap();
    let text = schema_of(dir.path(), &["x.parquet"]);
    let schema = SchemaFile::parse(&text).unwrap();
    let labels = schema.labels.as_ref().unwrap();
    assert_eq!((labels.click.as_str(), labels.time.as_deref()), ("is_click", Some("ts")));
    let kinds: Vec<(&str, bool)> = schema
        .schema
        .features
        .iter()
        .map(|f| (f.name.as_str(), matches!(f.kind, Kind::Number { .. } | Kind::Vector { .. })))
        .collect();
    let expected = [
        ("words", false),
        ("look", true),
        ("brand", false),
        ("gap", true),
        ("city", false),
        ("hour", false),
        ("weekday", false),
    ];
    assert_eq!(kinds, expected, "{text}");
    std::fs::write(dir.path().join("s.toml"), text).unwrap();
    train(dir.path(), "x.parquet", "s.toml");
}

/// Each real log with a header: it gives a schema by which training reads it, or there is no click in it and that is said.
#[test]
fn real_logs_give_schemas_that_train() {
    let Ok(folder) = std::env::var("ADCLICK_DATA") else {
        println!("skipped: set ADCLICK_DATA to the folder of real logs");
        return;
    };
    let sets: [(&str, &[&str], Result<&str, &str>); 12] = [
        ("avazu-10k/train.csv.gz", &[], Ok("click")),
        ("avazu-20k-10days/train.csv.gz", &[], Ok("click")),
        ("criteo-display-10k/unlabelled_day8.csv.gz", &[], Err("no column of 0 and 1")),
        ("hillstrom-64k/train.csv.gz", &[], Ok("visit")),
        ("kdd12-search-ads-40k/train.csv.gz", &["--weight", "impression"], Ok("click")),
        ("open-bandit-small/random_men.csv.gz", &[], Ok("click")),
        ("open-bandit-small/item_context_men.csv.gz", &[], Err("no column of 0 and 1")),
        ("outbrain-10k/train.csv.gz", &[], Ok("clicked")),
        ("talkingdata-100k/train.csv.gz", &[], Ok("is_attributed")),
        ("tencent-app-conversions-1k/train.csv.gz", &[], Ok("label")),
        ("upworthy-headlines/train.csv.gz", &[], Err("could be the click label")),
        ("upworthy-headlines/train.csv.gz", &["--click", "winner"], Ok("winner")),
    ];
    for (name, options, expected) in sets {
        let path = PathBuf::from(&folder).join(name);
        let Ok(file) = std::fs::File::open(&path) else {
            println!("skipped: {name} is not there");
            continue;
        };
        let dir = TempDir::new().unwrap();
        // The header and every so many rows, for time.
        let unpacked = flate2::read::MultiGzDecoder::new(file);
        let mut log = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(unpacked);
        let mut few = csv::WriterBuilder::new().flexible(true).from_path(dir.path().join("x.csv")).unwrap();
        for (i, row) in log.byte_records().enumerate().take(30_000) {
            if i == 0 || i % 5 == 1 {
                few.write_byte_record(&row.unwrap()).unwrap();
            }
        }
        few.flush().unwrap();
        let arguments = [&["x.csv"], options].concat();
        match expected {
            Err(needle) => {
                let message = refusal(dir.path(), &arguments, 1);
                assert!(message.contains(needle), "{name}: {message}");
            }
            Ok(click) => {
                let text = schema_of(dir.path(), &arguments);
                let schema = SchemaFile::parse(&text).unwrap();
                assert_eq!(schema.labels.unwrap().click, click, "{name}:\n{text}");
                for leak in ["attributed_time", "spend", "ctr", "clicks"] {
                    assert!(schema.schema.features.iter().all(|f| f.name != leak), "{name} reads {leak}:\n{text}");
                }
                std::fs::write(dir.path().join("s.toml"), text).unwrap();
                train(dir.path(), "x.csv", "s.toml");
                println!("{name}: click is {click}");
            }
        }
    }
}
