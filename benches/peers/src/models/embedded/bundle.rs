//! Bundles of a model: one whose ids are passed, and one whose ids stand in tables of users and of ads.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, GoldenRequest, GoldenValue, HeadKind, HeadSpec, Matrix, ModelSpec,
    NetworkSpec, Structure,
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

use super::ids::{Draw, Pool, width};
use super::{DIM, Ids, NUMBERS, Size, TABLES, cell};
use crate::Error;
use testkit::networks::Random;

/// When the tables were built, in seconds, and when all requests are made, in microseconds.
const BUILT_S: i64 = 1_700_000_000;
pub(crate) const NOW_US: i64 = (BUILT_S + 3600) * 1_000_000;

/// Numbered anew when anything in the bundles changes.
const VERSION: u32 = 1;

/// Low-rank cross layers, their rank, and the deep layers.
const CROSS: usize = 2;
const RANK: usize = 64;
const DEEP: [usize; 3] = [256, 128, 64];

/// Golden requests, in the number that training stores.
const GOLDENS: usize = 16;

/// Keys are spread over all u64, as hashes of ids are.
pub(crate) fn ad_key(draw: Draw, i: usize) -> u64 {
    mix(!((draw as u64) << 32 | i as u64)).max(1)
}

pub(crate) fn user_key(draw: Draw, i: usize) -> u64 {
    mix((draw as u64) << 32 | i as u64).max(1)
}

fn network(width: usize, random: &mut Random) -> NetworkSpec {
    let mut vector = |len: usize, scale: f64| -> Vec<f64> { (0..len).map(|_| random.number() * scale).collect() };
    let mut matrix = |outputs: usize, inputs: usize, gain: f64| {
        Matrix::new(outputs, inputs, vector(outputs * inputs, (gain / inputs as f64).sqrt()))
    };
    let cross = (0..CROSS).map(|_| CrossSpec::LowRank {
        v: matrix(RANK, width, 2.0),
        u: matrix(width, RANK, 0.3),
        bias: vec![0.0; width],
    });
    let cross = cross.collect();
    let mut inputs = width;
    let mut deep = Vec::new();
    for outputs in DEEP {
        // He's gain, for numbers that are uniform.
        let weight = matrix(outputs, inputs, 6.0);
        deep.push(DenseSpec { weight, bias: vec![0.02; outputs], activation: Activation::Relu });
        inputs = outputs;
    }
    let weight = matrix(1, width + inputs, 0.5).data;
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight, bias: -2.0 };
    NetworkSpec { structure: Structure::Parallel, cross, deep, heads: vec![head] }
}

fn table_column(i: usize) -> String {
    format!("c{i}")
}

/// The features, and what they read when their ids stand in tables.
fn schema(size: Size, request: &[Ids], candidate: &[Ids], from_tables: bool) -> (Schema, Enrichment) {
    let mut features = Vec::new();
    let mut bindings = Vec::new();
    let mut tables = Vec::new();
    let mut add = |name: String, source, kind| {
        features.push(Feature { name: name.clone(), input: name, source, kind, position: None });
        features.len() as u32 - 1
    };
    for i in 0..NUMBERS {
        add(format!("n{i}"), Source::Context, Kind::Number { transform: Transform::default(), default: 0.0 });
    }
    let sides = [
        (request, "r", "users", KeyPart::User, [Source::Context, Source::User]),
        (candidate, "c", "ads", KeyPart::Ad, [Source::Candidate, Source::Ad]),
    ];
    for (all, prefix, table, key, sources) in sides {
        if all.is_empty() {
            continue;
        }
        if from_tables {
            tables.push(TableUse { name: table.to_owned(), key: vec![key] });
        }
        for (i, ids) in all.iter().enumerate() {
            let embedding = ids.table as u32;
            let kind = match ids.values {
                1 => Kind::Category { embedding, boundaries: Vec::new(), default: None },
                _ => Kind::MultiCategory { embedding, pooling: Pooling::Mean },
            };
            let feature = add(format!("{prefix}{i}"), sources[usize::from(from_tables)], kind);
            if from_tables {
                let table = tables.len() as u32 - 1;
                let lookup = Lookup::Column(ColumnUse { table, column: table_column(i), position: None });
                bindings.push(Binding { feature, lookup });
            }
        }
    }
    let embedding = |table| Embedding {
        name: format!("t{table}"),
        index: Index::Identity { count: size.rows_of(table) as u32 },
        dim: DIM as u32,
        unknown_row: false,
        missing_row: false,
        wide: false,
    };
    (Schema { features, embeddings: (0..TABLES).map(embedding).collect() }, Enrichment { tables, bindings })
}

