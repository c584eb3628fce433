//! What an engine decided and what came of it: impression ids, and the log of decisions, slates and events.
//!
//! A decision and an event become plain numbers in a ring ([`ring`]); a thread of the log, or the caller, takes them out
//! ([`writer`]), encodes them by the schemas in `schema` ([`encode`], [`avro`]), and keeps the segments ([`segment`]).
//! docs/logs.md says what readers find.

mod avro;
mod disk;
mod encode;
mod event;
mod features;
mod impression;
mod log;
mod names;
mod options;
mod record;
#[cfg(feature = "builder")]
mod recorder;
mod recover;
mod ring;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

pub use event::{Event, EventCheck, EventKind};
pub(crate) use features::FeatureNames;
pub(crate) use impression::Impressions;
pub use log::LogState;
pub(crate) use log::{Hub, LogNumbers, Outlet, Plan};
pub use options::LogOptions;
pub(crate) use record::{Decided, Scored, Slate, SlateCandidate, Stream};
pub(crate) use segment::StreamCounts;
#[cfg(feature = "builder")]
pub use {
    recorder::{Recorder, Source},
    recover::{Recovered, recover},
};

/// The schema of a stream's records, for those who read them.
#[cfg(feature = "builder")]
#[must_use]
pub fn schema(stream: &str) -> Option<&'static str> {
    Stream::ALL.into_iter().find(|one| one.name() == stream).map(Stream::schema)
}
