//! Embedding tables and the wide part: gathered per batch, updated where rows were touched.
//!
//! Weight decay acts as if every row decayed at every step: a row catches up on missed steps when it is next read. So a
//! rare id ends close to zero instead of keeping what one example taught it. In a warm start this begins when a batch
//! first reads the row: a row that no batch reads keeps its weights to the bit.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::encode::{EmbeddingPlace, Examples, NONE, X0Layout};
use super::network::{keep_mask, symmetric};

/// The most heads of a model: pCTR and pCVR.
const MAX_HEADS: usize = 2;
/// Added to the root of the sum of squared gradients, so that rows with few examples take small steps.
const DAMPING: f32 = 0.1;
/// The same for wide weights.
const WIDE_DAMPING: f32 = 1.0;

/// The hyperparameters of one step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) lr: f64,
    pub(super) decay: f64,
    pub(super) lr_wide: f64,
    pub(super) decay_wide: f64,
}

/// One table.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingTable {
    pub(super) dim: usize,
    /// Weights of the wide part per row: the number of heads, or 0.
    pub(super) wide_dim: usize,
    pub(super) rows: Vec<f32>,
    pub(super) wide: Vec<f32>,
    state: Vec<RowState>,
    sum: Vec<f32>,
    wide_sum: Vec<f32>,
    average: Vec<f32>,
    wide_average: Vec<f32>,
    slot: Vec<u32>,
    /// Fixed values that are not trained.
    frozen: bool,
    /// Rows that an earlier model trained: each stays unchanged until a batch reads it.
    pub(super) inherited: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct RowState {
    /// Steps for which the decay was applied.
    decayed: (f64, f64),
    /// Steps that the average covers.
    averaged: u64,
    /// Whether a batch has read it.
    read: bool,
}

/// All tables of a model.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingTables {
    pub(super) tables: Vec<EmbeddingTable>,
    /// Sums of ln(1 - lr · decay) over all steps, for rows and for wide weights.
    log_decay: (f64, f64),
    step: u64,
    /// Decides which values are taken away.
    taker: ChaCha8Rng,
}

impl EmbeddingTable {
    pub(super) fn new(count: usize, dim: usize, wide_dim: usize, scale: f32, rng: &mut ChaCha8Rng) -> Self {
        let rows: Vec<f32> = (0..count * dim).map(|_| scale * symmetric(rng)).collect();
        Self {
            dim,
            wide_dim,
            average: rows.clone(),
            rows,
            wide: vec![0.0; count * wide_dim],
            wide_average: vec![0.0; count * wide_dim],
            state: vec![RowState::default(); count],
            sum: vec![0.0; count * dim],
            wide_sum: vec![0.0; count * wide_dim],
            slot: vec![NONE; count],
            frozen: false,
            inherited: false,
        }
    }

    /// Loads rows and wide weights unchanged and restarts the averages from them.
    pub(super) fn set(&mut self, rows: Vec<f32>, wide: Vec<f32>) {
        self.average.clone_from(&rows);
        self.rows = rows;
        self.wide_average.clone_from(&wide);
        self.wide = wide;
    }

    /// Loads fixed rows that are not to be trained.
    pub(super) fn freeze(&mut self, rows: Vec<f32>) {
        self.set(rows, self.wide.clone());
        self.frozen = true;
    }

    /// Brings decay and average of a row up to date, up to and including `step`.
    fn settle(&mut self, row: usize, log_decay: (f64, f64), step: u64, averaging: f64) {
        if self.frozen {
            return;
        }
        let state = &mut self.state[row];
        if self.inherited && !state.read {
            (state.decayed, state.averaged) = (log_decay, step);
            return;
        }
        let factor = (log_decay.0 - state.decayed.0).exp() as f32;
        let wide_factor = (log_decay.1 - state.decayed.1).exp() as f32;
        state.decayed = log_decay;
        let take = 1.0 - averaging.powi((step - state.averaged) as i32) as f32;
        state.averaged = step;
        let at = row * self.dim..(row + 1) * self.dim;
        for (w, a) in self.rows[at.clone()].iter_mut().zip(&mut self.average[at]) {
            *w *= factor;
            *a += take * (*w - *a);
        }
        let at = row * self.wide_dim..(row + 1) * self.wide_dim;
        for (w, a) in self.wide[at.clone()].iter_mut().zip(&mut self.wide_average[at]) {
            *w *= wide_factor;
            *a += take * (*w - *a);
        }
    }
}

