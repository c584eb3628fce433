//! The options of a user, and their defaults as functions of the number of training rows.

use std::path::PathBuf;
use std::time::Duration;

use super::network::CrossShape;

/// Where and how often a run is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoints {
    /// The file; it is replaced each time.
    pub file: PathBuf,
    /// Whether to go on from the file, if there is one.
    pub resume: bool,
    /// The time between two.
    pub every: Duration,
}

/// The options of a user; `None` is the default for the number of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The seed of everything random.
    pub seed: u64,
    /// The most passes over the training rows.
    pub epochs: Option<u32>,
    /// Rows per step.
    pub batch: Option<usize>,
    /// Learning rate of the dense layers (Adam).
    pub lr: Option<f64>,
    /// Learning rate of the embeddings.
    pub lr_embedding: Option<f64>,
    /// Decoupled weight decay of matrices.
    pub decay: Option<f64>,
    /// Decoupled weight decay of embedding rows. It acts as if applied to every row at every step.
    pub decay_embedding: Option<f64>,
    /// Dropout rate of the deep activations.
    pub dropout: Option<f64>,
    /// Dropout rate of embedding rows at the input, together with their wide weights.
    pub dropout_embedding: Option<f64>,
    /// The kind of every cross layer.
    pub cross: Option<CrossShape>,
    /// The number of cross layers.
    pub cross_layers: Option<usize>,
    /// Widths of the deep layers.
    pub hidden: Option<Vec<usize>>,
    /// Columns per embedding row.
    pub dim: Option<u32>,
    /// The least number of training rows in which an id must occur to get a row of its own.
    pub min_count: Option<u32>,
    /// Hashes ids into this many buckets per table instead of keeping vocabularies.
    pub hash_buckets: Option<u32>,
    /// Buckets per number.
    pub buckets: Option<u32>,
    /// Whether there is a wide part.
    pub wide: Option<bool>,
    /// Learning rate of the wide part (Adagrad).
    pub lr_wide: Option<f64>,
    /// L2 penalty of the wide part.
    pub decay_wide: Option<f64>,
    /// The share that the average of the weights keeps at every step.
    pub averaging: Option<f64>,
    /// Training stops after this many passes without improvement.
    pub patience: Option<u32>,
    /// The share of unclicked training rows that is kept.
    pub downsample: Option<f64>,
    /// Whether the validation rows train, too, once they have chosen.
    pub refit: Option<bool>,
    /// Names the model that a warm start continues, for the provenance.
    pub parent: Option<String>,
    /// The most encoded training rows held in memory; more are streamed from disk in every pass.
    pub memory_rows: Option<usize>,
    /// Where and how often the run is kept, so that it can be resumed.
    pub checkpoint: Option<Checkpoints>,
    /// Threads; `None` = one for each core. Their number does not change the model.
    pub threads: Option<usize>,
}

/// The resolved options.
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
    /// The dimension of the built-in formats' tables, and of tables for which a schema file gives none.
    pub(super) min_counts: (u32, u32),
    pub(super) buckets: u32,
    pub(super) wide: bool,
    pub(super) lr_wide: f64,
    pub(super) decay_wide: f64,
    pub(super) averaging: f64,
    pub(super) patience: u32,
}

/// By default validation rows train, too, when there are no more rows than this in all.
const REFIT_ROWS: u64 = 1 << 18;

impl Config {
    /// Whether the validation rows train, too, once they have chosen.
    pub(super) fn refits(&self, rows: u64) -> bool {
        self.refit.unwrap_or(rows <= REFIT_ROWS)
    }

    /// The options for `rows` training rows.
    #[must_use]
    pub fn resolve(&self, rows: u64) -> Hyper {
        let n = rows.max(1) as f64;
        // 0 for ten thousand rows, 1 for a hundred thousand, and so on. More rows allow more capacity and need less
        // regularisation.
        let decades = (n / 1e4).log10().clamp(0.0, 4.0);
        let doubling =
            |start: usize, per_decade: f64, most: usize| (start << (per_decade * decades).round() as usize).min(most);
        let batch = self.batch.unwrap_or_else(|| doubling(256, 1.5, 4096)).max(1);
        let epochs = self.epochs.unwrap_or(((15.0 - 4.0 * decades) as u32).max(3));
        let pass = (n / batch as f64).max(1.0);
        let steps = pass * f64::from(epochs);
        let dropout = (0.3 - 0.1 * decades).max(0.0);
        let width = doubling(64, 1.0, 512);
        Hyper {
            epochs,
            batch,
            lr: self.lr.unwrap_or(1e-3 * (batch as f64 / 256.0).powf(0.25)),
            lr_embedding: self.lr_embedding.unwrap_or(0.03),
            decay: self.decay.unwrap_or(1e-4),
            // The total decay over all passes stays the same, however many steps they take.
            decay_embedding: self.decay_embedding.unwrap_or(4.0 / steps),
            dropout: self.dropout.unwrap_or(dropout),
            dropout_embedding: self.dropout_embedding.unwrap_or(dropout / 2.0),
            cross: self.cross.unwrap_or(CrossShape::LowRank(doubling(16, 1.0, 64))),
            cross_layers: self.cross_layers.unwrap_or(2),
            hidden: self.hidden.clone().unwrap_or_else(|| vec![width, width / 2]),
            dim: self.dim.unwrap_or(if n < 1e6 { 8 } else { 16 }),
            // A schema file may give few tables, so ids may carry all the information: the wide part makes good use of
            // an id that occurs twice.
            min_counts: (
                self.min_count.unwrap_or(5 + (2.0 * decades) as u32),
                self.min_count.unwrap_or(2 + (2.0 * decades) as u32),
            ),
            buckets: self.buckets.unwrap_or(((n / 250.0) as u32).clamp(8, 64)),
            wide: self.wide.unwrap_or(true),
            lr_wide: self.lr_wide.unwrap_or(0.03),
            decay_wide: self.decay_wide.unwrap_or(45.0 / steps),
            averaging: self.averaging.unwrap_or(1.0 - 1.0 / (0.5 * pass).clamp(50.0, 500.0)),
            patience: self.patience.unwrap_or(if decades < 2.0 { 3 } else { 1 }),
        }
    }
}

impl Hyper {
    /// The options for the same passes over `by` times as many rows: what adds up over all steps has the same sum.
    pub(super) fn stretched(&self, config: &Config, by: f64) -> Self {
        Self {
            decay_embedding: config.decay_embedding.unwrap_or(self.decay_embedding / by),
            decay_wide: config.decay_wide.unwrap_or(self.decay_wide / by),
            ..self.clone()
        }
    }
}
