//! Starts a request on a plan, and computes the sums that rows bring along.

use super::pass::{Pass, arena};
use super::plan::{Keeping, Level, Plan, Program};
use super::{Scratch, Weights, prepare};
use crate::error::{Error, Result};

impl Plan {
    /// Starts a request of `candidates`: stores its columns and computes its shares for all candidates, at the level
    /// that is cheapest for that many.
    ///
    /// `weights` are those that the plan was made from.
    ///
    /// # Errors
    /// `InvalidArgument` when `x_request` is not `request_width` long, or the scratch or the weights are too small.
    #[cfg(feature = "builder")]
    pub fn begin<'a>(
        &'a self,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
        candidates: usize,
    ) -> Result<Pass<'a>> {
        self.begin_program(self.program_for(candidates), weights, scratch, x_request)
    }

    /// The same where some candidates bring their sums along ([`Pass::run_kept`]). Works as [`Plan::begin`] without a
    /// `keeping`, or with too few candidates for kept sums to pay. `keeping` must be of this plan.
    ///
    /// # Errors
    /// As [`Plan::begin`].
    pub fn begin_keeping<'a>(
        &'a self,
        keeping: Option<&'a Keeping>,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
        candidates: usize,
    ) -> Result<Pass<'a>> {
        let usual = self.program_for(candidates);
        let kept = keeping.map(|keeping| &keeping.program);
        let program = kept.filter(|kept| kept.cost(candidates) < usual.cost(candidates)).unwrap_or(usual);
        self.begin_program(program, weights, scratch, x_request)
    }

    /// The same at a given level: one of [`Plan::levels`].
    ///
    /// # Errors
    /// As [`Plan::begin`]; also when the network does not allow the level.
    pub fn begin_at<'a>(
        &'a self,
        level: Level,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Pass<'a>> {
        let program = self.programs.iter().find(|program| program.level == level);
        let program = program.ok_or_else(|| Error::argument(format!("this network has no level {level:?}")))?;
        self.begin_program(program, weights, scratch, x_request)
    }

    fn begin_program<'a>(
        &'a self,
        program: &'a Program,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Pass<'a>> {
        if x_request.len() != self.request_width() {
            return Err(Error::argument(format!(
                "the request has {} columns, expected {}",
                x_request.len(),
                self.request_width()
            )));
        }
        Pass::new(self, program, weights, scratch, x_request)
    }

    /// Starts rows that share nothing: all columns are written for each of them.
    ///
    /// # Errors
    /// `InvalidArgument` when the scratch or the weights are too small.
    pub fn begin_dense<'a>(&'a self, weights: Weights<'a>, scratch: &'a mut Scratch) -> Result<Pass<'a>> {
        Pass::new(self, &self.programs[0], weights, scratch, &[])
    }

    /// Computes the sums of rows of the first group for [`Pass::run_kept`]: `sums` (`[rows, Keeping::width]`). `rows` is
    /// `[rows, width]`, but only the columns that are the same in all requests count. The bits of a row's sums do not
    /// depend on the other rows.
    ///
    /// # Errors
    /// `InvalidArgument` when a slice has another length, or the scratch or the weights are too small.
    pub fn keep(
        &self,
        keeping: &Keeping,
        weights: Weights<'_>,
        scratch: &mut Scratch,
        rows: &[f32],
        sums: &mut [f32],
    ) -> Result<()> {
        self.keep_group(keeping, 0, weights, scratch, rows, sums)
    }

    /// The same for any group: only its columns of the rows count.
    ///
    /// # Errors
    /// As [`Plan::keep`]; also when there is no such group.
    pub fn keep_group(
        &self,
        keeping: &Keeping,
        group: usize,
        weights: Weights<'_>,
        scratch: &mut Scratch,
        rows: &[f32],
        sums: &mut [f32],
    ) -> Result<()> {
        let count = rows.len() / self.width().max(1);
        if rows.len() != count * self.width() || sums.len() != count * keeping.width() || group >= keeping.groups() {
            return Err(Error::argument(format!(
                "group {group} of {}: {} values of rows of {} and {} of sums of {}: expected as many of both",
                keeping.groups(),
                rows.len(),
                self.width(),
                sums.len(),
                keeping.width()
            )));
        }
        sums_of_rows(self, &keeping.program, group, weights, scratch, rows, sums)
    }
}

/// See [`Plan::keep_group`].
fn sums_of_rows(
    plan: &Plan,
    program: &Program,
    group: usize,
    weights: Weights<'_>,
    scratch: &mut Scratch,
    rows: &[f32],
    sums: &mut [f32],
) -> Result<()> {
    let Some(kept) = &program.kept else { return Ok(()) };
    let group = &kept.groups[group];
    let (arena, x0) = (arena(plan, program, weights, scratch)?, program.x0);
    let (most, width) = (plan.tile_rows(), plan.width());
    for (rows, sums) in rows.chunks(most * width).zip(sums.chunks_mut(most * kept.width)) {
        for (row, x) in rows.chunks(width).enumerate() {
            arena[x0.row(row, width)].copy_from_slice(x);
        }
        for layer in &group.layers {
            prepare::layer_over(plan, weights, layer, rows.len() / width, arena);
        }
        for (row, sums) in sums.chunks_mut(kept.width).enumerate() {
            sums.copy_from_slice(&arena[group.sums.row(row, kept.width)]);
        }
    }
    Ok(())
}
