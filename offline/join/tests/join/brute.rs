//! The join again, as plainly as it can be said: every record is compared with every other.

use std::collections::BTreeMap;

use adclick_join::options::Options;
use adclick_join::simulate::{DecisionRow, EventRow};

/// What a row says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected {
    pub rendered_us: i64,
    pub clicks: Vec<(i64, i64)>,
    pub conversions: i32,
    pub by_click: i32,
    pub value: i64,
    pub conversion_us: Option<i64>,
    pub mature_us: i64,
    pub dwell_us: Option<i64>,
    pub feedback: i32,
}

struct Shown {
    decision: DecisionRow,
    row: Expected,
}

fn good(event: &EventRow) -> bool {
    event.flags & 6 == 0
}

/// The rows of decisions and events, with no rules of invalid traffic.
pub fn join(options: &Options, decisions: &[DecisionRow], events: &[EventRow]) -> BTreeMap<u128, Expected> {
    let mut shown: Vec<Shown> = Vec::new();
    for decision in decisions.iter().filter(|d| d.ad.is_some()) {
        let key =
            |d: &DecisionRow| (d.time_us, d.user.unwrap_or(0), d.advertiser.unwrap_or(0), d.ad.unwrap_or(0), d.slot);
        if decisions.iter().any(|d| d.ad.is_some() && d.id == decision.id && key(d) < key(decision))
            || shown.iter().any(|s| s.decision.id == decision.id)
        {
            continue;
        }
        let of = |kind: i32| events.iter().filter(move |e| e.kind == kind && e.id == Some(decision.id) && good(e));
        let near =
            |time: i64, parent: i64| time >= parent - options.tolerance_us && time <= parent + options.age_limit_us;
        let seen = of(1).map(|e| e.time_us).filter(|&t| near(t, decision.time_us)).min();
        let Some(rendered_us) = seen else { continue };
        // The first click of each id.
        let mut clicks: BTreeMap<i64, i64> = BTreeMap::new();
        for click in of(3).filter(|e| near(e.time_us, rendered_us)) {
            let first = clicks.entry(click.event_id.unwrap_or(0)).or_insert(click.time_us);
            *first = click.time_us.min(*first);
        }
        let mut clicks: Vec<(i64, i64)> = clicks.into_iter().map(|(id, time)| (time, id)).collect();
        clicks.sort_unstable();
        let dwell_us = of(4).filter(|e| near(e.time_us, rendered_us)).filter_map(|e| e.duration_us).max();
        let feedback = of(6)
            .filter(|e| near(e.time_us, rendered_us))
            .fold(0, |bits, e| bits | 1 << (e.feedback.unwrap_or(0).clamp(1, 3) - 1));
        let until = match clicks.last() {
            Some((time, _)) => time + options.click_window_us,
            None => rendered_us + options.view_window_us,
        };
        let row = Expected { rendered_us, clicks, mature_us: until, dwell_us, feedback, ..Expected::default() };
        shown.push(Shown { decision: *decision, row });
    }
    let reported: Vec<&EventRow> = events.iter().filter(|e| e.kind == 5 && e.flags & 2 == 0).collect();
    let mut done: Vec<(i64, i64)> = Vec::new();
    let mut anonymous: Vec<EventRow> = Vec::new();
    for first in reported.iter().filter(|e| e.conversion_kind == Some(0)) {
        let name = (first.advertiser.unwrap_or(0), first.order_id.unwrap_or(0));
        let mut order = **first;
        let mut taken_back = false;
        if name.1 == 0 {
            order.received_us = 0;
            if anonymous.contains(&order) {
                continue;
            }
            anonymous.push(order);
        } else {
            if done.contains(&name) {
                continue;
            }
            done.push(name);
            let same = reported.iter().filter(|e| (e.advertiser.unwrap_or(0), e.order_id.unwrap_or(0)) == name);
            let key = |e: &EventRow| {
                (
                    e.time_us,
                    e.id.unwrap_or(0),
                    e.click_id.unwrap_or(0),
                    e.user.unwrap_or(0),
                    e.value_micros.unwrap_or(0),
                )
            };
            order = **same.clone().filter(|e| e.conversion_kind == Some(0)).min_by_key(|e| key(e)).unwrap();
            let changes = same.filter(|e| e.conversion_kind != Some(0));
            if let Some(last) = changes.clone().max_by_key(|e| (e.time_us, e.conversion_kind)) {
                taken_back = last.conversion_kind == Some(2);
            }
            let restated = changes.filter(|e| e.conversion_kind == Some(1));
            if let Some(last) = restated.max_by_key(|e| (e.time_us, e.value_micros.unwrap_or(0))) {
                order.value_micros = last.value_micros;
            }
        }
        credit(options, &mut shown, &order, taken_back);
    }
    shown.into_iter().map(|s| (s.decision.id, s.row)).collect()
}

fn credit(options: &Options, shown: &mut [Shown], order: &EventRow, taken_back: bool) {
    let (mut best, mut found) = ((false, i64::MIN, 0u128, 0i64), None);
    for (at, s) in shown.iter().enumerate() {
        let whose = |a: Option<i64>, b: Option<i64>| a.unwrap_or(0) == 0 || b.unwrap_or(0) == 0 || a == b;
        let by_user = order.user.unwrap_or(0) != 0 && s.decision.user == order.user;
        let mine = match (order.id, order.click_id.unwrap_or(0)) {
            (Some(id), _) if id != 0 => s.decision.id == id,
            (_, 0) => by_user,
            _ => true,
        };
        if !mine || !whose(order.advertiser, s.decision.advertiser) {
            continue;
        }
        for &(time, id) in &s.row.clicks {
            let named = order.click_id.unwrap_or(0) == 0 || order.click_id == Some(id);
            let age = order.time_us - time;
            let key = (true, time, s.decision.id, id);
            if named && (0..=options.click_window_us).contains(&age) && key > best {
                (best, found) = (key, Some(at));
            }
        }
        let named = order.id.unwrap_or(0) != 0 || order.click_id.unwrap_or(0) == 0;
        let age = order.time_us - s.row.rendered_us;
        let key = (false, s.row.rendered_us, s.decision.id, 0);
        if named && (0..=options.view_window_us).contains(&age) && key > best {
            (best, found) = (key, Some(at));
        }
    }
    if let Some(at) = found.filter(|_| !taken_back) {
        let row = &mut shown[at].row;
        row.conversions += 1;
        row.by_click += i32::from(best.0);
        row.value += order.value_micros.unwrap_or(0);
        row.conversion_us = Some(row.conversion_us.map_or(order.time_us, |t| t.min(order.time_us)));
    }
}
