//! A small model that reads two tables, and rows in which every column follows from one number, so that a row that was
//! mixed from two is found out.

use std::path::Path;

use adclick::builder::artifact::model::spec::{
    Activation, DenseSpec, EmbeddingSpec, HeadKind, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::bundle::{self, Content, MODEL_FILE, Role};
use adclick::builder::hash::mix;
use adclick::builder::model::pack_model;
use adclick::builder::schema::{
    Binding, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Lookup, Pooling, Schema, Source,
    TableUse, Transform,
};
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowLayout, Shard, TableBuilder, TableSpec,
};
use adclick::{BidKind, Candidate, Engine, Input, Request, Row, Scorer, Upsert, UpsertCounts, Value};

pub use crate::common::Bundles;
use crate::common::Contents;

/// 2023-11-14: when the tables of these tests are built unless a test says otherwise, in seconds.
pub const BUILT_S: i64 = 1_700_000_000;
/// Numbers and ids are below this, so that fp16 holds them as they are.
pub const LIMIT: u64 = 2048;
/// Positions of the vector.
pub const DIM: usize = 4;

/// The model's inputs in declared order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    pub user_n: f32,
    pub user_clicks: f32,
    pub n: f32,
    pub v: [f32; DIM],
    pub id: f32,
    /// The sum of two ids.
    pub ids: f32,
    pub clicks: f32,
}

pub const WIDTH: usize = 6 + DIM;

impl Inputs {
    fn of(x: &[f32]) -> Self {
        let &[user_n, user_clicks, n, v0, v1, v2, v3, id, ids, clicks] = x else { panic!("{} inputs", x.len()) };
        Self { user_n, user_clicks, n, v: [v0, v1, v2, v3], id, ids, clicks }
    }

    /// Whether the ad's row is one that was written whole: everything follows from its number.
    pub fn is_whole(&self, key: u64) -> bool {
        let n = self.n as u64;
        self.v == vector(key, n) && self.id as u64 == n && self.ids == n as f32 + other(key, n) as f32
    }
}

pub fn vector(key: u64, n: u64) -> [f32; DIM] {
    std::array::from_fn(|i| (mix(mix(key) ^ n << 8 ^ i as u64) % LIMIT) as f32)
}

pub fn other(key: u64, n: u64) -> u64 {
    mix(!key ^ mix(n)) % LIMIT
}

/// Bytes of an embedding whose row i is the number i.
fn counting() -> EmbeddingSpec {
    EmbeddingSpec { rows: (0..LIMIT).map(|i| i as f32).collect(), ..EmbeddingSpec::default() }
}

/// The head weighs all inputs alike. With `deep`, a layer of that many outputs precedes it, each the mean of the
/// inputs. With `more`, as many inputs come from a vector of the ad, last.
fn model(deep: usize, more: usize) -> ModelSpec {
    let number = || Kind::Number { transform: Transform::default(), default: -1.0 };
    let feature = |name: &str, source, kind| Feature {
        name: name.to_owned(),
        input: name.to_owned(),
        source,
        kind,
        position: None,
    };
    let category = Kind::Category { embedding: 0, boundaries: Vec::new(), default: Some(0) };
    let width = WIDTH + more;
    let mut features = vec![
        feature("user_n", Source::User, number()),
        feature("user_clicks", Source::User, number()),
        feature("n", Source::Ad, number()),
        feature("v", Source::Ad, Kind::Vector { dim: DIM as u32 }),
        feature("id", Source::Ad, category),
        feature("ids", Source::Ad, Kind::MultiCategory { embedding: 0, pooling: Pooling::Sum }),
        feature("clicks", Source::Ad, number()),
    ];
    let of = |table, column: &str| Lookup::Column(ColumnUse { table, column: column.to_owned(), position: None });
    let lookups = [of(0, "n"), of(0, "clicks"), of(1, "n"), of(1, "v"), of(1, "id"), of(1, "ids"), of(1, "clicks")];
    let more = (more > 0).then(|| {
        features.push(feature("more", Source::Ad, Kind::Vector { dim: more as u32 }));
        of(1, "more")
    });
    let bindings =
        (0..).zip(lookups.into_iter().chain(more)).map(|(feature, lookup)| Binding { feature, lookup }).collect();
    let table = |name: &str, part| TableUse { name: name.to_owned(), key: vec![part] };
    let embedding = Embedding {
        name: "counting".to_owned(),
        index: Index::Identity { count: LIMIT as u32 },
        dim: 1,
        unknown_row: false,
        missing_row: false,
        wide: false,
    };
    let means = DenseSpec {
        weight: Matrix::new(deep, width, vec![1.0 / deep as f64; deep * width]),
        bias: vec![0.0; deep],
        activation: Activation::Relu,
    };
    let weight = vec![1e-4; if deep == 0 { width } else { deep }];
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight, bias: -1.0 };
    let deep = if deep == 0 { vec![] } else { vec![means] };
    ModelSpec {
        schema: Schema { features, embeddings: vec![embedding] },
        enrichment: Enrichment { tables: vec![table("users", KeyPart::User), table("ads", KeyPart::Ad)], bindings },
        network: NetworkSpec { structure: Structure::Parallel, cross: vec![], deep, heads: vec![head] },
        embeddings: vec![counting()],
        provenance: String::new(),
        histograms: vec![],
        ranges: Vec::new(),
        goldens: vec![],
    }
}

