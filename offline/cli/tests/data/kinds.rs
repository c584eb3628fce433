//! Everything that real files hold is read, and is the same in text, Parquet and Arrow, for rows and for tables.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adclick::builder::table::{Checks, Duplicates};
use adclick::category_id;
use adclick_data::logs::{BadLimit, Format, Labels, LogFiles, LogRow};
use adclick_data::progress::{JobStage, Progress};
use adclick_data::schema_file::SchemaFile;
use adclick_data::tables::{self, DataFiles};
use adclick_train::bundle::open_table;
use arrow_array::builder::{
    BinaryViewBuilder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder, LargeListBuilder, ListBuilder,
    ListViewBuilder, StringBuilder,
};
use arrow_array::types::{Int8Type, UInt16Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, Decimal256Array, DictionaryArray,
    Float16Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, NullArray, RecordBatch, StringArray,
    StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn record(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn parquet(path: PathBuf, record: &RecordBatch, compression: Compression) -> PathBuf {
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), record.schema(), Some(properties)).unwrap();
    writer.write(record).unwrap();
    writer.close().unwrap();
    path
}

fn arrow(path: PathBuf, record: &RecordBatch) -> PathBuf {
    let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &record.schema()).unwrap();
    writer.write(record).unwrap();
    writer.finish().unwrap();
    path
}

/// A row's labels and values in a form that can be compared: click, conversion, weight, time, offset, (input, number, id).
type Seen = (Option<bool>, Option<bool>, f64, Option<i64>, i32, Vec<(u32, u32, u64)>);

fn source(path: &Path, schema: &str) -> LogFiles {
    let columns = SchemaFile::parse(schema).unwrap().data_columns().unwrap();
    LogFiles {
        limit: BadLimit::Rows(0),
        labels: Labels::Required,
        ..LogFiles::new(vec![path.to_owned()], Format::Examples(columns))
    }
}

fn read(path: &Path, schema: &str) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    source(path, schema).for_each(&JobStage::silent(), |batch| {
        seen.extend(batch.rows().iter().map(|row: &LogRow| {
            let values = batch.values(row).iter().map(|v| (v.input, v.number.to_bits(), v.id)).collect();
            (row.click, row.conversion, row.weight, row.time_us, row.utc_offset_s, values)
        }));
        Ok(())
    })?;
    Ok(seen)
}

fn refusal(path: &Path, schema: &str) -> String {
    format!("{:#}", read(path, schema).expect_err("must be refused"))
}

/// A feature of every kind; `time` is what [labels] says of the time.
fn schema(time: &str) -> String {
    format!(
        "[labels]\nclick = 'click'\nconversion = 'sale'\nweight = 'w'\n{time}\n\
         [[features]]\nname = 'n'\nkind = 'number'\n\
         [[features]]\nname = 's'\nkind = 'category'\nembedding = {{ dim = 2 }}\n\
         [[features]]\nname = 'i'\nkind = 'category'\nraw = 'integer'\nembedding = {{ dim = 2 }}\n\
         [[features]]\nname = 'l'\nkind = 'multi'\nraw = 'integer'\nseparator = '/'\nembedding = {{ dim = 2 }}\n\
         [[features]]\nname = 'v'\nkind = 'vector'\ndim = 2\nseparator = '/'\n"
    )
}

const ISO: &str = "time = 'at'";

/// Three rows. What is written may differ; what is read must not.
fn expected() -> Vec<Seen> {
    let one = 1.0f32.to_bits();
    let at = |seconds: i64| Some((1_413_849_600 + seconds) * 1_000_000);
    vec![
        (
            Some(true),
            Some(false),
            2.0,
            at(0),
            0,
            vec![
                (0, 3.0f32.to_bits(), 0),
                (1, one, category_id(b"7")),
                (2, one, 12),
                (3, one, 1),
                (3, one, 2),
                (4, 1.0f32.to_bits(), 0),
                (4, 2.0f32.to_bits(), 1),
            ],
        ),
        (Some(false), None, 0.0, at(86_400), 0, vec![]),
        (
            Some(false),
            Some(true),
            1.0,
            at(2 * 86_400),
            0,
            vec![(0, (-1.0f32).to_bits(), 0), (1, one, category_id(b"-8")), (2, one, u64::MAX), (3, one, 3)],
        ),
    ]
}

