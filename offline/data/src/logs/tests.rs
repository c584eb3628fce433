//! Readers on files with every kind of damage.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::category_id;
use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::*;
use crate::progress::JobStage;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A Criteo line: label, I1 = 1, I2 missing, I3 = -3, the other numbers their own; C1 = "a1", C2 missing.
fn criteo_line(label: &str) -> String {
    let mut fields = vec![label.to_owned(), "1".to_owned(), String::new(), "-3".to_owned()];
    fields.extend((4..=13).map(|i| i.to_string()));
    fields.extend(["a1".to_owned(), String::new()]);
    fields.extend((3..=26).map(|i| format!("c{i}")));
    fields.join("\t")
}

type ReadRows = Vec<(LogRow, Vec<InputValue>)>;

fn all(path: &Path, format: &Format, limit: BadLimit) -> anyhow::Result<(ReadRows, BadRows)> {
    let source = LogFiles { limit, ..LogFiles::new(vec![path.to_owned()], format.clone()) };
    let mut rows = Vec::new();
    let read = source.for_each(&JobStage::silent(), |batch| {
        rows.extend(
            batch.rows().iter().map(|row| (LogRow { values: 0..0, ..row.clone() }, batch.values(row).to_vec())),
        );
        Ok(())
    })?;
    Ok((rows, read.bad))
}

fn failure(path: &Path, format: &Format, limit: BadLimit) -> String {
    format!("{:#}", all(path, format, limit).unwrap_err())
}

#[test]
fn criteo_rows_have_numbers_ids_and_gaps() {
    let dir = TempDir::new().unwrap();
    let path = write(&dir, "x", format!("{}\n{}\r\n", criteo_line("1"), criteo_line("0")).as_bytes());
    let (rows, bad) = all(&path, &Format::Criteo, BadLimit::Rows(0)).unwrap();
    assert_eq!(bad.count, 0);
    assert_eq!(rows.iter().map(|(r, _)| (r.number, r.click)).collect::<Vec<_>>(), [(0, Some(true)), (1, Some(false))]);
    let values = &rows[0].1;
    assert_eq!(values.len(), 12 + 25);
    assert_eq!(values[0], InputValue { input: 0, number: 1.0, id: 0 });
    assert_eq!(values[1], InputValue { input: 2, number: -3.0, id: 0 });
    assert_eq!(values[12], InputValue { input: 13, number: 1.0, id: category_id(b"a1") });
    assert_eq!(values[13], InputValue { input: 15, number: 1.0, id: category_id(b"c3") });
    assert_eq!(rows[0].1, rows[1].1, "the line ending is not part of the last field");
}

#[test]
fn packed_files_are_recognised_by_content() {
    let dir = TempDir::new().unwrap();
    let text: String = (0..3000).map(|i| criteo_line(if i % 3 == 0 { "1" } else { "0" }) + "\n").collect();
    let plain = write(&dir, "plain.gz", text.as_bytes());
    let gz = write(&dir, "gz.zst", &gzip(text.as_bytes()));
    let (first, second) = text.as_bytes().split_at(100_000);
    let members = write(&dir, "members", &[gzip(first), gzip(second)].concat());
    let zst = write(&dir, "zst.txt", &zstd::encode_all(text.as_bytes(), 3).unwrap());
    let want = all(&plain, &Format::Criteo, BadLimit::Rows(0)).unwrap();
    assert_eq!(want.0.len(), 3000);
    for path in [gz, members, zst] {
        assert_eq!(all(&path, &Format::Criteo, BadLimit::Rows(0)).unwrap(), want, "{}", path.display());
    }
}

#[test]
fn damaged_files_say_so() {
    let dir = TempDir::new().unwrap();
    let text: String = (0..3000).map(|_| criteo_line("0") + "\n").collect();
    for (name, bytes) in [("gz", gzip(text.as_bytes())), ("zst", zstd::encode_all(text.as_bytes(), 3).unwrap())] {
        for cut in [bytes.len() / 2, bytes.len() - 5] {
            let path = write(&dir, name, &bytes[..cut]);
            let message = failure(&path, &Format::Criteo, BadLimit::Default);
            assert!(message.contains("cut short") && message.contains(name), "{name} at {cut}: {message}");
        }
        let mut flipped = bytes.clone();
        flipped[bytes.len() - 6] ^= 0xff;
        let path = write(&dir, name, &flipped);
        assert!(all(&path, &Format::Criteo, BadLimit::Default).is_err(), "{name}");
    }
    let path = write(&dir, "empty", b"");
    assert!(failure(&path, &Format::Criteo, BadLimit::Default).contains("is empty"));
    let path = write(&dir, "empty.gz", &gzip(b""));
    assert!(failure(&path, &Format::Criteo, BadLimit::Default).contains("no rows"));
    let path = write(&dir, "header", b"id,click,hour\n");
    assert!(failure(&path, &Format::Avazu, BadLimit::Default).contains("expected a column \"site_id\""));
    let missing = dir.path().join("nowhere");
    let message = failure(&missing, &Format::Criteo, BadLimit::Default);
    assert!(message.contains("nowhere") && message.contains("No such file"), "{message}");
    let path = write(&dir, "endless", &vec![b'x'; 17 << 20]);
    assert!(failure(&path, &Format::Criteo, BadLimit::Default).contains("longer than"));
}

