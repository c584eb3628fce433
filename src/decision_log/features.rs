//! The names of inputs by handle, for the thread that writes logs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Handles count from 1.
#[derive(Debug, Default)]
pub(crate) struct FeatureNames(Mutex<Vec<Arc<str>>>);

impl FeatureNames {
    /// The name of the next handle.
    pub(crate) fn push(&self, name: &str) {
        self.all().push(name.into());
    }

    pub(crate) fn get(&self, handle: u32) -> Option<Arc<str>> {
        self.all().get((handle as usize).checked_sub(1)?).cloned()
    }

    /// Adds the names that a copy lacks.
    pub(super) fn copy(&self, known: &mut Vec<Arc<str>>) {
        let all = self.all();
        known.extend_from_slice(all.get(known.len()..).unwrap_or_default());
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
