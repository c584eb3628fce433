//! Model E of docs/performance.md: 13 numbers of the request, 20 categories of the candidate with 16 columns each, eight of
//! them in large embedding tables; two cross layers of rank 64, deep 256-128-64. The ids are passed with the candidate, or
//! they are in the ad's row.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, HeadKind, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::artifact::model::write;
use adclick::builder::bundle::{self, Content, MODEL_FILE, Role};
use adclick::builder::hash::mix;
use adclick::builder::schema::{
    Binding, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Lookup, Schema, Source, TableUse,
    Transform,
};
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowLayout, Shard, TableBuilder, TableSpec,
};
use adclick::{BidKind, Candidate, Engine, Input, Request, Value};
use testkit::networks::Random;

pub(crate) type Error = Box<dyn std::error::Error>;

pub(crate) const NUMBERS: usize = 13;
pub(crate) const LARGE: usize = 8;
pub(crate) const CATEGORIES: usize = 20;
pub(crate) const SMALL_ROWS: u64 = 1000;
const DIM: u32 = 16;
const NOW_US: i64 = 1_700_000_000_000_000;

/// Rows of the large embedding tables, and ads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: u64,
    pub(crate) ads: u64,
}

/// Rows of a category's table.
pub(crate) fn rows(size: Size, category: usize) -> u64 {
    if category < LARGE { size.rows } else { SMALL_ROWS }
}

/// How the ids of the large tables are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// Uniformly from the first thousand.
    Hot,
    /// Uniformly from all.
    Random,
    /// All ids of all categories in proportion to 1 / (rank + 1): in most logs few ids are most of the traffic.
    Zipf,
}

impl Ids {
    pub(crate) fn draw(self, random: &mut Random, rows: u64) -> u64 {
        match self {
            Self::Hot => random.next_u64() % rows.min(1000),
            Self::Random => random.next_u64() % rows,
            Self::Zipf => {
                let part = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
                (((rows + 1) as f64).powf(part) as u64).saturating_sub(1).min(rows - 1)
            }
        }
    }
}

/// The id of a category in an ad's row.
fn id_of(size: Size, ad: u64, category: usize, hot: bool) -> u64 {
    let rows = if hot { SMALL_ROWS } else { rows(size, category) };
    mix(ad * CATEGORIES as u64 + category as u64) % rows
}

fn schema(size: Size, from_tables: bool) -> (Schema, Enrichment) {
    let number = Kind::Number { transform: Transform::default(), default: 0.0 };
    let mut features: Vec<Feature> = (0..NUMBERS)
        .map(|i| Feature {
            name: format!("n{i}"),
            input: format!("n{i}"),
            source: Source::Context,
            kind: number.clone(),
            position: None,
        })
        .collect();
    let (mut embeddings, mut enrichment) = (Vec::new(), Enrichment::default());
    for i in 0..CATEGORIES {
        let (name, column) = (format!("c{i}"), format!("c{i}"));
        if from_tables {
            let lookup = Lookup::Column(ColumnUse { table: 0, column, position: None });
            enrichment.bindings.push(Binding { feature: features.len() as u32, lookup });
        }
        features.push(Feature {
            name: name.clone(),
            input: name,
            source: if from_tables { Source::Ad } else { Source::Candidate },
            kind: Kind::Category { embedding: i as u32, boundaries: Vec::new(), default: None },
            position: None,
        });
        embeddings.push(Embedding {
            name: format!("t{i}"),
            index: Index::Identity { count: rows(size, i) as u32 },
            dim: DIM,
            unknown_row: false,
            missing_row: false,
            wide: false,
        });
    }
    if from_tables {
        enrichment.tables.push(TableUse { name: "ads".to_owned(), key: vec![KeyPart::Ad] });
    }
    (Schema { features, embeddings }, enrichment)
}

