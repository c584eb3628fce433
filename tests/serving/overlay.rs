//! Row overlays: against a plain map, under concurrent writers and readers, at their bounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adclick::builder::hash::mix;
use adclick::builder::overlay::{Batch, Below, ColumnValue, Freshness, Operation, Overlay, UpsertCounts};
use adclick::builder::table::{Cell, Column, ColumnKind, RowLayout};
use adclick::{Error, Result, Row, Status};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

const KINDS: [ColumnKind; 7] = [
    ColumnKind::F32,
    ColumnKind::F16,
    ColumnKind::Vector { dim: 5 },
    ColumnKind::U32 { cap: 1 },
    ColumnKind::U32 { cap: 3 },
    ColumnKind::U64 { cap: 2 },
    ColumnKind::F32,
];

fn layout(kinds: &[ColumnKind]) -> Arc<RowLayout> {
    let columns = kinds.iter().enumerate().map(|(i, &kind)| Column { name: format!("c{i}"), kind }).collect();
    Arc::new(RowLayout::new(columns).unwrap())
}

/// Handles of these tests: the column and 100.
fn column(handle: u32) -> Result<usize> {
    match handle {
        100..107 => Ok(handle as usize - 100),
        _ => Err(Error::new(Status::InvalidArgument, format!("handle {handle} is no column"))),
    }
}

/// For what does not read the table below.
const BARE: Below<'_> = Below { fresh: Freshness { built_s: 0, oldest_s: 0 }, row: &|_| None, default: &[] };

/// What a cell holds, as the model keeps it.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Missing,
    Number(f32),
    Vector(Vec<f32>),
    Ids(Vec<u64>),
}

impl Content {
    fn random(kind: ColumnKind, random: &mut Random) -> Self {
        let mut number = || random.below(4001) as f32 / 16.0 - 100.0;
        match kind {
            ColumnKind::F32 | ColumnKind::F16 => Self::Number(number()),
            ColumnKind::Vector { dim } => Self::Vector((0..dim).map(|_| number()).collect()),
            ColumnKind::U32 { cap } => {
                Self::Ids((0..1 + random.below(cap.into())).map(|_| random.below(1 << 32)).collect())
            }
            ColumnKind::U64 { cap } => {
                Self::Ids((0..1 + random.below(cap.into())).map(|_| random.below(u64::MAX)).collect())
            }
        }
    }

    fn put(&self, layout: &RowLayout, row: &mut [u8], column: usize) {
        let cell = match self {
            Self::Missing => Cell::Missing,
            Self::Number(number) => Cell::Number(*number),
            Self::Vector(numbers) => Cell::Vector(numbers),
            Self::Ids(ids) => Cell::Ids(ids),
        };
        layout.put(row, column, cell).unwrap();
    }

    fn values(&self, column: usize) -> Vec<ColumnValue> {
        let column = 100 + column as u32;
        match self {
            Self::Missing => vec![],
            Self::Number(number) => vec![ColumnValue { column, number: *number, id: 0 }],
            // From the last position to the first: the order is free.
            Self::Vector(numbers) => {
                let positions = numbers.iter().enumerate().rev();
                positions.map(|(i, &number)| ColumnValue { column, number, id: i as u64 }).collect()
            }
            Self::Ids(ids) => ids.iter().map(|&id| ColumnValue { column, number: 0.0, id }).collect(),
        }
    }
}

/// The table below: every row is made from its key.
fn base_rows(layout: &RowLayout, keys: u64, random: &mut Random) -> Vec<Vec<u8>> {
    let row = |_| {
        let mut row = layout.missing();
        for (column, c) in layout.columns().iter().enumerate() {
            if random.chance(80) {
                Content::random(c.kind, random).put(layout, &mut row, column);
            }
        }
        row
    };
    (0..=keys).map(row).collect()
}

