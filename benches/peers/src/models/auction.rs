//! libadclick deciding an auction in two passes: int8 or bf16 for all candidates, as an engine picks, and exact for those
//! on which the auction depends.
//!
//! What is timed is all that `auction-exact` does in the place of an exact pass: the fast pass, the bounds of every
//! candidate's probability, the shortlist, and the exact pass over it.

use std::rc::Rc;

use adclick::auction::{Page, Policy};
use adclick::builder::auction::{Bounds, Shortlist};
use adclick::builder::calibrate::HeadCalibrator;
use adclick::builder::infer::{Kernel, Plan, Scratch};
use adclick::builder::model::Fast;
use adclick::{BidKind, Candidate};

use crate::Error;
use crate::case::{Case, Model};
use crate::clock::Clock;
use crate::contender::Contender;
use testkit::networks::{self, Random};

/// Places that are filled.
const SLOTS: usize = 3;

pub(crate) struct AuctionExact {
    name: &'static str,
    /// Whether int8 is allowed in the first pass, as it is for a model with ranges.
    int8: bool,
    loaded: Option<Loaded>,
}

pub(crate) fn all() -> [AuctionExact; 2] {
    [("adclick auction-exact", true), ("adclick auction-exact, bf16 first", false)].map(|(name, int8)| AuctionExact {
        name,
        int8,
        loaded: None,
    })
}

struct Loaded {
    case: Rc<Case>,
    fast: Fast,
    exact: Plan,
    scratch: Scratch,
    policy: Policy,
    calibrator: HeadCalibrator,
    candidates: Vec<Candidate>,
    shortlist: Shortlist,
    listed: Vec<usize>,
    logits: Vec<f32>,
}

/// How far the model's golden requests are off at most, at any level of sharing.
fn farthest(model: &Model, plan: &Plan) -> f64 {
    let mut scratch = Scratch::new(plan.scratch_len());
    let mut worst = 0.0f64;
    for (row, expected) in &model.goldens {
        for level in plan.levels() {
            let mut logit = [f32::NAN];
            networks::run(plan, level, &model.built, &mut scratch, row, &mut logit);
            worst = worst.max((f64::from(logit[0]) - expected).abs() / expected.abs().max(1.0));
        }
    }
    worst
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
    let mut of = [0; adclick::builder::infer::TILE_ROWS];
    while which.len() > 0 {
        let rows = each.min(which.len());
        let mut tile = pass.tile(rows)?;
        for (row, of) in of[..rows].iter_mut().enumerate() {
            *of = which.next().unwrap_or_default();
            tile.row(row)[shared..].copy_from_slice(&case.rows[*of * width + shared..][..width - shared]);
        }
        let mut out = [0.0; adclick::builder::infer::TILE_ROWS];
        pass.run(rows, None, &mut out[..rows])?;
        of[..rows].iter().zip(out).for_each(|(&of, logit)| logits[of] = logit);
    }
    Ok(())
}

impl Loaded {
    fn run(&mut self) -> adclick::Result<()> {
        let Self { case, fast, exact, scratch, policy, calibrator, candidates, shortlist, listed, logits } = self;
        if case.count <= SLOTS + 1 {
            return pass(exact, case, scratch, 0..case.count, logits);
        }
        pass(&fast.plan, case, scratch, 0..case.count, logits)?;
        let off = |logit| fast.off(logit);
        shortlist.choose(&Page::new(policy, SLOTS), candidates, |first, some| {
            some.fill(Bounds { pctr: [f32::NAN; 2], pcvr: [f32::NAN; 2] });
            calibrator.bounds(&logits[first..first + some.len()], off, |i, ends| some[i].pctr = ends);
        });
        listed.clear();
        listed.extend((0..case.count).filter(|&i| shortlist.contains(i)));
        pass(exact, case, scratch, listed.iter().copied(), logits)
    }
}

impl Contender<Case> for AuctionExact {
    fn name(&self) -> &str {
        self.name
    }

    fn tolerance(&self) -> f64 {
        0.1
    }

    fn load(&mut self, case: &Rc<Case>) -> Result<(), Error> {
        self.loaded = None;
        let model = &case.model;
        let (network, weights) = (&model.built.network, model.built.weights());
        let ranges = if self.int8 { &model.ranges[..] } else { &[] };
        let fast = Fast::of_auctions(ranges, |arithmetic, ranges| {
            let plan = Plan::with(network, weights, Kernel::detect(), arithmetic, ranges)?;
            let worst = farthest(model, &plan);
            Ok(Fast::new(plan, arithmetic, Some(worst)))
        })??;
        let exact = Plan::new(network, weights, Kernel::detect())?;
        let mut random = Random(9);
        // Bids per click of 0.2 to 3 of a currency.
        let bid = |_| Candidate {
            bid_kind: BidKind::Cpc as u32,
            bid_micros: random.between(200_000, 3_000_000) as i64,
            ..Candidate::default()
        };
        self.loaded = Some(Loaded {
            case: Rc::clone(case),
            scratch: Scratch::new(fast.plan.scratch_len().max(exact.scratch_len())),
            fast,
            exact,
            policy: Policy::default(),
            calibrator: HeadCalibrator::default(),
            candidates: (0..case.count).map(bid).collect(),
            shortlist: Shortlist::new(case.count)?,
            listed: Vec::with_capacity(case.count),
            logits: vec![f32::NAN; case.count],
        });
        Ok(())
    }

    fn outputs(&mut self) -> Result<Vec<f32>, Error> {
        let loaded = self.loaded.as_mut().ok_or("nothing is loaded")?;
        loaded.run()?;
        Ok(loaded.logits.clone())
    }

    fn time(&mut self, warm: usize, calls: usize, clock: Clock) -> Result<Vec<u64>, Error> {
        let loaded = self.loaded.as_mut().ok_or("nothing is loaded")?;
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
