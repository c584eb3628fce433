//! The handles of features' input names.

use std::collections::HashMap;
use std::sync::Arc;

use crate::decision_log::FeatureNames;
use crate::error::{Error, Result, Status};
use crate::schema::MAX_NAME;

/// More names than any reasonable set of schemas has; bounds the memory that a caller's mistake can take.
const MAX_NAMES: usize = 1 << 16;

/// The handle of each name that a model has or a caller asked for. A name keeps its handle for the engine's life.
#[derive(Debug, Default)]
pub(super) struct Names {
    handles: HashMap<String, u32>,
    list: Arc<FeatureNames>,
}

impl Names {
    /// The handle of a name that a caller asks for.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is not 1 to 255 bytes, `CapacityExceeded` when it is new and there are too many.
    pub(super) fn given(&mut self, name: &str) -> Result<u32> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(Error::argument(format!("a feature name of {} bytes, expected 1 to 255", name.len())));
        }
        if self.handles.len() >= MAX_NAMES && !self.handles.contains_key(name) {
            return Err(Error::new(Status::CapacityExceeded, format!("more than {MAX_NAMES} feature names")));
        }
        Ok(self.handle(name))
    }

    /// The handle of a name in a model, whose schema bounds the length and number of names.
    pub(super) fn handle(&mut self, name: &str) -> u32 {
        if let Some(&handle) = self.handles.get(name) {
            return handle;
        }
        // 0 stays free: a value that was never filled in belongs to no feature.
        let handle = self.handles.len() as u32 + 1;
        self.handles.insert(name.to_owned(), handle);
        self.list.push(name);
        handle
    }

    /// The name of a handle.
    pub(super) fn name(&self, handle: u32) -> Option<String> {
        self.list.get(handle).map(|name| name.to_string())
    }

    /// All names, for those who know handles only.
    pub(super) fn list(&self) -> Arc<FeatureNames> {
        Arc::clone(&self.list)
    }
}