/// The overlay as a plain map.
#[derive(Default)]
struct Plain(HashMap<(u64, usize), (u32, Content)>);

impl Plain {
    fn read(&self, layout: &RowLayout, key: u64, base: &[u8], oldest: u32) -> (Vec<u8>, bool) {
        let (mut row, mut any) = (base.to_vec(), false);
        for column in 0..layout.columns().len() {
            if let Some((_, content)) = self.0.get(&(key, column)).filter(|(time, _)| *time >= oldest) {
                content.put(layout, &mut row, column);
                any = true;
            }
        }
        (row, any)
    }

    /// (written, stale)
    fn replace(&mut self, key: u64, column: usize, time: u32, oldest: u32, content: Content) -> (bool, bool) {
        let newer = self.0.get(&(key, column)).is_some_and(|(last, _)| *last > time);
        if newer || time < oldest {
            return (false, true);
        }
        self.0.insert((key, column), (time, content));
        (true, false)
    }

    fn add(
        &mut self,
        layout: &RowLayout,
        (key, column): (u64, usize),
        time: u32,
        oldest: u32,
        below: [Option<&[u8]>; 2],
        delta: f32,
    ) -> (bool, bool) {
        if time < oldest {
            return (false, true);
        }
        // As the column holds it.
        let rounded = |number: f32| match layout.columns()[column].kind {
            ColumnKind::F16 => half::f16::from_f32(number).to_f32(),
            _ => number,
        };
        // Its own fresh value, the table's own row only when there is no such write, the default row.
        let own = self.0.get(&(key, column)).filter(|(last, _)| *last >= oldest).map(|(_, content)| content);
        let number = |row: Option<&[u8]>| row.and_then(|row| layout.number(row, column, 0));
        let now = match own {
            Some(Content::Number(number)) => Some(rounded(*number)),
            Some(_) => None,
            None => number(below[0]),
        };
        let now = now.or_else(|| number(below[1])).unwrap_or(0.0);
        let sum = (f64::from(now) + f64::from(delta)) as f32;
        let content = Content::Number(rounded(sum));
        let last = self.0.get(&(key, column)).map_or(0, |(last, _)| *last);
        self.0.insert((key, column), (time.max(last), content));
        (true, false)
    }
}

fn add_up(counts: &mut UpsertCounts, cells: impl Iterator<Item = (bool, bool)>) {
    let (applied, stale) = cells.fold((false, false), |(a, s), (applied, stale)| (a | applied, s | stale));
    counts.applied += u64::from(applied);
    counts.stale += u64::from(stale);
}

