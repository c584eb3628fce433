//! Bundles with model S of docs/performance.md, read from a table of users and a table of ads, and requests for it.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::Bytes;
use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, GoldenRequest, GoldenValue, HeadKind, HeadSpec, Matrix, ModelSpec, NetworkSpec,
    Structure,
};
use adclick::builder::artifact::model::{Model, write};
use adclick::builder::bundle::{self, CALIBRATORS_FILE, Content, MODEL_FILE, Role};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, Platt, Segment, SegmentKey, Segments};
use adclick::builder::hash::{checksum, mix};
use adclick::builder::model::{deep_inputs, pack_model};
use adclick::builder::schema::{
    Binding, ColumnUse, Enrichment, Feature, KeyPart, Kind, Lookup, Schema, Source, TableUse, Transform,
};
use adclick::builder::table::{
    BuildOptions, Cell, Column, ColumnKind, Duplicates, RowLayout, Shard, TableBuilder, TableSpec,
};
use adclick::{BidKind, Candidate, Engine, Input, Request, Value};

use testkit::networks::Random;

type Error = Box<dyn std::error::Error>;

/// When the tables were built, in seconds, and when all requests are made, in microseconds.
const BUILT_S: i64 = 1_700_000_000;
const NOW_US: i64 = (BUILT_S + 3600) * 1_000_000;

/// Positions of the vector that each table has.
const DIM: u32 = 4;
const USER_NUMBERS: usize = 8;
const AD_NUMBERS: usize = 9;
const CONTEXT_NUMBERS: usize = 4;

/// Rows of each table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) users: u64,
    pub(crate) ads: u64,
}

/// Keys are spread over all u64, as hashes of ids are.
fn user_key(i: u64) -> u64 {
    mix(i).max(1)
}

fn ad_key(i: u64) -> u64 {
    mix(!i).max(1)
}

/// Some numbers as f32, some as fp16, then a vector.
fn columns(numbers: usize) -> Vec<Column> {
    let kind = |i| if i % 2 == 0 { ColumnKind::F32 } else { ColumnKind::F16 };
    let mut columns: Vec<_> = (0..numbers).map(|i| Column { name: format!("n{i}"), kind: kind(i) }).collect();
    columns.push(Column { name: "v".into(), kind: ColumnKind::Vector { dim: DIM as u16 } });
    columns
}

fn table(path: &Path, name: &str, numbers: usize, keys: impl Iterator<Item = u64>) -> Result<(), Error> {
    let columns = columns(numbers);
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
    let options = BuildOptions { duplicates: Duplicates::Refuse, memory: 256 << 20, spill };
    let mut builder = TableBuilder::new(spec, options)?;
    let mut row = layout.missing();
    for key in keys {
        let number = |i: usize| (mix(key ^ i as u64) >> 40) as f32 / (1u32 << 24) as f32;
        for i in 0..numbers {
            layout.put(&mut row, i, Cell::Number(number(i)))?;
        }
        layout.put(
            &mut row,
            numbers,
            Cell::Vector(&std::array::from_fn::<f32, { DIM as usize }, _>(|i| number(64 + i))),
        )?;
        builder.push(key, &row)?;
    }
    builder.finish(path, &mut |_| {})?;
    Ok(())
}

/// 16 inputs of the request, 13 of the candidate.
fn schema() -> (Schema, Enrichment) {
    let number = || Kind::Number { transform: Transform::default(), default: 0.0 };
    let mut features = Vec::new();
    let mut bindings = Vec::new();
    for (table, prefix, source, numbers) in [(0, "user", Source::User, USER_NUMBERS), (1, "ad", Source::Ad, AD_NUMBERS)]
    {
        for (i, column) in columns(numbers).into_iter().enumerate() {
            let kind = if i < numbers { number() } else { Kind::Vector { dim: DIM } };
            let name = format!("{prefix}_{}", column.name);
            let lookup = Lookup::Column(ColumnUse { table, column: column.name, position: None });
            bindings.push(Binding { feature: features.len() as u32, lookup });
            features.push(Feature { name: name.clone(), input: name, source, kind, position: None });
        }
    }
    for i in 0..CONTEXT_NUMBERS {
        let name = format!("context_{i}");
        features.push(Feature {
            name: name.clone(),
            input: name,
            source: Source::Context,
            kind: number(),
            position: None,
        });
    }
    let table = |name: &str, part| TableUse { name: name.to_owned(), key: vec![part] };
    let tables = vec![table("users", KeyPart::User), table("ads", KeyPart::Ad)];
    (Schema { features, embeddings: Vec::new() }, Enrichment { tables, bindings })
}

