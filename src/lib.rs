//! Click prediction, calibration and the ad auction inside the ad server's own process.
//!
//! An ad server has a request, a few hundred to a few thousand ads that could be shown, and a few milliseconds. This crate
//! does what lies between: it turns ids and raw values into the inputs of a model, scores all candidates, calibrates the
//! probabilities, runs the auction, and says who won at what price and why the others lost. There is no remote call. After a
//! [`Scorer`] is made, a request allocates nothing, takes no lock and makes no system call.
//!
//! # First steps
//!
//! A *bundle* is a directory with everything that is served together: a model, feature tables, calibrators and the auction's
//! policy. The `adclick` command writes it, from click logs or from a model that was trained elsewhere. This one is part of
//! the repository and knows a few users and ads:
//!
//! ```
//! use std::path::Path;
//!
//! use adclick::{BidKind, Candidate, Columns, Engine, Input, Options, Request, ScorerLimits, Value, Winner, category_id};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once, at start: the engine, and a handle for each value that requests carry. All threads share both.
//! let engine = Engine::open(Path::new("examples/bundles/first"), &Options::default())?;
//! let device = engine.feature("device_type")?;
//!
//! // Once for each thread: a scorer. It has all the memory that requests need.
//! let mut scorer = engine.scorer(ScorerLimits { max_candidates: 1000 })?;
//!
//! // For each request: who asks, when, and which ads could be shown. The bundle's tables know the rest.
//! let context = [Value { feature: device, id: category_id(b"mobile"), number: 0.0 }];
//! let ads = [("a1", "acme", 500_000), ("a2", "globex", 450_000), ("a3", "initech", 480_000)];
//! let candidates = ads.map(|(ad, advertiser, bid_micros)| Candidate {
//!     ad_key: category_id(ad.as_bytes()),
//!     advertiser_key: category_id(advertiser.as_bytes()),
//!     bid_kind: BidKind::Cpc as u32,
//!     bid_micros, // 0.50 for a click: money is in millionths
//!     ..Candidate::default()
//! });
//! let request = Request {
//!     request_id: 42,
//!     user_key: category_id(b"u1001"),
//!     time_us: 1_793_000_000_000_000,
//!     n_slots: 2,
//!     ..Request::default()
//! };
//! let request = request.counting(&context, &candidates, &[]);
//! let columns = Columns::default();
//! let input = Input { request: &request, values: &context, candidates: &candidates, candidate_values: &[], columns };
//!
//! // Probabilities alone, for those who run an auction of their own …
//! let mut pctr = [0.0; 3];
//! scorer.score(input, &mut pctr, &mut [])?;
//!
//! // … or the whole way to winners and prices.
//! let mut winners = [Winner::default(); 2];
//! let outcome = scorer.decide(input, &mut winners, &mut [])?;
//! for winner in &winners[..outcome.n_winners as usize] {
//!     let (ad, ..) = ads[winner.candidate as usize];
//!     println!("slot {}: ad {ad}, pCTR {:.4}, pays {} micros for a click", winner.slot, winner.pctr, winner.price_micros);
//! }
//! assert_eq!(outcome.n_winners, 2);
//! assert_eq!(winners[0].pctr, pctr[winners[0].candidate as usize]);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/rust/first.rs` goes on from here: it writes what happened on top of the tables, goes to the next bundle, and
//! back. `examples/rust/auction.rs` uses the auction alone.
//!
//! # What a request passes through
//!
//! ```text
//! ids and values ─▶ enrich ─▶ model inputs ─▶ score ─▶ logits ─▶ calibrate ─▶ pCTR, pCVR ─▶ auction ─▶ winners
//!                     │                         │                   │                        │
//!               feature tables                model            calibrators                policy
//!                     └─────────────────────────┴───────────────────┴────────────────────────┘
//!                                         one generation, swapped as one
//! ```
//!
//! A value that a request passes takes precedence over the value of a table, and a value that neither has takes its
//! default. Both are counted ([`Outcome::n_missing`]). [`Engine::check`] says by name what is wrong with a request;
//! call it once, at start. Requests carry ids as numbers: [`category_id`] makes one of a string, as training and
//! packing did.
//!
//! # Generations
//!
//! An engine serves one *generation*: the content of one bundle. [`Engine::stage`] opens the next one and checks it, down to
//! golden requests whose outputs must come out again on this CPU. [`Staged::activate`] makes it live by one pointer swap, and
//! [`Engine::rollback`] goes back. A request sees exactly one generation ([`Outcome::generation`]), from its first to its last
//! step. [`Options::follow`] does all this when the file `CURRENT` names another bundle. [`Engine::upsert`] writes single rows
//! on top of the tables in between; the next request sees them.
//!
//! # Threads
//!
//! An [`Engine`] is shared by all threads (`Sync`); share it by reference or in an `Arc`. A [`Scorer`] belongs to one caller
//! at a time (`&mut`) and may move between threads (`Send`): keep one for each worker, or a pool. Whatever one thread does
//! with the engine, no request of another waits for it. The library starts two threads at most, one with
//! [`Options::follow`] and one with [`Options::log`]; [`Engine::close`] ends both.
//!
//! # Memory
//!
//! A scorer allocates when it is made and never again, whichever generation is live later: [`Options::headroom`] says by how
//! much later models may be larger. Files are mapped, and all processes on a machine share the pages. A generation that was
//! replaced is unmapped by the thread that publishes or follows, never by a request. A file that is truncated in place while
//! it is mapped ends the process: replace files by rename, as `adclick` does, or open them with [`OpenMode::Copy`].
//!
//! # Errors
//!
//! What may take its time returns an [`Error`]: a [`Status`], whose numbers never change, and one sentence that says where,
//! what was expected, what was found and what to do. A request that cannot be served returns a [`Refusal`]: plain numbers, so
//! that refusing allocates nothing; its text is made when it is printed, and [`Refusal::status`] gives the class. After either,
//! nothing was written and everything can be used again. A bad candidate is no error: it loses, for a
//! [`Reason`](auction::Reason).
//!
//! ```
//! use std::path::Path;
//!
//! use adclick::{Engine, Options, Status};
//!
//! let error = Engine::open(Path::new("no/such/bundle"), &Options::default()).err().unwrap();
//! assert_eq!(error.status, Status::Io);
//! println!("{error}");
//! ```
//!
//! # The Cargo feature `builder`
//!
//! `builder` opens what packing, training and the tests of this repository need, as `adclick::builder`: file writers, the
//! layers of a model, the reference in f64. It is not stable and a server needs none of it. Without the feature the crate
//! builds the C library as well.

