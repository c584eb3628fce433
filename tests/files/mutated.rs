//! Changed bundles, in short; tests/long tries a hundred thousand.

use testkit::mutations;

#[test]
fn changed_bundles_are_refused_or_answer_as_they_should() {
    let counts = mutations::run(1, 3000);
    assert!(counts.accepted > 100 && counts.refused > 1000, "{counts:?}");
}