#[test]
fn text_is_read_however_it_was_written() {
    let dir = TempDir::new().unwrap();
    let header = "click,sale,w,at,n,s,i,l,v\n";
    let bodies = [
        "1,0,2,2014-10-21,3,7,12,1/2,1/2\n0,,0,2014-10-22,,,,,\n0,1,1,2014-10-23,-1,-8,-1,3,\n",
        "1.0,0.0,2.0,2014-10-21 00:00:00,3.0,7,12.0,1/2,1.0/2.0\n0.0,nan,0.0,2014-10-22 00:00:00,NaN,,nan,,\n\
         0.0,1.0,1.0,2014-10-23 00:00:00,-1.0,-8,-1.00,3.0,\n",
        "True,False,2,2014-10-21T00:00:00Z,3e0,7,12,1/2,1/2\nFalse,NULL,0,2014-10-22T00:00:00+00:00,NA,,None,,\n\
         FALSE,true,1,2014-10-23T09:00:00+09:00,-1,-8,-1,3,\n",
        "t,f,2,1413849600,3,7,12,1/2,1/2\nf,\\N,0,1413936000.0,\\N,,\\N,,\nf,t,1,1414022400,-1,-8,-1,3,\n",
        "\"1\",\"0\",\"2\",\"2014-10-21\",\"3\",\"7\",\"12\",\"1/2\",\"1/2\"\r\n0,,0,2014-10-22,,,,,\r\n\
         0,1,1,2014-10-23,-1,\"-8\",-1,3,\r\n",
    ];
    for (i, body) in bodies.iter().enumerate() {
        let text = header.to_owned() + body;
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&marked).unwrap();
        let files: [(&str, Vec<u8>); 7] = [
            ("plain", text.clone().into_bytes()),
            ("marked", marked.clone()),
            ("marked.gz", gz.finish().unwrap()),
            ("marked.zst", zstd::encode_all(&marked[..], 1).unwrap()),
            ("tsv", text.replace(',', "\t").into_bytes()),
            ("semicolons", text.replace(',', ";").into_bytes()),
            ("pipes", text.replace(',', "|").into_bytes()),
        ];
        for (name, bytes) in files {
            let path = write(&dir, name, &bytes);
            assert_eq!(read(&path, &schema(ISO)).unwrap(), expected(), "body {i}, {name}");
        }
    }
    let utf16: Vec<u8> = "\u{feff}click".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refusal(&write(&dir, "utf16", &utf16), &schema(ISO)).contains("UTF-16: save it as UTF-8"));
    // A comma inside a tab-separated header is a part of a name.
    let path = write(&dir, "names", "a,b,c,d\tclick\n1\t0\n".as_bytes());
    let small = "[labels]\nclick = 'click'\n[[features]]\nname = 'a,b,c,d'\nkind = 'number'\n";
    assert_eq!(read(&path, small).unwrap()[0].5, [(0, 1.0f32.to_bits(), 0)]);
}

