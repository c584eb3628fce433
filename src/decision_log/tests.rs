//! A log on disks that fail, fill up and hang: what was said to be safe is there, nothing torn is read, each loss has a number.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::disk::{Disk, Output, System};
use super::features::FeatureNames;
use super::log::Hub;
use super::recover::recover;
use super::{Event, LogOptions};

const NOW: i64 = 1_793_000_000_000_000;

/// What a disk does at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Half of what is written finds room.
    Full,
    Write,
    Sync,
    Rename,
    Hang,
}

#[derive(Clone)]
struct Faulty(Arc<Mutex<Fault>>);

impl Faulty {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Fault::None)))
    }

    fn set(&self, fault: Fault) {
        *self.0.lock().unwrap() = fault;
    }

    fn is(&self) -> Fault {
        *self.0.lock().unwrap()
    }

    fn hang(&self) {
        while self.is() == Fault::Hang {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

struct FaultyFile {
    file: Box<dyn Output>,
    disk: Faulty,
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(FaultyFile { file: System.create(path)?, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.is() {
            Fault::Rename => Err(ErrorKind::PermissionDenied.into()),
            _ => System.rename(from, to),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        System.sync_directory(path)
    }
}

impl Output for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.hang();
        match self.disk.is() {
            Fault::Full => {
                self.file.write(&bytes[..bytes.len() / 2])?;
                Err(ErrorKind::StorageFull.into())
            }
            Fault::Write => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => self.file.write(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.hang();
        match self.disk.is() {
            Fault::Sync => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => self.file.sync(),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        match self.disk.is() {
            Fault::Write => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => self.file.cut(length),
        }
    }
}

fn hub() -> Hub {
    Hub::new(Some(1), Duration::from_secs(3600), Arc::new(FeatureNames::default()))
}

fn options(root: &Path, thread: bool) -> LogOptions {
    let mut options = LogOptions::new(root);
    options.thread = thread;
    options.ring_records = 1024;
    options.sync_interval = Duration::from_millis(20);
    options
}

/// An order with this number.
fn put(hub: &Hub, number: u64) {
    let event = Event {
        kind: super::EventKind::Conversion,
        time_us: NOW,
        user_key: 1,
        order_id: number + 1,
        ..Event::default()
    };
    hub.event(&event).unwrap();
}

fn long(bytes: &mut &[u8]) -> i64 {
    let (mut n, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        n |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return (n >> 1) as i64 ^ -((n & 1) as i64);
        }
    }
}

/// Where the blocks of a file end, and the numbers of the records in each: run, ring and number are the first fields. (Readers
/// that others wrote read the files in offline/data.)
fn blocks(file: &[u8]) -> Vec<(usize, Vec<i64>)> {
    let mut rest = file.strip_prefix(b"Obj\x01").unwrap();
    loop {
        let entries = long(&mut rest);
        if entries == 0 {
            break;
        }
        for _ in 0..2 * entries {
            let length = long(&mut rest) as usize;
            rest = &rest[length..];
        }
    }
    let marker = &rest[..16];
    rest = &rest[16..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (count, length) = (long(&mut rest), long(&mut rest) as usize);
        let plain = snap::raw::Decoder::new().decompress_vec(&rest[..length - 4]).unwrap();
        assert_eq!(crc32fast::hash(&plain).to_be_bytes(), rest[length - 4..length]);
        assert_eq!(&rest[length..length + 16], marker);
        rest = &rest[length + 16..];
        let (mut plain, mut numbers) = (&plain[..], Vec::new());
        for _ in 0..count {
            let (_, _, number) = (long(&mut plain), long(&mut plain), long(&mut plain));
            numbers.push(number);
            skip_event(&mut plain);
        }
        assert!(plain.is_empty());
        found.push((file.len() - rest.len(), numbers));
    }
    found
}

/// The fields of an event after its number.
fn skip_event(plain: &mut &[u8]) {
    let _: [i64; 3] = std::array::from_fn(|_| long(plain));
    for _ in 0..14 {
        if long(plain) == 1 {
            long(plain);
        }
    }
    let _: [i64; 2] = std::array::from_fn(|_| long(plain));
}

fn events(root: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(root.join("events")).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// The numbers of all records in closed segments, and how often one stands there again.
fn read(root: &Path) -> (BTreeSet<i64>, usize) {
    let (mut numbers, mut again) = (BTreeSet::new(), 0);
    for path in events(root).iter().filter(|path| path.extension().is_some_and(|e| e == "avro")) {
        for (_, block) in blocks(&fs::read(path).unwrap()) {
            block.iter().for_each(|n| again += usize::from(!numbers.insert(*n)));
        }
    }
    (numbers, again)
}

fn close(hub: &Hub) -> crate::Result<()> {
    hub.close(Instant::now() + Duration::from_secs(60))
}

#[test]
fn a_disk_that_fails_costs_no_record_that_had_room() {
    for fault in [Fault::Full, Fault::Write, Fault::Sync, Fault::Rename] {
        let root = tempfile::tempdir().unwrap();
        let (hub, disk) = (hub(), Faulty::new());
        let mut kept = options(root.path(), false);
        kept.segment_age = Duration::from_millis(1);
        hub.open_on(&kept, 0, Box::new(disk.clone())).unwrap();
        (0..100).for_each(|n| put(&hub, n));
        hub.drain().unwrap();
        assert_eq!(hub.state().unwrap().written[2], 100, "{fault:?}");
        disk.set(fault);
        (100..200).for_each(|n| put(&hub, n));
        let failed = hub.drain();
        (200..300).for_each(|n| put(&hub, n));
        let state = hub.state().unwrap();
        if fault != Fault::Rename {
            assert_eq!(failed.unwrap_err().status, crate::Status::Io, "{fault:?}");
            assert_eq!((state.written[2], state.failures > 0), (100, true), "{fault:?}");
        }
        disk.set(Fault::None);
        std::thread::sleep(Duration::from_millis(150));
        hub.drain().unwrap();
        (300..400).for_each(|n| put(&hub, n));
        close(&hub).unwrap();
        assert_eq!(hub.state().unwrap().written[2], 400, "{fault:?}");
        // Segments that were given up are closed by the next who opens the directory.
        recover(&root.path().join("events")).unwrap();
        let (numbers, _) = read(root.path());
        assert_eq!(numbers, (0..400).collect(), "{fault:?}");
        assert!(events(root.path()).iter().all(|path| path.extension().is_some_and(|e| e == "avro")));
    }
}

#[test]
fn a_disk_that_hangs_costs_what_finds_no_room_and_each_loss_has_a_number() {
    let root = tempfile::tempdir().unwrap();
    let (hub, disk) = (hub(), Faulty::new());
    hub.open_on(&options(root.path(), true), 0, Box::new(disk.clone())).unwrap();
    disk.set(Fault::Hang);
    // More than rings and the writer's batch take.
    (0..5000).for_each(|n| put(&hub, n));
    std::thread::sleep(Duration::from_millis(50));
    (5000..10_000).for_each(|n| put(&hub, n));
    let busy = hub.close(Instant::now() + Duration::from_millis(20)).unwrap_err();
    assert_eq!(busy.status, crate::Status::Busy);
    disk.set(Fault::None);
    close(&hub).unwrap();
    let state = hub.state().unwrap();
    let (numbers, again) = read(root.path());
    assert_eq!((again, numbers.len() as u64), (0, state.written[2]));
    assert!(state.lost[2] > 0 && state.written[2] > 0);
    assert_eq!(state.written[2] + state.lost[2], 10_000);
    let run = fs::read_dir(root.path().join("runs")).unwrap().next().unwrap().unwrap().path();
    let told = fs::read_to_string(run).unwrap();
    assert!(told.contains(&format!("\"events\":{{\"offered\":10000,\"lost\":{}", state.lost[2])), "{told}");
}

#[test]
fn a_segment_cut_anywhere_keeps_its_whole_blocks() {
    let root = tempfile::tempdir().unwrap();
    let hub = hub();
    hub.open_on(&options(root.path(), false), 0, Box::new(System)).unwrap();
    for block in 0..5 {
        (0..20).for_each(|n| put(&hub, block * 20 + n));
        hub.drain().unwrap();
    }
    close(&hub).unwrap();
    let path = events(root.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let ends = blocks(&whole);
    assert_eq!(ends.len(), 5);
    let name = path.file_name().unwrap().to_str().unwrap();
    let open = path.with_file_name(format!("_{name}.open"));
    fs::remove_file(&path).unwrap();
    for length in ends[2].0..=whole.len() {
        fs::write(&open, &whole[..length]).unwrap();
        let told = recover(path.parent().unwrap()).unwrap();
        let expected = ends.iter().rev().find(|end| end.0 <= length).unwrap().0;
        assert_eq!(fs::read(&path).unwrap(), whole[..expected]);
        assert_eq!((told.len(), told[0].kept, told[0].cut), (1, expected as u64, (length - expected) as u64));
        fs::remove_file(&path).unwrap();
    }
    // Torn within: a damaged byte of the last block (but its count, which Avro covers by no checksum), nothing but a header,
    // nothing at all.
    for at in ends[3].0 + 1..whole.len() {
        let mut torn = whole.clone();
        torn[at] ^= 0x10;
        fs::write(&open, &torn).unwrap();
        assert_eq!(recover(path.parent().unwrap()).unwrap()[0].kept, ends[3].0 as u64, "byte {at}");
    }
    for length in [0, 3, 100, ends[0].0 - 1] {
        fs::write(&open, &whole[..length]).unwrap();
        let told = recover(path.parent().unwrap()).unwrap();
        assert!(told[0].kept == 0 && told[0].to_string().contains("removed") && !open.exists());
    }
}

#[test]
fn segments_close_by_size_and_by_age_and_one_being_written_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let mut small = options(root.path(), false);
    (small.segment_bytes, small.ring_records) = (20_000, 1 << 16);
    let writing = hub();
    writing.open_on(&small, 0, Box::new(System)).unwrap();
    (0..20_000).for_each(|n| put(&writing, n));
    writing.drain().unwrap();
    let closed = writing.state().unwrap().segments;
    assert!(closed >= 2, "{closed}");
    put(&writing, 20_000);
    writing.drain().unwrap();
    // Another process opens the same directory.
    let other = hub();
    other.open_on(&options(root.path(), false), 0, Box::new(System)).unwrap();
    assert_eq!(other.state().unwrap().recovered, Vec::<String>::new());
    put(&other, 0);
    close(&writing).unwrap();
    close(&other).unwrap();
    assert_eq!(read(root.path()).0, (0..=20_000).collect());
    assert_eq!(events(root.path()).len() as u64, writing.state().unwrap().segments + 1);
}

#[test]
fn options_and_calls_out_of_place_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let hub = hub();
    assert!(hub.drain().unwrap_err().message.contains("no log"));
    for (change, named) in [
        (&|o: &mut LogOptions| o.ring_records = 1, "ring_records"),
        (&|o: &mut LogOptions| o.slate_share = f64::NAN, "slate_share"),
        (&|o: &mut LogOptions| o.segment_bytes = 1, "segment_bytes"),
        (&|o: &mut LogOptions| o.sync_interval = Duration::ZERO, "sync_interval"),
    ] as [(&dyn Fn(&mut LogOptions), &str); 4]
    {
        let mut bad = options(root.path(), false);
        change(&mut bad);
        assert!(hub.open(&bad, 0).unwrap_err().message.contains(named));
    }
    fs::write(root.path().join("file"), b"").unwrap();
    let error = hub.open(&options(&root.path().join("file"), false), 0).unwrap_err();
    assert!(error.status == crate::Status::Io && error.message.contains("file"), "{error}");
    hub.open(&options(root.path(), true), 0).unwrap();
    assert!(hub.open(&options(root.path(), true), 0).unwrap_err().message.contains("already"));
    close(&hub).unwrap();
    close(&hub).unwrap();
}

/// Where a child is to write until it is killed.
const CHILD: &str = "ADCLICK_TEST_LOG_CHILD";

/// Runs in the processes that the next test starts, and does nothing by itself.
#[test]
fn written_until_killed() {
    let Ok(root) = std::env::var(CHILD) else { return };
    let hub = hub();
    hub.open_on(&options(Path::new(&root), false), 0, Box::new(System)).unwrap();
    for n in 0.. {
        put(&hub, n);
        if n % 37 == 36 {
            hub.drain().unwrap();
            // Only what this says is known to be safe.
            println!("safe {}", hub.state().unwrap().written[2]);
        }
    }
}

#[test]
fn what_was_safe_when_the_process_was_killed_is_read() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let kills = std::env::var("ADCLICK_TEST_KILLS").map_or(10, |kills| kills.parse().unwrap());
    for kill in 0..kills {
        let root = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "decision_log::tests::written_until_killed", "--nocapture"]);
        let mut child = child.env(CHILD, root.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: String| line.rsplit_once("safe ")?.1.parse::<usize>().ok();
        let mut safe = told.by_ref().map_while(Result::ok).find_map(number).unwrap();
        let end = Instant::now() + Duration::from_millis(1 + 7 * kill % 50);
        while Instant::now() < end {
            safe = number(told.next().unwrap().unwrap()).unwrap_or(safe);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        safe = told.map_while(Result::ok).filter_map(number).last().unwrap_or(safe);
        let recovered = recover(&root.path().join("events")).unwrap();
        assert!(recovered.len() <= 1);
        let (numbers, again) = read(root.path());
        assert!(again == 0 && numbers.len() >= safe, "{} read, {safe} were safe", numbers.len());
        assert_eq!(numbers, (0..numbers.len() as i64).collect());
    }
}
