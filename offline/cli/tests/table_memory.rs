//! Building a table takes the memory that docs/tables.md says, however many rows there are. Measured in a process of its own.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use adclick::builder::table::Duplicates;
use adclick_data::logs::BadLimit;
use adclick_data::progress::Progress;
use adclick_data::schema_file::SchemaFile;
use adclick_data::tables::{self, DataFiles, TableOptions};

const ROWS: u64 = 2_000_000;
/// Room for six ids, of which the data has none, and a number: 56 bytes.
const SCHEMA: &str = r#"
[[tables]]
name = "users"
key = "user"
raw = "integer"
columns = [{ name = "rate", type = "f32" }, { name = "brands", type = "u64", cap = 6, separator = ";" }]
[[features]]
name = "rate"
source = "user"
kind = "number"
column = "users.rate"
"#;
/// Bytes of a row while it waits: 16 beside it.
const RECORD: u64 = 72;
const SLOT: u64 = 64;
const MB: u64 = 1 << 20;

/// Set for the process that builds and is measured: the folder, and megabytes for rows that wait.
const FOLDER: &str = "ADCLICK_TEST_TABLE_MEMORY_FOLDER";
const MEMORY: &str = "ADCLICK_TEST_TABLE_MEMORY_MB";

/// The most memory that this process had so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// What the process that is measured does: builds the table, and tells by how much its peak grew.
fn build(folder: PathBuf, memory: u64) {
    let before = peak();
    let table = SchemaFile::parse(SCHEMA).unwrap().feature_tables.remove(0);
    let data = DataFiles { paths: vec![folder.join("users.csv")], limit: BadLimit::Rows(0) };
    let options = TableOptions {
        duplicates: Duplicates::Refuse,
        as_of: Some(0),
        shard: None,
        memory: (memory * MB) as usize,
        spill: folder.clone(),
    };
    let out = folder.join(format!("out{memory}"));
    std::fs::create_dir(&out).unwrap();
    let summary = tables::build(&table, &data, &options, &out, &Progress::silent()).unwrap();
    assert_eq!(summary.rows, ROWS);
    println!("grew by {} bytes", peak() - before);
}

/// The same in a process of its own.
fn measured(folder: &Path, memory: u64) -> u64 {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "building_takes_the_memory_that_is_documented", "--nocapture"])
        .env(FOLDER, folder)
        .env(MEMORY, memory.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    let grown = text.split("grew by ").nth(1).and_then(|t| t.split(' ').next()).unwrap();
    grown.parse().unwrap()
}

#[test]
fn building_takes_the_memory_that_is_documented() {
    if let (Some(folder), Ok(memory)) = (std::env::var_os(FOLDER), std::env::var(MEMORY)) {
        return build(folder.into(), memory.parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut csv = std::io::BufWriter::new(std::fs::File::create(folder.path().join("users.csv")).unwrap());
    writeln!(csv, "user_id,rate,brands").unwrap();
    for i in 1..=ROWS {
        writeln!(csv, "{i},{},", i % 1000).unwrap();
    }
    csv.into_inner().unwrap();
    let all = ROWS * RECORD;
    // Slots of a part, and what the reader of the CSV file and the allocator hold besides.
    let documented = |memory: u64| 2 * memory * MB + all / 256 + ROWS / 2 + 135_000 * SLOT + 14 * MB;
    let grown = measured(folder.path(), 16);
    println!("{} MB of rows, 16 MB wait: the peak grew by {} MB", all / MB, grown / MB);
    assert!(grown <= documented(16), "{grown} bytes, documented are {}", documented(16));
    // The measure would see rows that are all held, and they are what the limit holds back.
    let held = measured(folder.path(), 512);
    assert!(held > all && all > documented(16), "{held} bytes when all {all} bytes of rows wait");
}
