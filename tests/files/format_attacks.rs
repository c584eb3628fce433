//! A model file under attack: whatever is changed, opening it ends in an error that says where, or in a model that
//! works; never in a panic, a read out of bounds or a huge allocation.

use adclick::Status;
use adclick::builder::artifact::container::{ArtifactKind, Builder, Container};
use adclick::builder::artifact::model::Model;
use adclick::builder::artifact::{Bytes, OpenMode};

use crate::attack::{exercise, field, file, open, put, refused, values, with};
use crate::sample::Random;
use testkit::container::{ENTRY, HEADER, Part, assemble, part, reseal, reseal_header, split, u32_at, u64_at};

const KNOWN: [&str; 12] = [
    "schema",
    "network",
    "weights",
    "params",
    "embedding",
    "wide",
    "vocabulary",
    "enrichment",
    "golden",
    "histograms",
    "ranges",
    "provenance",
];

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
            // Without golden requests a model is whole, and without tables.
            let whole = ["golden", "enrichment"].contains(&part.name.as_str());
            assert_eq!(result.is_ok(), whole, "without `{}`", part.name);
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
    for twice in ["schema", "weights", "histograms", "ranges", "provenance"] {
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

/// Opened by structure alone, a damaged section passes and everything about its place is still refused.
#[test]
fn structure_without_contents() {
    let structure = |bytes: &[u8]| Container::open_unread(bytes, ArtifactKind::Model, &KNOWN);
    let whole = Container::open(file(), ArtifactKind::Model, &KNOWN).unwrap();
    assert_eq!(structure(file()).unwrap(), whole);
    for section in whole.sections().iter().filter(|s| s.len > 0) {
        let mut bytes = file().to_vec();
        bytes[section.offset + section.len / 2] ^= 1;
        assert_eq!(structure(&bytes).unwrap(), whole, "nothing of `{}` is read", section.name);
        refused(&bytes, &section.name);
    }
    for at in 0..HEADER + ENTRY * whole.sections().len() {
        let mut bytes = file().to_vec();
        bytes[at] ^= 1;
        structure(&bytes).unwrap_err();
    }
    for cut in (0..file().len()).step_by(61) {
        structure(&file()[..cut]).unwrap_err();
    }
    let mut bytes = file().to_vec();
    bytes[whole.sections()[1].offset - 1] = 1;
    assert!(structure(&bytes).unwrap_err().message.contains("padding"));
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
