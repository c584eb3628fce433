//! The same requests through the Rust, C and C++ surfaces give the same bytes (tests/parity/README.md).

use std::path::Path;

use crate::programs::{Language, Link, build, compilers, sanitizers, succeed};
use adclick::Status;
use testkit::parity;

#[test]
fn golden_requests_have_bit_equal_answers_in_rust_c_and_cpp() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    parity::make(directory.path(), parity::COUNT);
    let summary = parity::answer(&at("bundle"), &at("requests.bin"), &at("rust.bin"));
    // The requests say something: most are answered, in many ways, and some are refused in each way.
    assert_eq!(summary.answered, parity::COUNT - parity::COUNT / 20);
    let refusals = [Status::InvalidArgument, Status::InvalidValue, Status::CapacityExceeded].map(|s| s as i32);
    assert!(refusals.iter().all(|status| summary.refused.contains(status)), "{summary:?}");
    assert!(summary.winners > parity::COUNT && summary.reasons.len() >= 6, "{summary:?}");
    if !compilers() {
        return;
    }
    let expected = std::fs::read(at("rust.bin")).unwrap();
    let programs: [(&str, Language, Link, &[&str]); 4] = [
        ("tests/parity/answer.c", Language::C, Link::Shared, sanitizers()),
        ("tests/parity/answer.c", Language::C, Link::Static, &[]),
        ("tests/parity/answer.cpp", Language::Cpp, Link::Shared, &[]),
        ("tests/parity/answer.cpp", Language::Cpp, Link::Static, &["-std=c++20"]),
    ];
    for (source, language, link, flags) in programs {
        let built = build(source, language, link, flags);
        succeed(built.command().args([at("bundle"), at("requests.bin"), at("outputs.bin")]));
        same(&expected, &at("outputs.bin"), source);
    }
}

fn same(expected: &[u8], outputs: &Path, who: &str) {
    let found = std::fs::read(outputs).unwrap();
    assert_eq!(found.len(), expected.len(), "{who}: other answers, by length");
    let first = expected.iter().zip(&found).position(|(a, b)| a != b);
    assert_eq!(first, None, "{who}: the byte from which the answers differ");
}

#[test]
fn the_requests_are_the_same_each_time() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&a, &b] {
        parity::make(directory.path(), 100);
    }
    for file in ["requests.bin", "bundle/manifest.toml"] {
        let [a, b] = [&a, &b].map(|d| std::fs::read(d.path().join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
}
