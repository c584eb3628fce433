//! A failure leaves the live generation unchanged, and reports what failed and where.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adclick::builder::artifact::container::{ALIGN, MAGIC};
use adclick::builder::artifact::model::spec::ModelSpec;
use adclick::builder::bundle::{self, CALIBRATORS_FILE, CURRENT, MANIFEST, MODEL_FILE, Manifest, POLICY_FILE, Role};
use adclick::builder::calibrate::encode_calibrators;
use adclick::builder::calibrate::{Calibrator, Calibrators, HeadCalibrator, Platt};
use adclick::builder::hash::checksum;
use adclick::builder::infer::Kernel;
use adclick::builder::model::pack_model;
use adclick::{Engine, Refusal, Status};
use testkit::common::{Bundles, Case, Random, Scores, Wants, case, decide, model, options, score, scorer};

/// An engine on bundle `live` of three files, and what it answers.
struct Live {
    bundles: Bundles,
    engine: Engine,
    spec: ModelSpec,
    case: Case,
    scores: Scores,
}

const POLICY: &str = "squash = 0.9\nscore_floor_micros = 1\n";

fn calibrators(slope: f64) -> Vec<u8> {
    let platt = Calibrator::Platt(Platt::new(slope, 0.1).unwrap());
    let head = HeadCalibrator::new(1.0, platt).unwrap();
    encode_calibrators(&Calibrators { ctr: head.clone(), cvr: head, ..Calibrators::default() })
}

fn write(path: &std::path::Path, model: &[u8], slope: f64) -> u64 {
    let calibrators = calibrators(slope);
    let files = [
        (Role::Model, MODEL_FILE, model),
        (Role::Calibrators, CALIBRATORS_FILE, calibrators.as_slice()),
        (Role::Policy, POLICY_FILE, POLICY.as_bytes()),
    ];
    bundle::write(path, &files, true).unwrap()
}

impl Live {
    fn new(seed: u64) -> Self {
        let bundles = Bundles::new();
        let mut random = Random(seed);
        let spec = model(&mut random, Wants::default());
        write(&bundles.path("live"), &pack_model(&spec).unwrap(), 0.8);
        let engine = Engine::open(&bundles.path("live"), &options("portable")).unwrap();
        let case = case(&mut random, &spec.schema, 30, &engine);
        let scores = score(&mut scorer(&engine, 64), &case).unwrap();
        Self { bundles, engine, spec, case, scores }
    }

    /// A fresh good bundle to spoil. No file of it is one that is live: those would be shared and not read.
    fn bundle(&self) -> PathBuf {
        let path = self.bundles.path("next");
        let spec = ModelSpec { provenance: "made_by = \"another run\"\n".to_owned(), ..self.spec.clone() };
        write(&path, &pack_model(&spec).unwrap(), 0.5);
        path
    }

    /// Staging fails with this status and a message that has all of these parts, and what is live answers as before.
    fn refuses(&self, bundle: &std::path::Path, status: Status, parts: &[&str]) -> String {
        let error = self.engine.stage(bundle).err().expect("staging should have failed");
        assert_eq!(error.status, status, "{}", error.message);
        for part in parts {
            assert!(error.message.contains(part), "`{part}` is not in: {}", error.message);
        }
        self.serves();
        error.message
    }

    fn serves(&self) {
        let scores = score(&mut scorer(&self.engine, 64), &self.case).unwrap();
        assert_eq!((scores.outcome, scores.bits()), (self.scores.outcome, self.scores.bits()));
    }
}

/// Rewrites a bundle's manifest for its files as they are now.
fn renew_manifest(bundle: &std::path::Path) {
    let mut manifest = Manifest::read(bundle).unwrap();
    for entry in &mut manifest.files {
        let bytes = fs::read(bundle.join(&entry.name)).unwrap();
        (entry.bytes, entry.xxh3) = (bytes.len() as u64, checksum(&bytes));
    }
    fs::write(bundle.join(MANIFEST), manifest.to_toml()).unwrap();
}

