//! Models from elsewhere: packed, proven by their outputs, or refused.

mod foreign;
mod golden_dcn;
mod golden_features;
mod golden_pack;
mod pack;
#[path = "../support/mod.rs"]
mod support;
