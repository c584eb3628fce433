//! Table lookups beside peers, on the same keys in one run: ns for each of 1,000 random keys of a large table.
//!
//! `cargo run --release -p adclick-peers --bin tables [-- ROWS [ROUNDS]]`
//!
//! A row is 64 bytes: its key and 14 f32, which is one cache line. Every contender gets the same batches, reports
//! whether the key exists, and adds up the same columns of each row found. All take turns, so that a busy machine slows
//! them alike. The figures are those of the median batch of each turn; the ratios are those of turns of the same round.
//!
//! The floors read the same table file through the same pages, know in advance where each row is, and compare no keys:
//! - `row`: asks for each row 64 rows before it is read, into the second-level cache. The fastest way that was found to bring
//!   one random line for each key.
//! - `row, first cache`: the same, 32 rows ahead into the first-level cache, which can wait for fewer lines.
//! - `row, plain`: a simple loop over the rows, without asking ahead.
//! - `row and index`: as `row`, and asks also for one line of the table's pilots, 2 bytes for each 6 rows. It reads the
//!   lines that our lookup needs, because it does not know them in advance.
//!
//! ptr_hash's rows are asked for as `row` asks for them, and beside it as `row, first cache` does, which is the crate's own way
//! to ask.
//!
//! `mapped` is the mapped file, in the pages that the system gave it (the share of 2 MiB pages is printed), `2 MiB` is
//! anonymous memory in huge pages (the copy mode).

