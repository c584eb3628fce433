//! Table lookups beside peers, on the same keys in one run: ns for each of 1,000 random keys of a large table.
//!
//! `cargo run --release -p adclick-peers --bin tables [-- ROWS [ROUNDS]]`
//!
//! A row is 64 bytes: its key and 14 f32. Every contender is given the same batches, tells whether the key is there, and
//! adds up the same columns of each row found. All take turns, so that a busy machine slows them alike. The floors know
//! the row numbers beforehand and compare no keys: `plain` is a simple loop, `ahead` asks for each row 32 rows before it
//! is read, which is what memory allows on those pages. `4 KiB` is a mapped file, `2 MiB` anonymous memory in huge pages
//! (the copy mode).

#![allow(unsafe_code, reason = "maps files, asks for cache lines and opens LMDB")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use adclick::artifact::{Bytes, OpenMode};
use adclick::hash::mix;
use adclick::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowAt, Shard, Table, TableBuilder, TableSet, TableSpec,
};
use heed::types::Bytes as Slice;
use heed::{Database, EnvOpenOptions};
use memmap2::{Advice, Mmap, MmapMut};
use ptr_hash::{FastPtrHash, PtrHashParams};

/// f32 columns. With the key in front a row has 64 bytes, one cache line.
const NUMBERS: usize = 14;
const KEY: usize = 8;
const ROW: usize = KEY + 4 * NUMBERS;
const BATCH: usize = 1000;
/// Batches of one turn.
const BATCHES: usize = 200;
const AHEAD: usize = 32;

/// A row's columns.
type Columns = [u8; ROW - KEY];
type Error = Box<dyn std::error::Error>;

fn key(i: u64) -> u64 {
    mix(i).max(1)
}

fn cells(i: u64) -> Columns {
    let mut columns = [0; ROW - KEY];
    for (n, number) in columns.chunks_exact_mut(4).enumerate() {
        number.copy_from_slice(&(((i + n as u64) % 1000) as f32).to_le_bytes());
    }
    columns
}

/// Key and columns.
fn record(i: u64) -> [u8; ROW] {
    let mut record = [0; ROW];
    record[..KEY].copy_from_slice(&key(i).to_le_bytes());
    record[KEY..].copy_from_slice(&cells(i));
    record
}

/// A row's columns, added up.
#[inline(always)]
fn sum(columns: &[u8]) -> u64 {
    columns[..ROW - KEY].chunks_exact(8).fold(0, |sum, word| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        sum.wrapping_add(u64::from_le_bytes(bytes))
    })
}

fn build(rows: u64, out: &Path) -> Result<(), Error> {
    let kind = ColumnKind::F32;
    let columns: Vec<_> = (0..NUMBERS).map(|i| Column { name: format!("n{i}"), kind }).collect();
    let layout = adclick::table::RowLayout::new(columns.clone())?;
    let spec = TableSpec {
        name: "rows".into(),
        columns,
        default: layout.missing(),
        built_us: 0,
        fresh_for_s: 0,
        shard: Shard::default(),
        provenance: String::new(),
    };
    let spill = out.parent().unwrap_or(Path::new(".")).to_owned();
    let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 256 << 20, spill };
    let mut builder = TableBuilder::new(spec, options)?;
    let mut bytes = layout.missing();
    for i in 0..rows {
        let from = cells(i);
        for n in 0..NUMBERS {
            let number = f32::from_le_bytes([from[4 * n], from[4 * n + 1], from[4 * n + 2], from[4 * n + 3]]);
            layout.put(&mut bytes, n, Cell::Number(number))?;
        }
        builder.push(key(i), &bytes)?;
    }
    builder.finish(out, &mut |_| ())?;
    Ok(())
}

