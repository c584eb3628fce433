//! Looks at `CURRENT`: what it names, whether that has changed, and whether it was refused before.

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

/// After a failed look, a following engine doubles its wait each time, up to this or its interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// When staging failed for a reason outside the files, it is retried after this long at first,
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// and after this long in the end.
const LAST_RETRY: Duration = Duration::from_secs(300);
/// A file may change twice within a tick of the file system's clock and look the same. A file no older than this when
/// it is refused is tried once more.
const FRESH: Duration = Duration::from_secs(1);

/// The results of earlier looks, so that looking at unchanged files costs next to nothing.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The last manifest or its error, with its path and the checksum of its text.
    manifest: Option<(PathBuf, u64, Result<Arc<Manifest>>)>,
    refused: Option<Refused>,
}

/// A bundle that was refused.
#[derive(Debug)]
struct Refused {
    /// The state of its files.
    seen: u64,
    error: Error,
    /// When it is retried unchanged; none: only when it changes.
    again: Option<(Instant, Duration)>,
}

/// The result of a look: the manifest, a checksum of everything that tells whether files changed, and the first missing
/// file.
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
            // A file that seems to be missing may have been replaced in between.
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
            // Even with the same error, the file may be another one.
            let found = entry.check(&path, None).or_else(|e| {
                missing.get_or_insert(e);
                fs::metadata(&path)
            });
            let age = found.as_ref().ok().and_then(|found| found.modified().ok()?.elapsed().ok());
            fresh |= age.is_some_and(|age| age < FRESH);
            // Writing to a String does not fail.
            let _ = write!(all, " {:?}", found.map(|found| stamp(&found)).ok());
        }
        Ok(Seen { manifest, checksum: checksum(all.as_bytes()), missing, fresh })
    }

    /// The reason why a bundle that is unchanged since it was refused is not staged now.
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
    shared.swap_cell.reclaim();
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
            // The files may be open here and deleted there.
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
    // The id of the staged generation: the bundle may have been replaced since its manifest was read.
    let staged = match seen.missing {
        None => stage(shared, &named),
        // Refusing it needs no reading.
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

/// The thread that follows `CURRENT`.
pub(super) struct Follower {
    turns: Arc<Turns>,
    thread: JoinHandle<()>,
}

/// State shared by the following thread and the thread that ends it.
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

    /// Waits for a change, up to this long.
    fn wait<'a>(&self, now: MutexGuard<'a, Turn>, most: Duration) -> MutexGuard<'a, Turn> {
        self.changed.wait_timeout(now, most).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A look in progress; it ends when this is dropped, by any path.
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

    /// Ends the thread, waiting up to `end` if given. The engine's flag cancels its staging. If a look is still in
    /// progress, returns the handle: the thread ends after that look.
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
        // Between looks it ends at once. The panic hook would already have reported a panic on that thread.
        let _ = self.thread.join();
        Ok(())
    }
}

/// The body of the thread.
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
