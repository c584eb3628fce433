//! Embedding tables and the wide part: read once a batch, updated where rows were read.
//!
//! Weight decay acts as if every row decayed at every step: a row catches up on missed steps when it is next read. So a
//! rare id ends close to zero instead of keeping what one example taught it. In a warm start this begins when a batch
//! first reads the row: a row that no batch reads keeps its weights to the bit.
//!
//! All that a step needs of a row lies together, and a batch works on a copy of the rows that it reads.

use std::ops::Range;

use adclick::builder::prefetch::prefetch;
use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::clock::Clock;
use super::encode::{Examples, NONE, X0Layout};
use super::gather::Gathered;
use super::network::symmetric;
use super::tensors::{Loaded, Tensors, Values};

/// The most heads of a model: pCTR and pCVR.
pub(super) const MAX_HEADS: usize = 2;
/// Added to the root of the sum of squared gradients, so that rows with few examples take small steps.
const DAMPING: f32 = 0.1;
/// The same for wide weights.
const WIDE_DAMPING: f32 = 1.0;
/// Rows are asked for that many before they are read.
const AHEAD: usize = 16;
/// Values of a line of memory.
const LINE: usize = 16;

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
    /// For each row its embedding and its wide weights, then the averages of both, then the sums of their squared
    /// gradients; padded to whole lines.
    records: Vec<f32>,
    state: Vec<RowState>,
    /// Fixed values that are not trained.
    frozen: bool,
    /// Rows that an earlier model trained: each stays unchanged until a batch reads it. Which were read; empty for others.
    read: Vec<bool>,
    batch: BatchRows,
}

#[derive(Debug, Clone, Copy)]
struct RowState {
    /// The step that decay and average are up to date with.
    step: u32,
    /// The place among the batch's rows.
    place: u32,
}

/// The rows that a batch reads of a table.
#[derive(Debug, Clone, Default)]
struct BatchRows {
    /// Which.
    rows: Vec<u32>,
    /// Their embeddings and wide weights, and the gradients at them.
    values: Vec<f32>,
    sums: Vec<f32>,
    /// What each category of the plan that has this table reads.
    reads: Vec<Read>,
}

/// The rows that a category reads in a batch.
#[derive(Debug, Clone, Default)]
struct Read {
    /// The category: single ones first, then bags.
    slot: usize,
    /// The first column of the inputs.
    column: usize,
    /// The places of the rows among the batch's.
    at: Vec<u32>,
    /// Where each part's begin in `at`.
    starts: Vec<usize>,
}

/// All tables of a model.
#[derive(Debug, Clone)]
pub(super) struct EmbeddingTables {
    pub(super) tables: Vec<EmbeddingTable>,
    clock: Clock,
    /// For each category of the plan its table, and its number among those that have it.
    places: Vec<(usize, usize)>,
}

impl EmbeddingTable {
    pub(super) fn new(count: usize, dim: usize, wide_dim: usize, scale: f32, rng: &mut ChaCha8Rng) -> Self {
        let rows: Vec<f32> = (0..count * dim).map(|_| scale * symmetric(rng)).collect();
        let mut table = Self {
            dim,
            wide_dim,
            records: Vec::new(),
            state: vec![RowState { step: 0, place: NONE }; count],
            frozen: false,
            read: Vec::new(),
            batch: BatchRows::default(),
        };
        table.records = vec![0.0; count * table.record()];
        table.set(&rows, &vec![0.0; count * wide_dim]);
        table
    }

    /// The weights of a row: its embedding and its wide weights.
    fn width(&self) -> usize {
        self.dim + self.wide_dim
    }

    /// The values of a record.
    fn record(&self) -> usize {
        (3 * self.width()).next_multiple_of(LINE)
    }

    /// The number of rows.
    pub(super) fn count(&self) -> usize {
        self.state.len()
    }

    /// Loads rows and wide weights unchanged and restarts the averages from them.
    pub(super) fn set(&mut self, rows: &[f32], wide: &[f32]) {
        let (dim, wide_dim, width, record) = (self.dim, self.wide_dim, self.width(), self.record());
        for (row, record) in self.records.chunks_exact_mut(record).enumerate() {
            record[..dim].copy_from_slice(&rows[row * dim..][..dim]);
            record[dim..width].copy_from_slice(&wide[row * wide_dim..][..wide_dim]);
            record.copy_within(..width, width);
        }
    }

    /// Loads wide weights unchanged and restarts all averages.
    pub(super) fn set_wide(&mut self, wide: &[f32]) {
        let rows = self.rows(false);
        self.set(&rows, wide);
    }

