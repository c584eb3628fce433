//! Table files from data files: every kind of file, every type of column, every way to be wrong.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::builder::table::{Checks, Duplicates, Table};
use adclick::{category_id, composite_key};
use adclick_data::logs::BadLimit;
use adclick_data::progress::Progress;
use adclick_data::schema_file::{SchemaFile, TableFile};
use adclick_data::tables::{self, DataFiles, TableOptions, TableSummary};
use adclick_train::bundle::open_table;
use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray, UInt32Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use parquet::arrow::ArrowWriter;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

/// A column of every type.
const SCHEMA: &str = r#"
[[tables]]
name = "pairs"
key = ["user", "ad"]
raw = ["string", "integer"]
fresh_for = "1h"
columns = [
    { name = "rate", type = "f32", default = 0.5 },
    { name = "score", type = "f16", from = "Score, %" },
    { name = "brand", type = "u64" },
    { name = "slots", type = "u32", cap = 3, separator = "|" },
    { name = "tags", type = "u64", cap = 2, separator = ";" },
    { name = "taste", type = "vector", dim = 3 },
    { name = "look", type = "vector", from = ["look0", "look1"] },
]
[[features]]
name = "rate"
source = "cross"
kind = "number"
column = "pairs.rate"
"#;

fn table() -> TableFile {
    SchemaFile::parse(SCHEMA).unwrap().feature_tables.remove(0)
}

fn options(folder: &Path) -> TableOptions {
    TableOptions {
        duplicates: Duplicates::Refuse,
        as_of: Some(1_700_000_000_000_000),
        shard: None,
        memory: 1 << 20,
        spill: folder.to_owned(),
    }
}

fn files(paths: &[PathBuf]) -> DataFiles {
    DataFiles { paths: paths.to_vec(), limit: BadLimit::Rows(0) }
}

/// Builds into a folder of its own; the summary and the file.
fn build(
    table: &TableFile,
    data: &DataFiles,
    change: impl FnOnce(&mut TableOptions),
) -> anyhow::Result<(TableSummary, Vec<u8>)> {
    let folder = tempfile::tempdir()?;
    let mut options = options(folder.path());
    change(&mut options);
    let summary = tables::build(table, data, &options, folder.path(), &Progress::silent())?;
    let left: Vec<_> = std::fs::read_dir(folder.path())?.map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), summary.files.len(), "temporary files are left: {left:?}");
    let bytes = std::fs::read(&summary.files[0])?;
    Ok((summary, bytes))
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

const HEADER: &str = "user_id,ad_id,rate,\"Score, %\",brand,slots,tags,taste,look0,look1,unused\n";
const LINES: [&str; 4] = [
    "u1,7,0.25,1.5,acme,3|1,a;b c,0.5 1 -2,1,2,x\n",
    "u2,7,,,,,,,,,\n",
    "u1,8,-1e-3,0.1,\"a, b\",4294967295,ü,1 2 3,0,0.5,x\n",
    "u3,18446744073709551615,16777217,65504,x,9|9|9,;a,0 0 0,-0.5,-0,\n",
];

fn record() -> RecordBatch {
    let list = |rows: [Option<&[i64]>; 4]| {
        let mut builder = ListBuilder::new(Int64Builder::new());
        rows.iter().for_each(|row| builder.append_option(row.map(|r| r.iter().copied().map(Some))));
        Arc::new(builder.finish()) as ArrayRef
    };
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), Some("b c")]);
    tags.append_null();
    tags.append_value([Some("ü"), None]);
    tags.append_value([Some("a")]);
    let mut taste = FixedSizeListBuilder::new(Float32Builder::new(), 3);
    for row in [Some([0.5, 1.0, -2.0]), None, Some([1.0, 2.0, 3.0]), Some([0.0; 3])] {
        taste.values().append_slice(&row.unwrap_or_default());
        taste.append(row.is_some());
    }
    let brands: DictionaryArray<Int32Type> = vec![Some("acme"), None, Some("a, b"), Some("x")].into_iter().collect();
    let ads = vec![7, 7, 8, -1];
    let columns: [(&str, ArrayRef); 10] = [
        ("rate", Arc::new(Float64Array::from(vec![Some(0.25), None, Some(-1e-3), Some(16_777_217.0)]))),
        ("user_id", Arc::new(LargeStringArray::from(vec!["u1", "u2", "u1", "u3"]))),
        ("ad_id", Arc::new(Int64Array::from(ads))),
        ("Score, %", Arc::new(StringArray::from(vec![Some("1.5"), Some(""), Some("0.1"), Some("65504")]))),
        ("brand", Arc::new(brands)),
        ("slots", list([Some(&[3, 1]), Some(&[]), Some(&[4_294_967_295]), Some(&[9, 9, 9])])),
        ("tags", Arc::new(tags.finish())),
        ("taste", Arc::new(taste.finish())),
        ("look0", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(0.0), Some(-0.5)]))),
        ("look1", Arc::new(Float64Array::from(vec![Some(2.0), None, Some(0.5), Some(-0.0)]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
}

fn parquet(path: PathBuf, record: &RecordBatch) -> PathBuf {
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), record.schema(), None).unwrap();
    writer.write(record).unwrap();
    writer.close().unwrap();
    path
}

