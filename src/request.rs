//! A request as the caller passes it: the struct, and the arrays beside it.

use bytemuck::Zeroable;

use crate::limits::MAX_CANDIDATE_COLUMNS;
use crate::refusal::Refusal;
use crate::types::{
    CANDIDATE_FLOOR_EXEMPT, CANDIDATE_STOPPED, Candidate, Exploration, KEEP_NO_USER, Request, Value, Winner,
};

impl Default for Request {
    /// A request of this version's size with every other field at its default.
    fn default() -> Self {
        Self { struct_size: size_of::<Self>() as u32, ..Self::zeroed() }
    }
}

impl Request {
    /// The same request with the lengths of the arrays that travel beside it.
    ///
    /// ```
    /// use adclick::{Candidate, Request, Value};
    ///
    /// let candidates = [Candidate { ad_key: 7, ..Candidate::default() }];
    /// let request = Request { request_id: 42, ..Request::default() }.counting(&[Value::default()], &candidates, &[]);
    /// assert_eq!((request.n_values, request.n_candidates, request.n_candidate_values), (1, 1, 0));
    /// ```
    #[must_use]
    pub fn counting(self, values: &[Value], candidates: &[Candidate], candidate_values: &[Value]) -> Self {
        // A count that does not fit is past any limit, and is refused as such.
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            n_values: count(values.len()),
            n_candidates: count(candidates.len()),
            n_candidate_values: count(candidate_values.len()),
            ..self
        }
    }
}

/// The arrays that travel beside a [`Request`].
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The request.
    pub request: &'a Request,
    /// The request's values, `[n_values]`.
    pub values: &'a [Value],
    /// The candidates, `[n_candidates]`.
    pub candidates: &'a [Candidate],
    /// All candidates' values, `[n_candidate_values]`.
    pub candidate_values: &'a [Value],
    /// Values of candidates in columns; [`Columns::default`] when there are none.
    pub columns: Columns<'a>,
}

impl Input<'_> {
    /// Checks the counts that the caller gives for its arrays. Returns the number of candidates.
    pub(crate) fn check(&self, max_candidates: usize) -> Result<usize, Refusal> {
        let r = self.request;
        let expected = size_of::<Request>() as u32;
        if r.struct_size != expected {
            return Err(Refusal::StructSize { what: "adclick_request", found: r.struct_size, expected });
        }
        if r.flags & !KEEP_NO_USER != 0 || r.reserved != 0 {
            let rule = "only ADCLICK_KEEP_NO_USER (1) is defined";
            return Err(Refusal::Argument { what: "request.flags", rule });
        }
        for (what, stated, size) in [
            ("request.candidate_size", r.candidate_size, size_of::<Candidate>()),
            ("request.winner_size", r.winner_size, size_of::<Winner>()),
        ] {
            if stated != 0 && stated as usize != size {
                return Err(Refusal::Argument { what, rule: "slices have entries of one size, expected 0 or that" });
            }
        }
        if r.floor_cpm_micros < 0 {
            return Err(Refusal::Argument { what: "request.floor_cpm_micros", rule: "expected 0 or more" });
        }
        if Exploration::from_u32(r.exploration).is_none() {
            return Err(Refusal::Argument { what: "request.exploration", rule: "expected an adclick_exploration" });
        }
        if r.utc_offset_s.unsigned_abs() > 86_400 {
            let rule = "expected -86400 to 86400 seconds";
            return Err(Refusal::Argument { what: "request.utc_offset_s", rule });
        }
        let n = r.n_candidates as usize;
        if n > max_candidates {
            return Err(Refusal::Capacity { what: "n_candidates", found: n, most: max_candidates });
        }
        for (what, found, expected) in [
            ("values", self.values.len(), r.n_values as usize),
            ("candidates", self.candidates.len(), n),
            ("candidate_values", self.candidate_values.len(), r.n_candidate_values as usize),
        ] {
            if found != expected {
                return Err(Refusal::Length { what, found, expected });
            }
        }
        for (index, c) in self.candidates.iter().enumerate() {
            if c.flags & !(CANDIDATE_STOPPED | CANDIDATE_FLOOR_EXEMPT) != 0 {
                let rule = "flags has a bit that is not defined";
                return Err(Refusal::Field { what: "candidates", index, rule });
            }
            if u64::from(c.first_value) + u64::from(c.n_values) > self.candidate_values.len() as u64 {
                let rule = "first_value + n_values is past n_candidate_values";
                return Err(Refusal::Field { what: "candidates", index, rule });
            }
        }
        self.columns.check(n)?;
        Ok(n)
    }
}

