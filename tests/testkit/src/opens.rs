//! Engines that are opened, used and closed again and again: what stays in memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use adclick::builder::bundle::{self, Content, MODEL_FILE, Role};
use adclick::builder::model::pack_model;
use adclick::builder::table::{BuildOptions, Column, ColumnKind, Duplicates, Shard, TableBuilder, TableSpec};
use adclick::{Engine, Options, Row, ScorerLimits, Upsert, Value};

use crate::child::memory;
use crate::common::{Random, Wants, model};

/// Writes a table of one column and so many rows to the file `table`.
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

/// The part of a child: `opens ROOT OPENS THREADS`.
pub fn child_opens(words: &[&str]) {
    let [root, opens, threads] = words else { panic!("{words:?}") };
    child(Path::new(root), opens.parse().unwrap(), threads.parse().unwrap());
}

/// The most that may stay.
const MOST: u64 = 5 << 20;

/// Opens and closes so many engines with default options on so many threads; resident memory stays flat.
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
