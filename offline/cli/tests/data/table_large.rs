//! A table of ten million rows, built and looked up for real.

use std::sync::Arc;

use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::hash::mix;
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowAt, RowLayout, Shard, Table, TableBuilder, TableSet,
    TableSpec,
};

const ROWS: u64 = 10_000_000;

/// A bijection: even numbers have rows, odd ones have none.
fn key(number: u64) -> u64 {
    mix(number + 1)
}

fn value(row: u64) -> f32 {
    (row % (1 << 24)) as f32 - 0.5
}

#[test]
fn ten_million_rows_are_found_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let columns = vec![Column { name: "value".into(), kind: ColumnKind::F32 }];
    let layout = RowLayout::new(columns.clone()).unwrap();
    let spec = TableSpec {
        name: "large".into(),
        columns,
        default: layout.missing(),
        built_us: 0,
        fresh_for_s: 0,
        shard: Shard::default(),
        provenance: String::new(),
    };
    let spill = directory.path().to_owned();
    let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 64 << 20, spill };
    let mut builder = TableBuilder::new(spec, options).unwrap();
    let mut row = layout.missing();
    for i in 0..ROWS {
        layout.put(&mut row, 0, Cell::Number(value(i))).unwrap();
        assert!(builder.push(key(2 * i), &row).unwrap());
    }
    let path = directory.path().join("large.adc");
    let mut told = 0;
    let built = builder.finish(&path, &mut |rows| told = rows).unwrap();
    assert_eq!((built.rows, built.replaced, told), (ROWS, 0, ROWS));
    assert!(built.slots > ROWS + ROWS / 32 && built.slots < ROWS + ROWS / 20, "{} slots", built.slots);

    let table = Arc::new(Table::open(Bytes::open(&path, OpenMode::Map).unwrap()).unwrap());
    assert_eq!((table.len(), table.slots(), table.stride()), (ROWS, built.slots, 16));
    let pilots = table.sections().iter().find(|s| s.name == "pilots").unwrap().len as u64;
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert_eq!(bytes, built.bytes);
    // Slots, pilots, and little besides.
    assert!((0..4096).contains(&(bytes - built.slots * 16 - pilots)), "{bytes} bytes");
    assert!(pilots / 2 >= ROWS / 6 && pilots / 2 < ROWS / 5, "{pilots} bytes of pilots");

    let set = TableSet::new(vec![table]).unwrap();
    let mut at = [RowAt::NONE; 1000];
    let mut keys = [0u64; 1000];
    for first in (0..2 * ROWS).step_by(keys.len()) {
        (first..).zip(&mut keys).for_each(|(number, k)| *k = key(number));
        set.find(&keys, &mut at);
        for (number, at) in (first..).zip(at) {
            assert_eq!(at.is_some(), number % 2 == 0, "number {number}");
            let expected = (number % 2 == 0).then(|| value(number / 2));
            assert_eq!(layout.number(set.row(at), 0, 0), expected, "number {number}");
        }
    }
    assert!(set.get(key(0)).is_some() && set.get(key(1)).is_none() && set.get(0).is_none());
}
