//! Golden instants, contexts and hashes (`features/`), through the public surface: a schema that says what the
//! reference's 29 features are made of gives the reference's vector, from values that are passed and from tables.

use std::path::PathBuf;

use adclick::builder::artifact::model::spec::{EmbeddingSpec, HeadKind, HeadSpec, ModelSpec, NetworkSpec, Structure};
use adclick::builder::schema::{
    Binding, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Lookup, Measure, Schema, Side, Source,
    TableUse, Transform,
};
use adclick::builder::table::{Column, ColumnKind};
use adclick::{Candidate, Engine, Options, Request, Value, category_id, composite_key};
use serde_json::Value as Json;
use testkit::common::{Bundles, Case, scorer};
use testkit::plain_tables::{self, Plain, PlainTable};

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
        ranges: Vec::new(),
        goldens: Vec::new(),
    }
}

/// The tables of an ad server, and which of the reference's features each gives. `user_category_affinity` is of a user
/// and the category of an ad, which the table of ads knows.
const TABLES: [(&str, &[&str]); 5] = [
    (
        "users",
        &[
            "user_ctr_7d",
            "user_ctr_30d",
            "user_impressions_7d",
            "user_clicks_7d",
            "user_age_bucket",
            "user_gender",
            "user_interest_embedding_0",
            "user_interest_embedding_1",
            "user_engagement_score",
            "user_ad_frequency_cap_remaining",
        ],
    ),
    (
        "ads",
        &[
            "ad_ctr_7d",
            "ad_ctr_30d",
            "ad_impressions_7d",
            "ad_creative_type",
            "ad_text_embedding_0",
            "landing_page_quality",
            "ad_engagement_rate",
        ],
    ),
    ("advertisers", &["advertiser_quality_score"]),
    ("users_and_advertisers", &["user_advertiser_click_rate", "user_advertiser_impressions"]),
    ("users_and_categories", &["user_category_affinity"]),
];
const USER: u64 = 77;
const AD: u64 = 1001;
const ADVERTISER: u64 = 12;
const CATEGORY: u64 = 5;

/// The same schema with these features where the design has them: 22 of 29 from tables.
fn spec_with_tables(names: &[String]) -> ModelSpec {
    let mut spec = spec(names);
    let of = |table: u32, column: &str| ColumnUse { table, column: column.to_owned(), position: None };
    let keys = [
        vec![KeyPart::User],
        vec![KeyPart::Ad],
        vec![KeyPart::Advertiser],
        vec![KeyPart::User, KeyPart::Advertiser],
        vec![KeyPart::User, KeyPart::Column(of(1, "category"))],
    ];
    let tables = TABLES.iter().zip(keys).map(|((name, _), key)| TableUse { name: (*name).to_owned(), key });
    spec.enrichment.tables = tables.collect();
    for (i, f) in (0..).zip(&mut spec.schema.features) {
        let table = TABLES.iter().position(|(_, columns)| columns.contains(&f.name.as_str()));
        let lookup = match (table, f.name.as_str()) {
            (Some(table), name) => {
                f.source = [Source::User, Source::Ad, Source::Ad, Source::Cross, Source::Cross][table];
                Lookup::Column(of(table as u32, name))
            }
            (None, "embedding_similarity") => {
                f.source = Source::Dot;
                Lookup::Similarity { left: of(0, "interests"), right: of(1, "text"), measure: Measure::Dot }
            }
            _ => continue,
        };
        spec.enrichment.bindings.push(Binding { feature: i, lookup });
    }
    assert_eq!(spec.enrichment.bindings.len(), 22);
    spec
}

