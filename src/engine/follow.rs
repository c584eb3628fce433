//! Looks at `CURRENT`: what it names, whether that is news, and what was refused before.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::staged::stage;
use crate::bundle::{self, Manifest, stamp};
use crate::clock::now_us;
use crate::error::{Error, Result, Status};
use crate::hash::checksum;

/// After a look that failed, a following engine waits twice as long each time, up to this or its interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// When staging failed for a reason that is not in the files, it is tried again after so long at first,
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// and in the end after so long.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// A file may change twice within a tick of the file system's clock, and look the same. One that is no older than this when it is
/// refused is tried once more.
const FRESH: Duration = Duration::from_secs(1);

/// What earlier looks found, so that a look at what has not changed costs next to nothing.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The last manifest, or what is wrong with it, by where it was and the checksum of its text.
    manifest: Option<(PathBuf, u64, Result<Arc<Manifest>>)>,
    refused: Option<Refused>,
}

/// A bundle that was not taken.
#[derive(Debug)]
struct Refused {
    /// What there was.
    seen: u64,
    error: Error,
    /// When it is tried again as it is; none: when it changes.
    again: Option<(Instant, Duration)>,
}

/// What a look found: the manifest, a checksum of all that tells whether files changed, and what is missing.
struct Seen {
    manifest: Arc<Manifest>,
    checksum: u64,
    missing: Option<Error>,
    /// Whether a file changed just now.
    fresh: bool,
}

impl Looked {
    fn see(&mut self, bundle: &Path) -> Result<Seen> {
        let read = || -> Result<_> {
            let found = fs::metadata(bundle.join(bundle::MANIFEST)).ok();
            Ok((found.map(|found| stamp(&found)), Manifest::read_text(bundle)?))
        };
        let mut listed = read()?;
        loop {
            let seen = self.see_listed(bundle, &listed.1)?;
            // What seems to be missing may have been replaced in between.
            let now = if seen.missing.is_some() { read()? } else { return Ok(seen) };
            if now == listed {
                return Ok(seen);
            }
            listed = now;
        }
    }

    fn see_listed(&mut self, bundle: &Path, text: &str) -> Result<Seen> {
        let sum = checksum(text.as_bytes());
        let manifest = match &self.manifest {
            Some((path, known, manifest)) if (path.as_path(), *known) == (bundle, sum) => manifest.clone(),
            _ => {
                let manifest = Manifest::parse_of(bundle, text).map(Arc::new);
                self.manifest = Some((bundle.to_owned(), sum, manifest.clone()));
                manifest
            }
        }?;
        let (mut all, mut missing, mut fresh) = (format!("{} {sum:x}", bundle.display()), None, false);
        for entry in &manifest.files {
            let path = bundle.join(&entry.name);
            // Also when the error stays the same, the file may have become another one.
            let found = entry.check(&path, None).or_else(|e| {
                missing.get_or_insert(e);
                fs::metadata(&path)
            });
            let age = found.as_ref().ok().and_then(|found| found.modified().ok()?.elapsed().ok());
            fresh |= age.is_some_and(|age| age < FRESH);
            // Writing to a text does not fail.
            let _ = write!(all, " {:?}", found.map(|found| stamp(&found)).ok());
        }
        Ok(Seen { manifest, checksum: checksum(all.as_bytes()), missing, fresh })
    }

    /// Why a bundle that is as it was when it was refused is not staged now.
    fn refusal(&self, seen: u64) -> Option<Error> {
        let refused = self.refused.as_ref().filter(|refused| refused.seen == seen)?;
        let waits = refused.again.is_none_or(|(at, _)| Instant::now() < at);
        waits.then(|| refused.error.clone())
    }

    /// Remembers a bundle that was refused.
    fn refuse(&mut self, seen: u64, fresh: bool, error: &Error) {
        let last = self.refused.take().filter(|refused| refused.seen == seen).and_then(|refused| refused.again);
        let pause = last.map_or(FIRST_RETRY, |(_, pause)| (2 * pause).min(LAST_RETRY));
        let in_files = matches!(error.status, Status::Corrupt | Status::Unsupported | Status::GoldenMismatch);
        let again = (!in_files || fresh).then(|| (Instant::now() + pause, pause));
        self.refused = Some(Refused { seen, error: error.clone(), again });
    }
}

