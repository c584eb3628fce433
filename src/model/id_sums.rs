//! What each row of a small embedding table adds to the first layers, for each feature of the candidate's side that reads
//! it: computed when a generation is opened, so that a candidate adds these numbers instead of multiplying its columns.
//!
//! The features depend on the model and the kind of CPU alone, because their sums are added in groups and an order of
//! their own: memory that is not allowed changes no bits. For a feature without kept sums they are computed with the
//! request.

use std::ops::Range;
use std::sync::Arc;

use super::{PlannedModel, Preparation};
use crate::artifact::Bytes;
use crate::artifact::model::Model;
use crate::enrich::{Assembler, State, candidate_category, embedding_columns};
use crate::error::{Error, Result, Status};
use crate::infer::{Group, Keeping, Kept, MOST_GROUPS, Plan, Scratch, Weights};
use crate::schema::{Kind, Side};

/// f32 of a cache line.
const LINE: usize = 16;
/// Columns of a feature that pays: as many products are saved for each number that is fetched from the third-level cache.
const LEAST_COLUMNS: usize = 12;
/// The same for sums of a feature that are at most so many bytes, which stay in the second-level cache.
const LEAST_NEAR: usize = 4;
const NEAR: u64 = 128 << 10;
/// Rows that are computed together.
const BATCH: u32 = 512;

/// A feature whose sums are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdGroup {
    feature: u32,
    embedding: u32,
    /// Its number among the categories of the candidate's side.
    category: usize,
    columns: Range<usize>,
    rows: u32,
}

/// The features of a model whose sums are worth keeping, apart from those that read `taken` columns. Smaller tables come
/// first.
pub(super) fn groups(model: &Model, plan: &Plan, taken: &[Range<usize>]) -> Result<Vec<IdGroup>> {
    let schema = model.schema();
    let mut groups = Vec::new();
    for (i, feature) in schema.features.iter().enumerate().filter(|(_, f)| f.side() == Side::Candidate) {
        let Kind::Category { embedding, .. } = feature.kind else { continue };
        let columns = embedding_columns(model, i);
        let table = &schema.embeddings[embedding as usize];
        if columns.len() >= LEAST_NEAR && !taken.iter().any(|t| t.start < columns.end && columns.start < t.end) {
            let category = candidate_category(schema, i);
            let rows = table.rows() as u32;
            groups.push(IdGroup { feature: i as u32, embedding, category, columns, rows });
        }
    }
    groups.sort_by_key(|group| (group.rows, group.feature));
    // The ads have a group of their own.
    groups.truncate(MOST_GROUPS - 1);
    let Some(keeping) = plan.keeping_groups(&columns(&groups))? else { return Ok(Vec::new()) };
    let bytes = |group: &IdGroup| (u64::from(group.rows) + 1) * 4 * keeping.width() as u64;
    groups.retain(|group| group.columns.len() >= LEAST_COLUMNS || bytes(group) <= NEAR);
    let (mut all, most) = (0, plan.kernel().near_bytes());
    groups.retain(|group| {
        all += bytes(group);
        all <= most
    });
    Ok(groups)
}

/// The groups of a plan's program for these features.
pub(super) fn columns(groups: &[IdGroup]) -> Vec<Group> {
    groups.iter().map(|group| vec![group.columns.clone()]).collect()
}

/// The sums of all rows of the features.
#[derive(Debug)]
pub(crate) struct IdSums {
    groups: Vec<IdGroup>,
    /// The first line of each feature's sums; one feature after the other has them, as far as the memory goes. A row of
    /// zeros for a value without a row follows the feature's.
    first_lines: Vec<Option<u32>>,
    width: usize,
    sums: Bytes,
}

impl IdSums {
    /// Bytes of the first features that fit in so many, their number, and bytes of all.
    fn size(groups: &[IdGroup], width: usize, most: u64) -> (u64, usize, u64) {
        let (mut kept, mut count, mut all) = (0, 0, 0u64);
        for group in groups {
            all += (u64::from(group.rows) + 1) * 4 * width as u64;
            if all <= most {
                (kept, count) = (all, count + 1);
            }
        }
        (kept, count, all)
    }

