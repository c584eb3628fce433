//! A run of the join: takes in new segments, and renews what they change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use adclick_data::files::write_whole;
use adclick_data::progress::Progress;
use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::counts::{Aside, Counts};
use crate::ingest::{Ingested, ingest};
use crate::options::Options;
use crate::orders::{Order, resolve};
use crate::part;
use crate::place::{self, Placed, place_orders};
use crate::process::{self, Work};
use crate::record::{HOUR_US, flag, hour, read_orders, write_orders};
use crate::route::{Routed, route};
use crate::segments;
use crate::store::{DecisionFile, HourState, Store, read_events, write_file};
use crate::touches::Wanted;
use crate::{ids, parallel, write};

/// What to join.
#[derive(Debug, Clone)]
pub struct Job {
    /// Segments, and directories of them.
    pub logs: Vec<PathBuf>,
    /// The directory of the output, which also keeps what later runs need.
    pub out: PathBuf,
    /// The rules.
    pub options: Options,
    /// The time for which rows are called mature; none = the latest hour of the logs.
    pub as_of_us: Option<i64>,
    /// Threads.
    pub threads: usize,
    /// Decisions that are in memory at once, for each thread; none = what fits in the memory that docs/join.md states.
    pub part_rows: Option<u64>,
}

/// What a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// Segments that were new.
    pub segments: u64,
    /// Segments that an earlier run had read.
    pub known_segments: u64,
    /// Records of the new segments, by kind.
    pub records: Counts,
    /// Hours whose rows were written anew.
    pub hours_written: u64,
    /// The whole output, after this run.
    pub summary: Summary,
}

/// The whole output of a join.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Hours that have some.
    pub hours: u64,
    /// For what time rows are called mature, in microseconds since 1970-01-01 UTC.
    pub as_of_us: i64,
    /// Records read, by kind. A segment that was read twice counts once.
    pub read: Counts,
    /// What became of them: `kind.fate`. The fates of a kind add up to the records read. `rule` and `note` count rows.
    pub fates: Counts,
}

/// Joins new segments with what is known.
///
/// # Errors
/// Segments that cannot be read, an output of other rules, files that cannot be written.
pub fn run(job: &Job, progress: &Progress) -> Result<Done> {
    let options = &job.options;
    std::fs::create_dir_all(&job.out).with_context(|| format!("cannot make {}", job.out.display()))?;
    let mut store = Store::open(&job.out, options)?;
    let (new, known_segments) = new_segments(&store, &job.logs)?;
    let bytes = new.iter().map(|s| s.2).sum();
    let stage = progress.bytes("Reading logs", bytes);
    let paths: Vec<PathBuf> = new.iter().map(|s| s.1.clone()).collect();
    let mut ingested = ingest(&store, &paths, job.threads, &stage)?;
    stage.advance(bytes);
    drop(stage);
    store.manifest.segments.extend(new.iter().map(|(key, _, bytes)| (key.clone(), *bytes)));
    store.manifest.read.merge(&ingested.read);
    store.manifest.elsewhere.merge(&ingested.elsewhere);
    store.manifest.latest_us = store.manifest.latest_us.max(ingested.latest_us);
    let latest = store.manifest.latest_us;
    let as_of = match job.as_of_us {
        Some(time) => time,
        None if latest == i64::MIN => i64::MIN,
        None => hour(latest) * HOUR_US,
    };
    ensure!(
        as_of >= store.manifest.as_of_us,
        "--as-of is before that of an earlier run: labels that were final cannot become open again"
    );
    let (fresh, mut dirty) = decisions(&mut store, job, &mut ingested)?;
    dirty.extend(events(&mut store, job, &fresh, std::mem::take(&mut ingested.events))?);
    let (dirty, placed) = orders(&mut store, job, as_of, &mut ingested, &fresh, dirty, progress)?;
    let hours_written = dirty.len() as u64;
    write_hours(&mut store, job, as_of, &placed, &dirty, progress)?;
    store.manifest.as_of_us = as_of;
    let summary = summary(&store)?;
    let text = serde_json::to_string_pretty(&summary)?;
    write_whole(&job.out.join("summary.json"), |out| Ok(writeln!(out, "{text}")?))?;
    store.commit()?;
    Ok(Done { segments: new.len() as u64, known_segments, records: ingested.read, hours_written, summary })
}

