//! How a follower treats bad bundles: each is refused once, nothing of it is kept, and the error is reported.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use adclick::builder::bundle::{self, CURRENT, MANIFEST, MODEL_FILE, Manifest, POLICY_FILE, Role};
use adclick::builder::model::pack_model;
use adclick::{Engine, OpenMode, Status};
use testkit::common::{Bundles, Random, Wants, model, options};
use testkit::endless;

/// The number of bundles that the engine staged so far.
fn stagings(engine: &Engine) -> u64 {
    let text = engine.metrics().unwrap().to_string();
    let counts = text.lines().filter(|line| line.starts_with("adclick_stagings_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Does something that must end. A test that hangs says nothing.
fn ends<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what}: waits for ever"))
}

/// Replaces a file and dates it `hours` back: two changes in the same instant might look the same.
fn put(path: &Path, bytes: &[u8], hours: u64) {
    fs::write(path, bytes).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3600 * hours)).unwrap();
}

#[test]
fn a_refused_bundle_is_staged_once_until_it_or_current_changes() {
    let bundles = Bundles::new();
    let mut random = Random(1);
    let specs = [0, 1, 2].map(|_| model(&mut random, Wants::default()));
    bundles.write("a", &specs[0]);
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &options("portable")).unwrap();
    bundles.write("bad", &specs[1]);
    bundle::publish(&bundles.path("bad")).unwrap();
    let file = bundles.path("bad").join(MODEL_FILE);
    let good = fs::read(&file).unwrap();
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 1;
    put(&file, &damaged, 3);
    let refused = engine.poll().unwrap_err();
    assert_eq!((refused.status, stagings(&engine)), (Status::Corrupt, 1));
    for _ in 0..100 {
        assert_eq!(engine.poll().unwrap_err(), refused);
    }
    assert_eq!((stagings(&engine), engine.follow_state().unwrap().error), (1, Some(refused.clone())));
    // A file of it changes: as long as before, and still no good.
    damaged[good.len() / 3] ^= 1;
    put(&file, &damaged, 2);
    assert_eq!((engine.poll().unwrap_err().status, stagings(&engine)), (Status::Corrupt, 2));
    // CURRENT goes elsewhere and comes back.
    bundle::publish(&bundles.path("a")).unwrap();
    assert_eq!((engine.poll().unwrap(), engine.follow_state().unwrap().error, stagings(&engine)), (None, None, 2));
    bundle::publish(&bundles.path("bad")).unwrap();
    assert_eq!((engine.poll().unwrap_err().status, stagings(&engine)), (Status::Corrupt, 2));
    // It is mended.
    put(&file, &good, 1);
    assert!(engine.poll().unwrap().is_some());
    // A missing file is reported before the others are read, and found once it exists.
    bundles.write("late", &specs[2]);
    bundle::publish(&bundles.path("late")).unwrap();
    fs::rename(bundles.path("late").join(MODEL_FILE), bundles.path("later")).unwrap();
    let staged = stagings(&engine);
    assert_eq!(engine.poll().unwrap_err().status, Status::Io);
    assert_eq!(stagings(&engine), staged + 1);
    fs::rename(bundles.path("later"), bundles.path("late").join(MODEL_FILE)).unwrap();
    assert!(engine.poll().unwrap().is_some());
}

#[test]
fn a_following_engine_stages_a_refused_bundle_once() {
    let bundles = Bundles::new();
    let mut random = Random(2);
    bundles.write("a", &model(&mut random, Wants::default()));
    bundle::publish(&bundles.path("a")).unwrap();
    let mut following = options("portable");
    following.follow = Some(Duration::from_millis(1));
    let engine = Engine::open(bundles.root(), &following).unwrap();
    let spec = model(&mut random, Wants::default());
    let packed = pack_model(&spec).unwrap();
    let files = [(Role::Model, MODEL_FILE, packed.as_slice()), (Role::Policy, POLICY_FILE, b"squash = 2\n".as_slice())];
    bundle::write(&bundles.path("bad"), &files, false).unwrap();
    bundle::publish(&bundles.path("bad")).unwrap();
    until("the refusal", || engine.follow_state().unwrap().error.is_some());
    std::thread::sleep(Duration::from_millis(200));
    // Once more when its files are a second old.
    assert!((1..=2).contains(&stagings(&engine)));
    // A value out of its range in a file is no argument of anybody's.
    let error = engine.follow_state().unwrap().error.unwrap();
    assert!(error.status == Status::Corrupt && error.message.contains("squash"), "{error}");
    // The same bundle, good: it does not wait long for that.
    let id = bundles.write("bad", &spec);
    until("the good one", || engine.generation().unwrap().id() == id);
}

