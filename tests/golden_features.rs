//! Golden instants, contexts and hashes (`features/`), through the public surface: a schema that says what the
//! reference's 29 features are made of gives the reference's vector.

mod common;

use std::path::PathBuf;

use adclick::artifact::model::spec::{EmbeddingSpec, HeadKind, HeadSpec, ModelSpec, NetworkSpec, Structure};
use adclick::hash::category_id;
use adclick::schema::{Embedding, Enrichment, Feature, Index, Kind, Schema, Side, Source, Transform};
use adclick::types::{Candidate, Request, Value};
use adclick::{Engine, Options};
use common::{Bundles, Case, scorer};
use serde_json::Value as Json;

fn golden(name: &str) -> Json {
    let root = std::env::var_os("ADCLICK_GOLDEN").map_or_else(|| PathBuf::from("tests/golden"), PathBuf::from);
    let path = root.join("features").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn number(clip: (f32, f32), scale: f32, default: f32) -> Kind {
    Kind::Number { transform: Transform { clip, scale, ..Transform::default() }, default }
}

const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// A category and its frozen rows of one column; unknown ones are 0.
struct Category {
    name: &'static str,
    rows: &'static [(&'static str, f32)],
    /// What an absent one counts as.
    missing: Option<&'static str>,
}

const CATEGORIES: [Category; 3] = [
    Category { name: "device_type", rows: &[("mobile", 1.0)], missing: Some("mobile") },
    Category { name: "placement", rows: &[("feed", 0.0), ("story", 0.5), ("right_column", 1.0)], missing: None },
    Category { name: "connection_wifi", rows: &[("wifi", 1.0)], missing: Some("wifi") },
];

fn feature(name: &str) -> Feature {
    let time = |input: &str, scale| (input.to_owned(), Source::Time, number(FREE, scale, 0.0));
    let (input, source, kind) = match name {
        "hour_of_day" => time("hour", 24.0),
        "day_of_week" => time("weekday", 7.0),
        "is_weekend" => time("weekend", 1.0),
        "session_depth" => (name.to_owned(), Source::Context, number((f32::NEG_INFINITY, 20.0), 20.0, 0.0)),
        _ => match CATEGORIES.iter().position(|c| c.name == name) {
            Some(i) => {
                let default = CATEGORIES[i].missing.map(|text| category_id(text.as_bytes()));
                let kind = Kind::Category { embedding: i as u32, boundaries: Vec::new(), default };
                (name.to_owned(), Source::Context, kind)
            }
            None => {
                let candidate = !name.starts_with("user_") || name.starts_with("user_advertiser");
                let source = if candidate { Source::Candidate } else { Source::Context };
                (name.to_owned(), source, number(FREE, 1.0, 0.0))
            }
        },
    };
    Feature { name: name.to_owned(), input, source, kind, position: None }
}

fn spec(names: &[String]) -> ModelSpec {
    let embeddings = CATEGORIES.map(|Category { name, rows, .. }| Embedding {
        name: name.to_owned(),
        index: Index::Vocabulary { count: rows.len() as u32 },
        dim: 1,
        unknown_row: false,
        missing_row: false,
        wide: false,
    });
    let tables = CATEGORIES.map(|Category { rows, .. }| EmbeddingSpec {
        rows: rows.iter().map(|r| r.1).collect(),
        vocabulary: rows.iter().map(|r| category_id(r.0.as_bytes())).collect(),
        wide: Vec::new(),
    });
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight: vec![0.01; names.len()], bias: 0.0 };
    ModelSpec {
        schema: Schema { features: names.iter().map(|n| feature(n)).collect(), embeddings: embeddings.into() },
        enrichment: Enrichment::default(),
        network: NetworkSpec { structure: Structure::Parallel, cross: Vec::new(), deep: Vec::new(), heads: vec![head] },
        embeddings: tables.into(),
        provenance: String::new(),
        histograms: Vec::new(),
        goldens: Vec::new(),
    }
}

/// Distance in f32 steps.
fn steps(a: f32, b: f32) -> u32 {
    let key = |x: f32| if x < 0.0 { -i64::from(x.to_bits() & 0x7fff_ffff) } else { i64::from(x.to_bits()) };
    (key(a) - key(b)).unsigned_abs() as u32
}

#[test]
fn golden_contexts_become_the_references_29_inputs() {
    let file = golden("context.json");
    let names: Vec<String> =
        file["vector_names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
    let spec = spec(&names);
    let bundles = Bundles::new();
    bundles.write("b", &spec);
    let engine = Engine::open(&bundles.path("b"), &Options::default()).unwrap();
    let mut scorer = scorer(&engine, 1);
    let rows = file["rows"].as_array().unwrap();
    for row in rows {
        let expected: Vec<f32> =
            row["vector_f32"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        let (mut request, mut candidate, mut passed) = (Vec::new(), Vec::new(), 0);
        for (f, &x) in spec.schema.features.iter().zip(&expected) {
            let to = if f.side() == Side::Request { &mut request } else { &mut candidate };
            let handle = engine.feature(&f.input).unwrap();
            let key = if f.name == "connection_wifi" { "connection" } else { &f.name };
            match (&f.kind, f.source) {
                (_, Source::Time) => {}
                (Kind::Category { .. }, _) => {
                    if let Some(text) = row["context"].get(key) {
                        let id = category_id(text.as_str().unwrap().as_bytes());
                        to.push(Value { feature: handle, number: 0.0, id });
                    }
                }
                _ if f.name == "session_depth" => {
                    if let Some(depth) = row["context"].get(key) {
                        to.push(Value { feature: handle, number: depth.as_f64().unwrap() as f32, id: 0 });
                    }
                }
                // The reference takes these from its tables; here they are passed.
                _ => {
                    passed += 1;
                    to.push(Value { feature: handle, number: x, id: 0 });
                }
            }
        }
        assert_eq!(passed, 22);
        let mut case = Case { values: request, ..Case::default() };
        case.request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: row["unix_seconds"].as_i64().unwrap() * 1_000_000,
            ..Request::default()
        };
        case.push(Candidate::default(), &candidate);
        let mut x = vec![f32::NAN; names.len()];
        scorer.model_input(case.input(), 0, &mut x).unwrap();
        for ((name, x), expected) in names.iter().zip(x).zip(expected) {
            assert!(steps(x, expected) <= 1, "{}, {name}: {x}, expected {expected}", row["time_utc"]);
        }
    }
    assert_eq!(rows.len(), 200);
}

#[test]
fn golden_hashes_are_category_ids() {
    let rows = golden("hashing.json");
    let rows = rows.as_array().unwrap();
    assert!(rows.len() > 100);
    for row in rows {
        let token = row["token"].as_str().unwrap();
        let expected = u64::from_str_radix(row["xxh3_64_seed0_hex"].as_str().unwrap(), 16).unwrap();
        assert_eq!(category_id(token.as_bytes()), expected, "{token:?}");
    }
}
