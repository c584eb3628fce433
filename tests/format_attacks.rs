//! A model file under attack: whatever is changed, opening it ends in an error that says where, or in a model that
//! works; never in a panic, a read out of bounds or a huge allocation.
#![allow(unsafe_code, reason = "a global allocator that watches sizes")]

mod container;
mod sample;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use adclick::artifact::container::{ArtifactKind, Builder, Container};
use adclick::artifact::model::network::Panels;
use adclick::artifact::model::{Model, write};
use adclick::artifact::{Bytes, OpenMode};
use adclick::infer::Weights;
use adclick::infer::reference::reference_logits;
use adclick::{Error, Status};

use container::{ENTRY, HEADER, Part, assemble, part, reseal, reseal_header, split, u32_at, u64_at};
use sample::{Random, everything};

struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);
const LIMIT: usize = 64 << 20;

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// The file that is attacked: all cross layers, tables of all kinds, goldens, histograms.
fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let (spec, expected) = sample::model(&everything());
        assert!(spec.schema.embeddings.iter().any(|e| e.wide));
        assert!(spec.schema.features.iter().any(|f| f.position.is_some()));
        assert!(spec.goldens.iter().any(|g| g.values.len() > 2));
        write(&spec, &expected).unwrap()
    })
}

/// Opens a file and uses what came out. An error must say where it is.
fn open(file: &[u8]) -> Result<Model, Error> {
    let result = Model::open(Bytes::copy_of(file).unwrap());
    match &result {
        Ok(model) => exercise(model),
        Err(e) => {
            let place = ["header", "directory", "section `"].iter().any(|p| e.message.starts_with(p));
            let offset = e.message.split("offset ").nth(1).is_some_and(|o| o.starts_with(|c: char| c.is_ascii_digit()));
            assert!(place && offset, "no place in: {}", e.message);
            assert!(matches!(e.status, Status::Corrupt | Status::Unsupported), "{e:?}");
        }
    }
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= LIMIT, "{largest} bytes were allocated at once");
    result
}

fn refused(file: &[u8], what: &str) -> Error {
    open(file).err().unwrap_or_else(|| panic!("{what}: accepted"))
}

/// Every accessor, and the whole network once.
fn exercise(model: &Model) {
    for (n, e) in (0u32..).zip(&model.schema().embeddings) {
        for id in [0, 1, 17, u64::from(e.index.count()), u64::MAX].into_iter().chain(model.vocabulary(n)) {
            if let (Some(row), _) = model.row(n, id) {
                assert_eq!(model.embedding_row(n, row).len(), e.dim as usize);
                let heads = model.network().heads.len();
                assert_eq!(model.wide_row(n, row).len(), if e.wide { heads } else { 0 });
            }
        }
    }
    let weights = Weights { panels: model.weights(), params: model.params() };
    let mut logits = vec![0.0; model.network().heads.len()];
    reference_logits(model.network(), weights, &vec![0.5; model.layout().width], &mut logits).unwrap();
}

/// A file with one section's bytes replaced, all checksums right.
fn with(file: &[u8], name: &str, bytes: Vec<u8>) -> Vec<u8> {
    let mut parts = split(file);
    parts.iter_mut().find(|p| p.name == name).unwrap().bytes = bytes;
    assemble(1, &parts)
}

fn bytes_of(file: &[u8], name: &str) -> Vec<u8> {
    split(file).into_iter().find(|p| p.name == name).unwrap().bytes
}

#[test]
fn the_untouched_file_opens() {
    open(file()).unwrap();
    assert_eq!(assemble(1, &split(file())), file(), "this test's own writer agrees");
    assert!(file().len() < 64 << 10, "small enough for the tests below: {}", file().len());
}