/// The tables with one row of the reference's values each.
fn tables(value: impl Fn(&str) -> f32) -> Vec<PlainTable> {
    // fp16 vectors whose dot product is an f32: each value holds what those before it left of it.
    let mut left = value("embedding_similarity");
    let parts: Vec<f32> = (0..3)
        .map(|_| {
            let part = half::f16::from_f32(left).to_f32();
            left -= part;
            part
        })
        .collect();
    let vector = ColumnKind::Vector { dim: 3 };
    let keys = [USER, AD, ADVERTISER, composite_key(&[USER, ADVERTISER]), composite_key(&[USER, CATEGORY])];
    let table = |((name, columns), key): (&(&str, &[&str]), u64)| {
        let mut row: Vec<_> = columns.iter().map(|c| (*c, ColumnKind::F32, Plain::Number(value(c)))).collect();
        match *name {
            "users" => row.push(("interests", vector, Plain::Vector(parts.clone()))),
            "ads" => {
                row.push(("text", vector, Plain::Vector(vec![1.0; 3])));
                row.push(("category", ColumnKind::U32 { cap: 1 }, Plain::Ids(vec![CATEGORY])));
            }
            _ => {}
        }
        let columns: Vec<_> = row.iter().map(|c| Column { name: c.0.to_owned(), kind: c.1 }).collect();
        PlainTable {
            name: (*name).to_owned(),
            default: vec![Plain::Missing; columns.len()],
            columns,
            rows: [(key, row.into_iter().map(|c| c.2).collect())].into(),
            shards: 1,
            there: vec![0],
            ..PlainTable::default()
        }
    };
    TABLES.iter().zip(keys).map(table).collect()
}

/// Distance in f32 steps.
fn steps(a: f32, b: f32) -> u32 {
    let key = |x: f32| if x < 0.0 { -i64::from(x.to_bits() & 0x7fff_ffff) } else { i64::from(x.to_bits()) };
    (key(a) - key(b)).unsigned_abs() as u32
}

#[test]
fn golden_contexts_become_the_references_29_inputs() {
    let (file, names) = contexts();
    let spec = spec(&names);
    let bundles = Bundles::new();
    bundles.write("b", &spec);
    check_contexts(&bundles, &spec, file["rows"].as_array().unwrap(), 22);
}

/// By ids alone: what the reference takes from its tables comes from tables, the context from the request.
#[test]
fn golden_contexts_become_the_references_29_inputs_through_tables() {
    let (file, names) = contexts();
    let spec = spec_with_tables(&names);
    let rows = file["rows"].as_array().unwrap();
    let value = |row: &Json, name: &str| {
        let at = names.iter().position(|n| n == name).unwrap();
        row["vector_f32"][at].as_f64().unwrap() as f32
    };
    let fixed = |name: &str| rows.iter().all(|row| value(row, name) == value(&rows[0], name));
    assert!(TABLES.iter().flat_map(|(_, columns)| *columns).all(|name| fixed(name)), "one user, one ad");
    let bundles = Bundles::new();
    plain_tables::write(&bundles, "b", &spec, &tables(|name| value(&rows[0], name)));
    check_contexts(&bundles, &spec, rows, 0);
}

fn contexts() -> (Json, Vec<String>) {
    let file = golden("context.json");
    let names = file["vector_names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect();
    (file, names)
}

/// Every row's request gives its vector; `expected_passed` of its values are passed beside the context.
fn check_contexts(bundles: &Bundles, spec: &ModelSpec, rows: &[Json], expected_passed: usize) {
    let engine = Engine::open(&bundles.path("b"), &Options::default()).unwrap();
    let mut scorer = scorer(&engine, 1);
    let from_table = |i: usize| spec.enrichment.bindings.iter().any(|b| b.feature as usize == i);
    for row in rows {
        let expected: Vec<f32> =
            row["vector_f32"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        let (mut request, mut candidate, mut passed) = (Vec::new(), Vec::new(), 0);
        for (i, (f, &x)) in spec.schema.features.iter().zip(&expected).enumerate() {
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
                _ if from_table(i) => {}
                // The reference takes these from its tables; here they are passed.
                _ => {
                    passed += 1;
                    to.push(Value { feature: handle, number: x, id: 0 });
                }
            }
        }
        assert_eq!(passed, expected_passed);
        let mut case = Case { values: request, ..Case::default() };
        case.request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: row["unix_seconds"].as_i64().unwrap() * 1_000_000,
            user_key: USER,
            ..Request::default()
        };
        case.push(Candidate { ad_key: AD, advertiser_key: ADVERTISER, ..Candidate::default() }, &candidate);
        let mut x = vec![f32::NAN; spec.schema.features.len()];
        scorer.model_input(case.input(), 0, &mut x).unwrap();
        for ((f, x), expected) in spec.schema.features.iter().zip(x).zip(expected) {
            assert!(steps(x, expected) <= 1, "{}, {}: {x}, expected {expected}", row["time_utc"], f.name);
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
