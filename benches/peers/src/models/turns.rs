//! Contenders by turns.

use std::rc::Rc;

use crate::clock::Clock;
use crate::contender::{Contender, Task};
use crate::lines::Lines;
use crate::peak::{Peak, Unit};

/// How long all of it takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    /// What a turn lasts about, in nanoseconds.
    turn: u64,
    /// Calls of a turn at least, and at most.
    calls: [u64; 2],
    /// Rounds of a loop at the CPU's limit.
    peak: u64,
    /// Far lines of a round.
    lines: usize,
    /// What calls of more than [`LONG`] are timed by.
    pub(crate) clock: Clock,
}

/// Nanoseconds: other load seldom interrupts shorter calls, and the time of the CPU is too coarse for them.
const LONG: u64 = 40_000;

impl Pace {
    pub(crate) const FULL: Self =
        Self { rounds: 15, turn: 20_000_000, calls: [5, 2000], peak: 200_000, lines: 200_000, clock: Clock::Wall };
    pub(crate) const QUICK: Self =
        Self { rounds: 5, turn: 3_000_000, calls: [2, 500], peak: 50_000, lines: 50_000, clock: Clock::Wall };
    /// To see that it runs.
    #[cfg(test)]
    pub(crate) const TRIAL: Self =
        Self { rounds: 2, turn: 0, calls: [2, 2], peak: 1000, lines: 1000, clock: Clock::Wall };
}

/// What came of one contender's turns at a case.
pub(crate) enum Outcome {
    Absent { reason: String },
    Wrong { difference: f64 },
    Timed { difference: f64, rounds: Vec<Vec<u64>> },
}

pub(crate) struct Figures {
    /// In the contenders' order.
    pub(crate) outcomes: Vec<Outcome>,
    /// Operations a second, by round.
    pub(crate) peaks: Vec<(Unit, Vec<f64>)>,
    /// Nanoseconds of a far line, by round, for a task that needs such.
    pub(crate) lines: Vec<f64>,
    /// The share of the inputs in each contender's time.
    pub(crate) inputs: Vec<Option<f64>>,
}

/// A contender that is ready for its turns, or what else there is to say of it.
fn prepare<T: Task>(contender: &mut dyn Contender<T>, task: &Rc<T>, pace: &Pace) -> (Outcome, (u64, Clock)) {
    let tolerance = contender.tolerance();
    let mut ready = || {
        contender.load(task)?;
        let difference = task.difference(&contender.outputs()?);
        let mut times = contender.time(2, 3, Clock::Wall)?;
        times.sort_unstable();
        let once = times.get(1).copied().unwrap_or(0).max(1);
        let clock = if once > LONG { pace.clock } else { Clock::Wall };
        Ok::<_, crate::Error>((difference, ((pace.turn / once).clamp(pace.calls[0], pace.calls[1]), clock)))
    };
    match ready() {
        Ok((difference, calls)) if difference <= tolerance => {
            (Outcome::Timed { difference, rounds: Vec::new() }, calls)
        }
        Ok((difference, _)) => (Outcome::Wrong { difference }, (0, Clock::Wall)),
        Err(error) => (Outcome::Absent { reason: error.to_string() }, (0, Clock::Wall)),
    }
}

pub(crate) fn take<T: Task>(
    task: &Rc<T>,
    contenders: &mut [Box<dyn Contender<T>>],
    pace: &Pace,
    lines: Option<&mut Lines>,
) -> Figures {
    let prepared = contenders.iter_mut().map(|contender| prepare(&mut **contender, task, pace));
    let (mut outcomes, calls): (Vec<_>, Vec<_>) = prepared.unzip();
    let loops: Vec<Peak> = Unit::ALL.into_iter().filter_map(Peak::of).collect();
    let mut peaks: Vec<(Unit, Vec<f64>)> = loops.iter().map(|peak| (peak.unit, Vec::new())).collect();
    let (mut lines, mut far) = (lines, Vec::new());
    for round in 0..pace.rounds {
        for turn in 0..contenders.len() {
            // No contender always follows the same one.
            let at = (turn + round) % contenders.len();
            let Outcome::Timed { rounds, .. } = &mut outcomes[at] else { continue };
            // The first calls bring its weights back into the caches.
            let (calls, clock) = calls[at];
            let warm = (calls / 10).clamp(1, 100);
            match contenders[at].time(warm as usize, calls as usize, clock) {
                Ok(times) if !times.is_empty() => rounds.push(times),
                Ok(_) => outcomes[at] = Outcome::Absent { reason: "it gave no times".into() },
                Err(error) => outcomes[at] = Outcome::Absent { reason: error.to_string() },
            }
        }
        for (peak, (_, rates)) in loops.iter().zip(&mut peaks) {
            rates.push(peak.measure(pace.peak, pace.clock));
        }
        far.extend(lines.as_deref_mut().map(|lines| lines.measure(pace.lines, pace.clock)));
    }
    let inputs = contenders.iter().map(|contender| contender.share_of_inputs()).collect();
    Figures { outcomes, peaks, lines: far, inputs }
}