/// Each column in every type in which real files have it.
fn columns() -> Vec<(&'static str, Vec<ArrayRef>)> {
    let times: Vec<i64> = (0..3).map(|day| 1_413_849_600 + day * 86_400).collect();
    let scaled = |by: i64| times.iter().map(|t| t * by).collect::<Vec<i64>>();
    let dictionary: DictionaryArray<Int8Type> = vec![Some("7"), None, Some("-8")].into_iter().collect();
    // A dictionary that itself holds null.
    let holes = DictionaryArray::<UInt16Type>::new(
        vec![0u16, 1, 2].into(),
        Arc::new(StringArray::from(vec![Some("7"), None, Some("-8")])),
    );
    let days = [16_364, 16_365, 16_366];
    let items = [vec![Some(1), Some(2)], vec![], vec![Some(3)]];
    let mut list = ListBuilder::new(Int32Builder::new());
    let mut large = LargeListBuilder::new(Int64Builder::new());
    let mut view = ListViewBuilder::new(Int32Builder::new());
    for row in &items {
        list.append_value(row.clone());
        large.append_value(row.iter().map(|i: &Option<i32>| i.map(i64::from)));
        view.append_value(row.clone());
    }
    let mut vectors = ListBuilder::new(StringBuilder::new());
    vectors.append_value([Some("1"), Some("2")]);
    vectors.append_null();
    vectors.append_null();
    let mut bytes = BinaryViewBuilder::new();
    [Some("7"), None, Some("-8")].iter().for_each(|text| bytes.append_option(*text));
    let decimal = |values: Vec<Option<i128>>, scale| {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(20, scale).unwrap()) as ArrayRef
    };
    let wide = |values: Vec<Option<i64>>| {
        let values: Vec<_> = values.into_iter().map(|v| v.map(arrow_buffer::i256::from)).collect();
        Arc::new(Decimal256Array::from(values).with_precision_and_scale(50, 1).unwrap()) as ArrayRef
    };
    let half = |values: [f32; 3]| Arc::new(Float16Array::from(values.map(half::f16::from_f32).to_vec())) as ArrayRef;
    let floats = |values: [f64; 3]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let nan = f64::NAN;
    vec![
        (
            "click",
            vec![
                Arc::new(BooleanArray::from(vec![true, false, false])),
                Arc::new(Int8Array::from(vec![1, 0, 0])),
                Arc::new(UInt64Array::from(vec![1, 0, 0])),
                floats([1.0, 0.0, 0.0]),
                half([1.0, 0.0, 0.0]),
                Arc::new(StringArray::from(vec!["1.0", "False", "0"])),
                decimal(vec![Some(10), Some(0), Some(0)], 1),
            ],
        ),
        (
            "sale",
            vec![
                Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)])),
                floats([0.0, nan, 1.0]),
                Arc::new(StringViewArray::from(vec![Some("false"), None, Some("True")])),
            ],
        ),
        (
            "w",
            vec![
                floats([2.0, 0.0, 1.0]),
                Arc::new(Int64Array::from(vec![2, 0, 1])),
                Arc::new(StringArray::from(vec!["2", "0", "1.0"])),
                decimal(vec![Some(200), Some(0), Some(100)], 2),
            ],
        ),
        (
            "at",
            vec![
                Arc::new(Int64Array::from(times.clone())),
                floats([times[0] as f64, times[1] as f64, times[2] as f64]),
                Arc::new(TimestampSecondArray::from(times.clone())),
                Arc::new(TimestampMillisecondArray::from(scaled(1000)).with_timezone("UTC")),
                Arc::new(TimestampMicrosecondArray::from(scaled(1_000_000)).with_timezone("Asia/Tokyo")),
                Arc::new(TimestampNanosecondArray::from(scaled(1_000_000_000)).with_timezone("+09:00")),
                Arc::new(TimestampNanosecondArray::from(scaled(1_000_000_000))),
                Arc::new(Date32Array::from(days.to_vec())),
                Arc::new(Date64Array::from(days.map(|d| i64::from(d) * 86_400_000).to_vec())),
                Arc::new(StringArray::from(vec!["2014-10-21", "2014-10-22 00:00:00", "2014-10-23T00:00:00Z"])),
            ],
        ),
        (
            "n",
            vec![
                floats([3.0, nan, -1.0]),
                Arc::new(Float32Array::from(vec![Some(3.0), None, Some(-1.0)])),
                half([3.0, f32::NAN, -1.0]),
                Arc::new(Int64Array::from(vec![Some(3), None, Some(-1)])),
                decimal(vec![Some(300), None, Some(-100)], 2),
                wide(vec![Some(30), None, Some(-10)]),
                Arc::new(StringArray::from(vec![Some("3"), Some("NaN"), Some("-1")])),
            ],
        ),
        (
            "s",
            vec![
                Arc::new(Int64Array::from(vec![Some(7), None, Some(-8)])),
                Arc::new(Int8Array::from(vec![Some(7), None, Some(-8)])),
                Arc::new(StringArray::from(vec![Some("7"), Some(""), Some("-8")])),
                Arc::new(StringViewArray::from(vec![Some("7"), None, Some("-8")])),
                Arc::new(BinaryArray::from(vec![Some(b"7" as &[u8]), None, Some(b"-8")])),
                Arc::new(bytes.finish()),
                Arc::new(dictionary),
                Arc::new(holes),
                decimal(vec![Some(7), None, Some(-8)], 0),
            ],
        ),
        (
            "i",
            vec![
                Arc::new(Int32Array::from(vec![Some(12), None, Some(-1)])),
                floats([12.0, nan, -1.0]),
                Arc::new(StringArray::from(vec![Some("12"), None, Some("-1.0")])),
                decimal(vec![Some(1200), None, Some(-100)], 2),
                wide(vec![Some(120), None, Some(-10)]),
            ],
        ),
        ("l", vec![Arc::new(list.finish()), Arc::new(large.finish()), Arc::new(view.finish())]),
        ("v", vec![Arc::new(vectors.finish()), Arc::new(StringArray::from(vec![Some("1/2"), None, Some("")]))]),
    ]
}

