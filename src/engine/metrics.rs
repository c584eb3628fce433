//! Collects an engine's metrics.

use super::Engine;
use crate::clock::now_us;
use crate::error::{Error, Result, Status};
use crate::metrics::{Live, Metrics, TableState};

impl Engine {
    /// All metrics at this moment. Allocates nothing and blocks no request: it takes only locks that requests never
    /// take.
    ///
    /// # Errors
    /// `Closed`.
    pub fn metrics(&self) -> Result<Metrics> {
        let shared = &self.shared;
        let (generation, live) = {
            let published = shared.publisher()?;
            let closed = || Error::new(Status::Closed, "the engine was closed");
            let current = published.current.clone().ok_or_else(closed)?;
            let previous = published.previous.as_deref();
            let before = previous.map_or(0, |previous| previous.file_bytes_beside(Some(&current)));
            let caches =
                current.ad_cache_bytes_beside(None) + previous.map_or(0, |p| p.ad_cache_bytes_beside(Some(&current)));
            let live = Live {
                kernel: shared.staging.kernel.name(),
                generation: current.id(),
                activated_us: published.activated_us,
                now_us: now_us(),
                has_previous: previous.is_some(),
                follow_failing: published.follow_error.is_some(),
                ad_cache_bytes: caches,
                switched_off: shared.switches.counts(),
                file_bytes: current.file_bytes_beside(None) + before,
            };
            (current, live)
        };
        let overlays = &shared.overlays;
        let tables = std::array::from_fn(|number| {
            let (name, handle) = overlays.named(number)?;
            let is_live = generation.tables().iter().any(|table| table.set.name() == &*name);
            let info = if is_live { overlays.info(generation.tables(), handle).ok() } else { None };
            Some(TableState { name, info })
        });
        Ok(Metrics::new(&shared.meters, &shared.events, live, tables, generation, shared.log.numbers()))
    }
}