/// Three full cross layers and 256-128-64, as [`testkit::networks::models`] has them, with golden requests and with ranges
/// for integers, found on rows such as the tables have.
fn model(seed: u64) -> Result<Vec<u8>, Error> {
    let (schema, enrichment) = schema();
    let width = USER_NUMBERS + AD_NUMBERS + CONTEXT_NUMBERS + 2 * DIM as usize;
    let mut random = Random(seed);
    let mut vector = |len: usize, scale: f64| -> Vec<f64> { (0..len).map(|_| random.number() * scale).collect() };
    let mut layer = |outputs: usize, inputs: usize| {
        let weight = vector(outputs * inputs, (2.0 / inputs as f64).sqrt());
        (Matrix::new(outputs, inputs, weight), vector(outputs, 0.2))
    };
    let cross = (0..3)
        .map(|_| {
            let (weight, bias) = layer(width, width);
            CrossSpec::Full { weight, bias }
        })
        .collect();
    let mut inputs = width;
    let mut deep = Vec::new();
    for outputs in [256, 128, 64] {
        let (weight, bias) = layer(outputs, inputs);
        deep.push(DenseSpec { weight, bias, activation: Activation::Relu });
        inputs = outputs;
    }
    let (weight, _) = layer(1, width + inputs);
    let head = HeadSpec { kind: HeadKind::Ctr, tower: Vec::new(), weight: weight.data, bias: -3.0 };
    let mut spec = ModelSpec {
        schema,
        enrichment,
        network: NetworkSpec { structure: Structure::Parallel, cross, deep, heads: vec![head] },
        embeddings: Vec::new(),
        provenance: String::new(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens: Vec::new(),
    };
    // The tables' values are anywhere from 0 to 1, too.
    let numbers = spec.schema.features.iter().zip(0..).flat_map(|(f, feature)| match f.kind {
        Kind::Vector { dim } => (0..u64::from(dim)).map(|id| (feature, id)).collect(),
        _ => vec![(feature, 0)],
    });
    let numbers: Vec<(u32, u64)> = numbers.collect();
    let mut row = || {
        let number = |random: &mut Random| (random.next_u64() >> 40) as f32 / (1u32 << 24) as f32;
        let value = |&(feature, id)| GoldenValue { feature, number: number(&mut random), id };
        GoldenRequest { time_us: NOW_US, utc_offset_s: 0, values: numbers.iter().map(value).collect() }
    };
    let rows: Vec<GoldenRequest> = (0..1000).map(|_| row()).collect();
    let bare = Model::open(Bytes::copy_of(&write(&spec, &[])?)?)?;
    let mut ranges = vec![0.0f32; spec.network.deep.len()];
    deep_inputs(&bare, &rows, 1 << 30, |layer, inputs| {
        ranges[layer] = inputs.iter().fold(ranges[layer], |most, &x| most.max(x as f32));
    })?;
    spec.ranges = ranges;
    spec.goldens = rows[..16].to_vec();
    Ok(pack_model(&spec)?)
}

/// Bundles that differ in their weights and share their tables; found where an earlier run left them, else built. More
/// than two, so that going from one to the next always opens a model: an engine keeps the live one and the one before.
pub(crate) fn bundles(root: &Path, size: Size) -> Result<Vec<PathBuf>, Error> {
    let models = [1, 2, 3].map(model).into_iter().collect::<Result<Vec<_>, Error>>()?;
    // Bundles with another model, of an earlier version, are others.
    let path = |model: &Vec<u8>| root.join(format!("{}-{}-{:016x}", size.users, size.ads, checksum(model)));
    let paths: Vec<PathBuf> = models.iter().map(path).collect();
    if paths.iter().all(|path| bundle::Manifest::read(path).is_ok()) {
        return Ok(paths);
    }
    println!("building tables of {} users and {} ads in {}", size.users, size.ads, root.display());
    std::fs::create_dir_all(root)?;
    let work = tempfile::tempdir_in(root)?;
    let (users, ads) = (work.path().join("users"), work.path().join("ads"));
    table(&users, "users", USER_NUMBERS, (0..size.users).map(user_key))?;
    table(&ads, "ads", AD_NUMBERS, (0..size.ads).map(ad_key))?;
    let ctr = HeadCalibrator::new(0.1, Calibrator::Platt(Platt::new(0.9, 0.1)?))?;
    let calibrators = encode_calibrators(&Calibrators { ctr, ..Calibrators::default() });
    for (model, path) in models.iter().zip(&paths) {
        let contents = [
            (Role::Model, MODEL_FILE, Content::Bytes(&model[..])),
            (Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&calibrators[..])),
            (Role::Table, "users.adc", Content::Link(&users)),
            (Role::Table, "ads.adc", Content::Link(&ads)),
        ];
        bundle::write_files(path, &contents, true)?;
    }
    Ok(paths)
}

