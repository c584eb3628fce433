//! What an engine decided and what came of it: impression ids.

mod impression;

pub(crate) use impression::{ImpressionKey, Impressions};
