//! Which ids requests and candidates have.

use std::path::Path;

use super::{Ids, Size, World};
use crate::Error;
use testkit::networks::Random;

/// How ids are drawn from a table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draw {
    /// From the first 1,000, for few ads: all stay in the caches.
    Hot,
    /// Row r as often as 1 / (r + 1).
    Zipf,
    /// From all.
    Random,
}

/// Rows of a table and ads from which [`Draw::Hot`] draws.
const HOT: usize = 1000;
const HOT_ADS: usize = 4096;

impl Draw {
    pub(crate) const ALL: [Self; 3] = [Self::Hot, Self::Zipf, Self::Random];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Zipf => "Zipf",
            Self::Random => "random",
        }
    }

    fn id(self, rows: usize, random: &mut Random) -> u32 {
        let below = match self {
            Self::Hot => random.between(0, rows.min(HOT) - 1),
            Self::Random => random.between(0, rows - 1),
            // The inverse of the distribution of a continuous one.
            Self::Zipf => (((rows + 1) as f64).powf((random.number() + 1.0) / 2.0) as usize).clamp(1, rows) - 1,
        };
        below as u32
    }

    pub(crate) fn ads(self, size: Size) -> usize {
        if self == Self::Hot { size.ads.min(HOT_ADS) } else { size.ads }
    }
}

/// The ids of ads and users: `[ads]` and `[users]` rows of each feature's ids.
pub(crate) struct Pool {
    pub(crate) ads: Vec<u32>,
    pub(crate) users: Vec<u32>,
}

/// Values of one row.
pub(crate) fn width(features: &[Ids]) -> usize {
    features.iter().map(|ids| ids.values).sum()
}

impl Pool {
    pub(crate) fn new(draw: Draw, size: Size, request: &[Ids], candidate: &[Ids]) -> Self {
        let mut random = Random(40 + draw as u64);
        let mut rows = |count: usize, features: &[Ids]| {
            let mut all = Vec::with_capacity(count * width(features));
            for _ in 0..count {
                for ids in features {
                    all.extend((0..ids.values).map(|_| draw.id(size.rows_of(ids.table), &mut random)));
                }
            }
            all
        };
        Self { ads: rows(draw.ads(size), candidate), users: rows(size.users, request) }
    }

    /// DIRECTORY/MODEL.DRAW.ads and .users, for peers.
    pub(crate) fn write(&self, world: &World, draw: Draw, directory: &Path) -> Result<(), Error> {
        for (name, ids) in [("ads", &self.ads), ("users", &self.users)] {
            let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            std::fs::write(directory.join(format!("{}.{}.{name}", world.name, draw.name())), bytes)?;
        }
        Ok(())
    }
}
