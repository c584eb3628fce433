//! Auctions as JSON lines: reading them, running them, writing their outcomes.

mod candidate;
mod explain;
mod json;
mod outcome;
mod read;
mod told;

pub use json::Fault;
pub use outcome::Runner;
pub use read::{Auction, Bids, read};
