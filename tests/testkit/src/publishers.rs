//! Any number of publishers in one directory, killed at any moment, and engines that open and follow all the while.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use adclick::builder::bundle::{self, CALIBRATORS_FILE, CURRENT, Content, MODEL_FILE, Manifest, Role};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, Platt};
use adclick::builder::model::pack_model;
use adclick::{Engine, Options};

use crate::child;
use crate::common::{Random, Wants, model};

const NAMES: [&str; 3] = ["a", "b", "c"];
/// What an engine says when publishers leave it no moment to open a bundle in.
const NEVER_STAYS: &str = "replaced again and again";
/// Different contents of bundles.
const CONTENTS: u64 = 5;

/// Makes a directory of bundles with one of each name, `a` live. Returns it and the generations of the contents.
pub fn prepare(parent: &Path, random: &mut Random) -> (PathBuf, Vec<u64>) {
    let root = parent.join("bundles");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(parent.join("model.adc"), pack_model(&model(random, Wants::default())).unwrap()).unwrap();
    let known = (0..CONTENTS).map(|content| write(&root, NAMES[0], content)).collect();
    NAMES.iter().for_each(|name| _ = write(&root, name, 0));
    bundle::publish(&root.join(NAMES[0])).unwrap();
    (root, known)
}

/// Writes one of the contents under a name, in place of what is there. Returns its generation.
pub fn write(root: &Path, name: &str, content: u64) -> u64 {
    let head = HeadCalibrator::new(1.0, Calibrator::Platt(Platt::new(0.5 + content as f64, 0.1).unwrap())).unwrap();
    let calibrators = encode_calibrators(&Calibrators { ctr: head, ..Calibrators::default() });
    let path = root.with_file_name("model.adc");
    let mut files = vec![(Role::Model, MODEL_FILE, Content::Copy(&path))];
    // Some bundles have a file less than others.
    if content > 0 {
        files.push((Role::Calibrators, CALIBRATORS_FILE, Content::Bytes(&calibrators)));
    }
    bundle::write_files(&root.join(name), &files, true).unwrap_or_else(|e| panic!("writing {name}: {e}"))
}

/// What a publisher does until it is killed, or so often.
pub fn publish(root: &Path, seed: u64, times: Option<usize>) {
    let mut random = Random(seed);
    for _ in 0..times.unwrap_or(usize::MAX) {
        let name = NAMES[random.between(0, NAMES.len() - 1)];
        write(root, name, random.next_u64() % CONTENTS);
        bundle::publish(&root.join(name)).unwrap_or_else(|e| panic!("publishing {name}: {e}"));
    }
}

/// The part of a child: `publish ROOT SEED TIMES`, TIMES 0 for ever.
pub fn child_publishes(words: &[&str]) {
    let [root, seed, times] = words else { panic!("{words:?}") };
    let times = times.parse().unwrap();
    publish(Path::new(root), seed.parse().unwrap(), (times > 0).then_some(times));
}

fn start(root: &Path, seed: u64, times: usize, wrap: &[&str]) -> Child {
    let mut command = child::command(wrap, &format!("publish {} {seed} {times}", root.display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// `publishers` processes write and publish in one directory, each in a process-id namespace of its own where that is
/// permitted, so that all have the same id. `kills` of them are killed, each after a random while, and others take their
/// places. Meanwhile an engine is opened again and again and another one follows.
pub fn run(parent: &Path, publishers: usize, kills: usize, seed: u64) {
    let mut random = Random(seed);
    let (root, known) = prepare(parent, &mut random);
    let own = ["unshare", "--pid", "--fork", "--kill-child"];
    let wrap: &[&str] = if child::may_unshare(&own[1..]) { &own } else { &[] };
    let mut following = Options::default();
    (following.follow, following.headroom) = (Some(Duration::from_millis(3)), 100.0);
    let follower = Engine::open(&root, &following).unwrap();
    let mut running: Vec<(Child, Instant)> = Vec::new();
    let (mut killed, mut opened) = (0, 0);
    while killed < kills {
        while running.len() < publishers {
            let lives = Duration::from_micros(500 * random.between(10, 200) as u64);
            running.push((start(&root, random.next_u64(), 0, wrap), Instant::now() + lives));
        }
        match Engine::open(&root, &Options::default()) {
            Ok(engine) => assert!(known.contains(&engine.generation().unwrap().id()), "a mixed bundle"),
            Err(e) => assert!(e.message.contains(NEVER_STAYS), "there is a whole bundle at every moment: {e}"),
        }
        for name in NAMES {
            let manifest = Manifest::read(&root.join(name)).expect("no bundle is ever gone");
            assert!(known.contains(&manifest.generation()));
        }
        assert!(
            follower.follow_state().unwrap().error.is_none_or(|e| e.message.contains(NEVER_STAYS)),
            "{:?}",
            follower.follow_state().unwrap().error
        );
        opened += 1;
        let now = Instant::now();
        for (mut child, end) in std::mem::take(&mut running) {
            if now < end {
                assert!(child.try_wait().unwrap().is_none(), "{}", told(child));
                running.push((child, end));
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
            }
        }
    }
    for (mut child, _) in running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(opened > kills / 10, "{opened}");
    // Undisturbed ones end well, all with the same process id.
    let last: Vec<_> = (0..publishers).map(|i| start(&root, i as u64, 20, wrap)).collect();
    for child in last {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    drop(follower);
    // Nothing is left that the next command does not clean.
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        write(&root, "d", 1);
        let names = names(&root);
        if names == [CURRENT, "a", "b", "c", "d"] {
            break;
        }
        // A killed child of `unshare` ends a moment after it.
        assert!(Instant::now() < end, "{names:?}");
    }
}

fn told(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    format!(
        "a publisher failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What is in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The part of a child whose directory is full or cannot be written: every command fails and says where, and nothing changes.
/// `refused ROOT`.
pub fn child_is_refused(words: &[&str]) {
    let root = PathBuf::from(words[0]);
    let before = (names(&root), Manifest::read(&root.join("a")).unwrap());
    let large = vec![7; 1 << 20];
    for (name, replace) in [("a", true), ("new", false)] {
        let refused = bundle::write(&root.join(name), &[(Role::Model, MODEL_FILE, &large)], replace).unwrap_err();
        assert!(refused.message.contains(root.to_str().unwrap()), "{refused}");
        assert_eq!(refused.status, adclick::Status::Io, "{refused}");
    }
    assert_eq!((names(&root), Manifest::read(&root.join("a")).unwrap()), before);
    Engine::open(&root, &Options::default()).unwrap();
}
