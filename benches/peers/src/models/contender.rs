//! What takes part.

use std::rc::Rc;

use crate::Error;
use crate::case::Case;
use crate::clock::Clock;
use crate::peak::Unit;

pub(crate) trait Contender {
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

    fn load(&mut self, case: &Rc<Case>) -> Result<(), Error>;

    /// The logits of the loaded case.
    fn outputs(&mut self) -> Result<Vec<f32>, Error>;

    /// Runs `warm` times, then `calls` times: nanoseconds of each of these.
    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error>;
}

/// One that did not start.
pub(crate) struct Absent {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// Starts them.
pub(crate) fn start(all: Vec<Box<dyn Contender>>) -> (Vec<Box<dyn Contender>>, Vec<Absent>) {
    let (mut present, mut absent) = (Vec::new(), Vec::new());
    for mut contender in all {
        match contender.start() {
            Ok(()) => present.push(contender),
            Err(error) => absent.push(Absent { name: contender.name().to_owned(), reason: error.to_string() }),
        }
    }
    (present, absent)
}