/// A segment: what it is known by, its path, its length.
type Known = (String, PathBuf, u64);

/// Segments that no run has read, and how many some run has.
fn new_segments(store: &Store, logs: &[PathBuf]) -> Result<(Vec<Known>, u64)> {
    let mut paths = Vec::new();
    for path in logs {
        segments::list(path, &mut paths)?;
    }
    let mut new: BTreeMap<String, (PathBuf, u64)> = BTreeMap::new();
    let mut known = 0;
    for path in paths {
        let (key, bytes) = identity(&path)?;
        if store.manifest.segments.contains_key(&key) || new.insert(key, (path, bytes)).is_some() {
            known += 1;
        }
    }
    Ok((new.into_iter().map(|(key, (path, bytes))| (key, path, bytes)).collect(), known))
}

/// What a segment is known by: its name, length and last bytes, which are its random sync marker.
fn identity(path: &Path) -> Result<(String, u64)> {
    use std::os::unix::fs::FileExt;
    let what = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(what)?;
    let bytes = file.metadata().with_context(what)?.len();
    let mut end = [0; 16];
    ensure!(bytes >= 16, "{}: {bytes} bytes, which is no Avro file", path.display());
    file.read_exact_at(&mut end, bytes - 16).with_context(what)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((format!("{name}/{bytes}/{:032x}", u128::from_be_bytes(end)), bytes))
}

/// Adds new decisions to their hours, with the index of their ids. Returns those hours, and those
/// that are to be worked on: they may have slates only.
fn decisions(store: &mut Store, job: &Job, ingested: &mut Ingested) -> Result<(BTreeSet<i64>, BTreeSet<i64>)> {
    let mut by_hour: BTreeMap<i64, Vec<DecisionFile>> = BTreeMap::new();
    for (hour, name, rows) in ingested.decisions.drain(..) {
        by_hour.entry(hour).or_default().push(DecisionFile { name, rows, depth: 0, part: 0 });
    }
    let all: Vec<_> = by_hour.into_iter().collect();
    let indices = parallel::map(job.threads, &all, |(_, files)| {
        let mut places = Vec::new();
        for file in files {
            for batch in part::batches(store, &file.name, Some(&["impression_id", "impression_id_high"]))? {
                let batch = batch?;
                let (high, low) =
                    (segments::longs(&batch, "impression_id_high")?, segments::longs(&batch, "impression_id")?);
                places.extend((0..batch.num_rows()).map(|row| crate::record::place(segments::id(high, low, row))));
            }
        }
        let (name, path) = store.make("ids");
        ids::write(&path, places)?;
        Ok(name)
    })?;
    let fresh: BTreeSet<i64> = all.iter().map(|(hour, _)| *hour).collect();
    for ((hour, files), index) in all.into_iter().zip(indices) {
        let state = store.manifest.hours.entry(hour).or_default();
        state.decisions.extend(files);
        state.ids.push(index);
    }
    let mut dirty = fresh.clone();
    for (hour, name, _) in ingested.slates.drain(..) {
        store.manifest.hours.entry(hour).or_default().slates.push(name);
        dirty.insert(hour);
    }
    Ok((fresh, dirty))
}

