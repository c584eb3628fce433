//! Statistics of a training run.

use adclick_data::logs::TableHits;

/// Statistics of a training run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RunStatistics {
    /// Training rows.
    pub rows: u64,
    /// Rows that the model learnt from in the end, those that validated among them; 0 when it stays as they chose it.
    pub refit_rows: u64,
    /// The weighted share of clicked training rows.
    pub click_rate: f64,
    /// Rows of weight 0, which have no effect.
    pub weightless_rows: u64,
    /// Clicked training rows whose conversion is not known yet; 0 without a conversion head.
    pub unknown_conversions: u64,
    /// Rows that have a conversion but no click; the conversion is ignored.
    pub unclicked_conversions: u64,
    /// The heads of the model: `pCTR`, `pCVR`.
    pub heads: Vec<&'static str>,
    /// For each head, the network's share of its logits. The rest is that of the wide part fitted alone; 1 where none
    /// was fitted.
    pub network_shares: Vec<f64>,
    /// Validation rows.
    pub validation_rows: u64,
    /// Malformed rows that were skipped.
    pub bad_rows: u64,
    /// Passes made.
    pub epochs: u32,
    /// The pass whose weights were kept.
    pub best_epoch: u32,
    /// Log loss of the validation rows, by the model that has not learnt from them.
    pub validation_loss: f64,
    /// Training rows per second, over all passes.
    pub rows_per_second: f64,
    /// Whether the training rows were too many to hold in memory and were read from disk in every pass.
    pub streamed: bool,
    /// Wall time.
    pub seconds: f64,
    /// For each table that the model reads, how many rows of the files found their key, including held-out rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableHits>,
}
