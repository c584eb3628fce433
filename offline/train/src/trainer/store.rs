//! The rows of one training run, encoded; either held in memory or streamed in every pass.

use adclick::builder::hash::mix;
use adclick_data::logs::{LogFiles, LogRow, RowBatch};
use adclick_data::progress::Progress;
use adclick_data::setting::require;
use anyhow::Result;

use super::checkpoint::checksum;
use super::encode::{Encoder, Examples};
use super::known::Clicks;
use super::sample::Sieve;
use super::split::{Data, Split, SplitRole, SplitRoles};

/// The most validation or test rows that are kept; more are sampled uniformly.
const MAX_HELD_OUT: usize = 1 << 20;
/// The most training rows that the wide part alone is fitted to; more are sampled uniformly.
const SAMPLE: usize = 1 << 18;
/// The number of rows shuffled together when rows are streamed.
const SHUFFLE: usize = 1 << 16;

/// Assigns each row its role.
pub(super) struct Picker {
    roles: SplitRoles,
    keep: f64,
    seed: u64,
    /// Whether the rows that validate train as well.
    all_train: bool,
}

impl Picker {
    pub(super) fn new(data: &Data, keep: f64, seed: u64, progress: &Progress) -> Result<Self> {
        Ok(Self { roles: data.roles(progress)?, keep, seed, all_train: false })
    }

    /// The same, but the rows that validate train.
    pub(super) fn all_train(self) -> Self {
        Self { all_train: true, ..self }
    }

    /// The role of a row; `None` for a row of weight 0, and for an unclicked training row that downsampling drops.
    pub(super) fn role(&self, row: &LogRow) -> Option<SplitRole> {
        if row.weight == 0.0 {
            return None;
        }
        let role = match self.roles.of(row) {
            SplitRole::Validation if self.all_train => SplitRole::Train,
            role => role,
        };
        if role == SplitRole::Train && self.keep < 1.0 && row.click != Some(true) {
            let share = mix(row.number ^ self.seed.rotate_left(32)) as f64 / u64::MAX as f64;
            return (share < self.keep).then_some(role);
        }
        Some(role)
    }
}

/// Encoded rows, sampled uniformly when there are many.
pub(super) struct HeldOut {
    most: usize,
    examples: Examples,
    /// The number and time of each.
    rows: Vec<(u64, Option<i64>)>,
    sieve: Sieve,
}

impl HeldOut {
    pub(super) fn new(most: usize) -> Self {
        Self { most, examples: Examples::default(), rows: Vec::new(), sieve: Sieve::default() }
    }

    /// Takes a row; false when the sample does not include it.
    pub(super) fn add(&mut self, encoder: &mut Encoder, batch: &RowBatch, row: &LogRow) -> bool {
        if !self.sieve.passes(row.number) {
            return false;
        }
        self.take(encoder, batch, row)
    }

    /// Takes a row that passed the sieve.
    fn take(&mut self, encoder: &mut Encoder, batch: &RowBatch, row: &LogRow) -> bool {
        encoder.encode(batch, row, &mut self.examples);
        self.rows.push((row.number, row.time_us));
        while self.rows.len() > self.most {
            self.sieve.halve();
            let (sieve, rows) = (&self.sieve, &self.rows);
            self.examples.retain(&encoder.plan, |i| sieve.passes(rows[i].0));
            self.rows.retain(|row| sieve.passes(row.0));
        }
        self.sieve.passes(row.number)
    }

    /// The numbers of the rows.
    #[cfg(test)]
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().map(|row| row.0)
    }

    /// The examples. The known share of clicks comes from these rows themselves.
    pub(super) fn finish(mut self) -> Examples {
        let mut clicks = Clicks::default();
        for (label, (number, time)) in self.examples.labels.iter().zip(&self.rows).filter(|(label, _)| label.click) {
            clicks.add(*number, *time, label.conversion.is_some(), f64::from(label.weight));
        }
        let known = clicks.shares();
        for (label, (_, time)) in self.examples.labels.iter_mut().zip(&self.rows) {
            label.known = known.share(*time) as f32;
        }
        self.examples
    }
}

/// The number furthest from 0 among the training and validation rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Largest {
    /// The index among the number and vector columns.
    pub(super) column: usize,
    pub(super) value: f32,
    /// The row's number.
    pub(super) row: u64,
}

/// Inspects the numbers of the row that was encoded last.
fn note(largest: &mut Option<Largest>, encoder: &Encoder, examples: &Examples, row: &LogRow) {
    let first = examples.numbers.len().saturating_sub(encoder.plan.numbers.len());
    for (column, &value) in examples.numbers[first..].iter().enumerate() {
        if largest.as_ref().is_none_or(|l| value.abs() > l.value.abs()) {
            *largest = Some(Largest { column, value, row: row.number });
        }
    }
}

