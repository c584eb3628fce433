//! A table file written by hand from docs/format.md: the library reads from it what the page says, and builds the same
//! bytes from the same rows.

use adclick::builder::artifact::Bytes;
use adclick::builder::hash::mix;
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowLayout, Shard, Table, TableBuilder, TableSpec,
};
use adclick::{composite_key, shard};
use testkit::container::{assemble, part};

const P: u32 = 0;
const SEED: u64 = 0;
const PROVENANCE: &str = "from = \"hand\"\n";

/// The formulas of the page, for one part.
struct Page {
    slots: u64,
    buckets: u64,
}

impl Page {
    fn hash(key: u64) -> u64 {
        let k = mix(SEED) ^ key;
        let m = (k ^ (k >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        m ^ (m >> 29)
    }

    fn bucket(&self, key: u64) -> u64 {
        let x = ((Self::hash(key) >> 32) << P) % (1 << 32);
        (((x * x) >> 32) * self.buckets) >> 32
    }

    fn slot(&self, key: u64, pilot: u16) -> u64 {
        let h = Self::hash(key);
        let z = (h ^ u64::from(pilot).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        ((z >> 32) * self.slots) >> 32
    }

    /// The pilots, as the page says that this library finds them.
    fn pilots(&self, keys: &[u64]) -> Vec<u16> {
        let mut buckets: Vec<(u64, Vec<u64>)> =
            (0..self.buckets).map(|b| (b, keys.iter().copied().filter(|&k| self.bucket(k) == b).collect())).collect();
        buckets.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.cmp(&b.0)));
        let mut pilots = vec![0; self.buckets as usize];
        let mut taken = Vec::new();
        for (bucket, keys) in buckets {
            let slots = |pilot| keys.iter().map(|&k| self.slot(k, pilot)).collect::<Vec<_>>();
            let free =
                |slots: &[u64]| slots.iter().enumerate().all(|(i, s)| !taken.contains(s) && !slots[..i].contains(s));
            let pilot = (0..=u16::MAX).find(|&pilot| free(&slots(pilot))).unwrap();
            pilots[bucket as usize] = pilot;
            taken.extend(slots(pilot));
        }
        pilots
    }
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u16).to_le_bytes()[..], value.as_bytes()].concat()
}

/// Columns, in this order: f16 `a`, up to two u32 ids `b`, f32 `c`, one u64 id `d`, a vector of three `e`.
fn head(rows: u64, slots: u32, buckets: u32) -> Vec<u8> {
    let mut b = text("things");
    b.extend(5u32.to_le_bytes());
    for (name, kind, entries) in [("a", 1u8, 1u16), ("b", 3, 2), ("c", 0, 1), ("d", 4, 1), ("e", 2, 3)] {
        b.extend(text(name));
        b.push(kind);
        b.extend(entries.to_le_bytes());
    }
    b.extend(rows.to_le_bytes());
    b.extend((-5i64).to_le_bytes()); // built
    b.extend(3600u64.to_le_bytes()); // fresh for
    b.extend(0u32.to_le_bytes()); // shard
    b.extend(1u32.to_le_bytes()); // of
    b.extend(SEED.to_le_bytes());
    b.extend(P.to_le_bytes());
    b.extend(slots.to_le_bytes());
    b.extend(buckets.to_le_bytes());
    b
}

/// The row with number n: u64 d, u32 b, f32 c, f16 a, f16 e, u16 counts of b and d; a multiple of 8 as it is.
fn row(n: u64) -> Vec<u8> {
    let half = |n: u64| half::f16::from_f32(n as f32).to_le_bytes();
    let mut b = if n == 3 { vec![0; 8] } else { (n << 40).to_le_bytes().to_vec() };
    b.extend((n as u32).to_le_bytes());
    b.extend(if n == 2 { 0 } else { 77u32 }.to_le_bytes());
    b.extend((n as f32 / 4.0).to_le_bytes());
    b.extend(if n == 4 { 0x7e00u16.to_le_bytes() } else { half(n) });
    for i in 0..3 {
        b.extend(if n == 1 { 0x7e00u16.to_le_bytes() } else { half(n * i) });
    }
    b.extend(if n == 2 { 1u16 } else { 2 }.to_le_bytes());
    b.extend(if n == 3 { 0u16 } else { 1 }.to_le_bytes());
    assert_eq!(b.len(), 32);
    b
}

/// Every cell missing.
fn default() -> Vec<u8> {
    let mut b = vec![0; 16];
    b.extend(0x7fc0_0000u32.to_le_bytes());
    b.extend([0x7e00u16.to_le_bytes(); 4].concat());
    b.extend([0; 4]);
    b
}