#[test]
fn damaged_files_are_named_and_what_is_live_stays() {
    let live = Live::new(41);
    for file in [MODEL_FILE, CALIBRATORS_FILE, POLICY_FILE] {
        let next = live.bundle();
        let path = next.join(file);
        let good = fs::read(&path).unwrap();
        // One bit, anywhere.
        for at in [0, good.len() / 3, good.len() / 2, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            live.refuses(&next, Status::Corrupt, &[path.to_str().unwrap(), "checksum", "copy the bundle again"]);
        }
        for len in [0, 1, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..len]).unwrap();
            live.refuses(&next, Status::Corrupt, &[path.to_str().unwrap(), &format!("{len} bytes")]);
        }
        fs::write(&path, [&good[..], b"\0"].concat()).unwrap();
        live.refuses(&next, Status::Corrupt, &[path.to_str().unwrap()]);
        fs::remove_file(&path).unwrap();
        live.refuses(&next, Status::Io, &[path.to_str().unwrap(), "the manifest lists it: copy the bundle whole"]);
        fs::write(&path, &good).unwrap();
        live.engine.stage(&next).unwrap();
    }
    let next = live.bundle();
    let manifest = next.join(MANIFEST);
    let text = fs::read_to_string(&manifest).unwrap();
    for (spoilt, status) in [
        (text.replace("format = 1", "format = 2"), Status::Unsupported),
        (text.replace("role = \"policy\"", "role = \"prophecy\""), Status::Unsupported),
        (text.replace(POLICY_FILE, "../auction.toml"), Status::Corrupt),
        (text.replace("bytes = ", "bytes = 1"), Status::Corrupt),
        (text.replace("role = \"policy\"", "role = \"model\""), Status::Corrupt),
        (text[..text.len() / 2].to_owned(), Status::Corrupt),
        (String::new(), Status::Corrupt),
    ] {
        assert_ne!(spoilt, text);
        fs::write(&manifest, spoilt).unwrap();
        live.refuses(&next, status, &[manifest.to_str().unwrap()]);
    }
    fs::write(&manifest, text.replacen("role = ", "role ", 1)).unwrap();
    live.refuses(&next, Status::Corrupt, &[manifest.to_str().unwrap(), ": line 5: "]);
    fs::remove_file(&manifest).unwrap();
    // Also the directory that bundles stand in, and a file.
    let found_none = "is neither a bundle (a directory with manifest.toml) nor a directory of bundles (with CURRENT)";
    for path in [next.clone(), live.bundles.path("nowhere"), next.parent().unwrap().to_owned(), next.join(MODEL_FILE)] {
        live.refuses(&path, Status::Io, &[path.to_str().unwrap(), found_none]);
    }
}

/// Damage that the manifest does not show: files whose sums are right and whose content is not.
#[test]
fn wrong_content_is_refused_by_what_it_says() {
    let live = Live::new(42);
    let next = live.bundle();
    let path = next.join(MODEL_FILE);
    let good = fs::read(&path).unwrap();
    let spoil = |bytes: Vec<u8>, status: Status, parts: &[&str]| {
        fs::write(&path, bytes).unwrap();
        renew_manifest(&next);
        live.refuses(&next, status, &[&[path.to_str().unwrap()], parts].concat());
    };
    let mut newer = good.clone();
    newer[MAGIC.len()] = 9;
    spoil(newer, Status::Unsupported, &["format version 9", "update the library"]);
    let mut bit = good.clone();
    *bit.last_mut().unwrap() ^= 1;
    spoil(bit, Status::Corrupt, &["offset"]);
    spoil(good[..good.len() - ALIGN].to_vec(), Status::Corrupt, &["cut"]);
    spoil(good[..10].to_vec(), Status::Corrupt, &["header"]);
    spoil(Vec::new(), Status::Corrupt, &["header"]);
    spoil(calibrators(0.5), Status::Corrupt, &["artifact kind"]);
    fs::write(&path, &good).unwrap();
    let policy = next.join(POLICY_FILE);
    for (text, part) in
        [("squash = 2.0\n", "squash"), ("pricing = \"second\"\n", "pricing"), ("\u{0}", ""), ("a = 1", "a")]
    {
        fs::write(&policy, text).unwrap();
        renew_manifest(&next);
        let error = live.engine.stage(&next).err().unwrap();
        assert!(error.message.contains(policy.to_str().unwrap()) && error.message.contains(part), "{}", error.message);
        assert!(matches!(error.status, Status::Corrupt | Status::Unsupported), "{:?}", error.status);
        live.serves();
    }
    fs::write(&policy, [0xff, 0xfe]).unwrap();
    renew_manifest(&next);
    live.refuses(&next, Status::Corrupt, &[policy.to_str().unwrap(), "UTF-8"]);
}

