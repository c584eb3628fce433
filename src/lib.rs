//! libadclick: click prediction, calibration and the ad auction inside the ad server's own process.
//!
//! Data flows one way and so do the modules: [`artifact`] (files, mapped) → [`enrich`] (raw values to model inputs)
//! → [`infer`] (inputs to logits) → [`calibrate`] (logits to probabilities) → [`auction`] (probabilities and bids to
//! winners with prices). [`live`] holds what is current, [`Engine`] and [`Scorer`] join it all, and `capi` exports
//! it to C. After a [`Scorer`] is made, scoring and deciding allocate nothing, take no lock and make no system call.

#![cfg_attr(
    not(feature = "builder"),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "`builder` opens the rooms; with it they are linted in full"
    )
)]

mod artifact;
pub mod auction;
#[cfg(feature = "builder")]
pub mod builder;
mod bundle;
mod calibrate;
mod cancel;
#[allow(unsafe_code, reason = "the C boundary follows pointers that C gives")]
mod capi;
mod clock;
mod engine;
mod enrich;
mod error;
mod files;
mod hash;
mod infer;
pub mod inputs;
mod limits;
mod live;
mod memory;
mod metrics;
mod model;
mod overlay;
#[allow(unsafe_code, reason = "asks the CPU for a cache line")]
mod prefetch;
mod refusal;
mod request;
mod schema;
mod scorer;
mod table;
mod types;
mod wire;

pub use artifact::OpenMode;
pub use artifact::model::spec::HeadKind;
pub use engine::{Engine, FollowState, ModelInfo, Options, Staged, WrongSide};
pub use error::{Error, Result, Status};
pub use hash::{category_id, composite_key, shard};
pub use limits::MAX_CANDIDATES;
pub use live::TableChecks;
pub use metrics::Metrics;
pub use model::{AdCacheInfo, AdCacheState};
pub use overlay::{Operation, TableInfo, Upsert, UpsertCounts};
pub use refusal::Refusal;
pub use request::Input;
pub use scorer::{Scorer, ScorerLimits};
pub use types::{BidKind, Candidate, NO_CANDIDATE, Outcome, Precision, PriceBound, Request, Row, Value, Winner};