/// The rows that one batch reads: the entries of every feature with an embedding.
pub(super) struct Touch {
    table: usize,
    column: usize,
    example: usize,
    row: u32,
    weight: f32,
    /// Index of the category in the plan, single ones first, then bags.
    slot: usize,
    /// The factor of the weighted sum over the category's rows.
    scale: f32,
}

impl EmbeddingTables {
    pub(super) fn new(tables: Vec<EmbeddingTable>, seed: u64) -> Self {
        Self { tables, log_decay: (0.0, 0.0), step: 0, taker: stream(seed, 4) }
    }

    /// The inputs `[batch, width]` of the examples, the wide part's share of the logits `[batch, heads]`, and which
    /// rows were read. With `drop`, values are left out at this rate, from both parts, and the others scaled up: the
    /// model learns not to rest on any one of them.
    pub(super) fn gather(
        &mut self,
        plan: &X0Layout,
        examples: &Examples,
        batch: &[usize],
        heads: usize,
        averaging: f64,
        drop: Option<(&mut ChaCha8Rng, f64)>,
    ) -> (Vec<f32>, Vec<f32>, Vec<Touch>) {
        let mut touches = touches(plan, examples, batch);
        self.take_away(plan, &mut touches);
        if let Some((rng, rate)) = drop {
            let mut mask = keep_mask(rng, rate, touches.len()).into_iter();
            touches.retain_mut(|t| {
                let factor = mask.next().unwrap_or(1.0);
                t.weight *= factor;
                factor > 0.0
            });
        }
        for t in &touches {
            let (log_decay, step, row) = (self.log_decay, self.step, t.row as usize);
            let table = &mut self.tables[t.table];
            table.settle(row, log_decay, step, averaging);
            table.state[row].read = true;
        }
        let (x, wide) = self.fill(plan, examples, batch, heads, &touches, false);
        (x, wide, touches)
    }

    /// Makes some values unknown or missing; each pass picks other values.
    fn take_away(&mut self, plan: &X0Layout, touches: &mut Vec<Touch>) {
        let rng = &mut self.taker;
        touches.retain_mut(|t| {
            let Some(drop) = plan.drops.get(t.slot).filter(|drop| drop.unknown + drop.missing > 0.0) else {
                return true;
            };
            let share = f64::from(rng.next_u32()) / 2f64.powi(32);
            if share < drop.unknown {
                t.row = drop.unknown_row;
            } else if share < drop.unknown + drop.missing {
                t.row = drop.missing_row;
            }
            t.row != NONE
        });
    }

    /// The same with the averaged weights (or the last ones), for prediction. [`EmbeddingTables::settle`] goes before.
    pub(super) fn lookup(
        &self,
        plan: &X0Layout,
        examples: &Examples,
        batch: &[usize],
        heads: usize,
        averaged: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let touches = touches(plan, examples, batch);
        self.fill(plan, examples, batch, heads, &touches, averaged)
    }

    fn fill(
        &self,
        plan: &X0Layout,
        examples: &Examples,
        batch: &[usize],
        heads: usize,
        touches: &[Touch],
        averaged: bool,
    ) -> (Vec<f32>, Vec<f32>) {
        let mut x = vec![0.0; batch.len() * plan.width];
        let mut wide = vec![0.0; batch.len() * heads];
        for (i, &example) in batch.iter().enumerate() {
            let numbers = &examples.numbers[example * plan.numbers.len()..];
            for (&column, &number) in plan.numbers.iter().zip(numbers) {
                x[i * plan.width + column] = number;
            }
        }
        // A category's rows are summed before the sum is scaled: serving's order, and so its bits.
        for rows_of_one in touches.chunk_by(|a, b| (a.example, a.slot) == (b.example, b.slot)) {
            let t = &rows_of_one[0];
            let table = &self.tables[t.table];
            let (rows, wides) =
                if averaged { (&table.average, &table.wide_average) } else { (&table.rows, &table.wide) };
            let to = &mut x[t.example * plan.width + t.column..][..table.dim];
            let mut sums = [0.0; MAX_HEADS];
            for t in rows_of_one {
                let row = t.row as usize;
                for (to, w) in to.iter_mut().zip(&rows[row * table.dim..]) {
                    *to += t.weight * w;
                }
                for (to, w) in sums.iter_mut().zip(&wides[row * table.wide_dim..][..table.wide_dim]) {
                    *to += t.weight * w;
                }
            }
            to.iter_mut().for_each(|v| *v *= t.scale);
            for (to, sum) in wide[t.example * heads..].iter_mut().zip(&sums[..table.wide_dim]) {
                *to += t.scale * sum;
            }
        }
        (x, wide)
    }