/// Values of candidates in columns: handles once, then a block of ids and a block of numbers, row after row, one row for
/// each candidate. So that no handle is looked up for each value. Several inputs of all candidates are passed so; a
/// candidate's own values may stand beside them.
///
/// A cell counts as a [`Value`] does that the candidate passes before its own: an id as one with number 0, a number as one
/// with id 0. So the result has the same bits, and is counted in the same way. Where an input takes one value, the last one
/// counts: that of a later column with the same handle, or the candidate's own. A multi-valued category takes each as one
/// more, with weight 1. A vector's positions are passed by values.
///
/// `NaN` is a number that this candidate does not have, and so is an id that equals `missing_id`.
///
/// ```
/// use std::path::Path;
///
/// use adclick::{Candidate, Columns, Engine, Input, Options, Request, ScorerLimits, Value};
///
/// # fn main() -> adclick::Result<()> {
/// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
/// let mut scorer = engine.scorer(ScorerLimits { max_candidates: 2 })?;
/// let click_rate = engine.feature("ad_ctr_7d")?;
/// let candidates = [Candidate { ad_key: 1, ..Candidate::default() }, Candidate { ad_key: 2, ..Candidate::default() }];
/// let request = Request { time_us: 1_793_000_000_000_000, ..Request::default() }.counting(&[], &candidates, &[]);
/// let columns = Columns { number_features: &[click_rate], numbers: &[0.03, f32::NAN], ..Columns::default() };
/// let input = Input { request: &request, values: &[], candidates: &candidates, candidate_values: &[], columns };
///
/// let (mut by_columns, mut by_values) = ([0.0; 2], [0.0; 2]);
/// let outcome = scorer.score(input, &mut by_columns, &mut [])?;
/// assert_eq!(outcome.n_scored, 2);
///
/// // The same by values.
/// let values = [Value { feature: click_rate, number: 0.03, id: 0 }];
/// let mut candidates = candidates;
/// candidates[0].n_values = 1;
/// let request = request.counting(&[], &candidates, &values);
/// let columns = Columns::default();
/// let input = Input { request: &request, values: &[], candidates: &candidates, candidate_values: &values, columns };
/// scorer.score(input, &mut by_values, &mut [])?;
/// assert_eq!(by_columns.map(f32::to_bits), by_values.map(f32::to_bits));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Columns<'a> {
    /// Handles of the columns of ids.
    pub id_features: &'a [u32],
    /// `[n_candidates][id_features]`.
    pub ids: &'a [u64],
    /// Handles of the columns of numbers.
    pub number_features: &'a [u32],
    /// `[n_candidates][number_features]`.
    pub numbers: &'a [f32],
    /// The id that stands for none; `None`: all ids are ids.
    pub missing_id: Option<u64>,
}

/// The cells of one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cells<'a> {
    id_features: &'a [u32],
    ids: &'a [u64],
    number_features: &'a [u32],
    numbers: &'a [f32],
    missing_id: Option<u64>,
    /// The index of the first number in the caller's array, for messages.
    first_number: usize,
}

impl<'a> Columns<'a> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.id_features.len() + self.number_features.len()
    }

    /// Their handles, in the order of [`Cells::values`].
    pub(crate) fn handles(&self) -> impl Iterator<Item = u32> {
        self.id_features.iter().chain(self.number_features).copied()
    }

    /// The cells of a candidate of a request whose lengths were checked.
    #[inline]
    pub(crate) fn of(&self, candidate: usize) -> Cells<'a> {
        let Self { id_features, ids, number_features, numbers, missing_id } = *self;
        let first_number = candidate * number_features.len();
        Cells {
            id_features,
            ids: &ids[candidate * id_features.len()..][..id_features.len()],
            number_features,
            numbers: &numbers[first_number..][..number_features.len()],
            missing_id,
            first_number,
        }
    }

    /// Checks the lengths for so many candidates.
    fn check(&self, candidates: usize) -> Result<(), Refusal> {
        if self.len() > MAX_CANDIDATE_COLUMNS {
            return Err(Refusal::Capacity { what: "columns", found: self.len(), most: MAX_CANDIDATE_COLUMNS });
        }
        for (what, found, columns) in [
            ("ids", self.ids.len(), self.id_features.len()),
            ("numbers", self.numbers.len(), self.number_features.len()),
        ] {
            let expected = columns * candidates;
            if found != expected {
                return Err(Refusal::Length { what, found, expected });
            }
        }
        Ok(())
    }
}

impl Cells<'_> {
    /// The ids that are not missing, each with the number of its column, as the values that they stand for.
    #[inline]
    pub(crate) fn ids(self) -> impl Iterator<Item = (usize, Value)> {
        let present = move |&(_, &id): &(usize, &u64)| Some(id) != self.missing_id;
        let value = move |(at, &id): (usize, &u64)| (at, Value { feature: self.id_features[at], number: 0.0, id });
        self.ids.iter().enumerate().filter(present).map(value)
    }

    /// The same of numbers, whose columns come after those of ids.
    #[inline]
    pub(crate) fn numbers(self) -> impl Iterator<Item = (usize, Value)> {
        let value = move |at: usize, number| Value { feature: self.number_features[at], number, id: 0 };
        let present = self.numbers.iter().enumerate().filter(|(_, number)| !number.is_nan());
        present.map(move |(at, &number)| (self.ids.len() + at, value(at, number)))
    }

    /// Both.
    #[inline]
    pub(crate) fn values(self) -> impl Iterator<Item = (usize, Value)> {
        self.ids().chain(self.numbers())
    }

    /// The refusal of the number in a column, which is infinite.
    #[cold]
    pub(crate) fn not_finite(&self, column: usize) -> Refusal {
        Refusal::NotFinite { what: "numbers", index: self.first_number + column - self.ids.len() }
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.numbers.is_empty()
    }
}
