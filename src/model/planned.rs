//! A model file and its exact plan.

use std::sync::Arc;

use super::golden;
use crate::artifact::model::Model;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::infer::{Kernel, Plan, Weights};

/// A model file and its exact plan. Generations with the same files share both.
#[derive(Debug, Clone)]
pub(crate) struct PlannedModel {
    pub(crate) file: Arc<Model>,
    pub(crate) plan: Arc<Plan>,
}

impl PlannedModel {
    /// Plans the network for the kernel, runs the golden requests and brings the file's pages into memory.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other, `GoldenMismatch`, `Closed` when cancelled.
    pub(crate) fn new(file: Model, kernel: &'static Kernel, cancel: Cancel<'_>) -> Result<Self> {
        let plan = Plan::new(file.network(), Weights::of(&file), kernel)?;
        golden::check(&file, &plan, kernel, cancel)?;
        file.prefault();
        Ok(Self { file: Arc::new(file), plan: Arc::new(plan) })
    }

    /// Whether both are the same shared object.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}