/// Placements, and advertisers in each of them: the segments of [`segmented`].
const PLACEMENTS: u64 = 20;
const ADVERTISERS: u64 = 5_000;

/// The same bundle with calibrators of 100,000 segments.
pub(crate) fn segmented(bundle: &Path) -> Result<PathBuf, Error> {
    let manifest = bundle::Manifest::read(bundle)?;
    let line = |i: u64| Ok::<_, Error>(Some(Calibrator::Platt(Platt::new(0.9, (i % 100) as f64 * 0.01)?)));
    let part = |parent, value| Ok::<_, Error>(Segment { parent, value, own: [line(value)?, None, None] });
    let mut list = (0..PLACEMENTS).map(|value| part(0, value)).collect::<Result<Vec<_>, _>>()?;
    for placement in 1..=PLACEMENTS as u32 {
        list.extend((0..ADVERTISERS).map(|value| part(placement, value)).collect::<Result<Vec<_>, _>>()?);
    }
    let segments = Segments::new(vec![SegmentKey::Placement, SegmentKey::Advertiser], list)?;
    let ctr = HeadCalibrator::new(0.1, Calibrator::Platt(Platt::new(0.9, 0.1)?))?;
    let calibrators = encode_calibrators(&Calibrators { ctr, segments, ..Calibrators::default() });
    let others = manifest.files.iter().filter(|file| file.role != Role::Calibrators);
    let places: Vec<_> = others.map(|file| (file.role, file.name.clone(), bundle.join(&file.name))).collect();
    let mut files: Vec<_> =
        places.iter().map(|(role, name, place)| (*role, name.as_str(), Content::Link(place))).collect();
    files.push((Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&calibrators)));
    let path = bundle.with_extension("segments");
    bundle::write_files(&path, &files, true)?;
    Ok(path)
}

/// Requests of one caller, each for another user and other ads.
pub(crate) struct Requests {
    size: Size,
    random: Random,
    values: Vec<Value>,
    request: Request,
    candidates: Vec<Candidate>,
}

impl Requests {
    pub(crate) fn new(engine: &Engine, size: Size, count: usize, seed: u64) -> Result<Self, Error> {
        let values: Result<Vec<_>, adclick::Error> = (0..CONTEXT_NUMBERS)
            .map(|i| Ok(Value { feature: engine.feature(&format!("context_{i}"))?, number: 0.5, id: 0 }))
            .collect();
        let values = values?;
        let request = Request {
            struct_size: size_of::<Request>() as u32,
            time_us: NOW_US,
            n_values: values.len() as u32,
            n_candidates: count as u32,
            n_slots: 3,
            ..Request::default()
        };
        let candidate = Candidate { bid_kind: BidKind::Cpc as u32, ..Candidate::default() };
        Ok(Self { size, random: Random(seed), values, request, candidates: vec![candidate; count] })
    }

    /// The next one, written in the place of the one before.
    pub(crate) fn next(&mut self) -> Input<'_> {
        let mut below = |limit: u64| self.random.next_u64() % limit;
        self.request.request_id += 1;
        self.request.user_key = user_key(below(self.size.users));
        for candidate in &mut self.candidates {
            candidate.ad_key = ad_key(below(self.size.ads));
            candidate.bid_micros = 100_000 + below(2_000_000) as i64;
            candidate.advertiser_key = below(ADVERTISERS);
        }
        self.request.placement = below(PLACEMENTS) as u32;
        Input {
            request: &self.request,
            values: &self.values,
            candidates: &self.candidates,
            candidate_values: &[],
            columns: Default::default(),
        }
    }
}
