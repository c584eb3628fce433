//! What a decision of one winner without a slate leaves in the log, by itself: for measurements.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::features::FeatureNames;
use super::log::{Hub, LogState, Outlet};
use super::record::{Decided, Scored};
use super::{Impressions, LogOptions};
use crate::error::Result;
use crate::types::{Candidate, Winner};

/// A log without an engine.
pub struct Recorder(Hub);

/// One who decides.
pub struct Source {
    impressions: Impressions,
    outlet: Arc<Outlet>,
    scored: Scored,
    winner: Winner,
}

impl Recorder {
    /// # Errors
    /// As [`crate::Engine::open_log`].
    pub fn open(options: &LogOptions) -> Result<Self> {
        let hub = Hub::new(None, Duration::from_secs(86_400), Arc::new(FeatureNames::default()));
        hub.open(options, 0)?;
        Ok(Self(hub))
    }

    /// # Errors
    /// `CapacityExceeded`.
    pub fn source(&self) -> Result<Source> {
        let (impressions, outlet) = self.0.join()?;
        let candidate = Candidate { ad_key: 5, advertiser_key: 6, bid_micros: 400_000, ..Candidate::default() };
        let scored = Scored { candidate, logits: [-3.5, f32::NAN], multiplier: 1.0 };
        let winner = Winner { pctr: 0.03, price_micros: 120_000, ecpm_micros: 12_000_000, ..Winner::default() };
        Ok(Source { impressions, outlet, scored, winner })
    }

    /// # Errors
    /// `InvalidArgument` when it was closed.
    pub fn state(&self) -> Result<LogState> {
        self.0.state()
    }

    /// # Errors
    /// `Io`.
    pub fn close(&self) -> Result<()> {
        self.0.close(Instant::now() + Duration::from_secs(60))
    }
}

impl Source {
    /// An id, and a record with it.
    pub fn record(&mut self, request_id: u64, time_us: i64) {
        let id = self.impressions.next(time_us);
        (self.winner.impression_id, self.winner.impression_id_high) = (id as u64, (id >> 64) as u64);
        if let Some(plan) = self.outlet.plan() {
            let share = plan.slate_share(request_id);
            let decided = Decided { time_us, request_id, user: request_id, slate_share: share, ..Decided::default() };
            plan.decision(&decided, self.scored, &self.winner);
        }
    }
}
