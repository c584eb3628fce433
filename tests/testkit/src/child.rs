//! Parts of tests that need a process of their own: its memory, its directory, its process id.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The variable that names the part to a child.
const PART: &str = "ADCLICK_TEST_PART";

/// The part that this process is to do, when a test started it.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// This test program again, to do one part in the test `in_a_child`, with `wrap` in front of it.
pub fn command(wrap: &[&str], part: &str) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut words = wrap.iter().map(|w| (*w).into()).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["in_a_child", "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env(PART, part);
    command
}

/// Runs a part; it must end well. Returns what it printed.
pub fn run(wrap: &[&str], part: &str) -> String {
    let Output { status, stdout, stderr } = command(wrap, part).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{part}: {status}\n{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{part}: nothing was run\n{stdout}");
    stdout.into_owned()
}

/// Whether `unshare` with these options is permitted here.
pub fn may_unshare(options: &[&str]) -> bool {
    let tried = Command::new("unshare").args(options).arg("true").output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("skipped in part: unshare {} is not permitted here", options.join(" "));
    }
    may
}

/// The `unshare` call with which a child may mount, as root or as root of its own namespace; `None` where neither is
/// permitted.
pub fn unshare_mounts() -> Option<Vec<&'static str>> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let way = ways.into_iter().find(|options| may_unshare(options))?;
    Some(["unshare"].into_iter().chain(way.iter().copied()).collect())
}

/// A field of /proc/self/status in bytes.
pub fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// A directory where syncing costs nothing, if there is one.
pub fn quick_directory() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