fn arrow(path: PathBuf, record: &RecordBatch, compression: Option<CompressionType>) -> PathBuf {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let file = File::create(&path).unwrap();
    let mut writer = FileWriter::try_new_with_options(file, &record.schema(), options).unwrap();
    // Several batches.
    for at in 0..record.num_rows() {
        writer.write(&record.slice(at, 1)).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn the_same_rows_give_the_same_bytes_from_every_kind_of_file_and_in_any_order() {
    let dir = TempDir::new().unwrap();
    let table = table();
    let csv = write(&dir, "p.csv", (HEADER.to_owned() + &LINES.concat()).as_bytes());
    let (summary, expected) = build(&table, &files(std::slice::from_ref(&csv)), |_| {}).unwrap();
    assert_eq!((summary.rows, summary.replaced, summary.bad_rows), (4, 0, 0));
    assert_eq!(summary.bytes, expected.len() as u64);
    let missing: Vec<f64> = summary.columns.iter().map(|c| c.missing).collect();
    assert_eq!(missing, [0.25; 7]);

    let text = std::fs::read(&csv).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&text).unwrap();
    let backwards: String = LINES.iter().rev().copied().collect();
    let record = record();
    let mut stream = StreamWriter::try_new(Vec::new(), &record.schema()).unwrap();
    stream.write(&record).unwrap();
    let stream = write(&dir, "p.stream", &stream.into_inner().unwrap());
    let others = [
        vec![write(&dir, "p.csv.gz", &gz.finish().unwrap())],
        vec![write(&dir, "p.csv.zst", &zstd::encode_all(&text[..], 1).unwrap())],
        vec![write(&dir, "bom.csv", &[b"\xef\xbb\xbf", &text[..]].concat())],
        vec![write(&dir, "back.csv", (HEADER.to_owned() + &backwards).as_bytes())],
        vec![
            write(&dir, "1.csv", (HEADER.to_owned() + LINES[3]).as_bytes()),
            write(&dir, "empty.csv", HEADER.as_bytes()),
            write(&dir, "2.csv", (HEADER.to_owned() + LINES[1] + LINES[0] + LINES[2]).as_bytes()),
        ],
        vec![parquet(dir.path().join("p.parquet"), &record)],
        vec![arrow(dir.path().join("p.arrow"), &record, None)],
        vec![arrow(dir.path().join("lz4.arrow"), &record, Some(CompressionType::LZ4_FRAME))],
        vec![arrow(dir.path().join("zstd.arrow"), &record, Some(CompressionType::ZSTD))],
        vec![stream],
    ];
    for paths in others {
        let (_, bytes) = build(&table, &files(&paths), |_| {}).unwrap();
        assert!(bytes == expected, "{paths:?} gives another table");
    }
    // And when nothing waits in memory.
    assert!(build(&table, &files(&[csv]), |o| o.memory = 1).unwrap().1 == expected, "spilled rows give another table");
}

#[test]
fn cells_are_what_the_files_say() {
    let dir = TempDir::new().unwrap();
    let table = table();
    let csv = write(&dir, "p.csv", (HEADER.to_owned() + &LINES.concat()).as_bytes());
    let (summary, bytes) = build(&table, &files(&[csv]), |_| {}).unwrap();
    assert_eq!(summary.built_us, 1_700_000_000_000_000);
    let table = open_table(&write(&dir, "t.adc", &bytes), Checks::Full).unwrap();
    assert_eq!((table.len(), table.fresh_for_s(), table.built_us()), (4, 3600, 1_700_000_000_000_000));
    let layout = table.layout();
    let row = |user: &str, ad: u64| table.get(composite_key(&[category_id(user.as_bytes()), ad])).unwrap();
    let ids = |row, column| layout.ids(row, column).collect::<Vec<_>>();
    let first = row("u1", 7);
    assert_eq!((layout.number(first, 0, 0), layout.number(first, 1, 0)), (Some(0.25), Some(1.5)));
    assert_eq!(ids(first, 2), [category_id(b"acme")]);
    assert_eq!(ids(first, 3), [3, 1]);
    assert_eq!(ids(first, 4), [category_id(b"a"), category_id(b"b c")]);
    assert_eq!([0, 1, 2].map(|p| layout.number(first, 5, p).unwrap()), [0.5, 1.0, -2.0]);
    assert_eq!([0, 1].map(|p| layout.number(first, 6, p).unwrap()), [1.0, 2.0]);
    let second = row("u2", 7);
    assert!((0..7).all(|column| layout.is_missing(second, column)));
    let last = row("u3", u64::MAX);
    assert_eq!(layout.number(last, 0, 0), Some(16_777_216.0), "the nearest f32");
    assert_eq!(ids(last, 4), [category_id(b"a")], "nothing before a separator is no id");
    assert_eq!(ids(row("u1", 8), 2), [category_id(b"a, b")]);
    assert_eq!(layout.number(table.default_row(), 0, 0), Some(0.5));
    // The file says how it was made.
    assert_eq!(tables::of_packed(&table).unwrap(), self::table());
}

#[test]
fn a_key_that_occurs_twice_is_refused_or_the_last_one_stays() {
    let dir = TempDir::new().unwrap();
    let table = table();
    let line = |rate: &str| format!("u1,7,{rate},,,,,,,,\n");
    let a = write(&dir, "a.csv", (HEADER.to_owned() + &line("1") + LINES[1] + LINES[2]).as_bytes());
    let b = write(&dir, "b.csv", (HEADER.to_owned() + LINES[3] + &line("2")).as_bytes());
    let message = format!("{:#}", build(&table, &files(&[a.clone(), b.clone()]), |_| {}).unwrap_err());
    for needle in ["rows 1 and 5 have the same key", "a.csv (rows 1 to 3)", "b.csv (rows 4 to 5)"] {
        assert!(message.contains(needle), "`{needle}` is not in: {message}");
    }
    for (order, expected) in [([&a, &b], 2.0), ([&b, &a], 1.0)] {
        for memory in [1, 1 << 20] {
            let (summary, bytes) = build(&table, &files(&order.map(Clone::clone)), |o| {
                o.duplicates = Duplicates::KeepLast;
                o.memory = memory;
            })
            .unwrap();
            assert_eq!((summary.rows, summary.replaced), (4, 1));
            let table = open_table(&write(&dir, "t.adc", &bytes), Checks::Full).unwrap();
            let row = table.get(composite_key(&[category_id(b"u1"), 7])).unwrap();
            assert_eq!(table.layout().number(row, 0, 0), Some(expected));
        }
    }
}

#[test]
fn shards_hold_each_key_once() {
    let dir = TempDir::new().unwrap();
    let mut table = table();
    table.shards = 3;
    let lines: String = (1..200).map(|i| format!("u{i},{i},{i},,,,,,,,\n")).collect();
    let csv = write(&dir, "p.csv", (HEADER.to_owned() + &lines).as_bytes());
    let all = tables::build(
        &table,
        &files(std::slice::from_ref(&csv)),
        &options(dir.path()),
        dir.path(),
        &Progress::silent(),
    )
    .unwrap();
    let names: Vec<_> = all.files.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["table.pairs.0-of-3.adc", "table.pairs.1-of-3.adc", "table.pairs.2-of-3.adc"]);
    assert_eq!((all.rows, all.elsewhere), (199, 0));
    let shards: Vec<Table> = all.files.iter().map(|f| open_table(f, Checks::Full).unwrap()).collect();
    assert!(shards.iter().all(|s| s.len() > 40));
    for i in 1..200u64 {
        let key = composite_key(&[category_id(format!("u{i}").as_bytes()), i]);
        assert_eq!(shards.iter().filter(|s| s.get(key).is_some()).count(), 1, "row {i}");
    }
    let (one, bytes) = build(&table, &files(std::slice::from_ref(&csv)), |o| o.shard = Some(1)).unwrap();
    assert_eq!((one.rows, one.elsewhere), (shards[1].len(), 199 - shards[1].len()));
    assert!(bytes == std::fs::read(&all.files[1]).unwrap(), "a shard alone is another one");
    let message = format!("{:#}", build(&table, &files(&[csv]), |o| o.shard = Some(3)).unwrap_err());
    assert!(message.contains("no shard 3") && message.contains("0 to 2"), "{message}");
}

