//! A small model, and bundles of it in a directory of their own.

use std::path::{Path, PathBuf};

use adclick::builder::artifact::model::spec::{
    Activation, DenseSpec, EmbeddingSpec, GoldenRequest, HeadKind, HeadSpec, Matrix, ModelSpec, NetworkSpec, Structure,
};
use adclick::builder::bundle::{self, Role};
use adclick::builder::model::pack_model;
use adclick::builder::schema::{Embedding, Enrichment, Feature, Index, Kind, Schema, Source, Transform};

/// The value of a reproducible sequence, within ±0.5.
fn noise(state: &mut u64) -> f64 {
    *state = adclick::builder::hash::mix(*state);
    *state as f64 / 2f64.powi(64) - 0.5
}

/// A model with two heads and inputs "age" (1 column) and "device" (2) of the request, "creative" (4) and "price" (1)
/// of the candidate.
fn model(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut matrix =
        |rows: usize, cols: usize| Matrix::new(rows, cols, (0..rows * cols).map(|_| noise(&mut state)).collect());
    let table = |name: &str, buckets, dim| Embedding {
        name: name.to_owned(),
        index: Index::Hashed { buckets },
        dim,
        unknown_row: false,
        missing_row: true,
        wide: false,
    };
    let feature = |name: &str, source, kind| Feature {
        name: name.to_owned(),
        input: name.to_owned(),
        source,
        kind,
        position: None,
    };
    let number = || Kind::Number { transform: Transform { log1p: true, ..Transform::default() }, default: 0.0 };
    let category = |embedding| Kind::Category { embedding, boundaries: Vec::new(), default: None };
    let embedding = |rows: Matrix| EmbeddingSpec {
        rows: rows.data.iter().map(|&v| v as f32).collect(),
        vocabulary: Vec::new(),
        wide: Vec::new(),
    };
    let embeddings = vec![embedding(matrix(9, 2)), embedding(matrix(33, 4))];
    let deep = DenseSpec { weight: matrix(20, 8), bias: matrix(1, 20).data, activation: Activation::Relu };
    let mut head = |kind| HeadSpec { kind, tower: Vec::new(), weight: matrix(1, 20).data, bias: -1.0 };
    let spec = ModelSpec {
        schema: Schema {
            features: vec![
                feature("age", Source::Context, number()),
                feature("device", Source::Context, category(0)),
                feature("creative", Source::Candidate, category(1)),
                feature("price", Source::Candidate, number()),
            ],
            embeddings: vec![table("device", 8, 2), table("creative", 32, 4)],
        },
        enrichment: Enrichment::default(),
        network: NetworkSpec {
            structure: Structure::Parallel,
            cross: Vec::new(),
            deep: vec![deep],
            heads: vec![head(HeadKind::Ctr), head(HeadKind::Cvr)],
        },
        embeddings,
        provenance: String::new(),
        histograms: Vec::new(),
        ranges: Vec::new(),
        goldens: vec![GoldenRequest::default()],
    };
    pack_model(&spec).unwrap()
}

/// A directory with a bundle "a" that `CURRENT` names.
pub(crate) struct Bundles {
    directory: tempfile::TempDir,
    pub(crate) generation: u64,
}

impl Bundles {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut bundles = Self { directory, generation: 0 };
        bundles.generation = bundles.publish("a", 1);
        bundles
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.root().join("a")
    }

    pub(crate) fn publish(&self, name: &str, seed: u64) -> u64 {
        let path = self.root().join(name);
        let generation = bundle::write(&path, &[(Role::Model, bundle::MODEL_FILE, &model(seed))], false).unwrap();
        bundle::publish(&path).unwrap();
        generation
    }
}
