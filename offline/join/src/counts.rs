//! What became of every record: counts by kind and fate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by name. A name is `kind.fate`; each record that was read has exactly one fate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    /// Adds to a count.
    pub fn add(&mut self, name: &str, n: u64) {
        if n == 0 {
            return;
        }
        match self.0.get_mut(name) {
            Some(count) => *count += n,
            None => drop(self.0.insert(name.to_owned(), n)),
        }
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, &n)| self.add(name, n));
    }

    /// A count, 0 when nothing was counted.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The sum of all fates of a kind.
    #[must_use]
    pub fn all(&self, kind: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.split_once('.').is_some_and(|(k, _)| k == kind)).map(|(_, n)| n).sum()
    }
}

/// A record that is in no row, and why. Kept, so that nothing vanishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aside {
    /// The impression id; 0 = none.
    pub id: u128,
    /// What it is: decision, impression, click, …, conversion.
    pub kind: &'static str,
    /// Why it is in no row.
    pub reason: &'static str,
    /// When it happened.
    pub time_us: i64,
    /// The event's own id; of a conversion the order's.
    pub own_id: i64,
    /// The user's key; 0 = not known.
    pub user: i64,
    /// A conversion's value, a stay in microseconds.
    pub value: i64,
}
