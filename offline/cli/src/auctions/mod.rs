//! Auctions as JSON lines: reading them, running them, writing their outcomes.

mod outcome;
mod read;

pub use outcome::Runner;
pub use read::{Auction, Bids, Fault, read};