/// Puts another expected logit into the file's first golden request and makes every checksum right again.
fn falsify_golden(file: &mut [u8], logit: f64) -> f64 {
    let u64_at = |file: &[u8], at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let sections = u32::from_le_bytes(file[24..28].try_into().unwrap()) as usize;
    let entry = (0..sections).map(|i| 64 + 64 * i).find(|&at| file[at..].starts_with(b"golden\0")).unwrap();
    let (offset, len) = (u64_at(file, entry + 24) as usize, u64_at(file, entry + 32) as usize);
    // count u32; time i64, offset i32, values u32; then the logits.
    let at = offset + 4 + 16;
    let old = f64::from_bits(u64_at(file, at));
    file[at..at + 8].copy_from_slice(&logit.to_le_bytes());
    let sum = checksum(&file[offset..offset + len]);
    file[entry + 40..entry + 48].copy_from_slice(&sum.to_le_bytes());
    let directory = checksum(&file[64..64 + 64 * sections]);
    file[32..40].copy_from_slice(&directory.to_le_bytes());
    let header = checksum(&file[..56]);
    file[56..64].copy_from_slice(&header.to_le_bytes());
    old
}

#[test]
fn another_golden_result_is_refused_with_what_was_expected_and_what_came_out() {
    for kernel in Kernel::available() {
        let mut live = Live::new(43);
        live.engine = Engine::open(&live.bundles.path("live"), &options(kernel.name())).unwrap();
        live.scores = score(&mut scorer(&live.engine, 64), &live.case).unwrap();
        let next = live.bundle();
        let path = next.join(MODEL_FILE);
        let good = fs::read(&path).unwrap();
        let mut bytes = good.clone();
        let old = falsify_golden(&mut bytes, 0.0);
        // Off by half a thousandth.
        let false_logit = old + 5e-4 * old.abs().max(1.0);
        falsify_golden(&mut bytes, false_logit);
        fs::write(&path, &bytes).unwrap();
        renew_manifest(&next);
        let expected = format!("expected {false_logit}, got ");
        let kernel = format!("on kernel {}", kernel.name());
        let parts = [path.to_str().unwrap(), "golden request 0", "pCTR", &expected, &kernel];
        let message = live.refuses(&next, Status::GoldenMismatch, &parts);
        let got = message.split("got ").nth(1).unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
        assert!((got - old).abs() <= 1e-5 * old.abs().max(1.0), "{got}, {old}");
        // What is right is taken, so the falsified logit was what failed.
        falsify_golden(&mut bytes, old);
        assert!(bytes == good);
        fs::write(&path, &bytes).unwrap();
        renew_manifest(&next);
        live.engine.stage(&next).unwrap();
        // An engine does not open on such a bundle either.
        falsify_golden(&mut bytes, false_logit);
        fs::write(&path, &bytes).unwrap();
        renew_manifest(&next);
        let error = Engine::open(&next, &options("portable")).err().unwrap();
        assert_eq!(error.status, Status::GoldenMismatch);
    }
}

