//! The auction: its rules for any bids, and auctions that were checked by hand.

mod cases;
mod exploration;
mod golden_auction;
mod pages;
mod policies;
mod shortlist;
