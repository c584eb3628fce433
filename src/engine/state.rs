//! The state of following and of generations.

use std::sync::PoisonError;

use super::Engine;
use crate::error::{Error, Result};

/// The state of an engine's generations: [`Engine::follow_state`]. Counters never decrease, so a change shows what
/// happened since they were last read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowState {
    /// Whether a thread of the engine's own looks at `CURRENT`.
    pub follows: bool,
    /// The live generation.
    pub generation: u64,
    /// When it became live here: microseconds since 1970-01-01 UTC.
    pub activated_us: i64,
    /// When `CURRENT` was last looked at; 0 = never.
    pub looked_us: i64,
    /// Looks at `CURRENT`, including polls.
    pub looks: u64,
    /// The number of failed looks.
    pub failed_looks: u64,
    /// Generations that became live after the first.
    pub activations: u64,
    /// Returns to the generation before.
    pub rollbacks: u64,
    /// Why the last look failed, if it did.
    pub error: Option<Error>,
}

impl Engine {
    /// The state of following, for programs that check now and then.
    ///
    /// # Errors
    /// `Closed`.
    pub fn follow_state(&self) -> Result<FollowState> {
        let published = self.shared.publisher()?;
        let counts = self.shared.events.follow_counts();
        Ok(FollowState {
            follows: self.follower.lock().unwrap_or_else(PoisonError::into_inner).is_some(),
            generation: published.current.as_ref().map_or(0, |current| current.id()),
            activated_us: published.activated_us,
            looked_us: published.looked_us,
            looks: counts.looks,
            failed_looks: counts.failed_looks,
            activations: counts.activations,
            rollbacks: counts.rollbacks,
            error: published.follow_error.clone(),
        })
    }
}
