//! Golden requests: their outputs are computed when a model is packed and must come out again when it is staged.

use crate::artifact::Bytes;
use crate::artifact::model::network::{Head, Network};
use crate::artifact::model::spec::{GoldenRequest, ModelSpec};
use crate::artifact::model::{Model, write};
use crate::cancel::Cancel;
use crate::enrich::{Assembler, Passed, Rows, State, Tables};
use crate::error::{Error, Result, Status};
use crate::infer::reference::{DeepInputs, reference_logits};
use crate::infer::{Kernel, Level, Plan, Scratch, Weights};
use crate::types::Value;

/// How far a logit may be from the f64 reference: this share of its size, or of 1 when it is smaller. Sums in f32 are
/// within 1e-5 on sane inputs; a wrong kernel or layout is off by far more.
const TOLERANCE: f64 = 1e-4;

/// The bytes of a model file with the outputs of its golden requests, computed in f64 from the weights as the file
/// holds them. A golden request whose logit is not finite in f32, or that a kernel of this CPU does not reproduce, is
/// refused.
///
/// # Errors
/// As [`write`]; `InvalidArgument` naming the golden request.
pub fn pack_model(spec: &ModelSpec) -> Result<Vec<u8>> {
    let heads = spec.network.heads.len();
    let without = write(&ModelSpec { goldens: Vec::new(), ..spec.clone() }, &[])?;
    let model = Model::open(Bytes::copy_of(&without)?)?;
    let mut inputs = Inputs::new(&model)?;
    let mut expected = Vec::new();
    for (i, request) in spec.goldens.iter().enumerate() {
        let features = model.schema().features.len();
        if let Some(v) = request.values.iter().find(|v| v.feature as usize >= features) {
            let feature = v.feature;
            return Err(Error::argument(format!("golden request {i}: feature {feature}, there are {features}")));
        }
        inputs.assemble(&model, request).map_err(|e| e.within(format_args!("golden request {i}")))?;
        let mut logits = vec![0.0; heads];
        reference_logits(model.network(), Weights::of(&model), &inputs.x, &mut logits)?;
        for (logit, wide) in logits.iter_mut().zip(&inputs.wide) {
            *logit += f64::from(*wide);
            if !(*logit as f32).is_finite() {
                return Err(Error::argument(format!("golden request {i}: the model's logit is {logit}")));
            }
        }
        expected.extend(logits);
    }
    let bytes = write(spec, &expected)?;
    let model = Model::open(Bytes::copy_of(&bytes)?)?;
    for kernel in Kernel::available() {
        reproduces(
            &model,
            &Plan::new(model.network(), Weights::of(&model), kernel)?,
            kernel,
            Cancel::default(),
            WHEN_PACKED,
        )?;
    }
    Ok(bytes)
}

/// Why the outputs may not come out again.
const WHEN_STAGED: &str = "this CPU does not reproduce the model, do not serve it here";
const WHEN_PACKED: &str = "sums in f32 lose what f64 keeps, because a layer adds up products that are much larger than their \
     sum: inputs or weights far from 0, or from each other in size; centre or scale what it reads";

/// Runs raw rows through the exact network, and hands over the number of each deep layer and what it reads: for
/// [`ModelSpec::ranges`]. `most` multiplications are done about: where all rows would take more, some of them, evenly
/// spread, but not fewer than 1,000. Returns how many rows were run.
///
/// # Errors
/// What is wrong with a row, with its number.
pub fn deep_inputs(
    model: &Model,
    rows: &[GoldenRequest],
    most: usize,
    mut each: impl FnMut(usize, &[f64]),
) -> Result<usize> {
    let network = DeepInputs::new(model.network(), Weights::of(model))?;
    let affordable = (most / network.cost().max(1)).max(1000);
    let step = rows.len().div_ceil(affordable).max(1);
    let mut inputs = Inputs::new(model)?;
    let mut run = 0;
    for (i, row) in rows.iter().enumerate().step_by(step) {
        inputs.assemble(model, row).map_err(|e| e.within(format_args!("row {i}")))?;
        network.run(&inputs.x, &mut each)?;
        run += 1;
    }
    Ok(run)
}

/// Runs the golden requests through the serving path.
///
/// # Errors
/// `GoldenMismatch` with the request, the head, what was expected, what came out, and the kernel; `Closed` when cancelled.
pub(crate) fn check(model: &Model, plan: &Plan, kernel: &Kernel, cancel: Cancel<'_>) -> Result<()> {
    reproduces(model, plan, kernel, cancel, WHEN_STAGED)
}

/// The same, with what a difference means.
fn reproduces(model: &Model, plan: &Plan, kernel: &Kernel, cancel: Cancel<'_>, otherwise: &str) -> Result<()> {
    each_logit(model, plan, cancel, |Logit { request, head, level, got, expected, .. }| {
        let off = (f64::from(got) - expected).abs();
        // A NaN is not within it.
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

/// What the golden requests say of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Farthest {
    /// How far a logit is from what was expected, at any level of sharing: as a share of its size, or of 1 when it is smaller.
    pub(crate) off: f64,
    /// The largest input of any of them.
    pub(crate) largest_input: f32,
}

/// How far a plan is off on the golden requests at most. None without golden requests.
///
/// # Errors
/// What is wrong with the model's requests.
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

/// Runs the golden requests through the serving path, at every level: which one serves depends on the number of candidates.
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
struct Inputs {
    assembler: Assembler,
    state: State,
    x: Vec<f32>,
    wide: Vec<f32>,
}

impl Inputs {
    fn new(model: &Model) -> Result<Self> {
        let (features, width) = (model.schema().features.len(), model.layout().width);
        Ok(Self {
            assembler: Assembler::new(model, Tables::default(), |i, _| i as u32),
            state: State::new(features, width, Rows::new(0, 0, 0)?),
            x: vec![0.0; width],
            wide: vec![0.0; model.network().heads.len()],
        })
    }

    fn assemble(&mut self, model: &Model, request: &GoldenRequest) -> Result<()> {
        let values: Vec<Value> =
            request.values.iter().map(|v| Value { feature: v.feature, number: v.number, id: v.id }).collect();
        self.wide.fill(0.0);
        let (r, c) = self.x.split_at_mut(model.layout().request_width);
        let time = (request.time_us, request.utc_offset_s);
        self.assembler.request(model, &mut self.state, time, &values, r, &mut self.wide)?;
        let passed = Passed { candidate: 0, values: &values, first_value: 0 };
        self.assembler.candidate(model, &mut self.state, passed, c, &mut self.wide)?;
        Ok(())
    }
}
