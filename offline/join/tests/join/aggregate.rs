//! Feature tables of joined rows, and rows with the features that were known.

use std::collections::BTreeMap;

use adclick_data::progress::Progress;
use adclick_join::aggregate::{Done, Job, aggregate};
use adclick_join::simulate::EventRow;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int64Type, UInt64Type};

use crate::support::{BEGIN, DAY, HOUR, SECOND, batches, decision, directory, event, files, job, join, segments};

fn count(joined: &std::path::Path, out: &std::path::Path, as_of_us: Option<i64>) -> Done {
    let job = Job {
        joined: joined.to_owned(),
        out: out.to_owned(),
        as_of_us,
        smoothing: 10.0,
        daily_cap: 4.0,
        categories: Some(joined.join("../categories.csv")),
        examples: true,
        threads: 2,
    };
    aggregate(&job, &Progress::silent()).unwrap()
}

#[test]
fn tables_count_what_was_known_and_examples_what_was_known_before_their_hour() {
    let at = directory();
    let (logs, joined, out) = (at.path().join("logs"), at.path().join("joined"), at.path().join("tables"));
    std::fs::write(at.path().join("categories.csv"), "ad,category\n101,5\n102,5\n103,6\n").unwrap();
    // One user sees three ads at 0:30, 1:30 and 2:30; the first is clicked at 2:10, the others at once.
    let times = [0, 1, 2].map(|h| BEGIN + h * HOUR + HOUR / 2);
    let decisions: Vec<_> = (0..3).map(|n| decision(n as u128 + 1, times[n], 7)).collect();
    let mut events: Vec<EventRow> = (0..3).map(|n| event(1, n as u128 + 1, times[n] + SECOND)).collect();
    events.push(event(3, 1, BEGIN + 2 * HOUR + HOUR / 6));
    events.extend([event(3, 2, times[1] + 5 * SECOND), event(3, 3, times[2] + 5 * SECOND)]);
    segments(&logs, "1", &decisions, &events);
    join(&job(&logs, &joined));

    let done = count(&joined, &out, Some(BEGIN + 3 * HOUR));
    assert_eq!((done.hours_counted, done.hours, done.examples), (3, 3, 3));
    let tables = [("users", 1), ("ads", 3), ("advertisers", 1), ("user_advertiser", 1), ("user_category", 2)];
    assert_eq!(done.tables, tables.map(|(name, n)| (name.to_owned(), n)).into());
    let users = &batches(&out.join("users.parquet"))[0];
    let long = |name: &str| users.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    let float = |name: &str| users.column_by_name(name).unwrap().as_primitive::<Float32Type>().value(0);
    assert_eq!(users.column_by_name("user_id").unwrap().as_primitive::<UInt64Type>().value(0), 7);
    assert_eq!((long("impressions_7d"), long("clicks_7d")), (3, 3));
    assert_eq!((float("ctr_7d"), float("frequency_cap_remaining")), (1.0, 0.25));

    // Each row sees the clicks that had come before its own hour: none, none, then one of two.
    let mut seen = BTreeMap::new();
    for path in files(&out.join("examples")).keys() {
        for batch in batches(&out.join("examples").join(path)) {
            let id = batch.column_by_name("impression_id").unwrap().as_primitive::<Int64Type>().value(0);
            let long = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
            seen.insert(id, (long("user_impressions_7d"), long("user_clicks_7d"), long("ad_impressions_7d")));
        }
    }
    assert_eq!(seen, BTreeMap::from([(1, (0, 0, 0)), (2, (1, 0, 0)), (3, (2, 1, 0))]));

    // A later hour: only what changed is counted again, and the day's window has moved on.
    let more = decision(9, BEGIN + DAY + HOUR, 7);
    segments(&logs, "2", &[more], &[event(1, 9, BEGIN + DAY + HOUR + SECOND)]);
    join(&job(&logs, &joined));
    let done = count(&joined, &out, Some(BEGIN + DAY + 2 * HOUR));
    assert!(done.hours_counted < done.hours, "{done:?}");
    let users = &batches(&out.join("users.parquet"))[0];
    let long = |name: &str| users.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    assert_eq!((long("impressions_1d"), long("impressions_7d"), long("clicks_1d")), (2, 4, 2));
    // Counted in one go, it is the same.
    let whole = at.path().join("whole");
    count(&joined, &whole, Some(BEGIN + DAY + 2 * HOUR));
    let tables = |out: &std::path::Path| {
        files(out).into_iter().filter(|(path, _)| !path.starts_with("_counters")).collect::<Vec<_>>()
    };
    assert_eq!(tables(&out), tables(&whole));
}
