//! Generations that change under load: every outcome is that of the generation it names, nothing leaks, and files may
//! be replaced as published bundles are.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use adclick::Engine;
use adclick::builder::artifact::OpenMode;
use adclick::builder::bundle::MODEL_FILE;
use testkit::common::{Bundles, Case, Decision, Random, Scores, Wants, case, decide, model, options, score, scorer};
use testkit::{allocator, common, plain_tables};

#[global_allocator]
static ALLOCATOR: allocator::Counting = allocator::Counting;

const READERS: u64 = 8;
/// Activations and rollbacks together.
const SWAPS: usize = 10_000;

/// These tests look at the whole process, so they take turns.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Mappings of files under a directory.
fn mappings(under: &Path) -> usize {
    let under = under.to_str().unwrap();
    fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains(under)).count()
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// What each generation gives for each case, as seen when it is the only one.
type Expected = HashMap<u64, Vec<(Scores, Decision)>>;

fn readers_and_publisher(
    bundles: &Bundles,
    names: &[&str],
    engine: &Engine,
    cases: &[Case],
    expected: &Expected,
    (most_swaps, files): (usize, usize),
) {
    let stop = AtomicBool::new(false);
    let (served, seen) = (AtomicU64::new(0), Mutex::new(HashMap::<u64, u64>::new()));
    let most_mappings = std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (stop, served, seen) = (&stop, &served, &seen);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut scorer = scorer(engine, 64);
                let mut own = HashMap::new();
                while !stop.load(Ordering::SeqCst) {
                    let at = random.between(0, cases.len() - 1);
                    let scores = score(&mut scorer, &cases[at]).unwrap();
                    let (whole, _) = &expected[&scores.outcome.generation][at];
                    assert_eq!((scores.outcome, scores.bits()), (whole.outcome, whole.bits()));
                    let decision = decide(&mut scorer, &cases[at]).unwrap();
                    assert_eq!(decision, expected[&decision.outcome.generation][at].1);
                    *own.entry(scores.outcome.generation).or_insert(0) += 1;
                    served.fetch_add(2, Ordering::SeqCst);
                    if random.between(0, 99) == 0 {
                        // Callers come and go as well.
                        scorer = common::scorer(engine, 64);
                    }
                }
                for (generation, n) in own {
                    *seen.lock().unwrap().entry(generation).or_default() += n;
                }
            });
        }
        // A failure of this thread must stop the others too.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&stop);
        let (mut swaps, mut most) = (0, 0);
        let mut random = Random(99);
        while swaps < most_swaps {
            let name = names[random.between(0, names.len() - 1)];
            let id = engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
            assert!(expected.contains_key(&id));
            swaps += 1;
            if common::chance(&mut random, 90) {
                engine.rollback().unwrap();
                swaps += 1;
            }
            if swaps % 100 < 2 {
                most = most.max(mappings(bundles.root()));
            }
        }
        most
    });
    let seen = seen.into_inner().unwrap();
    println!("{} calls, {most_mappings} mappings at most, generations seen: {seen:?}", served.into_inner());
    assert_eq!(seen.len(), names.len(), "the readers did not see all generations");
    // The files of the current, the previous and the staged one, and at worst one that each reader holds.
    assert!((1..=(3 + READERS as usize) * files).contains(&most_mappings), "{most_mappings} mappings");
}

#[test]
fn every_outcome_is_that_of_the_generation_it_names_and_nothing_leaks() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(21);
    let names = ["a", "b", "c"];
    let specs: Vec<_> = (0..3)
        .map(|i| model(&mut random, Wants { wide: i == 1, heads: 1 + i % 2, goldens: 1, ..Wants::default() }))
        .collect();
    for (name, spec) in names.iter().zip(&specs) {
        bundles.write(name, spec);
    }
    let run = |swaps: usize| {
        let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
        let mut random = Random(22);
        let cases: Vec<_> =
            (0..12).map(|i| case(&mut random, &specs[i % 3].schema, [1, 5, 13, 40][i % 4], &engine)).collect();
        let mut expected = Expected::new();
        let mut quiet = scorer(&engine, 64);
        for name in names {
            let id = engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
            let outputs = cases.iter().map(|c| (score(&mut quiet, c).unwrap(), decide(&mut quiet, c).unwrap()));
            expected.insert(id, outputs.collect());
        }
        assert_eq!(expected.len(), 3);
        readers_and_publisher(&bundles, &names, &engine, &cases, &expected, (swaps, 1));
        drop(engine);
        // The last scorer outlives its engine: it holds nothing of it that is mapped.
        assert_eq!(mappings(bundles.root()), 0);
        drop(quiet);
    };
    // A shorter run first, so that what is made only once (mostly the allocator's own arenas) exists already.
    run(SWAPS / 5);
    let (live, rss) = (allocator::live(), resident());
    run(SWAPS);
    let (live_after, rss_after) = (allocator::live(), resident());
    println!("live bytes {live} -> {live_after}, resident {rss} -> {rss_after}");
    // Slack for the test harness; thousands of generations were made, and one has tens of kilobytes at least.
    assert!(live_after - live < 32 << 10, "{} bytes more than before", live_after - live);
    // What the system's allocator keeps for threads that are gone goes up and down by 20 MB; a leak of one generation
    // for each swap would be hundreds.
    assert!(rss_after < rss + (96 << 20), "{} bytes more resident", rss_after - rss);
}