    /// One step down the gradients of the inputs `[batch, width]` and logits `[batch, heads]`, both summed over the
    /// batch's examples.
    pub(super) fn update(
        &mut self,
        plan: &X0Layout,
        touches: &[Touch],
        dx: &[f32],
        dlogits: &[f32],
        heads: usize,
        rates: &Rates,
    ) {
        self.step += 1;
        self.log_decay.0 += (-rates.lr * rates.decay).ln_1p();
        self.log_decay.1 += (-rates.lr_wide * rates.decay_wide).ln_1p();
        for number in 0..self.tables.len() {
            let table = &mut self.tables[number];
            if table.frozen {
                continue;
            }
            let (dim, wide_dim) = (table.dim, table.wide_dim);
            let stride = dim + wide_dim;
            let mut touched: Vec<usize> = Vec::new();
            let mut sums: Vec<f32> = Vec::new();
            for t in touches.iter().filter(|t| t.table == number) {
                let row = t.row as usize;
                if table.slot[row] == NONE {
                    table.slot[row] = touched.len() as u32;
                    touched.push(row);
                    sums.resize(sums.len() + stride, 0.0);
                }
                let sum = &mut sums[table.slot[row] as usize * stride..][..stride];
                let dx = &dx[t.example * plan.width + t.column..][..dim];
                let weight = t.weight * t.scale;
                for (s, g) in sum[..dim].iter_mut().zip(dx) {
                    *s += weight * g;
                }
                for (s, g) in sum[dim..].iter_mut().zip(&dlogits[t.example * heads..]) {
                    *s += weight * g;
                }
            }
            for (&row, sum) in touched.iter().zip(sums.chunks_exact(stride.max(1))) {
                table.slot[row] = NONE;
                table.step_row(row, sum, rates);
            }
        }
    }

    /// Brings every row up to date.
    pub(super) fn settle(&mut self, averaging: f64) {
        for table in &mut self.tables {
            for row in 0..table.state.len() {
                table.settle(row, self.log_decay, self.step, averaging);
            }
        }
    }

    /// The averaged rows and wide weights of each table.
    pub(super) fn snapshot(&self, averaged: bool) -> Vec<(Vec<f32>, Vec<f32>)> {
        self.tables
            .iter()
            .map(
                |t| {
                    if averaged {
                        (t.average.clone(), t.wide_average.clone())
                    } else {
                        (t.rows.clone(), t.wide.clone())
                    }
                },
            )
            .collect()
    }
}

impl EmbeddingTable {
    /// One Adagrad step of a row along the summed gradients of its examples: the embedding first, then the wide
    /// weights.
    fn step_row(&mut self, row: usize, sum: &[f32], rates: &Rates) {
        let lr = rates.lr as f32;
        for (i, &g) in sum[..self.dim].iter().enumerate() {
            let at = row * self.dim + i;
            self.sum[at] += g * g;
            self.rows[at] -= lr * g / (self.sum[at].sqrt() + DAMPING);
        }
        for (i, &g) in sum[self.dim..].iter().enumerate() {
            let at = row * self.wide_dim + i;
            self.wide_sum[at] += g * g;
            self.wide[at] -= rates.lr_wide as f32 * g / (self.wide_sum[at].sqrt() + WIDE_DAMPING);
        }
    }
}

fn touches(plan: &X0Layout, examples: &Examples, batch: &[usize]) -> Vec<Touch> {
    let mut touches = Vec::with_capacity(batch.len() * (plan.singles.len() + plan.bags.len()));
    for (i, &example) in batch.iter().enumerate() {
        let singles = &examples.singles[example * plan.singles.len()..];
        let touch = |place: &EmbeddingPlace, slot, row, weight, scale| Touch {
            table: place.table,
            column: place.column,
            example: i,
            row,
            weight,
            slot,
            scale,
        };
        for (slot, (place, &row)) in plan.singles.iter().zip(singles).enumerate() {
            if row != NONE {
                touches.push(touch(place, slot, row, 1.0, 1.0));
            }
        }
        for (b, place) in plan.bags.iter().enumerate() {
            let at = example * plan.bags.len() + b;
            let scale = examples.bag_scales[at];
            for &(row, weight) in examples.bag(at) {
                touches.push(touch(place, plan.singles.len() + b, row, weight, scale));
            }
        }
    }
    touches
}

/// A separate generator for each purpose, so that one more draw for one leaves the others unchanged.
pub(super) fn stream(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    let _ = rng.next_u32();
    rng
}