fn column(name: &str, kind: ColumnKind) -> Column {
    Column { name: name.to_owned(), kind }
}

/// The columns of table `ads`.
pub fn ad_columns() -> Vec<Column> {
    vec![
        column("n", ColumnKind::F32),
        column("v", ColumnKind::Vector { dim: DIM as u16 }),
        column("id", ColumnKind::U32 { cap: 1 }),
        column("ids", ColumnKind::U64 { cap: 2 }),
        column("clicks", ColumnKind::F32),
    ]
}

fn ad_row(layout: &RowLayout, key: u64, n: u64) -> Vec<u8> {
    let mut row = layout.missing();
    let mut put = |name: &str, cell: Cell<'_>| layout.put(&mut row, layout.find(name).unwrap(), cell).unwrap();
    put("n", Cell::Number(n as f32));
    put("v", Cell::Vector(&vector(key, n)));
    put("id", Cell::Ids(&[n]));
    put("ids", Cell::Ids(&[n, other(key, n)]));
    put("clicks", Cell::Number(10.0));
    row
}

/// What a bundle of these tests holds.
#[derive(Debug, Clone)]
pub struct World {
    /// Keys of `ads` are 1 to this, of `users` 1 to 9.
    pub ads: u64,
    /// The number that the ads' rows follow from.
    pub n: u64,
    /// When the tables were built, in microseconds.
    pub built_us: i64,
    /// The columns of `ads`, which may be more and stand in another order.
    pub ad_columns: Vec<Column>,
    /// Outputs of the model's deep layer; 0 = it has none.
    pub deep: usize,
    /// Positions of one more vector of the ads, `more`, which no row holds; 0 = there is none.
    pub more: usize,
}

impl Default for World {
    fn default() -> Self {
        Self { ads: 100, n: 1, built_us: BUILT_S * 1_000_000, ad_columns: ad_columns(), deep: 0, more: 0 }
    }
}