/// What a file with one good row and this one is refused for.
fn csv_refusal(line: &str) -> String {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "bad.csv", format!("{HEADER}{}{line}\n", LINES[0]).as_bytes());
    format!("{:#}", build(&table(), &files(&[path]), |_| {}).expect_err(line))
}

#[test]
fn bad_cells_are_named_with_file_line_column_and_what_was_found() {
    let cases: [(&str, &[&str]); 18] = [
        (",7,,,,,,,,,", &["user_id: expected an id", "\"\""]),
        ("u9,,,,,,,,,,", &["ad_id: expected an integer id"]),
        ("u9,0,,,,,,,,,", &["ad_id: expected an integer id other than 0", "\"0\""]),
        ("u9,x7,,,,,,,,,", &["ad_id: expected an integer", "\"x7\"", "raw = \"string\""]),
        ("u9,7,much,,,,,,,,", &["rate: expected a finite number", "\"much\""]),
        ("u9,7,inf,,,,,,,,", &["rate: expected a finite number", "\"inf\""]),
        ("u9,7,1e39,,,,,,,,", &["rate: expected a finite number", "\"1e39\""]),
        ("u9,7,,65520,,,,,,,", &["Score, %: expected numbers that fit fp16", "65520"]),
        ("u9,7,,,,1|2|3|4,,,,,", &["slots: expected at most 3 ids", "4 ids"]),
        ("u9,7,,,,4294967296,,,,,", &["slots: expected an integer from 0 to 4294967295", "4294967296"]),
        ("u9,7,,,,-1,,,,,", &["slots: expected an integer from 0", "-1"]),
        ("u9,7,,,,1;2,,,,,", &["slots: expected an integer", "1;2"]),
        ("u9,7,,,,,a;b;c,,,,", &["tags: expected at most 2 ids", "3 ids"]),
        ("u9,7,,,,,,1 2,,,", &["taste: expected a vector of 3 numbers", "2 numbers"]),
        ("u9,7,,,,,,1  2,,,", &["taste: expected a finite number", "\"\""]),
        ("u9,7,,,,,,1 2 70000,,,", &["taste: expected numbers that fit fp16", "1 2 70000"]),
        ("u9,7,,,,,,,1,,", &["look0: expected a vector of 2 numbers", "1 numbers"]),
        ("u9,7", &["the whole line: expected as many fields", "2 fields for 11 columns"]),
    ];
    for (line, needles) in cases {
        let message = csv_refusal(line);
        for needle in [&["bad.csv, line 3", "raise the limit"], needles].concat() {
            assert!(message.contains(needle), "`{needle}` is not in: {message}\nfor: {line}");
        }
    }
}

