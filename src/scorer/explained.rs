//! What the last decision found of one of its candidates.

use super::memory::Memory;
use super::scored::{Last, Scored};
use crate::auction::{self, CANDIDATE_CUT, Page, Reason};
use crate::live::Generation;
use crate::refusal::Refusal;
use crate::request::Input;
use crate::types::{Candidate, Explanation};

impl Memory {
    /// Keeps what an explanation needs and the rest of the memory does not have, but the candidates.
    pub(super) fn remember(&mut self, generation: &Generation, scored: &Scored, input: &Input<'_>) {
        self.last = Some(Last {
            request: *input.request,
            generation: generation.id(),
            end: scored.end,
            has_ctr: scored.has_ctr,
            has_cvr: scored.has_cvr,
        });
    }

    pub(super) fn explain(&self, generation: &Generation, candidate: usize) -> Result<Explanation, Refusal> {
        let Some(last) = &self.last else {
            let rule = "the scorer's last call was not a decision that succeeded: decide, then explain";
            return Err(Refusal::Argument { what: "scorer", rule });
        };
        let n = last.request.n_candidates as usize;
        if candidate >= n {
            return Err(Refusal::Index { what: "candidate", found: candidate, entries: n });
        }
        if last.generation != generation.id() {
            let rule = "the generation that made the last decision is no longer live: explain before the next is activated, \
                        or decide again";
            return Err(Refusal::Argument { what: "scorer", rule });
        }
        let whose: &Candidate = &self.candidates[candidate];
        let page = Page::of_request(generation.policy(), &last.request);
        let cut = candidate >= last.end || whose.flags & CANDIDATE_CUT != 0;
        let of = |is_there: bool, numbers: &[f32]| if is_there && !cut { numbers[candidate] } else { f32::NAN };
        let (pctr, pcvr) = (of(last.has_ctr, &self.pctr), of(last.has_cvr, &self.pcvr));
        let mut told = auction::explain(&page, &self.auction, (candidate as u32, whose), pctr, pcvr);
        told.logit_ctr = of(last.has_ctr, &self.logits[0]);
        told.logit_cvr = of(last.has_cvr, &self.logits[1]);
        if cut {
            told.reason = Reason::Cut as u32;
        }
        (told.generation, told.request_id) = (last.generation, last.request.request_id);
        told.struct_size = size_of::<Explanation>() as u32;
        Ok(told)
    }
}