fn one_random_history(seed: u64) {
    const KEYS: u64 = 40;
    let mut random = Random(seed << 32);
    let n = 1 + random.below(KINDS.len() as u64) as usize;
    let layout = layout(&KINDS[..n]);
    // As many slots in a set as there are keys at most: nothing is evicted.
    let overlay = Overlay::new(Arc::clone(&layout), 1000).unwrap();
    let base = base_rows(&layout, KEYS, &mut random);
    let row_of = |key: u64| &base[key as usize][..];
    // Some keys are in the table, for others increments start from the default row.
    let in_table = |key: u64| (!key.is_multiple_of(4)).then(|| row_of(key));
    let mut plain = Plain::default();
    let mut out = layout.missing();
    // The table is rebuilt now and then: what is older than it no longer counts.
    let mut built_s = 0;
    for step in 0..60 {
        if random.chance(5) {
            built_s = random.below(100) as u32;
        }
        let operation = [Operation::Columns, Operation::WholeRow, Operation::Increment][random.below(3) as usize];
        let time = random.below(120) as u32;
        let max_age = [1000, 30][random.below(2) as usize];
        let fresh = Freshness { built_s, oldest_s: time.saturating_sub(max_age) };
        let oldest = fresh.built_s.max(fresh.oldest_s);
        let (mut rows, mut values, mut expected) = (vec![], vec![], UpsertCounts::default());
        for _ in 0..random.below(5) {
            let key = 1 + random.below(KEYS);
            let first_value = values.len() as u32;
            let mut cells = vec![];
            // In any order.
            let mut columns: Vec<usize> = (0..n).collect();
            columns.sort_by_key(|_| random.below(1000));
            for column in columns {
                let kind = KINDS[column];
                let number = matches!(kind, ColumnKind::F32 | ColumnKind::F16);
                if operation == Operation::Increment && !number {
                    continue;
                }
                let content = if random.chance(40) { Content::random(kind, &mut random) } else { Content::Missing };
                values.extend(content.values(column));
                cells.push(match (operation, content) {
                    (Operation::Columns | Operation::Increment, Content::Missing) => continue,
                    (Operation::Increment, Content::Number(delta)) => {
                        plain.add(&layout, (key, column), time, oldest, [in_table(key), Some(row_of(0))], delta)
                    }
                    (_, content) => plain.replace(key, column, time, oldest, content),
                });
            }
            add_up(&mut expected, cells.into_iter());
            rows.push(Row { key, first_value, n_values: values.len() as u32 - first_value });
        }
        let batch = Batch { rows: &rows, values: &values, operation, time_us: i64::from(time) * 1_000_000 + 999_999 };
        let counts = overlay.upsert(&batch, &column, Below { fresh, row: &in_table, default: row_of(0) }).unwrap();
        assert_eq!(counts, expected, "seed {seed}, step {step}: {operation:?} at {time}, table of {built_s}");
        let limits = Freshness { built_s, oldest_s: random.below(60) as u32 };
        for key in 1..=KEYS {
            let (expected, any) = plain.read(&layout, key, row_of(key), limits.built_s.max(limits.oldest_s));
            let found = overlay.find(key).is_some_and(|slot| overlay.apply(slot, key, row_of(key), limits, &mut out));
            assert_eq!(found, any, "seed {seed}, step {step}, key {key}");
            if found {
                assert_eq!(out, expected, "seed {seed}, step {step}, key {key}");
            }
        }
    }
    let mut held: Vec<u64> = plain.0.keys().map(|(key, _)| *key).collect();
    held.sort_unstable();
    held.dedup();
    assert_eq!((overlay.len(), overlay.is_empty(), overlay.evictions()), (held.len(), held.is_empty(), 0));
    assert!(held.iter().all(|&key| overlay.find(key).is_some()));
}

#[test]
fn it_behaves_like_a_map_of_columns_with_times() {
    for seed in 0..200 {
        one_random_history(seed);
    }
}

/// A row in which every column follows from one number (below 2^16).
fn of_one_number(key: u64, n: u64) -> Vec<(usize, Content)> {
    let spread = mix(n ^ mix(key));
    vec![
        (0, Content::Number(n as f32)),
        (2, Content::Vector((0..5).map(|i| ((spread >> (8 * i)) as u8).into()).collect())),
        (4, Content::Ids((0..1 + n % 3).map(|i| (spread >> (4 * i)) as u32).map(u64::from).collect())),
        (5, Content::Ids(vec![spread, !spread])),
        (6, Content::Number((spread % 1000) as f32)),
    ]
}

fn row_of_one_number(layout: &RowLayout, key: u64, n: u64) -> Vec<u8> {
    let mut row = layout.missing();
    of_one_number(key, n).iter().for_each(|(column, content)| content.put(layout, &mut row, *column));
    row
}

/// Writes the row of `key` that follows from `n`.
fn write_one(overlay: &Overlay, key: u64, n: u64, operation: Operation, time_s: u32) -> UpsertCounts {
    let values: Vec<ColumnValue> = of_one_number(key, n).iter().flat_map(|(c, content)| content.values(*c)).collect();
    let rows = [Row { key, first_value: 0, n_values: values.len() as u32 }];
    let batch = Batch { rows: &rows, values: &values, operation, time_us: i64::from(time_s) * 1_000_000 };
    overlay.upsert(&batch, &column, BARE).unwrap()
}

