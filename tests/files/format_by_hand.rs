//! A model file written by hand from docs/format.md, byte by byte: the library reads from it what the page says, and
//! writes the same bytes for the same model.

use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::network::{Cross, Dense, Head, Network, Panels, Params};
use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, GoldenRequest, GoldenValue, HeadKind, HeadSpec, Histogram, Matrix,
    ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::hash::checksum;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{
    Binding, Column, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Layout, Lookup, Measure, Schema,
    Source, TableUse, Transform,
};
use adclick::category_id;

use testkit::container::{Part, assemble, part};

const PROVENANCE: &str = "seed = 7\n";
/// 64 seconds past 1970, in microseconds.
const TIME_US: i64 = 64_000_000;
const LOGIT: f64 = 4.1875;

// fp16 bits.
const F0: u16 = 0x0000;
const QUARTER: u16 = 0x3400;
const HALF: u16 = 0x3800;
const THREE_QUARTERS: u16 = 0x3a00;
const ONE: u16 = 0x3c00;
const ONE_AND_HALF: u16 = 0x3e00;
const TWO: u16 = 0x4000;
const FOUR: u16 = 0x4400;
const MINUS: u16 = 0x8000;

fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// One line of a panel: 16 outputs, most of them padding.
fn line(first: &[u16]) -> Vec<u16> {
    let mut line = first.to_vec();
    line.resize(16, F0);
    line
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u16).to_le_bytes()[..], value.as_bytes()].concat()
}

fn schema() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(1u32.to_le_bytes()); // embeddings
    b.extend(text("topic"));
    b.push(2); // vocabulary
    b.push(1 | 2 | 4); // unknown row, missing row, wide
    b.extend(3u32.to_le_bytes()); // ids
    b.extend(2u32.to_le_bytes()); // columns
    b.extend(2u32.to_le_bytes()); // features
    b.extend(text("ad_topic"));
    b.extend(text("topic_raw"));
    b.push(5); // source: candidate
    b.push(0); // no position
    b.extend(0f32.to_le_bytes());
    b.push(1); // category
    b.extend(0u32.to_le_bytes()); // embedding
    b.push(0); // no default
    b.extend(0u64.to_le_bytes());
    b.extend(0u32.to_le_bytes()); // boundaries
    b.extend(text("age"));
    b.extend(text("age"));
    b.push(0); // source: context
    b.push(0); // no position
    b.extend(0f32.to_le_bytes());
    b.push(0); // number
    b.extend(f32s(&[0.0, 100.0])); // clip
    b.push(0); // no log1p
    b.extend(f32s(&[40.0, 10.0, 35.0])); // mean, scale, default
    b
}

fn network() -> Vec<u8> {
    let mut b = vec![0, 0]; // parallel, reserved
    b.extend(1u16.to_le_bytes()); // cross layers
    b.extend(1u16.to_le_bytes()); // deep layers
    b.extend(1u16.to_le_bytes()); // heads
    b.extend(3u32.to_le_bytes()); // columns
    b.extend(1u32.to_le_bytes()); // of the request
    b.extend([0, 0, 0, 0, 0, 0, 0, 0]); // full cross layer: no experts, no rank
    b.extend(2u32.to_le_bytes()); // deep layer: outputs
    b.extend([1, 0, 0, 0]); // ReLU, reserved
    b.extend([0, 0]); // head: pCTR, reserved
    b.extend(0u16.to_le_bytes()); // tower layers
    b.extend(0.125f32.to_le_bytes()); // bias
    b
}