#[test]
fn malformed_criteo_rows_name_line_field_and_fault() {
    let dir = TempDir::new().unwrap();
    let good = criteo_line("0");
    let short = good.rsplit_once('\t').unwrap().0.to_owned();
    for (line, needles) in [
        (short, ["line 2", "39 fields"]),
        (format!("{good}\t"), ["line 2", "41 fields"]),
        (criteo_line("2"), ["label", "0 or 1"]),
        (criteo_line(""), ["label", "0 or 1"]),
        (good.replacen("\t-3\t", "\tthree\t", 1), ["I3", "\"three\""]),
        (good.replacen("\t-3\t", "\t-inf\t", 1), ["I3", "\"-inf\""]),
        (good.replacen("\t-3\t", "\t1e99\t", 1), ["I3", "finite"]),
    ] {
        let path = write(&dir, "bad.tsv", format!("{good}\n{line}\n{good}\n").as_bytes());
        let (rows, bad) = all(&path, &Format::Criteo, BadLimit::Rows(1)).unwrap();
        assert_eq!((rows.len(), bad.count), (2, 1));
        assert_eq!(rows[1].0.number, 2, "malformed rows are numbered too");
        assert_eq!(rows[1].1, rows[0].1, "nothing of the malformed row stays");
        for needle in needles {
            assert!(bad.first[0].contains(needle) && bad.first[0].contains("bad.tsv"), "{}", bad.first[0]);
        }
        let message = failure(&path, &Format::Criteo, BadLimit::Rows(0));
        assert!(message.contains(needles[0]) && message.contains("raise the limit"), "{message}");
    }
}

#[test]
fn the_default_limit_is_ten_or_a_thousandth() {
    let dir = TempDir::new().unwrap();
    let good = criteo_line("0") + "\n";
    let bad = |n: usize| "x\n".repeat(n);
    let path = write(&dir, "ten", (bad(10) + &good).as_bytes());
    assert_eq!(all(&path, &Format::Criteo, BadLimit::Default).unwrap().1.count, 10);
    let path = write(&dir, "eleven", (bad(11) + &good).as_bytes());
    assert!(failure(&path, &Format::Criteo, BadLimit::Default).contains("malformed row number 11 of 11"));
    let path = write(&dir, "many", (good.repeat(15_000) + &bad(15)).as_bytes());
    assert_eq!(all(&path, &Format::Criteo, BadLimit::Default).unwrap().1.count, 15);
}

const AVAZU_HEADER: &str = "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,\
                            app_category,device_id,device_ip,device_model,device_type,device_conn_type,C14,C15,C16,\
                            C17,C18,C19,C20,C21";

