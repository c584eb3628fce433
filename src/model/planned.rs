//! A model file and what runs it exactly.

use std::sync::Arc;

use super::golden;
use crate::artifact::model::Model;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::infer::{Kernel, Plan, Weights};

/// A model file and its exact plan. Generations whose files are the same share both.
#[derive(Debug, Clone)]
pub(crate) struct PlannedModel {
    pub(crate) file: Arc<Model>,
    pub(crate) plan: Arc<Plan>,
}

impl PlannedModel {
    /// Plans the network for the kernel, runs the golden requests and brings the file's pages in.
    ///
    /// # Errors
    /// `Corrupt` when layers do not fit each other, `GoldenMismatch`, `Closed` when it is called off.
    pub(crate) fn new(file: Model, kernel: &'static Kernel, cancel: Cancel<'_>) -> Result<Self> {
        let plan = Plan::new(file.network(), Weights::of(&file), kernel)?;
        golden::check(&file, &plan, kernel, cancel)?;
        file.prefault();
        Ok(Self { file: Arc::new(file), plan: Arc::new(plan) })
    }

    /// Whether it is the other one, shared.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}