fn golden(size: Size, request: &[Ids], candidate: &[Ids], random: &mut Random) -> GoldenRequest {
    let mut values: Vec<GoldenValue> =
        (0..NUMBERS as u32).map(|feature| GoldenValue { feature, number: number(feature as usize), id: 0 }).collect();
    for (feature, ids) in request.iter().chain(candidate).enumerate() {
        let feature = (NUMBERS + feature) as u32;
        for _ in 0..ids.values {
            let id = random.between(0, size.rows_of(ids.table) - 1) as u64;
            values.push(GoldenValue { feature, number: 0.0, id });
        }
    }
    GoldenRequest { time_us: NOW_US, utc_offset_s: 0, values }
}

/// The numbers of all requests.
pub(crate) fn number(i: usize) -> f32 {
    i as f32 * 0.1
}

/// A row for each entry of each draw's pool.
fn table(path: &Path, name: &str, features: &[Ids], rows: impl Iterator<Item = (u64, Vec<u32>)>) -> Result<(), Error> {
    let column =
        |(i, ids): (usize, &Ids)| Column { name: table_column(i), kind: ColumnKind::U32 { cap: ids.values as u16 } };
    let columns: Vec<Column> = features.iter().enumerate().map(column).collect();
    let layout = RowLayout::new(columns.clone())?;
    let spec = TableSpec {
        name: name.to_owned(),
        columns,
        default: layout.missing(),
        built_us: BUILT_S * 1_000_000,
        fresh_for_s: 86_400,
        shard: Shard::default(),
        provenance: String::new(),
    };
    let spill = path.parent().unwrap_or(Path::new(".")).to_owned();
    let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 512 << 20, spill };
    let mut builder = TableBuilder::new(spec, options)?;
    let mut row = layout.missing();
    for (key, ids) in rows {
        let mut ids = ids.into_iter().map(u64::from);
        for (i, feature) in features.iter().enumerate() {
            let cell: Vec<u64> = ids.by_ref().take(feature.values).collect();
            layout.put(&mut row, i, Cell::Ids(&cell))?;
        }
        builder.push(key, &row)?;
    }
    builder.finish(path, &mut |_| {})?;
    Ok(())
}

/// Bundles with passed ids and with tables; found where an earlier run left them, else built.
pub(crate) fn make(
    name: &str,
    size: Size,
    (request, candidate): (&[Ids], &[Ids]),
    directory: &Path,
) -> Result<[PathBuf; 2], Error> {
    let Size { rows, ads, users } = size;
    let paths = ["passed", "tables"].map(|how| directory.join(format!("{name}-{how}-{rows}-{ads}-{users}-{VERSION}")));
    if paths.iter().all(|path| bundle::Manifest::read(path).is_ok()) {
        return Ok(paths);
    }
    println!("building bundles of model {name} in {}", directory.display());
    let work = tempfile::tempdir_in(directory)?;
    let [ads_file, users_file] = ["ads", "users"].map(|name| work.path().join(name));
    let pools = Draw::ALL.map(|draw| (draw, Pool::new(draw, size, request, candidate)));
    let rows_of = |ids: fn(&Pool) -> &Vec<u32>, features: &[Ids], key: fn(Draw, usize) -> u64| {
        let width = width(features).max(1);
        let of = move |(draw, pool): &(Draw, Pool)| {
            let draw = *draw;
            let rows: Vec<Vec<u32>> = ids(pool).chunks(width).map(<[u32]>::to_vec).collect();
            rows.into_iter().enumerate().map(move |(i, row)| (key(draw, i), row)).collect::<Vec<_>>()
        };
        pools.iter().flat_map(of).collect::<Vec<_>>()
    };
    table(&ads_file, "ads", candidate, rows_of(|pool| &pool.ads, candidate, ad_key).into_iter())?;
    if !request.is_empty() {
        table(&users_file, "users", request, rows_of(|pool| &pool.users, request, user_key).into_iter())?;
    }
    let embeddings: Vec<EmbeddingSpec> = (0..TABLES)
        .map(|table| {
            let rows = 0..size.rows_of(table);
            let rows = rows.flat_map(|row| (0..DIM).map(move |column| cell(table, row, column))).collect();
            EmbeddingSpec { rows, ..EmbeddingSpec::default() }
        })
        .collect();
    let mut random = Random(11);
    let network = network(NUMBERS + DIM * (request.len() + candidate.len()), &mut random);
    let goldens = (0..GOLDENS).map(|_| golden(size, request, candidate, &mut random)).collect();
    let mut spec = ModelSpec {
        schema: Schema::default(),
        enrichment: Enrichment::default(),
        network,
        embeddings,
        provenance: String::new(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens,
    };
    for (path, from_tables) in paths.iter().zip([false, true]) {
        (spec.schema, spec.enrichment) = schema(size, request, candidate, from_tables);
        let model = pack_model(&spec)?;
        let mut contents = vec![(Role::Model, MODEL_FILE, Content::Bytes(&model[..]))];
        if from_tables {
            contents.push((Role::Table, "ads.adc", Content::Link(&ads_file)));
            if !request.is_empty() {
                contents.push((Role::Table, "users.adc", Content::Link(&users_file)));
            }
        }
        bundle::write_files(path, &contents, true)?;
    }
    Ok(paths)
}
