//! Handles that cannot dangle: the pointer that a caller holds is the number of an entry, never followed. A closed or
//! made-up handle is recognised. Calls of the request path do not come here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failure::{Failure, null};
use crate::error::Status;

/// The live objects of one kind.
pub(super) struct Handles<T>(Mutex<Entries<T>>);

/// A handle is a multiple of this and its kind, so a handle of one kind is never a handle of another.
const KINDS: usize = 16;

struct Entries<T> {
    /// Never given twice.
    next: usize,
    live: Option<HashMap<usize, Arc<T>>>,
}

impl<T> Handles<T> {
    pub(super) const fn new(kind: usize) -> Self {
        assert!(kind < KINDS);
        Self(Mutex::new(Entries { next: kind, live: None }))
    }

    pub(super) fn insert<H>(&self, value: T) -> *mut H {
        let mut entries = self.entries();
        entries.next += KINDS;
        let number = entries.next;
        entries.live.get_or_insert_default().insert(number, Arc::new(value));
        std::ptr::without_provenance_mut(number)
    }

    pub(super) fn get<H>(&self, handle: *const H, what: &'static str) -> Result<Arc<T>, Failure> {
        if handle.is_null() {
            return Err(null(what));
        }
        let entries = self.entries();
        entries.live.as_ref().and_then(|live| live.get(&handle.addr())).cloned().ok_or(CLOSED)
    }

    pub(super) fn remove<H>(&self, handle: *const H, what: &'static str) -> Result<Arc<T>, Failure> {
        if handle.is_null() {
            return Err(null(what));
        }
        self.entries().live.as_mut().and_then(|live| live.remove(&handle.addr())).ok_or(CLOSED)
    }

    fn entries(&self) -> MutexGuard<'_, Entries<T>> {
        // The map is valid at every point where a panic could happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CLOSED: Failure = Failure::Plain(Status::Closed, "the handle was closed before, or never opened");
