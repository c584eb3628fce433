//! Table files: every row that goes in comes out, for any keys; the same rows give the same bytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::hash::mix;
use adclick::builder::table::{
    BuildOptions, Built, Cell, Column, ColumnKind, Duplicates, RowAt, RowLayout, Shard, Table, TableBuilder, TableSet,
    TableSpec,
};
use proptest::prelude::*;

fn columns() -> Vec<Column> {
    let kinds = [
        ColumnKind::F32,
        ColumnKind::U64 { cap: 2 },
        ColumnKind::F16,
        ColumnKind::Vector { dim: 3 },
        ColumnKind::U32 { cap: 1 },
    ];
    kinds.iter().enumerate().map(|(i, &kind)| Column { name: format!("c{i}"), kind }).collect()
}

fn spec(columns: Vec<Column>, shard: Shard) -> TableSpec {
    let default = RowLayout::new(columns.clone()).unwrap().missing();
    let (built_us, fresh_for_s, provenance) = (1_700_000_000_000_000, 3600, "from = \"a test\"\n".into());
    TableSpec { name: "things".into(), columns, default, built_us, fresh_for_s, shard, provenance }
}

fn options(duplicates: Duplicates, memory: usize, directory: &Path) -> BuildOptions {
    BuildOptions { duplicates, memory, spill: directory.to_owned() }
}

/// A row that its seed determines.
fn row(layout: &RowLayout, seed: u64) -> Vec<u8> {
    let mut row = layout.missing();
    let number = |n: u64| (mix(seed ^ n) >> 40) as f32 / 1024.0;
    layout.put(&mut row, 0, Cell::Number(number(1))).unwrap();
    let ids = [mix(seed), mix(seed + 1)];
    layout.put(&mut row, 1, Cell::Ids(&ids[..(seed % 3) as usize])).unwrap();
    if !seed.is_multiple_of(5) {
        layout.put(&mut row, 2, Cell::Number(number(2))).unwrap();
        layout.put(&mut row, 3, Cell::Vector(&[number(3), -number(4), 0.0])).unwrap();
    }
    layout.put(&mut row, 4, Cell::Ids(&[mix(seed) >> 32])).unwrap();
    row
}

fn build(rows: &[(u64, u64)], memory: usize, out: &Path, shard: Shard) -> adclick::Result<Built> {
    let directory = out.parent().unwrap();
    let mut builder = TableBuilder::new(spec(columns(), shard), options(Duplicates::KeepLast, memory, directory))?;
    let layout = builder.layout().clone();
    for &(key, seed) in rows {
        builder.push(key, &row(&layout, seed))?;
    }
    builder.finish(out, &mut |_| ())
}

fn open(path: &Path) -> Table {
    Table::open(Bytes::open(path, OpenMode::Map).unwrap()).unwrap()
}

