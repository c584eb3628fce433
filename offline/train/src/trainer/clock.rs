//! What time does to a row of a table: decay and average, as functions of the steps since it was last read.

/// Steps for which the factors are kept ready; rows that were read longer ago compute theirs.
const RECENT: usize = 64;

/// The steps made so far.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// After each step, sums of ln(1 - lr · decay) over all steps, for rows and for wide weights.
    decays: Vec<(f64, f64)>,
    /// The share that the average keeps at every step.
    averaging: f64,
    recent: Vec<Since>,
}

/// What happens to a row over some steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    /// The factor of the embedding row.
    pub(super) row: f32,
    /// The factor of its wide weights.
    pub(super) wide: f32,
    /// What the average takes of the weights.
    pub(super) take: f32,
}

impl Clock {
    pub(super) fn new(averaging: f64) -> Self {
        let mut clock = Self { decays: vec![(0.0, 0.0)], averaging, recent: Vec::with_capacity(RECENT) };
        clock.ready();
        clock
    }

    /// The sums of decays, two values a step: all that the clock depends on.
    pub(super) fn values(&self) -> Vec<f64> {
        self.decays.iter().flat_map(|&(row, wide)| [row, wide]).collect()
    }

    /// Sets it to such values.
    pub(super) fn set(&mut self, values: &[f64]) {
        self.decays = values.as_chunks().0.iter().map(|&[row, wide]| (row, wide)).collect();
        self.ready();
    }

    /// The number of the last step.
    pub(super) fn now(&self) -> u32 {
        (self.decays.len() - 1) as u32
    }

    /// One more step, in which a row of each kind keeps 1 - `decay` of its value.
    pub(super) fn tick(&mut self, decay: (f64, f64)) {
        let last = self.decays[self.decays.len() - 1];
        self.decays.push((last.0 + (-decay.0).ln_1p(), last.1 + (-decay.1).ln_1p()));
        self.ready();
    }

    fn ready(&mut self) {
        self.recent.clear();
        let now = self.decays.len() - 1;
        for steps in 0..RECENT.min(now + 1) {
            let since = self.compute(now - steps);
            self.recent.push(since);
        }
    }

    fn compute(&self, step: usize) -> Since {
        let (now, then) = (self.decays[self.decays.len() - 1], self.decays[step]);
        let steps = self.decays.len() - 1 - step;
        Since {
            row: (now.0 - then.0).exp() as f32,
            wide: (now.1 - then.1).exp() as f32,
            take: 1.0 - self.averaging.powi(steps as i32) as f32,
        }
    }

    /// What happened since a step.
    #[inline]
    pub(super) fn since(&self, step: u32) -> Since {
        let steps = self.now() - step;
        self.recent.get(steps as usize).copied().unwrap_or_else(|| self.compute(step as usize))
    }
}