#[test]
fn a_model_beyond_the_headroom_is_refused_and_says_so() {
    let bundles = Bundles::new();
    let mut random = Random(44);
    let small = model(&mut random, Wants { wide: true, ..Wants::default() });
    let mut large = None;
    while large.is_none() {
        let spec = model(&mut random, Wants { wide: true, ..Wants::default() });
        large = (spec.schema.layout().width > 2 * small.schema.layout().width + 2).then_some(spec);
    }
    bundles.write("small", &small);
    bundles.write("large", large.as_ref().unwrap());
    let open = |headroom: f32| {
        let mut options = options("portable");
        options.headroom = headroom;
        Engine::open(&bundles.path("small"), &options)
    };
    let engine = open(1.0).unwrap();
    let case = case(&mut random, &small.schema, 30, &engine);
    let before = score(&mut scorer(&engine, 64), &case).unwrap();
    let error = engine.stage(&bundles.path("large")).err().unwrap();
    assert_eq!(error.status, Status::Unsupported);
    for part in ["large", "headroom", "needs"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
    assert_eq!(score(&mut scorer(&engine, 64), &case).unwrap().bits(), before.bits());
    // With room the scorers made before serve it.
    let engine = open(100.0).unwrap();
    let mut early = scorer(&engine, 64);
    let id = engine.stage(&bundles.path("large")).unwrap().activate().unwrap();
    assert_eq!(score(&mut early, &case).unwrap().outcome.generation, id);
    for headroom in [0.0, 0.99, -1.0, f32::NAN, f32::INFINITY, 1001.0] {
        assert_eq!(open(headroom).err().unwrap().status, Status::InvalidArgument);
    }
}

#[test]
fn one_rollback_leads_back_and_a_second_nowhere() {
    let live = Live::new(45);
    let none = |engine: &Engine| assert_eq!(engine.rollback().unwrap_err().status, Status::NoPrevious);
    none(&live.engine);
    let first = live.engine.generation().unwrap().id();
    let second = live.engine.stage(&live.bundle()).unwrap();
    assert_ne!(second.generation(), first);
    live.serves();
    second.activate().unwrap();
    let scores = score(&mut scorer(&live.engine, 64), &live.case).unwrap();
    // The same model with other calibrators: other probabilities.
    assert_ne!(scores.bits(), live.scores.bits());
    assert_eq!(live.engine.rollback().unwrap(), first);
    live.serves();
    none(&live.engine);
    live.serves();
    // A staged generation that is dropped leaves no trace.
    drop(live.engine.stage(&live.bundle()).unwrap());
    none(&live.engine);
    live.serves();
}

#[test]
fn current_is_followed_and_a_rollback_is_not_undone() {
    let bundles = Bundles::new();
    let mut random = Random(46);
    let spec = model(&mut random, Wants::default());
    let model = pack_model(&spec).unwrap();
    let ids = ["a", "b", "c"].map(|name| write(&bundles.path(name), &model, f64::from(name.as_bytes()[0]) / 100.0));
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &options("portable")).unwrap();
    let live = || engine.generation().unwrap().id();
    assert_eq!((live(), engine.poll().unwrap()), (ids[0], None));
    bundle::publish(&bundles.path("b")).unwrap();
    assert_eq!(live(), ids[0]);
    assert_eq!((engine.poll().unwrap(), live(), engine.poll().unwrap()), (Some(ids[1]), ids[1], None));
    // Back by hand: the next looks leave it.
    engine.rollback().unwrap();
    assert_eq!((engine.poll().unwrap(), live()), (None, ids[0]));
    // Published again or another: followed.
    bundle::publish(&bundles.path("c")).unwrap();
    assert_eq!((engine.poll().unwrap(), live()), (Some(ids[2]), ids[2]));
    bundle::publish(&bundles.path("b")).unwrap();
    assert_eq!((engine.poll().unwrap(), live()), (Some(ids[1]), ids[1]));
    // What is live already is not staged again: a rollback would lead from it to itself.
    engine.stage(&bundles.path("c")).unwrap().activate().unwrap();
    bundle::publish(&bundles.path("c")).unwrap();
    assert_eq!((engine.poll().unwrap(), live(), engine.rollback().unwrap()), (None, ids[2], ids[1]));
    // New content under the same name is news too.
    let renewed = write(&bundles.path("c"), &model, 1.5);
    assert_eq!((engine.poll().unwrap(), live()), (Some(renewed), renewed));
    engine.close();
    assert_eq!(engine.poll().unwrap_err().status, Status::Closed);
}

