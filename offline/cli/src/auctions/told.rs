//! The outcome of an auction as it is written.

use serde::Serialize;
use serde_json::Value;

pub(super) const MICROS: f64 = 1e6;

/// The outcome of an auction in its JSON form.
#[derive(Serialize)]
pub(super) struct Outcome<'a> {
    pub(super) id: &'a Value,
    pub(super) winners: Vec<Winner<'a>>,
    pub(super) reasons: Vec<&'static str>,
    /// Of a policy that explores.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub(super) explored: Option<Explored>,
}

#[derive(Serialize)]
pub(super) struct Explored {
    pub(super) exploration: &'static str,
    pub(super) propensity: f64,
    /// Of 1000 such requests.
    pub(super) given_up_micros: i64,
}

#[derive(Serialize)]
pub(super) struct Winner<'a> {
    pub(super) candidate: u32,
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(super) ad: &'a Value,
    pub(super) slot: u32,
    pub(super) score: f64,
    pub(super) ecpm_micros: i64,
    pub(super) price_micros: Option<i64>,
    pub(super) price: f64,
    pub(super) price_bound: &'static str,
    pub(super) runner_up: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub(super) drawn: Option<Drawn>,
    /// For the explanation.
    #[serde(skip)]
    pub(super) bid: f64,
    #[serde(skip)]
    pub(super) reserve: f64,
    #[serde(skip)]
    pub(super) tier: u16,
}

#[derive(Serialize)]
pub(super) struct Drawn {
    pub(super) explored: bool,
    pub(super) propensity: f64,
    pub(super) marginal_propensity: Option<f64>,
}
