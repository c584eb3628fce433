//! The rows of one training run: counted, encoded, held in memory or streamed in every pass.

use std::collections::BTreeSet;

use adclick::hash::mix;
use anyhow::{Result, ensure};
use indicatif::ProgressBar;

use super::blueprint::Blueprint;
use super::build::Counts;
use super::encode::{Encoder, Examples};
use super::split::{Role, Roles, Split, day};
use crate::data::{Batch, Found, Row, Source};
use crate::progress::Progress;

/// Rows to train on.
#[derive(Debug, Clone)]
pub struct Data {
    /// The files.
    pub source: Source,
    /// Which rows train, validate, test.
    pub split: Split,
}

impl Data {
    /// The split's rule for these files; a split by day reads them once to learn the days.
    ///
    /// # Errors
    /// Files that cannot be read, or too few days.
    pub fn roles(&self, progress: Progress) -> Result<Roles> {
        let mut days = BTreeSet::new();
        if self.split.needs_days() {
            let bar = progress.bytes("Reading the days", self.source.bytes()?);
            self.source.bare().for_each(&bar, |batch| {
                days.extend(batch.rows().iter().filter_map(|row| row.time_us.map(day)));
                Ok(())
            })?;
            bar.finish_and_clear();
        }
        Roles::new(&self.split, &days)
    }
}

/// The most validation or test rows that are kept: the first so many.
const MAX_HELD_OUT: usize = 1 << 20;
/// Rows that are shuffled together when rows are streamed.
const SHUFFLE: usize = 1 << 16;

/// Which rows do what.
pub(super) struct Picker {
    roles: Roles,
    keep: f64,
    seed: u64,
}

impl Picker {
    pub(super) fn new(data: &Data, keep: f64, seed: u64, progress: Progress) -> Result<Self> {
        Ok(Self { roles: data.roles(progress)?, keep, seed })
    }

    /// The role of a row; `None` of an unclicked training row that downsampling drops.
    fn role(&self, row: &Row) -> Option<Role> {
        let role = self.roles.of(row);
        if role == Role::Train && self.keep < 1.0 && row.click != Some(true) {
            let share = mix(row.number ^ self.seed.rotate_left(32)) as f64 / u64::MAX as f64;
            return (share < self.keep).then_some(role);
        }
        Some(role)
    }
}

/// What pass one found.
pub(super) struct Census {
    pub(super) counts: Counts,
    /// Clicked training rows.
    pub(super) clicks: u64,
    /// Clicked training rows known to have converted.
    pub(super) conversions: u64,
    /// The first and last time of the training rows.
    pub(super) window: Option<(i64, i64)>,
    /// Malformed rows, and what was wrong with the first.
    pub(super) bad: (u64, Vec<String>),
    /// Of each table how many rows of all files found their key.
    pub(super) found: Vec<Found>,
}

/// Pass one: counts ids and numbers of the training rows.
pub(super) fn count(
    data: &Data,
    blueprint: &Blueprint,
    picker: &Picker,
    seed: u64,
    progress: Progress,
) -> Result<Census> {
    let mut census = Census {
        counts: Counts::new(blueprint, &data.source, seed)?,
        clicks: 0,
        conversions: 0,
        window: None,
        bad: (0, Vec::new()),
        found: Vec::new(),
    };
    let bar = progress.bytes("Counting values", data.source.bytes()?);
    let read = data.source.for_each(&bar, |batch| {
        for row in batch.rows().iter().filter(|row| picker.role(row) == Some(Role::Train)) {
            census.counts.add(batch, row);
            let click = row.click == Some(true);
            census.clicks += u64::from(click);
            census.conversions += u64::from(click && row.conversion == Some(true));
            if let Some(t) = row.time_us {
                census.window = Some(census.window.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
            }
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    census.bad = (read.bad.count, read.bad.first);
    census.found = read.found;
    census.found.iter().for_each(|found| progress.note(&found.to_string()));
    ensure!(census.counts.rows > 0, "no row is left to train on: the split gave them all to validation and test");
    ensure!(
        census.clicks > 0 && census.clicks < census.counts.rows,
        "{} of {} training rows are clicked: a model needs clicked and unclicked ones",
        census.clicks,
        census.counts.rows
    );
    Ok(census)
}

/// The rows as the trainer sees them.
pub(super) struct Store<'a> {
    data: &'a Data,
    picker: &'a Picker,
    /// Training rows, when they are held in memory.
    held: Option<Examples>,
    pub(super) validation: Examples,
    pub(super) test: Examples,
    /// Training rows in a pass.
    pub(super) rows: u64,
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
        progress: Progress,
        mut visit: impl FnMut(Role, &Batch, &Row),
    ) -> Result<Self> {
        let mut held = (rows as usize <= memory_rows).then(Examples::default);
        let (mut validation, mut test) = (Examples::default(), Examples::default());
        let bar = progress.bytes("Encoding rows", data.source.bytes()?);
        data.source.for_each(&bar, |batch| {
            for row in batch.rows() {
                match picker.role(row) {
                    Some(Role::Train) => {
                        visit(Role::Train, batch, row);
                        if let Some(held) = &mut held {
                            encoder.encode(batch, row, held);
                        }
                    }
                    Some(Role::Validation) if validation.len() < MAX_HELD_OUT => {
                        visit(Role::Validation, batch, row);
                        encoder.encode(batch, row, &mut validation);
                    }
                    Some(Role::Test) if test.len() < MAX_HELD_OUT => encoder.encode(batch, row, &mut test),
                    _ => {}
                }
            }
            Ok(())
        })?;
        if let Split::Files(paths) = &data.split {
            let source = Source { paths: paths.clone(), ..data.source.clone() };
            source.for_each(&ProgressBar::hidden(), |batch| {
                for row in batch.rows() {
                    if validation.len() < MAX_HELD_OUT {
                        visit(Role::Validation, batch, row);
                        encoder.encode(batch, row, &mut validation);
                    }
                }
                Ok(())
            })?;
        }
        bar.finish_and_clear();
        ensure!(validation.len() > 0, "no row is left for validation: give more rows, or --validation FILE");
        Ok(Self { data, picker, held, validation, test, rows })
    }

    /// Whether the rows are read from disk in every pass.
    pub(super) fn streams(&self) -> bool {
        self.held.is_none()
    }

    /// One pass: hands the training rows to `visit` in pieces, which are to be shuffled. Held rows come as one piece.
    pub(super) fn pass(&self, encoder: &mut Encoder, mut visit: impl FnMut(&Examples) -> Result<()>) -> Result<()> {
        if let Some(held) = &self.held {
            return visit(held);
        }
        let mut piece = Examples::default();
        self.data.source.for_each(&ProgressBar::hidden(), |batch| {
            for row in batch.rows() {
                if self.picker.role(row) == Some(Role::Train) {
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
