//! A request as the caller passes it: the struct, and the arrays beside it.

use bytemuck::Zeroable;

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
        Ok(n)
    }
}
