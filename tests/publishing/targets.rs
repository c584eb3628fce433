//! What a bundle may be written over, and which names there are: only a bundle is ever replaced, and writers and readers have
//! one rule.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use adclick::builder::bundle::{self, CURRENT, Content, MANIFEST, MODEL_FILE, Manifest, Role};
use adclick::{Engine, Status};
use testkit::common::{Bundles, Random, Wants, model, options};

/// All files under a directory, and where links lead.
fn tree(at: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        if found.is_dir() {
            tree(&path, all);
            all.insert(path, Vec::new());
        } else if found.is_symlink() {
            let to = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
            all.insert(path, to);
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, bytes);
        }
    }
}

#[test]
fn only_a_bundle_is_ever_replaced() {
    let bundles = Bundles::new();
    let spec = model(&mut Random(1), Wants::default());
    for name in ["a", "b", "more", "few", "linked"] {
        bundles.write(name, &spec);
    }
    bundle::publish(&bundles.path("a")).unwrap();
    let at = |name: &str| bundles.path(name);
    fs::create_dir_all(at("home/photos")).unwrap();
    fs::write(at("home/photos/1.jpg"), "dear").unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("file"), "dear").unwrap();
    fs::write(at("more/README"), "dear").unwrap();
    fs::create_dir(at("b/tables")).unwrap();
    symlink(at("linked"), at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other").join(MANIFEST), "name = \"my app\"\nfiles = [\"a\"]\n").unwrap();
    let mut before = BTreeMap::new();
    tree(bundles.root(), &mut before);
    let root = bundles.root().to_owned();
    let cases: [(PathBuf, &str); 14] = [
        (at("home"), "is no bundle"),
        (at("home/photos/1.jpg"), "no directory"),
        (at("empty"), "is no bundle"),
        (at("file"), "no directory"),
        (at("more"), "README is in it"),
        (at("b"), "tables is in it"),
        (at("link"), "symbolic link"),
        (at("link/"), "symbolic link"),
        (at("dangling"), "symbolic link"),
        (at("other"), "unknown key"),
        (at(CURRENT), "cannot have the name CURRENT"),
        (at("a/.."), "ends in no name"),
        (
            root.clone(),
            if root.file_name().unwrap().to_str().unwrap().starts_with('.') {
                "a dot"
            } else {
                "a directory of bundles"
            },
        ),
        (PathBuf::from("/"), "ends in no name"),
    ];
    for (target, what) in cases {
        let refused = bundle::write(&target, &[(Role::Model, MODEL_FILE, b"new")], true).unwrap_err();
        assert_eq!(refused.status, Status::InvalidArgument, "{refused}");
        assert!(refused.message.contains(what), "`{what}` is not in: {refused}");
        let mut after = BTreeMap::new();
        tree(bundles.root(), &mut after);
        assert!(after == before, "{} changed something", target.display());
    }
    // A bundle is, also one that lost a file.
    fs::remove_file(at("few").join(MODEL_FILE)).unwrap();
    for name in ["few", "linked", "a"] {
        bundles.write(name, &spec);
    }
    Engine::open(bundles.root(), &options("portable")).unwrap();
}

#[test]
fn writers_and_readers_have_one_rule_for_names() {
    let bundles = Bundles::new();
    let spec = model(&mut Random(2), Wants::default());
    bundles.write("good", &spec);
    bundle::publish(&bundles.path("good")).unwrap();
    let long = "x".repeat(201);
    for name in ["a\\b", "a\nb", "a\rb", ".a", "a\"b", "CURRENT", "a\u{7f}", long.as_str()] {
        let path = bundles.path(name);
        let refused = bundle::write(&path, &[(Role::Model, MODEL_FILE, b"")], false).unwrap_err();
        assert_eq!(refused.status, Status::InvalidArgument, "{name:?}: {refused}");
        // Brought there by other means, it is not published; if somebody names it, it is not followed.
        if name != CURRENT {
            let _ = fs::rename(bundles.path("good"), &path);
            if path.exists() {
                assert_eq!(bundle::publish(&path).unwrap_err().status, Status::InvalidArgument);
                fs::write(bundles.path(CURRENT), format!("{name}\n")).unwrap();
                assert_eq!(bundle::current(bundles.root()).unwrap_err().status, Status::Corrupt, "{name:?}");
                fs::rename(&path, bundles.path("good")).unwrap();
            }
        }
        if name != CURRENT {
            let refused = bundle::write(&bundles.path("new"), &[(Role::Model, name, b"")], false).unwrap_err();
            assert_eq!(refused.status, Status::InvalidArgument, "{name:?}: {refused}");
        }
    }
    for name in ["a b", "\u{e4}", "2026-11-23T08:00", "a..b", &"x".repeat(200)] {
        bundles.write(name, &spec);
        bundle::publish(&bundles.path(name)).unwrap();
        assert_eq!(bundle::current(bundles.root()).unwrap(), bundles.path(name));
    }
    // Twice the same name, and the manifest's own.
    for files in [[MODEL_FILE, MODEL_FILE], [MODEL_FILE, MANIFEST]] {
        let files = files.map(|name| (Role::Table, name, Content::Bytes(b"")));
        assert_eq!(
            bundle::write_files(&bundles.path("new"), &files, false).unwrap_err().status,
            Status::InvalidArgument
        );
    }
    assert!(!bundles.path("new").exists());
    // A bundle that is not whole is not published.
    fs::remove_file(bundles.path("good").join(MODEL_FILE)).unwrap();
    assert_eq!(bundle::publish(&bundles.path("good")).unwrap_err().status, Status::Io);
    assert!(Manifest::read(&bundles.path("good")).is_ok());
}
