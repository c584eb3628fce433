//! Scores all candidates of a request, in the only pass or in the first of two.

use std::time::Instant;

use super::memory::Memory;
use super::scored::Scored;
use super::tiles::{Beside, TileRun, begin, passed, tile};
use crate::auction::Page;
use crate::infer::{Kept, TILE_ROWS};
use crate::metrics::{Stage, Stopwatch};
use crate::model::{Fast, KeptSums, ScoringModel, ServingPlan};
use crate::refusal::Refusal;
use crate::request::Input;
use crate::schema::Side;
use crate::types::Precision;

/// The most candidates that are scored between two looks at the clock, when there is a deadline. Tiles may hold more.
const ROWS_BEFORE_A_LOOK: usize = 42;

/// How a request is scored.
pub(super) struct Route<'a> {
    /// The plan of the logits.
    pub(super) plan: ServingPlan<'a>,
    /// The precision that the outcome reports.
    pub(super) precision: Precision,
    /// The fast plan, when a second pass will settle the candidates that matter.
    pub(super) fast: Option<&'a Fast>,
    /// The deadline, and the auction that follows.
    pub(super) deadline: Option<(Instant, &'a Page<'a>)>,
}

impl Memory {
    /// Logits of the candidates until the deadline, in the order of guesses when they may not all be reached: those of the route's plan, or of the fast one. A candidate outside
    /// of the fast plan's tolerance gets NaN; a request outside of it is not scored fast.
    pub(super) fn score(
        &mut self,
        model: &ScoringModel,
        route: Route<'_>,
        input: Input<'_>,
        watch: &mut Stopwatch,
    ) -> Result<Scored, Refusal> {
        let (file, assembler) = (&**model.file(), model.assembler());
        let (heads, request_width) = (file.network().heads.len(), file.layout().request_width);
        let mut request_wide = [0.0; 2];
        let x = &mut self.request[..request_width];
        let time = (input.request.time_us, input.request.utc_offset_s);
        assembler.find(&mut self.state, input.request, input.candidates);
        assembler.columns(&mut self.state, &input.columns);
        let counts = assembler.request(file, &mut self.state, time, input.values, x, &mut request_wide[..heads])?;
        let mut scored = Scored::new(model, route.precision);
        scored.counts[0] = counts;
        scored.wide = request_wide;
        let fast = route.fast.filter(|fast| !fast.is_beyond(x));
        let plan = fast.map_or(route.plan, Fast::serving_plan);
        scored.to_settle = fast.is_some();
        if !input.candidates.is_empty() {
            self.segments.note(model, &self.state, Side::Request, (0, true));
        }
        watch.lap(Stage::Enrich);
        let mut pass = begin(model, plan, &mut self.scratch, x, input.candidates.len())?;
        let kept = plan.kept.filter(|_| pass.keeps());
        let (groups, kernel) = (kept.map_or(0, KeptSums::groups), plan.plan.kernel());
        watch.lap(Stage::Score);
        let most = route.deadline.map_or(TILE_ROWS, |_| ROWS_BEFORE_A_LOOK);
        let tile_rows = plan.plan.tile_within(input.candidates.len(), most);
        self.cut.begin();
        let mut last = None;
        for first in (0..input.candidates.len()).step_by(tile_rows) {
            if let Some((deadline, page)) = route.deadline {
                let now = Instant::now();
                if let Some(last) = last {
                    self.cut.took(tile_rows, now - last);
                    // The first tile is always scored: a decision among few candidates is better than none.
                    if now >= deadline {
                        break;
                    }
                }
                last = Some(now);
                if !self.cut.is_ordered() && self.cut.is_short(input.candidates.len() - first, now, deadline) {
                    self.cut.order(page, input.candidates, first);
                    last = Some(Instant::now());
                }
            }
            let rows = tile_rows.min(input.candidates.len() - first);
            let cut = &self.cut;
            let number = |row: usize| cut.at(first + row);
            let mut beside = Beside::new();
            let mut unknown = [false; TILE_ROWS];
            let mut tile = tile(&mut pass, rows)?;
            assembler.look_ahead(file, &mut self.state, rows, |row| passed(&input, number(row)));
            for row in 0..rows {
                let wide = &mut beside.wide[row * heads..][..heads];
                wide.copy_from_slice(&request_wide[..heads]);
                let x = &mut tile.row(row)[request_width..];
                let passed = passed(&input, number(row));
                let counts = assembler.find_embedded(file, &mut self.state, row, passed, x, wide)?;
                scored.counts[1].add(counts);
                let own = (number(row), !passed.is_empty());
                self.segments.note(model, &self.state, Side::Candidate, own);
                if let Some(kept) = kept {
                    let lines = &mut beside.lines[row * groups..][..groups];
                    scored.kept += u32::from(kept.find(assembler, &self.state, row, passed, lines));
                }
            }
            for (row, unknown) in unknown[..rows].iter_mut().enumerate() {
                let x = &mut tile.row(row)[request_width..];
                let wide = &mut beside.wide[row * heads..][..heads];
                assembler.read_embedded(file, &self.state, row, x, wide, |values, pieces, x| {
                    kernel.widen(values, pieces, x)
                });
                *unknown = fast.is_some_and(|fast| fast.is_beyond(x));
            }
            watch.lap(Stage::Enrich);
            let run = TileRun {
                rows,
                candidate: number,
                kept: kept.map_or(Kept::NOTHING, |kept| kept.kept(&beside.lines[..rows * groups])),
                wide: file.has_wide().then_some(&beside.wide[..rows * heads]),
                logits: &mut self.logits[..heads],
            };
            run.run(&mut pass)?;
            if fast.is_some() {
                pass.cut_off(rows, |row| unknown[row] = true);
                for row in (0..rows).filter(|&row| unknown[row]) {
                    self.logits.iter_mut().for_each(|logits| logits[number(row)] = f32::NAN);
                }
            }
            watch.lap(Stage::Score);
            scored.n = first + rows;
        }
        scored.end = if self.cut.is_ordered() { input.candidates.len() } else { scored.n };
        assembler.count_wrong_side(&self.state);
        if model.segments().is_used() {
            self.segments.find(model, input, scored.end);
            watch.lap(Stage::Calibrate);
        }
        Ok(scored)
    }
}
