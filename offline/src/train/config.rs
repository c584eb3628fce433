//! What a user may choose, and the defaults: functions of the number of training rows.

use super::network::CrossShape;

/// What a user chose; `None` is the default for the number of rows at hand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The seed of everything random.
    pub seed: u64,
    /// Passes over the training rows at most.
    pub epochs: Option<u32>,
    /// Rows per step.
    pub batch: Option<usize>,
    /// Learning rate of the dense layers (Adam).
    pub lr: Option<f64>,
    /// Learning rate of the embeddings.
    pub lr_embedding: Option<f64>,
    /// Decoupled weight decay of matrices.
    pub decay: Option<f64>,
    /// Decoupled weight decay of embedding rows, as if applied to every row at every step.
    pub decay_embedding: Option<f64>,
    /// Share of deep activations dropped.
    pub dropout: Option<f64>,
    /// Share of embedded features dropped from the input.
    pub dropout_embedding: Option<f64>,
    /// The kind of every cross layer.
    pub cross: Option<CrossShape>,
    /// How many cross layers.
    pub cross_layers: Option<usize>,
    /// Widths of the deep layers.
    pub hidden: Option<Vec<usize>>,
    /// Columns per embedding row.
    pub dim: Option<u32>,
    /// An id needs so many training rows to have a row of its own.
    pub min_count: Option<u32>,
    /// Hash ids into so many buckets per table instead of keeping vocabularies.
    pub hash_buckets: Option<u32>,
    /// Buckets per number.
    pub buckets: Option<u32>,
    /// Whether there is a wide part.
    pub wide: Option<bool>,
    /// Learning rate of the wide part (Adagrad).
    pub lr_wide: Option<f64>,
    /// L2 penalty of the wide part.
    pub decay_wide: Option<f64>,
    /// Averaging of weights: the share that the average keeps at every step.
    pub averaging: Option<f64>,
    /// Passes without improvement before training stops.
    pub patience: Option<u32>,
    /// The share of unclicked training rows that is kept.
    pub downsample: Option<f64>,
    /// Names the model that a warm start continues, for the provenance.
    pub parent: Option<String>,
    /// Encoded training rows held in memory; more are streamed from disk in every pass.
    pub memory_rows: Option<usize>,
}

/// Everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyper {
    pub(super) epochs: u32,
    pub(super) batch: usize,
    pub(super) lr: f64,
    pub(super) lr_embedding: f64,
    pub(super) decay: f64,
    pub(super) decay_embedding: f64,
    pub(super) dropout: f64,
    pub(super) dropout_embedding: f64,
    pub(super) cross: CrossShape,
    pub(super) cross_layers: usize,
    pub(super) hidden: Vec<usize>,
    pub(super) dim: u32,
    pub(super) min_count: u32,
    pub(super) buckets: u32,
    pub(super) wide: bool,
    pub(super) lr_wide: f64,
    pub(super) decay_wide: f64,
    pub(super) averaging: f64,
    pub(super) patience: u32,
}

impl Config {
    /// The choices for `rows` training rows.
    #[must_use]
    pub fn resolve(&self, rows: u64) -> Hyper {
        let n = rows.max(1) as f64;
        Hyper {
            epochs: self.epochs.unwrap_or(15),
            batch: self.batch.unwrap_or(256),
            lr: self.lr.unwrap_or(1e-3),
            lr_embedding: self.lr_embedding.unwrap_or(1e-3),
            decay: self.decay.unwrap_or(1e-4),
            decay_embedding: self.decay_embedding.unwrap_or(1e-2),
            dropout: self.dropout.unwrap_or(0.3),
            dropout_embedding: self.dropout_embedding.unwrap_or(0.3),
            cross: self.cross.unwrap_or(CrossShape::Full),
            cross_layers: self.cross_layers.unwrap_or(2),
            hidden: self.hidden.clone().unwrap_or_else(|| vec![64, 32]),
            dim: self.dim.unwrap_or(8),
            min_count: self.min_count.unwrap_or(10),
            buckets: self.buckets.unwrap_or(((n / 250.0) as u32).clamp(8, 64)),
            wide: self.wide.unwrap_or(true),
            lr_wide: self.lr_wide.unwrap_or(0.05),
            decay_wide: self.decay_wide.unwrap_or(1e-4),
            averaging: self.averaging.unwrap_or(0.98),
            patience: self.patience.unwrap_or(3),
        }
    }
}
