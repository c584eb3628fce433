//! What tests share: running the join over records, and reading what it wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adclick_data::progress::Progress;
use adclick_join::options::Options;
use adclick_join::run::{Done, Job, run};
use adclick_join::simulate::{DecisionRow, EventRow, write};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// 2026-10-20T00:00:00Z: the clocks of Berlin change five days later, those of Los Angeles twelve.
pub const BEGIN: i64 = 1_792_454_400 * SECOND;

/// In memory where there is such a file system: a run syncs every file.
pub fn directory() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

pub fn job(logs: &Path, out: &Path) -> Job {
    Job {
        logs: vec![logs.to_owned()],
        out: out.to_owned(),
        options: Options::default(),
        as_of_us: None,
        threads: 1,
        part_rows: None,
    }
}

/// Writes records as a segment of each kind.
pub fn segments(logs: &Path, name: &str, decisions: &[DecisionRow], events: &[EventRow]) {
    std::fs::create_dir_all(logs).unwrap();
    if !decisions.is_empty() {
        write(&logs.join(format!("decisions-{name}.avro")), decisions).unwrap();
    }
    if !events.is_empty() {
        write(&logs.join(format!("events-{name}.avro")), events).unwrap();
    }
}

pub fn join(job: &Job) -> Done {
    run(job, &Progress::silent()).unwrap()
}

/// All files of the output but the state, by their paths.
pub fn files(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(at: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(at).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "_state" {
                    walk(&path, root, found);
                }
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(out, out, &mut found);
    found
}

/// A row, as far as tests look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: u128,
    pub click: i32,
    pub clicks: i32,
    pub click_us: Option<i64>,
    pub conversion: Option<i32>,
    pub post_click: Option<i32>,
    pub conversions: i32,
    pub conversion_us: Option<i64>,
    pub touch: Option<String>,
    pub value: i64,
    pub mature: bool,
    pub rendered_us: i64,
    pub weight: f64,
    pub propensity: Option<f64>,
    pub flags: i32,
    pub bill_click: bool,
    pub dwell_us: Option<i64>,
    pub feedback: i32,
}

pub fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

fn parquet(out: &Path, dataset: &str) -> Vec<RecordBatch> {
    let files = files(&out.join(dataset));
    files.keys().flat_map(|path| batches(&out.join(dataset).join(path))).collect()
}

/// The rows of the output, by impression id.
pub fn rows(out: &Path) -> BTreeMap<u128, Row> {
    let mut rows = BTreeMap::new();
    for batch in parquet(out, "rows") {
        let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
        let long = |name: &str, row| {
            let column = column(name).as_primitive::<Int64Type>();
            (!column.is_null(row)).then(|| column.value(row))
        };
        let int = |name: &str, row| {
            let column = column(name).as_primitive::<Int32Type>();
            (!column.is_null(row)).then(|| column.value(row))
        };
        let double = |name: &str, row| {
            let column = column(name).as_primitive::<Float64Type>();
            (!column.is_null(row)).then(|| column.value(row))
        };
        for row in 0..batch.num_rows() {
            let high = long("impression_id_high", row).unwrap() as u64;
            let id = (u128::from(high) << 64) | u128::from(long("impression_id", row).unwrap() as u64);
            let touch = column("touch").as_string::<i32>();
            let found = Row {
                id,
                click: int("label_click", row).unwrap(),
                clicks: int("clicks", row).unwrap(),
                click_us: long("click_us", row),
                conversion: int("label_conversion", row),
                post_click: int("label_post_click", row),
                conversions: int("conversions", row).unwrap(),
                conversion_us: long("conversion_us", row),
                touch: (!touch.is_null(row)).then(|| touch.value(row).to_owned()),
                value: long("value_micros", row).unwrap(),
                mature: column("mature").as_boolean().value(row),
                rendered_us: long("rendered_us", row).unwrap(),
                weight: double("weight", row).unwrap(),
                propensity: double("propensity", row),
                flags: int("row_flags", row).unwrap(),
                bill_click: column("bill_click").as_boolean().value(row),
                dwell_us: long("dwell_us", row),
                feedback: int("feedback", row).unwrap(),
            };
            assert!(rows.insert(id, found).is_none(), "two rows of one impression");
        }
    }
    rows
}

/// How many records were set aside, by kind and reason.
pub fn aside(out: &Path) -> BTreeMap<(String, String), u64> {
    let mut found = BTreeMap::new();
    for batch in parquet(out, "set_aside") {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (kinds, reasons) = (text("kind"), text("reason"));
        for row in 0..batch.num_rows() {
            *found.entry((kinds.value(row).to_owned(), reasons.value(row).to_owned())).or_default() += 1;
        }
    }
    found
}

pub fn decision(id: u128, time_us: i64, user: i64) -> DecisionRow {
    DecisionRow {
        time_us,
        request_id: id as i64,
        user: Some(user),
        ad: Some(100 + id as i64),
        campaign: Some(10),
        advertiser: Some(1),
        id,
        placement: 1,
        propensity: 0.25,
        ..DecisionRow::default()
    }
}

pub fn event(kind: i32, id: u128, time_us: i64) -> EventRow {
    EventRow { kind, id: Some(id), time_us, received_us: time_us, agent_class: 1, ..EventRow::default() }
}

pub fn order(order: i64, time_us: i64, value: i64) -> EventRow {
    EventRow {
        id: None,
        order_id: Some(order),
        advertiser: Some(1),
        conversion_kind: Some(0),
        value_micros: Some(value),
        ..event(5, 0, time_us)
    }
}
