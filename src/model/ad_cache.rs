//! What every ad of the ad table adds to the first layers, computed when a generation is opened.
//!
//! A request finds an ad's sums by the slot of its row, so the cache has one line of sums for each slot of the table,
//! including free ones. For an ad whose row has an override, for whose features the request passes values, or which the
//! table does not have, the sums are computed with the request, to the same bits.

use std::sync::Arc;

use super::{PlannedModel, Preparation};
use crate::artifact::Bytes;
use crate::artifact::model::Model;
use crate::cancel::Cancel;
use crate::enrich::{AdColumns, Assembler, Passed, State, TablePlan, TableRows};
use crate::error::{Error, Result, Status};
use crate::infer::{Keeping, Plan, Scratch, Weights};
use crate::prefetch::prefetch;
use crate::table::{RowAt, TableSet, TableSource};
use crate::types::{Candidate, Precision, Request};

/// The number of ads that are looked up and computed together.
const BATCH: usize = 1024;
/// f32 of a cache line.
const LINE: usize = 16;
/// A size that stays in the second-level cache beside everything else. A larger ad cache has its sums in memory.
const NEAR: u64 = 1 << 20;

/// Why a generation has an ad cache or has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum AdCacheState {
    /// The options allow no memory for one.
    #[default]
    Off = 0,
    /// It has one.
    On = 1,
    /// It would take more memory than the options allow.
    TooLarge = 2,
    /// No feature reads a table whose key is the ad alone, or the first layers have so few such columns that keeping their
    /// sums would save nothing. A cache of more than 1 MiB has its sums in memory and must save more; one of at most 1 MiB is
    /// kept whenever it saves anything.
    Useless = 3,
    /// The precision served is bf16 or int8, whose first layers are cheap: only exact sums are kept.
    NotExact = 4,
}

/// The ad cache of a generation, or the size that it would have.
///
/// ```
/// # use std::path::Path;
/// use adclick::{AdCacheState, Engine, Options};
///
/// # fn main() -> adclick::Result<()> {
/// let mut options = Options::default();
/// options.ad_cache_bytes = 1 << 20;
/// let engine = Engine::open(Path::new("examples/bundles/first"), &options)?;
/// let cache = engine.ad_cache()?;
/// assert_eq!((cache.state, cache.bytes), (AdCacheState::On, cache.bytes_needed));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdCacheInfo {
    /// Whether it has one.
    pub state: AdCacheState,
    /// Ads whose sums it holds.
    pub ads: u64,
    /// Bytes that it takes now.
    pub bytes: u64,
    /// Bytes that it takes, or would take; 0 when no sums can be kept.
    pub bytes_needed: u64,
    /// Embedding rows whose sums are kept by id, once for each feature that reads them
    /// ([`Options::id_sums_bytes`](crate::Options::id_sums_bytes)).
    pub ids: u64,
    /// Bytes that these sums take now.
    pub id_bytes: u64,
    /// Bytes that they would take with enough memory allowed; 0 when no feature's are worth keeping.
    pub id_bytes_needed: u64,
}

/// The sums of all ads of a table.
#[derive(Debug)]
pub(crate) struct AdCache {
    columns: AdColumns,
    /// f32 of an ad's sums.
    width: usize,
    set: Arc<TableSet>,
    /// The number of each shard's first slot.
    first_slots: Vec<usize>,
    sums: Bytes,
}

/// Whether there is to be an ad cache, and of what.
pub(super) struct PlannedAds<'a> {
    pub(super) info: AdCacheInfo,
    /// The columns and the table, if there is to be one.
    pub(super) ads: Option<(AdColumns, &'a TableSource)>,
}

impl<'a> PlannedAds<'a> {
    /// Decides it by what the sums take and save.
    pub(super) fn new(
        how: Preparation<'_>,
        planned: &PlannedModel,
        served: Precision,
        tables: &'a [TableSource],
    ) -> Result<Self> {
        let PlannedModel { file: model, plan } = planned;
        let none =
            |state, bytes_needed| Ok(Self { ads: None, info: AdCacheInfo { state, bytes_needed, ..<_>::default() } });
        let Some(columns) = AdColumns::of(model) else { return none(AdCacheState::Useless, 0) };
        let Some(keeping) = plan.keeping(&columns.columns)? else { return none(AdCacheState::Useless, 0) };
        let name = &model.enrichment().tables[columns.table].name;
        let source = tables.iter().find(|table| table.set.name() == name);
        let source = source.ok_or_else(|| Error::corrupt(format!("table `{name}` is not there")))?;
        let bytes = (slots(&source.set).1 as u64).saturating_mul(4 * keeping.width() as u64);
        if bytes > NEAR && !keeping.is_worth_from_memory() {
            return none(AdCacheState::Useless, 0);
        }
        match (how.ad_cache_bytes, served) {
            (0, _) => return none(AdCacheState::Off, bytes),
            (_, Precision::Bf16 | Precision::Int8) => return none(AdCacheState::NotExact, bytes),
            (most, _) if bytes > most => return none(AdCacheState::TooLarge, bytes),
            _ => {}
        }
        let ads = source.set.len();
        let info = AdCacheInfo { state: AdCacheState::On, ads, bytes, bytes_needed: bytes, ..<_>::default() };
        Ok(Self { info, ads: Some((columns, source)) })
    }
}

