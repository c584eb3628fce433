//! Engines that are opened, used and closed again and again: what stays in memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use adclick::builder::bundle::{self, Content, MODEL_FILE, Manifest, Role};
use adclick::builder::model::pack_model;
use adclick::builder::schema::{Embedding, Index};
use adclick::builder::table::{BuildOptions, Column, ColumnKind, Duplicates, Shard, TableBuilder, TableSpec};
use adclick::{Engine, OpenMode, Options, Row, ScorerLimits, Upsert, Value};

use crate::child::memory;
use crate::common::{Random, Wants, model};

/// Writes a table of one column and `rows` rows to the file `table`.
pub fn table(root: &Path, name: &str, rows: u64) {
    let spec = TableSpec {
        name: name.to_owned(),
        columns: vec![Column { name: "x".to_owned(), kind: ColumnKind::F32 }],
        default: vec![0; 8],
        built_us: 0,
        fresh_for_s: 0,
        shard: Shard::default(),
        provenance: String::new(),
    };
    let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 1 << 20, spill: root.to_owned() };
    let mut builder = TableBuilder::new(spec, options).unwrap();
    (1..=rows).for_each(|key| _ = builder.push(key, &[0; 8]).unwrap());
    builder.finish(&root.join("table"), &mut |_| {}).unwrap();
}

/// Writes the bundle `large`: a model and a table of about `mib` MiB each. Returns the bytes of its files.
pub fn write_large(root: &Path, mib: usize) -> u64 {
    let (mut spec, at, buckets) = (1..)
        .find_map(|seed| {
            let spec = model(&mut Random(seed), Wants::default());
            let index = |e: &Embedding| if let Index::Hashed { buckets } = e.index { Some(buckets) } else { None };
            let (at, buckets) = spec.schema.embeddings.iter().enumerate().find_map(|(at, e)| Some((at, index(e)?)))?;
            Some((spec, at, buckets))
        })
        .unwrap();
    let dim = spec.schema.embeddings[at].dim as usize;
    let more = (mib << 20) / (2 * dim);
    spec.schema.embeddings[at].index = Index::Hashed { buckets: buckets + more as u32 };
    let embedding = &mut spec.embeddings[at];
    embedding.rows.resize(embedding.rows.len() + more * dim, 0.25);
    if !embedding.wide.is_empty() {
        embedding.wide.resize(embedding.wide.len() + more * spec.network.heads.len(), 0.0);
    }
    let packed = pack_model(&spec).unwrap();
    // 18 bytes for a row.
    table(root, "users", (mib << 20) as u64 / 18);
    let files = [
        (Role::Model, MODEL_FILE, Content::Bytes(&packed)),
        (Role::Table, "users.adc", Content::Copy(&root.join("table"))),
    ];
    bundle::write_files(&root.join("large"), &files, true).unwrap();
    Manifest::read(&root.join("large")).unwrap().files.iter().map(|file| file.bytes).sum()
}

/// The part of a child: `open ROOT COPY`. Opens the bundle `large`, which takes at most twice its files' bytes and 64 MiB of
/// memory, mapped files among them. Prints how many milliseconds it took.
pub fn child_opens_large(words: &[&str]) {
    let [root, copy] = words else { panic!("{words:?}") };
    let at = Path::new(root).join("large");
    let bytes: u64 = Manifest::read(&at).unwrap().files.iter().map(|file| file.bytes).sum();
    let (before, begin) = (memory("VmRSS"), Instant::now());
    let mut options = Options::default();
    options.headroom = 100.0;
    options.mode = if *copy == "true" { OpenMode::Copy } else { OpenMode::Map };
    let engine = Engine::open(&at, &options).unwrap();
    let (took, grown) = (begin.elapsed(), memory("VmHWM") - before);
    println!("opened {bytes} bytes in {} ms with {} KiB", took.as_millis(), grown >> 10);
    assert!(grown <= 2 * bytes + (64 << 20), "{grown} bytes to open {bytes}");
    engine.close();
}

/// The part of a child: `opens ROOT OPENS THREADS`.
pub fn child_opens(words: &[&str]) {
    let [root, opens, threads] = words else { panic!("{words:?}") };
    child(Path::new(root), opens.parse().unwrap(), threads.parse().unwrap());
}

/// The most that may stay.
const MOST: u64 = 5 << 20;

/// Opens and closes `opens` engines with default options on `threads` threads; resident memory stays flat.
fn child(root: &Path, opens: usize, threads: usize) {
    table(root, "users", 100);
    let packed = pack_model(&model(&mut Random(1), Wants::default())).unwrap();
    let files = [
        (Role::Model, MODEL_FILE, Content::Bytes(&packed)),
        (Role::Table, "users.adc", Content::Copy(&root.join("table"))),
    ];
    bundle::write_files(&root.join("a"), &files, false).unwrap();
    let once = || {
        let engine = Engine::open(&root.join("a"), &Options::default()).unwrap();
        let scorer = engine.scorer(ScorerLimits::default()).unwrap();
        let table = engine.table("users").unwrap();
        let x = engine.column(table, "x").unwrap();
        let row = Row { key: 5, n_values: 1, ..Row::default() };
        let value = Value { feature: x, number: 2.0, id: 0 };
        engine.upsert(&Upsert { table, ..Upsert::default() }, &[row], &[value]).unwrap();
        engine.close();
        drop(scorer);
    };
    let done = AtomicUsize::new(0);
    let (warm, ready) = (opens / 5, std::sync::Barrier::new(threads + 1));
    let (before, after) = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for until in [warm, opens] {
                    while done.fetch_add(1, Ordering::Relaxed) < until {
                        once();
                    }
                    // All threads are idle while memory is looked at; they stay, and so do their arenas.
                    ready.wait();
                    ready.wait();
                }
            });
        }
        let look = || {
            ready.wait();
            let resident = memory("VmRSS");
            ready.wait();
            resident
        };
        (look(), look())
    });
    println!("{opens} opens on {threads} threads: {} KB before, {} KB after", before >> 10, after >> 10);
    assert!(after < before + MOST, "{before} bytes before, {after} after");
}