/// Declared columns 0, 1 (ad_topic) and 2 (age) are the serving columns 1, 2 and 0.
fn weights() -> Vec<u8> {
    let mut w = Vec::new();
    // Cross, declared [[1, .5, -1], [.25, 2, 0], [-.5, 1, 1.5]]: rows and columns in serving order.
    w.extend(line(&[ONE_AND_HALF, MINUS | ONE, F0]));
    w.extend(line(&[MINUS | HALF, ONE, QUARTER]));
    w.extend(line(&[ONE, HALF, TWO]));
    w.resize(64, F0); // 48 values, the next matrix begins at a multiple of 32
    // Deep, declared [[2, 1, .5], [-1, 1, .25]]: columns in serving order.
    w.extend(line(&[HALF, QUARTER]));
    w.extend(line(&[TWO, MINUS | ONE]));
    w.extend(line(&[ONE, ONE]));
    w.resize(128, F0);
    u16s(&w)
}

fn params() -> Vec<u8> {
    let mut p = vec![0.25, 0.5, -1.0]; // the cross layer's bias in serving order
    p.resize(16, 0.0);
    p.extend([0.5, 0.25]); // the deep layer's bias
    p.resize(32, 0.0);
    p.extend([0.25, 1.0, -0.5]); // the head's weights: x_L in serving order, padded to 16,
    p.resize(48, 0.0);
    p.extend([2.0, 4.0]); // then the deep part's
    p.resize(64, 0.0);
    f32s(&p)
}

/// Rows: unknown, missing, "news", 7, "sports".
fn embedding() -> Vec<u8> {
    let mut rows = vec![QUARTER, QUARTER, HALF, TWO, ONE, F0, FOUR, MINUS | TWO, HALF, MINUS | ONE];
    rows.resize(32, F0);
    u16s(&rows)
}

fn wide() -> Vec<u8> {
    let mut rows = vec![QUARTER, HALF, ONE, MINUS | ONE, THREE_QUARTERS];
    rows.resize(32, F0);
    u16s(&rows)
}

/// SplitMix64's finaliser, from the page.
fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn ids() -> [u64; 3] {
    [category_id(b"news"), 7, category_id(b"sports")]
}

fn vocabulary() -> Vec<u8> {
    let mut b = vec![0; 8 * 16]; // 2 · 3 ids, up to a power of two, 8 at least
    for (row, id) in (2u32..).zip(ids()) {
        let mut slot = (mix(id) >> 61) as usize; // 64 - log2 8
        while b[slot * 16 + 12] != 0 {
            slot = (slot + 1) % 8;
        }
        b[slot * 16..slot * 16 + 8].copy_from_slice(&id.to_le_bytes());
        b[slot * 16 + 8..slot * 16 + 12].copy_from_slice(&row.to_le_bytes());
        b[slot * 16 + 12] = 1;
    }
    b
}

/// `ad_topic` is a column of the table of ads, `age` the third value of a vector of the table of users.
fn enrichment() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(2u32.to_le_bytes()); // tables
    b.extend(text("ads"));
    b.extend([1, 1]); // one id: the ad key
    b.extend(text("users"));
    b.extend([1, 0]); // one id: the user key
    b.extend(2u32.to_le_bytes()); // bindings
    b.extend(0u32.to_le_bytes()); // feature ad_topic
    b.push(0); // a column
    b.extend(column(0, "topic", None));
    b.extend(1u32.to_le_bytes()); // feature age
    b.push(0); // a column
    b.extend(column(1, "profile", Some(2)));
    b
}

fn column(table: u32, name: &str, position: Option<u16>) -> Vec<u8> {
    let mut b = table.to_le_bytes().to_vec();
    b.extend(text(name));
    b.push(position.is_some().into());
    b.extend(position.unwrap_or(0).to_le_bytes());
    b
}

fn column_use(table: u32, name: &str, position: Option<u16>) -> ColumnUse {
    ColumnUse { table, column: name.to_owned(), position }
}

fn golden() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(1u32.to_le_bytes()); // requests
    b.extend(TIME_US.to_le_bytes());
    b.extend((-3600i32).to_le_bytes()); // UTC offset
    b.extend(2u32.to_le_bytes()); // values
    b.extend(LOGIT.to_le_bytes());
    b.extend(0u32.to_le_bytes()); // feature ad_topic
    b.extend(1f32.to_le_bytes());
    b.extend(ids()[2].to_le_bytes());
    b.extend(1u32.to_le_bytes()); // feature age
    b.extend(60f32.to_le_bytes());
    b.extend(0u64.to_le_bytes());
    b
}