    /// Computes the sums that the options allow, or shares those of an earlier generation with the same model. The groups
    /// of `keeping` from `first` on are those of the features.
    pub(super) fn new(
        how: Preparation<'_>,
        planned: &PlannedModel,
        keeping: &Keeping,
        groups: Vec<IdGroup>,
        first: usize,
    ) -> Result<Arc<Self>> {
        let width = keeping.width();
        let (bytes, count, _) = Self::size(&groups, width, how.id_sums_bytes);
        let same = how.earlier.iter().filter(|earlier| earlier.planned.is(planned));
        let mut earlier = same.filter_map(|earlier| earlier.kept.ids());
        if let Some(ids) = earlier.find(|e| e.groups == groups && e.width == width && e.sums.len() as u64 == bytes) {
            return Ok(Arc::clone(ids));
        }
        let memory = |e: Error| Error::new(Status::CapacityExceeded, e.message).within("the sums of ids");
        let sums = Bytes::zeroed(bytes as usize).map_err(memory)?;
        let mut ids = Self { first_lines: vec![None; groups.len()], groups, width, sums };
        let mut scratch = Scratch::new(keeping.scratch_len());
        let mut line = 0;
        for at in 0..count {
            ids.first_lines[at] = Some(line);
            ids.fill(how, planned, (keeping, first + at), at, &mut scratch)?;
            line += (ids.groups[at].rows + 1) * (width / LINE) as u32;
        }
        Ok(Arc::new(ids))
    }

    fn fill(
        &mut self,
        how: Preparation<'_>,
        planned: &PlannedModel,
        (keeping, group): (&Keeping, usize),
        at: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let PlannedModel { file: model, plan } = planned;
        let IdGroup { embedding, ref columns, rows, .. } = self.groups[at];
        let first = self.first_lines[at].map_or(0, |line| line as usize * LINE);
        let memory: &mut [f32] = bytemuck::cast_slice_mut(self.sums.memory_mut());
        let mut x = vec![0.0; BATCH as usize * plan.width()];
        for begin in (0..rows).step_by(BATCH as usize) {
            how.cancel.check()?;
            let count = BATCH.min(rows - begin);
            for (row, x) in (begin..begin + count).zip(x.chunks_mut(plan.width())) {
                Assembler::embedding(model, embedding, row, &mut x[columns.clone()]);
            }
            let sums = &mut memory[first + begin as usize * self.width..][..count as usize * self.width];
            let x = &x[..count as usize * plan.width()];
            plan.keep_group(keeping, group, Weights::of(model), scratch, x, sums)?;
        }
        Ok(())
    }

    /// Rows with sums, bytes of them, and bytes that all would take.
    pub(super) fn info(&self) -> (u64, u64, u64) {
        let kept = self.groups.iter().zip(&self.first_lines).filter(|(_, line)| line.is_some());
        let (.., all) = Self::size(&self.groups, self.width, 0);
        (kept.map(|(group, _)| u64::from(group.rows)).sum(), self.sums.len() as u64, all)
    }

    /// The lines where the sums of each feature begin, for a row of a tile whose embedding rows were found.
    #[inline]
    pub(super) fn lines(&self, assembler: &Assembler, state: &State, row: usize, lines: &mut [u32]) {
        let each = (self.width / LINE) as u32;
        let groups = self.groups.iter().zip(&self.first_lines);
        for (line, (group, first)) in lines.iter_mut().zip(groups) {
            *line = match first {
                Some(first) => first + assembler.found(state, row, group.category).unwrap_or(group.rows) * each,
                None => Kept::NONE,
            };
        }
    }

    /// All sums.
    #[inline]
    pub(super) fn memory(&self) -> &[f32] {
        bytemuck::cast_slice(&self.sums)
    }
}
