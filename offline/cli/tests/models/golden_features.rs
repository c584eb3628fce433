//! The design document's 29 features: its own vectors against what the serving path assembles by the example schema.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::support;
use adclick::builder::bundle;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{Kind, Side, Source};
use adclick::{Candidate, Engine, Input, Options, Request, ScorerLimits, Value, category_id};
use adclick_data::schema_file::SchemaFile;
use adclick_train::pack;
use serde_json::Value as Json;

#[test]
fn golden_document_features_are_assembled_to_the_last_bit() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = std::env::var_os("ADCLICK_GOLDEN").map_or_else(|| here.join("../../tests/golden"), PathBuf::from);
    let path = golden.join("features/context.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let cases: Json = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = cases["vector_names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();

    let file = SchemaFile::read(&here.join("../../examples/schemas/document.toml")).unwrap();
    let features = &file.schema.features;
    assert_eq!(features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), names);

    // Any model over 29 columns: only its inputs are looked at.
    let weights = support::file_of(&[("output_layer.weight", &[1, 29], &[0.5; 29])]);
    let packed = pack::model(&weights, Some(&file), &pack::PackOptions::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bundle_path = folder.path().join("b");
    let bytes = pack_model(&packed.spec).unwrap();
    bundle::write(&bundle_path, &[(bundle::Role::Model, bundle::MODEL_FILE, &bytes)], false).unwrap();
    let engine = Engine::open(&bundle_path, &Options::default()).unwrap();
    let mut scorer = engine.scorer(ScorerLimits { max_candidates: 1 }).unwrap();
    let handle: HashMap<&str, u32> =
        features.iter().map(|f| (f.name.as_str(), engine.feature(&f.input).unwrap())).collect();

    for case in cases["rows"].as_array().unwrap() {
        let expected: Vec<f32> =
            case["vector_f32"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let (mut request_values, mut candidate_values) = (Vec::new(), Vec::new());
        for (feature, &number) in features.iter().zip(&expected) {
            let mut value = Value { feature: handle[feature.name.as_str()], number, id: 0 };
            match (feature.source, case["context"].get(&feature.input)) {
                (Source::Time, _) | (Source::Context, None) => continue,
                (Source::Context, Some(raw)) => match &feature.kind {
                    Kind::Number { .. } => value.number = raw.as_f64().unwrap() as f32,
                    _ => value.id = category_id(raw.as_str().unwrap().as_bytes()),
                },
                // The document's user, ad and pair features are constants: raw value and column are the same.
                _ => {}
            }
            match feature.side() {
                Side::Request => request_values.push(value),
                Side::Candidate => candidate_values.push(value),
            }
        }
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: case["unix_seconds"].as_i64().unwrap() * 1_000_000,
            n_values: request_values.len() as u32,
            n_candidates: 1,
            n_candidate_values: candidate_values.len() as u32,
            ..Request::default()
        };
        let candidates = [Candidate { n_values: candidate_values.len() as u32, ..Candidate::default() }];
        let input = Input {
            request: &request,
            values: &request_values,
            candidates: &candidates,
            candidate_values: &candidate_values,
            columns: Default::default(),
        };
        let mut x = [0.0; 29];
        scorer.model_input(input, 0, &mut x).unwrap();
        for ((name, got), expected) in names.iter().zip(x).zip(&expected) {
            let ulps = i64::from(got.to_bits()) - i64::from(expected.to_bits());
            assert!(got == *expected || ulps.abs() <= 1, "{name} of {case}: {got} for {expected}");
        }
    }
}