fn histograms() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(1u32.to_le_bytes());
    b.extend(text("pctr"));
    b.extend(3u32.to_le_bytes()); // bins
    b.extend(0.01f64.to_le_bytes());
    b.extend(0.1f64.to_le_bytes());
    for count in [5u64, 70, 25] {
        b.extend(count.to_le_bytes());
    }
    b
}

fn parts() -> Vec<Part> {
    vec![
        part("schema", true, schema()),
        part("network", true, network()),
        part("weights", true, weights()),
        part("params", true, params()),
        part("embedding", true, embedding()),
        part("wide", true, wide()),
        part("vocabulary", true, vocabulary()),
        part("enrichment", true, enrichment()),
        part("golden", true, golden()),
        part("histograms", false, histograms()),
        part("ranges", false, 2.5f32.to_le_bytes().to_vec()),
        part("provenance", false, PROVENANCE.as_bytes().to_vec()),
    ]
}

/// The same model as a packer describes it: declared order, f64.
fn spec() -> ModelSpec {
    let topic = Embedding {
        name: "topic".to_owned(),
        index: Index::Vocabulary { count: 3 },
        dim: 2,
        unknown_row: true,
        missing_row: true,
        wide: true,
    };
    let ad_topic = Feature {
        name: "ad_topic".to_owned(),
        input: "topic_raw".to_owned(),
        source: Source::Candidate,
        kind: Kind::Category { embedding: 0, boundaries: vec![], default: None },
        position: None,
    };
    let age = Feature {
        name: "age".to_owned(),
        input: "age".to_owned(),
        source: Source::Context,
        kind: Kind::Number {
            transform: Transform { clip: (0.0, 100.0), log1p: false, mean: 40.0, scale: 10.0 },
            default: 35.0,
        },
        position: None,
    };
    ModelSpec {
        schema: Schema { features: vec![ad_topic, age], embeddings: vec![topic] },
        enrichment: Enrichment {
            tables: vec![
                TableUse { name: "ads".to_owned(), key: vec![KeyPart::Ad] },
                TableUse { name: "users".to_owned(), key: vec![KeyPart::User] },
            ],
            bindings: vec![
                Binding { feature: 0, lookup: Lookup::Column(column_use(0, "topic", None)) },
                Binding { feature: 1, lookup: Lookup::Column(column_use(1, "profile", Some(2))) },
            ],
        },
        network: NetworkSpec {
            structure: Structure::Parallel,
            cross: vec![CrossSpec::Full {
                weight: Matrix::new(3, 3, vec![1.0, 0.5, -1.0, 0.25, 2.0, 0.0, -0.5, 1.0, 1.5]),
                bias: vec![0.5, -1.0, 0.25],
            }],
            deep: vec![DenseSpec {
                weight: Matrix::new(2, 3, vec![2.0, 1.0, 0.5, -1.0, 1.0, 0.25]),
                bias: vec![0.5, 0.25],
                activation: Activation::Relu,
            }],
            heads: vec![HeadSpec {
                kind: HeadKind::Ctr,
                tower: vec![],
                weight: vec![1.0, -0.5, 0.25, 2.0, 4.0],
                bias: 0.125,
            }],
        },
        embeddings: vec![EmbeddingSpec {
            rows: vec![0.25, 0.25, 0.5, 2.0, 1.0, 0.0, 4.0, -2.0, 0.5, -1.0],
            vocabulary: ids().to_vec(),
            wide: vec![0.25, 0.5, 1.0, -1.0, 0.75],
        }],
        provenance: PROVENANCE.to_owned(),
        histograms: vec![Histogram { name: "pctr".to_owned(), edges: vec![0.01, 0.1], counts: vec![5, 70, 25] }],
        ranges: vec![2.5],
        goldens: vec![request()],
    }
}