#[test]
fn avazu_rows_have_times_and_negative_ids() {
    let dir = TempDir::new().unwrap();
    let line = "10017246106627470759,1,14102123,1005,0,f9,e1,28,ec,78,07,a9,8b,25,1,0,19665,320,50,2253,2,303,-1,52";
    let path = write(&dir, "a.csv", format!("{AVAZU_HEADER}\n{line}\n").as_bytes());
    let (rows, _) = all(&path, &Format::Avazu, BadLimit::Rows(0)).unwrap();
    assert_eq!(rows[0].0.time_us, Some((1_413_849_600 + 23 * 3600) * 1_000_000));
    let columns = Format::Avazu.columns();
    let value = |name: &str| {
        let input = columns.input(name).unwrap();
        rows[0].1.iter().find(|v| v.input as usize == input).unwrap().id
    };
    assert_eq!((value("C1"), value("C14"), value("C20")), (1005, 19665, u64::MAX));
    assert_eq!(value("site_id"), category_id(b"f9"));

    for (bad, field) in [
        (line.replacen("14102123", "14102124", 1), "hour"),
        (line.replacen(",1,14102123", ",yes,14102123", 1), "click"),
        (line.replacen(",19665,", ",many,", 1), "C14"),
        (line.replacen(",52", "", 1), "23 fields for 24 columns"),
    ] {
        let path = write(&dir, "b.csv", format!("{AVAZU_HEADER}\n{line}\n{bad}\n").as_bytes());
        let (rows, found) = all(&path, &Format::Avazu, BadLimit::Rows(1)).unwrap();
        assert_eq!((rows.len(), found.count), (1, 1));
        assert!(found.first[0].contains(field) && found.first[0].contains("line 3"), "{}", found.first[0]);
    }
    let twice = write(&dir, "c.csv", format!("{AVAZU_HEADER},C1\n{line},1\n").as_bytes());
    assert!(failure(&twice, &Format::Avazu, BadLimit::Default).contains("\"C1\" twice"));
    let unlabelled = write(
        &dir,
        "d.csv",
        format!("{}\n{}\n", AVAZU_HEADER.replacen("click,", "", 1), line.replacen(",1,1410", ",1410", 1)).as_bytes(),
    );
    assert!(failure(&unlabelled, &Format::Avazu, BadLimit::Default).contains("\"click\""));
    let mut reader = LogReader::open(&unlabelled, &Format::Avazu, Labels::Optional, BadLimit::Rows(0)).unwrap();
    let mut batch = RowBatch::default();
    assert!(reader.read(&mut batch, 10).unwrap());
    assert_eq!(batch.rows()[0].click, None);
    assert!(!reader.read(&mut batch, 10).unwrap());
}

fn example_columns() -> LogColumns {
    let input =
        |name: &str, kind| InputColumn { name: name.to_owned(), column: format!("col_{name}"), kind, optional: false };
    LogColumns {
        click: "clicked".to_owned(),
        conversion: Some("bought".to_owned()),
        weight: Some("weight".to_owned()),
        time: Some(TimeColumn {
            column: "at".to_owned(),
            format: TimeFormat::Seconds,
            zone: ZoneRule::Utc,
            local: false,
        }),
        inputs: vec![
            input("price", InputKind::Number),
            input("site", InputKind::Text),
            input("slot", InputKind::Integer),
            input("tags", InputKind::Integers(b'|')),
            input("vector", InputKind::Vector(2, b' ')),
        ],
        keys: Vec::new(),
    }
}

#[test]
fn csv_parquet_and_arrow_examples_give_the_same_rows() {
    let dir = TempDir::new().unwrap();
    let csv = "col_site,clicked,bought,weight,at,col_price,col_slot,col_tags,col_vector,more\n\
               \"a, b\",1,,2,100,1.5,-7,3|3|9,0.5 1,x\n\
               ,0,0,0.5,101,,8,,,\n";
    let csv = write(&dir, "x.csv", csv.as_bytes());
    let vectors = {
        let mut builder = ListBuilder::new(arrow_array::builder::Float32Builder::new());
        builder.append_value([Some(0.5), Some(1.0)]);
        builder.append_null();
        Arc::new(builder.finish()) as ArrayRef
    };
    let tags = {
        let mut builder = ListBuilder::new(Int64Builder::new());
        builder.append_value([Some(3), Some(3), Some(9)]);
        builder.append_null();
        Arc::new(builder.finish()) as ArrayRef
    };
    let record = RecordBatch::try_from_iter_with_nullable([
        ("clicked", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef, false),
        ("bought", Arc::new(Int32Array::from(vec![None, Some(0)])) as ArrayRef, true),
        ("weight", Arc::new(Float64Array::from(vec![2.0, 0.5])) as ArrayRef, false),
        ("at", Arc::new(Int32Array::from(vec![100, 101])) as ArrayRef, false),
        ("col_price", Arc::new(Float64Array::from(vec![Some(1.5), None])) as ArrayRef, true),
        ("col_site", Arc::new(StringArray::from(vec![Some("a, b"), None])) as ArrayRef, true),
        ("col_slot", Arc::new(Int32Array::from(vec![-7, 8])) as ArrayRef, false),
        ("col_tags", tags, true),
        ("col_vector", vectors, true),
    ])
    .unwrap();
    let path = dir.path().join("x.parquet");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), record.schema(), None).unwrap();
    writer.write(&record).unwrap();
    writer.close().unwrap();

    let format = Format::Examples(example_columns());
    let (rows, _) = all(&csv, &format, BadLimit::Rows(0)).unwrap();
    assert_eq!(rows[0].0.conversion, None);
    assert_eq!((rows[1].0.conversion, rows[1].0.weight, rows[1].0.time_us), (Some(false), 0.5, Some(101_000_000)));
    assert_eq!(rows[0].1.len(), 1 + 1 + 1 + 3 + 2);
    assert_eq!(rows[0].1[2].id, (-7i64) as u64);
    assert_eq!(rows[1].1.len(), 1, "missing values are absent");
    assert_eq!(all(&path, &format, BadLimit::Rows(0)).unwrap().0, rows);
    let arrow = dir.path().join("x.arrow");
    let mut writer = FileWriter::try_new(std::fs::File::create(&arrow).unwrap(), &record.schema()).unwrap();
    writer.write(&record).unwrap();
    writer.finish().unwrap();
    assert_eq!(all(&arrow, &format, BadLimit::Rows(0)).unwrap().0, rows);

    let mut columns = example_columns();
    columns.inputs[1].kind = InputKind::Integer;
    let message = failure(&path, &Format::Examples(columns.clone()), BadLimit::Rows(0));
    assert!(message.contains("col_site") && message.contains("row 0") && message.contains("integer"), "{message}");
    columns.inputs[1].column = "nowhere".to_owned();
    let message = failure(&path, &Format::Examples(columns), BadLimit::Rows(0));
    assert!(message.contains("expected a column \"nowhere\""), "{message}");
    let mut long = example_columns();
    long.inputs[4].kind = InputKind::Vector(3, b' ');
    assert!(failure(&csv, &Format::Examples(long), BadLimit::Rows(0)).contains("2 of 3 numbers"));
}