#![allow(unsafe_code, reason = "maps files, asks for cache lines and opens LMDB")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use adclick::builder::artifact::{Bytes, OpenMode};
use adclick::builder::hash::mix;
use adclick::builder::table::{
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
/// So many rows are asked for before they are read.
const AHEAD: usize = 64;
/// The same where they come into the first-level cache.
const AHEAD_FIRST: usize = 32;

/// The floors on the same pages, in the order in which they stand.
const FLOORS: [&str; 4] = ["row", "row, first cache", "row, plain", "row and index"];
/// The number of the first contender on 2 MiB pages, the first of their floors.
const LARGE: usize = 8;

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
    let layout = adclick::builder::table::RowLayout::new(columns.clone())?;
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
    // SAFETY: the file is this program's own and is not written to.
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

/// Asks for a line, into the first-level cache or the second.
#[inline(always)]
fn prefetch<const FIRST: bool>(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        let at = bytes.as_ptr().wrapping_add(at).cast();
        if FIRST {
            _mm_prefetch::<_MM_HINT_T0>(at);
        } else {
            _mm_prefetch::<_MM_HINT_T1>(at);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}

/// The columns of the record that begins at a place.
#[inline(always)]
fn columns_at(records: &[u8], start: usize) -> &[u8] {
    &records[start + KEY..][..ROW - KEY]
}

/// Row numbers from the crate's own stream, with each row prefetched a fixed number of rows ahead; keys are compared.
fn through_ptr_hash<const FIRST: bool, const AHEAD: usize>(perfect: &FastPtrHash, records: &[u8], keys: &[u64]) -> u64 {
    let mut ahead = [0usize; AHEAD];
    let (mut total, mut n) = (0u64, 0);
    let mut read = |number: usize, key: u64| {
        if records[number * ROW..][..KEY] == key.to_le_bytes() {
            total = total.wrapping_add(sum(columns_at(records, number * ROW)));
        }
    };
    perfect.index_stream::<AHEAD_FIRST, _>(keys).for_each(|number| {
        prefetch::<FIRST>(records, number * ROW);
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
}

fn floor_plain(rows: &[u8], starts: &[usize]) -> u64 {
    starts.iter().fold(0, |total, &start| total.wrapping_add(sum(columns_at(rows, start))))
}

fn floor_ahead<const FIRST: bool, const AHEAD: usize>(rows: &[u8], starts: &[usize]) -> u64 {
    let mut total = 0u64;
    for (i, &start) in starts.iter().enumerate() {
        if let Some(&next) = starts.get(i + AHEAD) {
            prefetch::<FIRST>(rows, next);
        }
        total = total.wrapping_add(sum(columns_at(rows, start)));
    }
    total
}

/// The places of pilots are spread as lookups spread them: half of all keys have theirs in the first quarter.
fn floor_with_index(rows: &[u8], pilots: &[u8], starts: &[usize], keys: &[u64]) -> u64 {
    let pilot = |key: u64| {
        let x = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((((x * x) >> 32) * pilots.len() as u64) >> 32) as usize
    };
    let mut total = 0u64;
    let mut read = 0u64;
    for (i, (&start, &key)) in starts.iter().zip(keys).enumerate() {
        if let (Some(&next), Some(&key)) = (starts.get(i + AHEAD), keys.get(i + AHEAD)) {
            prefetch::<false>(rows, next);
            prefetch::<false>(pilots, pilot(key));
        }
        read ^= u64::from(pilots[pilot(key)]);
        total = total.wrapping_add(sum(columns_at(rows, start)));
    }
    std::hint::black_box(read);
    total
}

/// Where a section stands in a table file.
fn section(table: &Table, name: &str) -> Result<Range<usize>, Error> {
    let found = table.sections().iter().find(|s| s.name == name).ok_or("no such section")?;
    Ok(found.offset..found.offset + found.len)
}

/// Where the row of each number begins among a table's slots; `sorted` are keys with their numbers.
fn places(slots: &[u8], sorted: &[(u64, u64)]) -> Result<Vec<usize>, Error> {
    let mut filled: Vec<(u64, usize)> = Vec::with_capacity(sorted.len());
    for (slot, bytes) in slots.chunks_exact(ROW).enumerate() {
        let key = bytes.first_chunk().map_or(0, |key| u64::from_le_bytes(*key));
        if key != 0 {
            filled.push((key, slot * ROW));
        }
    }
    filled.sort_unstable();
    let mut places = vec![0; sorted.len()];
    for (&(found, start), &(key, number)) in filled.iter().zip(sorted) {
        if found != key {
            return Err("the table holds other keys".into());
        }
        places[number as usize] = start;
    }
    Ok(places)
}

/// Megabytes of the map at `memory` that are in 2 MiB pages, and all that are resident, as the system reports them.
#[cfg(target_os = "linux")]
fn pages(memory: &[u8]) -> Option<(u64, u64)> {
    let at = memory.as_ptr() as u64;
    let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let (mut inside, mut huge, mut all) = (false, 0, 0);
    for line in maps.lines() {
        let (first, rest) = line.split_once(' ')?;
        let number = || rest.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) >> 10;
        if let Some((from, to)) = first.split_once('-') {
            let hex = |n| u64::from_str_radix(n, 16).unwrap_or(0);
            inside = (hex(from)..hex(to)).contains(&at);
        } else if inside && matches!(first, "FilePmdMapped:" | "AnonHugePages:") {
            huge += number();
        } else if inside && first == "Rss:" {
            all = number();
        }
    }
    Some((huge, all))
}

#[cfg(not(target_os = "linux"))]
fn pages(_: &[u8]) -> Option<(u64, u64)> {
    None
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

/// The sums of the columns of rows, found by their keys and by their places in the table.
type Run<'a> = Box<dyn FnMut(&[u64], &[usize]) -> u64 + 'a>;

struct Contender<'a> {
    name: &'static str,
    /// The number of the floor on the same pages that it is compared with.
    floor: usize,
    run: Run<'a>,
    /// The median batch of each turn.
    ns: Vec<f64>,
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(10_000_000), |n| n.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(15), |n| n.parse())?;
    let directory = tempfile::tempdir_in(std::env::var_os("ADCLICK_BENCH_DIR").unwrap_or_else(|| "target".into()))?;
    let file = directory.path().join("rows.adc");

    let begin = Instant::now();
    build(rows, &file)?;
    println!("{rows} rows of {ROW} bytes: table built in {:.1} s", begin.elapsed().as_secs_f64());
    let open = |mode| -> Result<Arc<Table>, Error> {
        let table = Table::open(Bytes::open(&file, mode)?)?;
        table.prefault();
        Ok(Arc::new(table))
    };
    let begin = Instant::now();
    let table = open(OpenMode::Map)?;
    println!("opened, checked and prefaulted in {:.2} s", begin.elapsed().as_secs_f64());
    assert_eq!(table.len(), rows, "the table has other rows than were given");
    let (rows_at, pilots_at) = (section(&table, "rows")?, section(&table, "pilots")?);
    let length = std::fs::metadata(&file)?.len();
    println!(
        "{length} bytes: {} slots, {:.3} for each row; {} bytes of pilots, {:.2} bits for each row",
        table.slots(),
        table.slots() as f64 / rows as f64,
        pilots_at.len(),
        pilots_at.len() as f64 * 8.0 / rows as f64
    );
    let mapped = TableSet::new(vec![Arc::clone(&table)])?;
    let copied = TableSet::new(vec![open(OpenMode::Copy)?])?;
    // The floors read the very pages that the mapped table has, and a copy on the pages that the copied table has.
    let small = map(&file)?;
    let large = huge(&small)?;
    for (name, memory) in [("mapped", &small[..]), ("copied", &large[..])] {
        if let Some((huge, all)) = pages(memory) {
            println!("{name}: {huge} of {all} MB in 2 MiB pages");
        }
    }

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
    let places = places(&small[rows_at.clone()], &sorted)?;
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
    let mut at = vec![RowAt::NONE; BATCH];
    let contender = |name, floor, run| Contender { name, floor, run, ns: vec![] };
    let (small_rows, large_rows) = (&small[rows_at.clone()], &large[rows_at]);
    let (small_pilots, large_pilots) = (&small[pilots_at.clone()], &large[pilots_at]);
    let mut contenders: Vec<Contender<'_>> = vec![
        contender("floor, mapped: row", 0, Box::new(|_, at| floor_ahead::<false, AHEAD>(small_rows, at))),
        contender(
            "floor, mapped: row, first cache",
            0,
            Box::new(|_, at| floor_ahead::<true, AHEAD_FIRST>(small_rows, at)),
        ),
        contender("floor, mapped: row, plain", 0, Box::new(|_, at| floor_plain(small_rows, at))),
        contender(
            "floor, mapped: row and index",
            0,
            Box::new(|k, at| floor_with_index(small_rows, small_pilots, at, k)),
        ),
        contender("adclick, mapped", 0, Box::new(|k, _| through(&mapped, k))),
        contender("adclick, mapped, find then read", 0, Box::new(|k, _| find_then_read(&mapped, k, &mut at))),
        contender(
            "ptr_hash, mapped rows, first cache",
            0,
            Box::new(|k, _| through_ptr_hash::<true, AHEAD_FIRST>(&perfect, &placed_small, k)),
        ),
        contender(
            "ptr_hash, mapped rows",
            0,
            Box::new(|k, _| through_ptr_hash::<false, AHEAD>(&perfect, &placed_small, k)),
        ),
        contender("floor, 2 MiB: row", LARGE, Box::new(|_, at| floor_ahead::<false, AHEAD>(large_rows, at))),
        contender(
            "floor, 2 MiB: row, first cache",
            LARGE,
            Box::new(|_, at| floor_ahead::<true, AHEAD_FIRST>(large_rows, at)),
        ),
        contender("floor, 2 MiB: row, plain", LARGE, Box::new(|_, at| floor_plain(large_rows, at))),
        contender(
            "floor, 2 MiB: row and index",
            LARGE,
            Box::new(|k, at| floor_with_index(large_rows, large_pilots, at, k)),
        ),
        contender("adclick, copy mode", LARGE, Box::new(|k, _| through(&copied, k))),
        contender(
            "ptr_hash, rows in 2 MiB pages",
            LARGE,
            Box::new(|k, _| through_ptr_hash::<false, AHEAD>(&perfect, &placed_huge, k)),
        ),
        contender(
            "hashbrown",
            0,
            Box::new(|k, _| k.iter().fold(0, |t, k| t.wrapping_add(brown.get(k).map_or(0, |r| sum(r))))),
        ),
        contender(
            "LMDB (heed)",
            0,
            Box::new(|k, _| {
                k.iter().fold(0, |t, k| {
                    let row = database.get(&read, &k.to_be_bytes()).ok().flatten();
                    t.wrapping_add(row.map_or(0, sum))
                })
            }),
        ),
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
            let at: Vec<usize> = numbers.iter().map(|&n| places[n as usize]).collect();
            let mut total = 0u64;
            let mut batches = Vec::with_capacity(BATCHES);
            for (keys, at) in keys.chunks_exact(BATCH).zip(at.chunks_exact(BATCH)) {
                let begin = Instant::now();
                total = total.wrapping_add((c.run)(keys, at));
                batches.push(begin.elapsed().as_nanos() as f64 / BATCH as f64);
            }
            assert_eq!(total, expected, "{} read other rows", c.name);
            // The first round brings everything in.
            if round > 0 {
                c.ns.push(median(&mut batches));
            }
        }
    }
    println!("\n{:<36} {:>7} {:>8}   to the floor: {}", "ns per key", "median", "fastest", FLOORS.join(" | "));
    for c in &contenders {
        let against = |floor: usize| {
            median(&mut c.ns.iter().zip(&contenders[floor].ns).map(|(ours, floor)| ours / floor).collect::<Vec<_>>())
        };
        let mut ns = c.ns.clone();
        let (middle, fastest) = (median(&mut ns), ns[0]);
        print!("{:<36} {middle:>7.1} {fastest:>8.1}  ", c.name);
        (0..FLOORS.len()).for_each(|floor| print!(" {:>6.2}", against(c.floor + floor)));
        println!();
    }
    Ok(())
}
