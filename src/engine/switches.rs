//! Switches of ads, campaigns and advertisers.

use std::sync::atomic::Ordering;

use super::Engine;
use crate::error::{Error, Result, Status};
use crate::overlay::SwitchKind;

impl Engine {
    /// Turns an ad, a campaign or an advertiser off in decisions, for a reason of the caller's (1 = the budget is spent, say), or
    /// on again with the reason 0. Takes well under a microsecond. Every decision that begins afterwards sees it, on any thread,
    /// and it outlives new generations; a new engine begins with everything on. A candidate that is off loses for
    /// [`Reason::SwitchedOff`](crate::auction::Reason::SwitchedOff). Scoring and the auction alone take no notice.
    ///
    /// A decision under way looks at its winners once more before it returns: when one was switched off meanwhile, and the
    /// deadline allows, it is made again, once.
    ///
    /// # Errors
    /// `InvalidArgument` for key 0; `CapacityExceeded` when [`Options::switch_keys`](crate::Options::switch_keys) of the kind are
    /// off: then it stays on; `Closed`.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use adclick::{Engine, Options, SwitchKind, category_id};
    ///
    /// # fn main() -> adclick::Result<()> {
    /// let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
    /// let campaign = category_id(b"spring-sale");
    /// engine.switch(SwitchKind::Campaign, campaign, 1)?; // its budget is spent
    /// assert_eq!(engine.switched(SwitchKind::Campaign, campaign)?, 1);
    /// engine.switch(SwitchKind::Campaign, campaign, 0)?; // and topped up
    /// assert_eq!(engine.switched(SwitchKind::Campaign, campaign)?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn switch(&self, kind: SwitchKind, key: u64, reason: u32) -> Result<()> {
        self.check_open()?;
        self.shared.switches.set(kind, key, reason)
    }

    /// Why an ad, a campaign or an advertiser is off; 0: it is on.
    ///
    /// # Errors
    /// `Closed`.
    pub fn switched(&self, kind: SwitchKind, key: u64) -> Result<u32> {
        self.check_open()?;
        Ok(self.shared.switches.get(kind, key))
    }

    /// Without the publisher's lock, which may be held while a large generation is unmapped.
    fn check_open(&self) -> Result<()> {
        match self.shared.closing.load(Ordering::Relaxed) {
            true => Err(Error::new(Status::Closed, "the engine was closed")),
            false => Ok(()),
        }
    }
}