/// The number of each shard's first slot, and the number of all slots.
fn slots(set: &TableSet) -> (Vec<usize>, usize) {
    let mut all = 0;
    let mut first_slots = Vec::new();
    for shard in set.shards() {
        let index = shard.shard().index as usize;
        first_slots.resize(index, all);
        first_slots.push(all);
        all += shard.slots() as usize;
    }
    (first_slots, all)
}

fn same_shards(a: &TableSet, b: &TableSet) -> bool {
    a.shards().count() == b.shards().count() && a.shards().zip(b.shards()).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl AdCache {
    /// The cache of these ads: an earlier one with the same model and the same ads, or a new one. The sums are those of
    /// the first group of `keeping`.
    pub(super) fn new(
        how: Preparation<'_>,
        planned: &PlannedModel,
        keeping: &Keeping,
        (columns, source): (AdColumns, &TableSource),
        tables: &[TableSource],
    ) -> Result<Arc<Self>> {
        let same = how.earlier.iter().filter(|earlier| earlier.planned.is(planned));
        let mut earlier = same.filter_map(|earlier| earlier.kept.ads());
        if let Some(cache) = earlier.find(|c| same_shards(&c.set, &source.set) && c.width == keeping.width()) {
            return Ok(Arc::clone(cache));
        }
        let (first_slots, slots) = slots(&source.set);
        let memory = |e: Error| Error::new(Status::CapacityExceeded, e.message).within("the ad cache");
        let bytes = slots.checked_mul(4 * keeping.width());
        let bytes = bytes.ok_or_else(|| Error::corrupt("the ad cache does not fit this machine"))?;
        let sums = Bytes::zeroed(bytes).map_err(memory)?;
        let set = Arc::clone(&source.set);
        let mut cache = Self { columns, width: keeping.width(), set, first_slots, sums };
        cache.fill(&planned.file, &planned.plan, keeping, tables, how.cancel)?;
        Ok(Arc::new(cache))
    }

    /// Every ad is computed like a candidate of a request that passes nothing. `tables` must have no overrides.
    fn fill(
        &mut self,
        model: &Model,
        plan: &Plan,
        keeping: &Keeping,
        tables: &[TableSource],
        cancel: Cancel<'_>,
    ) -> Result<()> {
        let assembler =
            Assembler::new(model, TablePlan::compile(model.schema(), model.enrichment(), tables)?, |_, _| 0);
        let (tables, layout) = (assembler.tables(), model.layout());
        let rows = TableRows::new(tables.len(), tables.row_bytes(), BATCH)?;
        let mut state = State::new(model.schema().features.len(), layout.width, rows);
        let mut scratch = Scratch::new(keeping.scratch_len());
        let request = Request { struct_size: size_of::<Request>() as u32, ..Request::default() };
        let width = self.width;
        let (mut x, mut sums) = (vec![0.0; BATCH * layout.width], vec![0.0; BATCH * width]);
        let mut slots = Vec::with_capacity(BATCH);
        let set = Arc::clone(&self.set);
        let mut keys = set.shards().flat_map(|shard| shard.iter().map(|(key, _)| key)).peekable();
        while keys.peek().is_some() {
            cancel.check()?;
            let candidates: Vec<_> =
                keys.by_ref().take(BATCH).map(|ad_key| Candidate { ad_key, ..Candidate::default() }).collect();
            assembler.find(&mut state, &request, &candidates);
            slots.clear();
            for (candidate, x) in (0..candidates.len()).zip(x.chunks_mut(layout.width)) {
                let passed = Passed::new(candidate, &[], 0);
                let x = &mut x[layout.request_width..];
                assembler
                    .candidate(model, &mut state, passed, x, &mut [0.0; 2])
                    .map_err(|refusal| Error::corrupt(refusal.to_string()))?;
                slots.push(self.slot(assembler.row_of_ad(&self.columns, &state, passed)));
            }
            let n = slots.len();
            let (x, sums) = (&x[..n * layout.width], &mut sums[..n * width]);
            plan.keep(keeping, Weights::of(model), &mut scratch, x, sums)?;
            let memory: &mut [f32] = bytemuck::cast_slice_mut(self.sums.memory_mut());
            for (slot, sums) in slots.iter().zip(sums.chunks(width)) {
                let slot = slot.ok_or_else(|| Error::corrupt("the table does not find a key that it holds"))?;
                memory[slot * width..][..width].copy_from_slice(sums);
            }
        }
        Ok(())
    }

    #[inline]
    fn slot(&self, at: RowAt) -> Option<usize> {
        let (shard, slot) = self.set.slot(at)?;
        Some(self.first_slots.get(shard)? + slot)
    }

    /// The line where the sums of the candidate that `assembler` handled last begin; none when the candidate needs sums
    /// of its own. They are prefetched for the layer that reads them next.
    #[inline]
    pub(super) fn line(&self, assembler: &Assembler, state: &State, passed: Passed<'_>) -> Option<u32> {
        let at = assembler.row_of_ad(&self.columns, state, passed);
        let line = self.slot(at)? * (self.width / LINE);
        let sums = self.memory();
        for at in (line * LINE..(line * LINE + self.width).min(sums.len())).step_by(LINE) {
            prefetch(sums, at);
        }
        u32::try_from(line).ok()
    }

    /// All sums.
    #[inline]
    pub(super) fn memory(&self) -> &[f32] {
        bytemuck::cast_slice(&self.sums)
    }
}