#[test]
fn every_header_byte() {
    for at in 0..HEADER {
        for flip in 1..=255 {
            let mut bytes = file().to_vec();
            bytes[at] ^= flip;
            let e = refused(&bytes, &format!("header byte {at} ^ {flip}"));
            assert!(e.message.starts_with("header"), "{e}");
            if at < 56 {
                reseal_header(&mut bytes);
                let e = refused(&bytes, &format!("resealed header byte {at} ^ {flip}"));
                // Another count or checksum of the directory shows there.
                assert!(e.message.starts_with("header") || matches!(at, 24..28 | 32..40), "{e}");
            }
        }
    }
}

#[test]
fn every_directory_byte() {
    let parts = split(file());
    for (i, part) in parts.iter().enumerate() {
        for at in 0..ENTRY {
            for flip in 1..=255u8 {
                let mut bytes = file().to_vec();
                bytes[HEADER + ENTRY * i + at] ^= flip;
                let e = refused(&bytes, "a directory byte");
                assert!(e.message.starts_with("directory, offset 64: checksum"), "{e}");
                reseal(&mut bytes);
                // Two changes mean something: another name of an optional section, and the required flag.
                let renamed = !part.required && at < 24;
                match open(&bytes) {
                    Ok(_) => assert!(renamed || (at == 48 && flip == 1), "entry {i}, byte {at} ^ {flip}"),
                    Err(e) => assert!(!(at == 48 && flip == 1), "entry {i}, byte {at} ^ {flip}: {e}"),
                }
            }
        }
    }
}

#[test]
fn every_field_of_header_and_directory() {
    let count = u32_at(file(), 24) as usize;
    let entries = (0..count).flat_map(|i| {
        let at = HEADER + ENTRY * i;
        [(at + 24, 8), (at + 32, 8), (at + 40, 8), (at + 48, 4), (at + 52, 4), (at + 56, 8)]
    });
    let header = [(8, 4), (12, 4), (16, 8), (24, 4), (28, 4), (32, 8), (40, 8), (48, 8)];
    for (at, width) in header.into_iter().chain(entries) {
        let old = field(file(), at, width);
        for new in values(old) {
            let mut bytes = file().to_vec();
            put(&mut bytes, at, width, new);
            if field(&bytes, at, width) == old {
                continue;
            }
            reseal(&mut bytes);
            if at == 32 {
                // The directory's checksum, which resealing made right again.
                put(&mut bytes, at, width, new);
                reseal_header(&mut bytes);
            }
            let flag = at >= HEADER && (at - HEADER) % ENTRY == 48 && field(&bytes, at, width) < 2;
            if flag {
                open(&bytes).unwrap();
            } else {
                refused(&bytes, &format!("offset {at}: {new}"));
            }
        }
    }
}

fn field(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(word)
}

