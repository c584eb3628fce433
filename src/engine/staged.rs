//! Staging a bundle and making it live.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[cfg(doc)]
use super::Engine;
use super::Shared;
use crate::clock::now_us;
use crate::error::Result;
use crate::live::{Cancel, Generation, Opening};
use crate::model::AdCacheInfo;

/// A generation that was opened and checked and is not live yet. Dropping it discards it.
///
/// ```
/// use std::path::Path;
///
/// use adclick::{Engine, Options};
///
/// # fn main() -> adclick::Result<()> {
/// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
/// let first = engine.model()?.generation;
///
/// let staged = engine.stage(Path::new("examples/bundles/second"))?; // read and checked; nothing changes for requests
/// let second = staged.generation();
/// assert_eq!(staged.activate()?, second); // requests that begin from now on see it
/// assert_eq!(engine.rollback()?, first);
/// # Ok(())
/// # }
/// ```
pub struct Staged {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
}

impl Staged {
    /// The id that the generation will have.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.id()
    }

    /// The ad cache that it has, or the size that it would have.
    #[must_use]
    pub fn ad_cache(&self) -> AdCacheInfo {
        self.generation.ad_cache()
    }

    /// Makes the generation live: requests that begin from now on see it. The one before is kept for
    /// [`Engine::rollback`].
    ///
    /// # Errors
    /// `Closed`; the live generation stays.
    pub fn activate(self) -> Result<u64> {
        let quiet = self.shared.overlays.quiet();
        let mut published = self.shared.publisher_of(&self.generation)?;
        self.shared.swap_cell.publish(Some(Arc::clone(&self.generation)));
        let id = self.generation.id();
        published.previous = published.current.replace(self.generation);
        published.activated_us = now_us();
        self.shared.events.activated();
        drop((published, quiet));
        // Only slow requests still hold the generation that was previous until now.
        self.shared.swap_cell.reclaim();
        Ok(id)
    }
}

pub(super) fn stage(shared: &Arc<Shared>, bundle: &Path) -> Result<Staged> {
    let staged = open_staged(shared, bundle);
    shared.events.staged(&staged);
    staged
}

fn open_staged(shared: &Arc<Shared>, bundle: &Path) -> Result<Staged> {
    let earlier: Vec<_> = {
        let published = shared.publisher()?;
        published.current.iter().chain(&published.previous).cloned().collect()
    };
    let closing = || shared.closing.load(Ordering::Relaxed);
    let how = Opening {
        staging: shared.staging,
        earlier: &earlier,
        overlays: Some(&shared.overlays),
        limits: Some(shared.limits),
        cancel: Cancel::when(&closing),
    };
    let generation = Generation::open(bundle, how, |name| shared.names().handle(name))?;
    Ok(Staged { shared: Arc::clone(shared), generation: Arc::new(generation) })
}