fn model(size: Size, from_tables: bool) -> Result<Vec<u8>, Error> {
    let (schema, enrichment) = schema(size, from_tables);
    let width = NUMBERS + CATEGORIES * DIM as usize;
    let mut random = Random(7);
    let mut matrix = |rows: usize, cols: usize, scale: f64| Matrix {
        rows,
        cols,
        data: (0..rows * cols).map(|_| random.number() * scale).collect(),
    };
    let cross = (0..2)
        .map(|_| CrossSpec::LowRank {
            v: matrix(64, width, (3.0 / width as f64).sqrt()),
            u: matrix(width, 64, 0.06),
            bias: vec![0.0; width],
        })
        .collect();
    let (mut deep, mut inputs) = (Vec::new(), width);
    for outputs in [256, 128, 64] {
        let weight = matrix(outputs, inputs, (6.0 / inputs as f64).sqrt());
        deep.push(DenseSpec { weight, bias: matrix(1, outputs, 0.05).data, activation: Activation::Relu });
        inputs = outputs;
    }
    let weight = matrix(1, width + inputs, 0.05).data;
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight, bias: -2.0 };
    let embeddings = (0..CATEGORIES).map(|i| {
        let values = rows(size, i) * u64::from(DIM);
        let rows = (0..values).map(|_| (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32 * 0.4 - 0.2).collect();
        EmbeddingSpec { rows, ..EmbeddingSpec::default() }
    });
    let spec = ModelSpec {
        schema,
        enrichment,
        network: NetworkSpec { structure: Structure::Parallel, cross, deep, heads: vec![head] },
        embeddings: embeddings.collect(),
        provenance: String::new(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens: Vec::new(),
    };
    Ok(write(&spec, &[])?)
}

fn table(path: &Path, size: Size, hot: bool) -> Result<(), Error> {
    let column = |i| Column { name: format!("c{i}"), kind: ColumnKind::U32 { cap: 1 } };
    let columns: Vec<_> = (0..CATEGORIES).map(column).collect();
    let layout = RowLayout::new(columns.clone())?;
    let spec = TableSpec {
        name: "ads".to_owned(),
        columns,
        default: layout.missing(),
        built_us: NOW_US,
        fresh_for_s: 0,
        shard: Shard::default(),
        provenance: String::new(),
    };
    let spill = path.parent().unwrap_or(Path::new(".")).to_owned();
    let mut builder =
        TableBuilder::new(spec, BuildOptions { duplicates: Duplicates::Refuse, memory: 256 << 20, spill })?;
    let mut row = layout.missing();
    for ad in 0..size.ads {
        for i in 0..CATEGORIES {
            layout.put(&mut row, i, Cell::Ids(&[id_of(size, ad, i, hot)]))?;
        }
        builder.push(ad_key(ad), &row)?;
    }
    builder.finish(path, &mut |_| {})?;
    Ok(())
}

fn ad_key(ad: u64) -> u64 {
    mix(!ad).max(1)
}

/// The bundle with passed ids, and one with a table of ads whose ids are hot or random; found where an earlier run left
/// them, else built.
pub(crate) fn bundles(root: &Path, size: Size) -> Result<[PathBuf; 3], Error> {
    let path = |what: &str| root.join(format!("{what}-{}-{}", size.rows, size.ads));
    let paths = ["passed", "hot", "random"].map(path);
    if paths.iter().all(|path| bundle::Manifest::read(path).is_ok()) {
        return Ok(paths);
    }
    println!("building embeddings of {} rows and {} ads in {}", size.rows, size.ads, root.display());
    std::fs::create_dir_all(root)?;
    let work = tempfile::tempdir_in(root)?;
    for (i, path) in paths.iter().enumerate() {
        let (bytes, ads) = (model(size, i > 0)?, work.path().join(format!("ads-{i}")));
        let mut contents = vec![(Role::Model, MODEL_FILE, Content::Bytes(&bytes[..]))];
        if i > 0 {
            table(&ads, size, i == 1)?;
            contents.push((Role::Table, "ads.adc", Content::Link(&ads)));
        }
        bundle::write_files(path, &contents, true)?;
    }
    Ok(paths)
}

/// Requests by turns, as they come from many users.
pub(crate) struct Requests {
    request: Request,
    values: Vec<Value>,
    candidates: Vec<Vec<Candidate>>,
    /// One for each request; empty when ids come from tables.
    candidate_values: Vec<Vec<Value>>,
    next: usize,
}

/// Requests that take turns.
const TURNS: usize = 48;

impl Requests {
    /// Requests with `count` candidates. `ids`: how passed ids are drawn; none: they are in the table of ads.
    pub(crate) fn new(engine: &Engine, size: Size, count: usize, ids: Option<Ids>) -> Result<Self, Error> {
        let handle = |name: String| engine.feature(&name);
        let numbers =
            (0..NUMBERS).map(|i| Ok(Value { feature: handle(format!("n{i}"))?, number: i as f32 / 10.0, id: 0 }));
        let values = numbers.collect::<Result<Vec<_>, adclick::Error>>()?;
        let mut random = Random(3);
        let (mut candidates, mut candidate_values) = (Vec::new(), Vec::new());
        let handles = match ids {
            Some(_) => (0..CATEGORIES).map(|i| handle(format!("c{i}"))).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        for _ in 0..TURNS {
            let own = |i: usize, random: &mut Random| Candidate {
                ad_key: ad_key(random.next_u64() % size.ads),
                bid_kind: BidKind::Cpc as u32,
                bid_micros: 1_000_000,
                first_value: (i * handles.len()) as u32,
                n_values: handles.len() as u32,
                ..Candidate::default()
            };
            candidates.push((0..count).map(|i| own(i, &mut random)).collect());
            let mut values = Vec::new();
            for (_, (i, &feature)) in (0..count).flat_map(|n| handles.iter().enumerate().map(move |pair| (n, pair))) {
                let id = ids.unwrap_or(Ids::Random).draw(&mut random, rows(size, i));
                values.push(Value { feature, number: 0.0, id });
            }
            candidate_values.push(values);
        }
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: NOW_US,
            n_values: NUMBERS as u32,
            n_candidates: count as u32,
            n_candidate_values: (count * handles.len()) as u32,
            ..Request::default()
        };
        Ok(Self { request, values, candidates, candidate_values, next: 0 })
    }

    pub(crate) fn next(&mut self) -> Input<'_> {
        self.next = (self.next + 1) % TURNS;
        self.request.request_id += 1;
        Input {
            request: &self.request,
            values: &self.values,
            candidates: &self.candidates[self.next],
            candidate_values: &self.candidate_values[self.next],
            columns: Default::default(),
        }
    }
}