#![cfg_attr(
    feature = "builder",
    allow(rustdoc::private_intra_doc_links, reason = "files of a room point to each other")
)]
#![cfg_attr(not(feature = "builder"), allow(unreachable_pub, reason = "`builder` exports what is public in the rooms"))]

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
mod decision_log;
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
mod named;
mod overlay;
#[allow(unsafe_code, reason = "asks the CPU for a cache line")]
mod prefetch;
mod refusal;
mod request;
// Waits for the inventory, which brings the vectors.
#[cfg(feature = "builder")]
mod retrieve;
mod schema;
mod scorer;
mod table;
mod types;
mod wire;

pub use artifact::OpenMode;
pub use artifact::model::spec::HeadKind;
pub use decision_log::{Event, EventCheck, EventKind, LogOptions, LogState};
pub use engine::{Engine, FollowState, ModelInfo, Options, Staged, WrongSide};
pub use error::{Error, Result, Status};
pub use hash::{category_id, composite_key, shard};
pub use limits::MAX_CANDIDATES;
pub use live::TableChecks;
pub use metrics::Metrics;
pub use model::{AdCacheInfo, AdCacheState};
pub use overlay::{Operation, SwitchKind, TableInfo, Upsert, UpsertCounts};
pub use refusal::Refusal;
pub use request::{Columns, Input};
pub use scorer::{Scorer, ScorerLimits};
pub use types::{
    BidKind, CANDIDATE_FLOOR_EXEMPT, CANDIDATE_STOPPED, Candidate, Explanation, Exploration, KEEP_NO_USER,
    NO_CANDIDATE, Outcome, Precision, PriceBound, Request, ReserveSource, Row, Value, WINNER_EXPLORED, Winner,
};
