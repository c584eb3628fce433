//! A bundle that is replaced under its name: there is one at every moment, and whoever opens it gets one of the two, whole.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

use adclick::builder::infer::Kernel;
use adclick::builder::live::{Cancel, Generation, Opening};
use adclick::{Engine, Status};
use testkit::common::{Bundles, Random, Wants, model, options};

/// Whether two directories can be exchanged in one step here.
#[cfg(target_os = "linux")]
fn exchanges(at: &std::path::Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let [one, other] = ["one", "other"].map(|name| at.join(name));
    for path in [&one, &other] {
        std::fs::create_dir(path).unwrap();
    }
    let done = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).is_ok();
    for path in [&one, &other] {
        std::fs::remove_dir(path).unwrap();
    }
    done
}

#[cfg(not(target_os = "linux"))]
fn exchanges(_: &std::path::Path) -> bool {
    false
}

#[test]
fn there_is_a_whole_bundle_at_every_moment() {
    let bundles = Bundles::new();
    let directory = bundles.path(".");
    if !exchanges(&directory) {
        eprintln!("skipped: {} cannot exchange directories in one step", directory.display());
        return;
    }
    let mut random = Random(3);
    let specs = [0, 1].map(|_| model(&mut random, Wants::default()));
    let generations = [0, 1].map(|i| bundles.write("a", &specs[i]));
    assert_ne!(generations[0], generations[1]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let mut seen = [0; 2];
            while !stop.load(Ordering::Relaxed) || seen.contains(&0) {
                let engine = Engine::open(&bundles.path("a"), &options(Kernel::detect().name()))
                    .expect("there is a whole bundle");
                let at = generations.iter().position(|&g| g == engine.generation().unwrap().id());
                seen[at.expect("one of the two")] += 1;
            }
        });
        let mut written = 0;
        while written < 300 || (!opener.is_finished() && written < 100_000) {
            bundles.write("a", &specs[written % 2]);
            written += 1;
            stop.store(written >= 300, Ordering::Relaxed);
        }
    });
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["a"], "nothing is left beside it");
}

/// A bundle that is another one each time: opening it asks whether to go on, and it is replaced then.
#[test]
fn a_bundle_that_never_stays_is_refused() {
    let bundles = Bundles::new();
    let random = RefCell::new(Random(5));
    let another = || bundles.write("a", &model(&mut random.borrow_mut(), Wants::default()));
    another();
    let open = |replace: &dyn Fn() -> bool| {
        let how = Opening { cancel: Cancel::when(replace), ..Opening::new(Kernel::detect()) };
        Generation::open(&bundles.path("a"), how, |_| 0)
    };
    let error = open(&|| {
        another();
        false
    })
    .expect_err("it never stayed");
    assert_eq!(error.status, Status::Corrupt);
    assert!(error.message.contains("replaced again and again"), "{}", error.message);

    // Once is no reason.
    let once = Cell::new(true);
    let opened = open(&|| {
        if once.take() {
            another();
        }
        false
    });
    assert_eq!(
        opened.unwrap().id(),
        Engine::open(&bundles.path("a"), &options("portable")).unwrap().generation().unwrap().id()
    );
    // Called off, it ends.
    assert_eq!(open(&|| true).expect_err("called off").status, Status::Closed);
}