#[test]
fn nothing_is_kept_of_what_was_refused() {
    let bundles = Bundles::new();
    let mut random = Random(3);
    let spec = model(&mut random, Wants::default());
    bundles.write("a", &spec);
    let engine = Engine::open(&bundles.path("a"), &options("portable")).unwrap();
    let known = engine.feature("the next name").unwrap();
    // Bundles with names of their own, refused for a file that is read last, or for their size.
    let mut small = options("portable");
    small.headroom = 1.0;
    let engine_without_room = Engine::open(&bundles.path("a"), &small).unwrap();
    for i in 0..30 {
        let mut renamed = spec.clone();
        for (n, feature) in renamed.schema.features.iter_mut().enumerate() {
            if feature.source != adclick::builder::schema::Source::Time {
                (feature.name, feature.input) = (format!("{i}/{n}"), format!("{i}/{n} input"));
            }
        }
        let packed = pack_model(&renamed).unwrap();
        let files =
            [(Role::Model, MODEL_FILE, packed.as_slice()), (Role::Policy, POLICY_FILE, b"squash = 2\n".as_slice())];
        let path = bundles.path(&format!("bad {i}"));
        bundle::write(&path, &files, false).unwrap();
        assert_eq!(engine.stage(&path).err().unwrap().status, Status::Corrupt);
    }
    let next = engine_without_room.feature("the next name").unwrap();
    for i in 0..30 {
        let mut large = model(&mut random, Wants::default());
        if large.schema.layout().width <= spec.schema.layout().width {
            continue;
        }
        large.schema.features.iter_mut().filter(|f| f.source != adclick::builder::schema::Source::Time).for_each(|f| {
            f.input = format!("{} of {i}", f.input);
        });
        bundles.write("large", &large);
        assert_eq!(engine_without_room.stage(&bundles.path("large")).err().unwrap().status, Status::Unsupported);
    }
    assert_eq!(engine_without_room.feature("the name after it").unwrap(), next + 1);
    assert_eq!(engine.feature("the name after it").unwrap(), known + 1);
    assert_eq!(engine.feature("the next name").unwrap(), known);
}

#[test]
fn a_live_bundle_whose_files_are_gone_is_told() {
    let bundles = Bundles::new();
    let spec = model(&mut Random(4), Wants::default());
    let id = bundles.write("a", &spec);
    bundle::publish(&bundles.path("a")).unwrap();
    let engine = Engine::open(bundles.root(), &options("portable")).unwrap();
    // The manifest alone, as a copy that broke off leaves it.
    fs::create_dir(bundles.path("b")).unwrap();
    fs::copy(bundles.path("a").join(MANIFEST), bundles.path("b").join(MANIFEST)).unwrap();
    assert_eq!(bundle::publish(&bundles.path("b")).unwrap_err().status, Status::Io);
    fs::write(bundles.path(CURRENT), "b\n").unwrap();
    let told = engine.poll().unwrap_err();
    assert_eq!(told.status, Status::Io);
    for part in ["could not be opened again", MODEL_FILE, "copy the bundle whole"] {
        assert!(told.message.contains(part), "`{part}` is not in: {told}");
    }
    assert_eq!((engine.follow_state().unwrap().error, engine.generation().unwrap().id()), (Some(told), id));
    // A shortened file is reported too; a whole one is not.
    fs::write(bundles.path("b").join(MODEL_FILE), b"half").unwrap();
    assert_eq!(engine.poll().unwrap_err().status, Status::Corrupt);
    fs::copy(bundles.path("a").join(MODEL_FILE), bundles.path("b").join(MODEL_FILE)).unwrap();
    assert_eq!((engine.poll().unwrap(), engine.follow_state().unwrap().error), (None, None));
}

