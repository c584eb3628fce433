//! The plan that turns the values of a request and of its candidates into rows of the model's input.

use half::slice::HalfFloatSliceExt;

use super::{TimeInputs, category_row, number_input};
use crate::artifact::model::Model;
use crate::refusal::Refusal;
use crate::schema::{Feature, Kind, Pooling, Side, Source, TIME_INPUTS};
use crate::types::Value;

/// No feature reads a handle.
const NONE: (u32, u32) = (0, 0);

/// The compiled plan of one model. Immutable, shared by all scorers.
#[derive(Debug)]
pub struct Assembler {
    /// For each handle the range of `targets` that it feeds.
    by_handle: Vec<(u32, u32)>,
    /// Feature numbers.
    targets: Vec<u32>,
    request: Vec<u32>,
    candidate: Vec<u32>,
    /// For each feature its serving column and, of a time feature, which of [`TIME_INPUTS`].
    columns: Vec<usize>,
    time_input: Vec<u8>,
    time: TimeInputs,
}

/// What was counted while values were assembled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Feature values that were missing or unknown and took their default.
    pub missing: u32,
    /// Values whose handle the model has no use for on that side.
    pub ignored: u32,
}

/// One scorer's scratch: the last raw value of each feature.
#[derive(Debug)]
pub struct State {
    raw: Box<[Raw]>,
    row: Box<[f32]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Raw {
    /// Values seen; of a multi-valued feature its count.
    seen: u32,
    number: f32,
    id: u64,
    /// A multi-valued feature's weighted sum of wide weights, one for each head.
    wide: [f32; 2],
}

impl Raw {
    fn one(number: f32, id: u64) -> Self {
        Self { seen: 1, number, id, wide: [0.0; 2] }
    }
}

impl State {
    /// Room for models of up to `features` features and embedding rows of up to `width` columns.
    #[must_use]
    pub fn new(features: usize, width: usize) -> Self {
        Self { raw: vec![Raw::default(); features].into(), row: vec![0.0; width].into() }
    }

    /// Whether the model fits.
    #[must_use]
    pub fn fits(&self, model: &Model) -> bool {
        model.schema().features.len() <= self.raw.len() && model.layout().width <= self.row.len()
    }
}

impl Assembler {
    /// Compiles the plan. `handle` gives the handle of each feature's input.
    #[must_use]
    pub fn new(model: &Model, handle: impl Fn(usize, &Feature) -> u32) -> Self {
        let schema = model.schema();
        let mut pairs: Vec<(u32, u32)> = schema
            .features
            .iter()
            .enumerate()
            .filter(|(_, f)| f.source != Source::Time && f.position.is_none())
            .map(|(i, f)| (handle(i, f), i as u32))
            .collect();
        pairs.sort_unstable();
        let mut by_handle = vec![NONE; pairs.last().map_or(0, |p| p.0 as usize + 1)];
        for (at, (handle, _)) in pairs.iter().enumerate() {
            let range = &mut by_handle[*handle as usize];
            *range = if *range == NONE { (at as u32, at as u32 + 1) } else { (range.0, at as u32 + 1) };
        }
        let on = |side| (0..schema.features.len() as u32).filter(move |&i| schema.features[i as usize].side() == side);
        let time_input = |f: &Feature| TIME_INPUTS.iter().position(|t| *t == f.input).unwrap_or(0) as u8;
        Self {
            by_handle,
            targets: pairs.iter().map(|p| p.1).collect(),
            request: on(Side::Request).collect(),
            candidate: on(Side::Candidate).collect(),
            columns: model.layout().columns.iter().map(|c| c.serving).collect(),
            time_input: schema.features.iter().map(time_input).collect(),
            time: TimeInputs::default(),
        }
    }

    /// Writes the request's columns `x` (`[request_width]`) and adds the request's wide weights to `wide` (`[heads]`).
    ///
    /// # Errors
    /// `NotFinite` when a number is NaN or infinite.
    pub fn request(
        &self,
        model: &Model,
        state: &mut State,
        (time_us, utc_offset_s): (i64, i32),
        values: &[Value],
        x: &mut [f32],
        wide: &mut [f32],
    ) -> Result<Counts, Refusal> {
        let mut counts = self.collect(model, state, Side::Request, values, 0, x, 0)?;
        let time = self.time.at(time_us, utc_offset_s);
        for &i in &self.request {
            if model.schema().features[i as usize].source == Source::Time {
                let number = time[usize::from(self.time_input[i as usize])];
                state.raw[i as usize] = Raw::one(number, number as u64);
            }
        }
        self.finish(model, state, &self.request, 0, x, wide, &mut counts);
        Ok(counts)
    }

    /// Writes one candidate's columns `x` (`[width - request_width]`) and adds its wide weights to `wide`. `first_value`
    /// is the place of `values` in the caller's array, for messages.
    ///
    /// # Errors
    /// `NotFinite` when a number is NaN or infinite.
    pub fn candidate(
        &self,
        model: &Model,
        state: &mut State,
        values: &[Value],
        first_value: usize,
        x: &mut [f32],
        wide: &mut [f32],
    ) -> Result<Counts, Refusal> {
        let first_column = model.layout().request_width;
        let mut counts = self.collect(model, state, Side::Candidate, values, first_value, x, first_column)?;
        self.finish(model, state, &self.candidate, first_column, x, wide, &mut counts);
        Ok(counts)
    }