/// 64 keys in `capacity` rows, written and read at once for a second.
fn writers_and_readers(capacity: usize, evicts: bool) {
    const KEYS: u64 = 64;
    const NUMBERS: u64 = 16;
    let layout = layout(&KINDS);
    let overlay = Overlay::new(Arc::clone(&layout), capacity).unwrap();
    // All rows that there can be, as they are read (number 0 is that of the table below) and as they are written.
    let expected: Vec<Vec<u8>> =
        (0..(KEYS + 1) * NUMBERS).map(|i| row_of_one_number(&layout, i / NUMBERS, i % NUMBERS)).collect();
    let row = |key: u64, n: u64| &expected[(key * NUMBERS + n) as usize][..];
    let mut values = Vec::new();
    let rows: Vec<Row> = (0..(KEYS + 1) * NUMBERS)
        .map(|i| {
            let (key, first_value) = (i / NUMBERS, values.len() as u32);
            values.extend(of_one_number(key, i % NUMBERS).iter().flat_map(|(c, content)| content.values(*c)));
            Row { key, first_value, n_values: values.len() as u32 - first_value }
        })
        .collect();
    // Half of all reads and writes go to one key.
    let choose = |random: &mut Random| if random.chance(50) { 1 } else { 1 + random.below(KEYS) };
    let (stop, reads, overridden) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (1..=4)
            .map(|seed: u64| {
                let (overlay, layout, stop, reads, overridden) = (&overlay, &layout, &stop, &reads, &overridden);
                scope.spawn(move || {
                    let mut random = Random(seed << 40);
                    let mut out = layout.missing();
                    while !stop.load(Ordering::Relaxed) {
                        let key = choose(&mut random);
                        reads.fetch_add(1, Ordering::Relaxed);
                        let Some(slot) = overlay.find(key) else { continue };
                        // By now another thread may have given the slot away.
                        if random.below(1000) == 0 {
                            std::thread::yield_now();
                        }
                        let fresh = overlay.apply(slot, key, row(key, 0), Freshness::default(), &mut out);
                        let n = layout.number(&out, 0, 0).unwrap() as u64;
                        assert_eq!(fresh, n > 0, "key {key}, number {n}");
                        assert_eq!(out, row(key, n), "key {key}, number {n}");
                        overridden.fetch_add(u64::from(fresh), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (1..=4)
            .map(|seed: u64| {
                let (overlay, rows, values, stop) = (&overlay, &rows, &values, &stop);
                scope.spawn(move || {
                    let mut random = Random(seed << 48);
                    while !stop.load(Ordering::Relaxed) {
                        let some = |random: &mut Random| choose(random) * NUMBERS + 1 + random.below(NUMBERS - 1);
                        let rows: Vec<Row> = (0..50).map(|_| rows[some(&mut random) as usize]).collect();
                        let operation = if random.chance(50) { Operation::Columns } else { Operation::WholeRow };
                        let counts = overlay
                            .upsert(&Batch { rows: &rows, values, operation, time_us: 0 }, &column, BARE)
                            .unwrap();
                        assert_eq!((counts.applied, counts.stale), (50, 0));
                    }
                })
            })
            .collect();
        let all = || readers.iter().chain(&writers);
        let start = Instant::now();
        // On a busy machine longer: enough must happen, within a minute.
        let enough = || overridden.load(Ordering::Relaxed) > 10_000 && (!evicts || overlay.evictions() > 1000);
        let lasts = || match start.elapsed() {
            time if time < Duration::from_secs(1) => true,
            time => !enough() && time < Duration::from_secs(60),
        };
        while lasts() && !all().any(|thread| thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let (reads, overridden, evictions) = (reads.into_inner(), overridden.into_inner(), overlay.evictions());
    println!("{reads} reads, {overridden} rows of the overlay, {evictions} evictions, {} rows held", overlay.len());
    assert!(overridden > 10_000, "the readers saw too little");
    assert_eq!(evictions > 1000, evicts);
}

#[test]
fn every_row_read_is_one_that_was_written_whole() {
    writers_and_readers(1000, false);
}

#[test]
fn rows_that_take_each_other_s_places_are_told_apart() {
    writers_and_readers(20, true);
}

#[test]
fn a_full_set_gives_up_what_was_written_longest_ago() {
    let layout = layout(&KINDS);
    // One set of 16.
    let overlay = Overlay::new(Arc::clone(&layout), 10).unwrap();
    for key in 1..=16 {
        // By order of calls, regardless of the times.
        assert_eq!(write_one(&overlay, key, 1, Operation::Columns, 100 - key as u32).evicted, 0);
    }
    // Keys 1 and 3 are written again; the write of key 2 is stale, which does not count.
    assert_eq!(write_one(&overlay, 1, 2, Operation::Columns, 200).applied, 1);
    assert_eq!(write_one(&overlay, 3, 2, Operation::Columns, 200).applied, 1);
    assert_eq!(write_one(&overlay, 2, 2, Operation::Columns, 1), UpsertCounts { applied: 0, stale: 1, evicted: 0 });
    for key in 17..=19 {
        assert_eq!(write_one(&overlay, key, 1, Operation::Columns, 50).evicted, 1);
    }
    let held: Vec<u64> = (1..=30).filter(|&key| overlay.find(key).is_some()).collect();
    // Without 2, 4 and 5.
    assert_eq!(held, [1, 3].into_iter().chain(6..=19).collect::<Vec<u64>>());
    assert_eq!((overlay.len(), overlay.evictions()), (16, 3));
}

#[test]
fn as_many_rows_as_asked_for_rarely_evict() {
    let capacity = 20_000;
    let overlay = Overlay::new(layout(&KINDS[..1]), capacity).unwrap();
    let memory = overlay.memory();
    let write = |keys: std::ops::Range<u64>| {
        for key in keys {
            let (rows, values) =
                ([Row { key, first_value: 0, n_values: 1 }], [ColumnValue { column: 100, number: 1.0, id: 0 }]);
            let batch = Batch { rows: &rows, values: &values, operation: Operation::Columns, time_us: 0 };
            overlay.upsert(&batch, &column, BARE).unwrap();
        }
    };
    write(1..capacity as u64 * 2 / 3 + 1);
    println!("two thirds full: {} evictions", overlay.evictions());
    assert!(overlay.evictions() < capacity as u64 / 2000);
    write(1..capacity as u64 + 1);
    println!("full: {} evictions", overlay.evictions());
    assert!(overlay.evictions() < capacity as u64 / 50);
    // However many come: as much memory as at first.
    write(1..capacity as u64 * 10);
    assert!(overlay.len() <= capacity * 3 / 2 + 16, "{} rows", overlay.len());
    assert_eq!(overlay.memory(), memory);
}

#[test]
fn sums_stay_in_their_column_s_range() {
    let layout = layout(&KINDS[..2]);
    let overlay = Overlay::new(Arc::clone(&layout), 10).unwrap();
    let missing = layout.missing();
    let add = |handle: u32, number: f32| {
        let (rows, values) =
            ([Row { key: 1, first_value: 0, n_values: 1 }], [ColumnValue { column: handle, number, id: 0 }]);
        let batch = Batch { rows: &rows, values: &values, operation: Operation::Increment, time_us: 0 };
        overlay
            .upsert(&batch, &column, Below { fresh: Freshness::default(), row: &|_| None, default: &missing })
            .unwrap();
        let mut out = missing.clone();
        let slot = overlay.find(1).unwrap();
        assert!(overlay.apply(slot, 1, &missing, Freshness::default(), &mut out));
        layout.number(&out, handle as usize - 100, 0).unwrap()
    };
    assert_eq!((add(100, 1.0), add(100, 2.0)), (1.0, 3.0));
    assert_eq!((add(100, f32::MAX), add(100, f32::MAX), add(100, -1.0)), (f32::MAX, f32::MAX, f32::MAX));
    assert_eq!((add(101, 1e30), add(101, -1.0), add(101, -2.0 * 65504.0)), (65504.0, 65504.0, -65504.0));
}

#[test]
fn a_bad_row_is_refused_with_its_place_and_nothing_is_written() {
    let layout = layout(&KINDS);
    let overlay = Overlay::new(Arc::clone(&layout), 10).unwrap();
    let value = |column: u32, number: f32, id: u64| ColumnValue { column, number, id };
    let good = value(100, 1.0, 0);
    let wide: Vec<ColumnValue> = (0..4).map(|id| value(104, 0.0, id)).collect();
    let half: Vec<ColumnValue> = (0..4).map(|id| value(102, 0.0, id)).collect();
    let twice: Vec<ColumnValue> = [0, 1, 2, 3, 4, 4].map(|id| value(102, 0.0, id)).into();
    let past: Vec<ColumnValue> = [0, 5].map(|id| value(102, 0.0, id)).into();
    let cases: Vec<(Vec<ColumnValue>, Operation, Status, &str)> = vec![
        (vec![value(0, 1.0, 0)], Operation::Columns, Status::InvalidArgument, "values[1]: handle 0 is no column"),
        (vec![value(100, f32::NAN, 0)], Operation::Columns, Status::InvalidValue, "values[1]: column `c0` (f32): NaN"),
        (vec![value(101, 65520.0, 0)], Operation::WholeRow, Status::InvalidArgument, "does not fit fp16"),
        (
            vec![good, value(106, f32::INFINITY, 0)],
            Operation::Increment,
            Status::InvalidValue,
            "values[2]: column `c6`",
        ),
        (vec![good, good], Operation::Columns, Status::InvalidArgument, "values[2]: column `c0` (f32): 2 values"),
        (
            vec![good, value(101, 0.0, 0), good],
            Operation::Columns,
            Status::InvalidArgument,
            "values[3]: column `c0` (f32): given twice",
        ),
        (vec![value(103, 0.0, 1 << 32)], Operation::Columns, Status::InvalidArgument, "needs more than 32 bits"),
        (
            wide,
            Operation::Columns,
            Status::InvalidArgument,
            "values[4]: column `c4` (up to 3 u32 ids): 4 ids, at most 3",
        ),
        (
            half,
            Operation::Columns,
            Status::InvalidArgument,
            "values[1]: column `c2` (f16 vector of 5): position 4 is not given",
        ),
        (
            twice,
            Operation::Columns,
            Status::InvalidArgument,
            "values[6]: column `c2` (f16 vector of 5): position 4 twice",
        ),
        (
            past,
            Operation::Columns,
            Status::InvalidArgument,
            "values[2]: column `c2` (f16 vector of 5): position 5 (its id), expected 0 to 4",
        ),
        (vec![value(103, 0.0, 1)], Operation::Increment, Status::InvalidArgument, "cannot be incremented"),
    ];
    let upsert = |rows: &[Row], values: &[ColumnValue], operation, time_us| {
        let batch = Batch { rows, values, operation, time_us };
        let missing = layout.missing();
        overlay.upsert(&batch, &column, Below { fresh: Freshness::default(), row: &|_| None, default: &missing })
    };
    for (bad, operation, status, text) in cases {
        let mut values = vec![good];
        values.extend(&bad);
        let rows =
            [Row { key: 1, first_value: 0, n_values: 1 }, Row { key: 2, first_value: 1, n_values: bad.len() as u32 }];
        let error = upsert(&rows, &values, operation, 0).unwrap_err();
        assert!(error.message.starts_with("rows[1]: ") && error.message.contains(text), "{error} / {text}");
        assert_eq!(error.status, status, "{error}");
        assert!(overlay.is_empty(), "{error}");
    }
    let values = [good; 2];
    for (row, text) in [
        (Row { key: 0, first_value: 0, n_values: 1 }, "rows[0]: key 0"),
        (Row { key: 1, first_value: 1, n_values: 2 }, "rows[0]: first_value 1 + n_values 2 is past the 2 values"),
        (Row { key: 1, first_value: u32::MAX, n_values: u32::MAX }, "is past the 2 values"),
    ] {
        let error = upsert(&[row], &values, Operation::Columns, 0).unwrap_err();
        assert!(error.message.contains(text) && error.status == Status::InvalidArgument, "{error}");
    }
    // Nanoseconds, and before 1970.
    for time_us in [1_700_000_000_000_000_000, -1] {
        assert!(upsert(&[], &[], Operation::Columns, time_us).unwrap_err().message.contains("time_us"));
    }
    assert!(overlay.is_empty());
    assert_eq!(upsert(&[], &[], Operation::Columns, 0).unwrap(), UpsertCounts::default());
    assert!(Overlay::new(Arc::clone(&layout), 0).is_err());
    let error = Overlay::new(layout, usize::MAX / 1000).err().unwrap();
    assert_eq!(error.status, Status::CapacityExceeded, "{error}");
}

#[test]
fn columns_move_to_another_layout_by_name_and_kind() {
    let column_of = |name: &str, kind| Column { name: name.to_owned(), kind };
    let from = layout(&KINDS);
    let to = Arc::new(
        RowLayout::new(vec![
            column_of("c6", ColumnKind::F32),
            column_of("new", ColumnKind::F32),
            column_of("c1", ColumnKind::F32),
            column_of("c5", ColumnKind::U64 { cap: 2 }),
            column_of("c2", ColumnKind::Vector { dim: 5 }),
            column_of("c4", ColumnKind::U32 { cap: 2 }),
        ])
        .unwrap(),
    );
    let (old, new) = (Overlay::new(Arc::clone(&from), 100).unwrap(), Overlay::new(Arc::clone(&to), 100).unwrap());
    for key in 1..=50 {
        write_one(&old, key, key, Operation::WholeRow, 10);
    }
    // The new one knows of column c6 of key 7 something newer, and of key 8 something older.
    for (key, time_us) in [(7, 11_000_000), (8, 9_000_000)] {
        let (rows, values) =
            ([Row { key, first_value: 0, n_values: 1 }], [ColumnValue { column: 100, number: -1.0, id: 0 }]);
        let batch = Batch { rows: &rows, values: &values, operation: Operation::Columns, time_us };
        new.upsert(&batch, &column, BARE).unwrap();
    }
    assert_eq!(old.migrate(&new), UpsertCounts { applied: 50, stale: 1, evicted: 0 });
    assert_eq!((old.len(), new.len()), (50, 50));
    let base = to.missing();
    for key in 1..=50 {
        let mut out = base.clone();
        assert!(new.apply(new.find(key).unwrap(), key, &base, Freshness { built_s: 10, oldest_s: 0 }, &mut out));
        let content: HashMap<usize, Content> = of_one_number(key, key).into_iter().collect();
        let mut expected = base.clone();
        for (from, at) in [(6, 0), (5, 3), (2, 4)] {
            content[&from].put(&to, &mut expected, at);
        }
        if key == 7 {
            Content::Number(-1.0).put(&to, &mut expected, 0);
        }
        assert_eq!(out, expected, "key {key}");
        // What moved keeps its time: a table built later supersedes it.
        let later = Freshness { built_s: 11, oldest_s: 0 };
        assert_eq!(new.apply(new.find(key).unwrap(), key, &base, later, &mut out), key == 7);
    }
}
