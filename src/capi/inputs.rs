//! What the live model reads, and whether a request has it.

use std::ffi::c_char;
use std::fmt::Write;

use bytemuck::{Pod, Zeroable};

use super::arrays::{Room, entries};
use super::asked::{Asked, InColumns};
use super::engine::{adclick_engine, live_engine};
use super::failure::Failure;
use super::memory::{Output, SizedStruct, place, slice_mut};
use super::scorer::{input, read_request};
use super::status::{adclick_error, adclick_status, guard_whole};
use crate::error::{Error, Status};
use crate::inputs::{Check, Default, ModelInput, ProblemKind};
use crate::types::{Candidate, Request, Value};

/// A flag of `adclick_model`: the model has a wide part, whose ids ready inputs (`adclick_scorer_score_dense`) cannot carry.
pub const ADCLICK_MODEL_WIDE: u32 = 1;

/// The live model in figures. 40 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_model {
    /// `sizeof(adclick_model)`, set by the caller.
    pub struct_size: u32,
    /// `ADCLICK_MODEL_WIDE`, or 0.
    pub flags: u32,
    /// Columns of a ready input: the `width` of `adclick_scorer_score_dense`.
    pub width: u32,
    /// Columns of the request among them.
    pub request_width: u32,
    /// 1: pCTR; 2: pCTR and pCVR.
    pub n_heads: u32,
    /// Inputs that `adclick_engine_model_input` describes.
    pub n_inputs: u32,
    /// Features; several may read one input.
    pub n_features: u32,
    /// Tables that the model reads.
    pub n_tables: u32,
    /// The generation's id.
    pub generation: u64,
}

impl SizedStruct for adclick_model {
    const NAME: &'static str = "adclick_model";
    const FIRST: usize = 40;
}

/// A flag of `adclick_model_input`: `default_number` replaces a missing value, or is the value to which the input is
/// fixed.
pub const ADCLICK_INPUT_NUMBER: u32 = 1;
/// A flag of `adclick_model_input`: `default_id` replaces a missing value, or is the id to which the input is fixed.
pub const ADCLICK_INPUT_ID: u32 = 2;

/// The bytes of `adclick_model_input.name`.
pub const ADCLICK_INPUT_NAME: usize = 256;
/// The bytes of `adclick_model_input.from`.
pub const ADCLICK_INPUT_FROM: usize = 1056;

/// An input of the live model. 1368 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct adclick_model_input {
    /// `sizeof(adclick_model_input)`, set by the caller.
    pub struct_size: u32,
    /// The handle of its name, for `adclick_value.feature`.
    pub feature: u32,
    /// An `adclick_side`: whether its values come with the request or with each candidate.
    pub side: u32,
    /// An `adclick_value_kind`: what its values are.
    pub kind: u32,
    /// The length of a vector; 1 for other kinds.
    pub dim: u32,
    /// An `adclick_reading`: whether it is passed, read from tables when it is not, or neither.
    pub reading: u32,
    /// An `adclick_source`: where the schema takes it from.
    pub source: u32,
    /// `ADCLICK_INPUT_NUMBER` or `ADCLICK_INPUT_ID`; with 0 the embedding's row for missing values, or zeros, replace a
    /// missing value.
    pub flags: u32,
    /// See `ADCLICK_INPUT_ID`.
    pub default_id: u64,
    /// See `ADCLICK_INPUT_NUMBER`.
    pub default_number: f32,
    /// 0.
    pub reserved: u32,
    /// Its name. Ends with a 0 byte.
    pub name: [c_char; ADCLICK_INPUT_NAME],
    /// The column that it is read from, such as "users.age", or "dot(…)" or "cosine(…)" of two columns; empty when it is
    /// not read from tables. Ends with a 0 byte.
    pub from: [c_char; ADCLICK_INPUT_FROM],
    /// The generation's id. When it is not that of `adclick_model`, another one went live meanwhile: begin again.
    pub generation: u64,
}

/// The struct is as large as its fields together, so it has no padding. (bytemuck derives this only for arrays of some
/// lengths.)
const _: () = assert!(
    size_of::<adclick_model_input>() == 8 * 4 + 8 + 4 + 4 + ADCLICK_INPUT_NAME + ADCLICK_INPUT_FROM + 8,
    "adclick_model_input has padding"
);

// SAFETY: all fields are numbers and arrays of numbers, of which 0 is one.
unsafe impl Zeroable for adclick_model_input {}

// SAFETY: `repr(C)`, `Copy` and 'static; all fields are `Pod`, and between and after them is no padding, as is asserted above.
unsafe impl Pod for adclick_model_input {}

impl SizedStruct for adclick_model_input {
    const NAME: &'static str = "adclick_model_input";
    const FIRST: usize = 1368;
}