pub(super) fn poll(shared: &Arc<Shared>) -> Result<Option<u64>> {
    let Some(root) = &shared.root else {
        return Err(Error::argument("the engine was opened on a bundle: open the directory that holds CURRENT"));
    };
    let outcome = look(shared, root);
    shared.events.looked(&outcome);
    {
        let mut published = shared.published();
        published.follow_error = outcome.as_ref().err().cloned();
        published.looked_us = now_us();
    }
    shared.cell.reclaim();
    outcome
}

fn look(shared: &Arc<Shared>, root: &Path) -> Result<Option<u64>> {
    let mut looked = shared.looking.lock().unwrap_or_else(PoisonError::into_inner);
    let named = bundle::current(root)?;
    let seen = looked.see(&named)?;
    let id = seen.manifest.generation();
    {
        let mut published = shared.publisher()?;
        let live = published.current.as_ref().is_some_and(|current| current.id() == id);
        if published.followed == Some(id) || live {
            published.followed = Some(id);
            // The files may be open here and gone from there.
            return match seen.missing {
                None => Ok(None),
                Some(e) => {
                    Err(e.within(format_args!("{} names a bundle that could not be opened again", bundle::CURRENT)))
                }
            };
        }
    }
    if let Some(error) = looked.refusal(seen.checksum) {
        return Err(error);
    }
    // The id of what was staged: the bundle may have been replaced since its manifest was read.
    let staged = match seen.missing {
        None => stage(shared, &named),
        // Nothing has to be read to refuse it.
        Some(error) => {
            let refused = Err(error);
            shared.events.staged(&refused);
            refused
        }
    };
    let id = staged.inspect_err(|e| looked.refuse(seen.checksum, seen.fresh, e))?.activate()?;
    looked.refused = None;
    shared.publisher()?.followed = Some(id);
    Ok(Some(id))
}

/// The thread that looks by itself.
pub(super) struct Follower {
    turns: Arc<Turns>,
    thread: JoinHandle<()>,
}

/// What the following thread and whoever ends it tell each other.
#[derive(Default)]
struct Turns {
    now: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
struct Turn {
    stop: bool,
    looking: bool,
}

impl Turns {
    fn now(&self) -> MutexGuard<'_, Turn> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, up to so long.
    fn wait<'a>(&self, now: MutexGuard<'a, Turn>, most: Duration) -> MutexGuard<'a, Turn> {
        self.changed.wait_timeout(now, most).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A look that is under way; over when this is dropped, however it ends.
struct Looking<'a>(&'a Turns);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.now().looking = false;
        self.0.changed.notify_all();
    }
}

impl Follower {
    pub(super) fn start(shared: &Arc<Shared>, interval: Duration) -> Result<Self> {
        let turns = Arc::new(Turns::default());
        let (shared, of_thread) = (Arc::clone(shared), Arc::clone(&turns));
        let thread = std::thread::Builder::new()
            .name("adclick-follow".to_owned())
            .spawn(move || follow(&shared, &of_thread, interval))
            .map_err(|e| Error::new(Status::Io, format!("cannot start the following thread: {e}")))?;
        Ok(Self { turns, thread })
    }

    /// Ends it, waiting up to `end` if there is one. What it stages is called off by the engine's flag. When a look is under
    /// way still, gives it back: the thread ends with that look.
    pub(super) fn stop_by(self, end: Option<Instant>) -> std::result::Result<(), Self> {
        let turns = Arc::clone(&self.turns);
        let mut now = turns.now();
        now.stop = true;
        turns.changed.notify_all();
        while let (true, Some(end)) = (now.looking, end) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self);
            }
            now = turns.wait(now, left);
        }
        drop(now);
        // Between looks it ends at once. A panic on that thread would already have been reported by the panic hook.
        let _ = self.thread.join();
        Ok(())
    }
}

/// What the thread does.
fn follow(shared: &Arc<Shared>, turns: &Turns, interval: Duration) {
    let mut pause = interval;
    let mut now = turns.now();
    while !now.stop {
        now = turns.wait(now, pause);
        if !now.stop {
            now.looking = true;
            drop(now);
            let looking = Looking(turns);
            // The error is kept for `follow_error`; the next look tries again.
            pause = match poll(shared) {
                Ok(_) => interval,
                Err(_) => (2 * pause).min(interval.max(LONGEST_PAUSE)),
            };
            drop(looking);
            now = turns.now();
        }
    }
}
