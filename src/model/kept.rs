//! The sums of the first layers that a generation keeps: of ads and of ids, and the plan's program for both.

use std::sync::Arc;

use super::ad_cache::{AdCache, AdCacheInfo, PlannedAds};
use super::id_sums::{self, IdSums};
use super::{PlannedModel, Preparation};
use crate::enrich::{Assembler, Passed, State};
use crate::error::Result;
use crate::infer::{Keeping, Kept, MOST_GROUPS, TILE_ROWS};
use crate::table::TableSource;
use crate::types::Precision;

/// Where the sums of a tile's rows begin.
pub(crate) type Lines = [u32; TILE_ROWS * MOST_GROUPS];

/// The sums, and the program for rows that have them.
#[derive(Debug)]
pub(crate) struct KeptSums {
    pub(crate) keeping: Keeping,
    ads: Option<Arc<AdCache>>,
    ids: Option<Arc<IdSums>>,
}

/// What a generation keeps, if anything.
#[derive(Debug, Default)]
pub(super) struct PreparedSums {
    pub(super) sums: Option<KeptSums>,
    pub(super) info: AdCacheInfo,
}

impl PreparedSums {
    /// Computes the sums that the options allow, or shares those of an earlier generation.
    pub(super) fn prepare(
        how: Preparation<'_>,
        planned: &PlannedModel,
        served: Precision,
        tables: &[TableSource],
    ) -> Result<Self> {
        let PlannedAds { mut info, ads } = PlannedAds::new(how, planned, served, tables)?;
        let PlannedModel { file: model, plan } = planned;
        let of_ads = ads.as_ref().map_or(&[][..], |(columns, _)| &columns.columns);
        let ids = match served {
            Precision::Bf16 | Precision::Int8 => Vec::new(),
            Precision::Exact | Precision::AuctionExact => id_sums::groups(model, plan, of_ads)?,
        };
        let mut groups: Vec<_> = ads.iter().map(|(columns, _)| columns.columns.clone()).collect();
        let first = groups.len();
        groups.extend(id_sums::columns(&ids));
        let Some(keeping) = plan.keeping_groups(&groups)? else { return Ok(Self { sums: None, info }) };
        let ads = ads.map(|ads| AdCache::new(how, planned, &keeping, ads, tables)).transpose()?;
        let ids = if ids.is_empty() { None } else { Some(IdSums::new(how, planned, &keeping, ids, first)?) };
        if let Some(ids) = &ids {
            (info.ids, info.id_bytes, info.id_bytes_needed) = ids.info();
        }
        Ok(Self { sums: Some(KeptSums { keeping, ads, ids }), info })
    }

    pub(super) fn ads(&self) -> Option<&Arc<AdCache>> {
        self.sums.as_ref()?.ads.as_ref()
    }

    pub(super) fn ids(&self) -> Option<&Arc<IdSums>> {
        self.sums.as_ref()?.ids.as_ref()
    }
}

impl KeptSums {
    /// The number of groups of sums that a row has.
    #[inline]
    pub(crate) fn groups(&self) -> usize {
        self.keeping.groups()
    }

    /// Finds the sums of the candidate that `assembler` handled last, in this row of a tile: a line for each group.
    /// Returns whether those of its ad are kept.
    #[inline]
    pub(crate) fn find(
        &self,
        assembler: &Assembler,
        state: &State,
        row: usize,
        passed: Passed<'_>,
        lines: &mut [u32],
    ) -> bool {
        let mut of_ad = None;
        let mut of_ids = lines;
        if let Some(ads) = &self.ads {
            of_ad = ads.line(assembler, state, passed);
            of_ids[0] = of_ad.unwrap_or(Kept::NONE);
            of_ids = &mut of_ids[1..];
        }
        if let Some(ids) = &self.ids {
            ids.lines(assembler, state, row, of_ids);
        }
        of_ad.is_some()
    }

    /// The sums of a tile's rows by these lines.
    #[inline]
    pub(crate) fn kept<'a>(&'a self, lines: &'a [u32]) -> Kept<'a> {
        let memory = [
            self.ads.as_ref().map_or(&[][..], |ads| ads.memory()),
            self.ids.as_ref().map_or(&[][..], |ids| ids.memory()),
        ];
        Kept { memory, first: usize::from(self.ads.is_some()), lines }
    }
}
