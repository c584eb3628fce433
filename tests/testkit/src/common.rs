//! Random models as bundles in a directory of their own, and random requests for them.

use std::path::{Path, PathBuf};

pub use crate::networks::Random;
use adclick::auction::Reason;
use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, ExpertSpec, GoldenRequest, GoldenValue, HeadKind, HeadSpec,
    Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::bundle::{self, MODEL_FILE, Role};
use adclick::builder::model::pack_model;
use adclick::builder::schema::{
    Embedding, Enrichment, Feature, Index, Kind, Pooling, Schema, Side, Source, TIME_INPUTS, Transform,
};
use adclick::{
    BidKind, Candidate, Engine, Input, LogOptions, Options, Outcome, Refusal, Request, Scorer, ScorerLimits, Value,
    Winner,
};
use tempfile::TempDir;

/// Ids that every vocabulary is drawn from; requests use these and some more.
pub const IDS: u64 = 40;

/// What a random model may have.
#[derive(Clone, Copy)]
pub struct Wants {
    pub wide: bool,
    pub heads: usize,
    pub goldens: usize,
    /// Whether there are similarities, which only tables give.
    pub similarities: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self { wide: true, heads: 2, goldens: 2, similarities: false }
    }
}

pub fn chance(random: &mut Random, percent: usize) -> bool {
    random.between(1, 100) <= percent
}

/// An id that vocabularies may know (see [`IDS`]), scattered over u64.
pub fn id(n: u64) -> u64 {
    if n < 4 { n } else { adclick::category_id(&n.to_le_bytes()) }
}

