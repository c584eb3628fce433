//! An engine's log of decisions and events.

use super::Engine;
use crate::decision_log::{Event, EventCheck, LogOptions, LogState};
use crate::error::Result;

impl Engine {
    /// Begins to log what scorers decide, those that exist too, and the events that [`Engine::record`] is told. An engine has
    /// one log in its life; closing the engine ends it. docs/logs.md says what the files hold.
    ///
    /// # Errors
    /// `Io` when the directory cannot be used, `InvalidArgument` when an option is out of range or there is a log already,
    /// `CapacityExceeded`, `Closed`.
    pub fn open_log(&self, options: &LogOptions) -> Result<()> {
        drop(self.shared.publisher()?);
        let device = if options.device.is_empty() { 0 } else { self.feature(&options.device)? };
        self.shared.log.open(options, device)
    }

    /// Writes and syncs all that waits in the log. Without a thread of its own it must be called often.
    ///
    /// # Errors
    /// `Io`: what could not be written stays in memory as far as there is room, and is tried again; `InvalidArgument` without a
    /// log.
    pub fn drain_log(&self) -> Result<()> {
        self.shared.log.drain()
    }

    /// The state of the log.
    ///
    /// # Errors
    /// `InvalidArgument` without a log.
    pub fn log_state(&self) -> Result<LogState> {
        self.shared.log.state()
    }

    /// Takes in what came of a decision, and says at once what is wrong with it. The event is counted, and logged if there is a
    /// log, in any case. Waits for no disk: when the log's ring is full, the event is lost and counted.
    ///
    /// # Errors
    /// `InvalidArgument` when a field is out of range or belongs to another kind of event, `Closed`.
    pub fn record(&self, event: &Event) -> Result<EventCheck> {
        drop(self.shared.publisher()?);
        self.shared.log.event(event)
    }
}