/// What `adclick_engine_check` found: how many values, or for the last two requests and candidates, have each fault. 64 bytes.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct adclick_check {
    /// `sizeof(adclick_check)`, set by the caller.
    pub struct_size: u32,
    /// Lines of the text, one for each fault of each input.
    pub n_problems: u32,
    /// Errors among them: faults of the first five kinds below. Serve no traffic before there are none. The other faults
    /// are notes; they may be intended.
    pub n_errors: u32,
    /// Values with a handle that no name has, or whose name the model does not read.
    pub n_unknown: u32,
    /// Values that the model reads from the other side.
    pub n_wrong_side: u32,
    /// Ids where the model reads a number, or numbers where it reads an id, in all values of an input.
    pub n_wrong_kind: u32,
    /// Positions past the end of a vector.
    pub n_out_of_range: u32,
    /// Values that are NaN or infinite.
    pub n_not_finite: u32,
    /// Values of inputs that the model never reads from the request: times and fixed positions.
    pub n_never_read: u32,
    /// Ids that the model's vocabularies lack.
    pub n_unknown_ids: u32,
    /// Surplus values of an input that takes one value: the last one counts.
    pub n_repeated: u32,
    /// Inputs that are neither passed (a vector: passed in part) nor found in a table, summed over the request and its
    /// candidates.
    pub n_missing: u32,
    /// Ids of 0 in the keys of tables that the model reads.
    pub n_no_key: u32,
    /// 0.
    pub reserved: u32,
    /// The id of the generation that it was checked against.
    pub generation: u64,
}

impl SizedStruct for adclick_check {
    const NAME: &'static str = "adclick_check";
    const FIRST: usize = 64;
}

/// The live model in figures, into `*model`.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes a lock and allocates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_model(
    engine: *const adclick_engine,
    model: *mut adclick_model,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(model, "model").and_then(|_| Output::new(model)) }?;
        let model = live_engine(engine)?.model()?;
        out.write(&adclick_model {
            struct_size: 0,
            flags: if model.has_wide { ADCLICK_MODEL_WIDE } else { 0 },
            width: model.width as u32,
            request_width: model.request_width as u32,
            n_heads: model.heads.len() as u32,
            n_inputs: model.inputs as u32,
            n_features: model.features as u32,
            n_tables: model.tables as u32,
            generation: model.generation,
        });
        Ok(())
    })
}

/// The `index`-th input of the live model, from 0 and below `adclick_model.n_inputs`, into `*input`: the name under
/// which its values are passed, the side that they come with, their kind, and their source when they are not passed.
/// Passed values take precedence over tables.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL, or there is no such input), ADCLICK_BAD_STRUCT_SIZE, ADCLICK_CLOSED.
/// Any thread; takes a lock and allocates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_model_input(
    engine: *const adclick_engine,
    index: u32,
    input: *mut adclick_model_input,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { place(input, "input").and_then(|_| Output::new(input)) }?;
        let (generation, all) = live_engine(engine)?.inputs()?;
        let Some(input) = all.get(index as usize) else {
            return Err(Error::argument(format!("input {index}: the live model has {}", all.len())).into());
        };
        out.write(&to_c(input, generation));
        Ok(())
    })
}

/// Checks a request against the live model: whether the model reads each value from that side and as that kind, and
/// which inputs are missing. Call it once, at start, with a typical request of the server. Scoring only counts values
/// that the model does not use (`adclick_outcome.n_missing`, `n_wrong_side`), because a request must outlive a swap to
/// a model with other inputs.
///
/// Inputs as in `adclick_scorer_score`. `check` takes the counts; it may be NULL. `text` takes a line for each fault,
/// by name, errors first; it has room for `room` bytes, and may be NULL when `room` is 0. On success `*length` of them
/// are written, no 0 after them. When the room is too small, nothing is written to `text`; `check` and `*length`, the
/// length needed, are written all the same. `length` may be NULL when `room` is 0: then only the counts are wanted, and
/// too little room is no error.
/// Errors: those of `adclick_scorer_score` for counts, sizes and flags; ADCLICK_BUFFER_TOO_SMALL, ADCLICK_CLOSED. A
/// fault of the request is no error.
/// Any thread; takes locks and allocates, so not on a request's path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_check(
    engine: *const adclick_engine,
    request: *const Request,
    values: *const Value,
    candidates: *const Candidate,
    candidate_values: *const Value,
    check: *mut adclick_check,
    text: *mut c_char,
    room: usize,
    length: *mut usize,
    error: *mut adclick_error,
) -> adclick_status {
    let asked = Asked { request, values, candidates, candidate_values, columns: InColumns::NONE };
    // SAFETY: every clause holds for the call as for this one; without columns no array of them is read.
    unsafe { check_asked(engine, asked, check, (text, room, length), error) }
}

