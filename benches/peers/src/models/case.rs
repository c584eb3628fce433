//! The networks and the rows.

use std::path::Path;
use std::rc::Rc;

use adclick::builder::infer::reference::{activate, linear, matrix, reference_logits};

use crate::Error;
use crate::contender::Task;
use crate::tensors::{self, bytes};
use testkit::networks::{self, Built, Random, Shape};

/// Rows whose outputs are compared with the reference, which is slow.
const COMPARED: usize = 100;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) built: Built,
    /// The largest input of each deep layer, on rows of their own.
    pub(crate) ranges: Vec<f32>,
    /// Rows of their own and their logits, as a model file holds them.
    pub(crate) goldens: Vec<(Vec<f32>, f64)>,
}

/// Rows that ranges are found on.
const RANGED: usize = 100;

/// Golden requests of a model, in the number that training stores.
const GOLDENS: usize = 16;

/// The deep part reads x0.
fn ranges(built: &Built, random: &mut Random) -> Vec<f32> {
    let (network, weights) = (&built.network, built.weights());
    let layers: Vec<_> = network
        .deep
        .iter()
        .map(|layer| {
            let bias = &weights.params[layer.bias.start..][..layer.bias.len];
            (matrix(&layer.weight, weights), bias, layer.activation)
        })
        .collect();
    let mut ranges = vec![0.0f64; layers.len()];
    for _ in 0..RANGED {
        let mut x: Vec<f64> = random.row(network.width).into_iter().map(f64::from).collect();
        for ((weight, bias, activation), range) in layers.iter().zip(&mut ranges) {
            *range = x.iter().fold(*range, |most, &v| most.max(v));
            let sums = linear(weight, &x);
            x = sums.iter().zip(*bias).map(|(sum, &b)| activate(*activation, sum + f64::from(b))).collect();
        }
    }
    ranges.into_iter().map(|range| range as f32).collect()
}

fn logit(built: &Built, row: &[f32]) -> Result<f64, Error> {
    let mut logit = [0.0];
    reference_logits(&built.network, built.weights(), row, &mut logit)?;
    Ok(logit[0])
}

pub(crate) fn models() -> Result<Vec<Rc<Model>>, Error> {
    let build = |(name, shape): (_, Shape)| {
        let built = networks::build(&shape, &mut Random(1));
        let ranges = ranges(&built, &mut Random(3));
        let mut random = Random(4);
        let golden = |_| {
            let row = random.row(shape.width);
            let logit = logit(&built, &row)?;
            Ok((row, logit))
        };
        let goldens = (0..GOLDENS).map(golden).collect::<Result<_, Error>>()?;
        Ok(Rc::new(Model { name, shape, built, ranges, goldens }))
    };
    networks::models().into_iter().map(build).collect()
}

impl Model {
    /// DIRECTORY/NAME.safetensors.
    pub(crate) fn write_tensors(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(format!("{}.safetensors", self.name));
        tensors::write(&path, &self.built.network, self.built.weights())
    }
}

/// One request.
pub(crate) struct Case {
    pub(crate) model: Rc<Model>,
    pub(crate) count: usize,
    /// `[count, width]`, the request's columns repeated in each row.
    pub(crate) rows: Vec<f32>,
    /// The number and the logit of some rows.
    expected: Vec<(usize, f64)>,
}

impl Case {
    pub(crate) fn new(model: Rc<Model>, count: usize) -> Result<Rc<Self>, Error> {
        let mut random = Random(2);
        let Shape { width, request_width, .. } = model.shape;
        let request = random.row(request_width);
        let rows: Vec<f32> =
            (0..count).flat_map(|_| [request.clone(), random.row(width - request_width)].concat()).collect();
        let mut expected = Vec::new();
        for row in (0..count).step_by(count.div_ceil(COMPARED)) {
            expected.push((row, logit(&model.built, &rows[row * width..][..width])?));
        }
        Ok(Rc::new(Self { model, count, rows, expected }))
    }

    /// DIRECTORY/MODEL.COUNT.rows.
    pub(crate) fn write_rows(&self, directory: &Path) -> Result<(), Error> {
        Ok(std::fs::write(directory.join(format!("{}.{}.rows", self.model.name, self.count)), bytes(&self.rows))?)
    }
}

/// The largest difference of the logits from those expected of some rows; infinite when one is none or some are missing.
pub(crate) fn difference(expected: &[(usize, f64)], count: usize, logits: &[f32]) -> f64 {
    if logits.len() != count {
        return f64::INFINITY;
    }
    let differences = expected.iter().map(|&(row, logit)| (f64::from(logits[row]) - logit).abs());
    differences.fold(0.0, |most, d| if d.is_nan() { f64::INFINITY } else { most.max(d) })
}

impl Task for Case {
    fn name(&self) -> String {
        format!("{} N={}", self.model.name, self.count)
    }

    fn words(&self) -> String {
        format!("{} {}", self.model.name, self.count)
    }

    fn count(&self) -> usize {
        self.count
    }

    fn difference(&self, logits: &[f32]) -> f64 {
        difference(&self.expected, self.count, logits)
    }

    fn flops(&self) -> f64 {
        tensors::flops(&self.model.built.network)
    }

    fn flops_of_integers(&self) -> f64 {
        tensors::flops_of_integers(&self.model.built.network)
    }
}
