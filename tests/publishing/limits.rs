//! Limits come before memory, and what is closed gives its memory back. Each part runs in a process of its own, whose memory
//! is measured. The long form is in tests/long.

use std::fs::{self, File};
use std::path::Path;

use adclick::builder::bundle::{self, CURRENT, Entry, MANIFEST, MODEL_FILE, Manifest, POLICY_FILE, Role};
use adclick::builder::hash::checksum;
use adclick::builder::model::pack_model;
use adclick::{Engine, OpenMode, Options, Row, Status, Upsert, Value};
use testkit::child::memory;
use testkit::common::{Random, Wants, model};
use testkit::container::{assemble, split};
use testkit::{child, opens};

fn good(root: &Path) -> Vec<u8> {
    let model = pack_model(&model(&mut Random(1), Wants::default())).unwrap();
    let files =
        [(Role::Model, MODEL_FILE, model.as_slice()), (Role::Policy, POLICY_FILE, b"squash = 0.5\n".as_slice())];
    bundle::write(&root.join("a"), &files, true).unwrap();
    bundle::publish(&root.join("a")).unwrap();
    model
}

/// Opens in both modes; both are refused with this in the message.
fn refused(path: &Path, part: &str) {
    for mode in [OpenMode::Map, OpenMode::Copy] {
        let mut options = Options::default();
        options.mode = mode;
        let refused = Engine::open(path, &options).err().unwrap_or_else(|| panic!("{part}: accepted"));
        assert!(refused.status == Status::Corrupt && refused.message.contains(part), "`{part}` is not in: {refused}");
    }
}

/// Large files where small ones are expected, or other lengths.
pub(crate) fn sparse(root: &Path) {
    good(root);
    let before = memory("VmHWM");
    let grow = |path: &Path, len: u64| File::options().write(true).open(path).unwrap().set_len(len).unwrap();
    grow(&root.join(CURRENT), 500 << 20);
    refused(root, "CURRENT: 524288000 bytes, expected at most 4096");
    fs::write(root.join(CURRENT), "a\n").unwrap();
    let manifest = root.join("a").join(MANIFEST);
    let text = fs::read(&manifest).unwrap();
    grow(&manifest, 500 << 20);
    refused(root, "manifest.toml: 524288000 bytes, expected at most 1048576");
    fs::write(&manifest, &text).unwrap();
    grow(&root.join("a").join(MODEL_FILE), 3 << 30);
    refused(root, "model.adc: 3221225472 bytes, the manifest says");
    good(root);
    // A policy of the length that the manifest says.
    grow(&root.join("a").join(POLICY_FILE), 500 << 20);
    let mut listed = Manifest::read(&root.join("a")).unwrap();
    listed.files[1].bytes = 500 << 20;
    fs::write(&manifest, listed.to_toml()).unwrap();
    refused(root, "524288000 bytes, expected at most 65536");
    // As long as a manifest may be, and as deep and as full of small things as such a text can be.
    let pieces = [
        ("[[file]]\n", ""),
        ("a=1\n", ""),
        ("x=[", "["),
        ("", "a.b.c.d={e={f={}}}\n"),
        ("format=1\nfile=[", "1,"),
        ("format=1\nfile=[", "1   ,"),
        ("format=1\nfile=[", "{aa=\"b\"}, "),
        ("", "[[file]]          \n"),
        ("", "a a "),
        ("", "\"\""),
        ("", "#\n"),
        ("", "\n"),
    ];
    for (front, piece) in pieces {
        let mut text = front.to_owned();
        (0..((1 << 20) - front.len()) / piece.len().max(1)).for_each(|_| text += piece);
        fs::write(&manifest, text).unwrap();
        refused(root, "manifest.toml");
        println!("{front}{piece}: {} MB", (memory("VmHWM") - before) >> 20);
    }
    // The same as a policy.
    fs::write(&manifest, &text).unwrap();
    good(root);
    for piece in ["a=1\n", "[a]\n", "x=[[[[[[[[[["] {
        let text = piece.repeat((64 << 10) / piece.len());
        let mut listed = Manifest::read(&root.join("a")).unwrap();
        (listed.files[1].bytes, listed.files[1].xxh3) = (text.len() as u64, checksum(text.as_bytes()));
        fs::write(root.join("a").join(POLICY_FILE), text).unwrap();
        fs::write(&manifest, listed.to_toml()).unwrap();
        refused(root, POLICY_FILE);
    }
    let grown = memory("VmHWM") - before;
    println!("opening took {} MB at most", grown >> 20);
    assert!(grown < 68 << 20, "{grown} bytes");
}

