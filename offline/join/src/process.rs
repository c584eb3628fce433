//! Works on one hour of decisions: first which touches it has, then its rows.

use std::collections::HashMap;

use anyhow::Result;

use crate::counts::{Aside, Counts};
use crate::hour::Hour;
use crate::options::Options;
use crate::part::{Part, batches, compact, join, parts};
use crate::place::Placed;
use crate::rows::{Outcome, RowMaker};
use crate::slates::Slates;
use crate::store::{HourState, Store};
use crate::touch::{Credit, Touch, last};
use crate::touches::{self, Wanted};
use crate::traffic::{Verdicts, judge};
use crate::write::{self, Output};

/// Rows of a batch that is written.
const BATCH_ROWS: usize = 8192;

/// What all hours are worked on with.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) options: &'a Options,
    pub(crate) out: &'a std::path::Path,
    pub(crate) as_of_us: i64,
    pub(crate) part_rows: u64,
}

/// What the rules of invalid traffic say of an hour; with the hour itself when it has one part.
fn verdicts(work: &Work<'_>, state: &HourState) -> Result<Verdicts> {
    let mut seen = Vec::new();
    for part in parts(state, work.part_rows) {
        seen.extend(join(work.store, work.options, state, part, false)?.0.seen());
    }
    Ok(judge(&work.options.traffic, seen))
}

/// The touches of an hour whose records changed. Adds to `changed` those users and clicks of `wanted` whose touches did.
pub(crate) fn touch(work: &Work<'_>, before: &HourState, wanted: &Wanted, changed: &mut Wanted) -> Result<HourState> {
    let mut state = before.clone();
    compact(work.store, &mut state, work.part_rows)?;
    let verdicts = verdicts(work, &state)?;
    let mut found = [Vec::new(), Vec::new()];
    for part in parts(&state, work.part_rows) {
        let (mut hour, _) = join(work.store, work.options, &state, part, false)?;
        hour.apply(work.options, &verdicts);
        for touch in hour.shown.iter().flat_map(|shown| shown.touches(work.options)) {
            if touch.user != 0 || touch.click != 0 {
                found[touch.kind as usize].push(touch);
            }
        }
    }
    let mut names = [String::new(), String::new()];
    for (kind, mut found) in found.into_iter().enumerate() {
        let (name, path) = work.store.make("touches");
        touches::write(&path, &mut found)?;
        let old = before.touches.as_ref().map(|files| work.store.path(&files[kind]));
        touches::changed(old.as_deref(), &path, |touch: &Touch| {
            if wanted.has(touch) {
                changed.users.insert(touch.user);
                changed.clicks.insert(touch.click);
            }
        })?;
        names[kind] = name;
    }
    state.touches = Some(names);
    Ok(state)
}

/// Writes the rows of an hour, and what is in no row. `orders`: those that belong to it.
pub(crate) fn rows(work: &Work<'_>, at: i64, before: &HourState, orders: &[&Placed]) -> Result<HourState> {
    let mut state = HourState { counts: Counts::default(), rows: 0, due_us: None, ..before.clone() };
    let verdicts = verdicts(work, &state)?;
    let Some(first) = state.decisions.first() else {
        // A slate whose decisions are lost: it waits for them.
        state.counts.add("slate.no_decision", Slates::load(work.store, &state)?.all());
        return Ok(state);
    };
    let schema = crate::rows::schema(&batches(work.store, &first.name, None)?.schema(), work.options)?;
    let slates = Slates::load(work.store, &state)?;
    state.counts.add("slate.joined", slates.len());
    state.counts.add("slate.duplicate", slates.duplicates);
    let mut labels = HashMap::new();
    let maker = RowMaker { options: work.options, schema: schema.clone(), as_of_us: work.as_of_us };
    let mut out = Output::create(write::place(work.out, "rows", "hour", at), schema)?;
    let mut aside: Vec<Aside> = Vec::new();
    for part in parts(&state, work.part_rows) {
        let (mut hour, batches) = join(work.store, work.options, &state, part, true)?;
        hour.apply(work.options, &verdicts);
        let credits = credits(work.options, part, &mut hour, orders);
        let none = Vec::new();
        let mut outcomes = Vec::with_capacity(hour.shown.len());
        for shown in &hour.shown {
            let mine = credits.get(&shown.decision.id).unwrap_or(&none);
            let outcome = Outcome::of(work.options, shown, mine, &mut hour.counts);
            if outcome.mature_us > work.as_of_us {
                state.due_us = Some(state.due_us.map_or(outcome.mature_us, |due| due.min(outcome.mature_us)));
            }
            outcomes.push(outcome);
        }
        for (shown, outcomes) in hour.shown.chunks(BATCH_ROWS).zip(outcomes.chunks(BATCH_ROWS)) {
            out.push(&maker.make(&batches, shown, outcomes, &slates)?)?;
            for (shown, outcome) in shown.iter().zip(outcomes).filter(|(shown, _)| slates.has(shown.decision.id)) {
                labels.insert(shown.decision.id, outcome.labels(shown, work.as_of_us));
            }
        }
        aside.append(&mut hour.aside);
        state.counts.merge(&hour.counts);
    }
    state.rows = out.finish()?;
    slates.write(write::place(work.out, "slates", "hour", at), &labels)?;
    write::aside(write::place(work.out, "set_aside", "hour", at), &mut aside)?;
    Ok(state)
}

/// What each impression of a part is credited with. Orders that name an impression find their touch here.
fn credits(options: &Options, part: Part, hour: &mut Hour, orders: &[&Placed]) -> HashMap<u128, Vec<Credit>> {
    let mut all: HashMap<u128, Vec<Credit>> = HashMap::new();
    let mine = |id: u128| part.has(id);
    let by_id: HashMap<u128, usize> = if orders.iter().any(|p| p.named() && mine(p.order.impression)) {
        hour.shown.iter().enumerate().map(|(at, shown)| (shown.decision.id, at)).collect()
    } else {
        HashMap::new()
    };
    for placed in orders {
        let order = placed.order;
        let touch = match placed.touch {
            Some(touch) if mine(touch.id) => touch,
            None if placed.named() && mine(order.impression) => {
                let shown = by_id.get(&order.impression).map(|&at| &hour.shown[at]);
                let touches: Vec<Touch> = shown.map(|s| s.touches(options).collect()).unwrap_or_default();
                match last(options, &order, touches.iter()) {
                    Some(touch) => *touch,
                    None => {
                        let reason = if shown.is_some() { "no_touch" } else { "not_rendered" };
                        hour.counts.add(&format!("conversion.{reason}"), 1);
                        hour.aside.push(order.aside(reason));
                        continue;
                    }
                }
            }
            _ => continue,
        };
        let Touch { id, kind, time_us: touch_us, .. } = touch;
        all.entry(id).or_default().push(Credit { id, kind, touch_us, order });
    }
    all.values_mut().for_each(|credits| credits.sort_unstable());
    all
}
