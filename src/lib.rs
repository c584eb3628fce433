//! libadclick: click prediction, calibration and the ad auction inside the ad server's own process.
//!
//! Data flows one way and so do the modules: [`artifact`] (files, mapped) → [`enrich`] (raw values to model inputs)
//! → [`infer`] (inputs to logits) → [`calibrate`] (logits to probabilities) → [`auction`] (probabilities and bids to
//! winners with prices). [`live`] holds what is current, [`Engine`] and [`Scorer`] join it all, and `capi` exports
//! it to C. After a [`Scorer`] is made, scoring and deciding allocate nothing, take no lock and make no system call.

pub mod artifact;
pub mod auction;
pub mod bundle;
pub mod calibrate;
mod cancel;
#[doc(hidden)]
#[allow(unsafe_code, reason = "the C boundary follows pointers that C gives")]
pub mod capi;
mod clock;
mod engine;
pub mod enrich;
pub mod error;
pub mod files;
pub mod hash;
pub mod infer;
pub mod inputs;
mod limits;
pub mod live;
mod memory;
mod metrics;
pub mod model;
pub mod overlay;
#[allow(unsafe_code, reason = "asks the CPU for a cache line")]
mod prefetch;
mod refusal;
mod request;
pub mod schema;
mod scorer;
pub mod table;
pub mod types;
mod wire;

pub use artifact::OpenMode;
pub use engine::{Engine, FollowState, KERNEL_VARIABLE, ModelInfo, Options, Staged, WrongSide};
pub use error::{Error, Result, Status};
pub use limits::MAX_CANDIDATES;
pub use live::TableChecks;
pub use metrics::Metrics;
pub use model::{AdCacheInfo, AdCacheState};
pub use overlay::{TableInfo, Upsert, UpsertCounts};
pub use refusal::Refusal;
pub use request::Input;
pub use scorer::{Scorer, ScorerLimits};