pub fn model(random: &mut Random, wants: Wants) -> ModelSpec {
    let schema = schema(random, wants);
    let width = schema.layout().width;
    let network = network(random, width, wants.heads);
    let embeddings = schema.embeddings.iter().map(|e| table(random, e, wants.heads)).collect();
    let goldens = (0..wants.goldens).map(|_| golden(random, &schema)).collect();
    ModelSpec {
        schema,
        enrichment: Enrichment::default(),
        network,
        embeddings,
        provenance: "made_by = \"a test\"\n".to_owned(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens,
    }
}

/// Features of all kinds in random order, some left out, both sides mixed. A name is read from the same side in all
/// schemas.
fn schema(random: &mut Random, wants: Wants) -> Schema {
    let bounds = |random: &mut Random| -> Vec<f32> {
        (0..random.between(1, 6)).map(|i| i as f32 - 2.5 + random.between(0, 1) as f32 * 0.25).collect()
    };
    let (bounds_a, bounds_p) = (bounds(random), bounds(random));
    let index = |random: &mut Random, kind: usize| match kind {
        0 => Index::Identity { count: random.between(1, 9) as u32 },
        1 => Index::Hashed { buckets: random.between(1, 30) as u32 },
        _ => Index::Vocabulary { count: random.between(1, 30) as u32 },
    };
    let indices = [
        index(random, 0),
        index(random, 1),
        index(random, 2),
        Index::Identity { count: bounds_a.len() as u32 + 1 },
        Index::Identity { count: bounds_p.len() as u32 + 1 },
        Index::Identity { count: 24 },
        index(random, 1),
    ];
    let embeddings: Vec<Embedding> = indices
        .into_iter()
        .enumerate()
        .map(|(i, index)| {
            let wide_only = i == 6 && wants.wide;
            Embedding {
                name: format!("table_{i}"),
                index,
                dim: if wide_only { 0 } else { random.between(1, 9) as u32 },
                unknown_row: chance(random, 50),
                missing_row: chance(random, 50),
                wide: wants.wide && (wide_only || chance(random, 40)),
            }
        })
        .collect();
    let number = |random: &mut Random| Kind::Number {
        transform: Transform {
            clip: if chance(random, 50) { (-2.0, 3.0) } else { (f32::NEG_INFINITY, f32::INFINITY) },
            log1p: chance(random, 50),
            mean: random.number() as f32,
            scale: 0.5 + random.between(0, 30) as f32 / 7.0,
        },
        default: random.number() as f32,
    };
    let category = |random: &mut Random, embedding: u32| Kind::Category {
        embedding,
        boundaries: Vec::new(),
        default: chance(random, 40).then(|| id(random.next_u64() % IDS)),
    };
    let buckets = |embedding: u32, boundaries: &[f32]| Kind::Category {
        embedding,
        boundaries: boundaries.to_vec(),
        default: None,
    };
    let pooling = |random: &mut Random| if chance(random, 50) { Pooling::Mean } else { Pooling::Sum };
    let mut features: Vec<Feature> = Vec::new();
    let mut add = |name: &str, input: &str, source: Source, kind: Kind, position: Option<f32>| {
        features.push(Feature { name: name.into(), input: input.into(), source, kind, position });
    };
    let (table_r, table_c) = (random.between(0, 2) as u32, random.between(0, 2) as u32);
    add("depth", "depth", Source::Context, number(random), None);
    add("age", "age", Source::User, number(random), None);
    add("price", "price", Source::Candidate, number(random), None);
    add("price_bucket", "price", Source::Candidate, buckets(3, &bounds_a), None);
    add("device", "device", Source::Context, category(random, table_r), None);
    add("country", "country", Source::User, category(random, 2), None);
    add("campaign", "campaign", Source::Candidate, category(random, 1), None);
    add("creative", "creative", Source::Ad, category(random, table_c), None);
    add("pair", "pair", Source::Cross, category(random, 6), None);
    add("interests", "interests", Source::User, Kind::MultiCategory { embedding: 2, pooling: pooling(random) }, None);
    add("topics", "topics", Source::Ad, Kind::MultiCategory { embedding: table_c, pooling: pooling(random) }, None);
    add("user_vector", "user_vector", Source::User, Kind::Vector { dim: random.between(1, 6) as u32 }, None);
    add("ad_vector", "ad_vector", Source::Ad, Kind::Vector { dim: random.between(1, 6) as u32 }, None);
    add("hour_row", "hour", Source::Time, category(random, 5), None);
    for input in TIME_INPUTS {
        add(input, input, Source::Time, number(random), None);
    }
    if wants.similarities {
        add("near", "near", Source::Dot, number(random), None);
        add("near_bucket", "near", Source::Dot, buckets(3, &bounds_a), None);
    }
    let served = random.between(0, 8) as f32 - 3.0;
    add("position", "position", Source::Candidate, number(random), Some(served));
    add("position_bucket", "position", Source::Candidate, buckets(4, &bounds_p), Some(served));
    add("shelf", "shelf", Source::Context, category(random, 0), Some(random.between(0, 9) as f32));
    // Fisher and Yates.
    for i in (1..features.len()).rev() {
        features.swap(i, random.between(0, i));
    }
    let least = random.between(2, features.len());
    features.truncate(least);
    if wants.wide {
        // A wide part needs at least one feature that reads a wide table; a width needs at least one column.
        features.retain(|f| f.name != "pair" && f.name != "age");
        let at = random.between(0, features.len());
        let age = Feature {
            name: "age".into(),
            input: "age".into(),
            source: Source::User,
            kind: number(random),
            position: None,
        };
        let pair = Feature {
            name: "pair".into(),
            input: "pair".into(),
            source: Source::Cross,
            kind: category(random, 6),
            position: None,
        };
        features.insert(at, pair);
        features.push(age);
    }
    Schema { features, embeddings }
}

fn table(random: &mut Random, e: &Embedding, heads: usize) -> EmbeddingSpec {
    let rows = e.rows() as usize;
    let mut values = |n: usize| -> Vec<f32> { (0..n).map(|_| random.number() as f32).collect() };
    let (rows, wide) = (values(rows * e.dim as usize), values(if e.wide { rows * heads } else { 0 }));
    let vocabulary = match e.index {
        Index::Vocabulary { count } => {
            let mut ids: Vec<u64> = (0..IDS).map(id).collect();
            for i in (1..ids.len()).rev() {
                ids.swap(i, random.between(0, i));
            }
            ids.truncate(count as usize);
            ids
        }
        Index::Identity { .. } | Index::Hashed { .. } => Vec::new(),
    };
    EmbeddingSpec { rows, vocabulary, wide }
}

/// Weights whose sums stay near 1.
fn matrix(random: &mut Random, rows: usize, cols: usize) -> Matrix {
    let scale = (1.0 / cols as f64).sqrt();
    Matrix::new(rows, cols, (0..rows * cols).map(|_| random.number() * scale).collect())
}

fn vector(random: &mut Random, len: usize) -> Vec<f64> {
    let scale = (1.0 / len as f64).sqrt();
    (0..len).map(|_| random.number() * scale).collect()
}

fn network(random: &mut Random, d: usize, heads: usize) -> NetworkSpec {
    let rank = random.between(1, 7);
    let cross: Vec<CrossSpec> = (0..random.between(0, 2))
        .map(|_| {
            let bias = vector(random, d);
            match random.between(0, 3) {
                0 => CrossSpec::Full { weight: matrix(random, d, d), bias },
                1 => CrossSpec::LowRank { v: matrix(random, rank, d), u: matrix(random, d, rank), bias },
                2 => CrossSpec::Vector { weight: vector(random, d), bias },
                _ => {
                    let experts = random.between(1, 4);
                    CrossSpec::Mixture {
                        experts: (0..experts)
                            .map(|_| ExpertSpec {
                                v: matrix(random, rank, d),
                                c: matrix(random, rank, rank),
                                u: matrix(random, d, rank),
                            })
                            .collect(),
                        gate: matrix(random, experts, d),
                        bias,
                    }
                }
            }
        })
        .collect();
    let structure = if chance(random, 50) { Structure::Parallel } else { Structure::Stacked };
    let (deep, last) = layers(random, d, 2);
    let reads_cross = deep.is_empty() || (structure == Structure::Parallel && !cross.is_empty());
    let trunk = if reads_cross { d } else { 0 } + if deep.is_empty() { 0 } else { last };
    let heads = [HeadKind::Ctr, HeadKind::Cvr][..heads]
        .iter()
        .map(|&kind| {
            let (tower, last) = layers(random, trunk, 1);
            HeadSpec { kind, tower, weight: vector(random, last), bias: random.number() }
        })
        .collect();
    NetworkSpec { structure, cross, deep, heads }
}

fn layers(random: &mut Random, mut inputs: usize, most: usize) -> (Vec<DenseSpec>, usize) {
    let mut layers = Vec::new();
    for _ in 0..random.between(0, most) {
        let outputs = random.between(1, 40);
        let activation = [Activation::Relu, Activation::Tanh, Activation::None][random.between(0, 2)];
        let (weight, bias) = (matrix(random, outputs, inputs), vector(random, outputs));
        layers.push(DenseSpec { weight, bias, activation });
        inputs = outputs;
    }
    (layers, inputs)
}

fn golden(random: &mut Random, schema: &Schema) -> GoldenRequest {
    let mut values = Vec::new();
    for (i, feature) in schema.features.iter().enumerate() {
        for (number, id) in raw(random, &feature.kind) {
            values.push(GoldenValue { feature: i as u32, number, id });
        }
    }
    GoldenRequest { time_us: time(random), utc_offset_s: 3600, values }
}

/// A random instant of the last and the next fifty years, to the microsecond.
fn time(random: &mut Random) -> i64 {
    (random.number() * 1.6e15) as i64
}

/// Values of a feature: none, one, or several; known and unknown, on boundaries and between them.
fn raw(random: &mut Random, kind: &Kind) -> Vec<(f32, u64)> {
    let count = match kind {
        Kind::Number { .. } | Kind::Category { .. } => [0, 1, 1, 1, 1, 2][random.between(0, 5)],
        Kind::MultiCategory { .. } => random.between(0, 5),
        Kind::Vector { dim } => random.between(0, *dim as usize + 2),
    };
    (0..count)
        .map(|_| {
            let number = match random.between(0, 3) {
                0 => 0.0,
                // Boundaries are quarters; so are these.
                1 => random.between(0, 24) as f32 * 0.25 - 3.0,
                2 => random.number() as f32 * 12.0,
                _ => random.number() as f32,
            };
            let id = match (kind, random.between(0, 4)) {
                (Kind::Vector { dim }, _) => random.next_u64() % (u64::from(*dim) + 2),
                (_, 0) => random.next_u64(),
                (_, 1) => random.next_u64() % 12,
                _ => id(random.next_u64() % IDS),
            };
            // Large weights and vectors would make logits so large that their probabilities say nothing.
            let small = matches!(kind, Kind::MultiCategory { .. } | Kind::Vector { .. });
            (if small { number / 8.0 } else { number }, id)
        })
        .collect()
}

/// A request with everything that travels beside it.
#[derive(Clone, Default)]
pub struct Case {
    pub request: Request,
    pub values: Vec<Value>,
    pub candidates: Vec<Candidate>,
    pub candidate_values: Vec<Value>,
}

impl Case {
    pub fn input(&self) -> Input<'_> {
        Input {
            request: &self.request,
            values: &self.values,
            candidates: &self.candidates,
            candidate_values: &self.candidate_values,
            columns: Default::default(),
        }
    }

    pub fn n(&self) -> usize {
        self.candidates.len()
    }

    /// The values of a candidate.
    pub fn values_of(&self, candidate: usize) -> &[Value] {
        let c = &self.candidates[candidate];
        &self.candidate_values[c.first_value as usize..][..c.n_values as usize]
    }

    /// The same request with these of its candidates.
    pub fn with_candidates(&self, which: &[usize]) -> Self {
        let mut case = Self { request: self.request, values: self.values.clone(), ..Self::default() };
        for &c in which {
            case.push(self.candidates[c], self.values_of(c));
        }
        case
    }

    pub fn push(&mut self, candidate: Candidate, values: &[Value]) {
        let first_value = self.candidate_values.len() as u32;
        self.candidate_values.extend_from_slice(values);
        self.candidates.push(Candidate { first_value, n_values: values.len() as u32, ..candidate });
        self.request.n_values = self.values.len() as u32;
        self.request.n_candidates = self.candidates.len() as u32;
        self.request.n_candidate_values = self.candidate_values.len() as u32;
    }
}