fn request() -> GoldenRequest {
    GoldenRequest {
        time_us: TIME_US,
        utc_offset_s: -3600,
        values: vec![
            GoldenValue { feature: 0, number: 1.0, id: ids()[2] },
            GoldenValue { feature: 1, number: 60.0, id: 0 },
        ],
    }
}

fn open(file: &[u8]) -> Model {
    Model::open(Bytes::copy_of(file).unwrap()).unwrap()
}

#[test]
fn hash_functions_are_those_of_the_page() {
    assert_eq!(category_id(b""), 0x2d06_8005_38d3_94c2);
    assert_eq!(category_id(b"news"), checksum("news".as_bytes()));
    assert_eq!(adclick::builder::hash::mix(0), 0xe220_a839_7b1d_cdaf);
    assert_eq!(mix(7), adclick::builder::hash::mix(7));
    let by_hand = |id: u64, buckets: u32| ((u128::from(mix(id)) * u128::from(buckets)) >> 64) as u32;
    for id in [0, 1, 7, u64::MAX, category_id(b"sports")] {
        assert_eq!(adclick::builder::hash::bucket(id, 1000), by_hand(id, 1000));
    }
}

#[test]
fn the_library_writes_the_bytes_of_the_page() {
    let by_hand = assemble(1, &parts());
    assert_eq!(write(&spec(), &[LOGIT]).unwrap(), by_hand);
    // The logit was computed on paper; the library's reference and kernels come to the same.
    assert_eq!(pack_model(&spec()).unwrap(), by_hand);
}

#[test]
fn the_library_reads_what_the_page_says() {
    check(&open(&assemble(1, &parts())));
}

/// What the model above has no feature for: keys of several ids, one of them a column, and similarities.
#[test]
fn an_enrichment_of_every_kind() {
    let feature = |name: &str, source: Source| Feature {
        name: name.to_owned(),
        input: name.to_owned(),
        source,
        kind: Kind::Number { transform: Transform::default(), default: 0.0 },
        position: None,
    };
    let features = vec![feature("affinity", Source::Cross), feature("near", Source::Dot), feature("like", Source::Dot)];
    let schema = Schema { features, embeddings: vec![] };
    let mut b = Vec::new();
    b.extend(3u32.to_le_bytes()); // tables
    b.extend(text("affinities"));
    b.extend([4, 0, 4]); // four ids: the user key, a column,
    b.extend(column(2, "category", None));
    b.extend([2, 3]); // the advertiser key, the placement
    b.extend(text("users"));
    b.extend([1, 0]);
    b.extend(text("ads"));
    b.extend([1, 1]);
    b.extend(3u32.to_le_bytes()); // bindings
    b.extend(0u32.to_le_bytes());
    b.push(0); // a column
    b.extend(column(0, "rate", None));
    for (feature, measure) in [(1u32, 0), (2, 1)] {
        b.extend(feature.to_le_bytes());
        b.extend([1, measure]); // a similarity
        b.extend(column(1, "likes", None));
        b.extend(column(2, "topics", None));
    }
    let key = |parts: &[KeyPart]| parts.to_vec();
    let category = KeyPart::Column(column_use(2, "category", None));
    let similar = |measure| Lookup::Similarity {
        left: column_use(1, "likes", None),
        right: column_use(2, "topics", None),
        measure,
    };
    let enrichment = Enrichment {
        tables: vec![
            TableUse {
                name: "affinities".to_owned(),
                key: key(&[KeyPart::User, category, KeyPart::Advertiser, KeyPart::Placement]),
            },
            TableUse { name: "users".to_owned(), key: key(&[KeyPart::User]) },
            TableUse { name: "ads".to_owned(), key: key(&[KeyPart::Ad]) },
        ],
        bindings: vec![
            Binding { feature: 0, lookup: Lookup::Column(column_use(0, "rate", None)) },
            Binding { feature: 1, lookup: similar(Measure::Dot) },
            Binding { feature: 2, lookup: similar(Measure::Cosine) },
        ],
    };
    assert_eq!(Enrichment::decode(&b, &schema).unwrap(), enrichment);
    assert_eq!(enrichment.encode(&schema).unwrap(), b);
}

