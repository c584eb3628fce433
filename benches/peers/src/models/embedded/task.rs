//! Requests for a model of ids.

use std::path::Path;
use std::rc::Rc;

use adclick::builder::infer::Weights;
use adclick::builder::infer::reference::reference_logits;

use super::bundle::number;
use super::ids::width;
use super::{DIM, Draw, Ids, NUMBERS, Pool, World, cell};
use crate::contender::Task;
use crate::{Error, case, tensors};

/// Rows whose outputs are compared with the reference, which is slow.
const COMPARED: usize = 50;

/// Requests with a number of candidates each. Call number q is for user q, with the next ads of the pool.
pub(crate) struct Asked {
    pub(crate) world: Rc<World>,
    pub(crate) draw: Draw,
    pub(crate) count: usize,
    pub(crate) pool: Rc<Pool>,
    /// Of some candidates of call 0 the number and the logit.
    expected: Vec<(usize, f64)>,
}

/// The inputs that ids give: rows of their tables, or the mean of several.
fn embed(features: &[Ids], ids: &[u32], x: &mut Vec<f32>) {
    let mut ids = ids.iter();
    for feature in features {
        let rows: Vec<usize> = ids.by_ref().take(feature.values).map(|&id| id as usize).collect();
        for column in 0..DIM {
            let sum: f64 = rows.iter().map(|&row| f64::from(cell(feature.table, row, column))).sum();
            x.push((sum / rows.len() as f64) as f32);
        }
    }
}

impl Asked {
    pub(crate) fn new(world: &Rc<World>, draw: Draw, pool: &Rc<Pool>, count: usize) -> Result<Rc<Self>, Error> {
        let (world, pool) = (Rc::clone(world), Rc::clone(pool));
        let mut asked = Self { world, draw, count, pool, expected: Vec::new() };
        let (network, weights) = (asked.world.model.network(), Weights::of(&asked.world.model));
        let mut request: Vec<f32> = (0..NUMBERS).map(number).collect();
        embed(&asked.world.request, asked.user(0).1, &mut request);
        let mut expected = Vec::new();
        for row in (0..count).step_by(count.div_ceil(COMPARED)) {
            let mut x = request.clone();
            embed(&asked.world.candidate, asked.ads(0, row), &mut x);
            let mut logit = [0.0];
            reference_logits(network, weights, &x, &mut logit)?;
            expected.push((row, logit[0]));
        }
        asked.expected = expected;
        Ok(Rc::new(asked))
    }

    /// The number of the first ad of a call.
    pub(crate) fn first_ad(&self, call: usize) -> usize {
        let ads = self.draw.ads(self.world.size);
        // As many whole requests as there are ads for.
        call % (ads / self.count).max(1) * self.count
    }

    /// The ids of a candidate.
    pub(crate) fn ads(&self, call: usize, candidate: usize) -> &[u32] {
        let width = width(&self.world.candidate);
        &self.pool.ads[(self.first_ad(call) + candidate) * width..][..width]
    }

    /// The number and the ids of a call's user.
    pub(crate) fn user(&self, call: usize) -> (usize, &[u32]) {
        let (width, user) = (width(&self.world.request), call % self.world.size.users);
        (user, &self.pool.users[user * width..][..width])
    }

    /// What peers read.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), Error> {
        self.world.write_tables(directory)?;
        self.pool.write(&self.world, self.draw, directory)
    }
}

impl Task for Asked {
    fn name(&self) -> String {
        format!("{} {} N={}", self.world.name, self.draw.name(), self.count)
    }

    fn words(&self) -> String {
        format!("{} {} {}", self.world.name, self.count, self.draw.name())
    }

    fn count(&self) -> usize {
        self.count
    }

    fn difference(&self, logits: &[f32]) -> f64 {
        case::difference(&self.expected, self.count, logits)
    }

    fn flops(&self) -> f64 {
        tensors::flops(self.world.model.network())
    }

    fn flops_of_integers(&self) -> f64 {
        tensors::flops_of_integers(self.world.model.network())
    }

    fn far_lines(&self) -> usize {
        let far = |ids: &&Ids| self.draw == Draw::Random && self.world.size.rows_of(ids.table) > super::SMALL;
        self.world.candidate.iter().filter(far).count()
    }
}