/// A random request of `n` candidates for a schema: values in random order, some missing, some given twice, and some
/// that nothing reads on that side.
pub fn case(random: &mut Random, schema: &Schema, n: usize, engine: &Engine) -> Case {
    let handle = |name: &str| engine.feature(name).unwrap();
    let strangers = ["nobody_reads_this", "hour", "position", "price", "age"].map(handle);
    let fill = |random: &mut Random, side: Side| {
        let mut values = Vec::new();
        let mut inputs: Vec<&str> = Vec::new();
        for f in schema.features.iter().filter(|f| f.side() == side && f.source != Source::Time && f.position.is_none())
        {
            // Two features may read one input: it is sent once.
            if inputs.contains(&f.input.as_str()) {
                continue;
            }
            inputs.push(&f.input);
            values.extend(raw(random, &f.kind).into_iter().map(|(number, id)| (handle(&f.input), number, id)));
        }
        if chance(random, 20) {
            values.push((strangers[random.between(0, strangers.len() - 1)], 1.5, 3));
        }
        if chance(random, 5) {
            values.push((u32::MAX, 1.0, 1));
        }
        for i in (1..values.len()).rev() {
            values.swap(i, random.between(0, i));
        }
        values.into_iter().map(|(feature, number, id)| Value { feature, number, id }).collect::<Vec<_>>()
    };
    let offsets = [0, 0, 3600, -43_200, 50_400, 19_800, -86_400, 86_400];
    let mut case = Case {
        request: Request {
            struct_size: size_of::<Request>() as u32,
            request_id: random.next_u64(),
            time_us: time(random),
            utc_offset_s: offsets[random.between(0, offsets.len() - 1)],
            n_slots: random.between(0, 4) as u32,
            candidate_size: size_of::<Candidate>() as u32,
            winner_size: size_of::<Winner>() as u32,
            ..Request::default()
        },
        values: fill(random, Side::Request),
        ..Case::default()
    };
    case.request.n_values = case.values.len() as u32;
    for i in 0..n {
        let kinds = [BidKind::Cpm, BidKind::Cpc, BidKind::Cpa, BidKind::Ocpm];
        let candidate = Candidate {
            ad_key: i as u64 + 1,
            bid_micros: random.between(0, 5_000_000) as i64,
            bid_kind: kinds[random.between(0, 3)] as u32,
            ..Candidate::default()
        };
        let values = fill(random, Side::Candidate);
        case.push(candidate, &values);
    }
    case
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    pub outcome: Outcome,
    pub pctr: Vec<f32>,
    pub pcvr: Vec<f32>,
}