/// Looks all keys up, those of the rows and others, one by one and in batches.
fn check(tables: Vec<Table>, rows: &HashMap<u64, u64>, others: &[u64]) {
    let layout = Arc::clone(tables[0].layout());
    let mut all = HashMap::new();
    for table in &tables {
        all.extend(table.iter().map(|(key, bytes)| (key, bytes.to_vec())));
    }
    let expected: HashMap<u64, Vec<u8>> = rows.iter().map(|(&key, &seed)| (key, row(&layout, seed))).collect();
    assert_eq!(all, expected);
    let set = TableSet::new(tables.into_iter().map(Arc::new).collect()).unwrap();
    assert_eq!(set.len(), rows.len() as u64);
    let keys: Vec<u64> = rows.keys().chain(others).copied().collect();
    for batch in [1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, keys.len().max(1)] {
        for keys in keys.chunks(batch).take(20) {
            let mut at = vec![RowAt::default(); keys.len()];
            set.find(keys, &mut at);
            for (key, at) in keys.iter().zip(at) {
                assert_eq!(at.is_some(), expected.contains_key(key), "key {key:#x}");
                let bytes = expected.get(key).map_or(set.default_row(), |row| row);
                assert_eq!((set.row(at), set.get(*key)), (bytes, expected.get(key).map(|r| &r[..])));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_put_in_come_out(
        keys in prop_oneof![
            proptest::collection::vec(1u64..50, 0..40),
            proptest::collection::vec(1u64.., 0..300),
            // Keys that differ in few bits, of either end.
            proptest::collection::vec((0u32..64, 1u64..4).prop_map(|(shift, low)| low.rotate_left(shift)), 0..120),
            (0usize..5000, 0u64..).prop_map(|(n, from)| (0..n as u64).map(|i| from.wrapping_add(i).max(1)).collect()),
        ],
        others in proptest::collection::vec(any::<u64>(), 0..50),
        memory in prop_oneof![Just(0usize), Just(1000), Just(1 << 20)],
        shards in prop_oneof![Just(1u32), Just(3)],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let rows: Vec<(u64, u64)> = keys.iter().enumerate().map(|(i, &key)| (key, i as u64)).collect();
        let mut tables = Vec::new();
        for index in 0..shards {
            let path = directory.path().join(format!("{index}.adc"));
            build(&rows, memory, &path, Shard { index, count: shards }).unwrap();
            tables.push(open(&path));
        }
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        prop_assert_eq!(left, shards as usize, "temporary files are left");
        check(tables, &rows.into_iter().collect(), &others);
    }
}

#[test]
fn many_rows_come_out_and_any_order_gives_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
    let rows: Vec<(u64, u64)> = (1..400_000).map(|i| (mix(i), i)).collect();
    let built = build(&rows, 1 << 30, &first, Shard::default()).unwrap();
    assert_eq!((built.rows, built.replaced), (rows.len() as u64, 0));
    assert_eq!(built.bytes, std::fs::metadata(&first).unwrap().len());
    assert!(built.slots < built.rows + built.rows / 20);
    let mut backwards: Vec<_> = rows.iter().rev().copied().collect();
    // What is replaced leaves no trace.
    backwards.insert(0, (rows[7].0, 1));
    assert_eq!(build(&backwards, 100_000, &second, Shard::default()).unwrap().replaced, 1);
    assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap());
    check(vec![open(&first)], &rows.into_iter().collect(), &(0..1000).collect::<Vec<_>>());
}

#[test]
fn keys_that_all_collide_under_the_first_seed_are_placed_under_another() {
    let directory = tempfile::tempdir().unwrap();
    // The keys whose hashes (docs/format.md) under seed 0 are 1 to 300: one bucket.
    const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
    let inverse = (0..6).fold(FACTOR, |x, _| x.wrapping_mul(2u64.wrapping_sub(FACTOR.wrapping_mul(x))));
    let unhash = |hash: u64| {
        let product = hash ^ (hash >> 29) ^ (hash >> 58);
        let x = product.wrapping_mul(inverse);
        mix(0) ^ x ^ (x >> 32)
    };
    let rows: Vec<(u64, u64)> = (1..=300).map(|hash| (unhash(hash), hash)).collect();
    let hash = |key: u64| {
        let k = mix(0) ^ key;
        let m = (k ^ (k >> 32)).wrapping_mul(FACTOR);
        m ^ (m >> 29)
    };
    assert!(rows.iter().all(|&(key, expected)| hash(key) == expected));
    for memory in [0, 1 << 20] {
        let path = directory.path().join("table");
        build(&rows, memory, &path, Shard::default()).unwrap();
        check(vec![open(&path)], &rows.iter().copied().collect(), &[1, 2, 3]);
    }
}

#[test]
fn what_cannot_be_built_is_refused_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("table");
    let new = |duplicates, memory| {
        TableBuilder::new(spec(columns(), Shard::default()), options(duplicates, memory, directory.path())).unwrap()
    };
    let mut builder = new(Duplicates::Refuse, 0);
    let layout = builder.layout().clone();
    assert!(builder.push(0, &row(&layout, 1)).unwrap_err().message.contains("row 1: key 0"));
    assert!(builder.push(9, &[0; 3]).unwrap_err().message.contains("3 bytes, the columns take 40"));
    let mut bad = row(&layout, 1);
    bad[layout.span(0).offset..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert!(builder.push(9, &bad).unwrap_err().message.contains("column `c0` (f32)"));
    for key in [5, 6, 5] {
        builder.push(key, &row(&layout, key)).unwrap();
    }
    let error = builder.finish(&out, &mut |_| ()).unwrap_err().message;
    assert!(error.contains("rows 4 and 6 have the same key 0x0000000000000005 (5)"), "{error}");
    let mut wrong = spec(columns(), Shard { index: 3, count: 3 });
    let refused = |spec: &TableSpec| {
        TableBuilder::new(spec.clone(), options(Duplicates::Refuse, 0, directory.path())).err().unwrap().message
    };
    assert!(refused(&wrong).contains("shard 3 of 3"));
    wrong.shard = Shard::default();
    wrong.default.pop();
    assert!(refused(&wrong).contains("default row"));
    drop(new(Duplicates::Refuse, 0));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn shards_of_different_tables_do_not_join() {
    let directory = tempfile::tempdir().unwrap();
    let path = |i| directory.path().join(format!("{i}"));
    let rows: Vec<(u64, u64)> = (1..100).map(|i| (i, i)).collect();
    let shard = |index| Shard { index, count: 2 };
    for i in 0..2 {
        build(&rows, 0, &path(i), shard(i)).unwrap();
    }
    let one = |i| Arc::new(open(&path(i)));
    let error = TableSet::new(vec![one(0), one(0)]).unwrap_err().message;
    assert!(error.contains("shard 0 of 2: the bundle has it twice"), "{error}");
    // A shard that is not there has no keys.
    let half = TableSet::new(vec![one(1)]).unwrap();
    let keys: Vec<u64> = (1..100).collect();
    let mut at = vec![RowAt::NONE; keys.len()];
    half.find(&keys, &mut at);
    for (&key, at) in keys.iter().zip(at) {
        assert_eq!(at.is_some(), adclick::shard(key, 2) == 1);
    }
    assert!(TableSet::new(Vec::new()).is_err());
}