#[test]
fn columns_of_every_type_are_read_alike() {
    let dir = TempDir::new().unwrap();
    let all = columns();
    let most = all.iter().map(|(_, types)| types.len()).max().unwrap();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ];
    for i in 0..most {
        let record = record(all.iter().map(|(name, types)| (*name, types[i % types.len()].clone())).collect());
        let types = format!("{:?}", record.schema().fields().iter().map(|f| f.data_type()).collect::<Vec<_>>());
        let ipc = arrow(dir.path().join("x.arrow"), &record);
        assert_eq!(read(&ipc, &schema(ISO)).unwrap(), expected(), "Arrow, {types}");
        let mut stream = Vec::new();
        let mut writer = StreamWriter::try_new(&mut stream, &record.schema()).unwrap();
        writer.write(&record).unwrap();
        writer.finish().unwrap();
        drop(writer);
        assert_eq!(read(&write(&dir, "x", &stream), &schema(ISO)).unwrap(), expected(), "a stream, {types}");
        // Parquet knows no half floats in lists of dictionaries and the like, but all of these.
        let path = parquet(dir.path().join("x.parquet"), &record, codecs[i % codecs.len()]);
        assert_eq!(read(&path, &schema(ISO)).unwrap(), expected(), "Parquet, {:?}, {types}", codecs[i % codecs.len()]);
    }
    assert!(most >= codecs.len(), "every codec has its turn");
}

