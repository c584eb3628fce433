//! Which rows train, which decide when to stop, and which are kept for a final measurement.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::data::Row;

/// How rows are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// A tenth of the rows, chosen by the hash of the row number, validates.
    Hash,
    /// The last calendar day (UTC) validates.
    Day,
    /// All rows of these files validate.
    Files(Vec<PathBuf>),
    /// An experiment: fold = crc32 of `0:<row number>` modulo 10; folds 2r and 2r+1 test, the next two (modulo 10)
    /// validate, the other six train.
    HashRotation(u32),
    /// An experiment: the last calendar day tests, the one before it validates, the rest train.
    DayTest,
}

/// What a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The model is fitted to it.
    Train,
    /// Early stopping and calibration look at it.
    Validation,
    /// Only the final measurement looks at it.
    Test,
}

impl Split {
    /// The rule of `--split hash:R` or `--split day`: with test rows.
    ///
    /// # Errors
    /// Anything else.
    pub fn experiment(text: &str) -> Result<Self> {
        if text == "day" {
            return Ok(Self::DayTest);
        }
        match text.strip_prefix("hash:").map(u32::from_str) {
            Some(Ok(r)) if r < 5 => Ok(Self::HashRotation(r)),
            _ => bail!("--split {text}: expected hash:0 to hash:4, or day"),
        }
    }

    pub(super) fn needs_days(&self) -> bool {
        matches!(self, Self::Day | Self::DayTest)
    }
}

/// The fold of a row: crc32 of `0:<row number>` modulo 10.
fn fold(row: u64) -> u32 {
    crc32fast::hash(format!("0:{row}").as_bytes()) % 10
}

/// The calendar day of a time, UTC.
pub(super) fn day(time_us: i64) -> i64 {
    time_us.div_euclid(86_400_000_000)
}

/// A rule that knows the days that occur.
#[derive(Debug, Clone)]
pub struct Roles {
    split: Split,
    last: i64,
    before: i64,
}

impl Roles {
    pub(super) fn new(split: &Split, days: &BTreeSet<i64>) -> Result<Self> {
        if split.needs_days() {
            let needed = if *split == Split::Day { 2 } else { 3 };
            ensure!(
                days.len() >= needed,
                "a split by day needs rows of at least {needed} days, found {}: use a split by hash",
                days.len()
            );
        }
        let mut from_last = days.iter().rev().copied();
        let (last, before) = (from_last.next().unwrap_or(i64::MAX), from_last.next().unwrap_or(i64::MAX));
        Ok(Self { split: split.clone(), last, before })
    }

    /// What the row of this number is for, by a rule that looks at the number alone; by other rules it trains.
    #[must_use]
    pub fn of_number(&self, number: u64) -> Role {
        match &self.split {
            Split::Hash if fold(number) == 0 => Role::Validation,
            Split::HashRotation(r) => match (fold(number) + 10 - 2 * r) % 10 {
                0 | 1 => Role::Test,
                2 | 3 => Role::Validation,
                _ => Role::Train,
            },
            Split::Hash | Split::Files(_) | Split::Day | Split::DayTest => Role::Train,
        }
    }

    /// What a row is for.
    #[must_use]
    pub fn of(&self, row: &Row) -> Role {
        match &self.split {
            Split::Hash | Split::Files(_) | Split::HashRotation(_) => self.of_number(row.number),
            Split::Day => {
                if row.time_us.map(day) == Some(self.last) {
                    Role::Validation
                } else {
                    Role::Train
                }
            }
            Split::DayTest => match row.time_us.map(day) {
                Some(d) if d == self.last => Role::Test,
                Some(d) if d == self.before => Role::Validation,
                _ => Role::Train,
            },
        }
    }
}