/// Sends events to the hours of their decisions: the new ones, and those that waited for decisions that are new.
fn events(store: &mut Store, job: &Job, fresh: &BTreeSet<i64>, new: Vec<(i64, String)>) -> Result<BTreeSet<i64>> {
    let mut of_hour: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    new.into_iter().for_each(|(hour, name)| of_hour.entry(hour).or_default().push(name));
    let near = |hour: i64| {
        crate::route::candidates(&job.options, hour, 2 * job.options.age_limit_us).iter().any(|h| fresh.contains(h))
    };
    let waiting: Vec<i64> = store.manifest.unmatched.keys().copied().filter(|&hour| near(hour)).collect();
    let mut tasks: Vec<(i64, Vec<String>, bool)> =
        of_hour.into_iter().map(|(hour, names)| (hour, names, true)).collect();
    for hour in waiting {
        tasks.push((hour, store.manifest.unmatched.remove(&hour).unwrap_or_default(), false));
    }
    let routed = parallel::map(job.threads, &tasks, |(hour, names, new)| {
        route(store, &job.options, *hour, names, if *new { None } else { Some(fresh) })
    })?;
    let (mut dirty, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for ((task, ..), Routed { events, unmatched }) in tasks.iter().zip(routed) {
        changed.insert(*task);
        for (hour, name) in events {
            store.manifest.hours.entry(hour).or_default().events.push(name);
            dirty.insert(hour);
        }
        for (hour, name) in unmatched {
            store.manifest.unmatched.entry(hour).or_default().push(name);
        }
    }
    for at in changed {
        let (mut counts, mut aside) = (Counts::default(), Vec::new());
        for name in store.manifest.unmatched.get(&at).into_iter().flatten() {
            read_events(&store.path(name), |event| {
                let reason = if event.flags & flag::FORGED != 0 {
                    "forged"
                } else if event.flags & flag::EXPIRED != 0 {
                    "expired"
                } else {
                    "no_decision"
                };
                counts.add(&format!("{}.{reason}", event.kind.name()), 1);
                let kind = event.kind.name();
                aside.push(Aside {
                    id: event.id,
                    kind,
                    reason,
                    time_us: event.time_us,
                    own_id: event.click,
                    user: 0,
                    value: event.value,
                });
            })?;
        }
        write::aside(write::place(&job.out, "set_aside", "unmatched", at), &mut aside)?;
        store.manifest.unmatched_counts.insert(at, counts);
    }
    Ok(dirty)
}

/// Resolves orders, finds the touches of changed hours, and places the orders. Returns the hours to be written.
fn orders(
    store: &mut Store,
    job: &Job,
    as_of: i64,
    ingested: &mut Ingested,
    fresh: &BTreeSet<i64>,
    mut dirty: BTreeSet<i64>,
    progress: &Progress,
) -> Result<(BTreeSet<i64>, Vec<Placed>)> {
    let load = |store: &Store, name: &Option<String>| match name {
        Some(name) => read_orders(&mut File::open(store.path(name))?).with_context(|| format!("cannot read {name}")),
        None => Ok(Vec::new()),
    };
    let mut records = load(store, &store.manifest.orders)?;
    let mut forged = load(store, &store.manifest.forged_orders)?;
    records.append(&mut ingested.orders);
    forged.append(&mut ingested.forged);
    let (mut counts, mut aside) = (Counts::default(), Vec::new());
    let mut orders: Vec<Order> = resolve(&mut records, &mut counts, &mut aside);
    orders.sort_unstable();
    let before =
        store.manifest.placed.as_ref().map(|name| place::read(&store.path(name))).transpose()?.unwrap_or_default();

    let work = work(store, job, as_of);
    let wanted = Wanted::of(orders.iter().filter(|o| o.impression == 0));
    let changing: Vec<(i64, HourState)> = dirty.iter().map(|at| (*at, store.manifest.hours[at].clone())).collect();
    let touched = parallel::map(job.threads, &changing, |(_, state)| {
        progress.within().check()?;
        let mut changed = Wanted::default();
        process::touch(&work, state, &wanted, &mut changed).map(|state| (state, changed))
    })?;
    let mut changed = Wanted::default();
    for ((at, _), (state, some)) in changing.iter().zip(touched) {
        changed.users.extend(some.users);
        changed.clicks.extend(some.clicks);
        store.manifest.hours.insert(*at, state);
    }
    changed.clicks.remove(&0);
    let (placed, affected) = place_orders(store, &job.options, &orders, &before, fresh, &changed)?;
    dirty.extend(affected);
    let due = store.manifest.hours.iter().filter(|(_, state)| state.due_us.is_some_and(|due| due <= as_of));
    dirty.extend(due.map(|(at, _)| *at));

    let homeless = placed.iter().filter(|p| p.hour.is_none());
    for Placed { order, .. } in homeless {
        let Order { impression, user, click, .. } = *order;
        let reason = match (impression, user, click) {
            (0, 0, 0) => "no_user",
            (0, ..) => "no_touch",
            _ => "unknown_impression",
        };
        counts.add(&format!("conversion.{reason}"), 1);
        aside.push(order.aside(reason));
    }
    aside.extend(resolve_forged(&forged));
    write::aside(job.out.join("set_aside").join("conversions.parquet"), &mut aside)?;
    store.manifest.orders_counts = counts;
    let files = [store.make("orders"), store.make("forged"), store.make("placed")];
    write_file(&files[0].1, |out| write_orders(out, &records))?;
    write_file(&files[1].1, |out| write_orders(out, &forged))?;
    place::write(&files[2].1, &placed)?;
    let [orders, forged, at] = files.map(|(name, _)| Some(name));
    (store.manifest.orders, store.manifest.forged_orders, store.manifest.placed) = (orders, forged, at);
    Ok((dirty, placed))
}

fn resolve_forged(records: &[crate::record::OrderRecord]) -> impl Iterator<Item = Aside> + '_ {
    records.iter().map(|r| Aside {
        id: r.impression,
        kind: "conversion",
        reason: "forged",
        time_us: r.time_us,
        own_id: r.order,
        user: r.user,
        value: r.value,
    })
}

