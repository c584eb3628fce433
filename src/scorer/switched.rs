//! Candidates whose ad, campaign or advertiser is switched off.

use std::sync::Arc;

use crate::auction::CANDIDATE_SWITCHED_OFF;
use crate::overlay::Switches;
use crate::types::{Candidate, Winner};

/// What is off, as one decision sees it.
pub(super) struct Switched {
    switches: Arc<Switches>,
    /// [`Switches::turned_off`] before the candidates were marked.
    seen: u64,
}

impl Switched {
    pub(super) fn new(switches: &Arc<Switches>) -> Self {
        Self { switches: Arc::clone(switches), seen: 0 }
    }

    /// Marks the candidates that are off, so that they take no part.
    pub(super) fn mark(&mut self, candidates: &mut [Candidate]) {
        self.seen = self.switches.turned_off();
        if self.switches.all_on() {
            return;
        }
        for candidate in candidates {
            if self.switches.is_off(candidate) {
                candidate.flags |= CANDIDATE_SWITCHED_OFF;
            }
        }
    }

    /// Whether a winner was switched off since [`Self::mark`].
    pub(super) fn is_any_off(&self, candidates: &[Candidate], winners: &[Winner]) -> bool {
        self.switches.turned_off() != self.seen
            && winners.iter().any(|winner| self.switches.is_off(&candidates[winner.candidate as usize]))
    }
}
