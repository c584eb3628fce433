//! The long forms of tests: minutes each. `make test-long` runs them, in release and one after the other.

#[path = "../child/mod.rs"]
mod child;
#[path = "../common/mod.rs"]
mod common;
#[path = "../container/mod.rs"]
mod container;
#[path = "../mutations/mod.rs"]
mod mutations;
#[path = "../opens/mod.rs"]
mod opens;
#[path = "../plain_tables/mod.rs"]
mod plain_tables;
#[path = "../publishers/mod.rs"]
mod publishers;

use std::path::Path;

#[test]
#[ignore = "a part of the other tests, in a process of its own"]
fn in_a_child() {
    let Some(part) = child::part() else { return };
    let words: Vec<&str> = part.split(' ').collect();
    match words[..] {
        ["publish", ref rest @ ..] => publishers::child_publishes(rest),
        ["opens", root] => opens::child(Path::new(root), 100_000, 16),
        _ => panic!("{part}"),
    }
}

#[test]
#[ignore = "long: make test-long"]
fn a_hundred_thousand_changed_bundles() {
    let counts = mutations::run(77, 100_000);
    println!("{counts:?}");
    assert!(counts.accepted > 5_000 && counts.refused > 30_000, "{counts:?}");
}

#[test]
#[ignore = "long: make test-long"]
fn a_hundred_thousand_engines_opened_and_closed_on_sixteen_threads() {
    let directory = child::quick_directory();
    println!("{}", child::run(&[], &format!("opens {}", directory.path().display())));
}

#[test]
#[ignore = "long: make test-long"]
fn two_thousand_killed_publishers() {
    publishers::run(child::quick_directory().path(), 8, 1500, 11);
    publishers::run(tempfile::tempdir().unwrap().path(), 6, 500, 12);
}
