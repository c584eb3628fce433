//! One request's way through a plan.

use super::kernel::{Bias, Dense, Matrix, Rows, Then};
use super::plan::{Share, Start, Step};
use super::shapes::with_padding;
use super::{Plan, Scratch, Weights};
use crate::artifact::model::network::{Panels, padded};
use crate::error::{Error, Result};

/// A plan at work on one request. Tiles go through it one after the other: [`Pass::tile`], then [`Pass::run`].
#[derive(Debug)]
pub struct Pass<'a> {
    plan: &'a Plan,
    weights: Weights<'a>,
    arena: &'a mut [f32],
    /// Columns that the shares have counted.
    shared: usize,
    /// Rows of x0 whose shared columns and padding are in place.
    prepared: usize,
}

/// The rows of x0 of one tile.
#[derive(Debug)]
pub struct Tile<'a> {
    values: &'a mut [f32],
    stride: usize,
    width: usize,
    rows: usize,
}

impl Tile<'_> {
    /// How many.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One row, `width` columns. The request's columns come first, are in place and must stay as they are: their share
    /// has been counted. The others hold what the last tile left there.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        &mut self.values[row * self.stride..][..self.width]
    }
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        weights: Weights<'a>,
        scratch: &'a mut Scratch,
        x_request: &[f32],
    ) -> Result<Self> {
        let needs = plan.needs;
        if weights.panels.len() < needs.panels || weights.params.len() < needs.params {
            return Err(Error::argument("these are not the weights that the plan was made of: they are fewer"));
        }
        let arena = scratch.take(plan.scratch_len)?;
        let pass = Self { plan, weights, arena, shared: x_request.len(), prepared: 0 };
        pass.arena[plan.x0.row(0, x_request.len())].copy_from_slice(x_request);
        for share in &plan.shares {
            match *share {
                Share::Sum { weight, bias, at } => {
                    let bias = bias.map_or(Bias::None, |bias| Bias::Params(with_padding(&bias, weights.params)));
                    let op = Dense {
                        rows: 1,
                        weight: matrix(plan, weights, &weight),
                        inputs: weight.inputs,
                        columns: 0..pass.shared,
                        outputs: weight.outputs,
                        bias,
                        input: plan.x0,
                        output: Rows { start: at, stride: 0 },
                        then: Then::None,
                    };
                    plan.kernel.dense(pass.arena, &op);
                }
                Share::Dot { weight, at } => {
                    let weight = &weights.params[weight.start..][..pass.shared];
                    pass.arena[at] = plan.kernel.dot(weight, x_request);
                }
            }
        }
        Ok(pass)
    }

    /// The rows of x0 of the next tile, for the caller to write the candidates' columns into.
    ///
    /// # Errors
    /// `InvalidArgument` when a tile does not hold so many rows.
    pub fn tile(&mut self, rows: usize) -> Result<Tile<'_>> {
        let plan = self.plan;
        if rows > plan.tile_rows() {
            return Err(Error::argument(format!("{rows} rows in a tile that holds {}", plan.tile_rows())));
        }
        for row in self.prepared..rows {
            let columns = plan.x0.row(row, padded(plan.width));
            self.arena.copy_within(plan.x0.row(0, self.shared), columns.start);
            self.arena[columns.start + plan.width..columns.end].fill(0.0);
        }
        self.prepared = self.prepared.max(rows);
        let Rows { start, stride } = plan.x0;
        Ok(Tile { values: &mut self.arena[start..start + rows * stride], stride, width: plan.width, rows })
    }

    /// Runs the tile's first `rows` rows through the network. `wide` (`[rows, heads]`) is added to `logits`
    /// (`[rows, heads]`). A row with NaN or infinite columns does not disturb the others.
    ///
    /// # Errors
    /// `InvalidArgument` when fewer rows were asked of [`Pass::tile`], or a slice has another length.
    pub fn run(&mut self, rows: usize, wide: Option<&[f32]>, logits: &mut [f32]) -> Result<()> {
        let heads = self.plan.heads;
        if rows > self.prepared {
            return Err(Error::argument(format!("{rows} rows to run, {} were written", self.prepared)));
        }
        if logits.len() != rows * heads || wide.is_some_and(|wide| wide.len() != rows * heads) {
            return Err(Error::argument(format!("logits and wide parts of {rows} rows are {} values", rows * heads)));
        }
        let mut head = 0;
        for step in &self.plan.steps {
            match *step {
                Step::Dense { weight, start, input, output, then } => {
                    self.dense(rows, &weight, start, input, output, then);
                }
                Step::Vector { weight, bias, share, xl, output } => {
                    let (from, counted) = share.map_or((0, 0.0), |at| (self.shared, self.arena[at]));
                    let weight = &self.weights.params[weight.start..][from..weight.len];
                    let bias = with_padding(&bias, self.weights.params);
                    for row in 0..rows {
                        let x = &self.arena[xl.row(row, self.plan.width)][from..];
                        let scale = counted + self.plan.kernel.dot(weight, x);
                        let [x0, xl, out] = [self.plan.x0, xl, output].map(|rows| rows.row(row, 0).start);
                        self.plan.kernel.cross_vector(self.arena, scale, bias, x0, xl, out);
                    }
                }
                Step::Mix { gate, experts, values, rank } => {
                    self.plan.kernel.mix(self.arena, rows, gate, experts, values, rank);
                }
                Step::Clear { rows: at, width } => {
                    for row in 0..rows {
                        self.arena[at.row(row, width)].fill(0.0);
                    }
                }
                Step::Head { weight, bias, input } => {
                    let weight = &self.weights.params[weight.start..][..weight.len];
                    for row in 0..rows {
                        let x = &self.arena[input.row(row, weight.len())];
                        let wide = wide.map_or(0.0, |wide| wide[row * heads + head]);
                        logits[row * heads + head] = self.plan.kernel.dot(weight, x) + bias + wide;
                    }
                    head += 1;
                }
            }
        }
        Ok(())
    }

    fn dense(&mut self, rows: usize, weight: &Panels, start: Start, input: Rows, output: Rows, then: Then) {
        let (from, bias) = match start {
            Start::Zero => (0, Bias::None),
            Start::Params(bias) => (0, Bias::Params(with_padding(&bias, self.weights.params))),
            Start::Share(at) => (self.shared, Bias::Arena(at)),
        };
        let op = Dense {
            rows,
            weight: matrix(self.plan, self.weights, weight),
            inputs: weight.inputs,
            columns: from..weight.inputs,
            outputs: weight.outputs,
            bias,
            input,
            output,
            then,
        };
        self.plan.kernel.dense(self.arena, &op);
    }
}

/// The panels of a matrix in the form that the plan keeps them.
fn matrix<'a>(plan: &'a Plan, weights: Weights<'a>, panels: &Panels) -> Matrix<'a> {
    let range = panels.start..panels.start + panels.len();
    match &plan.expanded {
        Some(expanded) => Matrix::Single(&expanded.values()[range]),
        None => Matrix::Half(&weights.panels[range]),
    }
}
