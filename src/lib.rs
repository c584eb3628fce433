//! libadclick: click prediction, calibration and the ad auction inside the ad server's own process.
//!
//! Data flows one way and so do the modules: [`artifact`] (files, mapped) → [`enrich`] (raw values to model inputs)
//! → [`infer`] (inputs to logits) → [`calibrate`] (logits to probabilities) → [`auction`] (probabilities and bids to
//! winners with prices). [`live`] holds what is current, [`Engine`] and [`Scorer`] join it all, and `capi` exports
//! it to C. After a [`Scorer`] is made, scoring and deciding allocate nothing, take no lock and make no system call.

#![cfg_attr(
    not(feature = "builder"),
    allow(unreachable_pub, unused_imports, reason = "rooms whose doors only `builder` opens")
)]

#[cfg(feature = "builder")]
pub mod artifact;
#[cfg(not(feature = "builder"))]
mod artifact;
pub mod auction;
#[cfg(feature = "builder")]
pub mod bundle;
#[cfg(not(feature = "builder"))]
mod bundle;
#[cfg(feature = "builder")]
pub mod calibrate;
#[cfg(not(feature = "builder"))]
mod calibrate;
mod cancel;
#[cfg(feature = "builder")]
#[doc(hidden)]
#[allow(unsafe_code, reason = "the C boundary follows pointers that C gives")]
pub mod capi;
#[cfg(not(feature = "builder"))]
#[allow(unsafe_code, reason = "the C boundary follows pointers that C gives")]
mod capi;
mod clock;
mod engine;
#[cfg(feature = "builder")]
pub mod enrich;
#[cfg(not(feature = "builder"))]
mod enrich;
#[cfg(feature = "builder")]
pub mod error;
#[cfg(not(feature = "builder"))]
mod error;
#[cfg(feature = "builder")]
pub mod files;
#[cfg(not(feature = "builder"))]
mod files;
pub mod hash;
#[cfg(feature = "builder")]
pub mod infer;
#[cfg(not(feature = "builder"))]
mod infer;
pub mod inputs;
mod limits;
#[cfg(feature = "builder")]
pub mod live;
#[cfg(not(feature = "builder"))]
mod live;
mod memory;
mod metrics;
#[cfg(feature = "builder")]
pub mod model;
#[cfg(not(feature = "builder"))]
mod model;
#[cfg(feature = "builder")]
pub mod overlay;
#[cfg(not(feature = "builder"))]
mod overlay;
#[allow(unsafe_code, reason = "asks the CPU for a cache line")]
mod prefetch;
mod refusal;
mod request;
#[cfg(feature = "builder")]
pub mod schema;
#[cfg(not(feature = "builder"))]
mod schema;
mod scorer;
#[cfg(feature = "builder")]
pub mod table;
#[cfg(not(feature = "builder"))]
mod table;
#[cfg(feature = "builder")]
pub mod types;
#[cfg(not(feature = "builder"))]
mod types;
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
