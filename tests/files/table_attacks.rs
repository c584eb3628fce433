//! A table file under attack: whatever is changed, opening it ends in an error that says where, or in a table that works;
//! and a table opened without a look at its rows stays inside its file.

use std::sync::{Arc, OnceLock};

use adclick::builder::artifact::Bytes;
use adclick::builder::hash::mix;
use adclick::builder::table::{
    BuildOptions, Cell, Checks, Column, ColumnKind, Duplicates, RowAt, RowLayout, Shard, Table, TableBuilder, TableSet,
    TableSpec,
};
use adclick::{Error, Status};
use testkit::container::{ENTRY, HEADER, assemble, reseal, reseal_header, split};

const ROWS: u64 = 40;

/// The file that is attacked: all types of columns, missing cells, a provenance.
fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let kinds = [
            ColumnKind::F16,
            ColumnKind::U32 { cap: 3 },
            ColumnKind::F32,
            ColumnKind::U64 { cap: 2 },
            ColumnKind::Vector { dim: 3 },
        ];
        let columns: Vec<_> =
            kinds.iter().enumerate().map(|(i, &kind)| Column { name: format!("c{i}"), kind }).collect();
        let layout = RowLayout::new(columns.clone()).unwrap();
        let mut default = layout.missing();
        layout.put(&mut default, 2, Cell::Number(0.5)).unwrap();
        let (name, provenance) = ("things".into(), "from = \"a test\"\n".into());
        let shard = Shard { index: 0, count: 1 };
        let spec = TableSpec { name, columns, default, built_us: 7, fresh_for_s: 60, shard, provenance };
        let directory = tempfile::tempdir().unwrap();
        let spill = directory.path().to_owned();
        let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 1 << 20, spill };
        let mut builder = TableBuilder::new(spec, options).unwrap();
        for key in 1..=ROWS {
            let mut row = layout.missing();
            layout.put(&mut row, 1, Cell::Ids(&[key, 9, 1][..(key % 4) as usize])).unwrap();
            layout.put(&mut row, 3, Cell::Ids(&[mix(key)])).unwrap();
            if !key.is_multiple_of(3) {
                layout.put(&mut row, 0, Cell::Number(key as f32)).unwrap();
                layout.put(&mut row, 4, Cell::Vector(&[1.0, 2.0, key as f32])).unwrap();
            }
            builder.push(key, &row).unwrap();
        }
        let path = directory.path().join("table");
        builder.finish(&path, &mut |_| ()).unwrap();
        std::fs::read(path).unwrap()
    })
}

/// Opens a file and uses what came out. An error must say where it is.
fn open(file: &[u8], checks: Checks) -> Result<Table, Error> {
    let result = Table::open_with(Bytes::copy_of(file).unwrap(), checks);
    match &result {
        Ok(table) => exercise(table),
        Err(e) => {
            let place = ["header", "directory", "section `"].iter().any(|p| e.message.starts_with(p));
            let offset = e.message.split("offset ").nth(1).is_some_and(|o| o.starts_with(|c: char| c.is_ascii_digit()));
            assert!(place && offset, "no place in: {}", e.message);
            assert!(matches!(e.status, Status::Corrupt | Status::Unsupported), "{e:?}");
        }
    }
    result
}

/// Every cell that a lookup or the iterator returns, every key one by one and in a batch.
fn exercise(table: &Table) {
    let layout = Arc::clone(table.layout());
    let read = |row: &[u8]| {
        for (i, column) in layout.columns().iter().enumerate() {
            assert!(layout.ids(row, i).count() <= column.kind.entries());
            let numbers = (0..=column.kind.entries()).filter_map(|p| layout.number(row, i, p));
            assert!(numbers.into_iter().all(f32::is_finite));
            assert!(layout.vector(row, i).is_none_or(|bytes| bytes.len() == 2 * column.kind.entries()));
        }
    };
    let keys: Vec<u64> = (0..ROWS + 20).chain([u64::MAX, 1 << 63]).collect();
    keys.iter().filter_map(|&key| table.get(key)).for_each(read);
    table.iter().take(10_000).for_each(|(_, row)| read(row));
    read(table.default_row());
    let bytes = std::hint::black_box(table.slots());
    assert!(bytes > 0);
}

fn find_all(table: Table) -> usize {
    let Ok(set) = TableSet::new(vec![Arc::new(table)]) else { return 0 };
    let keys: Vec<u64> = (0..ROWS + 20).collect();
    let mut at = vec![RowAt::NONE; keys.len()];
    set.find(&keys, &mut at);
    at.iter().filter(|at| at.is_some() && set.row(**at).len() == set.layout().width()).count()
}

fn refused(file: &[u8], what: &str) -> Error {
    open(file, Checks::Full).err().unwrap_or_else(|| panic!("{what}: accepted"))
}

fn with(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut parts = split(file());
    parts.iter_mut().find(|p| p.name == name).unwrap().bytes = bytes;
    assemble(2, &parts)
}

