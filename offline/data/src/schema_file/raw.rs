//! The schema file as written: one struct for each kind of table; unknown keys are refused.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The keys of the file itself.
pub(super) const TOP: [&str; 7] = ["features", "embeddings", "tables", "keys", "labels", "model", "tensors"];
/// The keys that every kind of feature takes.
pub(super) const COMMON: [&str; 5] = ["name", "input", "source", "kind", "column"];
/// The further keys of a feature of source `dot`.
pub(super) const DOT: [&str; 3] = ["left", "right", "measure"];
/// The further keys of a `number`.
pub(super) const NUMBER: [&str; 3] = ["transform", "default", "position"];
/// The further keys of a `category` with an embedding.
pub(super) const CATEGORY: [&str; 5] = ["embedding", "boundaries", "default", "position", "raw"];
/// The further keys of a `category` with fixed values.
pub(super) const VALUES: [&str; 5] = ["values", "unknown_value", "default", "position", "raw"];
/// The further keys of a `multi`.
pub(super) const MULTI: [&str; 4] = ["embedding", "pooling", "separator", "raw"];
/// The further keys of a `vector`.
pub(super) const VECTOR: [&str; 2] = ["dim", "separator"];

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Number,
    Category,
    Multi,
    Vector,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    Context,
    User,
    Time,
    Ad,
    Cross,
    #[default]
    Candidate,
    Dot,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Pooling {
    #[default]
    Mean,
    Sum,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum IdKind {
    String,
    Integer,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Measure {
    #[default]
    Dot,
    Cosine,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Transform {
    pub(super) clip: Option<(f32, f32)>,
    #[serde(default)]
    pub(super) log1p: bool,
    pub(super) mean: Option<f32>,
    pub(super) scale: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) input: Option<String>,
    #[serde(default)]
    pub(super) source: Source,
    pub(super) kind: Kind,
    pub(super) position: Option<f32>,
    pub(super) transform: Option<Transform>,
    pub(super) default: Option<toml::Value>,
    #[serde(default)]
    pub(super) boundaries: Vec<f32>,
    pub(super) embedding: Option<toml::Value>,
    #[serde(default)]
    pub(super) pooling: Pooling,
    pub(super) separator: Option<String>,
    pub(super) raw: Option<IdKind>,
    pub(super) dim: Option<u32>,
    pub(super) column: Option<String>,
    pub(super) left: Option<String>,
    pub(super) right: Option<String>,
    pub(super) measure: Option<Measure>,
    pub(super) values: Option<BTreeMap<String, f32>>,
    pub(super) unknown_value: Option<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Embedding {
    pub(super) name: Option<String>,
    pub(super) dim: u32,
    pub(super) count: Option<u32>,
    pub(super) buckets: Option<u32>,
    pub(super) vocabulary: Option<toml::Value>,
    pub(super) vocabulary_file: Option<String>,
    pub(super) min_count: Option<u64>,
    pub(super) max_size: Option<u32>,
    pub(super) unknown_row: Option<bool>,
    pub(super) missing_row: Option<bool>,
    pub(super) wide: Option<bool>,
}

/// The keys that every column of a feature table takes.
pub(super) const CELL: [&str; 4] = ["name", "type", "from", "default"];
/// The further keys of a `vector` column.
pub(super) const CELL_VECTOR: [&str; 2] = ["dim", "separator"];
/// The further keys of a `u32` or `u64` column.
pub(super) const CELL_IDS: [&str; 3] = ["cap", "raw", "separator"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureTable {
    pub(super) name: String,
    pub(super) key: toml::Value,
    pub(super) key_columns: Option<toml::Value>,
    pub(super) raw: Option<toml::Value>,
    pub(super) columns: toml::Value,
    pub(super) fresh_for: Option<String>,
    pub(super) shards: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum CellType {
    F32,
    F16,
    U32,
    U64,
    Vector,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: CellType,
    pub(super) from: Option<toml::Value>,
    pub(super) dim: Option<u16>,
    pub(super) cap: Option<u16>,
    pub(super) raw: Option<IdKind>,
    pub(super) separator: Option<String>,
    pub(super) default: Option<toml::Value>,
}
