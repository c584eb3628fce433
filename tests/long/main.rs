//! The long forms of tests: minutes each. `make test-long` runs them, in release and one after the other.

use std::time::{Duration, Instant};

use adclick::builder::bundle;
use testkit::{child, common, mutations, opens, publishers};

#[test]
#[ignore = "a part of the other tests, in a process of its own"]
fn in_a_child() {
    let Some(part) = child::part() else { return };
    let words: Vec<&str> = part.split(' ').collect();
    match words[..] {
        ["publish", ref rest @ ..] => publishers::child_publishes(rest),
        ["opens", ref rest @ ..] => opens::child_opens(rest),
        ["open", ref rest @ ..] => opens::child_opens_large(rest),
        _ => panic!("{part}"),
    }
}

#[test]
#[ignore = "long: make test-long"]
fn a_hundred_thousand_changed_bundles() {
    let counts = mutations::run(77, 100_000);
    println!("{counts:?}");
    assert!(counts.accepted > 5_000 && counts.refused > 30_000, "{counts:?}");
}

#[test]
#[ignore = "long: make test-long"]
fn a_hundred_thousand_engines_opened_and_closed_on_sixteen_threads() {
    let directory = child::quick_directory();
    println!("{}", child::run(&[], &format!("opens {} 100000 16", directory.path().display())));
}

/// The time is the least of five; sixteen times the bytes take at most 32 times as long.
#[test]
#[ignore = "long: make test-long"]
fn opening_takes_time_linear_in_the_files() {
    let directory = child::quick_directory();
    let root = directory.path();
    for copy in [false, true] {
        let took = [8, 128].map(|mib| {
            let bytes = opens::write_large(root, mib);
            let once = || {
                let told = child::run(&[], &format!("open {} {copy}", root.display()));
                let line = told.split("opened ").nth(1).unwrap().lines().next().unwrap().to_owned();
                let ms: f64 = line.split(' ').nth(3).unwrap().parse().unwrap();
                (ms, line)
            };
            let least = (0..5).map(|_| once()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            println!("copy {copy}: opened {}", least.1);
            (least.0 + 1.0) / bytes as f64
        });
        assert!(took[1] < 2.0 * took[0], "{took:?} ms for each byte");
    }
}

#[test]
#[ignore = "long: make test-long"]
fn two_thousand_killed_publishers() {
    publishers::run(child::quick_directory().path(), 5, 1500, 11);
    publishers::run(tempfile::tempdir().unwrap().path(), 6, 500, 12);
}

/// What the following thread takes of a core while it follows a bundle that was refused: under a thousandth.
#[test]
#[ignore = "long: make test-long"]
fn what_a_follower_of_a_refused_bundle_costs() {
    let bundles = common::Bundles::new();
    let mut random = common::Random(5);
    let specs = [0, 1].map(|_| common::model(&mut random, common::Wants::default()));
    bundles.write("a", &specs[0]);
    bundle::publish(&bundles.path("a")).unwrap();
    for interval in [1, 10, 100, 1000].map(Duration::from_millis) {
        let mut options = common::options("portable");
        options.follow = Some(interval);
        bundle::publish(&bundles.path("a")).unwrap();
        let engine = adclick::Engine::open(bundles.root(), &options).unwrap();
        bundles.write("bad", &specs[1]);
        let model = bundles.path("bad").join(bundle::MODEL_FILE);
        let len = std::fs::metadata(&model).unwrap().len() as usize;
        std::fs::write(model, vec![0; len]).unwrap();
        bundle::publish(&bundles.path("bad")).unwrap();
        while engine.follow_state().unwrap().error.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Until it looks as seldom as it will.
        std::thread::sleep(Duration::from_secs(3));
        let (before, begin) = (spent(), Instant::now());
        std::thread::sleep(Duration::from_secs(10));
        let share = (spent() - before).as_secs_f64() / begin.elapsed().as_secs_f64();
        println!("looking every {interval:?}: {:.4} % of a core", 100.0 * share);
        assert!(share < 0.001, "looking every {interval:?}: {share}");
    }
}

/// Time that threads that follow have run.
fn spent() -> Duration {
    let mut all = Duration::ZERO;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
        if read("comm").trim() == "adclick-follow" {
            all += Duration::from_nanos(read("schedstat").split(' ').next().unwrap().parse().unwrap());
        }
    }
    all
}