/// The rows as the trainer sees them.
pub(super) struct Store<'a> {
    data: &'a Data,
    picker: &'a Picker,
    /// Training rows, when they are held in memory.
    held: Option<Examples>,
    pub(super) validation: Examples,
    pub(super) test: Examples,
    pub(super) largest: Option<Largest>,
    /// A sample of the training rows, when they are too many to use all.
    sample: Option<Examples>,
    progress: Progress,
}

impl<'a> Store<'a> {
    /// Pass two: encodes validation and test rows, and the training rows if they may be held. `visit` sees the raw
    /// training and validation rows.
    pub(super) fn new(
        data: &'a Data,
        picker: &'a Picker,
        encoder: &mut Encoder,
        rows: u64,
        memory_rows: usize,
        progress: &Progress,
        mut visit: impl FnMut(SplitRole, &RowBatch, &LogRow),
    ) -> Result<Self> {
        let mut held = (rows as usize <= memory_rows).then(Examples::default);
        let (mut validation, mut test) = (HeldOut::new(MAX_HELD_OUT), HeldOut::new(MAX_HELD_OUT));
        // The model must not depend on whether rows are held in memory.
        let mut sample = (held.is_none() || rows as usize > SAMPLE).then(|| HeldOut::new(SAMPLE));
        let mut largest: Option<Largest> = None;
        let stage = progress.bytes("Encoding rows", data.source.bytes()?);
        data.source.for_each(&stage, |batch| {
            for row in batch.rows() {
                match picker.role(row) {
                    Some(SplitRole::Train) => {
                        visit(SplitRole::Train, batch, row);
                        if let Some(sample) = sample.as_mut().filter(|sample| sample.sieve.passes(row.number)) {
                            sample.take(encoder, batch, row);
                            note(&mut largest, encoder, &sample.examples, row);
                        }
                        if let Some(held) = &mut held {
                            encoder.encode(batch, row, held);
                            note(&mut largest, encoder, held, row);
                        }
                    }
                    Some(SplitRole::Validation) if validation.add(encoder, batch, row) => {
                        note(&mut largest, encoder, &validation.examples, row);
                        visit(SplitRole::Validation, batch, row);
                    }
                    Some(SplitRole::Test) => {
                        test.add(encoder, batch, row);
                    }
                    Some(SplitRole::Validation) | None => {}
                }
            }
            Ok(())
        })?;
        if let Split::Files(paths) = &data.split
            && !picker.all_train
        {
            let source = LogFiles { paths: paths.clone(), ..data.source.clone() };
            source.for_each(&progress.within(), |batch| {
                for row in batch.rows().iter().filter(|row| row.weight > 0.0) {
                    if validation.add(encoder, batch, row) {
                        visit(SplitRole::Validation, batch, row);
                    }
                }
                Ok(())
            })?;
        }
        drop(stage);
        let (validation, test) = (validation.finish(), test.finish());
        require!(
            picker.all_train || validation.len() > 0,
            [Validation],
            "no row is left for validation: give more rows, or files of them"
        );
        let sample = sample.map(|sample| sample.examples);
        Ok(Self { data, picker, held, validation, test, largest, sample, progress: progress.clone() })
    }

    /// Whether the rows are read from disk in every pass.
    pub(super) fn streams(&self) -> bool {
        self.held.is_none()
    }

    /// The training rows, or a sample of them.
    pub(super) fn sample(&self) -> Option<&Examples> {
        self.sample.as_ref().or(self.held.as_ref())
    }

    /// A checksum of the rows, or of those of them that are held.
    pub(super) fn checksum(&self) -> u32 {
        let training = self.held.as_ref().or(self.sample.as_ref());
        checksum(&[training, Some(&self.validation)].into_iter().flatten().collect::<Vec<_>>())
    }

    /// Makes one pass: hands `visit` the training rows in pieces to shuffle. Rows held in memory are one piece.
    pub(super) fn pass(&self, encoder: &mut Encoder, mut visit: impl FnMut(&Examples) -> Result<()>) -> Result<()> {
        if let Some(held) = &self.held {
            return visit(held);
        }
        let mut piece = Examples::default();
        self.data.source.for_each(&self.progress.within(), |batch| {
            for row in batch.rows() {
                if self.picker.role(row) == Some(SplitRole::Train) {
                    encoder.encode(batch, row, &mut piece);
                }
            }
            if piece.len() >= SHUFFLE {
                visit(&piece)?;
                piece.clear();
            }
            Ok(())
        })?;
        if piece.len() > 0 { visit(&piece) } else { Ok(()) }
    }
}