#[test]
fn malformed_rows_are_borne_up_to_the_limit() {
    let dir = TempDir::new().unwrap();
    let path =
        write(&dir, "p.csv", (HEADER.to_owned() + "u9,0,,,,,,,,,\n" + &LINES.concat() + ",1,,,,,,,,,\n").as_bytes());
    let data = |limit| DataFiles { paths: vec![path.clone()], limit };
    let (summary, _) = build(&table(), &data(BadLimit::Rows(2)), |_| {}).unwrap();
    assert_eq!((summary.rows, summary.bad_rows), (4, 2));
    assert!(summary.bad[0].contains("line 2") && summary.bad[1].contains("line 7"), "{:?}", summary.bad);
    let message = format!("{:#}", build(&table(), &data(BadLimit::Rows(1)), |_| {}).unwrap_err());
    assert!(message.contains("malformed row number 2 of 6 rows read"), "{message}");
}

#[test]
fn files_that_are_not_what_they_should_be_are_named() {
    let dir = TempDir::new().unwrap();
    let refuse = |paths: &[PathBuf]| format!("{:#}", build(&table(), &files(paths), |_| {}).unwrap_err());
    let good = write(&dir, "good.csv", (HEADER.to_owned() + LINES[0]).as_bytes());
    let record = record();
    let without = |name: &str| {
        let keep: Vec<usize> = (0..record.num_columns()).filter(|&i| record.schema().field(i).name() != name).collect();
        record.project(&keep).unwrap()
    };
    let replaced = |name: &str, column: ArrayRef| {
        let schema = record.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(record.columns())
            .map(|(f, c)| (f.name().clone(), if f.name() == name { column.clone() } else { c.clone() }, true));
        RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).unwrap()
    };
    let whole = std::fs::read(parquet(dir.path().join("whole.parquet"), &record)).unwrap();
    let ipc = std::fs::read(arrow(dir.path().join("whole.arrow"), &record, None)).unwrap();
    let floats = replaced("user_id", Arc::new(Float64Array::from(vec![1.5, 2.0, 3.0, 4.0])));
    let null_key = replaced("ad_id", Arc::new(UInt32Array::from(vec![Some(7), None, Some(8), Some(9)])));
    let mut holes = ListBuilder::new(Float32Builder::new());
    (0..4).for_each(|_| holes.append_value([Some(1.0), None, Some(2.0)]));
    let cases: [(&str, Vec<PathBuf>, &[&str]); 12] = [
        ("gone", vec![dir.path().join("gone.csv")], &["gone.csv"]),
        ("empty", vec![write(&dir, "none.csv", b"")], &["none.csv", "is empty"]),
        ("header", vec![write(&dir, "head.csv", HEADER.as_bytes())], &["head.csv", "no rows"]),
        (
            "column",
            vec![good.clone(), write(&dir, "less.csv", b"user_id,rate\nu1,2\n")],
            &["less.csv", "expected a column \"ad_id\"", "found: user_id, rate"],
        ),
        ("twice", vec![write(&dir, "twice.csv", b"user_id,user_id\n1,2\n")], &["twice.csv", "\"user_id\" twice"]),
        (
            "parquet column",
            vec![parquet(dir.path().join("less.parquet"), &without("taste"))],
            &["less.parquet", "expected a column \"taste\"", "user_id"],
        ),
        ("cut parquet", vec![write(&dir, "cut.parquet", &whole[..whole.len() - 9])], &["cut.parquet", "as Parquet"]),
        ("cut arrow", vec![write(&dir, "cut.arrow", &ipc[..ipc.len() - 9])], &["cut.arrow", "as Arrow IPC"]),
        (
            "arrow column",
            vec![arrow(dir.path().join("less.arrow"), &without("brand"), None)],
            &["less.arrow", "expected a column \"brand\""],
        ),
        (
            "floats",
            vec![parquet(dir.path().join("floats.parquet"), &floats)],
            &["floats.parquet, row 1", "user_id: expected a string or an integer", "raw = \"integer\"", "\"1.5\""],
        ),
        (
            "null key",
            vec![arrow(dir.path().join("null.arrow"), &null_key, None)],
            &["null.arrow, row 2", "ad_id: expected an integer id"],
        ),
        (
            "holes",
            vec![parquet(dir.path().join("holes.parquet"), &replaced("taste", Arc::new(holes.finish())))],
            &["holes.parquet, row 1", "taste: expected a vector of finite numbers", "null in it"],
        ),
    ];
    for (what, paths, needles) in cases {
        let message = refuse(&paths);
        for needle in needles {
            assert!(message.contains(needle), "{what}: `{needle}` is not in: {message}");
        }
    }
}