impl Scores {
    pub fn bits(&self) -> Vec<u32> {
        self.pctr.iter().chain(&self.pcvr).map(|p| p.to_bits()).collect()
    }
}

pub fn score(scorer: &mut Scorer, case: &Case) -> Result<Scores, Refusal> {
    let (mut pctr, mut pcvr) = (vec![-1.0; case.n()], vec![-1.0; case.n()]);
    let outcome = scorer.score(case.input(), &mut pctr, &mut pcvr)?;
    Ok(Scores { outcome, pctr, pcvr })
}

/// The winners without their impression ids, which no two decisions share.
pub fn without_ids(mut winners: Vec<Winner>) -> Vec<Winner> {
    winners.iter_mut().for_each(|winner| (winner.impression_id, winner.impression_id_high) = (0, 0));
    winners
}

/// What a decision gave, as bytes: winners (which hold NaN) and reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub outcome: Outcome,
    pub winners: Vec<u8>,
    pub reasons: Vec<Reason>,
}

pub fn decide(scorer: &mut Scorer, case: &Case) -> Result<Decision, Refusal> {
    let mut winners = vec![Winner::default(); 8];
    let mut reasons = vec![Reason::Won; case.n()];
    let outcome = scorer.decide(case.input(), &mut winners, &mut reasons)?;
    winners.truncate(outcome.n_winners as usize);
    let winners = bytemuck::cast_slice(&without_ids(winners)).to_vec();
    Ok(Decision { outcome, winners, reasons })
}