fn put(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

/// 0, 1, max, max - 1, the sign bit, and the neighbours.
fn values(old: u64) -> [u64; 9] {
    let top = 1 << 63;
    [0, 1, u64::MAX, u64::MAX - 1, top, 1 << 31, old.wrapping_add(1), old.wrapping_sub(1), old.wrapping_mul(2)]
}

#[test]
fn every_section_cut_or_grown() {
    for part in split(file()) {
        let len = part.bytes.len();
        let sparse = if len > 2000 { len / 150 } else { 1 };
        for cut in (0..len).filter(|c| c % sparse == 0 || c + 40 > len || *c < 40) {
            let result = open(&with(file(), &part.name, part.bytes[..cut].to_vec()));
            // Any text is provenance; cut within a letter it is none.
            assert!(result.is_err() || part.name == "provenance", "`{}` cut at {cut}", part.name);
        }
        for more in [1, 2, 4, 16, 64, 1000] {
            let mut bytes = part.bytes.clone();
            bytes.resize(len + more, 0);
            let result = open(&with(file(), &part.name, bytes));
            assert!(result.is_err() || part.name == "provenance", "`{}` and {more} bytes", part.name);
        }
        if part.required {
            let parts: Vec<_> = split(file()).into_iter().filter(|p| p.name != part.name).collect();
            let result = open(&assemble(1, &parts));
            // Without golden requests a model is whole.
            assert_eq!(result.is_ok(), part.name == "golden", "without `{}`", part.name);
        }
    }
}

#[test]
fn the_file_cut_or_grown() {
    let len = file().len();
    for cut in 0..len {
        let boundary = split_points().iter().any(|&p| cut.abs_diff(p) < 10);
        if !boundary && cut % 37 != 0 && cut > 2000 {
            continue;
        }
        let mut bytes = file()[..cut].to_vec();
        refused(&bytes, &format!("cut at {cut}"));
        if cut >= HEADER {
            put(&mut bytes, 16, 8, cut as u64);
            reseal_header(&mut bytes);
            refused(&bytes, &format!("cut at {cut}, length resealed"));
        }
    }
    for more in (1..=130).chain([4096, 1 << 20]) {
        for filler in [0, 0xff] {
            let mut bytes = file().to_vec();
            bytes.resize(len + more, filler);
            refused(&bytes, &format!("{more} more bytes"));
            put(&mut bytes, 16, 8, (len + more) as u64);
            reseal_header(&mut bytes);
            refused(&bytes, &format!("{more} more bytes, length resealed"));
        }
    }
}

fn split_points() -> Vec<usize> {
    let c = Container::open(file(), ArtifactKind::Model, &KNOWN).unwrap();
    c.sections().iter().flat_map(|s| [s.offset, s.offset + s.len]).collect()
}

const KNOWN: [&str; 10] =
    ["schema", "network", "weights", "params", "embedding", "wide", "vocabulary", "golden", "histograms", "provenance"];

/// Every place of the small sections, as every width of field: what is not a field is attacked as well.
#[test]
fn every_place_of_the_small_sections() {
    let mut accepted = 0;
    for name in ["schema", "network", "golden", "histograms"] {
        let bytes = bytes_of(file(), name);
        for width in [1, 2, 4, 8] {
            for at in 0..=bytes.len() - width {
                for new in values(field(&bytes, at, width)) {
                    let mut changed = bytes.clone();
                    put(&mut changed, at, width, new);
                    accepted += usize::from(open(&with(file(), name, changed)).is_ok());
                }
            }
        }
    }
    assert!(accepted > 100, "ids, counts of rows and the like may change: {accepted}");
}

/// The counts of those sections: no other value is right.
#[test]
fn every_count_of_the_small_sections() {
    let schema = bytes_of(file(), "schema");
    let (features, embeddings) = schema_counts(&schema);
    let golden = bytes_of(file(), "golden");
    let histograms = bytes_of(file(), "histograms");
    let bins = 6 + usize::from(histograms[4]);
    let counts = [
        ("schema", 0, 4),
        ("schema", features, 4),
        ("network", 2, 2),
        ("network", 4, 2),
        ("network", 6, 2),
        ("network", 8, 4),
        ("network", 12, 4),
        ("golden", 0, 4),
        ("golden", 16, 4),
        ("histograms", 0, 4),
        ("histograms", bins, 4),
    ];
    assert_eq!(u32_at(&golden, 0), 3);
    assert_eq!(u32_at(&histograms, 0), 2);
    let tables = embeddings.into_iter().flat_map(|at| [("schema", at, 4), ("schema", at + 4, 4)]);
    for (name, at, width) in counts.into_iter().chain(tables) {
        let bytes = bytes_of(file(), name);
        let old = field(&bytes, at, width);
        for new in values(old).map(|v| v & (u64::MAX >> (64 - 8 * width))).into_iter().filter(|&v| v != old) {
            let mut changed = bytes.clone();
            put(&mut changed, at, width, new);
            let result = open(&with(file(), name, changed));
            // Where a table's rows are padded to 64 bytes, a few more or fewer may find the same room.
            let near = new.abs_diff(old) <= old && !counts.contains(&(name, at, width));
            assert!(result.is_err() || near, "`{name}`, offset {at}: {old} became {new}");
        }
    }
}

/// The offset of the count of features, and of the counts of ids in each embedding, by the table of the page.
fn schema_counts(schema: &[u8]) -> (usize, Vec<usize>) {
    let mut at = 4;
    let mut counts = Vec::new();
    for _ in 0..u32_at(schema, 0) {
        at += 2 + field(schema, at, 2) as usize + 2;
        counts.push(at);
        at += 8;
    }
    (at, counts)
}

#[test]
fn random_changes_with_right_checksums() {
    let mut random = Random(20_261_123);
    let small: Vec<_> = ["schema", "network", "golden", "histograms"].map(|n| (n, bytes_of(file(), n))).into();
    let mut accepted = 0;
    for _ in 0..20_000 {
        let (name, bytes) = &small[random.below(small.len())];
        let mut bytes = bytes.clone();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                2 => {
                    let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                    let new = values(field(&bytes, at, width))[random.below(9)];
                    put(&mut bytes, at, width, new);
                }
                3 => bytes.insert(at, random.next() as u8),
                _ => {
                    let from = random.below(bytes.len());
                    let n = random.below(40).min(bytes.len() - at).min(bytes.len() - from);
                    bytes.copy_within(from..from + n, at);
                }
            }
        }
        accepted += usize::from(open(&with(file(), name, bytes)).is_ok());
    }
    assert!((20..10_000).contains(&accepted), "{accepted} of 20000 still open");
}

