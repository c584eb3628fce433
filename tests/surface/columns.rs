//! The examples that pass values in columns say what the Rust API says of the same values, passed one by one.

use adclick::{Candidate, Engine, Input, Options, Request, ScorerLimits, Value, category_id};

use crate::programs::{Language, Link, build, compilers, root, sanitizers, succeed};

const ADS: [(&str, Option<[f32; 2]>); 4] =
    [("a1", Some([0.031, 900.0])), ("a2", Some([0.052, 400.0])), ("a3", None), ("a4", Some([0.02, 50.0]))];

fn expected() -> String {
    let engine = Engine::open(&root().join("examples/bundles"), &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits::default()).unwrap();
    let features = ["ad_ctr_7d", "ad_impressions_7d"].map(|name| engine.feature(name).unwrap());
    let (mut candidates, mut values) = (Vec::new(), Vec::new());
    for (ad, numbers) in ADS {
        let first_value = values.len() as u32;
        let numbers = numbers.into_iter().flatten();
        values.extend(features.iter().zip(numbers).map(|(&feature, number)| Value { feature, number, id: 0 }));
        let n_values = values.len() as u32 - first_value;
        candidates.push(Candidate {
            ad_key: category_id(ad.as_bytes()),
            first_value,
            n_values,
            ..Candidate::default()
        });
    }
    let request = Request { user_key: category_id(b"u1001"), time_us: 1_793_000_000_000_000, ..Request::default() };
    let request = request.counting(&[], &candidates, &values);
    let input = Input {
        request: &request,
        values: &[],
        candidates: &candidates,
        candidate_values: &values,
        columns: Default::default(),
    };
    let mut pctr = [0.0; ADS.len()];
    scorer.score(input, &mut pctr, &mut []).unwrap();
    ADS.iter().zip(pctr).map(|((ad, _), p)| format!("ad {ad}: pCTR {p:.6}\n")).collect()
}

#[test]
fn examples_with_columns_say_what_values_say() {
    if !compilers() {
        return;
    }
    let expected = expected();
    for (source, language) in [("examples/c/columns.c", Language::C), ("examples/cpp/columns.cpp", Language::Cpp)] {
        let built = build(source, language, Link::Shared, sanitizers());
        assert_eq!(succeed(built.command().arg(root().join("examples/bundles"))), expected, "{source}");
    }
}
