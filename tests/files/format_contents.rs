//! The sections of a model file under attack, all checksums right, so that the inner checks are what is tested.

use adclick::builder::artifact::model::network::{Cross, Panels};
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::schema::Index;

use crate::attack::{bytes_of, field, file, open, put, refused, values, with};
use crate::sample::{self, Random, everything};
use testkit::container::u32_at;

/// Every place of the small sections, as every width of field: what is not a field is attacked as well.
#[test]
fn every_place_of_the_small_sections() {
    let mut accepted = 0;
    for name in ["schema", "network", "enrichment", "golden", "histograms", "ranges"] {
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
    let small: Vec<_> =
        ["schema", "network", "enrichment", "golden", "histograms"].map(|n| (n, bytes_of(file(), n))).into();
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

/// Ids that were chosen to share their first slot would make every search a walk through all of them.
#[test]
fn vocabularies_that_collide() {
    let n = 600u32;
    let (mut spec, expected) = sample::model(&everything());
    let e = &mut spec.schema.embeddings[0];
    e.index = Index::Vocabulary { count: n };
    let rows = e.rows() as usize;
    let (dim, wide, first) = (e.dim as usize, usize::from(e.wide), e.first_row());
    spec.embeddings[0].rows = vec![0.5; rows * dim];
    spec.embeddings[0].wide = vec![0.5; rows * wide * spec.network.heads.len()];
    spec.embeddings[0].vocabulary = (0..u64::from(n)).collect();
    let file = write(&spec, &expected).unwrap();
    let slots = 2048 * 16;
    for (collide, accept) in [(511, true), (512, true), (513, false), (600, false)] {
        let mut bytes = bytes_of(&file, "vocabulary");
        bytes[..slots].fill(0);
        for i in 0..n {
            // Ids past the colliding ones each have a slot of their own.
            let at = if i < collide { i } else { i + 700 };
            let id = sample::unmix(if i < collide { i.into() } else { u64::from(at) << (64 - 11) });
            let slot = &mut bytes[at as usize * 16..][..16];
            put(slot, 0, 8, id);
            put(slot, 8, 4, (first + i).into());
            put(slot, 12, 4, 1);
        }
        let result = open(&with(&file, "vocabulary", bytes));
        assert_eq!(result.is_ok(), accept, "{collide} ids of one slot: {:?}", result.err());
    }
}

/// Where the numbers of tables, parts, bindings and features stand in an `enrichment` section, by the table of the page,
/// with their widths; and those that are flags, kinds and measures.
#[derive(Default)]
struct Places {
    counts: Vec<(usize, usize)>,
    tables: Vec<usize>,
    features: Vec<usize>,
    choices: Vec<(usize, u64)>,
    end: usize,
}

fn enrichment_places(b: &[u8]) -> Places {
    fn column(p: &mut Places, b: &[u8], mut at: usize) -> usize {
        p.tables.push(at);
        at += 6 + field(b, at + 4, 2) as usize;
        p.choices.push((at, 2));
        at + 3
    }
    let mut p = Places::default();
    p.counts.push((0, 4));
    let mut at = 4;
    for _ in 0..u32_at(b, 0) {
        at += 2 + field(b, at, 2) as usize;
        p.counts.push((at, 1));
        at += 1;
        for _ in 0..b[at - 1] {
            p.choices.push((at, 5));
            at = if b[at] == 4 { column(&mut p, b, at + 1) } else { at + 1 };
        }
    }
    p.counts.push((at, 4));
    let n = u32_at(b, at);
    at += 4;
    for _ in 0..n {
        p.features.push(at);
        p.choices.push((at + 4, 2));
        if b[at + 4] == 1 {
            p.choices.push((at + 5, 2));
            let right = column(&mut p, b, at + 6);
            at = column(&mut p, b, right);
        } else {
            at = column(&mut p, b, at + 5);
        }
    }
    p.end = at;
    p
}

#[test]
fn enrichments_that_lie() {
    let bytes = bytes_of(file(), "enrichment");
    let places = enrichment_places(&bytes);
    assert_eq!(places.end, bytes.len(), "this test reads the section as the page says");
    assert!(places.counts.len() > 5 && places.features.len() > 4 && places.tables.len() > places.features.len());
    let attack = |at: usize, width: usize, new: u64| {
        let mut changed = bytes.clone();
        put(&mut changed, at, width, new);
        (changed != bytes).then(|| with(file(), "enrichment", changed))
    };
    let refused = |at: usize, width: usize, new: u64| {
        if let Some(file) = attack(at, width, new) {
            let e = refused(&file, &format!("offset {at}: {new}"));
            assert!(e.message.starts_with("section `enrichment`, offset "), "{e}");
        }
    };
    for &(at, width) in &places.counts {
        let old = field(&bytes, at, width);
        for new in values(old) {
            refused(at, width, new);
        }
    }
    // Tables and features that do not exist.
    let (tables, features) = (u64::from(u32_at(&bytes, 0)), open(file()).unwrap().schema().features.len() as u64);
    for (places, n) in [(&places.tables, tables), (&places.features, features)] {
        for &at in places {
            for new in [n, n + 1, 1 << 31, u64::MAX] {
                refused(at, 4, new);
            }
        }
    }
    // Features in their order, once each.
    for pair in places.features.windows(2) {
        refused(pair[1], 4, field(&bytes, pair[0], 4));
        refused(pair[0], 4, field(&bytes, pair[1], 4));
    }
    for &(at, known) in &places.choices {
        for new in known..256 {
            refused(at, 1, new);
        }
    }
    // 65 tables, and a table that nothing reads.
    let mut table = 3u16.to_le_bytes().to_vec();
    table.extend(b"t00\x01\x00");
    for more in [1, 64 - tables, 65 - tables] {
        let mut changed = bytes.clone();
        put(&mut changed, 0, 4, tables + more);
        let first = places.counts[0].0 + 4;
        for i in 0..more {
            table[3] = b'0' + (i / 10) as u8;
            table[4] = b'0' + (i % 10) as u8;
            changed.splice(first..first, table.clone());
        }
        let e = refused_bytes(changed);
        assert!(e.contains("section `enrichment`, offset "), "{e}");
        assert_eq!(e.contains("65 tables, at most 64"), more == 65 - tables, "{e}");
    }
}

fn refused_bytes(section: Vec<u8>) -> String {
    refused(&with(file(), "enrichment", section), "an enrichment").message
}
