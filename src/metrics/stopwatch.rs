//! How long a call and its stages take.

use std::time::Instant;

use super::{Call, Stage};

/// The time of a running call.
pub(crate) struct Stopwatch {
    call: Call,
    start: Instant,
    /// The end of the last stage, if this call is timed stage by stage.
    lap: Option<Instant>,
    /// Nanoseconds of each stage.
    stages: [u64; Stage::ALL.len()],
}

impl Stopwatch {
    /// Starts now; `staged`: whether to time the call stage by stage.
    #[inline]
    pub(super) fn start(call: Call, staged: bool) -> Self {
        let start = Instant::now();
        Self { call, start, lap: staged.then_some(start), stages: [0; Stage::ALL.len()] }
    }

    /// The start of the call.
    pub(crate) fn begun(&self) -> Instant {
        self.start
    }

    /// Adds the time since the last stage to this one.
    #[inline]
    pub(crate) fn lap(&mut self, stage: Stage) {
        if let Some(last) = self.lap {
            let now = Instant::now();
            self.stages[stage as usize] += nanoseconds(last, now);
            self.lap = Some(now);
        }
    }

    pub(super) fn call(&self) -> Call {
        self.call
    }

    /// Nanoseconds since the call began.
    pub(super) fn elapsed(&self) -> u64 {
        nanoseconds(self.start, Instant::now())
    }

    /// Nanoseconds of each stage; none for a call that is not timed by stage.
    pub(super) fn stages(&self) -> impl Iterator<Item = (Stage, u64)> {
        let timed = self.lap.is_some().then_some(self.stages);
        timed.into_iter().flat_map(|stages| Stage::ALL.into_iter().zip(stages))
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}
