//! libadclick, through its public API.

use std::rc::Rc;

use adclick::builder::infer::{Arithmetic, Keeping, Kept, Kernel, Plan, Scratch, TILE_ROWS};

use crate::Error;
use crate::auction;
use crate::case::Case;
use crate::clock::Clock;
use crate::contender::Contender;
use crate::peak::Unit;

/// A way to run a network. New ones go into [`MODES`].
#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    /// By name; none: the best.
    kernel: Option<&'static str>,
    /// Whether the request's part is computed once, at the level that the plan picks.
    shares: bool,
    /// Whether layers behind a ReLU leave out inputs that are 0.
    skips: bool,
    /// Whether the candidates' sums of the first layers are computed in advance, as in an ad cache.
    keeps: bool,
    arithmetic: Arithmetic,
    unit: Unit,
    tolerance: f64,
}

/// fp16 weights, f32 sums.
const EXACT: Mode = Mode {
    name: "adclick exact",
    kernel: None,
    shares: true,
    skips: true,
    keeps: false,
    arithmetic: Arithmetic::Exact,
    unit: Unit::F32,
    tolerance: 1e-5,
};

const BF16: Mode =
    Mode { name: "adclick bf16", arithmetic: Arithmetic::Bf16, unit: Unit::Bf16, tolerance: 0.05, ..EXACT };

/// bf16 where it is not int8.
const INT8: Mode =
    Mode { name: "adclick int8", arithmetic: Arithmetic::Int8, unit: Unit::Int8, tolerance: 0.1, ..EXACT };

const MODES: &[Mode] = &[
    EXACT,
    Mode { name: "adclick exact, ad cache", keeps: true, ..EXACT },
    Mode { name: "adclick exact, no skipping", skips: false, ..EXACT },
    Mode { name: "adclick exact, no sharing, no skipping", shares: false, skips: false, ..EXACT },
    BF16,
    Mode { name: "adclick bf16, no sharing, no skipping", shares: false, skips: false, ..BF16 },
    INT8,
    Mode { name: "adclick int8, no sharing, no skipping", shares: false, skips: false, ..INT8 },
    Mode { name: "adclick exact, avx2", kernel: Some("avx2"), ..EXACT },
    Mode { name: "adclick exact, portable", kernel: Some("portable"), ..EXACT },
];

pub(crate) fn all() -> Vec<Box<dyn Contender<Case>>> {
    let mut all: Vec<Box<dyn Contender<Case>>> = Vec::new();
    for &mode in MODES {
        all.push(Box::new(Ours { mode, loaded: None }));
    }
    all.extend(auction::all().map(|mode| Box::new(mode) as Box<dyn Contender<Case>>));
    all
}

struct Ours {
    mode: Mode,
    loaded: Option<Loaded>,
}

struct Loaded {
    case: Rc<Case>,
    plan: Plan,
    keeping: Option<Keeping>,
    scratch: Scratch,
    logits: Vec<f32>,
    /// Kept sums of each row; empty: none are.
    sums: Vec<f32>,
}

impl Loaded {
    /// One request, from ready rows to logits.
    fn run(&mut self, shares: bool) -> adclick::Result<()> {
        let Self { case, plan, keeping, scratch, logits, sums } = self;
        let (weights, width) = (case.model.built.weights(), plan.width());
        let mut pass = if shares {
            plan.begin_keeping(keeping.as_ref(), weights, scratch, &case.rows[..plan.request_width()], case.count)?
        } else {
            plan.begin_dense(weights, scratch)?
        };
        let shared = if shares { plan.request_width() } else { 0 };
        let each = plan.tile_for(case.count);
        let mut lines = [0; TILE_ROWS];
        let mut next = (0..).step_by(keeping.as_ref().map_or(16, Keeping::width) / 16);
        for (rows, logits) in case.rows.chunks(width * each).zip(logits.chunks_mut(each)) {
            let lines = if sums.is_empty() { &mut lines[..0] } else { &mut lines[..logits.len()] };
            lines.fill_with(|| next.next().unwrap_or(Kept::NONE));
            let mut tile = pass.tile(logits.len())?;
            for (i, row) in rows.chunks(width).enumerate() {
                tile.row(i)[shared..].copy_from_slice(&row[shared..]);
            }
            let kept = Kept { memory: [&sums[..], &[]], first: 1, lines };
            pass.run_kept(logits.len(), kept, None, logits)?;
        }
        Ok(())
    }
}

impl Ours {
    fn loaded(&mut self) -> Result<&mut Loaded, Error> {
        self.loaded.as_mut().ok_or_else(|| "nothing is loaded".into())
    }
}

impl Contender<Case> for Ours {
    fn name(&self) -> &str {
        self.mode.name
    }

    fn tolerance(&self) -> f64 {
        self.mode.tolerance
    }

    fn limit(&self) -> Option<Unit> {
        (!self.mode.shares).then_some(self.mode.unit)
    }

    fn load(&mut self, case: &Rc<Case>) -> Result<(), Error> {
        self.loaded = None;
        let kernel = self.mode.kernel.map_or_else(|| Ok(Kernel::detect()), Kernel::by_name)?;
        let (network, weights) = (&case.model.built.network, case.model.built.weights());
        let plan = Plan::with(network, weights, kernel, self.mode.arithmetic, &case.model.ranges)?;
        let plan = if self.mode.skips { plan } else { plan.without_skipping() };
        let own = plan.request_width()..plan.width();
        let keeping = if self.mode.keeps { plan.keeping(&[own])? } else { None };
        let mut scratch = Scratch::new(keeping.as_ref().map_or(plan.scratch_len(), Keeping::scratch_len));
        let mut sums = Vec::new();
        if let Some(keeping) = &keeping {
            sums = vec![f32::NAN; case.count * keeping.width()];
            plan.keep(keeping, weights, &mut scratch, &case.rows, &mut sums)?;
        }
        let logits = vec![f32::NAN; case.count];
        self.loaded = Some(Loaded { case: Rc::clone(case), plan, keeping, scratch, logits, sums });
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<f32>, Error> {
        let shares = self.mode.shares;
        let loaded = self.loaded()?;
        loaded.run(shares)?;
        Ok(loaded.logits.clone())
    }

    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error> {
        let shares = self.mode.shares;
        let loaded = self.loaded()?;
        for _ in 0..warm {
            loaded.run(shares)?;
        }
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begin = clock.now();
            loaded.run(shares)?;
            times.push(clock.now() - begin);
        }
        Ok(times)
    }
}