#[test]
fn an_unknown_optional_section_is_skipped() {
    for at in [0, 3, 10] {
        let mut parts = parts();
        parts.insert(at, part("from_the_future_24_bytes", false, vec![0xee; 100]));
        let model = open(&assemble(1, &parts));
        check(&model);
        assert_eq!(model.sections()[at].name, "from_the_future_24_bytes");
        assert_eq!(model.sections()[at].len, 100);
    }
}

#[test]
fn sections_may_stand_in_any_order() {
    let mut parts = parts();
    parts.reverse();
    check(&open(&assemble(1, &parts)));
}

fn check(model: &Model) {
    let spec = spec();
    assert_eq!(model.schema(), &spec.schema);
    assert_eq!(model.enrichment(), &spec.enrichment);
    assert_eq!(model.schema_hash(), checksum(&schema()));
    let columns = vec![Column { declared: 0, serving: 1, width: 2 }, Column { declared: 2, serving: 0, width: 1 }];
    assert_eq!(model.layout(), &Layout { columns, request_width: 1, width: 3 });
    let cross = Panels { start: 0, inputs: 3, outputs: 3 };
    let deep = Panels { start: 64, inputs: 3, outputs: 2 };
    let vector = |start, len| Params { start, len };
    let network = Network {
        width: 3,
        request_width: 1,
        structure: Structure::Parallel,
        cross: vec![Cross::Full { weight: cross, bias: vector(0, 3) }],
        deep: vec![Dense { weight: deep, bias: vector(16, 2), activation: Activation::Relu }],
        heads: vec![Head { kind: HeadKind::Ctr, tower: vec![], weight: vector(32, 32), bias: 0.125 }],
    };
    assert_eq!(model.network(), &network);
    assert_eq!(u16s(model.weights()), weights());
    assert_eq!(f32s(model.params()), params());
    assert_eq!(u16s(model.matrix(cross)), weights()[..96]);
    assert_eq!(u16s(model.matrix(deep)), weights()[128..224]);
    assert_eq!(f32s(model.vector(vector(0, 3))), params()[..64]);
    assert_eq!(f32s(model.vector(vector(32, 32))), params()[128..]);

    let [news, seven, sports] = ids();
    assert_eq!(model.row(0, news), (Some(2), true));
    assert_eq!(model.row(0, seven), (Some(3), true));
    assert_eq!(model.row(0, sports), (Some(4), true));
    for unknown in [0, 1, 8, u64::MAX, category_id(b"")] {
        assert_eq!(model.row(0, unknown), (Some(0), false));
    }
    assert_eq!(model.vocabulary(0), ids());
    for row in 0..5 {
        let at = row as usize;
        assert_eq!(u16s(model.embedding_row(0, row)), embedding()[at * 4..at * 4 + 4]);
        assert_eq!(u16s(model.wide_row(0, row)), wide()[at * 2..at * 2 + 2]);
    }
    assert!(model.has_wide());

    let golden = &model.goldens()[0];
    assert_eq!((model.goldens().len(), &golden.request, &golden.expected[..]), (1, &request(), &[LOGIT][..]));
    assert_eq!(model.histograms(), spec.histograms);
    assert_eq!(model.ranges(), [2.5]);
    assert_eq!(model.provenance(), PROVENANCE);
    for part in parts() {
        let section = model.sections().iter().find(|s| s.name == part.name).unwrap();
        assert_eq!((section.len, section.required, section.offset % 64), (part.bytes.len(), part.required, 0));
    }
    model.prefault();
}