fn by_hand(keys: &[u64]) -> Vec<u8> {
    let n = keys.len() as u64;
    let page = Page { slots: n + n / 32 + 1, buckets: n.div_ceil(6).max(1) };
    let pilots = page.pilots(keys);
    // 8 + 32 bytes, rounded up to a power of two.
    let mut rows = vec![0; page.slots as usize * 64];
    for (i, &key) in keys.iter().enumerate() {
        let at = page.slot(key, pilots[page.bucket(key) as usize]) as usize * 64;
        rows[at..at + 8].copy_from_slice(&key.to_le_bytes());
        rows[at + 8..at + 40].copy_from_slice(&row(i as u64));
    }
    let parts = [
        part("rows", true, rows),
        part("table", true, head(n, page.slots as u32, page.buckets as u32)),
        part("default", true, default()),
        part("pilots", true, pilots.iter().flat_map(|p| p.to_le_bytes()).collect()),
        part("provenance", false, PROVENANCE.into()),
    ];
    assemble(2, &parts)
}

fn columns() -> Vec<Column> {
    [
        ("a", ColumnKind::F16),
        ("b", ColumnKind::U32 { cap: 2 }),
        ("c", ColumnKind::F32),
        ("d", ColumnKind::U64 { cap: 1 }),
        ("e", ColumnKind::Vector { dim: 3 }),
    ]
    .map(|(name, kind)| Column { name: name.into(), kind })
    .to_vec()
}

fn keys(n: u64) -> Vec<u64> {
    (0..n).map(|i| (i * i + 5) << (i % 50)).map(|k| k + 1).collect()
}

#[test]
fn the_library_reads_what_the_page_says() {
    let keys = keys(30);
    let table = Table::open(Bytes::copy_of(&by_hand(&keys)).unwrap()).unwrap();
    assert_eq!((table.name(), table.len(), table.slots(), table.stride()), ("things", 30, 31, 64));
    assert_eq!((table.built_us(), table.fresh_for_s(), table.provenance()), (-5, 3600, PROVENANCE));
    assert_eq!(table.shard(), Shard { index: 0, count: 1 });
    let layout = table.layout();
    assert_eq!(layout.columns(), columns());
    for (n, &key) in (0u64..).zip(&keys) {
        let row = table.get(key).unwrap();
        let number = |column, position| layout.number(row, column, position);
        assert_eq!(number(0, 0), (n != 4).then_some(n as f32));
        assert_eq!(layout.ids(row, 1).collect::<Vec<_>>(), [n, 77][..if n == 2 { 1 } else { 2 }]);
        assert_eq!(number(2, 0), Some(n as f32 / 4.0));
        assert_eq!(layout.ids(row, 3).next(), (n != 3).then_some(n << 40));
        assert_eq!(number(4, 2), (n != 1).then_some(2.0 * n as f32));
        assert_eq!(layout.vector(row, 4).is_some(), n != 1);
    }
    assert!((0..5).all(|column| layout.is_missing(table.default_row(), column)));
    assert!([0, 2, u64::MAX].iter().all(|&key| table.get(key).is_none()));
}

#[test]
fn the_library_builds_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for n in [0, 1, 2, 13, 100] {
        let spec = TableSpec {
            name: "things".into(),
            columns: columns(),
            default: default(),
            built_us: -5,
            fresh_for_s: 3600,
            shard: Shard::default(),
            provenance: PROVENANCE.into(),
        };
        let options =
            BuildOptions { duplicates: Duplicates::Refuse, memory: 1 << 20, spill: directory.path().to_owned() };
        let mut builder = TableBuilder::new(spec, options).unwrap();
        for (i, &key) in (0u64..).zip(&keys(n)) {
            builder.push(key, &row(i)).unwrap();
        }
        let path = directory.path().join("table");
        builder.finish(&path, &mut |_| ()).unwrap();
        assert!(std::fs::read(&path).unwrap() == by_hand(&keys(n)), "{n} rows");
    }
}

#[test]
fn cells_are_written_as_the_page_says() {
    let layout = RowLayout::new(columns()).unwrap();
    assert_eq!(layout.missing(), default());
    let mut bytes = layout.missing();
    layout.put(&mut bytes, 0, Cell::Number(2.0)).unwrap();
    layout.put(&mut bytes, 1, Cell::Ids(&[2])).unwrap();
    layout.put(&mut bytes, 2, Cell::Number(0.5)).unwrap();
    layout.put(&mut bytes, 3, Cell::Ids(&[2 << 40])).unwrap();
    layout.put(&mut bytes, 4, Cell::Vector(&[0.0, 2.0, 4.0])).unwrap();
    assert_eq!(bytes, row(2));
}

#[test]
fn keys_of_several_ids_and_shards_are_what_the_page_says() {
    assert_eq!(composite_key(&[9]), 9);
    assert_eq!(composite_key(&[9, 4]), mix(mix(9) ^ 4));
    assert_eq!(composite_key(&[9, 4, 1]), mix(mix(mix(mix(9) ^ 4)) ^ 1));
    assert_ne!(composite_key(&[4, 9]), composite_key(&[9, 4]));
    assert_eq!([composite_key(&[]), composite_key(&[0]), composite_key(&[7, 0]), composite_key(&[0, 7])], [0; 4]);
    assert_eq!(shard(12345, 7), ((u128::from(mix(12345)) * 7) >> 64) as u32);
}
