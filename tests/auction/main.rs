//! The auction: its rules for any bids, and auctions that were checked by hand.

mod golden_auction;
mod policies;
