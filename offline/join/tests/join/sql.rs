//! The join in SQL gives the same rows (examples/spark): needs a Python with the packages of its requirements.

use std::path::Path;
use std::process::Command;

use adclick_join::simulate::{Market, SegmentWriter};

use crate::support::{HOUR, SECOND, directory, job, join};

/// 2026-10-24T00:00:00Z: the clocks of Berlin change the next day, those of Los Angeles within the windows of what comes last.
const BEGIN: i64 = 1_792_800_000 * SECOND;

fn market(logs: &Path, requests: u64, hours: i64) {
    std::fs::create_dir_all(logs).unwrap();
    let market =
        Market { seed: 7, begin_us: BEGIN, length_us: hours * HOUR, requests, users: 1 + requests / 20, bots: 0.05 };
    let mut decisions = SegmentWriter::create(&logs.join("decisions-1.avro")).unwrap();
    let mut events = SegmentWriter::create(&logs.join("events-1.avro")).unwrap();
    let made = market.run(|decision, happened, _| {
        decisions.push(decision)?;
        happened.iter().try_for_each(|event| events.push(*event))
    });
    made.and_then(|()| decisions.finish()).and_then(|()| events.finish()).unwrap();
}

/// `ADCLICK_SQL_PYTHON`: the interpreter. `ADCLICK_SQL_ENGINES`: duckdb, or duckdb,spark; then `ADCLICK_SQL_JAR` is Spark's package
/// for Avro. `ADCLICK_SQL_REQUESTS`: how large.
#[test]
fn sql_engines_give_the_same_rows_in_every_time_zone() {
    let Ok(python) = std::env::var("ADCLICK_SQL_PYTHON") else {
        println!(
            "skipped: ADCLICK_SQL_PYTHON names no Python with duckdb, fastavro, polars, pandas and pyarrow (make test-sql)"
        );
        return;
    };
    let set = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let requests: u64 = set("ADCLICK_SQL_REQUESTS", "10000").parse().unwrap();
    let at = directory();
    let (logs, out) = (at.path().join("logs"), at.path().join("out"));
    market(&logs, requests, 200);
    let done = join(&job(&logs, &out));
    let fates = &done.summary.fates;
    println!("{}", serde_json::to_string(&done).unwrap());
    // What is compared has something of everything.
    for fate in [
        "conversion.click",
        "conversion.view",
        "conversion.retracted",
        "conversion.restatement",
        "conversion.duplicate",
        "click.duplicate",
    ] {
        assert!(fates.get(fate) > 0, "no {fate}");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/spark/compare.py");
    let status = Command::new(python)
        .arg(script)
        .args([&logs, &out])
        .args(["--engines", &set("ADCLICK_SQL_ENGINES", "duckdb"), "--jar", &set("ADCLICK_SQL_JAR", "")])
        .status()
        .unwrap();
    assert!(status.success());
}