#[test]
fn random_changes_anywhere() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut bytes = file().to_vec();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        if bytes != file() {
            refused(&bytes, "a changed bit without its checksum");
        }
    }
}

#[test]
fn names_flags_and_sections_of_the_directory() {
    let parts = split(file());
    let unknown = |name: &str, required| {
        let mut parts = parts.clone();
        parts.insert(2, part(name, required, vec![1, 2, 3]));
        assemble(1, &parts)
    };
    open(&unknown("later", false)).unwrap();
    let e = refused(&unknown("later", true), "an unknown required section");
    assert_eq!(e.status, Status::Unsupported);
    assert!(e.message.contains("section `later` is required"), "{e}");
    for bad in ["", "Later", "la-ter", "l\u{e4}ter", "a b", "schema\0x", "\0schema"] {
        let e = refused(&unknown(bad, false), bad);
        assert!(e.message.starts_with("directory entry 2, offset 192: the section name"), "{e}");
    }
    for twice in ["schema", "weights", "histograms", "provenance"] {
        let parts: Vec<Part> = [&parts[..], &[parts.iter().find(|p| p.name == twice).unwrap().clone()]].concat();
        let e = refused(&assemble(1, &parts), twice);
        assert!(e.message.contains(&format!("section `{twice}` is in the file twice")), "{e}");
    }
    for kind in [0, 2, 3, 4, u32::MAX] {
        let e = refused(&assemble(kind, &parts), "another kind of artifact");
        assert!(e.message.starts_with("header, offset 12"), "{e}");
    }
    let many: Vec<Part> = (0..1025).map(|i| part(&format!("s{i}"), false, vec![])).collect();
    assert!(refused(&assemble(1, &many), "1025 sections").message.starts_with("header, offset 24"));
    assert!(refused(&assemble(1, &many[..1024]), "no schema").message.contains("section `schema` is missing"));
    assert!(refused(&assemble(1, &[]), "no sections").message.starts_with("header, offset 24"));
}

/// Sections must follow each other: no overlap, no hole, no other order than the directory's.
#[test]
fn overlaps_and_holes() {
    let entry = |i: usize| HEADER + ENTRY * i;
    for i in 0..split(file()).len() {
        let (offset, len) = (u64_at(file(), entry(i) + 24), u64_at(file(), entry(i) + 32));
        for (new_offset, new_len) in [
            (offset - 64, len + 64),
            (offset - 64, len),
            (offset + 64, len.saturating_sub(64)),
            (offset + 1, len - 1),
            (0, len),
            (HEADER as u64, len),
            (offset, len + 64),
            (offset, u64::MAX - offset),
            (offset, u64::MAX - 63),
            (u64::MAX - 63, len),
            (offset, file().len() as u64 - offset + 1),
        ] {
            let mut bytes = file().to_vec();
            put(&mut bytes, entry(i) + 24, 8, new_offset);
            put(&mut bytes, entry(i) + 32, 8, new_len);
            reseal(&mut bytes);
            refused(&bytes, &format!("section {i} at {new_offset}, {new_len} bytes"));
        }
    }
    let mut swapped = file().to_vec();
    let (a, b) = swapped[HEADER..entry(2)].split_at_mut(ENTRY);
    a.swap_with_slice(b);
    reseal(&mut swapped);
    assert!(refused(&swapped, "entries swapped").message.starts_with("directory entry 0"));
}