#[test]
fn two_looks_at_once_activate_once() {
    let bundles = Bundles::new();
    let mut random = Random(47);
    let model = pack_model(&model(&mut random, Wants::default())).unwrap();
    let first = write(&bundles.path("a"), &model, 0.5);
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &options("portable")).unwrap();
    let mut last = first;
    for i in 0..30 {
        let name = ["b", "c"][i % 2];
        let id = write(&bundles.path(name), &model, 1.0 + i as f64);
        bundle::publish(&bundles.path(name)).unwrap();
        let found = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| found.fetch_add(u64::from(engine.poll().unwrap() == Some(id)), Ordering::SeqCst));
            }
        });
        assert_eq!(found.into_inner(), 1);
        assert_eq!(engine.rollback().unwrap(), last);
        engine.stage(&bundles.path(name)).unwrap().activate().unwrap();
        last = id;
    }
}

#[test]
fn a_current_that_leads_nowhere_is_told_and_changes_nothing() {
    let bundles = Bundles::new();
    let mut random = Random(48);
    let spec = model(&mut random, Wants::default());
    let model = pack_model(&spec).unwrap();
    let first = write(&bundles.path("a"), &model, 0.5);
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &options("portable")).unwrap();
    let case = case(&mut random, &spec.schema, 20, &engine);
    let before = score(&mut scorer(&engine, 64), &case).unwrap();
    let current = bundles.path(CURRENT);
    let fails = |status: Status, part: &str| {
        let error = engine.poll().unwrap_err();
        assert_eq!(error.status, status, "{}", error.message);
        assert!(error.message.contains(part), "`{part}` is not in: {}", error.message);
        assert_eq!(engine.follow_state().unwrap().error, Some(error));
        assert_eq!(score(&mut scorer(&engine, 64), &case).unwrap().bits(), before.bits());
        assert_eq!(engine.generation().unwrap().id(), first);
    };
    let error = engine.stage(bundles.root()).err().unwrap();
    assert!(error.message.contains("is a directory of bundles, expected one of them"), "{error}");
    for garbage in ["", "\n", "..", "../a", "a/b", "/etc/passwd", "a\nb\n"] {
        fs::write(&current, garbage).unwrap();
        fails(Status::Corrupt, current.to_str().unwrap());
    }
    fs::write(&current, [0xff, 0xfe, 0x00]).unwrap();
    fails(Status::Io, current.to_str().unwrap());
    fs::write(&current, "gone\n").unwrap();
    fails(Status::Io, "CURRENT names \"gone\", which is not there");
    fs::remove_file(&current).unwrap();
    fails(Status::Io, current.to_str().unwrap());
    // A bundle that is not good, then made good under the same name: the next look tries again.
    write(&bundles.path("b"), &model, 0.7);
    let path = bundles.path("b").join(MODEL_FILE);
    bundle::publish(&bundles.path("b")).unwrap();
    fs::write(&path, b"nothing").unwrap();
    fails(Status::Corrupt, path.to_str().unwrap());
    fails(Status::Corrupt, path.to_str().unwrap());
    let second = write(&bundles.path("b"), &model, 0.7);
    assert_eq!(engine.poll().unwrap(), Some(second));
    assert_eq!((engine.follow_state().unwrap().error, engine.generation().unwrap().id()), (None, second));
    // Publishing what is no bundle is refused before CURRENT changes.
    fs::create_dir(bundles.path("empty")).unwrap();
    assert_eq!(bundle::publish(&bundles.path("empty")).unwrap_err().status, Status::Io);
    assert_eq!(bundle::current(bundles.root()).unwrap(), bundles.path("b"));
    // An engine on a bundle has nothing to follow.
    let alone = Engine::open(&bundles.path("b"), &options("portable")).unwrap();
    assert_eq!(alone.poll().unwrap_err().status, Status::InvalidArgument);
    let mut following = options("portable");
    following.follow = Some(Duration::from_millis(5));
    assert!(Engine::open(&bundles.path("b"), &following).err().unwrap().message.contains(CURRENT));
    following.follow = Some(Duration::ZERO);
    assert!(Engine::open(bundles.root(), &following).err().unwrap().message.contains("interval"));
}