/// # Safety
/// As [`super::columns::adclick_engine_check_columns`].
pub(super) unsafe fn check_asked(
    engine: *const adclick_engine,
    asked: Asked,
    check: *mut adclick_check,
    (text, room, length): (*mut c_char, usize, *mut usize),
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        // SAFETY: clauses sizes and outputs.
        let out = unsafe { Output::new(check) }?;
        let length = match (length.is_null(), room) {
            (true, 0) => None,
            // SAFETY: clauses pointers and outputs.
            _ => Some(unsafe { place(length, "length") }?),
        };
        // SAFETY: clauses arrays and outputs.
        let text = unsafe { slice_mut(text.cast::<u8>(), room, "text") }?;
        // SAFETY: clause sizes.
        let (request, strides) = unsafe { read_request(asked.request) }?;
        let n = request.n_candidates as usize;
        let mut copies = Room::of_call(0, n, 0, strides)?;
        // SAFETY: clause arrays.
        let candidates = unsafe { entries(asked.candidates, n, strides.candidate, &mut copies.candidates) }?;
        // SAFETY: clauses sizes and arrays.
        let input = unsafe { input(&request, asked, candidates) }?;
        let found = live_engine(engine)?.check(input)?;
        let told = found.to_string();
        let needed = told.len();
        let is_wanted = length.is_some();
        out.write(&counts(&found));
        if let Some(length) = length {
            length.put(needed);
        }
        match text.get_mut(..needed) {
            Some(text) => text.copy_from_slice(told.as_bytes()),
            None if is_wanted => return Err(Failure::Room { what: "text", unit: "bytes", found: room, needed }),
            None => {}
        }
        Ok(())
    })
}

/// Whether requests have passed values on the wrong side since the live model was opened (with the request what the model
/// reads with candidates, or the other way round). Such values are ignored. Returns ADCLICK_INVALID_VALUE and fills `error`
/// with the names; returns ADCLICK_OK when there were none. For the health check of a server;
/// `adclick_input_wrong_side_values` of the metrics has the counts.
/// Errors: ADCLICK_INVALID_ARGUMENT (NULL), ADCLICK_CLOSED.
/// Any thread; takes a lock and allocates.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn adclick_engine_input_error(
    engine: *const adclick_engine,
    error: *mut adclick_error,
) -> adclick_status {
    guard_whole(error, || {
        let wrong = live_engine(engine)?.wrong_sides()?;
        if wrong.is_empty() {
            return Ok(());
        }
        let mut text = format!("{} inputs were passed with the wrong side: ", wrong.len());
        for (i, wrong) in wrong.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = write!(text, "{}{wrong}", if i == 0 { "" } else { "; " });
        }
        Err(Error::new(Status::InvalidValue, text).into())
    })
}

fn to_c(input: &ModelInput, generation: u64) -> adclick_model_input {
    let (flags, default_number, default_id) = match input.default {
        Default::None => (0, 0.0, 0),
        Default::Number(number) => (ADCLICK_INPUT_NUMBER, number, 0),
        Default::Id(id) => (ADCLICK_INPUT_ID, 0.0, id),
    };
    adclick_model_input {
        struct_size: 0,
        feature: input.handle,
        side: input.side as u32,
        kind: input.kind as u32,
        dim: input.dim,
        reading: input.reading as u32,
        source: input.source as u32,
        flags,
        default_id,
        default_number,
        reserved: 0,
        name: closed(&input.name),
        from: closed(&input.from),
        generation,
    }
}

/// A text closed with 0. Names have at most 255 bytes, so that none is too long.
fn closed<const N: usize>(text: &str) -> [c_char; N] {
    let mut bytes = [0; N];
    bytes[..N - 1].iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte as c_char);
    bytes
}

fn counts(check: &Check) -> adclick_check {
    let count = |kind| u32::try_from(check.count(kind)).unwrap_or(u32::MAX);
    adclick_check {
        struct_size: 0,
        n_problems: check.problems.len() as u32,
        n_errors: check.errors() as u32,
        n_unknown: count(ProblemKind::Unknown),
        n_wrong_side: count(ProblemKind::WrongSide),
        n_wrong_kind: count(ProblemKind::WrongKind),
        n_out_of_range: count(ProblemKind::OutOfRange),
        n_not_finite: count(ProblemKind::NotFinite),
        n_never_read: count(ProblemKind::NeverRead),
        n_unknown_ids: count(ProblemKind::UnknownId),
        n_repeated: count(ProblemKind::Repeated),
        n_missing: count(ProblemKind::Missing),
        n_no_key: count(ProblemKind::NoKey),
        reserved: 0,
        generation: check.generation,
    }
}