/// Columns of one type with what they are refused for or read as.
#[test]
fn what_cannot_be_read_says_why() {
    let dir = TempDir::new().unwrap();
    let with = |name: &str, column: ArrayRef| {
        let all =
            columns().into_iter().map(|(n, types)| (n, if n == name { column.clone() } else { types[0].clone() }));
        parquet(dir.path().join("x.parquet"), &record(all.collect()), Compression::SNAPPY)
    };
    let floats = |values: [f64; 3]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let mut uuids = FixedSizeBinaryBuilder::new(16);
    (0..3).for_each(|i| uuids.append_value([i; 16]).unwrap());
    let path = with("s", Arc::new(uuids.finish()));
    assert!(read(&path, &schema(ISO)).unwrap()[1].5.contains(&(1, 1.0f32.to_bits(), category_id(&[1; 16]))));
    let path = with("s", Arc::new(BooleanArray::from(vec![true, false, true])));
    assert!(read(&path, &schema(ISO)).unwrap()[1].5.contains(&(1, 1.0f32.to_bits(), category_id(b"false"))));
    let path = with("s", Arc::new(NullArray::new(3)));
    assert!(read(&path, &schema(ISO)).unwrap().iter().all(|row| row.5.iter().all(|v| v.0 != 1)));
    let millis = Arc::new(Int64Array::from(vec![1_413_849_600_000; 3]));
    let cases: Vec<(&str, ArrayRef, &[&str])> = vec![
        ("n", floats([f64::INFINITY, 0.0, 0.0]), &["row 0, n: expected a finite number", "inf"]),
        ("i", floats([2.5, 0.0, 0.0]), &["row 0, i: expected an integer of 64 bits", "2.5"]),
        ("i", floats([9_007_199_254_740_994.0, 0.0, 0.0]), &["i: expected an integer: floats are exact up to 2^53"]),
        ("s", floats([1.0, 0.0, 0.0]), &["s: expected a string or an integer", "a float or time has no one text"]),
        ("w", floats([-1.0, 0.0, 0.0]), &["w: expected a weight of 0 or more", "-1"]),
        ("w", floats([f64::NAN, 0.0, 0.0]), &["w: expected a weight of 0 or more"]),
        ("w", floats([f64::INFINITY, 0.0, 0.0]), &["w: expected a weight of 0 or more", "inf"]),
        ("click", floats([0.5, 0.0, 0.0]), &["click: expected a label of 0 or 1", "0.5"]),
        ("click", floats([f64::NAN, 0.0, 0.0]), &["click: expected a label of 0 or 1"]),
        ("at", millis.clone(), &["at: expected seconds since 1970", "time_unit = \"ms\"", "1413849600000"]),
        ("at", Arc::new(UInt64Array::from(vec![u64::MAX; 3])), &["at: expected seconds", "18446744073709551615"]),
        ("at", Arc::new(TimestampSecondArray::from(vec![1_413_849_600_000; 3])), &["at: expected a time from 1900"]),
    ];
    for (name, column, needles) in cases {
        let message = refusal(&with(name, column), &schema(ISO));
        for needle in needles {
            assert!(message.contains(needle), "`{needle}` is not in: {message}");
        }
    }
    assert_eq!(read(&with("at", millis), &schema("time = 'at'\ntime_unit = 'ms'")).unwrap()[0].3, expected()[0].3);
}

#[test]
fn lines_of_malformed_rows_are_those_of_an_editor() {
    let dir = TempDir::new().unwrap();
    let small = "[labels]\nclick = 'click'\n[[features]]\nname = 'c'\nkind = 'category'\nembedding = { dim = 1 }\n\
                 [[features]]\nname = 'n'\nkind = 'number'\n";
    let lines = ["click,c,n", "0,a,1", "0,a,zz", "1,\"two", "lines\",2", "# a remark", "", "0,\"a\"\"b\",yy", "1,x,1"];
    for end in ["\n", "\r\n"] {
        let text = lines.join(end) + end;
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).unwrap();
        for (name, bytes) in [("plain", text.clone().into_bytes()), ("gz", gz.finish().unwrap())] {
            let path = write(&dir, name, &bytes);
            let read = LogFiles { limit: BadLimit::Rows(9), ..source(&path, small) }
                .for_each(&JobStage::silent(), |_| Ok(()))
                .unwrap();
            let found: Vec<&str> = read.bad.first.iter().map(|m| m.split(", ").nth(1).unwrap()).collect();
            assert_eq!(found, ["line 3", "line 6", "line 8"], "{name}, {end:?}");
        }
        // Far into the file, past what is held of it, and behind lines of every kind.
        let filler = format!("1,\"a{end}b\",2{end}{end}");
        let text = format!("click,c,n{end}{}0,a,zz{end}", filler.repeat(40_000));
        let message = refusal(&write(&dir, "long", text.as_bytes()), small);
        assert!(message.contains("line 120002, n: expected a finite number, found \"zz\""), "{end:?}: {message}");
    }
}