/// Generations that differ in some tables alone, and in model and tables.
#[test]
fn tables_and_model_change_as_one() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(41);
    let names = ["a", "a with other tables", "b", "b with other tables"];
    let mut specs = Vec::new();
    for pair in names.chunks(2) {
        let mut spec = model(&mut random, Wants { similarities: true, ..Wants::default() });
        let mut tables = plain_tables::enrich(&mut random, &mut spec);
        plain_tables::write(&bundles, pair[0], &spec, &tables);
        for table in tables.iter_mut().step_by(2) {
            // The rows change keys.
            let (keys, rows): (Vec<_>, Vec<_>) = table.rows.drain().unzip();
            table.rows = keys.into_iter().zip(rows.into_iter().cycle().skip(1)).collect();
        }
        plain_tables::write(&bundles, pair[1], &spec, &tables);
        specs.extend([spec.clone(), spec]);
    }
    // Small overlays: each swap between the models makes new ones.
    let mut options = options("portable");
    options.overlay_rows = 64;
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    let cases: Vec<_> = (0..12)
        .map(|i| {
            let case = case(&mut random, &specs[i % 4].schema, [1, 5, 13, 40][i / 3], &engine);
            plain_tables::ask(&mut random, &case)
        })
        .collect();
    let mut expected = Expected::new();
    let mut quiet = scorer(&engine, 64);
    for name in names {
        // Opened by itself, where nothing is shared, it has the same id.
        let alone = Engine::open(&bundles.path(name), &options).unwrap();
        let id = engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
        assert_eq!(alone.generation().unwrap().id(), id);
        let outputs = cases.iter().map(|c| (score(&mut quiet, c).unwrap(), decide(&mut quiet, c).unwrap()));
        expected.insert(id, outputs.collect());
    }
    assert_eq!(expected.len(), 4);
    let told: Vec<_> = expected.values().map(|all| all.iter().map(|(s, _)| s.bits()).collect::<Vec<_>>()).collect();
    assert!((0..4).all(|i| (0..i).all(|j| told[i] != told[j])), "the generations do not differ");
    readers_and_publisher(&bundles, &names, &engine, &cases, &expected, (SWAPS / 10, 20));
    drop(engine);
    assert_eq!(mappings(bundles.root()), 0);
}

#[test]
fn files_replaced_by_rename_stay_mapped_as_they_were() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(31);
    let specs: Vec<_> = (0..2).map(|_| model(&mut random, Wants::default())).collect();
    let first = bundles.write("live", &specs[0]);
    let engine = Engine::open(&bundles.path("live"), &options("portable")).unwrap();
    let mut scorer = scorer(&engine, 64);
    let case = case(&mut random, &specs[0].schema, 30, &engine);
    let before = score(&mut scorer, &case).unwrap();
    // The whole bundle, and then one file by itself.
    let second = bundles.write("live", &specs[1]);
    assert_ne!(first, second);
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), before.bits());
    let beside = bundles.path("beside");
    fs::write(&beside, b"something else").unwrap();
    fs::rename(&beside, bundles.path("live").join(MODEL_FILE)).unwrap();
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), before.bits());
    let error = engine.stage(&bundles.path("live")).err().unwrap();
    assert!(error.message.contains(MODEL_FILE), "{}", error.message);
    bundles.write("live", &specs[1]);
    assert_eq!(engine.stage(&bundles.path("live")).unwrap().activate().unwrap(), second);
    assert_eq!(score(&mut scorer, &case).unwrap().outcome.generation, second);
    engine.rollback().unwrap();
    let after = score(&mut scorer, &case).unwrap();
    assert_eq!((after.outcome, after.bits()), (before.outcome, before.bits()));
    fs::remove_dir_all(bundles.path("live")).unwrap();
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), before.bits());
}

#[test]
fn a_copy_survives_truncation_of_its_file() {
    let _alone = alone();
    let bundles = Bundles::new();
    let mut random = Random(32);
    let spec = model(&mut random, Wants::default());
    bundles.write("a", &spec);
    let mut options = options("portable");
    options.mode = OpenMode::Copy;
    let engine = Engine::open(&bundles.path("a"), &options).unwrap();
    assert_eq!(mappings(bundles.root()), 0);
    let mut scorer = scorer(&engine, 64);
    let case = case(&mut random, &spec.schema, 30, &engine);
    let before = score(&mut scorer, &case).unwrap();
    // In place: a map of this file would kill the process at the next read past its end.
    let mut file = File::options().write(true).truncate(true).open(bundles.path("a").join(MODEL_FILE)).unwrap();
    file.write_all(b"ADCLICK").unwrap();
    file.sync_all().unwrap();
    let after = score(&mut scorer, &case).unwrap();
    assert_eq!((after.outcome, after.bits()), (before.outcome, before.bits()));
    assert!(engine.stage(&bundles.path("a")).is_err());
    assert_eq!(score(&mut scorer, &case).unwrap().bits(), before.bits());
}