    /// Loads fixed rows that are not to be trained.
    pub(super) fn freeze(&mut self, rows: &[f32]) {
        let wide = self.wide(false);
        self.set(rows, &wide);
        self.frozen = true;
    }

    /// Says that an earlier model trained the rows.
    pub(super) fn inherit(&mut self) {
        self.read = vec![false; self.count()];
    }

    /// All embedding rows, or their averages.
    pub(super) fn rows(&self, averaged: bool) -> Vec<f32> {
        let first = if averaged { self.width() } else { 0 };
        self.records.chunks_exact(self.record()).flat_map(|record| &record[first..][..self.dim]).copied().collect()
    }

    /// All wide weights, or their averages.
    pub(super) fn wide(&self, averaged: bool) -> Vec<f32> {
        let first = self.dim + if averaged { self.width() } else { 0 };
        self.records.chunks_exact(self.record()).flat_map(|record| &record[first..][..self.wide_dim]).copied().collect()
    }

    /// All that the next steps depend on.
    fn save<'a>(&'a self, number: usize, to: &mut Tensors<'a>) {
        to.floats(format!("table.{number}.records"), &self.records);
        to.put(format!("table.{number}.steps"), Values::U32(self.state.iter().map(|state| state.step).collect()));
        to.put(format!("table.{number}.read"), Values::U8(self.read.iter().map(|&read| read.into()).collect()));
    }

    fn load(&mut self, number: usize, from: &Loaded) -> Result<()> {
        let name = |part: &str| format!("table.{number}.{part}");
        Loaded::fill(&name("records"), &mut self.records, &from.f32(&name("records"))?)?;
        let read: Vec<bool> = from.u8(&name("read"))?.into_iter().map(|read| read != 0).collect();
        Loaded::fill(&name("read"), &mut self.read, &read)?;
        let steps = from.u32(&name("steps"))?;
        ensure!(
            steps.len() == self.state.len(),
            "tensor `{}` has {} rows, not {}",
            name("steps"),
            steps.len(),
            self.state.len()
        );
        self.state.iter_mut().zip(steps).for_each(|(state, step)| state.step = step);
        Ok(())
    }

    /// Brings decay and average of a row up to date.
    fn settle(&mut self, row: usize, clock: &Clock) {
        if self.frozen {
            return;
        }
        let since = std::mem::replace(&mut self.state[row].step, clock.now());
        if since == clock.now() || self.read.get(row) == Some(&false) {
            return;
        }
        let (since, dim, width, record) = (clock.since(since), self.dim, self.width(), self.record());
        let record = &mut self.records[row * record..][..2 * width];
        let (weights, averages) = record.split_at_mut(width);
        for (i, (w, a)) in weights.iter_mut().zip(averages).enumerate() {
            *w *= if i < dim { since.row } else { since.wide };
            *a += since.take * (*w - *a);
        }
    }

    /// Reads the rows of a batch.
    fn read(&mut self, parts: &[Gathered], singles: usize, clock: &Clock) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.rows.clear();
        batch.values.clear();
        let mut reads = std::mem::take(&mut batch.reads);
        let (width, record) = (self.width(), self.record());
        for read in &mut reads {
            read.at.clear();
            read.starts.clear();
            for part in parts {
                read.starts.push(read.at.len());
                let rows = match read.slot.checked_sub(singles) {
                    None => part.single(read.slot),
                    Some(bag) => &part.bags[bag].rows,
                };
                for (i, &row) in rows.iter().enumerate() {
                    if let Some(&next) = rows.get(i + AHEAD).filter(|next| **next != NONE) {
                        let next = next as usize;
                        prefetch(&self.state, next);
                        (0..record).step_by(LINE).for_each(|line| prefetch(&self.records, next * record + line));
                    }
                    if row == NONE {
                        read.at.push(NONE);
                        continue;
                    }
                    let row = row as usize;
                    if self.state[row].place == NONE {
                        self.settle(row, clock);
                        if let Some(read) = self.read.get_mut(row) {
                            *read = true;
                        }
                        self.state[row].place = batch.rows.len() as u32;
                        batch.rows.push(row as u32);
                        batch.values.extend_from_slice(&self.records[row * record..][..width]);
                    }
                    read.at.push(self.state[row].place);
                }
            }
        }
        batch.reads = reads;
        self.batch = batch;
    }

    /// One step down the gradients of a batch.
    fn update(&mut self, parts: &[Gathered], singles: usize, [pitch, heads]: [usize; 2], rates: &Rates) {
        let mut batch = std::mem::take(&mut self.batch);
        let (dim, width, record) = (self.dim, self.width(), self.record());
        if !self.frozen {
            batch.sums.clear();
            batch.sums.resize(batch.rows.len() * width, 0.0);
            for read in &batch.reads {
                for (part, &start) in parts.iter().zip(&read.starts) {
                    let at = &read.at[start..];
                    let mut one = |place: u32, example: usize, weight: f32| {
                        let sum = &mut batch.sums[place as usize * width..][..width];
                        let (row, wide) = sum.split_at_mut(dim);
                        add(row, weight, &part.dx[example * pitch + read.column..][..dim]);
                        for (sum, g) in wide.iter_mut().zip(&part.dlogits[example * heads..]) {
                            *sum += weight * g;
                        }
                    };
                    match read.slot.checked_sub(singles) {
                        None => {
                            let read = at.iter().take(part.n).enumerate().filter(|(_, place)| **place != NONE);
                            read.for_each(|(example, &place)| one(place, example, part.factor));
                        }
                        Some(bag) => {
                            let bag = &part.bags[bag];
                            for example in 0..part.n {
                                for entry in bag.entries(example) {
                                    one(at[entry], example, bag.weights[entry] * bag.scales[example]);
                                }
                            }
                        }
                    }
                }
            }
        }
        for (i, &row) in batch.rows.iter().enumerate() {
            if let Some(&next) = batch.rows.get(i + AHEAD) {
                let next = next as usize;
                prefetch(&self.state, next);
                (0..record).step_by(LINE).for_each(|line| prefetch(&self.records, next * record + line));
            }
            self.state[row as usize].place = NONE;
            if !self.frozen {
                let record = &mut self.records[row as usize * record..][..3 * width];
                step_row(record, &batch.sums[i * width..][..width], dim, rates);
            }
        }
        self.batch = batch;
    }
}