#[test]
fn without_a_time_the_newest_file_says_how_new_the_data_is() {
    let dir = TempDir::new().unwrap();
    let paths = [
        write(&dir, "a.csv", (HEADER.to_owned() + LINES[0]).as_bytes()),
        write(&dir, "b.csv", (HEADER.to_owned() + LINES[1]).as_bytes()),
    ];
    for (path, seconds) in paths.iter().zip([1_600_000_000, 1_500_000_000]) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let (first, bytes) = build(&table(), &files(&paths), |o| o.as_of = None).unwrap();
    assert_eq!(first.built_us, 1_600_000_000_000_000);
    assert!(build(&table(), &files(&paths), |o| o.as_of = None).unwrap().1 == bytes, "rebuilding gives another table");
}

/// A schema, rows and their cells that chance makes up: what goes in comes out.
#[test]
fn rows_come_out_as_they_went_in() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dir = TempDir::new().unwrap();
        let kinds = ["f32", "f16", "u32", "u64", "vector"];
        let columns: Vec<(&str, usize)> =
            (0..rng.random_range(1..7)).map(|_| (kinds[rng.random_range(0..5)], rng.random_range(1..5))).collect();
        let mut schema = String::from("[[tables]]\nname='t'\nkey='user'\nraw='integer'\ncolumns=[\n");
        for (i, (kind, n)) in columns.iter().enumerate() {
            let room = match *kind {
                "u32" => format!(", cap={n}"),
                "u64" => format!(", cap={n}, raw='integer'"),
                "vector" => format!(", dim={n}"),
                _ => String::new(),
            };
            schema += &format!("{{name='c{i}', type='{kind}'{room}}},\n");
        }
        let (kind, column) = match columns[0].0 {
            "u32" | "u64" => ("multi'\nembedding={dim=1,buckets=2}\n#'", "c0"),
            "vector" => ("number", "c0[0]"),
            _ => ("number", "c0"),
        };
        schema += &format!("]\n[[features]]\nname='f'\nsource='user'\nkind='{kind}'\ncolumn='t.{column}'\n");
        let table = SchemaFile::parse(&schema).unwrap().feature_tables.remove(0);

        // Keys that are near each other, far, and as large as can be.
        let n = [0, 1, 2, 50, 1000][rng.random_range(0..5)] + 1;
        let keys: Vec<u64> = (0..n)
            .map(|i| match rng.random_range(0..3) {
                0 => i + 1,
                1 => u64::MAX - i,
                _ => rng.next_u64() | 1 << 32,
            })
            .collect();
        let mut expected: HashMap<u64, Vec<Vec<f64>>> = HashMap::new();
        let mut text = String::from("user_id");
        (0..columns.len()).for_each(|i| text += &format!(",c{i}"));
        for key in &keys {
            text += &format!("\n{key}");
            let mut cells = Vec::new();
            for (kind, n) in &columns {
                let some = !rng.random_ratio(1, 5);
                // Multiples of 1/8 up to 128 are exact in fp16.
                let values: Vec<f64> = match *kind {
                    _ if !some => Vec::new(),
                    "f32" | "f16" => vec![f64::from(rng.random_range(-1024..=1024)) / 8.0],
                    "vector" => (0..*n).map(|_| f64::from(rng.random_range(-1024..=1024)) / 8.0).collect(),
                    "u32" => (0..rng.random_range(0..=*n)).map(|_| f64::from(rng.next_u32())).collect(),
                    _ => (0..rng.random_range(0..=*n)).map(|_| (rng.next_u64() >> 11) as f64).collect(),
                };
                text += &format!(",{}", values.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
                cells.push(values);
            }
            expected.insert(*key, cells);
        }
        let path = write(&dir, "t.csv", text.as_bytes());
        let memory = [1, 4096, 1 << 20][rng.random_range(0..3)];
        let (summary, bytes) = build(&table, &files(&[path]), |o| {
            o.memory = memory;
            o.duplicates = Duplicates::KeepLast;
        })
        .unwrap();
        assert_eq!((summary.rows, summary.replaced), (expected.len() as u64, n - expected.len() as u64));
        let packed = open_table(&write(&dir, "t.adc", &bytes), Checks::Full).unwrap();
        for (key, cells) in &expected {
            let row = packed.get(*key).unwrap_or_else(|| panic!("seed {seed}: key {key} is lost"));
            for (i, ((kind, n), values)) in columns.iter().zip(cells).enumerate() {
                let found: Vec<f64> = match *kind {
                    "u32" | "u64" => table.layout.ids(row, i).map(|id| id as f64).collect(),
                    "vector" => (0..*n).filter_map(|p| table.layout.number(row, i, p)).map(f64::from).collect(),
                    _ => table.layout.number(row, i, 0).map(f64::from).into_iter().collect(),
                };
                assert_eq!(found, *values, "seed {seed}, key {key}, column c{i} ({kind})");
            }
        }
        let mut seen: Vec<u64> = packed.iter().map(|(key, _)| key).collect();
        seen.sort_unstable();
        let mut all: Vec<u64> = expected.into_keys().collect();
        all.sort_unstable();
        assert_eq!(seen, all, "seed {seed}");
    }
}