fn section(name: &str) -> Vec<u8> {
    split(file()).into_iter().find(|p| p.name == name).unwrap().bytes
}

#[test]
fn the_untouched_file_opens() {
    assert_eq!(find_all(open(file(), Checks::Full).unwrap()), ROWS as usize);
    assert_eq!(assemble(2, &split(file())), file(), "this test's own writer agrees");
}

#[test]
fn every_byte() {
    for at in 0..file().len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = file().to_vec();
            bytes[at] ^= flip;
            refused(&bytes, &format!("byte {at} ^ {flip}"));
            // Without a look at the rows: a table that works, or an error.
            if let Ok(table) = open(&bytes, Checks::Structure) {
                find_all(table);
            }
        }
    }
}

#[test]
fn every_byte_of_header_and_directory_with_checksums_that_fit() {
    let end = HEADER + ENTRY * split(file()).len();
    for at in 0..end {
        for flip in 1..=255u8 {
            let mut bytes = file().to_vec();
            bytes[at] ^= flip;
            if at < HEADER {
                reseal_header(&mut bytes);
            } else {
                reseal(&mut bytes);
            }
            let Ok(table) = open(&bytes, Checks::Full) else { continue };
            // The name of the optional section, flags of sections that are known anyway, and the header's own checksum.
            let (entry, byte) = ((at.max(HEADER) - HEADER) / ENTRY, (at.max(HEADER) - HEADER) % ENTRY);
            let harmless = (56..64).contains(&at) || at >= HEADER && (byte == 48 || (entry == 4 && byte < 24));
            assert!(harmless, "byte {at} ^ {flip}");
            assert_eq!(find_all(table), ROWS as usize);
        }
    }
}

#[test]
fn every_section_cut_or_grown() {
    for part in split(file()) {
        for cut in 0..part.bytes.len() {
            let result = open(&with(&part.name, part.bytes[..cut].to_vec()), Checks::Full);
            assert!(result.is_err() || part.name == "provenance", "`{}` cut at {cut}", part.name);
        }
        for more in [1, 2, 8, 64, 4096] {
            let bytes = [part.bytes.clone(), vec![0; more]].concat();
            let result = open(&with(&part.name, bytes), Checks::Full);
            assert!(result.is_err() || part.name == "provenance", "`{}` with {more} bytes more", part.name);
        }
        let parts: Vec<_> = split(file()).into_iter().filter(|p| p.name != part.name).collect();
        let result = open(&assemble(2, &parts), Checks::Full);
        assert_eq!(result.is_ok(), part.name == "provenance", "without `{}`", part.name);
    }
}

#[test]
fn every_word_of_the_small_sections() {
    let values = [0u64, 1, u64::MAX, u64::MAX - 1, 1 << 63, 1 << 31, 1 << 32, 0x7fff_ffff];
    for name in ["table", "pilots", "default"] {
        let old = section(name);
        for width in [1, 2, 4, 8] {
            for at in 0..=old.len() - width {
                for value in values {
                    let mut bytes = old.clone();
                    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                    let changed = with(name, bytes);
                    for checks in [Checks::Full, Checks::Content, Checks::Structure] {
                        if let Ok(table) = open(&changed, checks) {
                            find_all(table);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_named() {
    let rows = section("rows");
    let table = open(file(), Checks::Full).unwrap();
    let (stride, layout) = (table.stride(), Arc::clone(table.layout()));
    let slot = rows.chunks(stride).position(|slot| slot[..8] == 5u64.to_le_bytes()).unwrap();
    let free = rows.chunks(stride).position(|slot| slot[..8] == [0; 8]).unwrap();
    let at = slot * stride;
    let change = |changes: &[(usize, &[u8])], expected: &[&str]| {
        let mut bytes = rows.clone();
        for (at, new) in changes {
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        let e = refused(&with("rows", bytes), expected[0]);
        assert!(expected.iter().all(|part| e.message.contains(part)), "{e}");
    };
    let here = format!("section `rows`, offset {at} (slot {slot}): ");
    let cell = |column: usize| at + 8 + layout.span(column).offset;
    change(&[(at, &777u64.to_le_bytes())], &[&here, "key 0x0000000000000309 belongs in slot"]);
    change(&[(at + 8 + layout.span(1).count, &4u16.to_le_bytes())], &[&here, "column `c1` (up to 3 u32 ids): 4 ids"]);
    change(&[(cell(1) + 8, &[1])], &[&here, "bytes after the last id are not zero"]);
    change(&[(cell(2), &f32::INFINITY.to_le_bytes())], &[&here, "column `c2` (f32): an infinite number"]);
    change(&[(cell(4), &0x7e00u16.to_le_bytes())], &[&here, "column `c4`", "position 1"]);
    change(&[(at, &[0; 8])], &[&here, "a free slot (key 0) is not zero"]);
    change(&[(free * stride + stride - 1, &[1])], &["bytes after the row are not zero"]);
    change(&[(at, &vec![0; stride])], &["section `table`, offset 0: 40 rows, the slots hold 39"]);
}