#[test]
fn the_following_thread_follows_and_ends_with_its_engine() {
    let bundles = Bundles::new();
    let mut random = Random(49);
    let model = pack_model(&model(&mut random, Wants::default())).unwrap();
    write(&bundles.path("a"), &model, 0.5);
    bundle::publish(&bundles.path("a")).unwrap();
    let mut following = options("portable");
    following.follow = Some(Duration::from_millis(2));
    let engine = Engine::open(bundles.root(), &following).unwrap();
    let becomes = |what: &str, is: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(60);
        while !is() {
            assert!(Instant::now() < end, "{what} did not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for i in 0..5 {
        let name = format!("next_{i}");
        let id = write(&bundles.path(&name), &model, 1.0 + f64::from(i));
        bundle::publish(&bundles.path(&name)).unwrap();
        becomes(&name, &|| engine.generation().unwrap().id() == id);
    }
    fs::write(bundles.path(CURRENT), "nothing\n").unwrap();
    becomes("an error", &|| engine.follow_state().unwrap().error.is_some_and(|e| e.message.contains("nothing")));
    bundle::publish(&bundles.path("a")).unwrap();
    becomes("the first bundle", &|| engine.follow_state().unwrap().error.is_none());
    // A thread that was joined may still be listed for a moment as exiting (PF_EXITING among its flags).
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let stats = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap_or_default());
        let lives = |stat: &String| {
            let fields = stat.split_once("(adclick-follow) ").map(|(_, fields)| fields.split(' ').nth(6));
            fields.is_some_and(|flags| flags.unwrap().parse::<u32>().unwrap() & 4 == 0)
        };
        stats.filter(lives).count()
    };
    assert!(threads() >= 1);
    drop(engine);
    assert_eq!(threads(), 0);
}

#[test]
fn closing_lets_requests_under_way_end_well() {
    let live = Live::new(50);
    let serving = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut scorer = scorer(&live.engine, 64);
                serving.fetch_add(1, Ordering::SeqCst);
                loop {
                    let late = stop.load(Ordering::SeqCst);
                    match score(&mut scorer, &live.case) {
                        Ok(scores) => {
                            assert!(!late, "a request began after the engine was closed");
                            assert_eq!(scores.bits(), live.scores.bits());
                        }
                        Err(refusal) => {
                            assert_eq!(refusal, Refusal::Closed);
                            assert_eq!(decide(&mut scorer, &live.case), Err(Refusal::Closed));
                            break;
                        }
                    }
                }
            });
        }
        while serving.load(Ordering::SeqCst) < 4 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(50));
        let generation = live.engine.generation().unwrap();
        let staged = live.engine.stage(&live.bundle()).unwrap();
        live.engine.close();
        stop.store(true, Ordering::SeqCst);
        // Only this test still holds it.
        assert_eq!(std::sync::Arc::strong_count(&generation), 1);
        assert_eq!(staged.activate().unwrap_err().status, Status::Closed);
    });
    live.engine.close();
    let closed = |status: Status| assert_eq!(status, Status::Closed);
    closed(live.engine.stage(&live.bundle()).err().unwrap().status);
    closed(live.engine.rollback().unwrap_err().status);
    closed(live.engine.generation().unwrap_err().status);
    closed(live.engine.scorer(adclick::ScorerLimits::default()).err().unwrap().status);
}

#[test]
fn leftovers_of_an_interrupted_write_do_no_harm() {
    let live = Live::new(51);
    let (pid, path) = (std::process::id(), live.bundles.path("next"));
    for leftover in [format!(".next.{pid}"), format!(".next.{pid}.old"), ".next.1".to_owned()] {
        let directory = live.bundles.path(&leftover);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(MODEL_FILE), b"half a mod").unwrap();
        fs::write(directory.join("stray"), b"").unwrap();
    }
    let model = pack_model(&live.spec).unwrap();
    let id = write(&path, &model, 0.5);
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, [POLICY_FILE, CALIBRATORS_FILE, MANIFEST, MODEL_FILE]);
    assert_eq!(live.engine.stage(&path).unwrap().activate().unwrap(), id);
    // And without being asked to, nothing is replaced.
    let error = bundle::write(&path, &[(Role::Model, MODEL_FILE, &model)], false).unwrap_err();
    assert_eq!(error.status, Status::InvalidArgument);
    assert!(error.message.contains("exists already"), "{}", error.message);
    assert_eq!(Manifest::read(&path).unwrap().generation(), id);
}