/// Writes a file of rows in pieces of 8 MiB, about as tables are written: how a file was written decides the sizes of its
/// pages in the system's cache.
fn write_rows<'a>(out: &Path, rows: impl Iterator<Item = impl AsRef<[u8]> + 'a>) -> Result<(), Error> {
    let mut file = BufWriter::with_capacity(8 << 20, File::create(out)?);
    for row in rows {
        file.write_all(row.as_ref())?;
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

fn map(path: &Path) -> Result<Mmap, Error> {
    // SAFETY: the file is this program's own and nobody writes to it.
    let map = unsafe { Mmap::map(&File::open(path)?) }?;
    map.advise(Advice::WillNeed)?;
    Ok(map)
}

fn huge(from: &[u8]) -> Result<MmapMut, Error> {
    let mut memory = MmapMut::map_anon(from.len())?;
    memory.advise(Advice::HugePage)?;
    memory.copy_from_slice(from);
    Ok(memory)
}

#[inline(always)]
fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(bytes.as_ptr().wrapping_add(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

/// The columns of a row of an array of records.
#[inline(always)]
fn columns_at(records: &[u8], number: usize) -> &[u8] {
    &records[number * ROW + KEY..][..ROW - KEY]
}

fn floor_plain(records: &[u8], numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |total, &number| total.wrapping_add(sum(columns_at(records, number as usize))))
}

fn floor_ahead(records: &[u8], numbers: &[u64]) -> u64 {
    let mut total = 0u64;
    for (i, &number) in numbers.iter().enumerate() {
        if let Some(&next) = numbers.get(i + AHEAD) {
            prefetch(records, next as usize * ROW);
        }
        total = total.wrapping_add(sum(columns_at(records, number as usize)));
    }
    total
}

fn through(table: &TableSet, keys: &[u64]) -> u64 {
    let mut total = 0u64;
    table.visit(keys, |_, row, _| total = total.wrapping_add(row.map_or(0, sum)));
    total
}

fn find_then_read(table: &TableSet, keys: &[u64], at: &mut [RowAt]) -> u64 {
    table.find(keys, at);
    at.iter().fold(0, |total, &at| total.wrapping_add(sum(table.row(at))))
}

/// Of keys and their row numbers, what the rows' columns add up to.
type Run<'a> = Box<dyn FnMut(&[u64], &[u64]) -> u64 + 'a>;

struct Contender<'a> {
    name: &'static str,
    run: Run<'a>,
    ns: Vec<f64>,
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(10_000_000), |n| n.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(15), |n| n.parse())?;
    let directory = tempfile::tempdir_in(std::env::var_os("ADCLICK_BENCH_DIR").unwrap_or_else(|| "target".into()))?;
    let (file, bare_file) = (directory.path().join("rows.adc"), directory.path().join("bare"));

    let begin = Instant::now();
    build(rows, &file)?;
    println!("{rows} rows of {ROW} bytes: table built in {:.1} s, ", begin.elapsed().as_secs_f64());
    write_rows(&bare_file, (0..rows).map(record))?;
    let open = |mode| -> Result<TableSet, Error> {
        let table = Table::open(Bytes::open(&file, mode)?)?;
        table.prefault();
        Ok(TableSet::new(vec![Arc::new(table)])?)
    };
    let begin = Instant::now();
    let mapped = open(OpenMode::Map)?;
    println!("opened, checked and prefaulted in {:.2} s", begin.elapsed().as_secs_f64());
    let copied = open(OpenMode::Copy)?;
    let (small_pages, huge_pages) = (map(&bare_file)?, huge(&map(&bare_file)?)?);

    let mut brown: hashbrown::HashMap<u64, Columns> = hashbrown::HashMap::with_capacity(rows as usize);
    brown.extend((0..rows).map(|i| (key(i), cells(i))));

    let lmdb = directory.path().join("lmdb");
    std::fs::create_dir(&lmdb)?;
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size((rows as usize * 256).next_multiple_of(1 << 30));
    // SAFETY: the environment is this program's own and opened once.
    let env = unsafe { options.open(&lmdb) }?;
    let mut write = env.write_txn()?;
    let database: Database<Slice, Slice> = env.create_database(&mut write, None)?;
    let mut sorted: Vec<(u64, u64)> = (0..rows).map(|i| (key(i), i)).collect();
    sorted.sort_unstable();
    for &(key, i) in &sorted {
        let flags = heed::PutFlags::APPEND;
        database.put_with_flags(&mut write, flags, &key.to_be_bytes(), &cells(i))?;
    }
    write.commit()?;
    drop(sorted);
    let read = env.read_txn()?;

    let keys: Vec<u64> = (0..rows).map(key).collect();
    let perfect = <FastPtrHash>::new(&keys, PtrHashParams::default_fast());
    let mut placed = vec![0u8; perfect.max_index() * ROW];
    for i in 0..rows {
        placed[perfect.index(&key(i)) * ROW..][..ROW].copy_from_slice(&record(i));
    }
    drop(keys);
    let placed_file = directory.path().join("placed");
    write_rows(&placed_file, placed.chunks_exact(ROW))?;
    let (placed_small, placed_huge) = (map(&placed_file)?, huge(&placed)?);
    drop(placed);
    let ptr_hash = |records: &[u8], keys: &[u64]| {
        let mut ahead = [0usize; AHEAD];
        let (mut total, mut n) = (0u64, 0);
        let mut read = |number: usize, key: u64| {
            if records[number * ROW..][..KEY] == key.to_le_bytes() {
                total = total.wrapping_add(sum(columns_at(records, number)));
            }
        };
        perfect.index_stream::<AHEAD, _>(keys).for_each(|number| {
            prefetch(records, number * ROW);
            if n >= AHEAD {
                read(ahead[n % AHEAD], keys[n - AHEAD]);
            }
            ahead[n % AHEAD] = number;
            n += 1;
        });
        for i in n.saturating_sub(AHEAD)..n {
            read(ahead[i % AHEAD], keys[i]);
        }
        total
    };

    let mut at = vec![RowAt::NONE; BATCH];
    let mut contenders: Vec<Contender<'_>> = vec![
        Contender { name: "floor ahead, 4 KiB", run: Box::new(|_, n| floor_ahead(&small_pages, n)), ns: vec![] },
        Contender { name: "floor plain, 4 KiB", run: Box::new(|_, n| floor_plain(&small_pages, n)), ns: vec![] },
        Contender { name: "adclick, mapped file", run: Box::new(|k, _| through(&mapped, k)), ns: vec![] },
        Contender {
            name: "adclick, mapped file, find then read",
            run: Box::new(|k, _| find_then_read(&mapped, k, &mut at)),
            ns: vec![],
        },
        Contender { name: "ptr_hash, mapped rows", run: Box::new(|k, _| ptr_hash(&placed_small, k)), ns: vec![] },
        Contender { name: "floor ahead, 2 MiB", run: Box::new(|_, n| floor_ahead(&huge_pages, n)), ns: vec![] },
        Contender { name: "floor plain, 2 MiB", run: Box::new(|_, n| floor_plain(&huge_pages, n)), ns: vec![] },
        Contender { name: "adclick, copy mode", run: Box::new(|k, _| through(&copied, k)), ns: vec![] },
        Contender {
            name: "ptr_hash, rows in 2 MiB pages",
            run: Box::new(|k, _| ptr_hash(&placed_huge, k)),
            ns: vec![],
        },
        Contender {
            name: "hashbrown",
            run: Box::new(|k, _| k.iter().fold(0, |t, k| t.wrapping_add(brown.get(k).map_or(0, |r| sum(r))))),
            ns: vec![],
        },
        Contender {
            name: "LMDB (heed)",
            run: Box::new(|k, _| {
                k.iter().fold(0, |t, k| {
                    let row = database.get(&read, &k.to_be_bytes()).ok().flatten();
                    t.wrapping_add(row.map_or(0, sum))
                })
            }),
            ns: vec![],
        },
    ];

    let mut random = 1u64;
    for round in 0..=rounds {
        for c in &mut contenders {
            // Keys of its own: those of the last contender may still be in the caches.
            let mut numbers = vec![0u64; BATCH * BATCHES];
            for n in &mut numbers {
                random = mix(random);
                *n = ((u128::from(random) * u128::from(rows)) >> 64) as u64;
            }
            let keys: Vec<u64> = numbers.iter().map(|&n| key(n)).collect();
            let expected = numbers.iter().fold(0u64, |total, &n| total.wrapping_add(sum(&cells(n))));
            let begin = Instant::now();
            let mut total = 0u64;
            for (keys, numbers) in keys.chunks_exact(BATCH).zip(numbers.chunks_exact(BATCH)) {
                total = total.wrapping_add((c.run)(keys, numbers));
            }
            let ns = begin.elapsed().as_nanos() as f64 / keys.len() as f64;
            assert_eq!(total, expected, "{} read other rows", c.name);
            // The first round brings everything in.
            if round > 0 {
                c.ns.push(ns);
            }
        }
    }
    println!("\n{:<40} {:>9} {:>9} {:>9}", "ns per key", "median", "fastest", "to floor");
    let mut floor = 0.0;
    for c in &mut contenders {
        c.ns.sort_by(f64::total_cmp);
        let median = c.ns[c.ns.len() / 2];
        if c.name.starts_with("floor ahead") {
            floor = median;
        }
        println!("{:<40} {median:>9.1} {:>9.1} {:>9.2}", c.name, c.ns[0], median / floor);
    }
    Ok(())
}
