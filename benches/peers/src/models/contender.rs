//! What takes part.

use std::rc::Rc;

use crate::Error;
use crate::clock::Clock;
use crate::peak::Unit;

/// What contenders do by turns.
pub(crate) trait Task {
    /// Its name in the report.
    fn name(&self) -> String;

    /// The words by which processes of their own find it: a model, the number of candidates, and what else there is.
    fn words(&self) -> String;

    /// Candidates of one call.
    fn count(&self) -> usize;

    /// The largest difference from the reference; infinite when a logit is none or some are missing.
    fn difference(&self, logits: &[f32]) -> f64;

    /// Multiplications and additions of one candidate with nothing shared and nothing padded.
    fn flops(&self) -> f64;

    /// Those of the deep layers behind a ReLU.
    fn flops_of_integers(&self) -> f64;

    /// Lines that one candidate needs from tables that no cache holds.
    fn far_lines(&self) -> usize {
        0
    }
}

pub(crate) trait Contender<T> {
    fn name(&self) -> &str;

    /// The most that a logit may differ from the f64 reference.
    fn tolerance(&self) -> f64;

    /// The unit that its time can be set against: it does all multiplications of a network, none shared or left out.
    fn limit(&self) -> Option<Unit> {
        None
    }

    /// What the others are compared with.
    fn is_base(&self) -> bool {
        false
    }

    /// Starts whatever it runs in. The error is the reason why it is absent.
    fn start(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn load(&mut self, task: &Rc<T>) -> Result<(), Error>;

    /// The logits of the loaded task.
    fn outputs(&mut self) -> Result<Vec<f32>, Error>;

    /// Runs `warm` times, then `calls` times: nanoseconds of each of these.
    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error>;

    /// The share of its time that finding the inputs took since the task was loaded, where it can tell.
    fn share_of_inputs(&self) -> Option<f64> {
        None
    }
}

/// One that did not start.
pub(crate) struct Absent {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// Starts them.
pub(crate) fn start<T>(all: Vec<Box<dyn Contender<T>>>) -> (Vec<Box<dyn Contender<T>>>, Vec<Absent>) {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for mut contender in all {
        match contender.start() {
            Ok(()) => present.push(contender),
            Err(error) => absent.push(Absent { name: contender.name().to_owned(), reason: error.to_string() }),
        }
    }
    (present, absent)
}
