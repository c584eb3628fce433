//! Whole models of any shape with random contents.

use adclick::builder::artifact::model::spec::{
    Activation, CrossSpec, DenseSpec, EmbeddingSpec, ExpertSpec, GoldenRequest, GoldenValue, HeadKind, HeadSpec,
    Histogram, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::schema::{
    Binding, ColumnUse, Embedding, Enrichment, Feature, Index, KeyPart, Kind, Lookup, Measure, Pooling, Schema, Side,
    Source, TIME_INPUTS, TableUse, Transform,
};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// From -1 to 1, exact in f32.
    pub(crate) fn number(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn numbers(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.number().into()).collect()
    }

    fn matrix(&mut self, rows: usize, cols: usize) -> Matrix {
        Matrix::new(rows, cols, self.numbers(rows * cols))
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Crossing {
    Full,
    LowRank(usize),
    Vector,
    Mixture(usize, usize),
}

/// What to build; the rest is drawn from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) embeddings: usize,
    pub(crate) features: usize,
    pub(crate) structure: Structure,
    pub(crate) cross: Vec<Crossing>,
    pub(crate) deep: Vec<usize>,
    /// The tower of each head.
    pub(crate) heads: Vec<Vec<usize>>,
    /// Whether features read tables.
    pub(crate) tables: bool,
    pub(crate) goldens: usize,
    pub(crate) histograms: usize,
    pub(crate) seed: u64,
}

/// One of everything.
pub(crate) fn everything() -> Shape {
    Shape {
        embeddings: 4,
        features: 12,
        structure: Structure::Parallel,
        cross: vec![Crossing::Full, Crossing::LowRank(5), Crossing::Vector, Crossing::Mixture(3, 2)],
        deep: vec![19, 7],
        heads: vec![vec![], vec![5]],
        tables: true,
        goldens: 3,
        histograms: 2,
        seed: 2,
    }
}

pub(crate) fn model(shape: &Shape) -> (ModelSpec, Vec<f64>) {
    let mut random = Random(shape.seed);
    let schema = schema(shape, &mut random);
    let d = schema.layout().width;
    let heads = shape.heads.len();
    let embeddings = schema.embeddings.iter().map(|e| embedding_values(e, heads, &mut random)).collect();
    let network = network(shape, d, &mut random);
    let goldens: Vec<_> = (0..shape.goldens).map(|_| golden(&schema, &mut random)).collect();
    let histograms = (0..shape.histograms).map(|i| histogram(i, &mut random)).collect();
    let expected = random.numbers(shape.goldens * heads);
    let enrichment = if shape.tables { enrichment(&schema, &mut random) } else { Enrichment::default() };
    let provenance = "seed = 7\nparent = \"\u{e4}lteres Modell\"\n".to_owned();
    let ranges = (0..network.deep.len()).map(|i| i as f32 * 0.75).collect();
    (ModelSpec { schema, enrichment, network, embeddings, provenance, histograms, goldens, ranges }, expected)
}

fn schema(shape: &Shape, random: &mut Random) -> Schema {
    let mut embeddings: Vec<_> = (0..shape.embeddings).map(|i| embedding(i, random)).collect();
    let mut features = Vec::new();
    for i in 0..shape.features {
        let source = random.pick(&[
            Source::Context,
            Source::User,
            Source::Time,
            Source::Ad,
            Source::Cross,
            Source::Candidate,
            Source::Dot,
        ]);
        // Every kind comes up in turn. Time features are numbers; bucketised categories bring their own table.
        let table = (!embeddings.is_empty()).then(|| random.below(shape.embeddings) as u32);
        let kind = match (i % 5, table) {
            _ if source == Source::Time => number(random),
            (0, Some(embedding)) => {
                Kind::Category { embedding, boundaries: vec![], default: random.chance().then(|| random.next()) }
            }
            (1, Some(embedding)) => {
                Kind::MultiCategory { embedding, pooling: random.pick(&[Pooling::Mean, Pooling::Sum]) }
            }
            (2, _) => Kind::Vector { dim: 1 + random.below(9) as u32 },
            (3, _) => {
                let buckets = 2 + random.below(5) as u32;
                let mut own = embedding(embeddings.len(), random);
                own.index = Index::Identity { count: buckets };
                embeddings.push(own);
                let boundaries = (1..buckets).map(|b| b as f32 * 1.5 - 3.0).collect();
                Kind::Category { embedding: embeddings.len() as u32 - 1, boundaries, default: None }
            }
            _ => number(random),
        };
        let can_stand = matches!(kind, Kind::Number { .. } | Kind::Category { .. });
        let position = (can_stand && random.below(4) == 0).then(|| random.below(9) as f32);
        let input = match source {
            Source::Time => random.pick(&TIME_INPUTS).to_owned(),
            // Now and then two features of one source share an input.
            _ => format!("{source:?} {}", random.below(shape.features)),
        };
        features.push(Feature { name: format!("feature {i} \u{20ac}"), input, source, kind, position });
    }
    if shape.tables {
        let mut add = |name: &str, source, kind| {
            features.push(Feature { name: name.to_owned(), input: name.to_owned(), source, kind, position: None });
        };
        let kind = number(random);
        add("similarity", Source::Dot, kind);
        let kind = number(random);
        add("rate of the pair", Source::Cross, kind);
        add("the user's vector", Source::User, Kind::Vector { dim: 3 });
    }
    Schema { features, embeddings }
}

/// Most features that may read a table read one of five: by user, by placement, by ad, by two ids, and by a column of
/// another.
fn enrichment(schema: &Schema, random: &mut Random) -> Enrichment {
    let column = |table: usize, column: String| ColumnUse { table: table as u32, column, position: None };
    let keys = [
        vec![KeyPart::Column(column(3, "category".to_owned())), KeyPart::User],
        vec![KeyPart::User],
        vec![KeyPart::Placement],
        vec![KeyPart::Ad],
        vec![KeyPart::User, KeyPart::Advertiser, KeyPart::Placement, KeyPart::Ad],
    ];
    let mut bindings = Vec::new();
    for (i, f) in schema.features.iter().enumerate() {
        let chosen = random.below(4) > 0 || f.name.contains("pair") || f.name.contains("user");
        if f.source == Source::Time || f.position.is_some() || !(chosen || f.name == "similarity") {
            continue;
        }
        let number = match &f.kind {
            Kind::Number { .. } => true,
            Kind::Category { boundaries, .. } => !boundaries.is_empty(),
            Kind::MultiCategory { .. } | Kind::Vector { .. } => false,
        };
        let lookup = match (f.side(), f.source) {
            (_, Source::Dot) if !number => continue,
            (_, Source::Dot) => Lookup::Similarity {
                left: column(1, "interests".to_owned()),
                right: column(3, "topics \u{20ac}".to_owned()),
                measure: random.pick(&[Measure::Dot, Measure::Cosine]),
            },
            (side, _) => {
                let table = match side {
                    Side::Request => random.pick(&[1, 2]),
                    Side::Candidate if f.name.contains("pair") => 4,
                    Side::Candidate => random.pick(&[0, 3, 4]),
                };
                let position = number.then(|| random.below(1 << 16) as u16).filter(|p| p % 4 > 0);
                Lookup::Column(ColumnUse { position, ..column(table, format!("column {i}")) })
            }
        };
        bindings.push(Binding { feature: i as u32, lookup });
    }
    let mut read: Vec<usize> =
        bindings.iter().flat_map(|b: &Binding| b.lookup.columns()).map(|c| c.table as usize).collect();
    if read.contains(&0) {
        read.push(3);
    }
    let kept: Vec<usize> = (0..keys.len()).filter(|t| read.contains(t)).collect();
    let renumber = |c: &mut ColumnUse| c.table = kept.iter().position(|&t| t == c.table as usize).unwrap() as u32;
    for binding in &mut bindings {
        match &mut binding.lookup {
            Lookup::Column(column) => renumber(column),
            Lookup::Similarity { left, right, .. } => [left, right].into_iter().for_each(renumber),
        }
    }
    let tables = kept.iter().map(|&t| {
        let mut key = keys[t].clone();
        for part in &mut key {
            if let KeyPart::Column(column) = part {
                renumber(column);
            }
        }
        TableUse { name: format!("table {t}"), key }
    });
    Enrichment { tables: tables.collect(), bindings }
}

fn number(random: &mut Random) -> Kind {
    let clip = random.pick(&[(f32::NEG_INFINITY, f32::INFINITY), (-2.0, 3.5), (0.0, f32::INFINITY), (1.0, 1.0)]);
    let transform = Transform { clip, log1p: random.chance(), mean: random.number(), scale: 1.5 + random.number() };
    Kind::Number { transform, default: random.number() }
}

fn embedding(i: usize, random: &mut Random) -> Embedding {
    let count = 1 + random.below(40) as u32;
    let index = match i % 3 {
        0 => Index::Vocabulary { count },
        1 => Index::Hashed { buckets: count },
        _ => Index::Identity { count },
    };
    let wide = random.chance();
    let dim = if wide { random.below(6) } else { 1 + random.below(6) } as u32;
    let (unknown_row, missing_row) = (random.chance(), random.chance());
    Embedding { name: format!("table {i}"), index, dim, unknown_row, missing_row, wide }
}

fn embedding_values(e: &Embedding, heads: usize, random: &mut Random) -> EmbeddingSpec {
    let rows = e.rows() as usize;
    let mut values = |n: usize| (0..n).map(|_| random.number()).collect();
    let (row_values, wide) = (values(rows * e.dim as usize), values(if e.wide { rows * heads } else { 0 }));
    let vocabulary = match e.index {
        // Neighbouring integers and hashed strings.
        Index::Vocabulary { count } => {
            (0..u64::from(count)).map(|i| if i % 2 == 0 { i } else { random.next() }).collect()
        }
        Index::Identity { .. } | Index::Hashed { .. } => vec![],
    };
    EmbeddingSpec { rows: row_values, vocabulary, wide }
}

fn network(shape: &Shape, d: usize, random: &mut Random) -> NetworkSpec {
    let cross: Vec<_> = shape
        .cross
        .iter()
        .map(|&crossing| match crossing {
            Crossing::Full => CrossSpec::Full { weight: random.matrix(d, d), bias: random.numbers(d) },
            Crossing::LowRank(r) => {
                CrossSpec::LowRank { v: random.matrix(r, d), u: random.matrix(d, r), bias: random.numbers(d) }
            }
            Crossing::Vector => CrossSpec::Vector { weight: random.numbers(d), bias: random.numbers(d) },
            Crossing::Mixture(experts, r) => CrossSpec::Mixture {
                experts: (0..experts)
                    .map(|_| ExpertSpec { v: random.matrix(r, d), c: random.matrix(r, r), u: random.matrix(d, r) })
                    .collect(),
                gate: random.matrix(experts, d),
                bias: random.numbers(d),
            },
        })
        .collect();
    let deep = chain(&shape.deep, d, random);
    let from_deep = shape.deep.last().copied().unwrap_or(0);
    let reads_cross = shape.deep.is_empty() || (shape.structure == Structure::Parallel && !cross.is_empty());
    let trunk = if reads_cross { d } else { 0 } + from_deep;
    let heads = shape
        .heads
        .iter()
        .enumerate()
        .map(|(i, tower)| HeadSpec {
            kind: if i == 0 { HeadKind::Ctr } else { HeadKind::Cvr },
            tower: chain(tower, trunk, random),
            weight: random.numbers(tower.last().copied().unwrap_or(trunk)),
            bias: random.number().into(),
        })
        .collect();
    NetworkSpec { structure: shape.structure, cross, deep, heads }
}

fn chain(outputs: &[usize], mut inputs: usize, random: &mut Random) -> Vec<DenseSpec> {
    let mut layers = Vec::new();
    for &n in outputs {
        let activation = random.pick(&[Activation::None, Activation::Relu, Activation::Tanh]);
        layers.push(DenseSpec { weight: random.matrix(n, inputs), bias: random.numbers(n), activation });
        inputs = n;
    }
    layers
}

fn golden(schema: &Schema, random: &mut Random) -> GoldenRequest {
    let values = (0..random.below(20))
        .map(|_| GoldenValue {
            feature: random.below(schema.features.len()) as u32,
            number: random.number(),
            id: random.next() >> random.below(64),
        })
        .collect();
    GoldenRequest { time_us: random.next() as i64 >> 8, utc_offset_s: random.below(172_801) as i32 - 86_400, values }
}

fn histogram(i: usize, random: &mut Random) -> Histogram {
    let bins = 1 + random.below(8);
    let edges = (1..bins).map(|b| b as f64 * 0.25 + f64::from(random.number()) * 0.1).collect();
    Histogram { name: format!("quantity {i}"), edges, counts: (0..bins).map(|_| random.next() >> 20).collect() }
}

/// The inverse of the id hash's finaliser, which is a bijection: ids with any first slot.
pub(crate) fn unmix(mut z: u64) -> u64 {
    let unshift = |z: u64, by: u32| (0..64 / by + 1).fold(z, |x, _| z ^ (x >> by));
    let inverse = |odd: u64| (0..6).fold(odd, |x, _| x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x))));
    z = unshift(z, 31).wrapping_mul(inverse(0x94d0_49bb_1331_11eb));
    z = unshift(z, 27).wrapping_mul(inverse(0xbf58_476d_1ce4_e5b9));
    unshift(z, 30).wrapping_sub(0x9e37_79b9_7f4a_7c15)
}
