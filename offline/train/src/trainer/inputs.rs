//! The network inputs as the trainer computes them from raw rows, for comparison with those of serving.

use adclick::builder::artifact::model::spec::ModelSpec;
use adclick_data::logs::{LogFiles, LogRow, RowBatch};
use anyhow::Result;

use super::encode::{Encoder, Examples};
use super::tables::{EmbeddingTable, EmbeddingTables, stream};

/// The network's inputs, computed by the trainer's own encoding and pooling with the embeddings of a model.
pub struct TrainingInputs {
    encoder: Encoder,
    tables: EmbeddingTables,
    heads: usize,
    row: Examples,
}

impl TrainingInputs {
    /// Encodes rows of `source` as the training of the model did.
    ///
    /// # Errors
    /// Features that the rows do not have.
    pub fn new(spec: &ModelSpec, source: &LogFiles) -> Result<Self> {
        let vocabularies: Vec<Vec<u64>> = spec.embeddings.iter().map(|e| e.vocabulary.clone()).collect();
        let heads = spec.network.heads.len();
        let tables = spec.schema.embeddings.iter().zip(&spec.embeddings).map(|(embedding, given)| {
            let wide = if embedding.wide { heads } else { 0 };
            let mut table =
                EmbeddingTable::new(embedding.rows() as usize, embedding.dim as usize, wide, 0.0, &mut stream(0, 0));
            table.set(&given.rows, &given.wide);
            table
        });
        let tables = EmbeddingTables::new(tables.collect(), 0.0);
        Ok(Self {
            encoder: Encoder::new(&spec.schema, &vocabularies, source)?,
            tables,
            heads,
            row: Examples::default(),
        })
    }

    /// The inputs of one row, `[width]`, columns in declared order.
    #[must_use]
    pub fn of(&mut self, batch: &RowBatch, row: &LogRow) -> Vec<f32> {
        self.row.clear();
        self.encoder.encode(batch, row, &mut self.row);
        let plan = &self.encoder.plan;
        let (mut x, mut logits) = (vec![0.0; plan.width], vec![0.0; self.heads]);
        self.tables.lookup(plan, &self.row, 0..1, false, (&mut x, plan.width), (&mut logits, self.heads));
        x
    }
}
