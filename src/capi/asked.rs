//! The arrays of a request as C passes them, with values of candidates in columns.

use bytemuck::{Pod, Zeroable};

use super::failure::Failure;
use super::memory::{SizedStruct, read_optional, slice};
use crate::error::Status;
use crate::request::Columns;
use crate::types::{Candidate, Request, Value};

/// A flag of `adclick_columns`: cells whose id is `missing_id` are missing.
pub const ADCLICK_COLUMNS_MISSING_ID: u32 = 1;

/// How many columns of values the candidates of a request have. 24 bytes. Beside it stand four arrays: `id_features`,
/// `[n_ids]` handles, with `ids`, `[n_candidates][n_ids]`; and `number_features`, `[n_numbers]` handles, with `numbers`,
/// `[n_candidates][n_numbers]`.
///
/// So no handle is looked up for each value. A cell counts as an `adclick_value` does that stands before the candidate's own
/// values, an id as one with number 0 and a number as one with id 0: with the same bits in the result and the same counts. Where
/// an input takes one value, the last one counts: that of a later column with the same handle, or the candidate's own value. A
/// multi-valued category takes each as one more, of weight 1. A vector's positions are passed by values.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_columns {
    /// `sizeof(adclick_columns)`.
    pub struct_size: u32,
    /// `ADCLICK_COLUMNS_MISSING_ID`, or 0: then all ids are ids. A number that is NaN is missing in any case.
    pub flags: u32,
    /// Columns of ids; with those of numbers at most 1024.
    pub n_ids: u32,
    /// Columns of numbers.
    pub n_numbers: u32,
    /// The id that stands for none.
    pub missing_id: u64,
}

impl SizedStruct for adclick_columns {
    const NAME: &'static str = "adclick_columns";
    const FIRST: usize = 24;
}

/// A block of columns as it is passed.
#[derive(Clone, Copy)]
pub(super) struct InColumns {
    pub(super) counts: *const adclick_columns,
    pub(super) id_features: *const u32,
    pub(super) ids: *const u64,
    pub(super) number_features: *const u32,
    pub(super) numbers: *const f32,
}

impl InColumns {
    /// No columns.
    pub(super) const NONE: Self = {
        let (ids, numbers) = (std::ptr::null(), std::ptr::null());
        let (id_features, number_features) = (std::ptr::null(), std::ptr::null());
        Self { counts: std::ptr::null(), id_features, ids, number_features, numbers }
    };

    /// The columns of so many candidates.
    ///
    /// # Safety
    /// Clauses sizes and arrays: the arrays have as many entries as the struct says, which is NULL or begins with its size.
    pub(super) unsafe fn read<'a>(self, candidates: usize) -> Result<Columns<'a>, Failure> {
        // SAFETY: clause sizes.
        let Some(counts) = unsafe { read_optional(self.counts) }? else { return Ok(Columns::default()) };
        if counts.flags & !ADCLICK_COLUMNS_MISSING_ID != 0 {
            let text = "columns.flags: only ADCLICK_COLUMNS_MISSING_ID is defined";
            return Err(Failure::Plain(Status::InvalidArgument, text));
        }
        let (n_ids, n_numbers) = (counts.n_ids as usize, counts.n_numbers as usize);
        // SAFETY: clause arrays, here and below. A product that overflows is past what memory has, and refused.
        let id_features = unsafe { slice(self.id_features, n_ids, "id_features") }?;
        // SAFETY: clause arrays.
        let number_features = unsafe { slice(self.number_features, n_numbers, "number_features") }?;
        // SAFETY: clause arrays.
        let ids = unsafe { slice(self.ids, candidates.saturating_mul(n_ids), "ids") }?;
        // SAFETY: clause arrays.
        let numbers = unsafe { slice(self.numbers, candidates.saturating_mul(n_numbers), "numbers") }?;
        let has_missing = counts.flags & ADCLICK_COLUMNS_MISSING_ID != 0;
        let missing_id = has_missing.then_some(counts.missing_id);
        Ok(Columns { id_features, ids, number_features, numbers, missing_id })
    }
}

/// A request with its arrays as they are passed.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) request: *const Request,
    pub(super) values: *const Value,
    pub(super) candidates: *const Candidate,
    pub(super) candidate_values: *const Value,
    pub(super) columns: InColumns,
}