/// One Adagrad step of a record along the summed gradients of its examples: the embedding first, then the wide weights.
fn step_row(record: &mut [f32], gradient: &[f32], dim: usize, rates: &Rates) {
    let width = gradient.len();
    let (weights, rest) = record.split_at_mut(width);
    let sums = &mut rest[width..];
    let mut step = |range: Range<usize>, lr: f32, damping: f32| {
        for ((w, sum), &g) in weights[range.clone()].iter_mut().zip(&mut sums[range.clone()]).zip(&gradient[range]) {
            *sum += g * g;
            *w -= lr * g / (sum.sqrt() + damping);
        }
    };
    step(0..dim, rates.lr as f32, DAMPING);
    step(dim..width, rates.lr_wide as f32, WIDE_DAMPING);
}

/// to += weight · from, for the few values of a row.
#[inline]
pub(super) fn add(to: &mut [f32], weight: f32, from: &[f32]) {
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<4>(), from.as_chunks::<4>());
    for (to, from) in to.iter_mut().zip(from) {
        for i in 0..4 {
            to[i] += weight * from[i];
        }
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to += weight * from;
    }
}

impl EmbeddingTables {
    /// `averaging` is the share that the average of the weights keeps at every step.
    pub(super) fn new(tables: Vec<EmbeddingTable>, averaging: f64) -> Self {
        Self { tables, clock: Clock::new(averaging), places: Vec::new() }
    }

    /// Reads the rows of a batch, which the parts have gathered.
    pub(super) fn read(&mut self, plan: &X0Layout, parts: &[Gathered]) {
        if self.places.is_empty() {
            for (slot, place) in plan.singles.iter().chain(&plan.bags).enumerate() {
                let reads = &mut self.tables[place.table].batch.reads;
                self.places.push((place.table, reads.len()));
                reads.push(Read { slot, column: place.column, ..Read::default() });
            }
        }
        let (singles, clock) = (plan.singles.len(), &self.clock);
        self.tables.par_iter_mut().with_max_len(1).for_each(|table| table.read(parts, singles, clock));
    }

    /// Adds what the examples `rows` of a part read to their inputs and to the wide part's share of their logits.
    pub(super) fn fill(
        &self,
        plan: &X0Layout,
        part: &Gathered,
        number: usize,
        rows: Range<usize>,
        (x, pitch): (&mut [f32], usize),
        (logits, heads): (&mut [f32], usize),
    ) {
        let singles = plan.singles.len();
        for (slot, &(table, read)) in self.places.iter().enumerate() {
            let table = &self.tables[table];
            let (dim, width, batch) = (table.dim, table.width(), &table.batch);
            let read = &batch.reads[read];
            let at = &read.at[read.starts[number]..];
            let mut one = |i: usize, place: u32, weight: f32| {
                let (row, wide) = batch.values[place as usize * width..][..width].split_at(dim);
                add(&mut x[i * pitch + read.column..][..dim], weight, row);
                for (to, w) in logits[i * heads..].iter_mut().zip(wide) {
                    *to += weight * w;
                }
            };
            match slot.checked_sub(singles) {
                None => {
                    let read = at[rows.clone()].iter().enumerate().filter(|(_, place)| **place != NONE);
                    read.for_each(|(i, &place)| one(i, place, part.factor));
                }
                Some(bag) => {
                    let bag = &part.bags[bag];
                    for (i, example) in rows.clone().enumerate() {
                        bag.entries(example).for_each(|e| one(i, at[e], bag.weights[e] * bag.scales[example]));
                    }
                }
            }
        }
    }