#[test]
fn files_in_which_all_rows_are_malformed_say_so() {
    let dir = TempDir::new().unwrap();
    let small = "[labels]\nclick = 'click'\n[[features]]\nname = 'n'\nkind = 'number'\n";
    let path = write(&dir, "x.csv", b"click,n\n2,1\n0,many\n");
    let whole = LogFiles { limit: BadLimit::Default, ..source(&path, small) };
    let message = format!("{:#}", whole.for_each(&JobStage::silent(), |_| Ok(())).unwrap_err());
    for needle in ["x.csv: all 2 rows are malformed", "line 2, click: expected a label", "line 3, n: expected a finite"]
    {
        assert!(message.contains(needle), "`{needle}` is not in: {message}");
    }
    let users = "[[tables]]\nname = 'users'\nkey = 'user'\ncolumns = [{ name = 'n', type = 'f32' }]\n\
                 [[features]]\nname = 'n'\nsource = 'user'\nkind = 'number'\ncolumn = 'users.n'\n";
    let table = SchemaFile::parse(users).unwrap().feature_tables.remove(0);
    let path = write(&dir, "users.csv", b"user_id,n\nu1,many\n");
    let data = DataFiles { paths: vec![path], limit: BadLimit::Default };
    let message = format!("{:#}", data.for_each(&table, &JobStage::silent(), |_| Ok(())).err().unwrap());
    assert!(message.contains("users.csv: all 1 rows are malformed") && message.contains("line 2, n"), "{message}");
}

/// The same kinds in the cells and the keys of a table.
#[test]
fn tables_read_the_same_kinds() {
    let dir = TempDir::new().unwrap();
    let text = "[[tables]]\nname = 't'\nkey = 'user'\ncolumns = [\n\
                { name = 'n', type = 'f32' }, { name = 's', type = 'u64' }, { name = 'i', type = 'u32' },\n\
                { name = 'l', type = 'u32', cap = 2, separator = '/' },\n\
                { name = 'v', type = 'vector', dim = 2, separator = '/' }]\n\
                [[features]]\nname = 'f'\nsource = 'user'\nkind = 'number'\ncolumn = 't.n'\n";
    let table = SchemaFile::parse(text).unwrap().feature_tables.remove(0);
    let build = |path: PathBuf| {
        let folder = TempDir::new().unwrap();
        let options = tables::TableOptions {
            duplicates: Duplicates::Refuse,
            as_of: Some(0),
            shard: None,
            memory: 1 << 20,
            spill: folder.path().to_owned(),
        };
        let data = DataFiles { paths: vec![path], limit: BadLimit::Rows(0) };
        let summary = tables::build(&table, &data, &options, folder.path(), &Progress::silent()).unwrap();
        std::fs::read(&summary.files[0]).unwrap()
    };
    let csv = |body: &str| write(&dir, "t.csv", format!("user_id,n,s,i,l,v\n{body}").as_bytes());
    let want = build(csv("7,3,7,12,1/2,1/2\n8,,,,,\n9,-1,-8,5,3,\n"));
    for body in [
        "7,3.0,7,12.0,1/2,1.0/2.0\n8,nan,,NaN,,\n9,-1e0,-8,5.0,3.0,\n",
        "7,3,7,12,1/2,1/2\n8,NULL,,\\N,,\n9,-1,-8,5,3,\n",
    ] {
        assert!(build(csv(body)) == want, "{body}");
    }
    let all = columns();
    for i in 0..9 {
        let mut columns: Vec<(&str, ArrayRef)> = all
            .iter()
            .filter(|(name, _)| ["n", "s", "l", "v"].contains(name))
            .map(|(name, types)| (*name, types[i % types.len()].clone()))
            .collect();
        let ids: [ArrayRef; 3] = [
            Arc::new(Int32Array::from(vec![Some(12), None, Some(5)])),
            Arc::new(Float64Array::from(vec![12.0, f64::NAN, 5.0])),
            Arc::new(StringArray::from(vec![Some("12"), None, Some("5.0")])),
        ];
        let users: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(vec![7, 8, 9])), Arc::new(StringArray::from(vec!["7", "8", "9"]))];
        columns.push(("i", ids[i % 3].clone()));
        columns.push(("user_id", users[i % 2].clone()));
        assert!(build(parquet(dir.path().join("t.parquet"), &record(columns), Compression::SNAPPY)) == want, "{i}");
    }
    let path = write(&dir, "t.adc", &want);
    let packed = open_table(&path, Checks::Full).unwrap();
    assert_eq!(
        packed.layout().ids(packed.get(category_id(b"9")).unwrap(), 1).collect::<Vec<_>>(),
        [category_id(b"-8")]
    );
    assert_eq!(packed.len(), 3);
}
