//! Changed bundles, in short; tests/long tries a hundred thousand.

mod child;
mod common;
mod container;
mod mutations;
mod plain_tables;

#[test]
fn changed_bundles_are_refused_or_answer_as_they_should() {
    let counts = mutations::run(1, 3000);
    assert!(counts.accepted > 100 && counts.refused > 1000, "{counts:?}");
}