    /// One step down the gradients of the parts, summed over their examples; `pitch` is that of the inputs.
    pub(super) fn update(&mut self, plan: &X0Layout, parts: &[Gathered], [pitch, heads]: [usize; 2], rates: &Rates) {
        self.clock.tick((rates.lr * rates.decay, rates.lr_wide * rates.decay_wide));
        let singles = plan.singles.len();
        let tables = self.tables.par_iter_mut().with_max_len(1);
        tables.for_each(|table| table.update(parts, singles, [pitch, heads], rates));
    }

    /// Writes the inputs `[batch, pitch]` of examples and the wide part's share of their logits `[batch, heads]`, by the
    /// averaged weights or the last ones. [`EmbeddingTables::settle`] goes before.
    pub(super) fn lookup(
        &self,
        plan: &X0Layout,
        examples: &Examples,
        batch: Range<usize>,
        averaged: bool,
        (x, pitch): (&mut [f32], usize),
        (logits, heads): (&mut [f32], usize),
    ) {
        x.fill(0.0);
        logits.fill(0.0);
        let rows = x.chunks_exact_mut(pitch).zip(logits.chunks_exact_mut(heads));
        for (example, (x, logits)) in batch.zip(rows) {
            for (&column, &number) in plan.numbers.iter().zip(&examples.numbers[example * plan.numbers.len()..]) {
                x[column] = number;
            }
            let weights = |table: usize, row: u32| {
                let table = &self.tables[table];
                let first = row as usize * table.record() + if averaged { table.width() } else { 0 };
                table.records[first..][..table.width()].split_at(table.dim)
            };
            let singles = &examples.singles[example * plan.singles.len()..];
            for (place, &row) in plan.singles.iter().zip(singles).filter(|(_, row)| **row != NONE) {
                let (row, wide) = weights(place.table, row);
                x[place.column..].iter_mut().zip(row).for_each(|(to, w)| *to += w);
                logits.iter_mut().zip(wide).for_each(|(to, w)| *to += w);
            }
            // A bag's rows are summed before the sum is scaled: serving's order, and so its bits.
            for (b, place) in plan.bags.iter().enumerate() {
                let at = example * plan.bags.len() + b;
                let (scale, dim) = (examples.bag_scales[at], self.tables[place.table].dim);
                let mut sums = [0.0; MAX_HEADS];
                let to = &mut x[place.column..][..dim];
                for &(row, weight) in examples.bag(at) {
                    let (row, wide) = weights(place.table, row);
                    to.iter_mut().zip(row).for_each(|(to, w)| *to += weight * w);
                    sums.iter_mut().zip(wide).for_each(|(to, w)| *to += weight * w);
                }
                to.iter_mut().for_each(|to| *to *= scale);
                logits.iter_mut().zip(sums).for_each(|(to, sum)| *to += scale * sum);
            }
        }
    }

    /// All that the next steps depend on.
    pub(super) fn save<'a>(&'a self, to: &mut Tensors<'a>) {
        self.tables.iter().enumerate().for_each(|(number, table)| table.save(number, to));
        to.put("clock".to_owned(), Values::F64(self.clock.values().into()));
    }

    pub(super) fn load(&mut self, from: &Loaded) -> Result<()> {
        let clock = from.f64("clock")?;
        ensure!(clock.len() >= 2, "tensor `clock` is empty");
        self.clock.set(&clock);
        self.tables.iter_mut().enumerate().try_for_each(|(number, table)| table.load(number, from))
    }

    /// Brings every row up to date.
    pub(super) fn settle(&mut self) {
        let clock = &self.clock;
        self.tables.par_iter_mut().for_each(|table| (0..table.count()).for_each(|row| table.settle(row, clock)));
    }

    /// The rows and wide weights of each table, averaged or the last ones.
    pub(super) fn snapshot(&self, averaged: bool) -> Vec<(Vec<f32>, Vec<f32>)> {
        self.tables.iter().map(|table| (table.rows(averaged), table.wide(averaged))).collect()
    }
}

/// A separate generator for each purpose, so that one more draw for one leaves the others unchanged.
pub(super) fn stream(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    let _ = rng.next_u32();
    rng
}