/// The model, and tables of the ads and of nine users.
impl Contents for World {
    fn write(&self, path: &Path) -> u64 {
        let work = tempfile::tempdir().unwrap();
        let build =
            |name: &str, columns: &[Column], default: Vec<u8>, rows: &mut dyn Iterator<Item = (u64, Vec<u8>)>| {
                let spec = TableSpec {
                    name: name.to_owned(),
                    columns: columns.to_vec(),
                    default,
                    built_us: self.built_us,
                    fresh_for_s: 3600,
                    shard: Shard { index: 0, count: 1 },
                    provenance: String::new(),
                };
                let options =
                    BuildOptions { duplicates: Duplicates::Refuse, memory: 1 << 24, spill: work.path().to_owned() };
                let mut builder = TableBuilder::new(spec, options).unwrap();
                rows.for_each(|(key, row)| assert!(builder.push(key, &row).unwrap()));
                let path = work.path().join(name);
                builder.finish(&path, &mut |_| {}).unwrap();
                path
            };
        let mut ad_columns = self.ad_columns.clone();
        ad_columns.extend((self.more > 0).then(|| column("more", ColumnKind::Vector { dim: self.more as u16 })));
        let layout = RowLayout::new(ad_columns.clone()).unwrap();
        let default = ad_row(&layout, 0, 0);
        let ads =
            build("ads", &ad_columns, default, &mut (1..=self.ads).map(|key| (key, ad_row(&layout, key, self.n))));
        let columns = [column("n", ColumnKind::F32), column("clicks", ColumnKind::F32)];
        let layout = RowLayout::new(columns.to_vec()).unwrap();
        let user = |key: u64| {
            let mut row = layout.missing();
            layout.put(&mut row, 0, Cell::Number(key as f32)).unwrap();
            (key, row)
        };
        let users = build("users", &columns, layout.missing(), &mut (1..10).map(user));
        let model = pack_model(&model(self.deep, self.more)).unwrap();
        let contents = [
            (Role::Model, MODEL_FILE, Content::Bytes(&model[..])),
            (Role::Table, "ads.adc", Content::Copy(&ads)),
            (Role::Table, "users.adc", Content::Copy(&users)),
        ];
        bundle::write_files(path, &contents, true).unwrap()
    }
}

/// A request for user 1 with these ads.
pub struct Asked {
    pub request: Request,
    pub candidates: Vec<Candidate>,
}

impl Asked {
    pub fn new(ads: impl IntoIterator<Item = u64>, time_us: i64) -> Self {
        let candidate =
            |ad_key| Candidate { ad_key, bid_kind: BidKind::Cpc as u32, bid_micros: 1_000_000, ..Candidate::default() };
        let candidates: Vec<_> = ads.into_iter().map(candidate).collect();
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            user_key: 1,
            time_us,
            n_candidates: candidates.len() as u32,
            n_slots: 1,
            ..Request::default()
        };
        Self { request, candidates }
    }

    pub fn input(&self) -> Input<'_> {
        Input {
            request: &self.request,
            values: &[],
            candidates: &self.candidates,
            candidate_values: &[],
            columns: Default::default(),
        }
    }
}

/// What the model sees of an ad now.
pub fn inputs(scorer: &mut Scorer, ad: u64, time_us: i64) -> Inputs {
    let asked = Asked::new([ad], time_us);
    let mut x = [f32::NAN; WIDTH];
    scorer.model_input(asked.input(), 0, &mut x).unwrap();
    Inputs::of(&x)
}

/// What the model sees of a candidate of a request.
pub fn inputs_of(scorer: &mut Scorer, asked: &Asked, candidate: usize) -> Inputs {
    let mut x = [f32::NAN; WIDTH];
    scorer.model_input(asked.input(), candidate, &mut x).unwrap();
    Inputs::of(&x)
}

/// The handles of `ads` and of its columns n, v, id, ids and clicks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    pub ads: u32,
    pub columns: [u32; 5],
}

impl Handles {
    pub fn new(engine: &Engine) -> Self {
        let ads = engine.table("ads").unwrap();
        Self { ads, columns: ["n", "v", "id", "ids", "clicks"].map(|name| engine.column(ads, name).unwrap()) }
    }

    /// The values of the row of a key that follows from `n`, its clicks left out.
    pub fn push_row(&self, rows: &mut Vec<Row>, values: &mut Vec<Value>, key: u64, n: u64) {
        let [number, v, id, ids, _] = self.columns;
        let first_value = values.len() as u32;
        values.push(Value { feature: number, number: n as f32, id: 0 });
        values.extend((0..).zip(vector(key, n)).map(|(at, number)| Value { feature: v, number, id: at }));
        values.push(Value { feature: id, number: 0.0, id: n });
        values.extend([n, other(key, n)].map(|id| Value { feature: ids, number: 0.0, id }));
        rows.push(Row { key, first_value, n_values: values.len() as u32 - first_value });
    }

    /// Writes the row of a key that follows from `n`, but its clicks.
    pub fn write(&self, engine: &Engine, key: u64, n: u64, time_us: i64) -> UpsertCounts {
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        self.push_row(&mut rows, &mut values, key, n);
        engine.upsert(&Upsert { table: self.ads, time_us, ..Upsert::default() }, &rows, &values).unwrap()
    }
}