fn work<'a>(store: &'a Store, job: &'a Job, as_of_us: i64) -> Work<'a> {
    Work {
        store,
        options: &job.options,
        out: &job.out,
        as_of_us,
        part_rows: job.part_rows.unwrap_or_else(part::part_rows),
    }
}

/// Writes the rows of hours.
fn write_hours(
    store: &mut Store,
    job: &Job,
    as_of: i64,
    placed: &[Placed],
    dirty: &BTreeSet<i64>,
    progress: &Progress,
) -> Result<()> {
    let mut of_hour: BTreeMap<i64, Vec<&Placed>> = BTreeMap::new();
    for one in placed {
        if let Some(at) = one.hour.filter(|at| dirty.contains(at)) {
            of_hour.entry(at).or_default().push(one);
        }
    }
    let work = work(store, job, as_of);
    let hours: Vec<(i64, &HourState)> = dirty.iter().map(|at| (*at, &store.manifest.hours[at])).collect();
    let written = parallel::map(job.threads, &hours, |(at, state)| {
        progress.within().check()?;
        process::rows(&work, *at, state, of_hour.get(at).map_or(&[][..], Vec::as_slice))
    })?;
    drop(hours);
    for (at, state) in dirty.iter().zip(written) {
        store.manifest.hours.insert(*at, state);
    }
    Ok(())
}

/// The whole output, and that every record that was read has a fate.
fn summary(store: &Store) -> Result<Summary> {
    let manifest = &store.manifest;
    let mut fates = manifest.elsewhere.clone();
    fates.merge(&manifest.orders_counts);
    manifest.hours.values().for_each(|state| fates.merge(&state.counts));
    manifest.unmatched_counts.values().for_each(|counts| fates.merge(counts));
    for (kind, &read) in &manifest.read.0 {
        let found = fates.all(kind);
        ensure!(
            found == read,
            "{read} records of kind {kind} were read and {found} have a fate: this is a fault of adclick join"
        );
    }
    Ok(Summary {
        rows: manifest.hours.values().map(|state| state.rows).sum(),
        hours: manifest.hours.values().filter(|state| state.rows > 0).count() as u64,
        as_of_us: manifest.as_of_us,
        read: manifest.read.clone(),
        fates,
    })
}