#[test]
fn limits_come_before_memory() {
    let directory = tempfile::tempdir().unwrap();
    child::run(&[], &format!("sparse {}", directory.path().display()));
}

/// Many small tables that the model does not read.
pub(crate) fn tables(root: &Path) {
    const TABLES: usize = 4000;
    let name = |i: usize| format!("t{i:04}");
    opens::table(root, &name(0), 8);
    let parts = split(&fs::read(root.join("table")).unwrap());
    let model = good(root);
    let mut manifest = Manifest::read(&root.join("a")).unwrap();
    for i in 0..TABLES {
        let mut parts = parts.clone();
        let head = &mut parts.iter_mut().find(|p| p.name == "table").unwrap().bytes;
        head[2..7].copy_from_slice(name(i).as_bytes());
        let bytes = assemble(2, &parts);
        assert!(bytes.len() <= 1024, "{}", bytes.len());
        let entry = Entry { role: Role::Table, name: name(i), bytes: bytes.len() as u64, xxh3: checksum(&bytes) };
        fs::write(root.join("a").join(name(i)), bytes).unwrap();
        manifest.files.push(entry);
    }
    drop(model);
    fs::write(root.join("a").join(MANIFEST), manifest.to_toml()).unwrap();
    let before = memory("VmRSS");
    let engine = Engine::open(root, &Options::default()).unwrap();
    let grown = memory("VmRSS").saturating_sub(before);
    println!("{TABLES} tables: {} MB", grown >> 20);
    assert!(grown < 50 << 20, "{grown} bytes");
    // Any of them can be written on, and takes memory then.
    let table = engine.table(&name(1234)).unwrap();
    let x = engine.column(table, "x").unwrap();
    let row = Row { key: 5, n_values: 1, ..Row::default() };
    let value = Value { feature: x, number: 2.0, id: 0 };
    engine.upsert(&Upsert { table, ..Upsert::default() }, &[row], &[value]).unwrap();
    let info = engine.table_info(table).unwrap();
    assert_eq!((info.overlay_rows, info.overlay_capacity), (1, 65_536));
    let grown = memory("VmRSS").saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes");
}

#[test]
fn thousands_of_small_tables_take_little_memory() {
    let directory = child::quick_directory();
    child::run(&[], &format!("tables {}", directory.path().display()));
}

/// A relative path stays what it was when the process goes elsewhere.
pub(crate) fn chdir(root: &Path) {
    good(root);
    std::env::set_current_dir(root.parent().unwrap()).unwrap();
    let engine = Engine::open(Path::new(root.file_name().unwrap()), &Options::default()).unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_eq!(engine.poll().unwrap(), None);
    let model = pack_model(&model(&mut Random(1), Wants::default())).unwrap();
    let id = bundle::write(&root.join("b"), &[(Role::Model, MODEL_FILE, &model)], false).unwrap();
    bundle::publish(&root.join("b")).unwrap();
    assert_eq!(engine.poll().unwrap(), Some(id));
}

#[test]
fn a_relative_path_is_resolved_once() {
    let directory = tempfile::tempdir().unwrap();
    child::run(&[], &format!("chdir {}", directory.path().display()));
}

#[test]
fn closed_engines_give_their_memory_back() {
    let directory = child::quick_directory();
    child::run(&[], &format!("opens {} 1500 4", directory.path().display()));
}

#[test]
fn good_files_take_memory_by_their_size() {
    let directory = child::quick_directory();
    for mib in [1, 12] {
        opens::write_large(directory.path(), mib);
        for copy in [false, true] {
            child::run(&[], &format!("open {} {copy}", directory.path().display()));
        }
    }
}
