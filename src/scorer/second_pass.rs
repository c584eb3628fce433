//! Computes exact logits of the candidates that the auction depends on, after a fast pass.

use super::memory::Memory;
use super::scored::Scored;
use super::tiles::{Beside, TileRun, begin, passed, tile};
use crate::auction::{Bounds, CANDIDATE_CUT, Page};
use crate::infer::Kept;
use crate::metrics::{Stage, Stopwatch};
use crate::model::{Fast, KeptSums, ScoringModel};
use crate::refusal::Refusal;
use crate::request::Input;

impl Memory {
    /// Computes the exact logits of the candidates that the auction depends on, at the level of sharing that an exact
    /// pass over all would have, so that they are the same to the bit. If one of them is further off than assumed, the
    /// fast logits cannot be trusted, and all are computed.
    pub(super) fn settle(
        &mut self,
        model: &ScoringModel,
        scored: &Scored,
        input: Input<'_>,
        page: &Page<'_>,
        fast: &Fast,
        watch: &mut Stopwatch,
    ) -> Result<(), Refusal> {
        let (n, calibrators, segments) = (scored.end, model.calibrators(), model.segments());
        let off = |logit| fast.off(logit);
        let (logits, nodes) = (&self.logits, &self.segments.nodes);
        let bounds = |first: usize, some: &mut [Bounds]| {
            let rows = first..first + some.len();
            let of = |head: usize| &logits[head][rows.clone()];
            let none = [f32::NAN; 2];
            some.fill(Bounds { pctr: none, pcvr: none });
            // Logits are in the order of the model's heads.
            let (ctr, cvr) = (of(0), of(usize::from(scored.has_ctr)));
            if !segments.is_used() {
                if scored.has_ctr {
                    calibrators.ctr.bounds(ctr, off, |i, ends| some[i].pctr = ends);
                }
                if scored.has_cvr {
                    calibrators.cvr.bounds(cvr, off, |i, ends| some[i].pcvr = ends);
                }
                return;
            }
            let nodes = &nodes[rows.clone()];
            if scored.has_ctr {
                segments.bounds(0, (ctr, nodes), off, |i, ends| some[i].pctr = ends);
            }
            if scored.has_cvr {
                segments.bounds(1, (cvr, nodes), off, |i, ends| some[i].pcvr = ends);
            }
            if scored.has_ctr && scored.has_cvr && segments.has_product() {
                for (bounds, &node) in some.iter_mut().zip(nodes) {
                    bounds.pcvr = segments.product_bounds(node, bounds.pctr, bounds.pcvr);
                }
            }
        };
        let second = &mut self.second;
        second.shortlist.choose(page, &input.candidates[..n], bounds);
        let mut listed = 0;
        for i in (0..n).filter(|&i| second.shortlist.contains(i)) {
            second.listed[listed] = i as u32;
            listed += 1;
        }
        for (fast, logits) in second.fast.iter_mut().zip(&self.logits) {
            fast[..n].copy_from_slice(&logits[..n]);
        }
        watch.lap(Stage::Calibrate);
        self.exact(model, scored, input, listed, watch)?;
        let heads = usize::from(scored.has_ctr) + usize::from(scored.has_cvr);
        let as_told = |memory: &Self, i: usize| {
            (0..heads).all(|head| {
                let (fast, exact) = (memory.second.fast[head][i], memory.logits[head][i]);
                // A fast sum may overflow where the exact one does not; such a candidate was listed.
                !fast.is_finite() || (fast - exact).abs() <= off(fast)
            })
        };
        if !(0..listed).all(|at| as_told(self, self.second.listed[at] as usize)) {
            let taking_part = (0..n as u32).filter(|&i| input.candidates[i as usize].flags & CANDIDATE_CUT == 0);
            let mut all = 0;
            for (listed, i) in self.second.listed.iter_mut().zip(taking_part) {
                *listed = i;
                all += 1;
            }
            self.exact(model, scored, input, all, watch)?;
        }
        Ok(())
    }

    /// The exact logits of the first `listed` candidates of the list.
    fn exact(
        &mut self,
        model: &ScoringModel,
        scored: &Scored,
        input: Input<'_>,
        listed: usize,
        watch: &mut Stopwatch,
    ) -> Result<(), Refusal> {
        let (file, assembler, exact) = (&**model.file(), model.assembler(), model.exact());
        let (request_width, heads) = (file.layout().request_width, file.network().heads.len());
        let x = &self.request[..request_width];
        let mut pass = begin(model, exact, &mut self.scratch, x, input.candidates.len())?;
        let kept = exact.kept.filter(|_| pass.keeps());
        let (groups, kernel) = (kept.map_or(0, KeptSums::groups), exact.plan.kernel());
        for list in self.second.listed[..listed].chunks(exact.plan.tile_for(listed)) {
            let rows = list.len();
            let mut beside = Beside::new();
            let mut tile = tile(&mut pass, rows)?;
            assembler.look_ahead(file, &mut self.state, rows, |row| passed(&input, list[row] as usize));
            for (row, &i) in list.iter().enumerate() {
                let wide = &mut beside.wide[row * heads..][..heads];
                wide.copy_from_slice(&scored.wide[..heads]);
                let x = &mut tile.row(row)[request_width..];
                let passed = passed(&input, i as usize);
                assembler.find_embedded(file, &mut self.state, row, passed, x, wide)?;
                if let Some(kept) = kept {
                    let lines = &mut beside.lines[row * groups..][..groups];
                    kept.find(assembler, &self.state, row, passed, lines);
                }
            }
            for row in 0..rows {
                let x = &mut tile.row(row)[request_width..];
                let wide = &mut beside.wide[row * heads..][..heads];
                assembler.read_embedded(file, &self.state, row, x, wide, |values, pieces, x| {
                    kernel.widen(values, pieces, x)
                });
            }
            let run = TileRun {
                rows,
                candidate: |row: usize| list[row] as usize,
                kept: kept.map_or(Kept::NOTHING, |kept| kept.kept(&beside.lines[..rows * groups])),
                wide: file.has_wide().then_some(&beside.wide[..rows * heads]),
                logits: &mut self.logits[..heads],
            };
            run.run(&mut pass)?;
        }
        watch.lap(Stage::Score);
        Ok(())
    }
}
