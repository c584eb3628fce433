//! Finds the hour of each event's decision.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::ids;
use crate::ingest::EventsByHour;
use crate::options::Options;
use crate::record::{Event, HOUR_US, flag, place};
use crate::store::{Store, read_events};

/// The hours in which the decision of something of this hour may be, most likely first.
pub(crate) fn candidates(options: &Options, hour: i64, reach_us: i64) -> Vec<i64> {
    let back = reach_us.div_euclid(HOUR_US) + 1;
    let ahead = options.tolerance_us.div_euclid(HOUR_US) + 1;
    (0..=back).map(|h| hour - h).chain((1..=ahead).map(|h| hour + h)).collect()
}

/// Of some hashes, those found in the ids of an hour: their indices. `wanted` is sorted by hash.
pub(crate) fn found_in(store: &Store, ids: &[String], wanted: &[(u64, usize)]) -> Result<Vec<bool>> {
    let places: Vec<u64> = wanted.iter().map(|w| w.0).collect();
    let mut found = vec![false; places.len()];
    for name in ids {
        for (all, one) in found.iter_mut().zip(ids::find(&store.path(name), &places)?) {
            *all |= one;
        }
    }
    Ok(found)
}

/// Where the events of some files went.
#[derive(Default)]
pub(crate) struct Routed {
    /// By the hour of their decision.
    pub(crate) events: Vec<(i64, String)>,
    /// By the hour of the event: no decision has their id.
    pub(crate) unmatched: Vec<(i64, String)>,
}

/// Routes the events of one hour, which may be in several files. `only`: the hours to look in; none = all.
pub(crate) fn route(
    store: &Store,
    options: &Options,
    hour: i64,
    files: &[String],
    only: Option<&BTreeSet<i64>>,
) -> Result<Routed> {
    let mut events: Vec<Event> = Vec::new();
    for name in files {
        read_events(&store.path(name), |event| events.push(event))?;
    }
    let mut out = EventsByHour::new(store, "events");
    let mut left = EventsByHour::new(store, "unmatched");
    let mut wanted: Vec<(u64, usize)> = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        // A forged id has no decision, an expired one is not worth one.
        if event.flags & (flag::FORGED | flag::EXPIRED) == 0 {
            wanted.push((place(event.id), at));
        } else {
            left.push(hour, event)?;
        }
    }
    wanted.sort_unstable();
    for candidate in candidates(options, hour, 2 * options.age_limit_us) {
        if wanted.is_empty() {
            break;
        }
        let Some(state) = store.manifest.hours.get(&candidate) else { continue };
        if only.is_some_and(|only| !only.contains(&candidate)) {
            continue;
        }
        let found = found_in(store, &state.ids, &wanted)?;
        let mut kept = Vec::new();
        for (&(place, at), found) in wanted.iter().zip(found) {
            if found {
                out.push(candidate, &events[at])?;
            } else {
                kept.push((place, at));
            }
        }
        wanted = kept;
    }
    for (_, at) in wanted {
        left.push(hour, &events[at])?;
    }
    Ok(Routed { events: out.finish()?, unmatched: left.finish()? })
}