/// What a bundle is made from.
pub trait Contents {
    /// Writes the bundle, in place of an older one. Returns its generation.
    fn write(&self, path: &Path) -> u64;
}

/// A model alone.
impl Contents for ModelSpec {
    fn write(&self, path: &Path) -> u64 {
        let model = pack_model(self).unwrap();
        bundle::write(path, &[(Role::Model, MODEL_FILE, &model)], true).unwrap()
    }
}

/// Bundles beside each other in a directory that goes with this value.
pub struct Bundles(pub TempDir);

impl Default for Bundles {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Bundles {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Returns the generation of what was written.
    pub fn write(&self, name: &str, contents: &impl Contents) -> u64 {
        contents.write(&self.path(name))
    }
}

/// Options with a kernel and room for any model of these tests.
pub fn options(kernel: &str) -> Options {
    let mut options = Options::default();
    options.kernel = Some(kernel.to_owned());
    options.headroom = 100.0;
    options
}

/// The same with a log in a directory, and the slate of every other request in it.
pub fn logged(mut options: Options, directory: &Path) -> Options {
    let mut log = LogOptions::new(directory);
    (log.slate_share, log.slate_values) = (0.5, 1 << 16);
    options.log = Some(log);
    options
}

pub fn scorer(engine: &Engine, max_candidates: usize) -> Scorer {
    engine.scorer(ScorerLimits { max_candidates }).unwrap()
}