    /// First pass: every value to the features that read it. Vectors and multi-valued rows are summed at once.
    #[expect(clippy::too_many_arguments, reason = "private, and each is needed")]
    fn collect(
        &self,
        model: &Model,
        state: &mut State,
        side: Side,
        values: &[Value],
        first_value: usize,
        x: &mut [f32],
        first_column: usize,
    ) -> Result<Counts, Refusal> {
        let features = &model.schema().features;
        let (own, what) = match side {
            Side::Request => (&self.request, "values"),
            Side::Candidate => (&self.candidate, "candidate_values"),
        };
        for &i in own {
            state.raw[i as usize] = Raw::default();
        }
        x.fill(0.0);
        let mut counts = Counts::default();
        for (at, value) in values.iter().enumerate() {
            if !value.number.is_finite() {
                return Err(Refusal::NotFinite { what, index: first_value + at });
            }
            let (first, end) = self.by_handle.get(value.feature as usize).copied().unwrap_or(NONE);
            let mut used = false;
            for &i in &self.targets[first as usize..end as usize] {
                let feature = &features[i as usize];
                if feature.side() != side {
                    continue;
                }
                used = true;
                let raw = &mut state.raw[i as usize];
                match feature.kind {
                    Kind::Number { .. } | Kind::Category { .. } => {
                        *raw = Raw::one(value.number, value.id);
                    }
                    Kind::Vector { dim } => {
                        if value.id < u64::from(dim) {
                            raw.seen += 1;
                            x[self.columns[i as usize] - first_column + value.id as usize] = value.number;
                        } else {
                            counts.ignored += 1;
                        }
                    }
                    Kind::MultiCategory { embedding, .. } => {
                        raw.seen += 1;
                        let weight = if value.number == 0.0 { 1.0 } else { value.number };
                        let (row, known) = model.row(embedding, value.id);
                        counts.missing += u32::from(!known);
                        if let Some(row) = row {
                            add_wide(&mut raw.wide, model.wide_row(embedding, row), weight);
                            let bits = model.embedding_row(embedding, row);
                            let row = &mut state.row[..bits.len()];
                            widen(bits, row);
                            let column = self.columns[i as usize] - first_column;
                            for (x, v) in x[column..].iter_mut().zip(row) {
                                *x += weight * *v;
                            }
                        }
                    }
                }
            }
            counts.ignored += u32::from(!used);
        }
        Ok(counts)
    }

    /// Second pass: what each feature makes of its value.
    #[expect(clippy::too_many_arguments, reason = "private, and each is needed")]
    fn finish(
        &self,
        model: &Model,
        state: &mut State,
        own: &[u32],
        first_column: usize,
        x: &mut [f32],
        wide: &mut [f32],
        counts: &mut Counts,
    ) {
        for &i in own {
            let feature = &model.schema().features[i as usize];
            let raw = match feature.position {
                // Served with the position that the schema fixes, whatever was passed.
                Some(p) => Raw::one(p, p as u64),
                None => state.raw[i as usize],
            };
            let given = (raw.seen > 0).then_some((raw.number, raw.id));
            let column = self.columns[i as usize] - first_column;
            match &feature.kind {
                Kind::Number { .. } => {
                    counts.missing += u32::from(given.is_none());
                    x[column] = number_input(&feature.kind, given.map(|g| g.0));
                }
                Kind::Category { embedding, boundaries, default } => {
                    let (row, missing) = category_row(model, *embedding, boundaries, *default, given);
                    counts.missing += u32::from(missing);
                    if let Some(row) = row {
                        let bits = model.embedding_row(*embedding, row);
                        widen(bits, &mut x[column..column + bits.len()]);
                        add_wide(wide, model.wide_row(*embedding, row), 1.0);
                    }
                }
                Kind::MultiCategory { embedding, pooling } => {
                    let scale = match pooling {
                        Pooling::Mean if raw.seen > 1 => 1.0 / raw.seen as f32,
                        Pooling::Mean | Pooling::Sum => 1.0,
                    };
                    let dim = model.schema().embeddings[*embedding as usize].dim as usize;
                    if scale != 1.0 {
                        x[column..column + dim].iter_mut().for_each(|v| *v *= scale);
                    }
                    for (sum, w) in wide.iter_mut().zip(raw.wide) {
                        *sum += scale * w;
                    }
                }
                Kind::Vector { .. } => counts.missing += u32::from(given.is_none()),
            }
        }
    }
}

/// fp16 bits to f32, exact.
fn widen(bits: &[u16], to: &mut [f32]) {
    let halves: &[half::f16] = bytemuck::cast_slice(bits);
    halves.convert_to_f32_slice(&mut to[..bits.len()]);
}

fn add_wide(wide: &mut [f32], bits: &[u16], weight: f32) {
    for (sum, &w) in wide.iter_mut().zip(bits) {
        *sum += weight * half::f16::from_bits(w).to_f32();
    }
}