/// Puts something that is no regular file in the place of one.
fn spoil(path: &Path, how: &str) {
    fs::remove_file(path).unwrap();
    match how {
        "a FIFO" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "a socket" => drop(UnixListener::bind(path).unwrap()),
        "a device" => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        _ => fs::create_dir(path).unwrap(),
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    for how in ["a FIFO", "a socket", "a device", "a directory"] {
        for file in [CURRENT, MANIFEST, MODEL_FILE, POLICY_FILE] {
            let bundles = Bundles::new();
            let mut random = Random(5);
            let packed = pack_model(&model(&mut random, Wants::default())).unwrap();
            let files = [
                (Role::Model, MODEL_FILE, packed.as_slice()),
                (Role::Policy, POLICY_FILE, b"squash = 0.5\n".as_slice()),
            ];
            bundles.write("a", &model(&mut random, Wants::default()));
            bundle::publish(&bundles.path("a")).unwrap();
            let mut following = options("portable");
            following.follow = Some(Duration::from_millis(1));
            let engine = Engine::open(bundles.root(), &following).unwrap();
            bundle::write(&bundles.path("b"), &files, false).unwrap();
            let path = if file == CURRENT { bundles.path(file) } else { bundles.path("b").join(file) };
            spoil(&path, how);
            if file != CURRENT {
                fs::write(bundles.path(CURRENT), "b\n").unwrap();
            }
            let root = bundles.root().to_owned();
            let errors = ends(&format!("opening {how} as {file}"), move || {
                [OpenMode::Map, OpenMode::Copy].map(|mode| {
                    let mut options = options("portable");
                    options.mode = mode;
                    Engine::open(&root, &options).err().expect("it is refused")
                })
            });
            let what = if file == CURRENT || file == MANIFEST { how } else { "" };
            for error in errors {
                assert!(error.message.contains(path.to_str().unwrap()) && error.message.contains(what), "{error}");
                assert!(error.message.contains("regular file"), "{error}");
            }
            until("the refusal", || engine.follow_state().unwrap().error.is_some());
            ends("closing", move || engine.close());
        }
    }
}

#[test]
fn closing_calls_staging_off() {
    let bundles = Bundles::new();
    let mut random = Random(6);
    bundles.write("a", &model(&mut random, Wants::default()));
    // Many golden requests: staging takes its time.
    bundles.write("slow", &model(&mut random, Wants { goldens: 1024, ..Wants::default() }));
    let engine = std::sync::Arc::new(Engine::open(&bundles.path("a"), &options("portable")).unwrap());
    let staging = {
        let (engine, path) = (engine.clone(), bundles.path("slow"));
        std::thread::spawn(move || {
            loop {
                match engine.stage(&path) {
                    Ok(staged) => drop(staged),
                    Err(error) => return error,
                }
            }
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    engine.close();
    assert_eq!(staging.join().unwrap().status, Status::Closed);
    // More of them than any model needs are refused before they are run.
    let many = model(&mut random, Wants { goldens: 1025, ..Wants::default() });
    let refused = pack_model(&many).unwrap_err();
    assert!(refused.message.contains("1025 golden requests, at most 1024"), "{refused}");
}

#[test]
fn a_manifest_of_many_files_is_read_in_linear_time() {
    // Quadratic in the number of files, this would take minutes.
    let entry = |i: usize| format!("\n[[file]]\nrole = \"table\"\nname = \"t{i}\"\nbytes = 1\nxxh3 = \"{i:016x}\"\n");
    let mut text = format!("format = 1\ngeneration = \"{:016x}\"\n", 0);
    text += "\n[[file]]\nrole = \"model\"\nname = \"m\"\nbytes = 1\nxxh3 = \"0000000000000000\"\n";
    (0..200_000).for_each(|i| text += &entry(i));
    assert!(Manifest::parse(&text).unwrap_err().message.contains("the manifest was edited"));
    text += &entry(7);
    assert!(Manifest::parse(&text).unwrap_err().message.contains("two files have the name `t7`"));
    // In a bundle such a manifest is not even read.
    let bundles = Bundles::new();
    bundles.write("a", &model(&mut Random(7), Wants::default()));
    fs::write(bundles.path("a").join(MANIFEST), text).unwrap();
    let refused = Engine::open(&bundles.path("a"), &options("portable")).err().unwrap();
    assert!(refused.status == Status::Corrupt && refused.message.contains("at most 1048576"), "{refused}");
}

#[test]
fn closing_within_a_time_does_not_wait_for_a_bundle_that_is_opened() {
    let bundles = Bundles::new();
    bundles.write("a", &model(&mut Random(8), Wants::default()));
    bundle::publish(&bundles.path("a")).unwrap();
    let mut following = options("portable");
    following.follow = Some(Duration::from_secs(3600));
    // Between looks the thread ends at once, however little time there is.
    Engine::open(bundles.root(), &following).unwrap().close_within(Duration::ZERO).unwrap();
    following.follow = Some(Duration::from_millis(1));
    let engine = Engine::open(bundles.root(), &following).unwrap();
    until("the first look", || engine.follow_state().unwrap().looks > 0);
    endless::write(bundles.root());
    bundle::publish(&bundles.path(endless::NAME)).unwrap();
    until("a look that takes long", || {
        let looks = engine.follow_state().unwrap().looks;
        std::thread::sleep(Duration::from_millis(150));
        engine.follow_state().unwrap().looks == looks
    });
    let busy = engine.close_within(Duration::ZERO).unwrap_err();
    assert!(busy.status == Status::Busy && busy.message.contains("the following thread"), "{busy}");
    assert_eq!(engine.generation().err().unwrap().status, Status::Closed);
    // It was called off, so it ends soon; whoever has time waits for it.
    let begin = Instant::now();
    engine.close_within(Duration::from_secs(60)).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