#[test]
fn padding_between_sections() {
    let mut places = 0;
    for point in split_points().chunks(2) {
        for at in point[1]..point[1].next_multiple_of(64) {
            let mut bytes = file().to_vec();
            bytes[at] = 1;
            let e = refused(&bytes, &format!("padding at {at}"));
            assert!(e.message.contains(&format!("offset {at}: padding")), "{e}");
            places += 1;
        }
    }
    assert!(places > 50, "{places}");
}

/// Each fp16 or f32 of the large sections set to NaN, infinity and, where it is padding, to anything at all.
#[test]
fn large_sections() {
    let model = open(file()).unwrap();
    let used = used_weights(&model);
    let mut padding = 0;
    for name in ["weights", "embedding", "wide"] {
        let bytes = bytes_of(file(), name);
        for i in (0..bytes.len() / 2).filter(|i| name != "weights" || i % 3 == 0 || !used[*i]) {
            for (bits, refuse) in [(0x7c00u64, true), (0xfe01, true), (0x3c00, false)] {
                let mut changed = bytes.clone();
                put(&mut changed, i * 2, 2, bits);
                let result = open(&with(file(), name, changed));
                if name == "weights" {
                    assert_eq!(result.is_err(), refuse || !used[i], "`{name}`, value {i}, {bits:#x}");
                }
                assert!(result.is_err() || !refuse, "`{name}`, value {i}, {bits:#x}");
                padding += usize::from(result.is_err() && !refuse);
            }
        }
    }
    assert!(padding > used.iter().filter(|&&u| !u).count(), "tables have padding too: {padding}");
    let bytes = bytes_of(file(), "params");
    let mut padding = 0;
    for i in 0..bytes.len() / 4 {
        for (bits, refuse) in [(0x7f80_0000u64, true), (0xffc0_0000, true), (0x8000_0000, false), (0x3f80_0000, false)]
        {
            let mut changed = bytes.clone();
            put(&mut changed, i * 4, 4, bits);
            let result = open(&with(file(), "params", changed));
            assert!(result.is_err() || !refuse, "`params`, value {i}, {bits:#x}");
            padding += usize::from(result.is_err() && !refuse);
        }
    }
    assert!(padding > 20, "{padding}");
}

/// Which values of the `weights` section belong to an output and an input of some matrix, from the network alone.
fn used_weights(model: &Model) -> Vec<bool> {
    use adclick::artifact::model::network::Cross;
    let mut used = vec![false; model.weights().len()];
    let network = model.network();
    let d = network.width;
    let mut mark = |m: Panels, gap: &dyn Fn(usize) -> bool| {
        for out in 0..m.outputs {
            for k in (0..m.inputs).filter(|&k| !gap(k)) {
                used[m.start + (out / 16 * m.inputs + k) * 16 + out % 16] = true;
            }
        }
    };
    let none = |_: usize| false;
    for cross in &network.cross {
        match cross {
            Cross::Full { weight, .. } => mark(*weight, &none),
            Cross::LowRank { v, u, .. } => [v, u].into_iter().for_each(|m| mark(*m, &none)),
            Cross::Vector { .. } => {}
            Cross::Mixture { gate, v, c, u, .. } => {
                [gate, v, u].into_iter().chain(c).for_each(|m| mark(*m, &none));
            }
        }
    }
    network.deep.iter().for_each(|l| mark(l.weight, &none));
    let (cross_end, deep_end) = (d.next_multiple_of(16), d.next_multiple_of(16) + network.trunk_deep());
    for head in &network.heads {
        for (i, l) in head.tower.iter().enumerate() {
            mark(l.weight, &|k| i == 0 && ((d..cross_end).contains(&k) || k >= deep_end));
        }
    }
    used
}