#[test]
fn keys_and_optional_columns_are_read_alike_from_text_and_parquet() {
    let dir = TempDir::new().unwrap();
    let key = |id, column: &str, integer| KeyColumn {
        id,
        column: column.to_owned(),
        integer,
        table: "t".to_owned(),
        needed: true,
    };
    let mut columns = LogColumns { conversion: None, weight: None, time: None, ..example_columns() };
    columns.inputs.iter_mut().for_each(|input| input.optional = true);
    columns.keys =
        vec![key(KeyId::User, "uid", false), key(KeyId::Ad, "aid", true), key(KeyId::Placement, "slot", true)];
    let csv = write(&dir, "x.csv", b"clicked,uid,aid,slot,col_price\n1,u1,-2,7,0.5\n0,,,,\n");
    let record = RecordBatch::try_from_iter_with_nullable([
        ("clicked", Arc::new(BooleanArray::from(vec![true, false])) as ArrayRef, false),
        ("uid", Arc::new(StringArray::from(vec![Some("u1"), None])) as ArrayRef, true),
        ("aid", Arc::new(Int32Array::from(vec![Some(-2), None])) as ArrayRef, true),
        ("slot", Arc::new(Int32Array::from(vec![Some(7), None])) as ArrayRef, true),
        ("col_price", Arc::new(Float64Array::from(vec![Some(0.5), None])) as ArrayRef, true),
    ])
    .unwrap();
    let path = dir.path().join("x.parquet");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), record.schema(), None).unwrap();
    writer.write(&record).unwrap();
    writer.close().unwrap();
    let format = Format::Examples(columns.clone());
    let (rows, _) = all(&csv, &format, BadLimit::Rows(0)).unwrap();
    let expected = Keys { user: category_id(b"u1"), ad: (-2i64) as u64, placement: 7, advertiser: 0 };
    assert_eq!(rows[0].0.keys, expected);
    assert_eq!((rows[1].0.keys, rows[1].1.len()), (Keys::default(), 0), "empty cells are unknown ids");
    assert_eq!(rows[0].1, [InputValue { input: 0, number: 0.5, id: 0 }]);
    assert_eq!(all(&path, &format, BadLimit::Rows(0)).unwrap().0, rows);

    let bad = write(&dir, "bad.csv", b"clicked,uid,aid,slot\n1,u1,1,4294967296\n");
    let message = failure(&bad, &format, BadLimit::Rows(0));
    assert!(message.contains("line 2, slot") && message.contains("4294967296"), "{message}");
    columns.keys[0].integer = true;
    let message = failure(&path, &Format::Examples(columns.clone()), BadLimit::Rows(0));
    assert!(message.contains("row 0, uid") && message.contains("integer id"), "{message}");
    columns.keys[0].column = "user".to_owned();
    for file in [&path, &csv] {
        let message = failure(file, &Format::Examples(columns.clone()), BadLimit::Rows(0));
        assert!(message.contains("\"user\"") && message.contains("table `t`"), "{message}");
        assert!(message.contains(file.file_name().unwrap().to_str().unwrap()), "{message}");
    }
}
