//! Policies read and written.

use super::*;

#[test]
fn an_empty_text_is_the_default() {
    assert_eq!(Policy::parse("").unwrap(), Policy::default());
    let policy = Policy::default();
    assert_eq!((policy.pricing(), policy.squash(), policy.score_floor_micros()), (Pricing::Gsp, 1.0, 0));
}

#[test]
fn the_text_form_comes_back() {
    let text = "squash = 0.123456789012345678\nscore_floor_micros = 250000\n\
                [reserve_micros]\nocpm = 9223372036854775807\ncpc = 10000\n";
    let policy = Policy::parse(text).unwrap();
    assert_eq!(policy.reserve_micros(BidKind::Ocpm), i64::MAX);
    assert_eq!(policy.reserve_micros(BidKind::Cpc), 10_000);
    assert_eq!(policy.reserve_micros(BidKind::Cpm), 0);
    for policy in [policy, Policy::default(), Policy::default().with_squash(1e-7).unwrap()] {
        assert_eq!(Policy::parse(&policy.to_toml()).unwrap(), policy);
    }
    assert_eq!(Policy::parse("squash = 1").unwrap(), Policy::default());
}

#[test]
fn what_is_wrong_is_named() {
    for (text, status, message) in [
        (
            "sqaush = 0.5",
            Status::Unsupported,
            "line 1: unknown key sqaush, the known ones are pricing, ties, squash, score_floor_micros, unit_micros, \
             bid_rounding, slot_factors, mean_probability, reserve_micros, page, tier, modifier, reserve, cold_start, \
             exploration, document",
        ),
        (
            "\n[reserve_micros]\ncpx = 1",
            Status::Unsupported,
            "line 3: unknown key reserve_micros.cpx, the known ones are cpm, cpc, cpa, ocpm",
        ),
        (
            "pricing = \"third\"",
            Status::Unsupported,
            "line 1: pricing: expected one of \"gsp\", \"vcg\", \"first\", \"document\", found \"third\"",
        ),
        ("pricing = 2", Status::InvalidArgument, "line 1: pricing: expected a string, found integer 2"),
        ("squash = \"0.5\"", Status::InvalidArgument, "line 1: squash: expected a number, found string \"0.5\""),
        ("squash = 0.0", Status::InvalidArgument, "line 1: squash: expected a number above 0 and at most 1, found 0"),
        ("squash = nan", Status::InvalidArgument, "line 1: squash: expected a number above 0 and at most 1, found NaN"),
        ("squash = 1.5", Status::InvalidArgument, "line 1: squash: expected a number above 0 and at most 1, found 1.5"),
        (
            "score_floor_micros = 0.5",
            Status::InvalidArgument,
            "line 1: score_floor_micros: expected a 64-bit integer of micros, found float 0.5",
        ),
        (
            "score_floor_micros = 9223372036854775808",
            Status::InvalidArgument,
            "line 1: score_floor_micros: expected a 64-bit integer of micros, found integer 9223372036854775808",
        ),
        (
            "score_floor_micros = -1",
            Status::InvalidArgument,
            "line 1: score_floor_micros: expected 0 or more, found -1",
        ),
        ("reserve_micros = 3", Status::InvalidArgument, "line 1: reserve_micros: expected a table, found integer 3"),
        (
            "reserve_micros.cpa = -3",
            Status::InvalidArgument,
            "line 1: reserve_micros.cpa: expected 0 or more, found -3",
        ),
    ] {
        let error = Policy::parse(text).unwrap_err();
        assert_eq!((error.status, error.message.as_str()), (status, message), "{text}");
    }
    let error = Policy::parse("squash = ").unwrap_err();
    assert!(error.message.starts_with("not TOML: "), "{error}");
}