#[test]
fn vocabularies_that_lie() {
    let bytes = bytes_of(file(), "vocabulary");
    let slots = bytes.len() / 16;
    let is_used = |slot: usize| u32_at(&bytes, slot * 16 + 12) == 1;
    let used: Vec<usize> = (0..slots).filter(|&s| is_used(s)).collect();
    let free = (0..slots).find(|&s| !is_used(s)).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<u8>), what: &str| {
        let mut changed = bytes.clone();
        change(&mut changed);
        let e = refused(&with(file(), "vocabulary", changed), what);
        assert!(e.message.starts_with("section `vocabulary`, offset ") && e.message.contains(what), "{e}, not {what}");
    };
    for &slot in &used {
        let at = slot * 16;
        refused(&|b| put(b, at + 12, 4, 2), "slot marked 2");
        refused(&|b| put(b, at + 12, 4, 0), "slot marked 0");
        refused(&|b| put(b, at + 8, 4, u32::MAX.into()), "row 4294967295");
        refused(&|b| b[at..at + 16].fill(0), "");
    }
    let (first, second) = (used[0] * 16, used[1] * 16);
    refused(&|b| b.copy_within(second + 8..second + 12, first + 8), "has two ids");
    refused(&|b| b.copy_within(second..second + 8, first), "not found by its own search");
    refused(&|b| put(b, free * 16, 8, 5), "slot marked 0");
    refused(&|b| put(b, free * 16 + 12, 4, 1), "");
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        // Another id in the same slot may be just as findable.
        let result = open(&with(file(), "vocabulary", changed));
        assert!(result.is_err() || at % 16 < 8, "byte {at}");
    }
}

#[test]
fn mapped_and_copied_files_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.adc");
    let check = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let [mapped, copied] =
            [OpenMode::Map, OpenMode::Copy].map(|mode| Bytes::open(&path, mode).and_then(Model::open));
        match (mapped, copied) {
            (Ok(a), Ok(b)) => {
                assert_eq!(a.schema(), b.schema());
                assert_eq!(a.network(), b.network());
                assert_eq!(a.goldens(), b.goldens());
                assert_eq!(a.sections(), b.sections());
                assert_eq!((a.weights(), a.params()), (b.weights(), b.params()));
                exercise(&a);
            }
            (Err(a), Err(b)) => assert_eq!(a, b),
            (a, b) => panic!("mapped {a:?}, copied {b:?}"),
        }
    };
    check(file());
    check(&[]);
    for cut in [1, 63, 64, 65, 4096, file().len() - 1] {
        check(&file()[..cut]);
    }
    for at in [0, 9, 20, 70, 1000, file().len() - 64] {
        let mut bytes = file().to_vec();
        bytes[at] ^= 4;
        check(&bytes);
    }
    let missing = Bytes::open(&directory.path().join("none"), OpenMode::Map).unwrap_err();
    assert_eq!(missing.status, Status::Io);
}

#[test]
fn the_builder_and_this_tests_writer_agree() {
    for kind in [ArtifactKind::Model, ArtifactKind::Table, ArtifactKind::Calibrators] {
        let parts = [part("one", true, vec![7; 64]), part("a_name_of_24_bytes_01234", false, vec![])];
        let built =
            parts.iter().fold(Builder::new(kind), |b, p| b.section(&p.name, p.required, p.bytes.clone())).build();
        assert_eq!(built, assemble(kind as u32, &parts));
        let container = Container::open(&built, kind, &["one"]).unwrap();
        assert_eq!(container.find("a_name_of_24_bytes_01234").unwrap().len, 0);
    }
}
