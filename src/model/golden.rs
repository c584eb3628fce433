//! Golden requests: packing a model computes their outputs, and staging must reproduce them.

use crate::artifact::model::Model;
use crate::artifact::model::network::{Head, Network};
use crate::artifact::model::spec::GoldenRequest;
use crate::cancel::Cancel;
use crate::enrich::{Assembler, Passed, State, TablePlan, TableRows};
use crate::error::{Error, Result, Status};
use crate::infer::{Kernel, Level, Plan, Scratch, Weights};
use crate::named::Named;
use crate::types::Value;

/// The tolerance of a logit against the f64 reference, as a share of its size, or of 1 when it is smaller. Sums in f32
/// are within 1e-5 on reasonable inputs; a wrong kernel or layout is off by far more.
const TOLERANCE: f64 = 1e-4;

/// Possible reasons for a mismatch.
const WHEN_STAGED: &str = "this CPU does not reproduce the model, do not serve it here";

/// Runs the golden requests through the serving path.
///
/// # Errors
/// `GoldenMismatch` with the request, the head, the expected and the actual logit, and the kernel; `Closed` when
/// cancelled.
pub(crate) fn check(model: &Model, plan: &Plan, kernel: &Kernel, cancel: Cancel<'_>) -> Result<()> {
    reproduces(model, plan, kernel, cancel, WHEN_STAGED)
}

/// The same, with an explanation of a mismatch.
pub(super) fn reproduces(
    model: &Model,
    plan: &Plan,
    kernel: &Kernel,
    cancel: Cancel<'_>,
    otherwise: &str,
) -> Result<()> {
    each_logit(model, plan, cancel, |Logit { request, head, level, got, expected, .. }| {
        let off = (f64::from(got) - expected).abs();
        // A NaN is not within the tolerance.
        if off <= TOLERANCE * expected.abs().max(1.0) {
            return Ok(());
        }
        let (head, kernel) = (head.kind.name(), kernel.name());
        Err(Error::new(
            Status::GoldenMismatch,
            format!(
                "golden request {request}, {head} logit: expected {expected}, got {got} on kernel {kernel} at sharing \
                 level {level:?}: {otherwise}"
            ),
        ))
    })
}

/// The results of a plan on the golden requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farthest {
    /// The largest error of a logit at any level of sharing, as a share of its size, or of 1 when it is smaller.
    pub(crate) off: f64,
    /// The largest input of any of them.
    pub(crate) largest_input: f32,
}

/// The largest error of a plan on the golden requests. None without golden requests.
///
/// # Errors
/// Errors in the model's requests.
pub(crate) fn farthest(model: &Model, plan: &Plan) -> Result<Option<Farthest>> {
    let mut worst = None;
    each_logit(model, plan, Cancel::default(), |logit| {
        let off = (f64::from(logit.got) - logit.expected).abs() / logit.expected.abs().max(1.0);
        let so_far = worst.unwrap_or(Farthest { off: 0.0, largest_input: 0.0 });
        worst = Some(Farthest {
            // A NaN stays.
            off: if off <= so_far.off { so_far.off } else { off },
            largest_input: logit.inputs.iter().fold(so_far.largest_input, |most, x| most.max(x.abs())),
        });
        Ok(())
    })?;
    Ok(worst)
}

/// A logit of a golden request.
struct Logit<'a> {
    request: usize,
    inputs: &'a [f32],
    head: &'a Head,
    level: Level,
    got: f32,
    expected: f64,
}

/// Runs the golden requests through the serving path, at every level: the number of candidates decides which one
/// serves.
fn each_logit(
    model: &Model,
    plan: &Plan,
    cancel: Cancel<'_>,
    mut each: impl FnMut(Logit<'_>) -> Result<()>,
) -> Result<()> {
    let network: &Network = model.network();
    let mut inputs = Inputs::new(model)?;
    let mut scratch = Scratch::new(plan.scratch_len());
    let mut logits = vec![0.0f32; network.heads.len()];
    for (i, golden) in model.goldens().iter().enumerate() {
        cancel.check()?;
        inputs.assemble(model, &golden.request).map_err(|e| e.within(format_args!("golden request {i}")))?;
        let (request, candidate) = inputs.x.split_at(network.request_width);
        for level in plan.levels() {
            let mut pass = plan.begin_at(level, Weights::of(model), &mut scratch, request)?;
            pass.tile(1)?.row(0)[network.request_width..].copy_from_slice(candidate);
            pass.run(1, Some(&inputs.wide), &mut logits)?;
            for (head, (&got, &expected)) in network.heads.iter().zip(logits.iter().zip(&golden.expected)) {
                each(Logit { request: i, inputs: &inputs.x, head, level, got, expected })?;
            }
        }
    }
    Ok(())
}

/// A golden request's inputs, by feature number instead of by handle.
pub(super) struct Inputs {
    assembler: Assembler,
    state: State,
    pub(super) x: Vec<f32>,
    pub(super) wide: Vec<f32>,
}

impl Inputs {
    pub(super) fn new(model: &Model) -> Result<Self> {
        let (features, width) = (model.schema().features.len(), model.layout().width);
        Ok(Self {
            assembler: Assembler::new(model, TablePlan::default(), |i, _| i as u32),
            state: State::new(features, width, TableRows::new(0, 0, 0)?),
            x: vec![0.0; width],
            wide: vec![0.0; model.network().heads.len()],
        })
    }

    pub(super) fn assemble(&mut self, model: &Model, request: &GoldenRequest) -> Result<()> {
        let values: Vec<Value> =
            request.values.iter().map(|v| Value { feature: v.feature, number: v.number, id: v.id }).collect();
        self.wide.fill(0.0);
        let (r, c) = self.x.split_at_mut(model.layout().request_width);
        let time = (request.time_us, request.utc_offset_s);
        self.assembler.request(model, &mut self.state, time, &values, r, &mut self.wide)?;
        let passed = Passed::new(0, &values, 0);
        self.assembler.candidate(model, &mut self.state, passed, c, &mut self.wide)?;
        Ok(())
    }
}
