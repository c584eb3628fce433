//! libadclick deciding an auction in two passes: bf16 for all candidates, exact for those on which the auction depends.
//!
//! What is timed is all that `auction-exact` does in the place of an exact pass: the fast pass, the bounds of every
//! candidate's probability, the shortlist, and the exact pass over it.

use std::rc::Rc;

use adclick::auction::{Bounds, Policy, Shortlist};
use adclick::calibrate::HeadCalibrator;
use adclick::infer::{Arithmetic, Kernel, Plan, Scratch};
use adclick::types::{BidKind, Candidate};

use crate::Error;
use crate::case::Case;
use crate::clock::Clock;
use crate::contender::Contender;
use crate::networks::Random;

/// Places that are filled.
const SLOTS: usize = 3;
/// How far a fast logit is taken to be off, of its size or of 1: the least that an engine takes.
const OFF: f32 = 1.0 / 64.0;

#[derive(Default)]
pub(crate) struct AuctionExact(Option<Loaded>);

struct Loaded {
    case: Rc<Case>,
    fast: Plan,
    exact: Plan,
    scratch: Scratch,
    policy: Policy,
    calibrator: HeadCalibrator,
    candidates: Vec<Candidate>,
    shortlist: Shortlist,
    listed: Vec<usize>,
    logits: Vec<f32>,
}

/// Candidates `which` through a plan, at the level that all of them would have.
fn pass(
    plan: &Plan,
    case: &Case,
    scratch: &mut Scratch,
    which: impl ExactSizeIterator<Item = usize>,
    logits: &mut [f32],
) -> adclick::Result<()> {
    let (width, shared) = (plan.width(), plan.request_width());
    let mut pass = plan.begin(case.model.built.weights(), scratch, &case.rows[..shared], case.count)?;
    let (each, mut which) = (plan.tile_for(which.len()), which);
    let mut of = [0; adclick::infer::TILE_ROWS];
    while which.len() > 0 {
        let rows = each.min(which.len());
        let mut tile = pass.tile(rows)?;
        for (row, of) in of[..rows].iter_mut().enumerate() {
            *of = which.next().unwrap_or_default();
            tile.row(row)[shared..].copy_from_slice(&case.rows[*of * width + shared..][..width - shared]);
        }
        let mut out = [0.0; adclick::infer::TILE_ROWS];
        pass.run(rows, None, &mut out[..rows])?;
        of[..rows].iter().zip(out).for_each(|(&of, logit)| logits[of] = logit);
    }
    Ok(())
}

impl Loaded {
    fn run(&mut self) -> adclick::Result<()> {
        let Self { case, fast, exact, scratch, policy, calibrator, candidates, shortlist, listed, logits } = self;
        pass(fast, case, scratch, 0..case.count, logits)?;
        let off = |logit: f32| OFF * logit.abs().max(1.0);
        shortlist.choose(policy, candidates, SLOTS, |first, some| {
            some.fill(Bounds { pctr: [f32::NAN; 2], pcvr: [f32::NAN; 2] });
            calibrator.bounds(&logits[first..first + some.len()], off, |i, ends| some[i].pctr = ends);
        });
        listed.clear();
        listed.extend((0..case.count).filter(|&i| shortlist.contains(i)));
        pass(exact, case, scratch, listed.iter().copied(), logits)
    }
}

impl Contender for AuctionExact {
    fn name(&self) -> &str {
        "adclick auction-exact"
    }

    fn tolerance(&self) -> f64 {
        0.05
    }

    fn load(&mut self, case: &Rc<Case>) -> Result<(), Error> {
        self.0 = None;
        let (network, weights) = (&case.model.built.network, case.model.built.weights());
        let plan = |arithmetic| Plan::with(network, weights, Kernel::detect(), arithmetic, &case.model.ranges);
        let (fast, exact) = (plan(Arithmetic::Bf16)?, plan(Arithmetic::Exact)?);
        let mut random = Random(9);
        // Bids per click of 0.2 to 3 of a currency.
        let bid = |_| Candidate {
            bid_kind: BidKind::Cpc as u32,
            bid_micros: random.between(200_000, 3_000_000) as i64,
            ..Candidate::default()
        };
        self.0 = Some(Loaded {
            case: Rc::clone(case),
            scratch: Scratch::new(fast.scratch_len().max(exact.scratch_len())),
            fast,
            exact,
            policy: Policy::default(),
            calibrator: HeadCalibrator::default(),
            candidates: (0..case.count).map(bid).collect(),
            shortlist: Shortlist::new(case.count),
            listed: Vec::with_capacity(case.count),
            logits: vec![f32::NAN; case.count],
        });
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<f32>, Error> {
        let loaded = self.0.as_mut().ok_or("nothing is loaded")?;
        loaded.run()?;
        Ok(loaded.logits.clone())
    }

    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error> {
        let loaded = self.0.as_mut().ok_or("nothing is loaded")?;
        for _ in 0..warm {
            loaded.run()?;
        }
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let begin = clock.now();
            loaded.run()?;
            times.push(clock.now() - begin);
        }
        Ok(times)
    }
}
